//! Listening: what the shared lists show of the line's number, and who reads a recording. Telnyx's transcription if it
//! appears within 30 s, then Telnyx's speech-to-text, then the operator's transcriber. Only recordings that were not there
//! before the code was asked for count: ids are compared, not clocks.
//!
//! Must never keep or show a word of what was said.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use super::hand_in::{Origin, Try, count, last, may_hand_in, was_misread, without_refused};
use super::{arm, call, person, rehearse};
use crate::code::capture;
use crate::code::transcript::{Reading, read};
use crate::domain::{OtpCode, PhoneNumberId, PolicyTime};
use crate::portfolio::listener::{Ear, HeardRecording, Source};
use crate::providers::{ErrorClass, ProviderError};
use crate::resources::ClientNumberStatus;
use crate::resources::client_number::{CallStatus, CodeSource, VerificationStatus};
use crate::resources::conditions::seconds;
use crate::resources::reasons::Reason;

/// From when on the call log may tell of a call that was asked for then: the carrier's clock may be a minute behind.
pub fn call_log_since(asked: Timestamp, policy: PolicyTime) -> Timestamp {
    asked.checked_sub(policy.name_poll()).unwrap_or(asked)
}

/// When to look again while a call is listened for until `until`. The listener wakes the line when there is news; until then
/// only time may change what is done.
pub fn next_look(pass: &Pass<'_>, until: Timestamp) -> Duration {
    let poll = pass.ctx.policy.code_poll();
    let left = Duration::try_from(until.duration_since(pass.ctx.clock.now())).unwrap_or_default();
    (poll * 3).min(left).max(poll / 3)
}

/// What a recording says.
pub enum Read {
    /// The code, and who read it.
    Code(OtpCode, CodeSource),
    /// No code, and why; None: as was found before.
    Nothing(Option<String>),
    /// Somebody is still to say; why nothing was read so far, if anybody has said so.
    NotYet(Option<String>),
}

/// What a look came to.
pub enum Listened {
    /// A code was read and handed in, and what that came to.
    HandedIn(Outcome),
    /// None yet.
    Waits(Outcome),
}

/// Looks once.
pub async fn run(
    pass: &mut Pass<'_>,
    verification: &VerificationStatus,
    expires: Timestamp,
) -> Result<Listened, StepError> {
    let before = verification.call.clone().unwrap_or_default();
    let id = pass.status().phone_number_id.and_then(|id| id.parse::<PhoneNumberId>().ok());
    let (Some(number), Some(meta_id)) = (pass.number(), id) else {
        return Ok(Listened::Waits(waiting(pass, verification, &before, expires)));
    };
    let (now, policy) = (pass.ctx.clock.now(), pass.ctx.policy);
    let asked = before.requested_at.as_ref().map_or(now, |at| at.0);
    let ear = Ear {
        line: pass.spec.name.clone(),
        number: number.clone(),
        known: verification.known_recordings.clone(),
        asked: monotonic(pass, asked),
        until: monotonic(pass, expires),
    };
    let heard = rehearse::without(pass, pass.account.listener.listen(&pass.spec.uid, ear)?);
    let new = capture::candidates(&arm::facts(&heard), &number, &verification.known_recordings);
    let mut call = call::fold(&before, &heard, &new, call_log_since(asked, policy), now);
    let readable: Vec<&HeardRecording> = without_refused(&new, verification)
        .filter_map(|id| heard.recordings.iter().find(|r| r.recording.id == *id))
        .collect();
    for recording in &readable {
        match ask(pass, recording).await? {
            Read::Code(code, from) => {
                let origin = Origin::Recording(recording.recording.id.clone());
                let before = last(verification, &origin).cloned();
                let times = match may_hand_in(pass, &origin).await? {
                    Try::Now(times) => times,
                    Try::LookUp => return Ok(Listened::Waits(looked_up(pass))),
                    Try::NoMore | Try::Refused => {
                        call.unread = Some(UNANSWERED.to_owned());
                        continue;
                    }
                };
                // Asking may have taken long.
                let handed_in = pass.ctx.clock.now();
                call.read_at = Some(seconds(handed_in));
                call.read_from = Some(from);
                call.unread = None;
                let progress = waiting(pass, verification, &call, expires).progress;
                let told = pass
                    .save_untold(&progress, |status| {
                        noted(status, call);
                        count(status, &origin, times, handed_in);
                    })
                    .await?;
                // Events take their time, and the code has none.
                let told = Box::pin(told.tell(pass.ctx));
                let handed_in = Box::pin(super::hand_in::run(pass, &meta_id, &code, origin, before));
                let ((), outcome) = futures::join!(told, handed_in);
                return outcome.map(Listened::HandedIn);
            }
            Read::Nothing(why) => {
                let before = call.unread.take();
                call.unread = why.or(before).or_else(|| Some(NOBODY.to_owned()));
            }
            // What was found before stands until there is more to say.
            Read::NotYet(why) => call.unread = why.or(call.unread.take()),
        }
    }
    let young = readable.iter().map(|r| r.age).filter(|age| *age < policy.transcription_grace()).max();
    let mut outcome = waiting(pass, verification, &call, expires);
    if call != before {
        keep(pass, verification, call, expires).await?;
    }
    let look = next_look(pass, expires);
    let grace_ends = young.map_or(look, |age| policy.transcription_grace().saturating_sub(age));
    outcome.next = super::super::Next::After(look.min(grace_ends).max(policy.code_poll() / 3));
    Ok(Listened::Waits(outcome))
}

/// Said of a recording that no source has said anything about.
pub const NOBODY: &str = "nobody could read it";

/// Said of a recording whose code was handed in as often as it may be.
const UNANSWERED: &str = "Meta did not say whether it takes the code that was read";

/// A code was handed in, and whether Meta took it is not known.
pub fn looked_up(pass: &Pass<'_>) -> Outcome {
    let message = "the code was handed in; Meta's answer is looked up";
    Outcome::wait(Progress::working(Step::Verify, Reason::CodeRequested, message), pass.ctx.policy.link_poll())
}

/// The moment on the monotonic clock.
pub fn monotonic(pass: &Pass<'_>, at: Timestamp) -> Instant {
    let (now, monotonic) = (pass.ctx.clock.now(), pass.ctx.clock.monotonic());
    match Duration::try_from(at.duration_since(now)) {
        Ok(ahead) => monotonic + ahead,
        Err(_) => monotonic.checked_sub(now.duration_since(at).unsigned_abs()).unwrap_or(monotonic),
    }
}

async fn keep(
    pass: &mut Pass<'_>,
    verification: &VerificationStatus,
    call: CallStatus,
    expires: Timestamp,
) -> Result<(), StepError> {
    let progress = waiting(pass, verification, &call, expires).progress;
    pass.save(&progress, |status| noted(status, call)).await
}

fn noted(status: &mut ClientNumberStatus, call: CallStatus) {
    if let Some(verification) = status.verification.as_mut() {
        verification.call = Some(call);
    }
}

fn waiting(pass: &Pass<'_>, verification: &VerificationStatus, call: &CallStatus, expires: Timestamp) -> Outcome {
    let refused = call.read_at.is_some() && was_misread(verification);
    let progress = if refused {
        let when = super::next_attempt(pass);
        Progress::working(Step::Verify, Reason::CodeWrong, super::refused(&pass.spec.name.name, when))
    } else {
        Progress::working(Step::Verify, Reason::CodeRequested, call::listening(call, expires))
    };
    person::stands(pass, Outcome::wait(progress, pass.ctx.policy.code_poll()))
}

/// What a recording says, by the first source that can tell. Each of those that are charged for is asked a few times at
/// most, and not again once it has answered.
pub async fn ask(pass: &Pass<'_>, recording: &HeardRecording) -> Result<Read, StepError> {
    let mut why: Option<String> = None;
    match recording.complete().and_then(|transcription| transcription.text()) {
        Some(text) => match code_in(text) {
            Ok(code) => return Ok(Read::Code(code, CodeSource::Transcription)),
            Err(refusal) => why = Some(refusal),
        },
        // Telnyx does not promise a transcription without a callback.
        None if recording.age < pass.ctx.policy.transcription_grace() => return Ok(Read::NotYet(None)),
        None => {}
    }
    let id = &recording.recording.id;
    for source in [Source::SpeechToText, Source::Transcriber] {
        if recording.answered.contains(&source) {
            continue;
        }
        if !pass.account.listener.may_ask(source, id) {
            return Ok(Read::NotYet(why));
        }
        let (heard, from) = match source {
            Source::SpeechToText => (speech_to_text(pass, id).await, CodeSource::SpeechToText),
            Source::Transcriber => {
                (pass.account.transcribe_by_operator(&recording.recording).await, CodeSource::Transcriber)
            }
        };
        match heard {
            Ok(Some(text)) => {
                pass.account.listener.has_answered(source, id);
                match code_in(&text) {
                    Ok(code) => return Ok(Read::Code(code, from)),
                    Err(refusal) => why = Some(refusal),
                }
            }
            Ok(None) => pass.account.listener.has_answered(source, id),
            Err(error) if matches!(error.class, ErrorClass::Refused | ErrorClass::NeedsHuman) => {
                tracing::warn!(line = %pass.spec.name, error = %error, "a source can't read the recording; the next one is asked");
                pass.account.listener.has_answered(source, id);
                if source == Source::Transcriber {
                    // The operator's own: only they can put it right.
                    why = Some(format!("{}: {}", error.provider_text(), error.what_to_do));
                }
                why.get_or_insert_with(|| "speech-to-text is refused".to_owned());
            }
            Err(error) => {
                tracing::info!(line = %pass.spec.name, error = %error, "a source does not answer; it is asked again by itself");
                why.get_or_insert_with(|| "speech-to-text does not answer; it is asked again by itself".to_owned());
                return Ok(Read::NotYet(why));
            }
        }
    }
    Ok(Read::Nothing(why))
}

/// Telnyx's own speech-to-text. None: the recording is gone.
async fn speech_to_text(pass: &Pass<'_>, id: &str) -> Result<Option<SecretString>, ProviderError> {
    // The download address is good for about ten minutes: read anew.
    let Some(fresh) = pass.account.telnyx.recording(id).await? else { return Ok(None) };
    pass.account.telnyx.transcribe(&fresh).await.map(Some)
}

/// The code in a text, or why there is none, in words without digits.
fn code_in(text: &SecretString) -> Result<OtpCode, String> {
    if text.expose_secret().trim().is_empty() {
        return Err("nothing was heard in it".to_owned());
    }
    match read(text.expose_secret()) {
        Reading::Code { code, form } => {
            tracing::info!(written_as = form.as_str(), "a code was read");
            Ok(code)
        }
        Reading::None(refusal) => Err(refusal.to_string()),
    }
}
