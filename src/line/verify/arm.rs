//! Recording calls, and ending it. Armed: our capture application on the number, its document fetched by us and as it
//! should be. Otherwise the rejecting application. Arming is recorded before it is done, so that whatever dies in between
//! is disarmed at the end.
//!
//! Must never change a number that has another use, nor leave a recording or a transcription at the carrier.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use super::{call, document};
use crate::code::capture::{self, RecordingFacts};
use crate::domain::E164;
use crate::line::number_use::{OtherUse, other_use};
use crate::portfolio::accounts::Applications;
use crate::portfolio::listener::schedule::Kind;
use crate::portfolio::listener::{Heard, HeardRecording};
use crate::providers::ErrorClass;
use crate::providers::Reason as Outcomes;
use crate::providers::telnyx::{Diversion, NumberUpdate, OwnedNumber, Transcription};
use crate::resources::client_number::VerificationStatus;
use crate::resources::reasons::Reason;

/// What arming came to.
pub enum Armed {
    /// The number records; these recordings of it were there before, by id.
    Yes(Vec<String>),
    /// It is armed, and Telnyx does not show it yet.
    Soon(Outcome),
    /// It can't be armed, and why.
    No(Outcome),
}

/// Arms the number. Where that can't be, or is refused, it rejects calls again if it recorded, and its turn ends: others
/// need not wait for it.
pub async fn or_reject(pass: &mut Pass<'_>, number: &E164) -> Result<Armed, StepError> {
    let refused = |error: &StepError| match error {
        StepError::Provider(error) => matches!(error.class, ErrorClass::NeedsHuman | ErrorClass::Refused),
        _ => false,
    };
    let result = Box::pin(arm(pass, number)).await;
    let recording = pass.status().verification.is_some_and(|v| v.armed_at.is_some());
    match &result {
        Ok(Armed::No(outcome)) => disarm(pass, &outcome.progress.clone()).await?,
        Err(error) if recording && refused(error) => {
            let message = "calls to the number are rejected again until it can be made to record";
            disarm(pass, &Progress::working(Step::Verify, Reason::InProgress, message)).await?;
        }
        // It may record without its being known here, and is disarmed by its own next pass.
        Err(_) if !recording => pass.account.end_turn(&pass.spec.uid),
        _ => {}
    }
    result
}

/// Arms the number, and proves it.
async fn arm(pass: &mut Pass<'_>, number: &E164) -> Result<Armed, StepError> {
    let status = pass.status();
    let Some(number_id) = status.purchase.and_then(|p| p.number_id) else {
        let message = "waits for the number's id at Telnyx to be recorded; goes on by itself";
        let progress = Progress::working(Step::Verify, Reason::InProgress, message);
        return Ok(Armed::No(Outcome::wait(progress, pass.ctx.policy.link_poll())));
    };
    if let Some(outcome) = document::check(pass).await? {
        return Ok(Armed::No(outcome));
    }
    if let Some(outcome) = in_the_way(pass, number, &number_id).await? {
        return Ok(Armed::No(outcome));
    }
    // What was there before the number records is nobody's business here; all that comes after it is ours to delete.
    let armed = status.verification.as_ref().is_some_and(|v| v.armed_at.is_some());
    let known =
        if armed { None } else { Some(ids(&pass.account.listener.read(number, None, &[Kind::Recordings]).await?)) };
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
    pass.account.listener.armed();
    let capture = pass.account.applications.capture.clone();
    let update = NumberUpdate { connection_id: Some(capture.clone()), ..NumberUpdate::default() };
    if let Err(error) = pass.account.telnyx.update_number(&number_id, &update).await {
        // Answered with no, whatever class that answer has: nothing is on its way any more.
        if error.http_status.is_some_and(|status| (400..500).contains(&status) && status != 429) {
            unarmed(pass, &number_id).await?;
        }
        return Err(error.into());
    }
    // Proven, not assumed: a code that is spoken into the wrong application is lost for an hour.
    let seen = pass.account.telnyx.number_by_id(&number_id).await?.and_then(|n| n.connection_id);
    if seen.as_deref() != Some(capture.as_str()) {
        let message = "Telnyx does not show the recording application on the number yet; looked at again by itself";
        let progress = Progress::working(Step::Verify, Reason::InProgress, message);
        let outcome = Outcome::wait(progress, pass.ctx.policy.code_poll());
        // Not for ever: others wait for the turn.
        let since = pass.status().verification.and_then(|v| v.armed_at).map_or(pass.ctx.clock.now(), |at| at.0);
        let late = pass.ctx.clock.now() >= since + pass.ctx.policy.link_grace();
        return Ok(if late { Armed::No(outcome) } else { Armed::Soon(outcome) });
    }
    // Calls between arming and now hold no code of ours. They go at once: nothing later would look for them.
    delete_recordings(pass, number).await?;
    Ok(Armed::Yes(ids(&pass.account.listener.known(number))))
}

/// Telnyx refuses to let the number record: unless it does already, it is not armed, and others must not wait for it.
async fn unarmed(pass: &mut Pass<'_>, number_id: &str) -> Result<(), StepError> {
    let seen = pass.account.telnyx.number_by_id(number_id).await?.and_then(|n| n.connection_id);
    if seen.as_deref() == Some(pass.account.applications.capture.as_str()) {
        return Ok(());
    }
    let message = "Telnyx does not let calls to the number be recorded; tried again by itself";
    let progress = Progress::working(Step::Verify, Reason::InProgress, message);
    pass.save(&progress, |status| {
        if let Some(verification) = status.verification.as_mut() {
            verification.armed_at = None;
            verification.known_recordings.clear();
        }
    })
    .await?;
    pass.account.end_turn(&pass.spec.uid);
    Ok(())
}

/// Why the number can't be armed as it is: it is looked at, and left as it is.
async fn in_the_way(pass: &Pass<'_>, number: &E164, number_id: &str) -> Result<Option<Outcome>, StepError> {
    let telnyx = &pass.account.telnyx;
    let Some(owned) = telnyx.number_by_id(number_id).await? else {
        let message = format!(
            "Telnyx does not show {number}, so calls to it can't be recorded: see in the Telnyx portal (Numbers, My Numbers) what became of it, then kubectl clientnumber retry {}",
            pass.spec.name.name
        );
        let progress = Progress::stalled(Step::Verify, Reason::NumberNotFound, message);
        return Ok(Some(Outcome::wait(progress, pass.ctx.policy.backoff(5))));
    };
    let diversion = match telnyx.voice_settings(number_id).await? {
        Some(settings) => settings.diversion(),
        None => None,
    };
    Ok(obstacle(&owned, diversion, &pass.account.applications).map(|(reason, message)| {
        Outcome::wait(Progress::stalled(Step::Verify, reason, message), pass.ctx.policy.backoff(5))
    }))
}

/// What another use of the number is, in words that name the difference.
fn obstacle(owned: &OwnedNumber, settings: Option<Diversion>, ours: &Applications) -> Option<(Reason, String)> {
    let number = &owned.number;
    let (what, way_out) = match other_use(owned, settings, ours)? {
        OtherUse::NotActive(status) => {
            let message = format!(
                "Telnyx says that {number} is {status}, so it can't take Meta's call: have it activated there; goes on by itself"
            );
            return Some((Reason::NumberNotActive, message));
        }
        OtherUse::Diverted(Diversion::Forwarded) => ("forwards its calls".to_owned(), "switch call forwarding off"),
        OtherUse::Diverted(Diversion::Translated) => {
            ("passes its calls on to another number".to_owned(), "clear the translated number")
        }
        OtherUse::Diverted(Diversion::Screened) => {
            ("screens its callers".to_owned(), "switch inbound call screening off")
        }
        OtherUse::Connected(id) => {
            let should = if ours.reject.is_empty() { "none" } else { ours.reject.as_str() };
            let what = format!("is connected to the application {id} instead of {should}");
            (what, "connect it to that one, or to none,")
        }
    };
    let message = format!(
        "{number} {what}, so that Meta's call would not be recorded, and that is not changed by itself: {way_out} at Telnyx; goes on by itself"
    );
    Some((Reason::NumberInUse, message))
}

/// What the choice of recordings looks at.
pub fn facts(heard: &Heard) -> Vec<RecordingFacts> {
    heard
        .recordings
        .iter()
        .map(|r| RecordingFacts {
            id: r.recording.id.clone(),
            to: r.recording.to.as_ref().map(ToString::to_string).unwrap_or_default(),
            created_at: r.recording.created_at.unwrap_or_default(),
        })
        .collect()
}

fn ids(heard: &Heard) -> Vec<String> {
    heard.recordings.iter().map(|r| r.recording.id.clone()).collect()
}

/// Deletes what was recorded since the number was armed, with its transcriptions. A transcription comes some seconds after
/// its recording, and comes also when that is gone by then: nobody would look for it any more, so it is waited for.
async fn delete_recordings(pass: &Pass<'_>, number: &E164) -> Result<(), StepError> {
    let listener = &pass.account.listener;
    // What is known already goes at once; then one look shows whether there is more.
    for recording in new(pass, number, &listener.known(number)) {
        if recording.complete().is_some() {
            pass.account.delete_recording(&recording).await?;
        }
    }
    let since = pass.status().verification.and_then(|v| v.armed_at).map(|at| at.0);
    let heard = listener.read(number, since, &[Kind::Recordings]).await?;
    if new(pass, number, &heard).is_empty() {
        return Ok(());
    }
    let heard = listener.read(number, since, &[Kind::Transcriptions]).await?;
    let grace = pass.ctx.policy.transcription_grace() * 2;
    let mut awaited = false;
    for recording in new(pass, number, &heard) {
        let made = recording.transcriptions.iter().any(Transcription::is_complete);
        if !made && recording.age < grace {
            awaited = true;
        } else {
            pass.account.delete_recording(&recording).await?;
        }
    }
    if awaited { Err(StepError::Soon(pass.ctx.policy.code_poll())) } else { Ok(()) }
}

fn new(pass: &Pass<'_>, number: &E164, heard: &Heard) -> Vec<HeardRecording> {
    let known = pass.status().verification.unwrap_or_default().known_recordings;
    let new = capture::candidates(&facts(heard), number, &known);
    heard.recordings.iter().filter(|r| new.contains(&r.recording.id)).cloned().collect()
}

/// A call that is on goes on being recorded, whatever application the number has by now: its end is waited for.
async fn call_ends(pass: &Pass<'_>, number: &E164) -> Result<(), StepError> {
    let verification = pass.status().verification.unwrap_or_default();
    let Some(before) = verification.call.filter(|c| c.requested_at.is_some() && c.recorded_at.is_none()) else {
        return Ok(());
    };
    let heard = pass.account.listener.read(number, None, &[Kind::Calls]).await?;
    let heard = super::rehearse::without(pass, heard);
    let (policy, now) = (pass.ctx.policy, pass.ctx.clock.now());
    let since = super::listen::call_log_since(before.requested_at.as_ref().map_or(now, |at| at.0), policy);
    let call = call::fold(&before, &heard, &[], since, now);
    if call::under_way(&call, policy.longest_call(), policy.transcription_grace(), now) {
        return Err(StepError::Soon(policy.code_poll()));
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
    let clean = match call_ends(pass, &number).await {
        Ok(()) => delete_recordings(pass, &number).await,
        Err(error) => Err(error),
    };
    if let Err(error) = clean {
        if matches!(error, StepError::Soon(_)) {
            pass.save(progress, |_| ()).await?;
        }
        return Err(error);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_use_is_named_and_left() {
        let ours = Applications { capture: "11".into(), reject: "22".into() };
        let owned = |status: &str, connection: Option<&str>, forwarding: bool| -> OwnedNumber {
            serde_json::from_value(json!({"id": "7", "phone_number": "+212612345678", "status": status,
                "connection_id": connection, "call_forwarding_enabled": forwarding}))
            .unwrap()
        };
        let active = |connection| owned("active", connection, false);
        for (name, number, diversion, expected) in [
            ("ours", active(Some("22")), None, None),
            (
                "another application",
                active(Some("33")),
                None,
                Some(
                    "+212612345678 is connected to the application 33 instead of 22, so that Meta's call would not be recorded, and that is not changed by itself: connect it to that one, or to none, at Telnyx; goes on by itself",
                ),
            ),
            (
                "forwarded by its voice settings",
                active(None),
                Some(Diversion::Forwarded),
                Some(
                    "+212612345678 forwards its calls, so that Meta's call would not be recorded, and that is not changed by itself: switch call forwarding off at Telnyx; goes on by itself",
                ),
            ),
            (
                "screened",
                active(None),
                Some(Diversion::Screened),
                Some(
                    "+212612345678 screens its callers, so that Meta's call would not be recorded, and that is not changed by itself: switch inbound call screening off at Telnyx; goes on by itself",
                ),
            ),
            (
                "not active",
                owned("purchase-pending", None, false),
                None,
                Some(
                    "Telnyx says that +212612345678 is purchase-pending, so it can't take Meta's call: have it activated there; goes on by itself",
                ),
            ),
        ] {
            let got = obstacle(&number, diversion, &ours).map(|(_, message)| message);
            assert_eq!(got.as_deref(), expected, "{name}");
        }
    }
}
