//! From a provider's code and text to a class, a reason and a sentence: how a table is looked up, and what holds when no
//! row fits. Pure. The tables themselves are `telnyx/errors.rs` and `meta/errors.rs`.

use std::time::Duration;

use super::error::{Effect, ErrorClass};
use super::reason::Reason;

/// Class in a table. `Unclear` becomes Transient or Unknown by what the call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Certainly not done; try again later.
    Transient,
    /// Slow down.
    Throttled,
    /// A person is needed.
    NeedsHuman,
    /// Answered with no.
    Refused,
    /// Perhaps done: Transient for a read or a repeatable setting, Unknown for an effect.
    Unclear,
}

impl Class {
    /// The class of an error of a call with this effect.
    pub fn resolve(self, effect: Effect, retry_after: Option<Duration>) -> ErrorClass {
        match (self, effect) {
            (Self::Transient, _) | (Self::Unclear, Effect::Read | Effect::Set) => ErrorClass::Transient,
            (Self::Unclear, Effect::Write) => ErrorClass::Unknown,
            (Self::Throttled, _) => ErrorClass::Throttled { retry_after },
            (Self::NeedsHuman, _) => ErrorClass::NeedsHuman,
            (Self::Refused, _) => ErrorClass::Refused,
        }
    }
}

/// One row of an error table. The first row whose conditions all hold is taken.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The provider's code, or a range such as `200-299`.
    pub code: &'static str,
    /// Meta's subcode, where it matters.
    pub subcode: Option<u32>,
    /// Only for these calls; empty = all.
    pub operations: &'static [&'static str],
    /// Only if the provider's text holds one of these (lower case); empty = any text.
    pub text: &'static [&'static str],
    /// What may be done next.
    pub class: Class,
    /// The outcome.
    pub reason: Reason,
    /// What the person who reads it should do.
    pub what_to_do: &'static str,
    /// A wait that the provider's rule asks for (a policy time).
    pub wait: Option<Duration>,
}

impl Row {
    /// A row for a code, whatever the call and the text.
    pub const fn new(code: &'static str, class: Class, reason: Reason, what_to_do: &'static str) -> Self {
        Self { code, subcode: None, operations: &[], text: &[], class, reason, what_to_do, wait: None }
    }

    /// Only with this subcode.
    pub const fn sub(mut self, subcode: u32) -> Self {
        self.subcode = Some(subcode);
        self
    }

    /// Only for these calls.
    pub const fn only(mut self, operations: &'static [&'static str]) -> Self {
        self.operations = operations;
        self
    }

    /// Only if the text holds one of these.
    pub const fn says(mut self, text: &'static [&'static str]) -> Self {
        self.text = text;
        self
    }

    /// With a wait.
    pub const fn wait(mut self, seconds: u64) -> Self {
        self.wait = Some(Duration::from_secs(seconds));
        self
    }

    fn fits(&self, operation: &str, problem: &Problem, lower: &str) -> bool {
        code_fits(self.code, problem.code.as_deref().unwrap_or(""))
            && self.subcode.is_none_or(|subcode| problem.subcode == Some(subcode))
            && (self.operations.is_empty() || self.operations.contains(&operation))
            && (self.text.is_empty() || self.text.iter().any(|needle| lower.contains(needle)))
    }
}

fn code_fits(pattern: &str, code: &str) -> bool {
    let range = || {
        let (low, high) = pattern.split_once('-')?;
        let (low, high, code) = (low.parse::<u32>().ok()?, high.parse::<u32>().ok()?, code.parse::<u32>().ok()?);
        Some((low..=high).contains(&code))
    };
    pattern == code || range().unwrap_or(false)
}

/// What an error answer said, before it is classified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Option<String>,
    pub(crate) subcode: Option<u32>,
    /// The text that is shown.
    pub(crate) text: String,
    /// All that may be matched by a row: texts, details, pointers.
    pub(crate) search: String,
    /// Request or trace id, for the log only.
    pub(crate) trace: Option<String>,
}

/// The first row that fits any of the problems, with the problem it fits.
pub(crate) fn find<'a>(
    rows: &'static [Row],
    operation: &str,
    problems: &'a [Problem],
) -> Option<(&'static Row, &'a Problem)> {
    problems.iter().find_map(|problem| {
        let lower = problem.search.to_lowercase();
        rows.iter().find(|row| row.fits(operation, problem, &lower)).map(|row| (row, problem))
    })
}

/// What holds when no row fits: by status, and cautiously. `known_shape`: the body was the provider's own error object.
pub(crate) fn by_status(status: u16, effect: Effect, known_shape: bool) -> (Class, Reason, &'static str) {
    const WAIT: &str = "nothing to do now; it is tried again by itself";
    const LOOK: &str =
        "the outcome is looked up by itself; if this stays, look at the provider's status page and portal";
    // An answer that is not the provider's own may come from anything on the way: it proves nothing about an effect.
    let trusted = known_shape || effect != Effect::Write;
    match status {
        401 if trusted => (
            Class::NeedsHuman,
            Reason::TokenInvalid,
            "create a new key or token at the provider and put it into the Secret that the Portfolio names",
        ),
        403 if trusted && effect != Effect::Write => (
            Class::NeedsHuman,
            Reason::PermissionDenied,
            "give the key or token the right to make this call, in the provider's portal",
        ),
        // Absence is taken as proof by callers, so only the provider itself may say it, not a proxy's page.
        404 if known_shape && effect != Effect::Write => {
            (Class::Refused, Reason::NotFound, "check the id; the object may have been removed by hand")
        }
        429 => (Class::Throttled, Reason::RateLimited, WAIT),
        300..=399 if effect != Effect::Write => (
            Class::NeedsHuman,
            Reason::Redirected,
            "correct the Portfolio's baseUrl: redirects are not followed, since the token would go with them",
        ),
        300..=399 => {
            (Class::Unclear, Reason::Redirected, "correct the Portfolio's baseUrl: redirects are not followed")
        }
        500.. => (Class::Unclear, Reason::ProviderUnavailable, if effect == Effect::Write { LOOK } else { WAIT }),
        _ => (Class::Unclear, Reason::Unclassified, LOOK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ranges() {
        for (pattern, code, want) in [
            ("190", "190", true),
            ("190", "1901", false),
            ("200-299", "200", true),
            ("200-299", "299", true),
            ("200-299", "300", false),
            ("200-299", "x", false),
        ] {
            assert_eq!(code_fits(pattern, code), want, "{pattern} {code}");
        }
    }

    #[test]
    fn an_effect_is_unknown_unless_the_answer_is_clear() {
        use Effect::{Read, Set, Write};
        for (status, effect, known, want) in [
            (500, Read, true, ErrorClass::Transient),
            (500, Set, true, ErrorClass::Transient),
            (500, Write, true, ErrorClass::Unknown),
            (400, Read, true, ErrorClass::Transient),
            (400, Write, true, ErrorClass::Unknown),
            (401, Write, true, ErrorClass::NeedsHuman),
            (401, Write, false, ErrorClass::Unknown),
            (401, Read, false, ErrorClass::NeedsHuman),
            (403, Write, true, ErrorClass::Unknown),
            (404, Read, true, ErrorClass::Refused),
            (404, Read, false, ErrorClass::Transient),
            (404, Write, true, ErrorClass::Unknown),
            (302, Read, false, ErrorClass::NeedsHuman),
            (302, Write, false, ErrorClass::Unknown),
            (429, Write, false, ErrorClass::Throttled { retry_after: None }),
        ] {
            let (class, ..) = by_status(status, effect, known);
            assert_eq!(class.resolve(effect, None), want, "{status} {effect:?} {known}");
        }
    }
}
