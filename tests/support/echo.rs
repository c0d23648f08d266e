//! A gateway in front of a provider that answers the first calls of each kind with errors that quote the whole request:
//! its token, its signature, its code and its PIN, in every place of an answer that somebody might show.
//!
//! What is quoted does not reach the provider, so an effect has not happened. Must never quote a call for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Forms of an answer that quotes: status, headers, body. Each call of a kind meets as many as its plan says.
const FORMS: [fn(&Quote) -> String; 6] = [html, telnyx, meta, truncated, throttled, wrong_type];

/// What is quoted.
struct Quote {
    head: String,
    body: String,
    token: String,
}

struct Shared {
    upstream: String,
    /// How many calls of each kind were quoted.
    quoted: Mutex<BTreeMap<String, usize>>,
    /// How many calls of a kind are quoted at most.
    most: fn(&str) -> usize,
    /// Calls that were asked to slow down.
    throttled: AtomicUsize,
}

/// A running gateway; ends when dropped.
pub struct Echo {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl Echo {
    /// Starts one in front of `http://host:port/...`. `most` says how many calls of a kind (`POST /phone_numbers`) are
    /// quoted.
    pub async fn start(url: &str, most: fn(&str) -> usize) -> Result<Echo> {
        let upstream = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared { upstream, quoted: Mutex::default(), most, throttled: AtomicUsize::new(0) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, shared.clone())));
        Ok(Echo { port, shared, _stop: stop.drop_guard() })
    }

    /// A URL through the gateway.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was quoted how often.
    pub fn quoted(&self) -> BTreeMap<String, usize> {
        self.shared.quoted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move { one(stream, &shared).await });
    }
}

/// One connection carries one request.
async fn one(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 16 * 1024];
    let (head, length) = loop {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            n => request.extend_from_slice(&part[..n]),
        }
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            let length = header(&head, "content-length").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            break (head, end + 4 + length);
        }
    };
    while request.len() < length {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            n => request.extend_from_slice(&part[..n]),
        }
    }
    let body = String::from_utf8_lossy(&request[head.len() + 4..]).into_owned();
    let number = {
        let (kind, mut quoted) = (kind(&head), shared.quoted.lock().unwrap_or_else(PoisonError::into_inner));
        let most = (shared.most)(&kind);
        let number = quoted.entry(kind).or_default();
        (*number < most).then(|| {
            *number += 1;
            *number - 1
        })
    };
    let Some(number) = number else {
        let mut upstream = TcpStream::connect(&shared.upstream).await?;
        let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        upstream.write_all(head.as_bytes()).await?;
        upstream.write_all(&request[request.len() - body.len() - 4..]).await?;
        tokio::io::copy(&mut upstream, &mut stream).await?;
        return Ok(());
    };
    let token = header(&head, "authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned();
    // The forms are met in another order by each kind of call, so that calls that can be quoted once only share them.
    let mut form = FORMS[(number + head.len()) % FORMS.len()];
    // Who is asked to slow down does so: twice is enough.
    if std::ptr::fn_addr_eq(form, throttled as fn(&Quote) -> String)
        && shared.throttled.fetch_add(1, Ordering::SeqCst) >= 2
    {
        form = html;
    }
    stream.write_all(form(&Quote { head, body, token }).as_bytes()).await?;
    stream.shutdown().await
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Method and path, with a placeholder for each part that holds a digit: ids.
fn kind(head: &str) -> String {
    let mut words = head.split([' ', '?']);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.chars().any(|c| c.is_ascii_digit()) { "{}" } else { part }).collect();
    format!("{method} {}", parts.join("/"))
}

fn answer(status: &str, content_type: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n{body}"
    )
}

fn html(quote: &Quote) -> String {
    let Quote { head, body, .. } = quote;
    answer("502 Bad Gateway", "text/html", "", &format!("<html>You sent: {head} {body}</html>"))
}

fn telnyx(quote: &Quote) -> String {
    let Quote { head, body, token } = quote;
    let error = serde_json::json!({"errors": [{"code": token, "title": format!("bad {token}"),
        "detail": format!("{head} {body}"), "source": {"pointer": format!("/{token}"), "parameter": body}}]});
    answer("500 Oops", "application/json", &format!("x-request-id: {token}\r\n"), &error.to_string())
}

fn meta(quote: &Quote) -> String {
    let Quote { head, body, token } = quote;
    let error = serde_json::json!({"error": {"message": format!("Bad {token} in {head}"), "type": token, "code": 2,
        "error_user_title": token, "error_user_msg": body, "error_data": {"details": format!("{body} {token}")},
        "fbtrace_id": token}});
    answer("500 Oops", "application/json", &format!("x-fb-trace-id: {token}\r\n"), &error.to_string())
}

fn truncated(quote: &Quote) -> String {
    let Quote { head, body, token } = quote;
    let text = serde_json::Value::from(format!("{token} {head} {body}")).to_string();
    answer("200 OK", "application/json", "", &format!("{{\"data\": {text}"))
}

fn throttled(quote: &Quote) -> String {
    let token = &quote.token;
    let headers = format!("retry-after: {token}\r\nx-ratelimit-reset: {token}\r\nx-app-usage: {{\"{token}\": 1}}\r\n");
    answer("429 Slow down", "text/plain", &headers, token)
}

fn wrong_type(quote: &Quote) -> String {
    let Quote { body, token, .. } = quote;
    answer("200 OK", &format!("text/{token}"), "", &format!("{token} {body}"))
}
