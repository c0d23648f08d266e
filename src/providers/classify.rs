//! From a provider's code and text to a class, a reason and a sentence: how a table is looked up, and what holds when no
//! row fits. Pure. The tables themselves are `telnyx/errors.rs` and `meta/errors.rs`.

use std::time::Duration;

use serde_json::Value;

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
    /// The provider's code, a range such as `200-299`, or `*` for a code that no other row fits.
    pub code: &'static str,
    /// Meta's subcode, where it matters.
    pub subcode: Option<u32>,
    /// Only with these HTTP statuses; empty = all.
    pub statuses: &'static [u16],
    /// Only for these calls; empty = all.
    pub operations: &'static [&'static str],
    /// Only if the provider's text holds one of these (lower case); empty = any text.
    pub text: &'static [&'static str],
    /// What may be done next.
    pub class: Class,
    /// The outcome.
    pub reason: Reason,
    /// What the person who reads it should do. No two rows of a table share a sentence.
    pub what_to_do: &'static str,
    /// A wait that the provider's rule asks for (a policy time).
    pub wait: Option<Duration>,
}

impl Row {
    /// A row for a code, whatever the call and the text.
    pub const fn new(code: &'static str, class: Class, reason: Reason, what_to_do: &'static str) -> Self {
        let (subcode, wait) = (None, None);
        Self { code, subcode, statuses: &[], operations: &[], text: &[], class, reason, what_to_do, wait }
    }

    /// Only with this subcode.
    pub const fn sub(mut self, subcode: u32) -> Self {
        self.subcode = Some(subcode);
        self
    }

    /// Only with these HTTP statuses.
    pub const fn at(mut self, statuses: &'static [u16]) -> Self {
        self.statuses = statuses;
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

    fn fits(&self, operation: &str, status: Option<u16>, problem: &Problem, lower: &str) -> bool {
        problem.code.as_deref().is_some_and(|code| code_fits(self.code, code))
            && self.subcode.is_none_or(|subcode| problem.subcode == Some(subcode))
            && (self.statuses.is_empty() || status.is_some_and(|status| self.statuses.contains(&status)))
            && (self.operations.is_empty() || self.operations.contains(&operation))
            && (self.text.is_empty() || self.text.iter().any(|needle| lower.contains(needle)))
    }
}

/// Stands in a row for every code.
const ANY: &str = "*";

fn code_fits(pattern: &str, code: &str) -> bool {
    let range = || {
        let (low, high) = pattern.split_once('-')?;
        let (low, high, code) = (low.parse::<u32>().ok()?, high.parse::<u32>().ok()?, code.parse::<u32>().ok()?);
        Some((low..=high).contains(&code))
    };
    pattern == ANY || pattern == code || range().unwrap_or(false)
}

/// What an error answer said, before it is classified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Option<String>,
    pub(crate) subcode: Option<u32>,
    /// It has the marks of the provider's own error object, so that it can't be a proxy's.
    pub(crate) own: bool,
    /// The provider says that it passes.
    pub(crate) transient: bool,
    /// The text that is shown.
    pub(crate) text: String,
    /// All that may be matched by a row: texts, details, pointers.
    pub(crate) search: String,
    /// Request or trace id, for the log only.
    pub(crate) trace: Option<String>,
}

/// A code as text, whether it came as a number, a whole float or a text.
pub(crate) fn code(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(match number.as_f64() {
            // A float such as 100.0 is the code 100; what is larger than any code stays as it was written.
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
            _ => number.to_string(),
        }),
        _ => None,
    }
}

/// The first row that fits any of the problems, with the problem it fits. Rows for any code come after all others.
pub(crate) fn find<'a>(
    rows: &'static [Row],
    operation: &str,
    status: Option<u16>,
    problems: &'a [Problem],
) -> Option<(&'static Row, &'a Problem)> {
    let find = |any: bool| {
        problems.iter().find_map(|problem| {
            let lower = problem.search.to_lowercase();
            rows.iter()
                .find(|row| (row.code == ANY) == any && row.fits(operation, status, problem, &lower))
                .map(|row| (row, problem))
        })
    };
    find(false).or_else(|| find(true)).filter(|(row, problem)| holds(row, status, problem))
}

/// What a code can't say against the rest of the answer: that a person is needed, or that something is not there, while
/// the provider says that it passes; or that nothing is known, while the status says to slow down.
fn holds(row: &Row, status: Option<u16>, problem: &Problem) -> bool {
    let final_word = row.class == Class::NeedsHuman || row.reason == Reason::NotFound;
    let passes = problem.transient && final_word;
    let slow_down = row.class == Class::Unclear && status == Some(429);
    !(passes || slow_down)
}

/// What an answer means that no row of the provider's table knows: by status, and cautiously.
#[derive(Debug, Clone, Copy)]
pub struct StatusRow {
    /// From this HTTP status on.
    pub from: u16,
    /// To this one.
    pub to: u16,
    /// Only if the body is (true) or is not (false) the provider's own error object.
    pub own: Option<bool>,
    /// Only if the provider says that it passes.
    pub transient: bool,
    /// Only for calls with, or without, an effect that can't be repeated.
    pub write: Option<bool>,
    /// What may be done next.
    pub class: Class,
    /// The outcome.
    pub reason: Reason,
    /// What the person who reads it should do.
    pub what_to_do: &'static str,
}

impl StatusRow {
    const fn new(from: u16, to: u16, class: Class, reason: Reason, what_to_do: &'static str) -> Self {
        Self { from, to, own: None, transient: false, write: None, class, reason, what_to_do }
    }

    const fn own(mut self, own: bool) -> Self {
        self.own = Some(own);
        self
    }

    const fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    const fn write(mut self, write: bool) -> Self {
        self.write = Some(write);
        self
    }
}

/// Answers without a code, or with one that no row knows. An answer that is not the provider's own may come from anything
/// on the way: it proves neither absence nor that an effect was refused.
#[rustfmt::skip]
pub static BY_STATUS: &[StatusRow] = &[
    StatusRow::new(429, 429, Class::Throttled, Reason::RateLimited, "nothing to do now; there were too many requests, they slow down by themselves"),
    StatusRow::new(300, 999, Class::Unclear, Reason::ProviderUnavailable, "nothing to do now; the provider says that this passes, and it is looked at again by itself").transient(),
    StatusRow::new(401, 401, Class::NeedsHuman, Reason::TokenInvalid, "create a new key or token at the provider and put it into the Secret that the Portfolio names").own(true),
    StatusRow::new(401, 401, Class::NeedsHuman, Reason::TokenInvalid, "check the key or token in the Secret, and whether a proxy or gateway before the provider wants a login of its own").own(false).write(false),
    StatusRow::new(403, 403, Class::NeedsHuman, Reason::PermissionDenied, "give the key or token the right to make this call, in the provider's portal; a firewall or proxy on the way may refuse as well").write(false),
    StatusRow::new(404, 404, Class::Refused, Reason::NotFound, "check the id; the object may have been removed by hand").own(true).write(false),
    StatusRow::new(300, 399, Class::NeedsHuman, Reason::Redirected, "correct the Portfolio's baseUrl: redirects are not followed, since the token would go with them").write(false),
    StatusRow::new(300, 399, Class::Unclear, Reason::Redirected, "correct the Portfolio's baseUrl: it answers with a redirect, which is not followed; the outcome is looked up by itself").write(true),
    StatusRow::new(500, 999, Class::Unclear, Reason::ProviderUnavailable, "nothing to do now; the provider fails, and it is tried again by itself").write(false),
    StatusRow::new(500, 999, Class::Unclear, Reason::ProviderUnavailable, "nothing to do now; the provider failed while it worked on this, and the outcome is looked up by itself").write(true),
    StatusRow::new(0, 999, Class::Unclear, Reason::Unclassified, "read the provider's words; it is tried again by itself, and if this stays, look at the provider's status page and portal").write(false),
    StatusRow::new(0, 999, Class::Unclear, Reason::Unclassified, "read the provider's words; the outcome is looked up by itself, and if this stays, look at the provider's status page and portal").write(true),
];

/// What holds when no row of a provider's table fits.
pub(crate) fn by_status(status: u16, effect: Effect, problems: &[Problem]) -> (Class, Reason, &'static str) {
    let own = problems.iter().any(|problem| problem.own);
    let transient = problems.iter().any(|problem| problem.transient);
    let write = effect == Effect::Write;
    BY_STATUS
        .iter()
        .find(|row| {
            (row.from..=row.to).contains(&status)
                && row.own.is_none_or(|wanted| wanted == own)
                && (transient || !row.transient)
                && row.write.is_none_or(|wanted| wanted == write)
        })
        .map_or((Class::Unclear, Reason::Unclassified, "look at the provider's portal"), |row| {
            (row.class, row.reason, row.what_to_do)
        })
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
            ("*", "x", true),
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
            let problems = [Problem { own: known, ..Problem::default() }];
            let (class, ..) = by_status(status, effect, &problems);
            assert_eq!(class.resolve(effect, None), want, "{status} {effect:?} {known}");
        }
    }

    /// "It passes" proves neither absence nor that a person is needed; and it does not make an effect repeatable.
    #[test]
    fn what_passes_is_no_final_word() {
        use Effect::{Read, Set, Write};
        for status in [400, 401, 403, 404, 500] {
            for effect in [Read, Set, Write] {
                let problems = [Problem { own: true, transient: true, ..Problem::default() }];
                let (class, reason, _) = by_status(status, effect, &problems);
                let want = if effect == Write { ErrorClass::Unknown } else { ErrorClass::Transient };
                assert_eq!((class.resolve(effect, None), reason), (want, Reason::ProviderUnavailable), "{status}");
            }
        }
        static ROWS: &[Row] = &[
            Row::new("1", Class::NeedsHuman, Reason::TokenInvalid, "a"),
            Row::new("2", Class::Refused, Reason::NotFound, "b"),
            Row::new("3", Class::Refused, Reason::WrongCode, "c"),
            Row::new("4", Class::Unclear, Reason::Unclassified, "d"),
            Row::new("*", Class::Refused, Reason::InUse, "e").at(&[400]),
        ];
        for (code, transient, status, want) in [
            ("1", false, 400, Some("a")),
            ("1", true, 400, None),
            ("2", false, 404, Some("b")),
            ("2", true, 404, None),
            ("3", true, 400, Some("c")),
            ("4", false, 500, Some("d")),
            ("4", false, 429, None),
            ("5", false, 400, Some("e")),
            ("5", false, 422, None),
        ] {
            let problem = [Problem { code: Some(code.to_owned()), transient, ..Problem::default() }];
            let found = find(ROWS, "any", Some(status), &problem).map(|(row, _)| row.what_to_do);
            assert_eq!(found, want, "{code} {transient} {status}");
        }
        let two = ["5", "3"].map(|code| Problem { code: Some(code.to_owned()), ..Problem::default() });
        assert_eq!(
            find(ROWS, "any", Some(400), &two).map(|(row, _)| row.what_to_do),
            Some("c"),
            "a code that is known"
        );
    }

    #[test]
    fn codes_of_every_shape() {
        for (json, want) in [
            (r#""10015""#, Some("10015")),
            (r#"" 10015 ""#, Some("10015")),
            ("10015", Some("10015")),
            ("100.0", Some("100")),
            ("-1", Some("-1")),
            ("99999999999999999999999", Some("1e+23")),
            (r#""""#, None),
            ("null", None),
            ("[1]", None),
            ("true", None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(code(Some(&value)).as_deref(), want, "{json}");
        }
        assert_eq!(code(None), None);
    }
}
