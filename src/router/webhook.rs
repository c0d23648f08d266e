//! `GET /webhook`: Meta's challenge. `POST /webhook`: reads the body, checks it and hands it on.
//!
//! When several refusals apply: 413, 415, 401, 400. 200 means durable. 503, always with Retry-After, means that the
//! store is away or the server is full, and nothing else: Meta repeats whatever is not 200 for up to seven days.
//! Nothing of a body reaches a log or an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::domain::SharedClock;

use super::ingest::Ingest;
use super::metrics::Metrics;
use super::portfolios::Portfolios;
use super::signature::{self, Signature, Unsigned};
use super::split;

/// A body of exactly this size is taken. Meta sends at most 3 MB.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;
const BODY_TIME: Duration = Duration::from_secs(15);
/// From the checked body to the answer: the append's three seconds and the quarantine after it.
const WRITE_TIME: Duration = Duration::from_secs(8);
/// Bodies in memory at most, in KiB; a request weighs at least 64.
const MEMORY_KIB: usize = 256 * 1024;

/// What the webhook needs.
#[derive(Clone)]
pub struct Webhook {
    shared: Arc<Shared>,
}

struct Shared {
    verify_token: SecretString,
    portfolios: Portfolios,
    /// None: started without a store.
    ingest: Option<Ingest>,
    metrics: Metrics,
    memory: Semaphore,
    clock: SharedClock,
}

impl Webhook {
    /// Over the secrets and the ingest.
    pub fn new(
        verify_token: SecretString,
        portfolios: Portfolios,
        ingest: Option<Ingest>,
        metrics: Metrics,
        clock: SharedClock,
    ) -> Self {
        let memory = Semaphore::new(MEMORY_KIB);
        Self { shared: Arc::new(Shared { verify_token, portfolios, ingest, metrics, memory, clock }) }
    }

    /// The routes of the webhook.
    pub fn app(self) -> Router {
        Router::new().route("/webhook", get(challenge).post(receive)).with_state(self)
    }
}

#[derive(Deserialize)]
struct Challenge {
    #[serde(rename = "hub.mode")]
    mode: Option<String>,
    #[serde(rename = "hub.verify_token")]
    token: Option<String>,
    #[serde(rename = "hub.challenge")]
    challenge: Option<String>,
}

const PLAIN: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];

async fn challenge(State(webhook): State<Webhook>, query: Result<Query<Challenge>, QueryRejection>) -> Response {
    let refused = || StatusCode::FORBIDDEN.into_response();
    let Ok(Query(Challenge { mode, token: Some(token), challenge: Some(challenge) })) = query else {
        return refused();
    };
    let expected = webhook.shared.verify_token.expose_secret();
    let same = bool::from(token.as_bytes().ct_eq(expected.as_bytes()));
    if mode.as_deref() == Some("subscribe") && same { (PLAIN, challenge).into_response() } else { refused() }
}

/// How a POST ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Taken,
    TooLarge,
    Encoded,
    Unsigned,
    Malformed,
    Slow,
    Full,
    StoreAway,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Taken => "ok",
            Self::TooLarge => "too_large",
            Self::Encoded => "encoded",
            Self::Unsigned => "bad_signature",
            Self::Malformed => "malformed",
            Self::Slow => "slow",
            Self::Full => "shed",
            Self::StoreAway => "store_error",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Taken => StatusCode::OK,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unsigned => StatusCode::UNAUTHORIZED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Full | Self::StoreAway => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for End {
    fn into_response(self) -> Response {
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response()
            }
            status => status.into_response(),
        }
    }
}

async fn receive(State(webhook): State<Webhook>, request: Request<Body>) -> Response {
    let began = Instant::now();
    let end = webhook.shared.receive(request).await;
    webhook.shared.metrics.request(end.word());
    webhook.shared.metrics.duration.observe(began.elapsed().as_secs_f64());
    end.into_response()
}

impl Shared {
    async fn receive(&self, request: Request<Body>) -> End {
        let (parts, body) = request.into_parts();
        let announced = content_length(&parts.headers);
        if announced.is_some_and(|length| length > BODY_LIMIT) {
            return End::TooLarge;
        }
        let weight = announced.unwrap_or(BODY_LIMIT).div_ceil(1024).max(64);
        let Ok(_memory) = self.memory.try_acquire_many(u32::try_from(weight).unwrap_or(u32::MAX)) else {
            return End::Full;
        };
        let body = match read(body).await {
            Ok(body) => body,
            Err(end) => return end,
        };
        let encoded = parts.headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
        if encoded {
            return End::Encoded;
        }
        let headers = parts.headers.get_all(signature::HEADER).iter().map(|value| value.as_bytes());
        let verified = Signature::parse(headers).and_then(|signature| self.portfolios.verify(signature, &body));
        let accounts = match verified {
            Ok(accounts) => accounts,
            Err(reason) => {
                self.tell_unsigned(reason, &body);
                return End::Unsigned;
            }
        };
        self.metrics.last_post.set(self.clock.now().as_second());
        let changes = match std::str::from_utf8(&body) {
            Ok(text) => split::split(text),
            Err(_) => split::not_text(&body),
        };
        let Ok(changes) = changes else { return End::Malformed };
        let Some(ingest) = self.ingest.clone() else { return End::StoreAway };
        // In a task of its own: a client that goes away must not stop an append half-way.
        let taken = tokio::spawn(async move { ingest.take(changes, &accounts).await });
        match tokio::time::timeout(WRITE_TIME, taken).await {
            Ok(Ok(Ok(()))) => End::Taken,
            _ => End::StoreAway,
        }
    }

    fn tell_unsigned(&self, reason: Unsigned, body: &[u8]) {
        // Meta's wire form was only ever seen in ASCII with escapes; should that change, this is where it shows.
        let ascii = body.is_ascii();
        tracing::warn!(%reason, bytes = body.len(), ascii, "a POST without a good signature was refused");
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(body: Body) -> Result<Bytes, End> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(End::TooLarge),
        // The client broke off; nobody reads the answer.
        Ok(Err(_)) => Err(End::Malformed),
        Err(_) => Err(End::Slow),
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
