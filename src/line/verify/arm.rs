//! Recording calls, and ending it. Armed: our capture application on the number, its document fetched by us and as it
//! should be. Otherwise the rejecting application. Arming is recorded before it is done, so that whatever dies in between
//! is disarmed at the end.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use crate::code::capture;
use crate::domain::E164;
use crate::providers::Reason as Outcomes;
use crate::providers::telnyx::NumberUpdate;
use crate::resources::client_number::VerificationStatus;
use crate::resources::reasons::Reason;
use crate::router::texml;
use std::time::Duration;

/// Arms the number; `Some(outcome)`: it can't be, and why.
pub async fn arm(pass: &mut Pass<'_>, number: &E164) -> Result<Option<Outcome>, StepError> {
    let status = pass.status();
    let Some(number_id) = status.purchase.and_then(|p| p.number_id) else { return Ok(None) };
    if let Some(outcome) = check_document(pass).await {
        return Ok(Some(outcome));
    }
    // What was there before the number records is nobody's business here; all that comes after it is ours to delete.
    let armed = status.verification.as_ref().is_some_and(|v| v.armed_at.is_some());
    let known = if armed { None } else { Some(recordings_to(pass, number).await?) };
    let now = Time(pass.ctx.clock.now());
    let progress = Progress::working(
        Step::Verify,
        Reason::InProgress,
        "calls to the number are recorded from now on, until the code is caught",
    );
    pass.intend(&progress, |status| {
        let verification = status.verification.get_or_insert_with(VerificationStatus::default);
        verification.armed_at.get_or_insert(now);
        verification.known_recordings = known.unwrap_or(std::mem::take(&mut verification.known_recordings));
    })
    .await?;
    let capture = pass.account.applications.capture.clone();
    let update = NumberUpdate { connection_id: Some(capture.clone()), ..NumberUpdate::default() };
    pass.account.telnyx.update_number(&number_id, &update).await?;
    // Proven, not assumed: a code that is spoken into the wrong application is lost for an hour.
    let seen = pass.account.telnyx.number_by_id(&number_id).await?.and_then(|n| n.connection_id);
    if seen.as_deref() != Some(capture.as_str()) {
        let message = "Telnyx does not show the recording application on the number yet; looked at again by itself";
        let progress = Progress::working(Step::Verify, Reason::InProgress, message);
        return Ok(Some(Outcome::wait(progress, pass.ctx.policy.code_poll())));
    }
    Ok(None)
}

/// Fetches the capture document as Telnyx will, and compares it.
async fn check_document(pass: &Pass<'_>) -> Option<Outcome> {
    let wait = pass.ctx.policy.backoff(4);
    let stalled = |reason, message| Some(Outcome::wait(Progress::stalled(Step::Verify, reason, message), wait));
    let Some(url) = crate::portfolio::voice_urls(&pass.portfolio).map(|urls| urls.capture) else {
        return stalled(
            Reason::CaptureNotConfigured,
            "set telnyx.voiceUrl or meta.webhookUrl of the Portfolio to the router's public address".to_owned(),
        );
    };
    match pass.ctx.accounts.fetch_document(&url).await {
        Ok(document) if document.trim() == texml::CAPTURE.trim() => None,
        Ok(_) => stalled(
            Reason::CaptureNotReachable,
            format!("{url} does not answer with the capture document: let it lead to the router of this version"),
        ),
        Err(error) => stalled(
            Reason::CaptureNotReachable,
            format!(
                "{url} can't be fetched ({error}): let it lead to the router, reachable from the Internet and from here"
            ),
        ),
    }
}

/// Ids of the recordings of calls to the number, by a call of its own: nothing may be missing.
pub async fn recordings_to(pass: &Pass<'_>, number: &E164) -> Result<Vec<String>, StepError> {
    Ok(pass.account.telnyx.recordings_to(number).await?.into_iter().map(|r| r.id).collect())
}

/// Deletes what was recorded since the number was armed, with its transcriptions.
pub async fn delete_recordings(pass: &Pass<'_>, number: &E164) -> Result<(), StepError> {
    let verification = pass.status().verification.unwrap_or_default();
    let now = pass.ctx.clock.now();
    // However long ago it was armed: a controller may have been away meanwhile.
    let since = super::listen::since(verification.armed_at.map_or(now, |t| t.0.min(now)));
    let recordings = pass.account.recordings(since, Duration::ZERO).await?;
    let new = capture::candidates(&super::listen::facts(&recordings), number, &verification.known_recordings);
    if new.is_empty() {
        return Ok(());
    }
    let transcriptions = pass.account.transcriptions(since, Duration::ZERO).await?;
    for id in new {
        for transcription in transcriptions.iter().filter(|t| t.recording_id.as_deref() == Some(id.as_str())) {
            pass.account.telnyx.delete_transcription(&transcription.id).await?;
        }
        pass.account.telnyx.delete_recording(&id).await?;
    }
    Ok(())
}

/// Lets the number reject calls again and deletes what was recorded. Does nothing for a number that is not armed.
/// `progress` is what is shown meanwhile.
pub async fn disarm(pass: &mut Pass<'_>, progress: &Progress) -> Result<(), StepError> {
    let status = pass.status();
    let armed = status.verification.as_ref().is_some_and(|v| v.armed_at.is_some());
    let (true, Some(number), Some(number_id)) = (armed, pass.number(), status.purchase.and_then(|p| p.number_id))
    else {
        pass.account.end_turn(&pass.spec.uid);
        return Ok(());
    };
    // First nothing more is recorded, then what was recorded goes.
    let update =
        NumberUpdate { connection_id: Some(pass.account.applications.reject.clone()), ..NumberUpdate::default() };
    match pass.account.telnyx.update_number(&number_id, &update).await {
        // A number that is gone records nothing.
        Err(error) if !error.is(Outcomes::NotFound) => return Err(error.into()),
        _ => {}
    }
    delete_recordings(pass, &number).await?;
    pass.save(progress, |status| {
        if let Some(verification) = status.verification.as_mut() {
            verification.armed_at = None;
            verification.known_recordings.clear();
        }
    })
    .await?;
    pass.account.end_turn(&pass.spec.uid);
    Ok(())
}
