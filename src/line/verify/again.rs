//! Whether a code is handed in, and whether once more when Meta's answer to it is not known.
//!
//! Each try is in status before its call. Must never hand a code in again without having read, since the last try, that
//! Meta does not show the number as verified.

use jiff::Timestamp;

use super::super::StepError;
use super::super::pass::Pass;
use super::{entry, is_verified};
use crate::controller::handed_in::Version;
use crate::resources::client_number::HandedInStatus;
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
    /// The same code as the one that was handed in then.
    fn is(&self, last: &HandedInStatus) -> bool {
        match self {
            Self::Recording(id) => last.recording.as_ref() == Some(id),
            // A code is in a Secret of its own: the plugin makes a new one for each.
            Self::Person(version) => last.secret.is_some() && last.secret == version.uid,
        }
    }

    /// What is written down before it is handed in.
    pub fn handed_in(&self, times: i32, now: Timestamp) -> HandedInStatus {
        let (recording, secret) = match self {
            Self::Recording(id) => (Some(id.clone()), None),
            Self::Person(version) => (None, version.uid.clone()),
        };
        HandedInStatus { recording, secret, at: seconds(now), times }
    }
}

/// What to do with a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// It is handed in, for the so-manieth time.
    Now(i32),
    /// What became of the last try is looked up.
    LookUp,
    /// Often enough.
    NoMore,
}

/// Decides. Pure: `patience` is how long Meta's list is read after a try.
fn judge(last: Option<&HandedInStatus>, origin: &Origin, now: Timestamp, patience: std::time::Duration) -> Try {
    match last.filter(|last| origin.is(last)) {
        None => Try::Now(1),
        Some(last) if now < last.at.0 + patience => Try::LookUp,
        Some(last) if last.times >= TRIES => Try::NoMore,
        Some(last) => Try::Now(last.times + 1),
    }
}

/// The same, with a last look at Meta's list: whoever handed the code in may have been killed or held up since.
pub async fn may_hand_in(pass: &Pass<'_>, last: Option<&HandedInStatus>, origin: &Origin) -> Result<Try, StepError> {
    let told = judge(last, origin, pass.ctx.clock.now(), pass.ctx.policy.transcription_grace());
    if matches!(told, Try::Now(1) | Try::LookUp) {
        return Ok(told);
    }
    pass.account.forget_waba_numbers();
    let shown = entry(pass, pass.ctx.policy.link_poll()).await?;
    Ok(if shown.is_some_and(|number| !is_verified(&number)) { told } else { Try::LookUp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_code_is_handed_in_twice_at_most() {
        let at = |seconds: i64| Timestamp::from_second(1_793_000_000 + seconds).unwrap();
        let recording = |id: &str| Origin::Recording(id.to_owned());
        let secret = |uid: &str, version: &str| {
            Origin::Person(Version { uid: Some(uid.to_owned()), resource_version: Some(version.to_owned()) })
        };
        let after = |origin: &Origin, times: i32| Some(origin.handed_in(times, at(0)));
        for (what, last, origin, now, want) in [
            ("never", None, recording("a"), 0, Try::Now(1)),
            ("a moment ago", after(&recording("a"), 1), recording("a"), 29, Try::LookUp),
            ("long enough ago", after(&recording("a"), 1), recording("a"), 30, Try::Now(2)),
            ("twice, a moment ago", after(&recording("a"), 2), recording("a"), 29, Try::LookUp),
            ("twice", after(&recording("a"), 2), recording("a"), 300, Try::NoMore),
            ("another recording", after(&recording("a"), 2), recording("b"), 0, Try::Now(1)),
            ("a person's", after(&recording("a"), 2), secret("a", "1"), 0, Try::Now(1)),
            ("a person's again", after(&secret("a", "1"), 1), secret("a", "2"), 30, Try::Now(2)),
            ("a person's other one", after(&secret("a", "1"), 2), secret("b", "1"), 0, Try::Now(1)),
            ("a recording of that name", after(&secret("a", "1"), 2), recording("a"), 0, Try::Now(1)),
        ] {
            assert_eq!(judge(last.as_ref(), &origin, at(now), Duration::from_secs(30)), want, "{what}");
        }
        let unknown = Origin::Person(Version::default());
        assert_eq!(
            judge(after(&unknown, 1).as_ref(), &unknown, at(60), Duration::ZERO),
            Try::Now(1),
            "no uid, no proof"
        );
    }
}
