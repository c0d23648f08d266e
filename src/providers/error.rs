//! What a provider's refusal, silence or nonsense becomes: one error type with one of five classes.
//!
//! The class says what a caller may do next; the reason says which outcome it was; the message is the provider's own
//! text, cleaned of secrets and of ids that change from one answer to the next, so that it can stand in a condition.
//! It must never hold a token, a code, a PIN, a URL's query or anything of a candidate's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::reason::Reason;

/// Whose answer it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The carrier.
    Telnyx,
    /// WhatsApp's Graph API.
    Meta,
    /// The operator's own speech-to-text service.
    Transcriber,
}

impl Provider {
    /// Lower case, as in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telnyx => "telnyx",
            Self::Meta => "meta",
            Self::Transcriber => "transcriber",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Telnyx => "Telnyx",
            Self::Meta => "Meta",
            Self::Transcriber => "the transcriber",
        })
    }
}

/// What a caller may do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Nothing happened that matters; try again later, with back-off.
    Transient,
    /// The provider asks to slow down. Not a failure.
    Throttled {
        /// How long, if it said so.
        retry_after: Option<Duration>,
    },
    /// Only a person can change this: a token, a payment, a document, a setting.
    NeedsHuman,
    /// This attempt is answered with no, for good.
    Refused,
    /// It may or may not have happened: the outcome must be looked up before anything else is done.
    Unknown,
}

impl ErrorClass {
    /// One word, as in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::NeedsHuman => "needs_human",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// What a call does at the provider; decides what an unclassified error means and whether the transport may repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Changes nothing. Repeated by the transport after connection errors and 5xx.
    Read,
    /// Sets something to a value; harmless when repeated by the caller. Unclassified errors are Transient.
    Set,
    /// Costs money, quota or a message: order, create number, request_code, verify_code, register, deregister, release,
    /// send. Unclassified errors are Unknown. Never repeated by the transport.
    Write,
}

/// A call to a provider that did not give its result. One pointer wide: it travels through every step's `Result`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderError(Box<ErrorDetails>);

/// What is known of the failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorDetails {
    /// Whose answer.
    pub provider: Provider,
    /// Our name of the call, e.g. `create_order`.
    pub operation: &'static str,
    /// What may be done next.
    pub class: ErrorClass,
    /// Which outcome it was.
    pub reason: Reason,
    /// The provider's code, as text.
    pub code: Option<String>,
    /// Meta's `error_subcode`.
    pub subcode: Option<u32>,
    /// HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// The provider's own text or what went wrong on the way: one line, stable, without secrets.
    pub message: String,
    /// What the person who reads it should do.
    pub what_to_do: &'static str,
    /// How long the provider asks to wait (real time, from headers or details).
    pub retry_after: Option<Duration>,
    /// How long the provider's rule asks to wait where the answer does not say it (a policy time: scale it).
    pub policy_wait: Option<Duration>,
}

impl From<ErrorDetails> for ProviderError {
    fn from(details: ErrorDetails) -> Self {
        Self(Box::new(details))
    }
}

impl Deref for ProviderError {
    type Target = ErrorDetails;
    fn deref(&self) -> &ErrorDetails {
        &self.0
    }
}

impl DerefMut for ProviderError {
    fn deref_mut(&mut self) -> &mut ErrorDetails {
        &mut self.0
    }
}

impl fmt::Debug for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ProviderError {
    /// True if it is this outcome.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason
    }

    /// True if the transport held the call back: its turn below the account's limit would have come too late, or this
    /// process does not lead any more. Nothing happened at the provider, whatever the call would have done.
    pub fn was_not_sent(&self) -> bool {
        matches!(self.reason, Reason::RateLimited | Reason::NotLeading) && self.http_status.is_none()
    }

    /// Provider's text and code, for a condition's message: `Meta: Two step verification PIN Mismatch (133005)`.
    pub fn provider_text(&self) -> String {
        let mut text = format!("{}: {}", self.provider, self.message);
        match (&self.code, self.subcode) {
            (Some(code), Some(subcode)) => text.push_str(&format!(" ({code}/{subcode})")),
            (Some(code), None) => text.push_str(&format!(" ({code})")),
            (None, _) => {}
        }
        text
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} during {}; {}", self.provider_text(), self.operation, self.what_to_do)
    }
}

impl std::error::Error for ProviderError {}
