//! The webhook without a store: what is refused before one is needed, in the documented order.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::domain::SystemClock;
use crate::router::signature::sign;
use crate::telemetry::Registry;

const EMPTY: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;

fn app() -> Router {
    counted().0
}

/// The webhook and what it counts.
fn counted() -> (Router, Metrics) {
    let portfolios = Portfolios::from_secret(&"old,new".into()).unwrap();
    let metrics = Metrics::register(&mut Registry::default());
    let webhook = Webhook::new("verify".into(), portfolios, None, metrics.clone(), Arc::new(SystemClock));
    (webhook.app(), metrics)
}

async fn get(query: &str) -> (StatusCode, String, Option<String>) {
    let request = Request::get(format!("/webhook?{query}")).body(Body::empty()).unwrap();
    let response = app().oneshot(request).await.unwrap();
    let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap(), kind)
}

async fn post(body: Vec<u8>, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::post("/webhook");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_challenge_is_echoed_to_whoever_knows_the_token() {
    let good = "hub.mode=subscribe&hub.verify_token=verify&hub.challenge=%3Cb%3E1158201444";
    let (status, body, kind) = get(good).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "<b>1158201444"));
    assert_eq!(kind.as_deref(), Some("text/plain; charset=utf-8"));
    for bad in [
        "",
        "hub.mode=subscribe&hub.verify_token=verify",
        "hub.mode=subscribe&hub.verify_token=Verify&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=&hub.challenge=1",
        "hub.mode=unsubscribe&hub.verify_token=verify&hub.challenge=1",
        "hub.verify_token=verify&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=verify&hub.verify_token=verify&hub.challenge=1",
    ] {
        assert_eq!(get(bad).await.0, StatusCode::FORBIDDEN, "{bad}");
    }
}

#[tokio::test]
async fn refusals_in_their_order() {
    let signed = |body: &[u8]| sign(&"new".into(), body);
    let exact = format!("{EMPTY}{}", " ".repeat(BODY_LIMIT - EMPTY.len())).into_bytes();
    let over = [exact.as_slice(), b" "].concat();
    let wrong = sign(&"other".into(), EMPTY.as_bytes());
    let good = signed(EMPTY.as_bytes());
    let header = "x-hub-signature-256";
    // Without a store what is good ends with 503, so 503 here means "passed all checks".
    type Row<'a> = (&'a str, Vec<u8>, Vec<(&'a str, &'a str)>, u16);
    let table: Vec<Row<'_>> = vec![
        ("good", EMPTY.into(), vec![(header, &good)], 503),
        ("unsigned", EMPTY.into(), vec![], 401),
        ("wrongly signed", EMPTY.into(), vec![(header, &wrong)], 401),
        ("signed twice", EMPTY.into(), vec![(header, &good), (header, &good)], 401),
        ("encoded and unsigned", EMPTY.into(), vec![("content-encoding", "gzip")], 415),
        ("encoded and signed", EMPTY.into(), vec![("content-encoding", "gzip"), (header, &good)], 415),
        ("too large, encoded and unsigned", over.clone(), vec![("content-encoding", "gzip")], 413),
    ];
    for (name, body, headers, want) in table {
        let response = post(body, &headers).await;
        assert_eq!(response.status().as_u16(), want, "{name}");
        assert_eq!(response.headers().contains_key("retry-after"), want == 503, "{name}");
    }
    let signature = signed(&exact);
    assert_eq!(post(exact, &[(header, &signature)]).await.status(), 503, "exactly the limit is taken");
    let signature = signed(&over);
    assert_eq!(post(over, &[(header, &signature)]).await.status(), 413);
    for no_object in ["", "[]", "null", "{"] {
        let signature = signed(no_object.as_bytes());
        assert_eq!(post(no_object.into(), &[(header, &signature)]).await.status(), 400, "{no_object}");
        assert_eq!(post(no_object.into(), &[(header, &good)]).await.status(), 401, "{no_object}");
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_has_sent_nothing_malformed() {
    let (app, metrics) = counted();
    let parts = [Ok(EMPTY[..10].to_owned()), Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))];
    let body = Body::from_stream(futures::stream::iter(parts));
    app.oneshot(Request::post("/webhook").body(body).unwrap()).await.unwrap();
    let count = |result| metrics.requests.get_or_create(&crate::router::metrics::Outcome { result }).get();
    assert_eq!((count("aborted"), count("malformed")), (1, 0));
}
