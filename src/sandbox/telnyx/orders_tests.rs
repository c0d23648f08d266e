//! An order from the search to its effect, and every way it can be refused.

use serde_json::json;

use crate::sandbox::ledger::Kind;
use crate::sandbox::testing::Asked;

const SEARCH: &str =
    "/v2/available_phone_numbers?filter[country_code]=MA&filter[phone_number_type]=mobile&filter[limit]=3";

fn offered(asked: &mut Asked) -> String {
    let (status, answer) = asked.telnyx("GET", SEARCH, json!(null));
    assert_eq!(status, 200);
    answer["data"][0]["phone_number"].as_str().expect("a number").to_owned()
}

fn order(number: &str) -> serde_json::Value {
    json!({"phone_numbers": [{"phone_number": number}], "customer_reference": "prod/clients/atlas"})
}

#[test]
fn an_order_is_pending_first_and_costs_when_it_takes_effect() {
    let mut asked = Asked::new();
    let number = offered(&mut asked);
    let (status, answer) = asked.telnyx("POST", "/number_orders", order(&number));
    assert_eq!((status, answer["data"]["status"].as_str()), (200, Some("pending")));
    assert!(asked.world.ledger.entries().is_empty());
    let id = answer["data"]["id"].as_str().expect("an id").to_owned();
    let (_, answer) = asked.telnyx("GET", &format!("/v2/number_orders/{id}"), json!(null));
    assert_eq!(answer["data"]["status"], "success");
    let kinds: Vec<Kind> = asked.world.ledger.entries().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Order, Kind::RentStart]);
    assert_eq!(asked.world.ledger.entries()[0].customer_reference.as_deref(), Some("prod/clients/atlas"));
    let path = format!("/v2/phone_numbers?filter[phone_number]={}", &number[1..]);
    let (_, answer) = asked.telnyx("GET", &path, json!(null));
    assert_eq!(answer["data"][0]["phone_number"].as_str(), Some(number.as_str()));
    // The reference is on the order, not on the number, unless the account copies it.
    assert!(answer["data"][0]["customer_reference"].is_null());
    let (_, answer) =
        asked.telnyx("GET", "/v2/number_orders?filter[customer_reference]=prod/clients/atlas", json!(null));
    assert_eq!(answer["meta"]["total_results"], 1);
    let (_, answer) = asked.telnyx("GET", "/v2/balance", json!(null));
    assert_eq!(answer["data"]["available_credit"], "97.90");
}

#[test]
fn an_order_is_there_by_its_id_before_the_list_has_it() {
    let mut asked = Asked::new();
    asked.change(json!({"telnyx": {"order_list_lag_ms": 10_000}}));
    let number = offered(&mut asked);
    let (_, answer) = asked.telnyx("POST", "/number_orders", order(&number));
    let path = format!("/number_orders/{}", answer["data"]["id"].as_str().expect("an id"));
    let list = "/number_orders?filter[customer_reference]=prod/clients/atlas";
    for (seconds, listed) in [(0, 0), (9, 0), (1, 1)] {
        asked.later(seconds);
        assert_eq!(asked.telnyx("GET", &path, json!(null)).0, 200);
        assert_eq!(asked.telnyx("GET", list, json!(null)).1["meta"]["total_results"], listed, "{seconds}");
    }
}

#[test]
fn what_cant_be_ordered_is_refused_by_its_code() {
    let mut asked = Asked::new();
    let number = offered(&mut asked);
    let unsearched = super::search::number(&asked.world.dice, "MA", "local", 5).expect("a number");
    let with_connection = json!({"phone_numbers": [{"phone_number": number}], "connection_id": "1"});
    let cases = [
        (order(&unsearched), 400, "85000"),
        (order("0612345678"), 422, "10016"),
        (json!({"phone_numbers": []}), 400, "10004"),
        (json!([]), 400, "10015"),
        (with_connection, 422, "85004"),
    ];
    for (body, status, code) in cases {
        assert_eq!(asked.telnyx_error("POST", "/v2/number_orders", body.clone()), (status, code.to_owned()), "{body}");
    }
    // Too late: an offer is good for a day.
    asked.later(86_401);
    assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (400, "85000".to_owned()));
    offered(&mut asked);
    asked.change(json!({"telnyx": {"taken": [number]}}));
    assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (409, "85001".to_owned()));
    asked.change(json!({"telnyx": {"taken": [], "balance": "1.00"}}));
    assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (402, "20100".to_owned()));
    assert!(asked.world.telnyx.orders.is_empty());
}

#[test]
fn a_number_is_sold_once_also_to_ourselves() {
    let mut asked = Asked::new();
    let number = offered(&mut asked);
    assert_eq!(asked.telnyx("POST", "/number_orders", order(&number)).0, 200);
    assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (409, "85001".to_owned()));
    asked.later(1);
    assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (409, "85001".to_owned()));
    assert_ne!(offered(&mut asked), number);
}

#[test]
fn the_same_seed_offers_the_same_numbers_and_no_coverage_is_told() {
    let (mut one, mut other) = (Asked::new(), Asked::new());
    assert_eq!(one.telnyx("GET", SEARCH, json!(null)), other.telnyx("GET", SEARCH, json!(null)));
    let (_, answer) = one.telnyx("GET", "/country_coverage/countries/MA", json!(null));
    assert_eq!(answer["data"]["numbers"], true);
    one.change(json!({"telnyx": {"coverage": {"MA": []}, "no_coverage_status": 404}}));
    assert_eq!(one.telnyx_error("GET", SEARCH, json!(null)), (404, "10015".to_owned()));
    let (_, answer) = one.telnyx("GET", "/country_coverage/countries/MA", json!(null));
    assert_eq!((&answer["data"]["numbers"], &answer["data"]["mobile"]), (&json!(false), &json!({})));
}

#[test]
fn two_open_orders_cant_spend_the_same_money() {
    let mut asked = Asked::new();
    asked.change(json!({"telnyx": {"balance": "3.00", "order_delay_ms": 60_000}}));
    let first = offered(&mut asked);
    let (_, answer) = asked.telnyx("POST", "/number_orders", order(&first));
    let second = offered(&mut asked);
    let refused = (402, "20100".to_owned());
    assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&second)), refused);
    let sub = answer["data"]["sub_number_orders_ids"][0].as_str().expect("an id").to_owned();
    assert_eq!(asked.telnyx("PATCH", &format!("/sub_number_orders/{sub}/cancel"), json!({})).0, 200);
    assert_eq!(asked.telnyx("POST", "/number_orders", order(&second)).0, 200);
    asked.later(60);
    let (_, answer) = asked.telnyx("GET", "/v2/balance", json!(null));
    assert_eq!(answer["data"]["available_credit"], "0.90");
}

#[test]
fn all_made_up_numbers_are_good_ones() {
    let asked = Asked::new();
    for kind in ["mobile", "national", "local"] {
        for place in 0..100 {
            let number = super::search::number(&asked.world.dice, "MA", kind, place).expect("a number");
            assert!(crate::domain::E164::parse(&number).is_ok(), "{number}");
            let parsed = phonenumber::parse(None, &number).expect("parsed");
            assert!(parsed.is_valid(), "{kind} {number}");
        }
    }
}

#[test]
fn an_order_with_requirements_waits_for_them_and_can_be_cancelled() {
    let mut asked = Asked::new();
    asked.change(
        json!({"telnyx": {"requirements": {"MA/mobile": [{"requirement_id": "r1", "field_type": "document"}]}}}),
    );
    let number = offered(&mut asked);
    let (_, answer) = asked.telnyx("POST", "/number_orders", order(&number));
    assert_eq!(answer["data"]["requirements_met"], false);
    assert_eq!(answer["data"]["phone_numbers"][0]["requirements_status"], "requirement-info-pending");
    let id = answer["data"]["id"].as_str().expect("an id").to_owned();
    let sub = answer["data"]["sub_number_orders_ids"][0].as_str().expect("an id").to_owned();
    asked.later(3_600);
    assert_eq!(asked.telnyx("GET", &format!("/number_orders/{id}"), json!(null)).1["data"]["status"], "pending");
    let values = json!({"regulatory_requirements": [{"requirement_id": "r1", "field_value": "doc"}]});
    assert_eq!(asked.telnyx("PATCH", &format!("/number_orders/{id}"), values).0, 200);
    assert_eq!(asked.telnyx("GET", &format!("/number_orders/{id}"), json!(null)).1["data"]["status"], "success");
    assert_eq!(asked.telnyx_error("PATCH", &format!("/sub_number_orders/{sub}/cancel"), json!({})).0, 422);

    let second = offered(&mut asked);
    let (_, answer) = asked.telnyx("POST", "/number_orders", order(&second));
    let sub = answer["data"]["sub_number_orders_ids"][0].as_str().expect("an id").to_owned();
    let (status, answer) = asked.telnyx("PATCH", &format!("/sub_number_orders/{sub}/cancel"), json!({}));
    assert_eq!((status, answer["data"]["status"].as_str()), (200, Some("cancelled")));
    assert_eq!(offered(&mut asked), second);
}
