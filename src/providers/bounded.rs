//! One request outside the two providers' APIs, sent once: bounded in time, in size and in silence. Tells metrics and the
//! log of it as the transport does. Must never look at what an answer says, nor keep its URL or headers: the callers
//! decide what each outcome means.

use std::time::{Duration, Instant};

use super::error::Provider;
use super::http::{Http, ProviderCall};
use super::refusal;
use super::request::Operation;

/// An answer that has begun goes on within this time, or it is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// What came back. The body of anything but a 2xx is not read.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Content type in lower case; empty if there was none.
    pub(super) kind: String,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    Unsendable,
    NoConnection,
    Silence,
    Broken,
    TooLarge,
}

/// Sends `request` within the times and sizes of `operation`.
pub(super) async fn send(
    http: &Http,
    provider: Provider,
    operation: Operation,
    request: reqwest::RequestBuilder,
) -> Result<Answer, Failed> {
    let started = Instant::now();
    #[cfg(test)]
    let operation = Operation { timeout: http.patience.unwrap_or(operation.timeout), ..operation };
    let mut status = None;
    let result = exchange(operation, request, &mut status).await;
    let outcome = match &result {
        Ok(answer) if (200..300).contains(&answer.status) => "ok",
        Ok(answer) if answer.status == 429 => "throttled",
        Ok(answer) if answer.status < 500 => "needs_human",
        Err(Failed::Unsendable) => "needs_human",
        _ => "transient",
    };
    let call = ProviderCall {
        provider,
        operation: operation.name,
        attempt: 1,
        duration: started.elapsed(),
        waited: Duration::ZERO,
        outcome,
        http_status: status,
    };
    tracing::debug!(
        target: "clientnumber::providers",
        provider = call.provider.as_str(),
        operation = call.operation,
        duration_ms = u64::try_from(call.duration.as_millis()).unwrap_or(u64::MAX),
        outcome,
        status = call.http_status,
        "provider call"
    );
    if let Some(hook) = &http.hook {
        hook(&call);
    }
    result
}

async fn exchange(
    operation: Operation,
    request: reqwest::RequestBuilder,
    seen: &mut Option<u16>,
) -> Result<Answer, Failed> {
    let mut response = request.timeout(operation.timeout).send().await.map_err(|error| failed(&error))?;
    let status = response.status();
    *seen = Some(status.as_u16());
    let headers = response.headers();
    let kind = refusal::header(headers, reqwest::header::CONTENT_TYPE.as_str()).unwrap_or_default().to_lowercase();
    let retry_after = refusal::retry_after(headers);
    let mut body = Vec::new();
    while status.is_success() {
        let chunk = match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(Failed::Silence),
        };
        if body.len() + chunk.len() > operation.max_bytes {
            return Err(Failed::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: status.as_u16(), kind, retry_after, body })
}

fn failed(error: &reqwest::Error) -> Failed {
    if error.is_builder() {
        Failed::Unsendable
    } else if error.is_connect() {
        Failed::NoConnection
    } else if error.is_timeout() {
        Failed::Silence
    } else {
        Failed::Broken
    }
}
