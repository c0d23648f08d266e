//! Documents: what an order asks for, who gives it, the deadline, the lock of a number.

use serde_json::{Value, json};

use crate::sandbox::testing::Asked;

const RULES: &str = "/regulatory_requirements?filter[country_code]=MA&filter[action]=ordering";

fn strict() -> Asked {
    let mut asked = Asked::new();
    let needed =
        json!([{"requirement_id": "r1", "field_type": "document"}, {"requirement_id": "r2", "field_type": "textual"}]);
    asked.change(json!({"telnyx": {"requirements": {"MA/mobile": needed}}}));
    asked
}

/// Orders the first number on offer, of a group or of none.
fn ordered(asked: &mut Asked, group: Option<&str>) -> Value {
    let search = "/available_phone_numbers?filter[country_code]=MA&filter[phone_number_type]=mobile&filter[limit]=1";
    let (_, offers) = asked.telnyx("GET", search, json!(null));
    let item = json!({"phone_number": offers["data"][0]["phone_number"], "requirement_group_id": group});
    let (status, answer) = asked.telnyx("POST", "/number_orders", json!({ "phone_numbers": [item] }));
    assert_eq!(status, 200, "{answer}");
    answer["data"].clone()
}

fn group(asked: &mut Asked, values: Value) -> String {
    let body = json!({"country_code": "MA", "phone_number_type": "mobile", "action": "ordering",
        "customer_reference": "prod", "regulatory_requirements": values});
    let (status, answer) = asked.telnyx("POST", "/requirement_groups", body);
    assert_eq!((status, &answer["status"]), (200, &json!("unapproved")), "{answer}");
    answer["id"].as_str().expect("an id").to_owned()
}

fn status(asked: &mut Asked, order: &Value) -> Value {
    let id = order["id"].as_str().expect("an id");
    asked.telnyx("GET", &format!("/number_orders/{id}"), json!(null)).1["data"]["status"].clone()
}

#[test]
fn an_order_without_its_documents_is_cancelled_at_the_deadline() {
    let mut asked = strict();
    asked.change(json!({"telnyx": {"requirement_deadline_s": 3_600}}));
    let order = ordered(&mut asked, None);
    let item = format!("/number_order_phone_numbers/{}", order["phone_numbers"][0]["id"].as_str().expect("an id"));
    let (_, shown) = asked.telnyx("GET", &item, json!(null));
    assert_eq!(shown["data"]["sub_number_order_id"], order["sub_number_orders_ids"][0]);
    assert!(shown["data"]["deadline"].is_string(), "{shown}");
    let other = ordered(&mut asked, None);
    let values = |ids: &[&str]| {
        let list: Vec<Value> = ids.iter().map(|id| json!({"requirement_id": id, "field_value": "x"})).collect();
        json!({ "regulatory_requirements": list })
    };
    // Half of the values does not help; the rest, given to the item, does, and erases the deadline.
    let sub = format!("/sub_number_orders/{}", order["sub_number_orders_ids"][0].as_str().expect("an id"));
    assert_eq!(asked.telnyx("PATCH", &sub, values(&["r1"])).1["data"]["requirements_met"], false);
    assert_eq!(asked.telnyx("PATCH", &item, values(&["r2"])).1["data"]["requirements_met"], true);
    assert!(asked.telnyx("GET", &item, json!(null)).1["data"]["deadline"].is_null());
    asked.later(3_600);
    assert_eq!((status(&mut asked, &order), status(&mut asked, &other)), (json!("success"), json!("cancelled")));
    assert_eq!(asked.telnyx_error("PATCH", &item, values(&["r1"])), (422, "85003".to_owned()));
    assert_eq!(asked.telnyx("GET", "/number_order_phone_numbers", json!(null)).1["meta"]["total_results"], 2);
}

#[test]
fn a_group_counts_once_it_is_approved_and_orders_do_not_follow_its_changes() {
    let mut asked = strict();
    let all = json!([{"requirement_id": "r1", "field_value": "d"}, {"requirement_id": "r2", "field_value": "t"}]);
    let id = group(&mut asked, json!([{"requirement_id": "r1", "field_value": "d"}]));
    let path = format!("/requirement_groups/{id}");
    let submit = format!("{path}/submit_for_approval");
    assert_eq!(asked.telnyx_error("POST", &submit, json!(null)), (422, "10027".to_owned()));
    assert_eq!(asked.telnyx("PATCH", &path, json!({ "regulatory_requirements": all })).0, 200);
    let early = ordered(&mut asked, Some(&id));
    assert_eq!(early["requirements_met"], false);
    assert_eq!(early["phone_numbers"][0]["regulatory_requirements"][1]["field_value"], "t");
    assert_eq!(asked.telnyx("POST", &submit, json!(null)).1["status"], "pending-approval");
    assert_eq!(asked.telnyx("GET", &path, json!(null)).1["status"], "approved");
    assert_eq!(status(&mut asked, &early), "pending");
    let sub = format!("/sub_number_orders/{}", early["sub_number_orders_ids"][0].as_str().expect("an id"));
    let attach = format!("{sub}/requirement_group");
    let (_, answer) = asked.telnyx("POST", &attach, json!({ "requirement_group_id": id }));
    assert_eq!(answer["data"]["requirements_met"], true);
    assert_eq!(status(&mut asked, &early), "success");
    assert_eq!(ordered(&mut asked, Some(&id))["requirements_met"], true);

    // A bare array, filtered; a change needs another approval; gone is gone.
    let list = |asked: &mut Asked, query: &str| {
        asked.telnyx("GET", &format!("/requirement_groups?{query}"), json!(null)).1.as_array().map(Vec::len)
    };
    assert_eq!(list(&mut asked, "filter[country_code]=MA&filter[status]=approved"), Some(1));
    assert_eq!(list(&mut asked, "filter[country_code]=FR"), Some(0));
    let (_, answer) = asked.telnyx("PATCH", &path, json!({ "regulatory_requirements": all }));
    assert_eq!(answer["status"], "unapproved");
    assert_eq!(asked.telnyx("DELETE", &path, json!(null)).0, 200);
    assert_eq!(asked.telnyx_error("GET", &path, json!(null)), (404, "10005".to_owned()));
}

#[test]
fn what_is_needed_is_told_by_country_number_and_group() {
    let mut asked = strict();
    let count = |asked: &mut Asked, path: &str| {
        let (status, answer) = asked.telnyx("GET", path, json!(null));
        assert_eq!(status, 200, "{path}");
        answer["data"].as_array().map(Vec::len)
    };
    let order = ordered(&mut asked, None);
    let number = order["phone_numbers"][0]["phone_number"].as_str().expect("a number").replace('+', "%2B");
    let group = group(&mut asked, json!([]));
    for (path, want) in [
        (RULES.to_owned(), 1),
        (format!("{RULES}&filter[phone_number_type]=local"), 0),
        ("/regulatory_requirements?filter[country_code]=MA&filter[action]=porting".to_owned(), 0),
        (format!("/regulatory_requirements?filter[phone_number]={number}"), 1),
        ("/regulatory_requirements?filter[phone_number]=%2B212699999999".to_owned(), 0),
        (format!("/regulatory_requirements?filter[requirement_group_id]={group}"), 1),
    ] {
        assert_eq!(count(&mut asked, &path), Some(want), "{path}");
    }
    let (_, answer) = asked.telnyx("GET", RULES, json!(null));
    let rule = &answer["data"][0]["regulatory_requirements"][1];
    assert_eq!((&rule["id"], &rule["acceptance_criteria"]["max_length"]), (&json!("r2"), &json!("100")));
}

#[test]
fn forwarding_is_seen_in_the_list_and_a_lock_keeps_a_number() {
    let mut asked = Asked::new();
    let order = ordered(&mut asked, None);
    assert_eq!(status(&mut asked, &order), "success");
    let id = asked.world.telnyx.numbers[0].id.clone();
    let voice = format!("/phone_numbers/{id}/voice");
    let forwards = json!({"call_forwarding": {"call_forwarding_enabled": true, "forwards_to": "+212600000000"}});
    let (_, answer) = asked.telnyx("PATCH", &voice, forwards);
    // What a change does not name stays, also inside of an object.
    assert_eq!(answer["data"]["call_forwarding"]["forwarding_type"], "always");
    let (_, answer) = asked.telnyx("GET", "/phone_numbers", json!(null));
    assert_eq!(answer["data"][0]["call_forwarding_enabled"], true);
    let (_, answer) = asked.telnyx("GET", "/phone_numbers/voice", json!(null));
    assert_eq!(answer["data"][0]["call_forwarding"]["forwards_to"], "+212600000000");
    let bad = json!({"inbound_call_screening": "maybe"});
    assert_eq!(asked.telnyx_error("PATCH", &voice, bad), (422, "10032".to_owned()));

    asked.world.telnyx.numbers[0].locked = true;
    let path = format!("/phone_numbers/{id}");
    assert_eq!(asked.telnyx("GET", &path, json!(null)).1["data"]["deletion_lock_enabled"], true);
    assert_eq!(asked.telnyx_error("DELETE", &path, json!(null)), (422, "10021".to_owned()));
    assert!(!asked.world.ledger.monthly().is_zero());
    asked.world.telnyx.numbers[0].locked = false;
    assert_eq!(asked.telnyx("DELETE", &path, json!(null)).0, 200);
}
