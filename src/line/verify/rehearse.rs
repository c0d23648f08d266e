//! A test call through the whole chain, before one of Meta's calls is spent: another number of ours calls the line and says
//! six digits, which must come back out of the recording.
//!
//! Recorded before it is made, so that a kill makes no second call; which digits it says follows from what is recorded.
//! Must never count as a code request, hold up other lines between two test calls, or show a digit.

use std::time::Duration;

use jiff::Timestamp;

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use super::arm;
use super::listen::{self, Read};
use super::rehearsal::{self, Look, Next, Said, Verdict};
use crate::code::{capture, rehearsal as spoken};
use crate::domain::{E164, OtpCode};
use crate::portfolio::listener::schedule::Kind;
use crate::portfolio::listener::{Ear, Heard};
use crate::providers::ErrorClass;
use crate::providers::telnyx::{CallEventKind, OutboundCall, Recording};
use crate::resources::client_number::{RehearsalStatus, VerificationStatus};
use crate::resources::conditions::seconds;
use crate::resources::portfolio::Rehearsal;
use crate::resources::reasons::Reason;

/// Before a line takes its turn: between two test calls it takes none, and records nothing.
pub async fn rests(pass: &mut Pass<'_>) -> Result<Option<Outcome>, StepError> {
    if wish(pass).is_none() {
        return Ok(None);
    }
    if super::super::asked_anew(&pass.line) && state(pass).failed_at.is_some() {
        // Kept in status: the wish counts as granted before the call is made.
        let progress = Progress::working(Step::Verify, Reason::InProgress, "a test call follows, as a person asked");
        let rehearsal = RehearsalStatus { failed_at: None, ..state(pass) };
        record(pass, &progress, rehearsal).await?;
    }
    match next(pass) {
        Next::Wait(until) => Ok(Some(wait(pass, until).await?)),
        _ => Ok(None),
    }
}

/// With the turn taken: makes the test call, or listens for it. None: nothing stands between the line and its code.
pub async fn run(pass: &mut Pass<'_>, number: &E164) -> Result<Option<Outcome>, StepError> {
    let Some(wish) = wish(pass) else { return Ok(None) };
    match next(pass) {
        Next::GoOn => Ok(None),
        Next::Wait(until) => Ok(Some(wait(pass, until).await?)),
        Next::Call => call(pass, number, &wish).await.map(Some),
        Next::Listen { began, until } => hear(pass, number, &wish, began, until).await,
    }
}

/// Without what test calls left in the lists: a call that begins with them is not Meta's, and neither is what it says.
pub fn without(pass: &Pass<'_>, heard: Heard) -> Heard {
    match wish(pass) {
        None => heard,
        Some(wish) => of_others(heard, &wish.from_number),
    }
}

fn of_others(mut heard: Heard, from: &str) -> Heard {
    heard.events.retain(|event| !is_from(event.from.as_ref().map(|from| from.0.as_str()), from));
    heard.recordings.retain(|one| !is_from(caller(&one.recording), from));
    heard
}

fn caller(recording: &Recording) -> Option<&str> {
    recording.from.as_ref().map(|from| from.0.as_str())
}

/// Telnyx writes numbers with and without the plus sign.
fn is_from(caller: Option<&str>, from: &str) -> bool {
    match (caller.map(E164::parse_loose), E164::parse(from)) {
        (Some(Ok(caller)), Ok(from)) => caller == from,
        _ => false,
    }
}

fn wish(pass: &Pass<'_>) -> Option<Rehearsal> {
    pass.portfolio.spec.telnyx.rehearsal.clone()
}

fn verification(pass: &Pass<'_>) -> VerificationStatus {
    pass.status().verification.unwrap_or_default()
}

fn state(pass: &Pass<'_>) -> RehearsalStatus {
    verification(pass).rehearsal.unwrap_or_default()
}

fn next(pass: &Pass<'_>) -> Next {
    rehearsal::next(&verification(pass), pass.ctx.clock.now(), pass.ctx.policy)
}

async fn record(pass: &mut Pass<'_>, progress: &Progress, rehearsal: RehearsalStatus) -> Result<(), StepError> {
    pass.save(progress, |status| {
        status.verification.get_or_insert_with(VerificationStatus::default).rehearsal = Some(rehearsal);
    })
    .await
}

/// Until the next test call may be made: disarmed, and without a turn.
async fn wait(pass: &mut Pass<'_>, until: Timestamp) -> Result<Outcome, StepError> {
    let failure = state(pass).last_failure;
    let message = rehearsal::waiting(failure.as_deref(), until, &pass.spec.name.name);
    let progress = match failure {
        Some(_) => Progress::stalled(Step::Verify, Reason::RehearsalFailed, message),
        None => Progress::working(Step::Verify, Reason::InProgress, message),
    };
    pass.account.listener.stop(&pass.spec.uid);
    arm::disarm(pass, &progress).await?;
    let left = Duration::try_from(until.duration_since(pass.ctx.clock.now())).unwrap_or_default();
    Ok(Outcome::wait(progress, left.max(pass.ctx.policy.code_poll() / 3)))
}

/// It failed: kept first, then the number stops recording.
async fn failed(pass: &mut Pass<'_>, failure: String) -> Result<Outcome, StepError> {
    tracing::warn!(line = %pass.spec.name, failure, "a test call failed; no code is asked for");
    let now = pass.ctx.clock.now();
    let rehearsal = rehearsal::with_failure(&state(pass), failure, seconds(now));
    let after = VerificationStatus { rehearsal: Some(rehearsal.clone()), ..verification(pass) };
    let until = match rehearsal::next(&after, now, pass.ctx.policy) {
        Next::Wait(until) => until,
        _ => now,
    };
    let message = rehearsal::waiting(rehearsal.last_failure.as_deref(), until, &pass.spec.name.name);
    record(pass, &Progress::stalled(Step::Verify, Reason::RehearsalFailed, message), rehearsal).await?;
    wait(pass, until).await
}

fn ringing(wish: &Rehearsal, until: Timestamp) -> Progress {
    let until = until.strftime("%H:%M:%S UTC");
    let message = format!(
        "a test call from {} says six digits before a code is asked for; they are listened for until {until}",
        wish.from_number
    );
    Progress::working(Step::Verify, Reason::InProgress, message)
}

async fn call(pass: &mut Pass<'_>, number: &E164, wish: &Rehearsal) -> Result<Outcome, StepError> {
    let Some(from) = E164::parse(&wish.from_number).ok().filter(|from| from != number) else {
        let failure = "telnyx.rehearsal.fromNumber of the Portfolio is this line's own number, which can't call itself: name another number of the Telnyx account there";
        return failed(pass, failure.to_owned()).await;
    };
    let account = match pass.account.telnyx.organization().await {
        Ok(account) => account,
        Err(error) => {
            // Nothing records: others need not wait for this line's turn to end.
            if verification(pass).armed_at.is_none() {
                pass.account.end_turn(&pass.spec.uid);
            }
            return Err(error.into());
        }
    };
    if let arm::Armed::No(outcome) | arm::Armed::Soon(outcome) = Box::pin(arm::or_reject(pass, number)).await? {
        return Ok(outcome);
    }
    let before = state(pass);
    let (now, started) = (pass.ctx.clock.now(), pass.ctx.clock.monotonic());
    let rehearsal = rehearsal::with_call(&before, seconds(now), pass.ctx.policy);
    let calls: Vec<Timestamp> = rehearsal.calls.iter().map(|at| at.0).collect();
    let Some(digits) = spoken::digits(&pass.spec.uid, &calls) else { return Err(StepError::Moved) };
    let after = VerificationStatus { rehearsal: Some(rehearsal.clone()), ..verification(pass) };
    let until = match rehearsal::next(&after, now, pass.ctx.policy) {
        Next::Listen { until, .. } => until,
        _ => return Err(StepError::Moved),
    };
    let progress = ringing(wish, until);
    // Before the call: whatever dies now, no second one goes out while this one may be heard.
    record(pass, &progress, rehearsal).await?;
    let listening = Outcome::wait(progress, pass.ctx.policy.code_poll());
    if pass.too_late(started) {
        return Ok(listening);
    }
    let document = spoken::document(&digits);
    let call = OutboundCall {
        account: &account,
        from: &from,
        to: number,
        connection: &wish.connection_id,
        document: &document,
    };
    let telnyx = pass.account.telnyx.not_after(pass.good_until(started));
    match telnyx.place_call(&call).await {
        Ok(()) => Ok(listening),
        Err(error) if error.was_not_sent() => {
            record(pass, &listening.progress, before).await?;
            Err(error.into())
        }
        Err(error) if matches!(error.class, ErrorClass::NeedsHuman | ErrorClass::Refused) => {
            // It was not made: it does not count as a call, but is not tried again at once either.
            let refused = format!("the test call was refused: {}: {}", error.provider_text(), error.what_to_do);
            record(pass, &listening.progress, before).await?;
            failed(pass, refused).await
        }
        // It may have been made: it is listened for as if it had.
        Err(error) => {
            tracing::info!(line = %pass.spec.name, error = %error, "whether the test call was made is not known; it is listened for");
            Ok(listening)
        }
    }
}

/// Looks at what the shared lists show of the test call.
async fn hear(
    pass: &mut Pass<'_>,
    number: &E164,
    wish: &Rehearsal,
    began: Timestamp,
    until: Timestamp,
) -> Result<Option<Outcome>, StepError> {
    let calls: Vec<Timestamp> = state(pass).calls.iter().map(|at| at.0).collect();
    let Some(digits) = spoken::digits(&pass.spec.uid, &calls) else { return Err(StepError::Moved) };
    let known = verification(pass).known_recordings;
    let policy = pass.ctx.policy;
    let ear = Ear {
        line: pass.spec.name.clone(),
        number: number.clone(),
        known: known.clone(),
        asked: listen::monotonic(pass, began),
        until: listen::monotonic(pass, until) + policy.transcription_grace(),
    };
    let over = pass.ctx.clock.now() >= until;
    let mut heard = pass.account.listener.listen(&pass.spec.uid, ear)?;
    if over {
        // The call log and the recordings are read now and then only: a failure is told by fresh ones.
        heard =
            pass.account.listener.read(number, None, &[Kind::Calls, Kind::Recordings, Kind::Transcriptions]).await?;
    }
    let new = capture::candidates(&arm::facts(&heard), number, &known);
    let mut looks = Vec::new();
    for recording in heard.recordings.iter().filter(|one| new.contains(&one.recording.id)) {
        let from = caller(&recording.recording);
        let ours = from.is_none_or(|from| E164::parse_loose(from).is_err()) || is_from(from, &wish.from_number);
        looks.push(Look { ours, said: said(listen::ask(pass, recording).await?, &digits) });
    }
    let since = listen::call_log_since(began, policy);
    let rang = heard.events.iter().any(|event| {
        event.kind == CallEventKind::Initiated && !event.outgoing && event.at.is_none_or(|at| at >= since)
    });
    match rehearsal::verdict(&looks, rang, over) {
        Verdict::NotYet => Ok(Some(Outcome::wait(ringing(wish, until), listen::next_look(pass, until)))),
        Verdict::Passed => {
            let progress = Progress::working(
                Step::Verify,
                Reason::InProgress,
                "the test call's digits came back out of the recording; a code is asked for next",
            );
            let rehearsal = rehearsal::with_pass(&state(pass), seconds(pass.ctx.clock.now()));
            record(pass, &progress, rehearsal).await?;
            pass.account.listener.stop(&pass.spec.uid);
            Ok(None)
        }
        Verdict::Failed(failure) => {
            let told = rehearsal::failure(&failure, &wish.from_number, &wish.connection_id);
            failed(pass, told).await.map(Some)
        }
    }
}

fn said(read: Read, digits: &OtpCode) -> Said {
    match read {
        Read::Code(code, _) if code == *digits => Said::Ours,
        Read::Code(..) => Said::Others,
        Read::Nothing(why) => Said::Nothing(why.unwrap_or_else(|| listen::NOBODY.to_owned())),
        Read::NotYet(_) => Said::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Pii;
    use crate::portfolio::listener::HeardRecording;
    use crate::providers::telnyx::CallEvent;
    use serde_json::json;

    #[test]
    fn a_test_call_is_never_metas() {
        let recording = |id: &str, from: serde_json::Value| HeardRecording {
            recording: serde_json::from_value(json!({"id": id, "to": "+212612345678", "from": from})).unwrap(),
            transcriptions: Vec::new(),
            age: Duration::ZERO,
            answered: Vec::new(),
        };
        let event = |from: Option<&str>| CallEvent {
            kind: CallEventKind::Initiated,
            at: None,
            to: None,
            from: from.map(|from| Pii(from.to_owned())),
            outgoing: false,
            call_session_id: None,
            hangup_cause: None,
        };
        let heard = Heard {
            events: vec![event(Some("+212522000001")), event(Some("+16465550123")), event(None)],
            recordings: vec![
                recording("test", json!("+212522000001")),
                recording("test, without a plus sign", json!("212522000001")),
                recording("meta", json!("+16465550123")),
                recording("withheld", json!(null)),
                recording("odd", json!("anonymous")),
            ],
        };
        let left = of_others(heard, "+212522000001");
        let ids: Vec<&str> = left.recordings.iter().map(|one| one.recording.id.as_str()).collect();
        assert_eq!((ids, left.events.len()), (vec!["meta", "withheld", "odd"], 2));
    }
}
