//! What is said to the person with the phone: what Meta does, until when a code is good by the clock, and what to run.
//! Pure. Must never hold a code.

use jiff::Timestamp;

use super::Held;
use crate::resources::client_number::CodeMethod;

/// The language that needs no mention.
const USUAL: &str = "en_US";

/// Meta refused a code although none is good any more.
pub const TOO_LATE: &str = "Meta refused the code that was handed in: it is wrong, or came too late";

/// Nobody has asked for a call yet. `last`: what became of the call before.
pub fn needed(name: &str, method: CodeMethod, last: Option<&str>) -> String {
    let text = match method {
        CodeMethod::Voice => "Meta will call the number when somebody is there to listen",
        CodeMethod::Sms => "Meta will text the number when somebody is there to read it",
    };
    format!("{}{text}: run kubectl clientnumber verify {name} --call-now", before(last))
}

/// A wish for a call of this time was seen too late.
pub fn late(name: &str, wished: Timestamp) -> String {
    format!(
        "Meta was not asked, since the wish of {} was seen too late and nobody may be there any more: when somebody is, run kubectl clientnumber verify {name} --call-now again",
        wished.strftime("%Y-%m-%d %H:%M:%S UTC")
    )
}

/// No call may be asked for yet.
pub fn held(name: &str, method: CodeMethod, held: &Held, last: Option<&str>) -> String {
    format!("{}{}: {}", before(last), held.why(), another(name, method, Some(held.until)))
}

/// A call was asked for.
pub fn awaited(name: &str, method: CodeMethod, language: &str, expires: Timestamp) -> String {
    let verb = verb(method);
    let language = if language == USUAL { String::new() } else { format!(" in {language}") };
    format!("Meta was asked to {verb} the number{language}: {}", hand_in(name, expires))
}

/// Meta refused the code while the one that was asked for is still good.
pub fn wrong(name: &str, expires: Timestamp) -> String {
    format!("Meta refused the code that was handed in: read it again and {}", hand_in(name, expires))
}

/// Meta refused a code although none is good any more.
pub fn too_late(name: &str, method: CodeMethod, held: Option<Timestamp>) -> String {
    format!("{TOO_LATE}; {}", another(name, method, held))
}

/// What was handed in is no code. `why` says what is wrong with the Secret.
pub fn malformed(name: &str, why: &str) -> String {
    format!(
        "the Secret {name}-code {why} and was deleted: hand the code in with kubectl clientnumber verify {name} --code 123456"
    )
}

/// Meta's answers to a code were unclear.
pub fn unanswered(name: &str) -> String {
    format!(
        "Meta did not say whether it takes the code that was handed in, and does not show the number as verified: hand it in once more with kubectl clientnumber verify {name} --code 123456"
    )
}

/// How to get another code. `held`: until when none may be asked for.
pub fn another(name: &str, method: CodeMethod, held: Option<Timestamp>) -> String {
    let verb = verb(method);
    match held {
        Some(until) => format!(
            "Meta may be asked to {verb} at {}: then run kubectl clientnumber verify {name} --call-now",
            until.strftime("%Y-%m-%d %H:%M:%S UTC")
        ),
        None => format!("let Meta {verb} again with kubectl clientnumber verify {name} --call-now"),
    }
}

fn hand_in(name: &str, expires: Timestamp) -> String {
    let until = expires.strftime("%H:%M:%S UTC");
    format!("hand the code in with kubectl clientnumber verify {name} --code 123456 until {until}")
}

fn verb(method: CodeMethod) -> &'static str {
    match method {
        CodeMethod::Voice => "call",
        CodeMethod::Sms => "text",
    }
}

fn before(last: Option<&str>) -> String {
    last.map_or(String::new(), |last| format!("{last}; "))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::budget::HeldBy;
    use super::*;
    use CodeMethod::{Sms, Voice};

    #[test]
    fn each_sentence() {
        let at: Timestamp = "2026-11-01T10:10:00Z".parse().unwrap();
        for (got, want) in [
            (
                needed("rif", Voice, None),
                "Meta will call the number when somebody is there to listen: run kubectl clientnumber verify rif --call-now",
            ),
            (
                needed("rif", Sms, Some("no right code was handed in while it was good")),
                "no right code was handed in while it was good; Meta will text the number when somebody is there to read it: run kubectl clientnumber verify rif --call-now",
            ),
            (
                late("rif", at),
                "Meta was not asked, since the wish of 2026-11-01 10:10:00 UTC was seen too late and nobody may be there any more: when somebody is, run kubectl clientnumber verify rif --call-now again",
            ),
            (
                awaited("rif", Voice, "en_US", at),
                "Meta was asked to call the number: hand the code in with kubectl clientnumber verify rif --code 123456 until 10:10:00 UTC",
            ),
            (
                awaited("rif", Sms, "fr_FR", at),
                "Meta was asked to text the number in fr_FR: hand the code in with kubectl clientnumber verify rif --code 123456 until 10:10:00 UTC",
            ),
            (
                held("rif", Voice, &Held { until: at, by: HeldBy::PerHour(1) }, None),
                "1 code was asked for within an hour, which is limits.codeRequests.perHour: Meta may be asked to call at 2026-11-01 10:10:00 UTC: then run kubectl clientnumber verify rif --call-now",
            ),
            (
                wrong("rif", at),
                "Meta refused the code that was handed in: read it again and hand the code in with kubectl clientnumber verify rif --code 123456 until 10:10:00 UTC",
            ),
            (
                too_late("rif", Sms, Some(at)),
                "Meta refused the code that was handed in: it is wrong, or came too late; Meta may be asked to text at 2026-11-01 10:10:00 UTC: then run kubectl clientnumber verify rif --call-now",
            ),
            (
                too_late("rif", Voice, None),
                "Meta refused the code that was handed in: it is wrong, or came too late; let Meta call again with kubectl clientnumber verify rif --call-now",
            ),
            (
                unanswered("rif"),
                "Meta did not say whether it takes the code that was handed in, and does not show the number as verified: hand it in once more with kubectl clientnumber verify rif --code 123456",
            ),
            (
                malformed("rif", "has no key code"),
                "the Secret rif-code has no key code and was deleted: hand the code in with kubectl clientnumber verify rif --code 123456",
            ),
        ] {
            assert_eq!(got, want);
        }
    }
}
