//! Handing a code in: whether, and whether once more when Meta's answer to it is not known; what its answers come to.
//!
//! Each try is in status before its call, one record for each recording and for a person's code. Must never hand a code in
//! again without having read, since the last try, that Meta does not show the number as verified.

use std::time::Duration;

use jiff::Timestamp;

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError, StepResult};
use super::{accepted, entry, held, is_verified, listen, next_attempt, person, refused};
use crate::controller::handed_in::Version;
use crate::domain::{OtpCode, PhoneNumberId};
use crate::providers::{ErrorClass, Reason as Outcomes};
use crate::resources::ClientNumberStatus;
use crate::resources::client_number::{HandedInStatus, VerificationStatus};
use crate::resources::conditions::seconds;
use crate::resources::reasons::Reason;

/// How often one code may be handed in while Meta's answers are unclear.
const TRIES: i32 = 2;
/// How the sources begin of what was read.
const RECORDING: &str = "recording/";

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
            Self::Recording(id) => format!("{RECORDING}{id}"),
            // Another state of the Secret is another code.
            Self::Person(Version { uid, resource_version }) => {
                format!(
                    "secret/{}/{}",
                    uid.as_deref().unwrap_or_default(),
                    resource_version.as_deref().unwrap_or_default()
                )
            }
        }
    }
}

/// The last try of a code of this origin.
pub fn last<'a>(verification: &'a VerificationStatus, origin: &Origin) -> Option<&'a HandedInStatus> {
    let source = origin.source();
    verification.handed_in.iter().find(|last| last.source == source)
}

/// Counts a try before it is made.
pub fn count(status: &mut ClientNumberStatus, origin: &Origin, times: i32, now: Timestamp) {
    let verification = status.verification.get_or_insert_default();
    keep(
        verification,
        origin,
        Some(HandedInStatus { source: origin.source(), at: seconds(now), times, refused: false }),
    );
}

/// Keeps `last` as the last try of a code of this origin. Of a person's only one: another one that they put there is the
/// one that is meant.
fn keep(verification: &mut VerificationStatus, origin: &Origin, last: Option<HandedInStatus>) {
    let source = origin.source();
    let another = |source: &str| matches!(origin, Origin::Person(_)) && !source.starts_with(RECORDING);
    verification.handed_in.retain(|other| other.source != source && !another(&other.source));
    verification.handed_in.extend(last);
}

/// What was read in another attempt is not looked at any more.
pub fn forget_recordings(verification: &mut VerificationStatus) {
    verification.handed_in.retain(|last| !last.source.starts_with(RECORDING));
}

/// The recordings but for those whose code Meta refused: they are not read again.
pub fn without_refused<'a>(
    recordings: &'a [String],
    verification: &VerificationStatus,
) -> impl Iterator<Item = &'a String> {
    let refused = |id: &str| {
        verification.handed_in.iter().any(|last| last.refused && last.source.strip_prefix(RECORDING) == Some(id))
    };
    recordings.iter().filter(move |id| !refused(id))
}

/// Whether Meta refused a code that was read.
pub fn was_misread(verification: &VerificationStatus) -> bool {
    verification.handed_in.iter().any(|last| last.refused && last.source.starts_with(RECORDING))
}

/// Whether Meta's answer to a code that was handed in within `patience` may still show.
pub fn is_open(verification: &VerificationStatus, now: Timestamp, patience: Duration) -> bool {
    verification.handed_in.iter().any(|last| !last.refused && now < last.at.0 + patience)
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
fn judge(last: Option<&HandedInStatus>, now: Timestamp, patience: Duration) -> Try {
    match last {
        None => Try::Now(1),
        Some(last) if last.refused => Try::Refused,
        Some(last) if now < last.at.0 + patience => Try::LookUp,
        Some(last) if last.times >= TRIES => Try::NoMore,
        Some(last) => Try::Now(last.times + 1),
    }
}

/// The same, with a last look at Meta's list: whoever handed the code in may have been killed or held up since.
pub async fn may_hand_in(pass: &Pass<'_>, origin: &Origin) -> Result<Try, StepError> {
    let verification = pass.status().verification.unwrap_or_default();
    let told = judge(last(&verification, origin), pass.ctx.clock.now(), pass.ctx.policy.transcription_grace());
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

/// Hands in what a person has put into a Secret. It stays there until Meta has answered, or was asked often enough.
pub async fn persons(pass: &mut Pass<'_>, id: &PhoneNumberId, code: &OtpCode, secret: Version) -> StepResult {
    let verification = pass.status().verification.unwrap_or_default();
    let origin = Origin::Person(secret.clone());
    let before = last(&verification, &origin).cloned();
    match may_hand_in(pass, &origin).await? {
        Try::LookUp => Ok(listen::looked_up(pass)),
        // Killed before the Secret went.
        Try::Refused => person_was_wrong(pass, secret).await,
        Try::NoMore => {
            let outcome = person::unanswered(pass);
            pass.save(&outcome.progress, |_| ()).await?;
            person::delete(pass, &secret).await?;
            Ok(outcome)
        }
        Try::Now(times) => {
            let (now, progress) = (pass.ctx.clock.now(), listen::looked_up(pass).progress);
            pass.intend(&progress, |status| count(status, &origin, times, now)).await?;
            run(pass, id, code, origin, before).await
        }
    }
}

/// Hands a code in, once. `before`: what was recorded of the last try before this one was.
pub async fn run(
    pass: &mut Pass<'_>,
    id: &PhoneNumberId,
    code: &OtpCode,
    origin: Origin,
    before: Option<HandedInStatus>,
) -> StepResult {
    let result = pass.account.meta.verify_code(id, code).await;
    pass.account.forget_waba_numbers();
    match result {
        Ok(()) => {
            pass.ctx.metrics.code_request(&pass.spec.portfolio, "verified");
            accepted(pass).await
        }
        Err(error) if error.is(Outcomes::AlreadyVerified) => accepted(pass).await,
        Err(error) if error.is(Outcomes::WrongCode) || error.class == ErrorClass::Refused => {
            pass.ctx.metrics.code_request(&pass.spec.portfolio, "wrong");
            match origin {
                // What was read wrong once is not read again; it stays a recording of ours, to be deleted with the others.
                Origin::Recording(_) => {
                    let message = refused(&pass.spec.name.name, next_attempt(pass));
                    let progress = Progress::working(Step::Verify, Reason::CodeWrong, message);
                    pass.save(&progress, |status| refuse(status, &origin)).await?;
                    Ok(Outcome::wait(progress, pass.ctx.policy.code_poll()))
                }
                Origin::Person(secret) => person_was_wrong(pass, secret).await,
            }
        }
        // Perhaps it was accepted: the number is read again before anything else.
        Err(error) if error.class == ErrorClass::Unknown => {
            tracing::info!(line = %pass.spec.name, error = %error, "whether Meta took the code is looked up");
            Ok(listen::looked_up(pass))
        }
        // Meta did not look at it: this try counts as not made.
        Err(error) => {
            let progress = listen::looked_up(pass).progress;
            pass.intend(&progress, |status| keep(status.verification.get_or_insert_default(), &origin, before)).await?;
            Err(error.into())
        }
    }
}

/// Meta refused what a person handed in: recorded and said first, then the Secret goes; not handed in again whatever becomes
/// of that.
async fn person_was_wrong(pass: &mut Pass<'_>, secret: Version) -> StepResult {
    let verification = pass.status().verification.unwrap_or_default();
    let now = pass.ctx.clock.now();
    let expires = verification.code_expires_at.as_ref().map(|expires| expires.0).filter(|expires| now < *expires);
    let held = held(pass, &verification).map(|held| held.until);
    let outcome = match (pass.spec.source.at_carrier(), expires) {
        (true, Some(_)) => {
            let message = refused(&pass.spec.name.name, next_attempt(pass));
            let progress = Progress::working(Step::Verify, Reason::CodeWrong, message);
            Outcome::wait(progress, pass.ctx.policy.code_poll())
        }
        (true, None) => person::came_too_late(pass, next_attempt(pass)),
        (false, _) => person::refused(pass, expires, held),
    };
    pass.save(&outcome.progress, |status| refuse(status, &Origin::Person(secret.clone()))).await?;
    person::delete(pass, &secret).await?;
    Ok(outcome)
}

/// Meta refused the code: it is not handed in again.
fn refuse(status: &mut ClientNumberStatus, origin: &Origin) {
    let source = origin.source();
    let verification = status.verification.get_or_insert_default();
    verification.handed_in.iter_mut().filter(|last| last.source == source).for_each(|last| last.refused = true);
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
        let tried = |tries: &[(&Origin, i32, bool)]| {
            let mut status = ClientNumberStatus::default();
            for (origin, times, no) in tries {
                count(&mut status, origin, *times, at(0));
                if *no {
                    refuse(&mut status, origin);
                }
            }
            status.verification.unwrap_or_default()
        };
        let (a, b) = (recording("a"), recording("b"));
        let (mine, other, changed) = (secret("a", "1"), secret("b", "1"), secret("a", "2"));
        for (what, before, origin, now, want) in [
            ("never", tried(&[]), &a, 0, Try::Now(1)),
            ("a moment ago", tried(&[(&a, 1, false)]), &a, 29, Try::LookUp),
            ("long enough ago", tried(&[(&a, 1, false)]), &a, 30, Try::Now(2)),
            ("twice, a moment ago", tried(&[(&a, 2, false)]), &a, 29, Try::LookUp),
            ("twice", tried(&[(&a, 2, false)]), &a, 300, Try::NoMore),
            ("another recording", tried(&[(&a, 2, false)]), &b, 0, Try::Now(1)),
            ("twice, and another recording twice", tried(&[(&a, 2, false), (&b, 2, false)]), &a, 300, Try::NoMore),
            ("a person's besides", tried(&[(&a, 2, false), (&mine, 1, false)]), &a, 300, Try::NoMore),
            ("a person's again", tried(&[(&mine, 1, false), (&a, 2, false)]), &mine, 30, Try::Now(2)),
            ("a person's other one", tried(&[(&mine, 2, false)]), &other, 0, Try::Now(1)),
            ("another code in the same Secret", tried(&[(&mine, 2, false)]), &changed, 0, Try::Now(1)),
            ("refused", tried(&[(&mine, 1, true)]), &mine, 300, Try::Refused),
            ("refused, and another one", tried(&[(&mine, 1, true)]), &changed, 0, Try::Now(1)),
        ] {
            assert_eq!(judge(last(&before, origin), at(now), Duration::from_secs(30)), want, "{what}");
        }
    }

    #[test]
    fn what_is_kept_of_tries() {
        let (now, mut status) = (Timestamp::UNIX_EPOCH, ClientNumberStatus::default());
        let recording = |id: &str| Origin::Recording(id.to_owned());
        let person = |version: &str| {
            Origin::Person(Version { uid: Some("u".into()), resource_version: Some(version.to_owned()) })
        };
        for origin in [recording("a"), person("1"), recording("b"), person("2")] {
            count(&mut status, &origin, 1, now);
        }
        count(&mut status, &recording("a"), 2, now);
        refuse(&mut status, &recording("b"));
        let verification = status.verification.as_mut().unwrap();
        let mut kept: Vec<_> = verification.handed_in.iter().map(|h| (h.source.as_str(), h.times, h.refused)).collect();
        kept.sort_unstable();
        assert_eq!(kept, [("recording/a", 2, false), ("recording/b", 1, true), ("secret/u/2", 1, false)]);
        let all = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(without_refused(&all, verification).collect::<Vec<_>>(), ["a", "c"]);
        assert!(was_misread(verification));
        assert!(is_open(verification, now, Duration::from_secs(1)));
        assert!(!is_open(verification, now + Duration::from_secs(1), Duration::from_secs(1)));
        // Meta did not look at it: it counts as before.
        keep(verification, &recording("a"), None);
        assert_eq!(last(verification, &recording("a")), None);
        forget_recordings(verification);
        assert_eq!(verification.handed_in.len(), 1);
        assert!(!was_misread(verification));
    }
}
