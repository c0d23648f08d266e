//! One request and its answer: sent at most once, and read no further than its bounds. Decides what a broken, silent,
//! oversized or foreign answer is; must never repeat anything nor wait for a turn.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use secrecy::ExposeSecret;

use super::classify::Class;
use super::clean;
use super::error::ProviderError;
use super::reason::Reason;
use super::refusal;
use super::request::{Body, Operation, Request};
use super::transport::Transport;

/// An answer that has begun goes on within this time, or it is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// So much of a refusal is read: more than any error object holds, whatever else follows.
const REFUSAL_BYTES: usize = 64 * 1024;

/// What came back, before it is judged.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) status: Option<u16>,
    pub(super) headers: Option<HeaderMap>,
    /// The provider's id of the request, for the log.
    pub(super) trace: Option<String>,
}

/// Why a call gave nothing, and whether a read may be repeated.
pub(super) struct Failure {
    pub(super) error: ProviderError,
    pub(super) repeat: bool,
}

impl Transport {
    /// Sends and reads; `seen` keeps what is known of an answer that turns out to be no good.
    pub(super) async fn exchange(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        seen: &mut Seen,
    ) -> Result<Vec<u8>, Failure> {
        let operation = request.operation;
        let time_left = deadline.saturating_duration_since(Instant::now());
        let sent = self.build(request).timeout(time_left).send().await;
        let mut response = sent.map_err(|error| self.lost(operation, &error, None))?;
        let status = response.status();
        seen.status = Some(status.as_u16());
        seen.trace = refusal::header(response.headers(), self.dialect.trace_header);
        let headers = seen.headers.insert(response.headers().clone()).clone();

        let most = if status.is_success() { operation.max_bytes } else { REFUSAL_BYTES };
        let mut body = Vec::new();
        loop {
            let chunk = match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                // A 2xx whose body was lost: a write is done, but what it made is not known.
                Ok(Err(error)) => return Err(self.lost(operation, &error, Some(status))),
                Err(_) => return Err(self.silent(operation, status)),
            };
            if body.len() + chunk.len() > most {
                if status.is_success() {
                    return Err(self.too_large(operation, status));
                }
                // The connection is given up with the rest; what has come decides.
                body.extend_from_slice(&chunk[..most - body.len()]);
                break;
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(self.refused(request, status, &headers, &body, seen));
        }
        self.check_type(request, &headers, &body, status)?;
        Ok(body)
    }

    fn lost(&self, operation: Operation, error: &reqwest::Error, status: Option<StatusCode>) -> Failure {
        let look_up = refusal::look_up(operation.effect);
        // Before a connection stands nothing was sent, so that even a write may be tried again.
        let (class, reason, text, what, repeat) = if error.is_builder() {
            let what = "put the key or token into the Secret again, without line breaks or other control characters";
            let text = "the request can't be made: the key, token or id holds characters that can't be sent";
            (Class::NeedsHuman, Reason::TokenInvalid, text.to_owned(), what, false)
        } else if error.is_connect() {
            let text = format!("no connection to {}", self.host());
            let what = "check the network, DNS, proxy, CA certificates and the Portfolio's baseUrl; it is tried again by itself";
            (Class::Transient, Reason::Unreachable, text, what, true)
        } else if error.is_timeout() {
            let text = format!("no answer within {} s", operation.timeout.as_secs());
            (Class::Unclear, Reason::NoAnswer, text, look_up, false)
        } else {
            let text = "the connection broke before the answer was complete".to_owned();
            (Class::Unclear, Reason::NoAnswer, text, look_up, true)
        };
        let mut error = self.error(operation, class, reason, text, what);
        error.http_status = status.map(|status| status.as_u16());
        Failure { error, repeat }
    }

    fn silent(&self, operation: Operation, status: StatusCode) -> Failure {
        let text = format!("the answer stopped for {} s", SILENCE.as_secs());
        let what = refusal::look_up(operation.effect);
        let mut error = self.error(operation, Class::Unclear, Reason::NoAnswer, text, what);
        error.http_status = Some(status.as_u16());
        Failure { error, repeat: false }
    }

    fn too_large(&self, operation: Operation, status: StatusCode) -> Failure {
        let text = format!("the answer is larger than {} bytes", operation.max_bytes);
        let what = "check that the Portfolio's baseUrl is the provider's API; the outcome is looked up by itself";
        let mut error = self.error(operation, Class::Unclear, Reason::AnswerTooLarge, text, what);
        error.http_status = Some(status.as_u16());
        Failure { error, repeat: false }
    }

    fn refused(
        &self,
        request: &Request<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        seen: &mut Seen,
    ) -> Failure {
        let secrets = self.secrets_with(&request.secrets);
        let (error, id) = refusal::refusal(self.dialect, request.operation, status.as_u16(), headers, body, &secrets);
        seen.trace = id.or(seen.trace.take());
        let repeat = status.is_server_error() || error.is(Reason::RateLimited);
        Failure { error, repeat }
    }

    /// A page of a proxy, a portal or a maintenance notice comes as 200 too, and proves nothing about an effect.
    fn check_type(
        &self,
        request: &Request<'_>,
        headers: &HeaderMap,
        body: &[u8],
        status: StatusCode,
    ) -> Result<(), Failure> {
        let Some(kind) = refusal::header(headers, CONTENT_TYPE.as_str()).filter(|_| !body.is_empty()) else {
            return Ok(());
        };
        // Meta has answered JSON as text/javascript.
        let lower = kind.to_ascii_lowercase();
        if lower.contains("json") || lower.contains("javascript") {
            return Ok(());
        }
        let secrets = self.secrets_with(&request.secrets);
        let start = clean::excerpt_of(request.operation.quiet, body, &secrets);
        let text = format!("the answer is not JSON but {}{start}", clean::clean(&kind, &secrets));
        let mut error = self.unreadable(request.operation, text);
        error.http_status = Some(status.as_u16());
        Err(Failure { error, repeat: false })
    }

    fn build(&self, request: &Request<'_>) -> reqwest::RequestBuilder {
        let client = if self.base.is_plain() { &self.http.direct } else { &self.http.proxied };
        let builder = client
            .request(request.method.clone(), self.base.join(&request.path))
            .header(reqwest::header::ACCEPT, "application/json");
        let token = self.bearer.expose_secret();
        let mut builder = match HeaderValue::from_str(&format!("OAuth {token}")) {
            Ok(mut value) if request.oauth => {
                value.set_sensitive(true);
                builder.header(reqwest::header::AUTHORIZATION, value)
            }
            _ => builder.bearer_auth(token),
        };
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        if !request.query.is_empty() {
            builder = builder.query(&request.query);
        }
        for (name, value) in &self.query {
            builder = builder.query(&[(name, value.expose_secret())]);
        }
        match &request.body {
            Body::None => builder,
            Body::Bytes(kind, bytes) => builder.header(reqwest::header::CONTENT_TYPE, *kind).body(bytes.clone()),
            Body::Json(value) => builder.json(value),
            Body::Parts(parts) => builder.multipart(
                parts
                    .iter()
                    .fold(reqwest::multipart::Form::new(), |form, (name, value)| form.text(*name, value.clone())),
            ),
        }
    }
}
