//! "Same seed, same run", whatever order the requests of different lines arrive in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::testing::Asked;
use super::walk::Walk;
use super::world::Effect;

const SEARCH: &str = "/available_phone_numbers?filter[country_code]=MA&filter[limit]=3";

/// One step in a line's life; notes what it brought.
fn step(asked: &mut Asked, number: &str, step: usize, seen: &mut Vec<String>) {
    let digits = &number[1..];
    let line = asked.world.meta.lines.iter().find(|line| line.digits == digits).map(|line| line.id.clone());
    match step {
        0 => {
            let order = json!({"phone_numbers": [{"phone_number": number}]});
            let (status, answer) = asked.telnyx("POST", "/number_orders", order);
            assert_eq!(status, 200, "{answer}");
            let order = &answer["data"];
            seen.extend(
                [&order["id"], &order["sub_number_orders_ids"], &order["phone_numbers"][0]["id"]].map(Value::to_string),
            );
            let order = asked.world.telnyx.orders.iter().find(|order| order.contains(number)).expect("the order");
            seen.push(format!("due after {:?}", order.due.map(|due| due.duration_since(asked.now))));
        }
        1 => seen.push(asked.line(&digits[3..])),
        2 | 3 => {
            let path = format!("/v25.0/{}/request_code", line.expect("a line"));
            let answer = asked.meta_whole("POST", &path, json!({"code_method": "VOICE", "language": "en_US"}));
            seen.push(format!("{:?}", answer.header("x-fb-trace-id")));
            for effect in std::mem::take(&mut asked.world.outbox) {
                if let Effect::Ring(ring) = effect {
                    seen.push(format!("{} {:?} {}", ring.from, ring.after, ring.speech.heard(0, u64::MAX)));
                }
            }
        }
        _ => seen
            .push(format!("{:?}", asked.telnyx_whole("GET", &format!("/phone_numbers/{digits}"), json!(null)).headers)),
    }
}

/// What every number saw, with the steps in the order that `place` gives.
fn run(seed: u64, place: impl Fn(usize, usize) -> usize) -> BTreeMap<String, Vec<String>> {
    let mut asked = Asked::with(seed, 1.0);
    let (_, offers) = asked.telnyx("GET", SEARCH, json!(null));
    let numbers: Vec<String> =
        (0..3).map(|n| offers["data"][n]["phone_number"].as_str().expect("a number").to_owned()).collect();
    let mut steps: Vec<(usize, usize)> = (0..3).flat_map(|number| (0..5).map(move |step| (number, step))).collect();
    steps.sort_by_key(|(number, step)| place(*number, *step));
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (n, at) in steps {
        let number = &numbers[n];
        step(&mut asked, number, at, seen.entry(number.clone()).or_default());
    }
    // What takes effect later belongs to the number too.
    asked.later(3_600);
    for number in &asked.world.telnyx.numbers {
        let lag = number.visible.duration_since(number.created);
        seen.entry(number.e164.clone()).or_default().push(format!("{} listed after {lag:?}", number.id));
    }
    seen
}

#[test]
fn a_lines_ids_codes_words_and_delays_do_not_depend_on_the_others() {
    let one_by_one = run(7, |number, step| number * 10 + step);
    let in_turn = run(7, |number, step| step * 10 + number);
    let backwards = run(7, |number, step| step * 10 + (3 - number));
    assert_eq!(one_by_one, in_turn);
    assert_eq!(one_by_one, backwards);
    let other = run(8, |number, step| number * 10 + step);
    for (mine, theirs) in one_by_one.values().flatten().zip(other.values().flatten()) {
        assert_ne!(mine, theirs);
    }
    // Two codes of one line differ, as do two lines.
    let all: Vec<&String> = one_by_one.values().flatten().collect();
    let different: std::collections::BTreeSet<&String> = all.iter().copied().collect();
    assert_eq!(all.len(), different.len(), "{all:?}");
}

/// Ids and words of each number's recordings, after calls in this order.
async fn called(seed: u64, order: [usize; 4]) -> BTreeMap<String, Vec<String>> {
    let walk = Walk::seeded(seed).await;
    walk.application("capture.xml").await;
    let numbers = ["+212600000001", "+212600000002"];
    let lines: Vec<Value> = numbers.iter().map(|number| json!({"phone_number": number})).collect();
    let wish = json!({"application": "capture.xml", "lines": lines});
    assert_eq!(walk.control("POST", "/lines", Some(wish)).await.0, 200);
    for place in order {
        let call = json!({"to": numbers[place], "text": "one two three"});
        assert_eq!(walk.control("POST", "/calls", Some(call)).await.1["outcome"], "recorded");
    }
    let (_, all) = walk.control("GET", "/recordings", None).await;
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for recording in all["recordings"].as_array().expect("a list") {
        let told = format!("{} {} {}", recording["id"], recording["heard"], recording["transcription"]["id"]);
        seen.entry(recording["to"].to_string()).or_default().push(told);
    }
    seen
}

#[tokio::test]
async fn a_numbers_recordings_do_not_depend_on_the_others_calls() {
    let (one_by_one, in_turn) = (called(11, [0, 0, 1, 1]).await, called(11, [1, 0, 1, 0]).await);
    assert_eq!(one_by_one, in_turn);
    assert_eq!(one_by_one.values().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    assert_ne!(one_by_one, called(12, [0, 0, 1, 1]).await);
}
