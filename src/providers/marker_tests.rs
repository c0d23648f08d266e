//! Markers as key, token, app secret, code and PIN, through every way a call can end: they are in no error, in no log line
//! of any target at level trace, and in nothing that metrics hear.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::captured::Captured;
use super::error::ProviderError;
use super::http::Http;
use super::{meta, telnyx};
use crate::domain::{AppId, CustomerReference, E164, OtpCode, PhoneNumberId, Pin};

const KEY: &str = "KEYmarker0123456789abcdefghijklmnop";
const TOKEN: &str = "EAAmarker0123456789abcdefghijklmnop";
const SECRET: &str = "secretmarker0123456789abcdef";
const CODE: &str = "314159";
const PIN: &str = "271828";

/// How the other side ends a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Refused,
    NotTls,
    Silence,
    Stall,
    Reset,
    Truncated,
    Oversized,
    /// Answers with this status, headers and body; `ECHO` is all that was sent.
    Answer(u16, &'static str, &'static str),
}

const JSON: &str = "content-type: application/json";
const ENDINGS: &[Ending] = &[
    Ending::Refused,
    Ending::NotTls,
    Ending::Silence,
    Ending::Stall,
    Ending::Reset,
    Ending::Truncated,
    Ending::Oversized,
    Ending::Answer(200, JSON, "ECHO"),
    Ending::Answer(200, JSON, "{\"data\": \"ECHO\"}"),
    Ending::Answer(200, JSON, "{\"success\": \"ECHO\"}"),
    Ending::Answer(200, "content-type: text/html", "<html>ECHO</html>"),
    Ending::Answer(200, "content-type: text/ECHO", "ECHO"),
    Ending::Answer(302, "location: /?access_token=ECHO", ""),
    Ending::Answer(307, "location: http://127.0.0.1:1/ECHO", "ECHO"),
    Ending::Answer(502, "content-type: text/html", "<html>ECHO</html>"),
    Ending::Answer(
        400,
        JSON,
        r#"{"errors": [{"code": "ECHO", "title": "ECHO", "detail": "ECHO", "source": {"pointer": "ECHO"}}]}"#,
    ),
    Ending::Answer(
        400,
        JSON,
        r#"{"error": {"code": 100, "type": "ECHO", "message": "ECHO", "error_user_title": "ECHO",
            "error_user_msg": "ECHO", "error_data": {"details": "ECHO"}, "fbtrace_id": "ECHO"}}"#,
    ),
    Ending::Answer(401, "x-request-id: ECHO\r\nx-fb-trace-id: ECHO", "ECHO"),
    Ending::Answer(429, "retry-after: ECHO\r\nx-ratelimit-limit: ECHO\r\nx-app-usage: ECHO", "ECHO"),
    // What follows on this account is held back.
    Ending::Answer(429, "retry-after: 3600", "ECHO"),
];

async fn end(mut stream: TcpStream, ending: Ending) -> std::io::Result<()> {
    let mut buffer = vec![0; 16_384];
    let count = stream.read(&mut buffer).await?;
    // In one line, so that it fits into headers and JSON.
    let echo = String::from_utf8_lossy(&buffer[..count]).replace(['\r', '\n', '"', '\\'], " ");
    match ending {
        Ending::Silence => tokio::time::sleep(Duration::from_secs(3600)).await,
        Ending::Stall | Ending::Truncated => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n";
            stream.write_all(format!("{head}{echo}").as_bytes()).await?;
            if ending == Ending::Stall {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
        }
        Ending::Oversized => {
            let body = echo.repeat(9 * 1024 * 1024 / echo.len().max(1) + 1);
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
        }
        Ending::Answer(status, headers, body) => {
            let (headers, body) = (headers.replace("ECHO", &echo), body.replace("ECHO", &echo));
            let head = format!(
                "HTTP/1.1 {status} X\r\n{headers}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await?;
        }
        Ending::Refused | Ending::NotTls | Ending::Reset => {}
    }
    Ok(())
}

/// The URL of a server that ends every call like this.
async fn server(ending: Ending) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    if ending == Ending::Refused {
        return format!("http://{address}");
    }
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(end(stream, ending));
        }
    });
    format!("{}://{address}", if ending == Ending::NotTls { "https" } else { "http" })
}

/// Calls with every secret; what they ended with.
async fn calls(url: &str, http: &Http, key: &str) -> Vec<String> {
    let telnyx = telnyx::Client::new(url, key.to_owned().into(), http).unwrap();
    let secret = SECRET.to_owned().into();
    let app = AppId::parse("7700").unwrap();
    let meta = meta::Client::new(url, "v25.0", TOKEN.to_owned().into(), &secret, app, http).unwrap();
    let number = E164::parse("+212612345678").unwrap();
    let reference: CustomerReference = "test/clients/atlas".parse().unwrap();
    let id: PhoneNumberId = "106".parse().unwrap();
    let (code, pin) = (OtpCode::parse(CODE).unwrap(), Pin::parse(PIN).unwrap());
    let mut ends = vec![format!("{telnyx:?} {meta:?}")];
    let mut ended = |error: Option<ProviderError>| {
        ends.extend(error.map(|error| format!("{error} {error:?} {}", error.provider_text())))
    };
    ended(telnyx.balance().await.err());
    ended(telnyx.create_order(&number, &reference, None, None).await.err());
    ended(meta.debug_token().await.err());
    ended(meta.verify_code(&id, &code).await.err());
    ended(meta.register(&id, &pin).await.err());
    ends
}

fn innocent(text: &str, what: &str) {
    for secret in [KEY, TOKEN, SECRET, CODE, PIN] {
        // Also not a part of it: a text may be cut anywhere.
        let part = if secret.len() > 12 { &secret[..12] } else { secret };
        assert!(!text.contains(part), "{what} shows {secret}: {text}");
    }
}

#[tokio::test]
async fn markers_are_nowhere() {
    let log = Captured::begin();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let http = Http::new().unwrap().with_hook(Arc::new(move |call| hearing.lock().unwrap().push(format!("{call:?}"))));
    for ending in ENDINGS {
        let url = server(*ending).await;
        let patience =
            Duration::from_millis(if matches!(ending, Ending::Silence | Ending::Stall) { 500 } else { 20_000 });
        for end in calls(&url, &http.clone().within(patience), KEY).await {
            innocent(&end, &format!("{ending:?}"));
        }
    }
    // A key with a line break can't be sent: the error must not show it either.
    let url = server(Ending::Reset).await;
    let ends = calls(&url, &http, &format!("{KEY}\n")).await;
    assert!(ends.iter().any(|end| end.contains("can't be sent")), "{ends:?}");
    ends.iter().for_each(|end| innocent(end, "an unusable key"));
    let log = log.end();
    for line in log.lines() {
        innocent(line, "the log");
    }
    assert!(log.matches("provider call").count() > 90, "the log was not captured");
    let heard = heard.lock().unwrap();
    heard.iter().for_each(|call| innocent(call, "what metrics hear"));
    for outcome in ["transient", "throttled", "unknown", "needs_human", "held_back"] {
        assert!(heard.iter().any(|call| call.contains(outcome)), "no call ended as {outcome}");
    }
}
