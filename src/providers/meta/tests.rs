//! The client against a small server that answers as the fact sheets say: cursors, missing fields, success or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Query, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::domain::{E164, OtpCode, PhoneNumberId, Pin, WabaId};
use crate::providers::ErrorClass;

type Call = (String, HashMap<String, String>, String, Value);
type Calls = Arc<Mutex<Vec<Call>>>;

async fn client(
    answer: impl Fn(&str, &HashMap<String, String>, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> (Client, Calls) {
    let (answer, calls) = (Arc::new(answer), Calls::default());
    let seen = calls.clone();
    let app = Router::new().fallback(move |Query(query): Query<HashMap<String, String>>, request: Request| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let call = format!("{} {}", request.method(), request.uri().path());
            let token = request.headers()["authorization"].to_str().unwrap_or("").to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let (status, reply) = answer(&call, &query, &body);
            seen.lock().unwrap().push((call, query, token, body));
            (StatusCode::from_u16(status).unwrap(), Json(reply)).into_response()
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let app_id = AppId::parse("7700").unwrap();
    let secret = "secret".to_owned().into();
    let client = Client::new(&url, "v25.0", "token".to_owned().into(), &secret, app_id, &Http::new().unwrap());
    (client.unwrap(), calls)
}

fn waba() -> WabaId {
    WabaId::parse("104").unwrap()
}

fn id() -> PhoneNumberId {
    PhoneNumberId::parse("900").unwrap()
}

#[tokio::test]
async fn the_list_follows_cursors_and_every_call_is_proven() {
    let (client, calls) = client(|_, query, _| match query.get("after").map(String::as_str) {
        None => (
            200,
            json!({"data": [{"id": "1", "display_phone_number": "+212 612-345678", "status": "CONNECTED",
                "platform_type": "CLOUD_API", "code_verification_status": "EXPIRED", "quality_rating": "GREEN",
                "name_status": "A_NEW_WORD", "throughput": {"level": "STANDARD"},
                "webhook_configuration": {"application": "https://x"}}],
            "paging": {"cursors": {"before": "a", "after": "b"}, "next": "https://graph/next?access_token=token"}}),
        ),
        Some("b") => (
            200,
            json!({"data": [{"id": 2, "display_phone_number": "1555"}],
            "paging": {"cursors": {"before": "b", "after": "c"}}}),
        ),
        Some(other) => panic!("{other}"),
    })
    .await;
    // An id that is a number instead of a text is not one that can be used.
    assert_eq!(client.phone_numbers(&waba()).await.unwrap_err().reason, Reason::UnreadableAnswer);
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    for (call, query, token, _) in calls.iter() {
        assert_eq!((call.as_str(), token.as_str()), ("GET /v25.0/104/phone_numbers", "Bearer token"));
        let want = proof(&"secret".to_owned().into(), &"token".to_owned().into());
        assert_eq!(query["appsecret_proof"], want.expose_secret());
        assert_eq!(query["limit"], "100");
    }
}

/// Absence from a list is proof, so where it ends must be certain.
#[tokio::test]
async fn a_list_ends_where_meta_says_so() {
    let entry = |id: &str| json!({"id": id, "display_phone_number": format!("+21261234567{id}")});
    let (client, _) = client(move |_, query, _| {
        let page = match query.get("after").map(String::as_str) {
            None => json!({"data": [entry("1")], "paging": {"cursors": {"after": "b"}, "next": "https://graph/b"}}),
            // Short or empty pages come in the middle too.
            Some("b") => json!({"data": [], "paging": {"cursors": {"after": "c"}, "next": "https://graph/c"}}),
            Some(_) => json!({"data": [entry("2")], "paging": {"cursors": {"after": "d"}}}),
        };
        (200, page)
    })
    .await;
    assert_eq!(client.phone_numbers(&waba()).await.unwrap().len(), 2);
    for paging in [
        json!({"next": "https://graph/b"}),
        json!({"next": "https://graph/b", "cursors": {"before": "a"}}),
        json!({"next": "https://graph/b", "cursors": {"after": "same"}}),
    ] {
        let (client, _) = self::client(move |_, _, _| (200, json!({"data": [entry("1")], "paging": paging}))).await;
        let error = client.phone_numbers(&waba()).await.unwrap_err();
        assert_eq!(error.reason, Reason::UnreadableAnswer, "{error}");
    }
}

#[tokio::test]
async fn a_number_reads_as_it_is_and_missing_is_not_no() {
    let (client, calls) = client(|_, query, _| {
        for field in ["health_status", "whatsapp_business_manager_messaging_limit"] {
            if query["fields"].split(',').any(|f| f == field) {
                let message = format!("(#100) Tried accessing nonexisting field ({field}) on node type (X)");
                return (400, json!({"error": {"message": message, "code": 100, "type": "OAuthException"}}));
            }
        }
        (
            200,
            json!({"id": "900", "display_phone_number": "+212 612-345678", "status": "PENDING",
            "name_status": "A_NEW_WORD", "is_on_biz_app": "?", "last_onboarded_time": "2026-11-24T10:00:00+0000",
            "webhook_configuration": {"application": "https://app", "phone_number": "https://foreign"}}),
        )
    })
    .await;
    let number = client.phone_number(&id()).await.unwrap().unwrap();
    assert_eq!(number.number(), Some(E164::parse("+212612345678").unwrap()));
    assert_eq!(number.name_status, Some(NameStatus::Unknown("A_NEW_WORD".into())));
    assert_eq!((&number.quality_rating, number.is_on_biz_app, &number.health_status), (&None, None, &None));
    assert!(number.last_onboarded_time.is_some() && !number.is_connected());
    assert_eq!(number.webhook_override(), Some("https://foreign"));
    assert_eq!(calls.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn effects_send_what_meta_wants() {
    let (client, calls) = client(|call, _, _| match call {
        "POST /v25.0/104/phone_numbers" => (200, json!({"id": "900"})),
        "POST /v25.0/900/deregister" => {
            (400, json!({"error": {"code": 100, "error_subcode": 2_207_051, "message": "x"}}))
        }
        _ => (200, json!({"success": true})),
    })
    .await;
    let number = E164::parse("+212612345678").unwrap();
    assert_eq!(client.create_phone_number(&waba(), &number, "Atlas by R").await.unwrap(), id());
    client.request_code(&id(), &CodeMethod::Voice, "en_US").await.unwrap();
    client.verify_code(&id(), &OtpCode::parse("123-456").unwrap()).await.unwrap();
    client.register(&id(), &Pin::parse("654321").unwrap()).await.unwrap();
    client.set_pin(&id(), &Pin::parse("654321").unwrap()).await.unwrap();
    client.deregister(&id()).await.unwrap();
    client.subscribe(&waba()).await.unwrap();
    let profile = Profile { about: Some("Hi".into()), websites: vec!["https://a".into()], ..Profile::default() };
    client.update_profile(&id(), &profile).await.unwrap();
    let calls = calls.lock().unwrap();
    let sent: Vec<(&str, &Value)> = calls.iter().map(|(call, _, _, body)| (call.as_str(), body)).collect();
    assert_eq!(
        sent,
        [
            (
                "POST /v25.0/104/phone_numbers",
                &json!({"cc": "212", "phone_number": "612345678", "verified_name": "Atlas by R"})
            ),
            ("POST /v25.0/900/request_code", &json!({"code_method": "VOICE", "language": "en_US"})),
            ("POST /v25.0/900/verify_code", &json!({"code": "123456"})),
            ("POST /v25.0/900/register", &json!({"messaging_product": "whatsapp", "pin": "654321"})),
            ("POST /v25.0/900", &json!({"pin": "654321"})),
            ("POST /v25.0/900/deregister", &json!({})),
            ("POST /v25.0/104/subscribed_apps", &json!({})),
            (
                "POST /v25.0/900/whatsapp_business_profile",
                &json!({"messaging_product": "whatsapp", "about": "Hi", "websites": ["https://a"]})
            ),
        ]
    );
}

#[tokio::test]
async fn a_write_that_does_not_say_success_is_unknown() {
    let (client, calls) = client(|_, _, _| (200, json!({"success": false}))).await;
    let error = client.register(&id(), &Pin::parse("654321").unwrap()).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Unknown, Reason::UnreadableAnswer));
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn tokens_are_inspected_as_the_app() {
    let (client, calls) = client(|call, _, _| match call {
        "GET /v25.0/debug_token" => (
            200,
            json!({"data": {"is_valid": true, "app_id": "7700", "type": "SYSTEM_USER",
            "scopes": ["whatsapp_business_management"], "expires_at": 0}}),
        ),
        "GET /v25.0/104/subscribed_apps" => (
            200,
            json!({"data": [{"whatsapp_business_api_data":
            {"id": "7700", "name": "App", "link": "x"}, "override_callback_uri": "https://foreign"}]}),
        ),
        "GET /v25.0/900/whatsapp_business_profile" => {
            (200, json!({"data": [{"business_profile": {"about": "Hi", "websites": ["https://a"]}}]}))
        }
        _ => {
            (200, json!({"id": "104", "business_verification_status": "VERIFIED", "account_review_status": "APPROVED"}))
        }
    })
    .await;
    let info = client.debug_token().await.unwrap();
    assert!(info.is_valid && info.expires_at == Some(0));
    assert_eq!(calls.lock().unwrap()[0].2, "Bearer 7700|secret");
    let apps = client.subscribed_apps(&waba()).await.unwrap();
    assert_eq!((apps[0].id.as_str(), apps[0].override_callback_uri.as_deref()), ("7700", Some("https://foreign")));
    assert_eq!(client.profile(&id()).await.unwrap().about.as_deref(), Some("Hi"));
    let waba = client.waba(&waba()).await.unwrap();
    assert_eq!(waba.business_verification_status, Some(VerificationStatus::Verified));
}

#[tokio::test]
async fn every_call_is_proven_uploads_and_calls_of_the_app_too() {
    let (client, calls) = client(|call, query, _| match call {
        "POST /v25.0/7700/uploads" => (200, json!({"id": "upload:MTph?sig=ARZ"})),
        "POST /v25.0/upload:MTph" => {
            assert_eq!(query["sig"], "ARZ");
            (200, json!({"h": "4:handle"}))
        }
        "GET /v25.0/7700/subscriptions" => (200, json!({"data": []})),
        "GET /v25.0/104" => (200, json!({"id": "104", "currency": "USD"})),
        _ => (200, json!({"success": "true"})),
    })
    .await;
    let callback = Callback::new("https://hooks.example/webhook", "verify-me".to_owned().into()).unwrap();
    let photo = Photo::new(b"\x89PNG\r\n\x1a\nrest".to_vec()).unwrap();
    client.set_profile_photo(&id(), &photo).await.unwrap();
    client.override_number_webhook(&id(), &callback).await.unwrap();
    client.clear_webhook_override(&id()).await.unwrap();
    client.override_account_webhook(&waba(), &callback).await.unwrap();
    client.app_subscriptions().await.unwrap();
    client.subscribe_app(&callback, &["messages", "security"]).await.unwrap();
    let at = |secs| jiff::Timestamp::from_second(secs).unwrap();
    let query = PricingQuery { start: at(0), end: at(86_400), granularity: Granularity::Daily, numbers: Vec::new() };
    assert_eq!(client.pricing_analytics(&waba(), &query).await.unwrap().points, []);
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 9);
    let secret: SecretString = "secret".to_owned().into();
    for (call, query, token, _) in calls.iter() {
        let (scheme, token) = token.split_once(' ').unwrap();
        let app = call.ends_with("/subscriptions");
        assert_eq!(
            (scheme, app),
            (if call.contains("upload:") { "OAuth" } else { "Bearer" }, token == "7700|secret"),
            "{call}"
        );
        assert_eq!(query["appsecret_proof"], proof(&secret, &token.to_owned().into()).expose_secret(), "{call}");
    }
    let sent: Vec<(&str, &Value)> = calls.iter().map(|(call, _, _, body)| (call.as_str(), body)).collect();
    let hooks = json!({"override_callback_uri": "https://hooks.example/webhook", "verify_token": "verify-me"});
    assert_eq!(
        sent[2..7],
        [
            (
                "POST /v25.0/900/whatsapp_business_profile",
                &json!({"messaging_product": "whatsapp", "profile_picture_handle": "4:handle"})
            ),
            ("POST /v25.0/900", &json!({ "webhook_configuration": hooks })),
            ("POST /v25.0/900", &json!({"webhook_configuration": {"override_callback_uri": ""}})),
            ("POST /v25.0/104/subscribed_apps", &hooks),
            ("GET /v25.0/7700/subscriptions", &Value::Null),
        ]
    );
    assert_eq!(sent[7].1["fields"], "messages,security");
    assert_eq!(calls[0].1["file_length"], "12");
}

#[tokio::test]
async fn a_secret_of_a_request_does_not_come_back_in_its_refusal() {
    let (client, _) = client(|call, _, body| {
        let echo = format!("bad request: {call} {body}");
        (400, json!({"error": {"code": 100, "message": echo, "type": "OAuthException"}}))
    })
    .await;
    let callback = Callback::new("https://hooks.example/webhook", "verify-me".to_owned().into()).unwrap();
    for error in [
        client.override_number_webhook(&id(), &callback).await.unwrap_err(),
        client.override_account_webhook(&waba(), &callback).await.unwrap_err(),
        client.subscribe_app(&callback, &["messages"]).await.unwrap_err(),
    ] {
        let text = format!("{error:?} {error}");
        assert!(!text.contains("verify-me") && text.contains("hooks.example"), "{text}");
    }
}

#[tokio::test]
async fn uploads_and_analytics_that_make_no_sense_are_errors() {
    for (opened, sent) in [
        (json!({"id": "https://evil.example/x"}), json!({"h": "4:x"})),
        (json!({"id": "upload:../104"}), json!({"h": "4:x"})),
        (json!({}), json!({"h": "4:x"})),
        (json!({"id": "upload:MTph"}), json!({"id": "upload:MTph", "file_offset": 4})),
    ] {
        let last = opened.clone();
        let (client, _) =
            client(move |call, _, _| (200, if call.ends_with("/uploads") { opened.clone() } else { sent.clone() }))
                .await;
        let photo = Photo::new(b"\xff\xd8\xff\xe0".to_vec()).unwrap();
        let error = client.set_profile_photo(&id(), &photo).await.unwrap_err();
        assert_eq!(error.reason, Reason::UnreadableAnswer, "{last}");
    }
    let (client, _) = client(|_, _, _| {
        (200, json!({"id": "104", "pricing_analytics": {"data": [], "paging": {"next": "https://graph/next?access_token=t"}}}))
    })
    .await;
    let at = |secs| jiff::Timestamp::from_second(secs).unwrap();
    let query = PricingQuery { start: at(0), end: at(86_400), granularity: Granularity::Monthly, numbers: Vec::new() };
    let error = client.pricing_analytics(&waba(), &query).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Refused, Reason::AnswerTooLarge));
}

#[test]
fn a_number_is_read_with_new_words_and_with_both_names_of_its_platform() {
    for (more, connected, limit) in [
        (json!({"platform_type": "CLOUD_API", "host_platform": "CLOUD_API"}), true, None),
        (json!({"host_platform": "cloud_api", "messaging_limit_tier": "TIER_1K"}), true, Some("TIER_1K")),
        (
            json!({"host_platform": "ON_PREMISE", "whatsapp_business_manager_messaging_limit": "TIER_OF_SORTS",
            "messaging_limit_tier": "TIER_1K"}),
            false,
            Some("TIER_OF_SORTS"),
        ),
        (
            json!({"platform_type": {}, "throughput": {"level": "WARP"}, "messaging_limit_tier": 250,
            "health_status": {"can_send_message": "PERHAPS", "entities": [{"entity_type": "GALAXY"}, 7]}}),
            false,
            None,
        ),
    ] {
        let mut entry = json!({"id": "900", "status": "CONNECTED"});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let number: PhoneNumber = serde_json::from_value(entry).unwrap();
        assert_eq!((number.is_connected(), number.messaging_limit()), (connected, limit), "{more}");
        if let Some(health) = number.health_status {
            assert_eq!(health.can_send_message, Some(CanSend::Unknown("PERHAPS".into())));
            assert_eq!(health.entities.len(), 1);
            assert_eq!(health.entities[0].entity_type, Some(HealthEntityKind::Unknown("GALAXY".into())));
            assert_eq!(number.throughput.unwrap().level, Some(ThroughputLevel::Unknown("WARP".into())));
        }
    }
}

/// The controller's reconcile futures must be `Send`.
#[tokio::test]
async fn futures_are_send() {
    fn send<T: Send>(_: T) {}
    let (client, _) = client(|_, _, _| (200, json!({}))).await;
    send(client.phone_numbers(&waba()));
    send(client.phone_number(&id()));
    send(client.debug_token());
}

#[test]
fn proof_is_the_documented_hmac() {
    // printf %s token | openssl dgst -sha256 -hmac secret
    let got = proof(&"secret".to_owned().into(), &"token".to_owned().into());
    assert_eq!(got.expose_secret(), PROOF);
}
const PROOF: &str = "e941110e3d2bfe82621f0e3e1434730d7305d106c5f68c87165d0b27a4611a4a";
