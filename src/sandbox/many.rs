//! Tests with many numbers at once: made in one request, listed, called and changed.

use serde_json::{Value, json};

use super::walk::Walk;

fn number(n: usize) -> String {
    format!("+21260{n:07}")
}

#[tokio::test]
async fn a_thousand_lines_are_made_in_one_request_and_work() {
    let walk = Walk::new().await;
    let app = walk.application("capture.xml").await;
    let lines: Vec<Value> = (0..1_000)
        .map(|n| json!({"phone_number": number(n), "name": format!("Company {n}"), "customer_reference": format!("ns/{n}")}))
        .collect();
    let wish = json!({"application": "capture.xml", "tags": ["ours"], "pin": "123456", "lines": lines});
    let (status, made) = walk.control("POST", "/lines", Some(wish.clone())).await;
    assert_eq!((status, made["lines"].as_array().map(Vec::len)), (200, Some(1_000)), "{}", made["error"]);
    // On both sides, in full working order, and nothing of it cost money or a slot's refusal.
    let (_, page) = walk.telnyx("GET", "/phone_numbers?filter[tag]=ours&page[size]=250", None).await;
    assert_eq!((&page["meta"]["total_results"], page["data"].as_array().map(Vec::len)), (&json!(1_000), Some(250)));
    let (_, one) = walk.telnyx("GET", "/phone_numbers?filter[customer_reference]=ns/7", None).await;
    assert_eq!((&one["data"][0]["phone_number"], &one["data"][0]["connection_id"]), (&json!(number(7)), &json!(app)));
    let id = made["lines"][7]["meta"].as_str().expect("an id");
    let (_, line) = walk.meta("GET", &format!("/{id}?fields=status,verified_name,platform_type"), None).await;
    assert_eq!(
        line,
        json!({"id": id, "status": "CONNECTED", "verified_name": "Company 7", "platform_type": "CLOUD_API"})
    );
    assert_eq!(walk.control("GET", "/ledger", None).await.1["orders"], 0);
    let call = json!({"to": number(999), "text": "hello"});
    assert_eq!(walk.control("POST", "/calls", Some(call)).await.1["outcome"], "recorded");
    let message = json!({"to": number(999), "from": {"phone": "+212611223344"}, "text": "Salam"});
    assert_eq!(walk.control("POST", "/messages", Some(message)).await.1["delivered"], true);

    // Changes by hand, all or none.
    let gone = json!({"phone_number": number(1_000), "meta": {"remove": true}});
    let renamed =
        json!({"phone_number": number(1), "meta": {"verified_name": "Other"}, "telnyx": {"tags": ["theirs"]}});
    let removed = json!({"phone_number": number(2), "meta": {"remove": true}, "telnyx": {"remove": true}});
    let (status, answer) = walk.control("POST", "/numbers", Some(json!({"changes": [renamed, gone]}))).await;
    assert_eq!(status, 404, "{answer}");
    assert_eq!(walk.control("POST", "/numbers", Some(json!({"changes": [renamed, removed]}))).await.1["changed"], 2);
    let (_, listed) = walk.control("GET", "/numbers", None).await;
    let listed = listed["numbers"].as_array().expect("a list");
    assert_eq!((listed.len(), &listed[1]["meta"]["verified_name"]), (999, &json!("Other")));
    assert_eq!((&listed[1]["telnyx"]["tags"], &listed[2]["phone_number"]), (&json!(["theirs"]), &json!(number(3))));
}

#[tokio::test]
async fn lines_are_made_all_or_none_and_a_misspelt_field_is_refused() {
    let walk = Walk::new().await;
    let free = json!({"phone_number": number(1)});
    for (wish, status) in [
        (json!({"lines": [free, free]}), 400),
        (json!({"lines": [free, {"phone_number": "12"}]}), 400),
        (json!({"lines": [free], "application": "nobody"}), 404),
        (json!({"lines": [free], "aplication": "capture.xml"}), 400),
        (json!({"lines": [{"phone_number": number(1), "nmae": "Atlas"}]}), 400),
    ] {
        let (found, answer) = walk.control("POST", "/lines", Some(wish.clone())).await;
        assert_eq!(found, status, "{wish} {answer}");
    }
    assert_eq!(walk.control("GET", "/numbers", None).await.1["numbers"], json!([]));
    assert_eq!(walk.control("POST", "/lines", Some(json!({"lines": [free]}))).await.0, 200);
    assert_eq!(walk.control("POST", "/lines", Some(json!({"lines": [free]}))).await.0, 400, "there already");
}

#[tokio::test]
async fn codes_requested_in_the_portal_use_up_the_same_budget() {
    let walk = Walk::new().await;
    let id = walk.line("+212612345678").await;
    let ask = json!({"code_method": "SMS", "language": "en_US"});
    let path = format!("/{id}/request_code");
    assert_eq!(walk.meta("POST", &path, Some(ask.clone())).await.0, 200);
    let portal = json!({"meta": {"portal_code_requests": 9}});
    assert_eq!(walk.control("POST", "/numbers/+212612345678", Some(portal)).await.0, 200);
    let (status, refused) = walk.meta("POST", &path, Some(ask.clone())).await;
    assert_eq!((status, &refused["error"]["error_subcode"]), (400, &json!(2_388_367)));
    // 72 hours and the refusal's own, as the one factor scales them.
    walk.control("POST", "/settings", Some(json!({"policy_time_scale": 0.01}))).await;
    walk.control("POST", "/clock", Some(json!({"advance_s": 2_600}))).await;
    assert_eq!(walk.meta("POST", &path, Some(ask)).await.0, 200);
    let (_, codes) = walk.control("GET", "/codes", None).await;
    assert_eq!(codes["codes"][0]["valid"], true);
    walk.control("POST", "/clock", Some(json!({"advance_s": 7}))).await;
    assert_eq!(walk.control("GET", "/codes", None).await.1["codes"][0]["valid"], false);
}
