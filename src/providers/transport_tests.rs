//! The transport against a real server on loopback: what is sent once, what is repeated, what is never shown.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Request as AxumRequest;
use axum::http::{HeaderMap, Response};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::base_url::BaseUrl;
use super::captured::Captured;
use super::error::{Effect, ErrorClass, ProviderError};
use super::http::Http;
use super::reason::Reason;
use super::request::{Operation, Request};
use super::telnyx::errors::DIALECT;
use super::transport::Transport;

const MARKER: &str = "KEYmarker0123456789abcdefghijklmnop";

type Answer = Arc<dyn Fn(u32, &str, &HeaderMap, &str) -> Response<AxumBody> + Send + Sync>;

/// A server that counts requests and answers by a function of (how many came before, path and query, headers, body).
struct Server {
    url: String,
    requests: Arc<AtomicU32>,
}

impl Server {
    async fn start(answer: impl Fn(u32, &str, &HeaderMap, &str) -> Response<AxumBody> + Send + Sync + 'static) -> Self {
        let (answer, requests): (Answer, _) = (Arc::new(answer), Arc::new(AtomicU32::new(0)));
        let counter = requests.clone();
        let app = Router::new().fallback(move |request: AxumRequest| {
            let (answer, counter) = (answer.clone(), counter.clone());
            async move {
                let before = counter.fetch_add(1, Ordering::SeqCst);
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
                answer(before, &parts.uri.to_string(), &parts.headers, &String::from_utf8_lossy(&body))
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v2", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, requests }
    }

    fn count(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn respond(status: u16, content_type: &str, body: impl Into<AxumBody>) -> Response<AxumBody> {
    Response::builder().status(status).header("content-type", content_type).body(body.into()).unwrap()
}

fn transport(url: &str) -> Transport {
    transport_over(&Http::new().unwrap(), url)
}

fn transport_over(http: &Http, url: &str) -> Transport {
    Transport::new(http, BaseUrl::parse(url).unwrap(), &DIALECT, MARKER.to_owned().into(), Vec::new(), Vec::new())
}

fn short(effect: Effect) -> Operation {
    Operation {
        name: "test",
        effect,
        timeout: Duration::from_millis(300),
        max_bytes: 1024 * 1024,
        ..Operation::read("test")
    }
}

fn normal(effect: Effect) -> Operation {
    Operation { timeout: Duration::from_secs(20), ..short(effect) }
}

async fn call(url: &str, operation: Operation) -> Result<Value, ProviderError> {
    transport(url).json(Request::new(operation, Method::POST, &["thing"]).json(json!({"a": 1}))).await
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_, path, _, _| {
        assert!(!path.contains("stolen"), "followed to {path}");
        let mut answer = respond(307, "text/html", "moved");
        answer.headers_mut().insert("location", "/stolen".parse().unwrap());
        answer
    })
    .await;
    let read = call(&server.url, normal(Effect::Read)).await.unwrap_err();
    assert_eq!((read.class, read.reason), (ErrorClass::NeedsHuman, Reason::Redirected));
    let write = call(&server.url, normal(Effect::Write)).await.unwrap_err();
    assert_eq!((write.class, write.reason), (ErrorClass::Unknown, Reason::Redirected));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn reads_are_repeated_and_writes_never() {
    for (effect, want_requests, want_class) in [
        (Effect::Read, 3, ErrorClass::Transient),
        (Effect::Set, 1, ErrorClass::Transient),
        (Effect::Write, 1, ErrorClass::Unknown),
    ] {
        let server = Server::start(|_, _, _, _| respond(503, "text/plain", "busy")).await;
        let error = call(&server.url, normal(effect)).await.unwrap_err();
        assert_eq!((server.count(), error.class), (want_requests, want_class), "{effect:?}");
    }
    let server = Server::start(|_, _, _, _| respond(503, "text/plain", "busy")).await;
    call(&server.url, normal(Effect::Read).once()).await.unwrap_err();
    assert_eq!(server.count(), 1, "a pace of its own");
    let healing = Server::start(|before, _, _, _| match before {
        0 | 1 => respond(502, "text/html", "<html>"),
        _ => respond(200, "application/json", r#"{"ok": true}"#),
    })
    .await;
    assert_eq!(call(&healing.url, normal(Effect::Read)).await.unwrap(), json!({"ok": true}));
}

#[tokio::test]
async fn who_does_not_lead_reads_and_changes_nothing() {
    let server = Server::start(|_, _, _, _| respond(200, "application/json", "{}")).await;
    let http = Http::new().unwrap().writing_while(Arc::new(|| false));
    for (effect, sent) in [(Effect::Read, true), (Effect::Set, false), (Effect::Write, false)] {
        let request = Request::new(normal(effect), Method::POST, &["thing"]).json(json!({"a": 1}));
        let result = transport_over(&http, &server.url).json::<Value>(request).await;
        let held_back = result.as_ref().err().map(|e| (e.was_not_sent(), e.class, e.reason));
        let want = (!sent).then_some((true, ErrorClass::Transient, Reason::NotLeading));
        assert_eq!(held_back, want, "{effect:?}");
    }
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_provider_that_says_when_is_not_asked_before() {
    let server = Server::start(|_, _, _, _| {
        let mut answer = respond(503, "text/plain", "");
        answer.headers_mut().insert("retry-after", "7".parse().unwrap());
        answer
    })
    .await;
    let error = call(&server.url, normal(Effect::Read)).await.unwrap_err();
    assert_eq!((server.count(), error.retry_after), (1, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let server = Server::start(|_, _, _, _| respond(200, "application/json", vec![b' '; 2 * 1024 * 1024])).await;
    for (effect, class) in [(Effect::Read, ErrorClass::Transient), (Effect::Write, ErrorClass::Unknown)] {
        let error = call(&server.url, normal(effect)).await.unwrap_err();
        assert_eq!((error.class, error.reason), (class, Reason::AnswerTooLarge));
    }
}

#[tokio::test]
async fn what_is_not_json_becomes_a_clean_error() {
    for status in [200, 400, 403, 404, 502] {
        let server = Server::start(move |_, _, headers, _| {
            let token = headers["authorization"].to_str().unwrap();
            respond(status, "text/html", format!("<html><h1>Bad gateway</h1> for {token} {}", "x".repeat(5000)))
        })
        .await;
        for (effect, class) in [(Effect::Read, ErrorClass::Transient), (Effect::Write, ErrorClass::Unknown)] {
            let error = call(&server.url, normal(effect)).await.unwrap_err();
            let wanted = if status == 403 && effect == Effect::Read { ErrorClass::NeedsHuman } else { class };
            assert_eq!(error.class, wanted, "{status} {effect:?}");
            assert!(error.message.contains("<html><h1>Bad gateway</h1> for Bearer ***"), "{status}: {}", error.message);
            assert!(error.to_string().len() < 500, "{error}");
        }
    }
}

#[tokio::test]
async fn truncated_json_is_not_taken_for_less() {
    let server = Server::start(|_, _, _, _| respond(200, "application/json", r#"{"data": [{"id": "1"}"#)).await;
    let error = call(&server.url, normal(Effect::Write)).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Unknown, Reason::UnreadableAnswer));
}

#[tokio::test]
async fn silence_is_unknown_for_writes() {
    // Accepts and never answers; counts connections.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicU32::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    for (effect, class) in [(Effect::Write, ErrorClass::Unknown), (Effect::Read, ErrorClass::Transient)] {
        let started = std::time::Instant::now();
        let error = call(&url, short(effect)).await.unwrap_err();
        assert_eq!((error.class, error.reason), (class, Reason::NoAnswer));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2, "a time-out is not repeated: it has used all the time there is");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_is_unknown_for_writes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicU32::new(0));
    let counter = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":").await;
        }
    });
    let error = call(&url, normal(Effect::Write)).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Unknown, Reason::NoAnswer));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    let error = call(&url, normal(Effect::Read)).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::NoAnswer));
    assert_eq!(requests.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    // A port that was free a moment ago.
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let heard = calls.clone();
    let http = Http::new().unwrap().with_hook(Arc::new(move |call| heard.lock().unwrap().push(*call)));
    let transport =
        Transport::new(&http, BaseUrl::parse(&url).unwrap(), &DIALECT, MARKER.to_owned().into(), vec![], vec![]);
    for (effect, attempts) in [(Effect::Write, 1), (Effect::Read, 3)] {
        calls.lock().unwrap().clear();
        let request = Request::new(normal(effect), Method::GET, &["thing"]);
        let error = transport.json::<Value>(request).await.unwrap_err();
        assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::Unreachable));
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), attempts);
        assert!(calls.iter().all(|c| c.outcome == "transient" && c.http_status.is_none() && c.operation == "test"));
    }
}

/// The marker token, a code and a signed URL come back in every way a server could send them; nothing may pass.
#[tokio::test]
async fn no_secret_in_errors_or_logs() {
    let http = Http::new().unwrap();
    let log = Captured::begin();
    for status in [200, 302, 400, 401, 403, 404, 409, 422, 429, 500, 503] {
        for shape in 0..4 {
            let server = Server::start(move |_, path, headers, body| {
                let token = headers["authorization"].to_str().unwrap();
                let echo = format!("{token} {path} {body}");
                let text = match shape {
                    0 => json!({"errors": [{"code": "10015", "title": echo, "detail": echo}]}).to_string(),
                    1 => json!({"errors": [{"code": token, "detail": token.replace("Bearer ", "")}]}).to_string(),
                    2 => json!({"message": echo}).to_string(),
                    _ => echo,
                };
                let mut answer = respond(status, token.trim_start_matches("Bearer "), text);
                answer.headers_mut().insert("x-request-id", headers["authorization"].clone());
                answer
            })
            .await;
            for effect in [Effect::Set, Effect::Write] {
                let request = Request::new(normal(effect), Method::POST, &["thing"])
                    .query("signature", "SIGmarker")
                    .json(json!({"code": "271828"}))
                    .secret("271828")
                    .secret("SIGmarker");
                let Err(error) = transport_over(&http, &server.url).json::<Vec<u8>>(request).await else {
                    panic!("{status}")
                };
                let shown = format!("{error} {error:?}");
                for secret in [MARKER, "271828", "SIGmarker"] {
                    assert!(!shown.contains(secret), "{status} {shape}: {shown}");
                }
            }
        }
    }
    let log = log.end();
    assert!(log.contains("provider call"), "the log was not captured");
    for secret in [MARKER, "271828", "SIGmarker", "signature"] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}
