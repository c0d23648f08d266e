//! The table of forms, and a hundred thousand transcripts made up from seeds.

use super::forms::{Origin, READ, REFUSED};
use super::*;
use crate::code::noise;

fn form(text: &str) -> Result<(String, Form), Refusal> {
    match read(text) {
        Reading::Code { code, form } => Ok((code.expose().to_owned(), form)),
        Reading::None(refusal) => Err(refusal),
    }
}

#[test]
fn forms_that_are_read() {
    let wrong: Vec<_> = READ
        .iter()
        .filter(|(_, text, want)| form(text) != Ok(("123456".into(), *want)))
        .map(|(_, text, want)| format!("{text:?}: {:?} instead of {want:?}", form(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn forms_that_are_refused() {
    let wrong: Vec<_> = REFUSED
        .iter()
        .filter(|(_, text, want)| form(text) != Err(*want))
        .map(|(_, text, want)| format!("{text:?}: {:?} instead of {want:?}", form(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How much of the table was seen anywhere; docs/reader.md says so.
#[test]
fn forms_name_their_origin() {
    let origins: Vec<Origin> = READ.iter().map(|r| r.0).chain(REFUSED.iter().map(|r| r.0)).collect();
    let count = |is: fn(&Origin) -> bool| origins.iter().filter(|o| is(o)).count();
    let (reported, seen) = (count(|o| matches!(o, Origin::Reported(_))), count(|o| matches!(o, Origin::Seen(_))));
    println!("{} forms: {reported} reported, {seen} seen elsewhere", origins.len());
    let page = include_str!("../../docs/reader.md");
    let said = format!("{} forms: {reported} of WhatsApp's own wording, {seen} seen in other calls", origins.len());
    assert!(origins.len() >= 120 && page.contains(&said), "docs/reader.md must say: {said}");
}

#[test]
fn other_codes() {
    for (text, want) in [
        ("code is double five one two triple three", None),
        ("code is double five one triple three", Some("551333")),
        ("code is oh one two three four five", Some("012345")),
        ("code is zero one two three four oh.", Some("012340")),
        ("code is to 3 4 5 6 7", Some("234567")),
        ("code is for for for for four four", Some("444444")),
        ("code is 1 2 3 4 5 too.", Some("123452")),
        ("code is 000000. code is 000000", Some("000000")),
        ("code is 121212 1 2 1 2 1 2", Some("121212")),
        ("2 1 2 1 2 1 2", None),
        ("code is twenty one thirty four fifty six", Some("213456")),
        ("code is twenty twenty one three", Some("202113").filter(|_| false)),
    ] {
        assert_eq!(form(text).ok().map(|(code, _)| code).as_deref(), want, "{text}");
    }
}

#[derive(Default)]
struct Tally {
    clean: u64,
    noisy: u64,
    wrong: Vec<String>,
}

fn tally(seeds: std::ops::Range<u64>) -> Tally {
    let show = std::env::var_os("TRANSCRIPT_SHOW").is_some();
    let mut tally = Tally::default();
    for seed in seeds {
        let made = noise::transcript(seed);
        match form(&made.text) {
            Ok((code, _)) if code != made.code => {
                tally.wrong.push(format!("seed {seed}: {code} for {}: {:?}", made.code, made.text));
            }
            Ok(_) if seed % 2 == 0 => tally.clean += 1,
            Ok(_) => tally.noisy += 1,
            Err(refusal) if seed % 2 == 0 && show => println!("{refusal:?} {} | {}", made.code, made.text),
            Err(_) => {}
        }
    }
    tally
}

/// Half of the seeds are clean: at least 99 % of those are read. Not one of all may be read wrongly. `TRANSCRIPT_FROM` and
/// `TRANSCRIPT_SEEDS` choose other seeds, `TRANSCRIPT_SHOW` prints clean ones that are refused.
#[test]
fn noisy_transcripts_are_never_read_wrongly() {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let (from, seeds) = (number("TRANSCRIPT_FROM").unwrap_or(0), number("TRANSCRIPT_SEEDS").unwrap_or(100_000));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(8);
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let part = |n: u64| from + seeds * n / threads;
        let parts: Vec<_> = (0..threads).map(|n| scope.spawn(move || tally(part(n)..part(n + 1)))).collect();
        for part in parts {
            let part = part.join().unwrap();
            (all.clean, all.noisy) = (all.clean + part.clean, all.noisy + part.noisy);
            all.wrong.extend(part.wrong);
        }
    });
    let (half, Tally { clean, noisy, wrong }) = (seeds / 2, all);
    println!("read: {clean} of {half} clean, {noisy} of {half} noisy; {} wrongly", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong[..wrong.len().min(20)].join("\n"));
    assert!(clean * 100 >= half * 99, "only {clean} of {half} clean transcripts were read");
    // The noise is heavy: a reader that took undamaged transcripts only would read fewer.
    assert!(noisy * 100 >= half * 20, "only {noisy} of {half} noisy transcripts were read");
}

#[test]
fn refusals_hold_no_digits() {
    for (_, text, _) in REFUSED {
        let Reading::None(refusal) = read(text) else { panic!("{text}") };
        assert!(!format!("{refusal:?} {refusal}").contains(|c: char| c.is_ascii_digit()));
    }
}
