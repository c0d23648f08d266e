//! The operator's transcriber and the download before it, against real servers on loopback: what exactly is sent, what is
//! understood, and that each way of failing has words of its own that tell nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::net::TcpListener;

use super::captured::Captured;
use super::error::{ErrorClass, ProviderError};
use super::http::Http;
use super::reason::Reason;
use super::sound::Sound;
use super::telnyx::Recording;
use super::transcriber::{Transcriber, without_token};

const TOKEN: &str = "stt-marker-0123456789abcdef";
const SIGNATURE: &str = "signaturemarker0123456789";
const CODE: &str = "314159";

type Asked = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// A server that answers all requests alike, and keeps them.
async fn server(answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> (String, Asked) {
    let asked = Asked::default();
    let keep = asked.clone();
    let app = Router::new().fallback(move |request: Request| {
        let (answer, keep) = (answer.clone(), keep.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 16 << 20).await.unwrap_or_default();
            keep.lock().unwrap().push((format!("{} {}", parts.method, parts.uri), parts.headers, body));
            answer()
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

fn respond(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

fn wav(length: usize) -> Vec<u8> {
    [b"RIFF\0\0\0\0WAVEfmt ".as_slice(), &vec![0x80; length]].concat()
}

fn recording(url: &str) -> Recording {
    let url = format!("{url}/media/r1.wav?signature={SIGNATURE}");
    serde_json::from_value(json!({"id": "r1", "download_urls": {"wav": url}})).unwrap()
}

async fn sound(http: &Http) -> Sound {
    let (url, _) = server(|| respond(200, "audio/wav", wav(100))).await;
    http.sound(&recording(&url)).await.map_err(|e| e.to_string()).unwrap()
}

async fn fetch(http: &Http, answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> ProviderError {
    let (url, asked) = server(answer).await;
    let error = http.sound(&recording(&url)).await.map(|_| ()).unwrap_err();
    assert_eq!(asked.lock().unwrap().len(), 1, "a download is tried once, and nothing is followed");
    error
}

fn transcriber(http: &Http, url: &str, model: Option<&str>) -> Transcriber {
    let token = Some(SecretString::from(TOKEN));
    Transcriber::new(&format!("{url}/v1/audio/transcriptions"), token, model.map(str::to_owned), http).unwrap()
}

async fn ask(http: &Http, answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> ProviderError {
    let sound = sound(http).await;
    let (url, asked) = server(answer).await;
    let error = transcriber(http, &url, None).transcribe(&sound).await.map(|_| ()).unwrap_err();
    assert_eq!(asked.lock().unwrap().len(), 1, "it is asked once, and nothing is followed");
    error
}

#[tokio::test]
async fn the_request_is_the_one_that_the_documentation_shows() {
    let http = Http::new().unwrap();
    let (telnyx, downloads) = server(|| respond(200, "binary/octet-stream", wav(1000))).await;
    let sound = http.sound(&recording(&telnyx)).await.map_err(|e| e.to_string()).unwrap();
    let (url, asked) = server(|| respond(200, "application/json", r#"{"text": " one two\n", "language": "en"}"#)).await;
    for model in [None, Some("base.en")] {
        let words = transcriber(&http, &url, model).transcribe(&sound).await.map_err(|e| e.to_string()).unwrap();
        assert_eq!(words.expose_secret(), " one two\n");
    }
    let none = Transcriber::new(&format!("{url}/plain?key=1"), None, None, &http).unwrap();
    none.transcribe(&sound).await.map_err(|e| e.to_string()).unwrap();

    let downloads = downloads.lock().unwrap();
    assert!(downloads[0].1.get("authorization").is_none(), "a token went to the carrier's storage");
    assert_eq!(downloads[0].0, format!("GET /media/r1.wav?signature={SIGNATURE}"));
    let asked = asked.lock().unwrap();
    let texts: Vec<String> = asked.iter().map(|(_, _, body)| String::from_utf8_lossy(body).into_owned()).collect();
    let field = |text: &str, name: &str, value: &str| text.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n"));
    for ((line, headers, body), text) in asked.iter().zip(&texts).take(2) {
        assert_eq!(line, "POST /v1/audio/transcriptions");
        assert_eq!(headers["authorization"].to_str().unwrap(), format!("Bearer {TOKEN}"));
        assert!(headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary="));
        assert!(field(text, "language", "en") && field(text, "response_format", "json"), "{text}");
        assert!(text.contains("name=\"file\"; filename=\"recording.wav\"\r\nContent-Type: audio/wav\r\n"), "{text}");
        let whole = wav(1000);
        assert!(body.windows(whole.len()).any(|part| part == whole), "the sound is not whole");
    }
    assert!(!texts[0].contains("\"model\"") && field(&texts[1], "model", "base.en"));
    assert_eq!(asked[2].0, "POST /plain?key=1");
    assert!(asked[2].1.get("authorization").is_none());
}

#[tokio::test]
async fn each_way_to_refuse_has_its_own_words() {
    let http = Http::new().unwrap();
    for (status, class, reason, says) in [
        (302, ErrorClass::NeedsHuman, Reason::Redirected, "redirects are not followed"),
        (400, ErrorClass::NeedsHuman, Reason::InvalidRequest, "set telnyx.transcriber.model"),
        (401, ErrorClass::NeedsHuman, Reason::TokenInvalid, "telnyx.transcriber.tokenSecretRef"),
        (403, ErrorClass::NeedsHuman, Reason::TokenInvalid, "telnyx.transcriber.tokenSecretRef"),
        (404, ErrorClass::NeedsHuman, Reason::NotFound, "write the whole address"),
        (405, ErrorClass::NeedsHuman, Reason::NotFound, "write the whole address"),
        (413, ErrorClass::NeedsHuman, Reason::InvalidRequest, "take files of 8 MiB"),
        (415, ErrorClass::NeedsHuman, Reason::InvalidRequest, "take WAV and MP3"),
        (422, ErrorClass::NeedsHuman, Reason::InvalidRequest, "set telnyx.transcriber.model"),
        (500, ErrorClass::Transient, Reason::ProviderUnavailable, "service's own log"),
        (503, ErrorClass::Transient, Reason::ProviderUnavailable, "service's own log"),
    ] {
        let error = ask(&http, move || {
            let mut answer = respond(status, "application/json", json!({"error": format!("heard {CODE}")}).to_string());
            answer.headers_mut().insert("location", "/stolen".parse().unwrap());
            answer
        })
        .await;
        assert_eq!((error.class, error.reason, error.http_status), (class, reason, Some(status)), "{status}");
        assert!(error.to_string().contains(says) && error.to_string().contains(&status.to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains(CODE), "{error:?}");
    }
    let busy = ask(&http, || {
        let mut answer = respond(429, "text/plain", "");
        answer.headers_mut().insert("retry-after", "7".parse().unwrap());
        answer
    })
    .await;
    assert_eq!(busy.class, ErrorClass::Throttled { retry_after: Some(Duration::from_secs(7)) });
}

#[tokio::test]
async fn what_is_no_answer_is_said_so() {
    let http = Http::new().unwrap();
    let large = || respond(200, "application/json", format!("{{\"text\": \"{}\"}}", "a".repeat(65 * 1024)));
    for (answer, reason, says) in [
        (respond(200, "text/html", format!("<html>{CODE}")), Reason::UnreadableAnswer, "docs/transcriber.md"),
        (respond(200, "application/json", format!("[\"{CODE}\"]")), Reason::UnreadableAnswer, "docs/transcriber.md"),
        (respond(200, "application/json", format!("{{\"text\": {CODE}}}")), Reason::UnreadableAnswer, "field text"),
        (
            respond(200, "application/json", format!("{{\"error\": \"{CODE}\"}}")),
            Reason::UnreadableAnswer,
            "field text",
        ),
        (respond(204, "application/json", ""), Reason::UnreadableAnswer, "field text"),
        (large(), Reason::AnswerTooLarge, "response_format=json"),
    ] {
        let once = Arc::new(Mutex::new(Some(answer)));
        let error = ask(&http, move || once.lock().unwrap().take().unwrap()).await;
        assert_eq!((error.class, error.reason), (ErrorClass::Transient, reason), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error} {error:?}").contains(CODE), "{error:?}");
    }
    let sound = sound(&http).await;
    let nothing = server(|| respond(200, "application/json", r#"{"text": ""}"#)).await.0;
    let words = transcriber(&http, &nothing, None).transcribe(&sound).await.map_err(|e| e.to_string()).unwrap();
    assert_eq!(words.expose_secret(), "", "a service that heard nothing has answered");

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = transcriber(&http, &format!("http://{closed}"), None).transcribe(&sound).await.map(|_| ()).unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::Unreachable), "{error}");
    assert!(error.to_string().contains("can be reached from the controller"), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let short = http.clone().within(Duration::from_millis(200));
    let error = transcriber(&short, &url, None).transcribe(&sound).await.map(|_| ()).unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::NoAnswer), "{error}");
    assert!(error.to_string().contains("smaller model"), "{error}");

    let broken = Transcriber::new(&nothing, Some(format!("{TOKEN}\n").into()), None, &http).unwrap();
    let error = broken.transcribe(&sound).await.map(|_| ()).unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::NeedsHuman, Reason::TokenInvalid), "{error}");
    assert!(error.to_string().contains("can't be sent") && !error.to_string().contains(TOKEN), "{error}");

    let follower = Http::new().unwrap().writing_while(Arc::new(|| false));
    let error = transcriber(&follower, &nothing, None).transcribe(&sound).await.map(|_| ()).unwrap_err();
    assert!(error.was_not_sent(), "{error}");

    let error = without_token("the Secret stt in namespace platform has no usable key token");
    assert_eq!((error.class, error.reason), (ErrorClass::NeedsHuman, Reason::TokenInvalid), "{error}");
    assert!(error.to_string().contains("create it"), "{error}");
}

#[tokio::test]
async fn only_sound_is_taken_for_sound() {
    let http = Http::new().unwrap();
    for (answer, class, reason) in [
        (respond(200, "text/html", wav(10)), ErrorClass::NeedsHuman, Reason::UnreadableAnswer),
        (respond(200, "application/xml", "<Error/>"), ErrorClass::NeedsHuman, Reason::UnreadableAnswer),
        (respond(200, "audio/wav", "<html>"), ErrorClass::NeedsHuman, Reason::UnreadableAnswer),
        (respond(200, "audio/wav", ""), ErrorClass::NeedsHuman, Reason::UnreadableAnswer),
        (respond(200, "audio/wav", wav(8 << 20)), ErrorClass::NeedsHuman, Reason::AnswerTooLarge),
        (respond(206, "audio/wav", wav(10)), ErrorClass::Transient, Reason::ProviderUnavailable),
        (respond(403, "application/xml", SIGNATURE), ErrorClass::Transient, Reason::PermissionDenied),
        (respond(404, "application/xml", SIGNATURE), ErrorClass::Transient, Reason::NotFound),
        (respond(503, "application/xml", SIGNATURE), ErrorClass::Transient, Reason::ProviderUnavailable),
        (
            Response::builder().status(307).header("location", "/stolen").body(Body::empty()).unwrap(),
            ErrorClass::NeedsHuman,
            Reason::Redirected,
        ),
    ] {
        let once = Arc::new(Mutex::new(Some(answer)));
        let error = fetch(&http, move || once.lock().unwrap().take().unwrap()).await;
        assert_eq!((error.class, error.reason), (class, reason), "{error}");
        assert!(!format!("{error} {error:?}").contains(SIGNATURE), "{error:?}");
    }
    for (bytes, name) in [
        (wav(10), "recording.wav"),
        (b"ID3\x04 tagged".to_vec(), "recording.mp3"),
        (b"\xff\xfb\x90\x64 frames".to_vec(), "recording.mp3"),
    ] {
        let (url, _) = server(move || Response::new(Body::from(bytes.clone()))).await;
        let sound = http.sound(&recording(&url)).await.map_err(|e| e.to_string()).unwrap();
        assert_eq!(sound.file_name(), name);
    }
    for url in ["http://storage.example.com", "ftp://127.0.0.1", "https://user:pass@storage.example.com"] {
        let error = http.sound(&recording(url)).await.map(|_| ()).unwrap_err();
        assert_eq!(error.reason, Reason::NotFound, "{url}: {error}");
    }
}

#[tokio::test]
async fn nothing_of_it_is_logged() {
    let log = Captured::begin();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let http = Http::new().unwrap().with_hook(Arc::new(move |call| hearing.lock().unwrap().push(format!("{call:?}"))));
    let heard_code = json!({"text": CODE}).to_string();
    let (url, _) = server(move || respond(200, "application/json", heard_code.clone())).await;
    let sound = sound(&http).await;
    transcriber(&http, &url, None).transcribe(&sound).await.map_err(|e| e.to_string()).unwrap();
    ask(&http, || respond(500, "application/json", format!("{{\"error\": \"{CODE}\"}}"))).await;
    fetch(&http, || respond(403, "application/xml", "")).await;
    let log = log.end();
    assert!(log.contains("operator_transcribe") && log.contains("download_recording"), "the log was not captured");
    let heard = heard.lock().unwrap().join("\n");
    assert!(heard.contains("Transcriber") && heard.contains("\"ok\"") && heard.contains("transient"), "{heard}");
    for secret in [TOKEN, SIGNATURE, CODE] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!heard.contains(secret), "{secret} is in what metrics hear");
    }
}
