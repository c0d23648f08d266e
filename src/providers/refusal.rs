//! From an answer that is not a 2xx to a [`ProviderError`]. Pure, so that every code, status, header and odd body is
//! tested by tables.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};

use super::classify::{self, Class, Problem, Row};
use super::clean;
use super::error::{Effect, ErrorDetails, Provider, ProviderError};
use super::hide;
use super::reason::Reason;
use super::request::Operation;

/// How a provider words errors.
pub(crate) struct Dialect {
    pub(crate) provider: Provider,
    pub(crate) rows: &'static [Row],
    /// The problems in an error body; empty if it is not the provider's own error object.
    pub(crate) problems: fn(&[u8]) -> Vec<Problem>,
    /// How long the headers ask to wait.
    pub(crate) wait: fn(&HeaderMap) -> Option<Duration>,
    /// The header with the request id.
    pub(crate) trace_header: &'static str,
}

/// The error of an answer, and the provider's request id if its body names one (for the log only).
pub(crate) fn refusal(
    dialect: &Dialect,
    operation: Operation,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[&str],
) -> (ProviderError, Option<String>) {
    let problems = (dialect.problems)(body);
    let row = classify::find(dialect.rows, operation.name, Some(status), &problems);
    let (class, reason, what, policy_wait, problem) = match row {
        Some((row, problem)) => (row.class, row.reason, row.what_to_do, row.wait, Some(problem)),
        None => {
            let (class, reason, what) = classify::by_status(status, operation.effect, &problems);
            (class, reason, what, None, problems.first())
        }
    };
    let message = match problem {
        Some(problem) if !problem.text.is_empty() => clean::clean(&problem.text, secrets),
        _ if (300..=399).contains(&status) => format!("HTTP {status}: a redirect"),
        _ if body.is_empty() => format!("HTTP {status} without a text"),
        _ => {
            let kind = header(headers, CONTENT_TYPE.as_str()).unwrap_or_else(|| "no content type".to_owned());
            let kind = clean::clean(&kind, secrets);
            match operation.quiet {
                true => format!("HTTP {status} ({kind})"),
                false => format!("HTTP {status} ({kind}) that starts with: {}", clean::excerpt(body, secrets)),
            }
        }
    };
    let retry_after = (dialect.wait)(headers).or_else(|| retry_after(headers));
    let mut refusal = error(dialect.provider, operation, class, reason, message, what);
    refusal.class = class.resolve(operation.effect, retry_after);
    refusal.code = problem.and_then(|p| p.code.clone()).filter(|code| is_code(code, secrets));
    refusal.subcode = problem.and_then(|p| p.subcode).filter(|code| is_code(&code.to_string(), secrets));
    refusal.http_status = Some(status);
    refusal.retry_after = retry_after;
    refusal.policy_wait = policy_wait;
    (refusal, problem.and_then(|p| p.trace.clone()).filter(|trace| !hide::holds(trace, secrets)))
}

/// An error without an answer.
pub(crate) fn error(
    provider: Provider,
    operation: Operation,
    class: Class,
    reason: Reason,
    message: String,
    what_to_do: &'static str,
) -> ProviderError {
    ErrorDetails {
        provider,
        operation: operation.name,
        class: class.resolve(operation.effect, None),
        reason,
        code: None,
        subcode: None,
        http_status: None,
        message,
        what_to_do,
        retry_after: None,
        policy_wait: None,
    }
    .into()
}

/// A code is short and plain; anything else that stands in its place is not shown.
fn is_code(code: &str, secrets: &[&str]) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    code.len() <= 24 && code.bytes().all(plain) && clean::clean(code, secrets) == code
}

/// What happens next after an unclear answer.
pub(crate) fn look_up(effect: Effect) -> &'static str {
    match effect {
        Effect::Write => "the outcome is looked up by itself before anything is repeated; nothing to do now",
        Effect::Read | Effect::Set => "nothing to do now; it is tried again by itself",
    }
}

/// A header's text, uncut: whoever shows it cleans it first, since half a secret is no longer recognised.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `Retry-After` in seconds or as a date; at most a day.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = super::lenient::timestamp(text)?;
            Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(DAY))
}
