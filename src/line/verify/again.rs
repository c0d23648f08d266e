//! Whether a code is handed in, and whether once more when Meta's answer to it is not known.
//!
//! Each try is in status before its call, apart for what was read and what a person handed in. Must never hand a code in
//! again without having read, since the last try, that Meta does not show the number as verified.

use std::time::Duration;

use jiff::Timestamp;

use super::super::StepError;
use super::super::pass::Pass;
use super::{entry, is_verified};
use crate::controller::handed_in::Version;
use crate::resources::client_number::{HandedInStatus, VerificationStatus};
use crate::resources::conditions::seconds;

/// How often one code may be handed in while Meta's answers are unclear.
const TRIES: i32 = 2;

/// Where a code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was read from this recording.
    Recording(String),
    /// A person put it into this Secret.
    Person(Version),
}

impl Origin {
    fn source(&self) -> String {
        match self {
            Self::Recording(id) => id.clone(),
            // Another state of the Secret is another code.
            Self::Person(Version { uid, resource_version }) => {
                format!("{}/{}", uid.as_deref().unwrap_or_default(), resource_version.as_deref().unwrap_or_default())
            }
        }
    }

    /// The last try of a code of this origin.
    pub fn last(&self, verification: &VerificationStatus) -> Option<HandedInStatus> {
        match self {
            Self::Recording(_) => verification.call.as_ref()?.handed_in.clone(),
            Self::Person(_) => verification.handed_in_by_person.clone(),
        }
    }

    /// Keeps what became of the last try.
    pub fn keep(&self, verification: &mut VerificationStatus, last: Option<HandedInStatus>) {
        match self {
            Self::Recording(_) => verification.call.get_or_insert_default().handed_in = last,
            Self::Person(_) => verification.handed_in_by_person = last,
        }
    }

    /// What is written down before a code is handed in.
    pub fn handed_in(&self, times: i32, now: Timestamp) -> HandedInStatus {
        HandedInStatus { source: self.source(), at: seconds(now), times, refused: false }
    }
}

/// What to do with a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// It is handed in; which time it is.
    Now(i32),
    /// What became of the last try is looked up.
    LookUp,
    /// Often enough: Meta did not say whether it takes it.
    NoMore,
    /// Meta refused it.
    Refused,
}

/// Decides. Pure: `patience` is how long Meta's list is read after a try.
fn judge(last: Option<&HandedInStatus>, origin: &Origin, now: Timestamp, patience: Duration) -> Try {
    match last.filter(|last| last.source == origin.source()) {
        None => Try::Now(1),
        Some(last) if last.refused => Try::Refused,
        Some(last) if now < last.at.0 + patience => Try::LookUp,
        Some(last) if last.times >= TRIES => Try::NoMore,
        Some(last) => Try::Now(last.times + 1),
    }
}

/// The same, with a last look at Meta's list: whoever handed the code in may have been killed or held up since.
pub async fn may_hand_in(pass: &Pass<'_>, last: Option<&HandedInStatus>, origin: &Origin) -> Result<Try, StepError> {
    let told = judge(last, origin, pass.ctx.clock.now(), pass.ctx.policy.transcription_grace());
    if matches!(told, Try::Now(1) | Try::LookUp | Try::Refused) {
        return Ok(told);
    }
    let max_age = match told {
        Try::NoMore => pass.ctx.policy.name_poll(),
        _ => {
            pass.account.forget_waba_numbers();
            pass.ctx.policy.link_poll()
        }
    };
    let shown = entry(pass, max_age).await?;
    Ok(if shown.is_some_and(|number| !is_verified(&number)) { told } else { Try::LookUp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_handed_in_twice_at_most() {
        let at = |seconds: i64| Timestamp::from_second(1_793_000_000 + seconds).unwrap();
        let recording = |id: &str| Origin::Recording(id.to_owned());
        let secret = |uid: &str, version: &str| {
            Origin::Person(Version { uid: Some(uid.to_owned()), resource_version: Some(version.to_owned()) })
        };
        let after = |origin: &Origin, times: i32| Some(origin.handed_in(times, at(0)));
        let refused = |origin: &Origin| Some(HandedInStatus { refused: true, ..origin.handed_in(1, at(0)) });
        for (what, last, origin, now, want) in [
            ("never", None, recording("a"), 0, Try::Now(1)),
            ("a moment ago", after(&recording("a"), 1), recording("a"), 29, Try::LookUp),
            ("long enough ago", after(&recording("a"), 1), recording("a"), 30, Try::Now(2)),
            ("twice, a moment ago", after(&recording("a"), 2), recording("a"), 29, Try::LookUp),
            ("twice", after(&recording("a"), 2), recording("a"), 300, Try::NoMore),
            ("another recording", after(&recording("a"), 2), recording("b"), 0, Try::Now(1)),
            ("a person's again", after(&secret("a", "1"), 1), secret("a", "1"), 30, Try::Now(2)),
            ("a person's other one", after(&secret("a", "1"), 2), secret("b", "1"), 0, Try::Now(1)),
            ("another code in the same Secret", after(&secret("a", "1"), 2), secret("a", "2"), 0, Try::Now(1)),
            ("refused", refused(&secret("a", "1")), secret("a", "1"), 300, Try::Refused),
            ("refused, and another one", refused(&secret("a", "1")), secret("a", "2"), 0, Try::Now(1)),
        ] {
            assert_eq!(judge(last.as_ref(), &origin, at(now), Duration::from_secs(30)), want, "{what}");
        }
    }

    #[test]
    fn what_was_read_and_what_a_person_says_are_counted_apart() {
        let (now, mut status) = (Timestamp::UNIX_EPOCH, VerificationStatus::default());
        let read = Origin::Recording("a".into());
        let person = Origin::Person(Version { uid: Some("u".into()), resource_version: Some("1".into()) });
        read.keep(&mut status, Some(read.handed_in(2, now)));
        person.keep(&mut status, Some(person.handed_in(1, now)));
        assert_eq!(read.last(&status).map(|last| last.times), Some(2));
        assert_eq!(person.last(&status).map(|last| (last.times, last.source)), Some((1, "u/1".into())));
    }
}
