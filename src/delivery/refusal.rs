//! Why a handshake is refused, and how the refusal reaches the client.
//!
//! socketioxide's `connect_error` carries a message and nothing else, but clients are promised `err.data.code` (and
//! `err.data.retry_after_s`). So the middleware's error prints as `<code>` or `<code> <seconds>`, and the outgoing
//! frame is completed on its way out ([`complete_connect_error`], called by the stream wrapper in `wire`).
//! It must never carry anything that came from the client or from a parser: the codes are all that is said.

use std::fmt;

/// A refused handshake. `Display` is what goes through socketioxide, see the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No usable token; the word says which check failed and is for metrics only.
    Unauthorized(&'static str),
    /// The token was good, but its time is over.
    TokenExpired,
    /// The token was revoked.
    Revoked,
    /// The server is busy, draining or without its store: come back after so many seconds, plus jitter.
    RetryLater(u32),
    /// A limit of this one recruiter was met: come back after so many seconds. The word says which limit and is for
    /// metrics only.
    LimitMet(&'static str, u32),
    /// The cursor belongs to another log or lies ahead of it.
    CursorReset,
}

impl Refusal {
    /// The documented code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "unauthorized",
            Self::TokenExpired => "token_expired",
            Self::Revoked => "revoked",
            Self::RetryLater(_) | Self::LimitMet(..) => "retry_later",
            Self::CursorReset => "cursor_reset",
        }
    }

    /// The metric label: the failed check of an unauthorized token, the recruiter's limit that was met, else the code.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthorized(check) => check,
            Self::LimitMet(limit, _) => limit,
            other => other.code(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RetryLater(seconds) | Self::LimitMet(_, seconds) => write!(f, "{} {seconds}", self.code()),
            other => f.write_str(other.code()),
        }
    }
}

impl std::error::Error for Refusal {}

const PREFIX: &[u8] = b"44{\"message\":\"";
const SUFFIX: &[u8] = b"\"}";

/// Completes the text of an outgoing CONNECT_ERROR frame with `data`; None for anything else, which goes out as it is.
pub fn complete_connect_error(payload: &[u8]) -> Option<Vec<u8>> {
    let message = payload.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let message = std::str::from_utf8(message).ok()?;
    let (code, seconds) = match message.split_once(' ') {
        Some((code, seconds)) => (code, Some(seconds.parse::<u32>().ok()?)),
        None => (message, None),
    };
    if !code.bytes().all(|c| c.is_ascii_lowercase() || c == b'_') {
        return None;
    }
    let data = match seconds {
        Some(seconds) => format!("{{\"code\":\"{code}\",\"retry_after_s\":{seconds}}}"),
        None => format!("{{\"code\":\"{code}\"}}"),
    };
    Some(format!("44{{\"message\":\"{code}\",\"data\":{data}}}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_completed_and_others_left_alone() {
        let frame = |refusal: Refusal| format!("44{{\"message\":\"{refusal}\"}}").into_bytes();
        let text = |bytes: Option<Vec<u8>>| bytes.map(|b| String::from_utf8(b).unwrap());
        for (refusal, want) in [
            (Refusal::Unauthorized("bad_signature"), r#"44{"message":"unauthorized","data":{"code":"unauthorized"}}"#),
            (Refusal::TokenExpired, r#"44{"message":"token_expired","data":{"code":"token_expired"}}"#),
            (Refusal::Revoked, r#"44{"message":"revoked","data":{"code":"revoked"}}"#),
            (Refusal::RetryLater(7), r#"44{"message":"retry_later","data":{"code":"retry_later","retry_after_s":7}}"#),
            (
                Refusal::LimitMet("too_many_devices", 30),
                r#"44{"message":"retry_later","data":{"code":"retry_later","retry_after_s":30}}"#,
            ),
            (Refusal::CursorReset, r#"44{"message":"cursor_reset","data":{"code":"cursor_reset"}}"#),
        ] {
            assert_eq!(text(complete_connect_error(&frame(refusal))).as_deref(), Some(want));
        }
        for other in [
            &b"0{\"sid\":\"x\"}"[..],
            b"2",
            b"40{\"sid\":\"x\"}",
            b"44{\"message\":\"Invalid namespace\"}",
            b"44/x,{\"message\":\"Invalid namespace\"}",
            b"42[\"messages\",{\"message\":\"unauthorized\"}]",
            b"",
        ] {
            assert_eq!(complete_connect_error(other), None);
        }
    }
}
