//! `GET /webhook`: Meta's challenge. `POST /webhook`: reads the body, checks it and hands it on.
//!
//! When several refusals apply: 413, 415, 401, 400. 200 means durable. 503, always with Retry-After, means that the
//! store is away or the server is full, and nothing else: Meta repeats whatever is not 200 for up to seven days. A body
//! on which the program itself fails is put away and answered with 200 too: it would fail again.
//! Nothing of a body reaches a log or an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use crate::domain::SharedClock;

use super::ingest::{Ingest, StoreAway};
use super::metrics::Metrics;
use super::portfolios::{Portfolios, Signed};
use super::signature::{self, Signature, Unsigned};
use super::split;

/// A body of exactly this size is taken. Meta sends at most 3 MB.
pub const BODY_LIMIT: usize = split::LONGEST;
const BODY_TIME: Duration = Duration::from_secs(15);
/// From the checked body to the answer: the append's three seconds and the quarantine after it.
const WRITE_TIME: Duration = Duration::from_secs(8);
/// Bodies in memory at most, in KiB. A request weighs what has come of it, not what it announces (or whoever announces
/// much and sends nothing would keep everybody else out), and at least this much.
const MEMORY_KIB: usize = 256 * 1024;
const LEAST_KIB: u32 = 64;

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
    memory: Arc<Semaphore>,
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
        let memory = Arc::new(Semaphore::new(MEMORY_KIB));
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
    /// The client broke off; nobody reads the answer.
    Aborted,
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
            Self::Aborted => "aborted",
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
            Self::Malformed | Self::Aborted => StatusCode::BAD_REQUEST,
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
    // Of our own making: what is written for one POST can be found by it.
    let span = tracing::debug_span!("post", id = format!("{:08x}", rand::random::<u32>()));
    async {
        let end = webhook.shared.receive(request).await;
        webhook.shared.metrics.request(end.word());
        webhook.shared.metrics.duration.observe(began.elapsed().as_secs_f64());
        let (status, ms) = (end.status().as_u16(), began.elapsed().as_millis());
        tracing::debug!(result = end.word(), status, ms, "a POST was answered");
        end.into_response()
    }
    .instrument(span)
    .await
}

impl Shared {
    async fn receive(&self, request: Request<Body>) -> End {
        let (parts, body) = request.into_parts();
        if content_length(&parts.headers).is_some_and(|length| length > BODY_LIMIT) {
            return End::TooLarge;
        }
        let (body, memory) = match read(body, &self.memory).await {
            Ok(read) => read,
            Err(end) => return end,
        };
        let encoded = parts.headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
        if encoded {
            return End::Encoded;
        }
        let headers = parts.headers.get_all(signature::HEADER).iter().map(|value| value.as_bytes());
        let verified = Signature::parse(headers).and_then(|signature| self.portfolios.verify(signature, &body));
        let signed = match verified {
            Ok(signed) => signed,
            Err(reason) => {
                self.tell_unsigned(reason, &body);
                return End::Unsigned;
            }
        };
        self.metrics.last_post.set(self.clock.now().as_second());
        let held = Arc::new((body, memory));
        // In a task of its own: a client that goes away must not stop an append half-way. What it holds in memory counts
        // until it ends, also when it is waited for no longer.
        let taken = tokio::spawn(take(self.ingest.clone(), Arc::clone(&held), signed.clone()).in_current_span());
        let deadline = tokio::time::Instant::now() + WRITE_TIME;
        match tokio::time::timeout_at(deadline, taken).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) if error.is_panic() => {
                tokio::time::timeout_at(deadline, self.put_away(&held.0, &signed)).await.unwrap_or(End::StoreAway)
            }
            _ => End::StoreAway,
        }
    }

    /// Keeps a body whole that the program failed on, since Meta's repeat would fail as well. What of it was stored before
    /// stays stored.
    async fn put_away(&self, body: &[u8], signed: &Signed) -> End {
        let Some(ingest) = &self.ingest else { return End::StoreAway };
        match ingest.put_whole(&String::from_utf8_lossy(body), &signed.signer).await {
            Ok(()) => {
                tracing::error!(bytes = body.len(), "a POST that the program failed on is in quarantine");
                End::Taken
            }
            Err(StoreAway) => {
                tracing::error!("a POST that the program failed on can't be put into quarantine");
                End::StoreAway
            }
        }
    }

    fn tell_unsigned(&self, reason: Unsigned, body: &[u8]) {
        // Meta's wire form was only ever seen in ASCII with escapes; should that change, this is where it shows.
        let ascii = body.is_ascii();
        tracing::warn!(%reason, bytes = body.len(), ascii, "a POST without a good signature was refused");
    }
}

/// Takes a signed body apart and writes what is in it.
async fn take(ingest: Option<Ingest>, held: Arc<(Vec<u8>, OwnedSemaphorePermit)>, signed: Signed) -> End {
    let body = &held.0;
    let changes = match std::str::from_utf8(body) {
        Ok(text) => split::split(text),
        Err(_) => split::not_text(body),
    };
    let Ok(changes) = changes else { return End::Malformed };
    tracing::debug!(bytes = body.len(), changes = changes.len(), "a signed POST");
    let Some(ingest) = ingest else { return End::StoreAway };
    match ingest.take(changes, &signed).await {
        Ok(()) => End::Taken,
        Err(StoreAway) => End::StoreAway,
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body, and the room that it takes.
async fn read(body: Body, memory: &Arc<Semaphore>) -> Result<(Vec<u8>, OwnedSemaphorePermit), End> {
    let acquire = |kib| Arc::clone(memory).try_acquire_many_owned(kib).map_err(|_| End::Full);
    let mut held = acquire(LEAST_KIB)?;
    let mut body = Limited::new(body, BODY_LIMIT);
    let mut bytes = Vec::new();
    let deadline = tokio::time::Instant::now() + BODY_TIME;
    loop {
        match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(None) => return Ok((bytes, held)),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                bytes.extend_from_slice(&data);
                let weight = u32::try_from(bytes.len().div_ceil(1024)).unwrap_or(u32::MAX);
                let more = weight.saturating_sub(u32::try_from(held.num_permits()).unwrap_or(u32::MAX));
                if more > 0 {
                    held.merge(acquire(more)?);
                }
            }
            Ok(Some(Err(error))) if error.downcast_ref::<LengthLimitError>().is_some() => return Err(End::TooLarge),
            Ok(Some(Err(_))) => return Err(End::Aborted),
            Err(_) => return Err(End::Slow),
        }
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
