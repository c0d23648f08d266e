//! Listening: recording -> its transcription, if it appears in time -> Telnyx's own speech-to-text. Only recordings that
//! were not there before the code was asked for count: ids are compared, not clocks. One shared list call serves all
//! numbers that await a code, and nothing is listed when none does.

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError, StepResult};
use super::hand_in;
use crate::code::capture::{self, RecordingFacts};
use crate::code::transcript::{Reading, read};
use crate::domain::OtpCode;
use crate::providers::meta::PhoneNumber;
use crate::providers::telnyx::Recording;
use crate::resources::client_number::VerificationStatus;
use crate::resources::reasons::Reason;

/// How far back recordings are listed: wide, since the carrier's clock decides. What was there before is told by id.
pub fn since(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::from_hours(2)).unwrap_or(now)
}

/// What the choice of recordings looks at.
pub fn facts(recordings: &[Recording]) -> Vec<RecordingFacts> {
    recordings
        .iter()
        .map(|r| RecordingFacts {
            id: r.id.clone(),
            to: r.to.as_ref().map(ToString::to_string).unwrap_or_default(),
            created_at: r.created_at.unwrap_or_default(),
        })
        .collect()
}

/// Looks once.
pub async fn run(
    pass: &mut Pass<'_>,
    entry: &PhoneNumber,
    verification: &VerificationStatus,
    expires: Timestamp,
) -> StepResult {
    let Some(number) = pass.number() else { return Ok(waiting(pass, expires, "")) };
    let poll = pass.ctx.policy.code_poll();
    let from = since(pass.ctx.clock.now());
    let recordings = pass.account.recordings(from, poll).await?;
    let mut candidates = capture::candidates(&facts(&recordings), &number, &verification.known_recordings);
    candidates.retain(|id| !pass.account.is_wrong(id));
    if candidates.is_empty() {
        return Ok(waiting(pass, expires, ""));
    }
    for id in candidates {
        let Some(recording) = recordings.iter().find(|r| r.id == id) else { continue };
        if let Some(code) = code_of(pass, recording).await? {
            return hand_in(pass, entry, &code, Some(id)).await;
        }
    }
    Ok(waiting(pass, expires, "a call was recorded and is being read; "))
}

fn waiting(pass: &Pass<'_>, expires: Timestamp, what: &str) -> Outcome {
    let until = expires.strftime("%H:%M:%S UTC");
    let message = if what.is_empty() {
        format!("Meta was asked to call; the code is listened for until {until}")
    } else {
        format!("{what}the code is listened for until {until}")
    };
    Outcome::wait(Progress::working(Step::Verify, Reason::CodeRequested, message), pass.ctx.policy.code_poll())
}

/// The code that a recording holds, by its transcription or by speech-to-text.
async fn code_of(pass: &Pass<'_>, recording: &Recording) -> Result<Option<OtpCode>, StepError> {
    let poll = pass.ctx.policy.code_poll();
    let from = since(pass.ctx.clock.now());
    let transcriptions = pass.account.transcriptions(from, poll).await?;
    let done =
        transcriptions.iter().find(|t| t.recording_id.as_deref() == Some(recording.id.as_str()) && t.is_complete());
    if let Some(text) = done.and_then(|t| t.text())
        && let Some(code) = read_code(text.expose_secret())
    {
        return Ok(Some(code));
    }
    // Telnyx does not promise a transcription without a callback: after 30 s its speech-to-text is asked, once.
    let first_seen = pass.account.first_seen(&recording.id, pass.ctx.clock.monotonic());
    let late = pass.ctx.clock.monotonic().duration_since(first_seen) >= pass.ctx.policy.transcription_grace();
    if !(late || done.is_some()) || !pass.account.try_speech_to_text(&recording.id) {
        return Ok(None);
    }
    // The download address is good for about ten minutes: read anew.
    let Some(fresh) = pass.account.telnyx.recording(&recording.id).await? else { return Ok(None) };
    let text = pass.account.telnyx.transcribe(&fresh).await?;
    Ok(read_code(text.expose_secret()))
}

fn read_code(text: &str) -> Option<OtpCode> {
    match read(text) {
        Reading::Code { code, .. } => Some(code),
        Reading::None(refusal) => {
            tracing::info!(refusal = ?refusal, "a transcript gave no code");
            None
        }
    }
}
