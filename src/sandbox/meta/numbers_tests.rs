//! Lists, additions and tokens, as a client meets them.

use secrecy::SecretString;
use serde_json::json;

use crate::sandbox::meta::tokens::hmac_hex;
use crate::sandbox::testing::Asked;

#[test]
fn lists_are_paged_by_cursor_to_the_end() {
    let mut asked = Asked::new();
    asked.change(json!({"meta": {"number_cap": 50}}));
    let made: Vec<String> = (0..7).map(|n| asked.line(&format!("61234567{n}"))).collect();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v25.0/104/phone_numbers?fields=id,display_phone_number&limit=3{after}");
        let (status, page) = asked.meta("GET", &path, json!(null));
        assert_eq!(status, 200);
        for line in page["data"].as_array().expect("a list") {
            assert!(line["display_phone_number"].as_str().is_some_and(|text| text.starts_with("+212 612-34567")));
            seen.push(line["id"].as_str().expect("an id").to_owned());
        }
        if page["paging"]["next"].is_null() {
            break;
        }
        after = format!("&after={}", page["paging"]["cursors"]["after"].as_str().expect("a cursor"));
    }
    assert_eq!(seen, made);
    assert_eq!(asked.meta_error("GET", "/v25.0/104/phone_numbers?after=x", json!(null)), (100, 0));
    assert_eq!(asked.meta_error("GET", "/v25.0/104/phone_numbers?fields=colour", json!(null)), (100, 0));
}

#[test]
fn adding_is_refused_beyond_the_cap_and_for_what_is_there() {
    let mut asked = Asked::new();
    asked.change(json!({"meta": {"number_cap": 2}}));
    let first = asked.line("612345678");
    let again = json!({"cc": "212", "phone_number": "0612345678", "verified_name": "Atlas"});
    let path = "/v25.0/104/phone_numbers";
    let (status, answer) = asked.meta("POST", path, again.clone());
    assert_eq!((status, &answer["error"]["code"]), (409, &json!(100)));
    asked.change(json!({"meta": {"duplicate_add": "same_id"}}));
    assert_eq!(asked.meta("POST", path, again.clone()).1["id"], json!(first));
    asked.change(json!({"meta": {"duplicate_add": "second_id"}}));
    assert_ne!(asked.meta("POST", path, again).1["id"], json!(first));
    let third = json!({"cc": "212", "phone_number": "612345670", "verified_name": "Atlas"});
    // The cap is the business's, not the WABA's.
    let (status, answer) = asked.meta("POST", "/v25.0/105/phone_numbers", third.clone());
    assert_eq!((status, &answer["error"]["error_subcode"]), (403, &json!(1_349_175)));
    asked.change(json!({"meta": {"wabas": {"105": "2000"}}}));
    assert_eq!(asked.meta("POST", "/v25.0/105/phone_numbers", third).0, 200);
    for bad in [
        json!({"phone_number": "612345678", "verified_name": "Atlas"}),
        json!({"cc": "212", "phone_number": "6", "verified_name": "Atlas"}),
        json!({"cc": "212", "phone_number": "612345671", "verified_name": "A"}),
    ] {
        assert_eq!(asked.meta_error("POST", path, bad), (100, 0));
    }
}

#[test]
fn a_new_number_may_be_missing_from_the_list_for_a_while() {
    let mut asked = Asked::new();
    asked.change(json!({"meta": {"list_lag_ms": 20_000}}));
    let id = asked.line("612345678");
    let count = |asked: &mut Asked| {
        asked.meta("GET", "/v25.0/104/phone_numbers", json!(null)).1["data"].as_array().map(Vec::len)
    };
    assert_eq!(count(&mut asked), Some(0));
    assert_eq!(asked.meta("GET", &format!("/v25.0/{id}"), json!(null)).0, 200);
    asked.later(20);
    assert_eq!(count(&mut asked), Some(1));
}

#[test]
fn tokens_proofs_and_unknown_ids_are_refused_by_their_codes() {
    let mut asked = Asked::new();
    assert_eq!(
        asked.meta("GET", "/v25.0/1020?fields=verification_status", json!(null)).1["verification_status"],
        "verified"
    );
    assert_eq!(
        asked.meta("GET", "/104?fields=account_review_status", json!(null)).1["account_review_status"],
        "APPROVED"
    );
    asked.world.app_secret = Some(SecretString::from("s3cret"));
    assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (100, 0));
    let proof = hmac_hex("s3cret", b"key");
    assert_eq!(asked.meta_error("GET", &format!("/v25.0/104?appsecret_proof={proof}"), json!(null)), (0, 0));
    assert_eq!(asked.meta_error("GET", "/v25.0/104?appsecret_proof=00", json!(null)), (100, 0));
    asked.change(json!({"meta": {"require_proof": false, "unknown_ids": ["104"]}}));
    assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (100, 33));
    asked.change(json!({"meta": {"bad_tokens": ["key"], "token_subcode": 463}}));
    assert_eq!(asked.meta_error("GET", "/v25.0/105", json!(null)), (190, 463));
}
