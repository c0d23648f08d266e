//! The client against a small server that answers as the fact sheets say: paging, comparison, absence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Query, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::domain::{Country, CustomerReference, E164, NumberType};
use crate::providers::ErrorClass;

type Call = (String, HashMap<String, String>, Value);
type Calls = Arc<Mutex<Vec<Call>>>;

/// A client for a server that answers by a function of "METHOD /path", the query and the JSON body; and what it was asked.
async fn client(
    answer: impl Fn(&str, &HashMap<String, String>, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> (Client, Calls) {
    let (answer, calls) = (Arc::new(answer), Calls::default());
    let seen = calls.clone();
    let app = Router::new().fallback(move |Query(query): Query<HashMap<String, String>>, request: Request| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let call = format!("{} {}", request.method(), request.uri().path());
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
            let body = serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
            let (status, reply) = answer(&call, &query, &body);
            seen.lock().unwrap().push((call, query, body));
            (StatusCode::from_u16(status).unwrap(), Json(reply)).into_response()
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Client::new(&url, "key".to_owned().into(), &Http::new().unwrap()).unwrap(), calls)
}

fn error(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"errors": [{"code": code, "title": "No", "detail": "No."}]}))
}

fn ma() -> Country {
    Country::parse("MA").unwrap()
}

fn e164(text: &str) -> E164 {
    E164::parse(text).unwrap()
}

fn reference() -> CustomerReference {
    "prod-ma/clients/atlas".parse().unwrap()
}

#[tokio::test]
async fn search_asks_type_by_type_and_tells_none_from_no_coverage() {
    let offer = |number: &str, monthly: &str| {
        json!({"phone_number": number,
        "cost_information": {"currency": "USD", "monthly_cost": monthly, "upfront_cost": "1.00"}})
    };
    let (client, calls) = client(move |_, query, _| match query["filter[phone_number_type]"].as_str() {
        "mobile" => error(400, "12345"),
        "national" => (200, json!({"data": [], "meta": {"total_results": 0}})),
        _ => (200, json!({"data": [offer("+212522000002", "1.0"), offer("+212522xxxxxx", "0"), offer("+212522000001", "1.0")]})),
    })
    .await;
    let types = [NumberType::Mobile, NumberType::National, NumberType::Local];
    let found = client.search(&ma(), &types, 20).await.unwrap();
    assert_eq!(found.iter().map(|c| c.number.as_str()).collect::<Vec<_>>(), ["+212522000001", "+212522000002"]);
    assert_eq!(client.search(&ma(), &[NumberType::National], 20).await.unwrap(), []);
    let none = client.search(&ma(), &[NumberType::Mobile], 20).await.unwrap_err();
    assert_eq!((none.class, none.reason), (ErrorClass::NeedsHuman, Reason::NoCoverage));
    let calls = calls.lock().unwrap();
    let (call, query, _) = &calls[0];
    assert_eq!(call, "GET /v2/available_phone_numbers");
    assert_eq!((query["filter[country_code]"].as_str(), query["filter[limit]"].as_str()), ("MA", "20"));
}

#[tokio::test]
async fn an_order_is_sent_once_with_its_reference() {
    let (client, calls) = client(|_, _, _| {
        (
            200,
            json!({"data": {"id": "o1", "record_type": "number_order", "status": "pending", "requirements_met": false,
            "customer_reference": "prod-ma/clients/atlas", "sub_number_orders_ids": ["s1"],
            "phone_numbers": [{"id": "item", "phone_number": "+212612345678", "status": "pending",
                "requirements_status": "requirement-info-under-review", "phone_number_type": "mobile"}]}}),
        )
    })
    .await;
    let number = e164("+212612345678");
    let order = client.create_order(&number, &reference(), Some("77"), Some("group")).await.unwrap();
    assert!(order.is_of(&reference()) && order.status == Some(OrderStatus::Pending) && order.sub_orders == ["s1"]);
    let item = order.item(&number).unwrap();
    assert_eq!(item.requirements_status, Some(RequirementsStatus::UnderReview));
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].0, "POST /v2/number_orders");
    assert_eq!(
        calls[0].2,
        json!({"phone_numbers": [{"phone_number": "+212612345678", "requirement_group_id": "group"}],
            "customer_reference": "prod-ma/clients/atlas", "connection_id": "77"})
    );
}

#[tokio::test]
async fn orders_of_an_owner_id_come_in_one_call() {
    let (client, calls) = client(|call, _, _| match call {
        "GET /v2/number_orders" => (
            200,
            json!({"data": [
                {"id": "a", "customer_reference": "prod-ma/clients/atlas", "created_at": "2026-11-01T10:00:00Z"},
                {"id": "b", "customer_reference": "prod-ma2/clients/atlas", "created_at": "2026-11-01T10:00:00Z"},
                {"id": "c", "customer_reference": "prod-ma/clients/rif", "created_at": "2026-10-01T10:00:00Z"},
                {"id": "d", "customer_reference": "prod-ma/clients/rif"},
                {"id": "e"},
            ], "meta": {"total_pages": 1}}),
        ),
        other => panic!("{other}"),
    })
    .await;
    let since = "2026-10-31T10:00:00Z".parse().unwrap();
    let orders = client.orders_since("prod-ma/", Some(since)).await.unwrap();
    assert_eq!(orders.iter().map(|o| o.id.as_str()).collect::<Vec<_>>(), ["a", "d"]);
    let calls = calls.lock().unwrap();
    assert_eq!((calls.len(), calls[0].1["filter[created_at][gt]"].as_str()), (1, "2026-10-31T10:00:00Z"));
}

#[tokio::test]
async fn orders_are_compared_here_and_read_by_id() {
    let order = |id: &str, reference: Value| {
        json!({"id": id, "customer_reference": reference, "status": "success",
        "phone_numbers": [{"id": "i", "phone_number": "+212612345678", "status": "success"}]})
    };
    let (client, _) = client(move |call, _, _| match call {
        "GET /v2/number_orders" => (
            200,
            json!({"data": [
            {"id": "a", "customer_reference": "prod-ma/clients/atlas", "phone_numbers": [{"id": "i"}]},
            {"id": "b", "customer_reference": "prod-ma/clients/atlas-2"},
            {"id": "c"}, {"id": "d"},
            {"id": "e", "customer_reference": "prod-ma/clients/atlas",
             "phone_numbers": [{"id": "i", "phone_number": "+212612345678"}]}]}),
        ),
        "GET /v2/number_orders/a" => (200, json!({"data": order("a", json!("prod-ma/clients/atlas"))})),
        "GET /v2/number_orders/c" => (200, json!({"data": order("c", json!(null))})),
        "GET /v2/number_orders/d" | "GET /v2/number_orders/e" => error(404, "10005"),
        other => panic!("{other}"),
    })
    .await;
    let orders = client.orders_by_reference(&reference()).await.unwrap();
    // What is listed with our reference exists, even if it can not be read yet.
    assert_eq!(orders.iter().map(|o| o.id.as_str()).collect::<Vec<_>>(), ["a", "e"]);
    assert!(orders[0].item(&e164("+212612345678")).is_some());
    assert_eq!(client.order("d").await.unwrap(), None);
}

#[tokio::test]
async fn lists_are_read_to_the_end() {
    let (client, calls) = client(|_, query, _| {
        let page: usize = query["page[number]"].parse().unwrap();
        let data: Vec<Value> = (0..if page < 3 { 250 } else { 10 })
            .map(|i| json!({"id": format!("{page}-{i}"), "phone_number": format!("+2126{page}{i:07}"), "tags": ["t"]}))
            .collect();
        (200, json!({"data": data, "meta": {"page_number": page, "total_pages": 3, "page_size": 250}}))
    })
    .await;
    assert_eq!(client.numbers_by_tag("t").await.unwrap().len(), 510);
    assert_eq!(client.numbers_by_tag("other").await.unwrap().len(), 0, "the server ignored the filter");
    assert_eq!(calls.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn a_list_without_end_is_an_error_and_one_without_pages_is_not() {
    let (endless, _) = client(|_, query, _| {
        let page = &query["page[number]"];
        (200, json!({"data": [{"id": page, "friendly_name": page}], "meta": {"total_pages": 100_000}}))
    })
    .await;
    let error = endless.texml_applications().await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::NeedsHuman, Reason::AnswerTooLarge));
    let (same, _) =
        client(|_, _, _| (200, json!({"data": [{"id": "1", "friendly_name": "a"}], "meta": {"total_pages": 9}}))).await;
    assert_eq!(same.texml_applications().await.unwrap().len(), 1);
    let (changed, _) = client(|_, _, _| (200, json!({"data": [{"uuid": "1"}]}))).await;
    assert_eq!(changed.texml_applications().await.unwrap_err().reason, Reason::UnreadableAnswer);
}

#[tokio::test]
async fn a_number_is_found_by_digits_and_compared() {
    let (client, calls) = client(|_, _, _| {
        (
            200,
            json!({"data": [
            {"id": "1", "phone_number": "+212612345679"}, {"id": "2", "phone_number": "12345"},
            {"id": "3", "phone_number": "+212612345678", "status": "deleted"},
            {"id": "4", "phone_number": "+212612345678", "status": "active", "connection_id": 77, "tags": ["x"],
             "customer_reference": null, "phone_number_type": "longcode"}]}),
        )
    })
    .await;
    let number = client.number(&e164("+212612345678")).await.unwrap().unwrap();
    assert_eq!((number.id.as_str(), number.connection_id.as_deref()), ("4", Some("77")));
    assert_eq!(number.kind, Some(NumberKind::Unknown("longcode".into())));
    assert_eq!(client.number(&e164("+212612000000")).await.unwrap(), None);
    assert_eq!(calls.lock().unwrap()[0].1["filter[phone_number]"], "212612345678");
}

#[tokio::test]
async fn gone_is_released_and_a_foreign_404_is_not() {
    let (client, _) = client(|call, _, _| match call {
        "DELETE /v2/phone_numbers/gone" => error(404, "10005"),
        "DELETE /v2/phone_numbers/there" => (200, json!({"data": {}})),
        _ => (404, json!("<html>")),
    })
    .await;
    client.release_number("gone").await.unwrap();
    client.release_number("there").await.unwrap();
    assert_eq!(client.release_number("elsewhere").await.unwrap_err().class, ErrorClass::Unknown);
}

#[tokio::test]
async fn a_list_that_is_taken_page_by_page() {
    let (client, calls) = client(|_, query, _| {
        let page: u64 = query["page[number]"].parse().unwrap();
        let data = json!([{"id": format!("r{page}"), "created_at": "2026-11-24T10:00:00Z"}]);
        (200, json!({"data": data, "meta": {"total_pages": 2, "page_number": page}}))
    })
    .await;
    let since: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
    let first = client.recordings_since(since, 1).await.unwrap();
    let second = client.recordings_since(since, 2).await.unwrap();
    assert_eq!((first.entries[0].id.as_str(), first.more), ("r1", true));
    assert_eq!((second.entries[0].id.as_str(), second.more), ("r2", false));
    assert_eq!(calls.lock().unwrap().len(), 2, "a page is one call");
    let again = client.recordings_since(since, 1).await.unwrap();
    let first = Some(first);
    assert!(!second.repeats(&first) && again.repeats(&first) && !again.repeats(&None));
    let error = client.recordings_since(since, 201).await.err().unwrap();
    assert_eq!(error.class, ErrorClass::NeedsHuman, "a list without an end is never cut short");
}

#[tokio::test]
async fn the_sources_of_a_code() {
    let (client, calls) = client(|call, query, body| match call {
        "GET /v2/recordings" => {
            assert!(query["filter[created_at][gte]"].starts_with("2026-11-24T"));
            (
                200,
                json!({"data": [
                {"id": "old", "to": "+212612345678", "created_at": "2026-11-23T00:00:00Z"},
                {"id": "new", "to": "212612345678", "from": "+15550001111", "created_at": "2026-11-24T10:00:00.5Z",
                 "connection_id": "77", "download_urls": {"wav": "https://s3.example/x.wav?sig=1"}}]}),
            )
        }
        "GET /v2/recordings/new" => {
            (200, json!({"data": {"id": "new", "download_urls": {"wav": "https://s3/x?sig=1"}}}))
        }
        "GET /v2/recording_transcriptions" => (
            200,
            json!({"data": [
            {"id": "t1", "recording_id": "new", "status": "completed", "transcription_text": "one two three",
             "created_at": "2026-11-24T10:01:00Z"},
            {"id": "t2", "recording_id": "other", "status": "in-progress"}], "meta": {"cursors": {"after": "x"}}}),
        ),
        "GET /v2/call_events" => (
            200,
            json!({"data": [
            {"record_type": "call_event", "name": "call.hangup", "type": "webhook", "call_leg_id": "l",
             "call_session_id": "s", "event_timestamp": "2026-11-24T10:00:40Z", "metadata": {"event": {"payload":
                {"to": "+212612345678", "from": "+15550001111", "hangup_cause": "normal_clearing"}}}},
            {"name": "call.initiated", "event_timestamp": "2026-11-24T10:00:30Z", "metadata": {"event": {"payload":
                {"to": "+212612345678", "from": "+12025550199", "direction": "outgoing"}}}},
            {"name": "call.initiated", "event_timestamp": "2026-11-20T10:00:40Z", "metadata": {}}]}),
        ),
        "POST /v2/ai/audio/transcriptions" => {
            assert!(body.as_str().unwrap().contains("https://s3/x?sig=1"));
            (200, json!({"text": "Your code is 1 2 3"}))
        }
        other => panic!("{other}"),
    })
    .await;
    let since: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
    let recordings = client.recordings_since(since, 1).await.unwrap().entries;
    assert_eq!(recordings.len(), 1);
    assert_eq!(recordings[0].to, Some(e164("+212612345678")));
    assert_eq!(format!("{:?}", recordings[0].from), "Some(***)");
    let transcription = client
        .transcriptions_since(since)
        .await
        .unwrap()
        .into_iter()
        .find(|t| t.recording_id.as_deref() == Some("new"))
        .unwrap();
    assert!(transcription.is_complete() && transcription.text().unwrap().expose_secret() == "one two three");
    let events = client.call_events_since(since, 1).await.unwrap().entries;
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0].kind, &events[0].to), (&CallEventKind::Hangup, &Some(e164("+212612345678"))));
    assert!(!events[0].outgoing && events[1].outgoing, "the account's own leg is no ringing of the number");
    let fresh = client.recording("new").await.unwrap().unwrap();
    assert_eq!(client.transcribe(&fresh).await.unwrap().expose_secret(), "Your code is 1 2 3");
    assert!(calls.lock().unwrap().iter().all(|(_, query, _)| !query.contains_key("sig")));
}

#[tokio::test]
async fn a_call_is_made_once_for_the_organization_and_says_its_document() {
    let (client, calls) = client(|call, _, _| match call {
        "GET /v2/whoami" => (200, json!({"data": {"organization_id": "0f1c", "user_id": "77aa"}})),
        "POST /v2/texml/Accounts/0f1c/Calls" => {
            (200, json!({"from": "+12025550199", "to": "+212612345678", "status": "queued"}))
        }
        other => panic!("{other}"),
    })
    .await;
    let account = client.organization().await.unwrap();
    let (from, to) = (e164("+12025550199"), e164("+212612345678"));
    let call = OutboundCall {
        account: &account,
        from: &from,
        to: &to,
        connection: "88",
        document: "<Response><Say>x</Say></Response>",
    };
    client.place_call(&call).await.unwrap();
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(
        calls[1].2,
        json!({"ApplicationSid": "88", "From": "+12025550199", "To": "+212612345678",
            "Texml": "<Response><Say>x</Say></Response>", "Timeout": 30, "TimeLimit": 90})
    );
}

#[tokio::test]
async fn a_call_whose_answer_is_unclear_may_have_been_made() {
    for (status, reply, class, reason) in [
        (500, json!({"errors": [{"code": "10007"}]}), ErrorClass::Unknown, Reason::ProviderUnavailable),
        (404, json!("<html>"), ErrorClass::Unknown, Reason::Unclassified),
        (
            403,
            json!({"errors": [{"code": "20012", "title": "Account inactive"}]}),
            ErrorClass::NeedsHuman,
            Reason::AccountRestricted,
        ),
        (
            402,
            json!({"errors": [{"code": "20100", "title": "Insufficient funds"}]}),
            ErrorClass::NeedsHuman,
            Reason::InsufficientFunds,
        ),
    ] {
        let shown = reply.to_string();
        let (client, calls) = client(move |_, _, _| (status, reply.clone())).await;
        let number = e164("+212612345678");
        let call = OutboundCall { account: "0f1c", from: &number, to: &number, connection: "88", document: "" };
        let error = client.place_call(&call).await.unwrap_err();
        assert_eq!((error.class, error.reason), (class, reason), "{status} {shown}");
        assert_eq!(calls.lock().unwrap().len(), 1, "a call is never repeated");
    }
    let (nobody, _) = client(|_, _, _| (200, json!({"data": {"organization_id": null}}))).await;
    assert_eq!(nobody.organization().await.unwrap_err().class, ErrorClass::Transient);
}

/// The controller's reconcile futures must be `Send`.
#[tokio::test]
async fn futures_are_send() {
    fn send<T: Send>(_: T) {}
    let (client, _) = client(|_, _, _| error(404, "10005")).await;
    send(client.search(&ma(), &[], 1));
    send(client.orders_by_reference(&reference()));
    send(client.numbers_by_tag("t"));
    send(client.recordings_since(Timestamp::UNIX_EPOCH, 1));
    send(client.sub_orders("o"));
    send(client.all_voice_settings());
    send(client.detail_records(&RecordKind::CallControl, Timestamp::UNIX_EPOCH, None));
}

#[tokio::test]
async fn documents_are_read_in_odd_forms_and_values_do_not_come_back() {
    let (client, calls) = client(|call, query, body| match call {
        // The filter is ignored, one entry is broken, statuses are new words.
        "GET /v2/sub_number_orders" => (
            200,
            json!({"data": [
                {"id": "s1", "order_request_id": "o1", "status": "partial_success", "requirements_met": "?",
                 "phone_number_type": "landline", "regulatory_requirements": [{"requirement_id": "r1",
                    "field_type": "hologram"}, {"field_type": "textual"}, 7], "created_at": "soon"},
                {"id": "s2", "order_request_id": "other"}, {"order_request_id": "o1"}]}),
        ),
        "GET /v2/requirement_groups" => (200, json!([{"id": "g1", "status": "no-longer-eligible"}, {"status": "approved"}])),
        "GET /v2/requirement_groups/wrapped" => (200, json!({"data": {"id": "wrapped", "status": "APPROVED"}})),
        "GET /v2/requirement_groups/gone" => error(404, "10005"),
        "GET /v2/regulatory_requirements" if query.contains_key("filter[phone_number]") => (200, json!({"data": []})),
        "GET /v2/regulatory_requirements" => (
            200,
            json!({"data": [
                {"country_code": "ma", "phone_number_type": "mobile", "action": "ordering", "regulatory_requirements": [
                    {"id": "r1", "field_type": "address_id", "acceptance_criteria": {"min_length": "5", "max_length": 10,
                     "acceptable_values": null}}, {"id": "r2", "acceptance_criteria": "none"}, {"name": "without id"}]},
                {"country_code": "FR", "phone_number_type": "mobile", "action": "ordering"}]}),
        ),
        "PATCH /v2/sub_number_orders/s1" => {
            let value = &body["regulatory_requirements"][0]["field_value"];
            (422, json!({"errors": [{"code": "10015", "title": "No", "detail": format!("{value} is no passport number")}]}))
        }
        other => panic!("{other}"),
    })
    .await;
    let subs = client.sub_orders("o1").await.unwrap();
    assert_eq!(subs.len(), 1);
    assert_eq!(subs[0].status, Some(OrderStatus::Unknown("partial_success".into())));
    assert_eq!(subs[0].requirements[0].field_type, Some(FieldKind::Unknown("hologram".into())));
    assert_eq!((subs[0].requirements.len(), subs[0].requirements_met, subs[0].created_at), (1, None, None));

    let groups = client.requirement_groups(&ma(), NumberType::Mobile).await.unwrap();
    assert_eq!((groups.len(), &groups[0].status), (1, &Some(RequirementStatus::NoLongerEligible)));
    assert!(client.requirement_group("wrapped").await.unwrap().unwrap().is_approved());
    assert_eq!(client.requirement_group("gone").await.unwrap(), None);

    let rules = client.requirements(&ma(), NumberType::Mobile, &RequirementAction::Ordering).await.unwrap();
    assert_eq!((rules.len(), rules[0].requirements.len()), (1, 2));
    let (first, second) = (&rules[0].requirements[0], &rules[0].requirements[1]);
    assert_eq!(first.field_type, Some(FieldKind::Address));
    let criteria = first.criteria.as_ref().unwrap();
    assert_eq!((criteria.min_length, criteria.max_length), (Some(5), Some(10)));
    assert_eq!(second.criteria, None);
    assert_eq!(client.requirements_of(&e164("+212612345678")).await.unwrap(), []);

    let values = [("r1".to_owned(), crate::domain::Pii("BK778899".to_owned()))];
    let refused = client.hand_in(OrderPart::SubOrder("s1"), &values).await.unwrap_err();
    assert!(!format!("{refused:?} {refused}").contains("BK778899"), "{refused}");
    let calls = calls.lock().unwrap();
    assert_eq!(calls.last().unwrap().2["regulatory_requirements"][0]["field_value"], "BK778899");
}

#[tokio::test]
async fn detail_records_are_paged_by_50_and_compared_here() {
    let (client, calls) = client(|_, query, _| {
        let page: u64 = query["page[number]"].parse().unwrap();
        let record = |n: u64| {
            json!({"id": n.to_string(), "record_type": "call-control", "direction": if n.is_multiple_of(10) { "outbound" } else { "inbound" },
                "cld": if n.is_multiple_of(2) { "+212612345678" } else { "+212600000000" }, "started_at": "2026-11-24T10:00:00Z"})
        };
        let old = json!({"id": "old", "cld": "+212612345678", "direction": "inbound", "started_at": "2026-11-01T10:00:00Z"});
        let mut data: Vec<Value> = ((page - 1) * 50..page * 50).map(record).collect();
        data[1] = old;
        (200, json!({"data": data, "meta": {"total_pages": 2, "page_number": page}}))
    })
    .await;
    let since: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
    let number = e164("+212612345678");
    let found = client.detail_records(&RecordKind::CallControl, since, Some(&number)).await.unwrap();
    assert_eq!(found.len(), 40);
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].1["page[size]"].as_str(), calls[0].1["filter[record_type]"].as_str()), ("50", "call-control"));
    assert_eq!(calls[0].1["filter[started_at][gte]"], "2026-11-24T09:00:00Z");
}

#[test]
fn what_keeps_a_call_from_the_application() {
    for (settings, want) in [
        (json!({"id": "1"}), None),
        (
            json!({"id": "1", "call_forwarding": {"call_forwarding_enabled": false, "forwards_to": "+1"},
            "translated_number": "", "inbound_call_screening": "flag_calls"}),
            None,
        ),
        (json!({"id": "1", "call_forwarding": {"call_forwarding_enabled": true}}), Some(Diversion::Forwarded)),
        (
            json!({"id": "1", "call_forwarding": "on", "translated_number": "+212600000000"}),
            Some(Diversion::Translated),
        ),
        (
            json!({"id": "1", "call_forwarding": null, "inbound_call_screening": "reject_calls"}),
            Some(Diversion::Screened),
        ),
        (json!({"id": "1", "inbound_call_screening": "a_new_word"}), None),
    ] {
        let read: VoiceSettings = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(read.diversion(), want, "{settings}");
    }
}
