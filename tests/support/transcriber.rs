//! The operator's speech-to-text: a small server that takes the request of docs/transcriber.md. What it hears is what the
//! sandbox's recording holds, told by the mark inside its sound.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The mark that stands before a recording's id in the sandbox's sound.
const MARK: &[u8] = b"clientnumber-sandbox-recording:";

/// A running service; ends when dropped.
pub struct Transcriber {
    /// For `telnyx.transcriber.url`.
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

impl Transcriber {
    /// Starts one that wants this token and hears the recordings of the sandbox at this control address.
    pub async fn start(control: &str, token: &str) -> Result<Transcriber> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/v1/audio/transcriptions", listener.local_addr()?);
        let asked = Arc::default();
        let (control, wanted, keep) = (control.to_owned(), format!("Bearer {token}"), Arc::clone(&asked));
        let app = Router::new().fallback(move |request: Request| {
            let (control, wanted, keep) = (control.clone(), wanted.clone(), Arc::clone(&keep));
            async move { answer(request, &control, &wanted, &keep).await }
        });
        let stop = CancellationToken::new();
        let serve = async move { axum::serve(listener, app).await };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
        Ok(Transcriber { url, asked, _stop: stop.drop_guard() })
    }

    /// How each request was answered: `ok`, or what was wrong with it.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(request: Request, control: &str, wanted: &str, asked: &Mutex<Vec<String>>) -> Response<Body> {
    let (status, said, body) = match heard(request, control, wanted).await {
        Ok(words) => (200, "ok".to_owned(), json!({"text": words})),
        Err((status, why)) => (status, why.clone(), json!({"error": why})),
    };
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(said);
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", axum::http::HeaderValue::from_static("application/json"));
    response
}

async fn heard(request: Request, control: &str, wanted: &str) -> Result<String, (u16, String)> {
    let (parts, body) = request.into_parts();
    let bad = |why: &str| (400, why.to_owned());
    if parts.headers.get("authorization").and_then(|v| v.to_str().ok()) != Some(wanted) {
        return Err((401, "not this token".to_owned()));
    }
    let body = axum::body::to_bytes(body, 16 << 20).await.map_err(|_| bad("no body"))?;
    let text = String::from_utf8_lossy(&body);
    for (name, value) in [("language", "en"), ("response_format", "json")] {
        if !text.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n")) {
            return Err(bad(name));
        }
    }
    let at = body.windows(MARK.len()).position(|part| part == MARK).ok_or_else(|| bad("no sound of the sandbox"))?;
    let id: String = body[at + MARK.len()..].iter().take_while(|b| **b != 0).map(|b| char::from(*b)).collect();
    let http = reqwest::Client::builder().no_proxy().build().map_err(|e| bad(&e.to_string()))?;
    let all: Value = async { http.get(format!("{control}/recordings")).send().await?.json().await }
        .await
        .map_err(|e: reqwest::Error| bad(&e.to_string()))?;
    let found = all["recordings"].as_array().into_iter().flatten().find(|recording| recording["id"] == id.as_str());
    found.and_then(|recording| recording["heard"].as_str()).map(str::to_owned).ok_or_else(|| bad("no such recording"))
}
