//! Step 3, verify ownership: Meta calls the number, and the code that it speaks is handed in.
//!
//! arm -> count the attempt -> request_code -> listen -> verify_code -> disarm. The number records calls only between arm
//! and disarm: a line that records candidates' calls would be an offence. Each attempt is in status before its call, so
//! that a restart can't reset the budget, and while a code may still arrive no second one is asked for.

mod arm;
mod ask;
mod call;
mod document;
mod hand_in;
mod listen;
mod person;
mod rehearsal;
mod rehearse;

pub use arm::disarm;
pub use person::{clear as clear_code, wish};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

use super::budget;
use super::pass::Pass;
use super::plan::Step;
use super::status::Progress;
use super::{Outcome, StepError, StepResult};
use crate::domain::PhoneNumberId;
use crate::providers::meta::{CodeVerificationStatus, PhoneNumber};
use crate::resources::client_number::{CallStatus, VerificationStatus};
use crate::resources::reasons::Reason;

/// Whether Meta needs no code: it has accepted one, or the number is connected. A connected number commonly reads EXPIRED,
/// which is normal: it is never verified again.
pub fn is_verified(number: &PhoneNumber) -> bool {
    number.is_connected() || number.code_verification_status == Some(CodeVerificationStatus::Verified)
}

/// The line's entry in the WABA's list, not older than `max_age`.
pub async fn entry(pass: &Pass<'_>, max_age: Duration) -> Result<Option<PhoneNumber>, StepError> {
    let Some(id) = pass.status().phone_number_id else { return Ok(None) };
    Ok(pass.account.waba_numbers(max_age).await?.iter().find(|n| n.id.as_str() == id).cloned())
}

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let verification = pass.status().verification.unwrap_or_default();
    if verification.verified_at.is_some() {
        return finish(pass).await;
    }
    let now = pass.ctx.clock.now();
    let armed = verification.armed_at.is_some();
    let awaited = verification.code_expires_at.as_ref().is_some_and(|expires| now < expires.0);
    if armed && !awaited && verification.code_expires_at.is_some() {
        // Before Meta is asked anything: a provider that is away must not keep the number recording.
        return ended(pass, Reason::CodeExpired).await;
    }
    let carrier = pass.spec.source.at_carrier();
    // What was recorded before work was stopped is nobody's any more.
    let listens = carrier && armed && verification.stopped_at.is_none();
    if armed && awaited && !listens {
        let message = "calls to the number are rejected again, since work was stopped while a code was awaited";
        arm::disarm(pass, &Progress::working(Step::Verify, Reason::InProgress, message)).await?;
    }
    let mut listened = match verification.code_expires_at.as_ref().filter(|expires| listens && now < expires.0) {
        // Before anything else is asked: a code is good for minutes, and each question takes its time.
        Some(expires) => match Box::pin(listen::run(pass, &verification, expires.0)).await {
            Ok(listen::Listened::HandedIn(outcome)) => return Ok(outcome),
            Ok(listen::Listened::Waits(outcome)) => Some(Ok(outcome)),
            // A person's code needs no carrier.
            Err(StepError::Provider(error)) => Some(Err(StepError::Provider(error))),
            Err(error) => return Err(error),
        },
        None => None,
    };
    let verification = pass.status().verification.unwrap_or_default();
    // Not with every look at the recordings: a fresh WABA has 200 calls an hour for everything.
    let looked_up = hand_in::is_open(&verification, now, pass.ctx.policy.name_poll());
    let max_age = if looked_up { pass.ctx.policy.link_poll() } else { pass.ctx.policy.name_poll() };
    if let Some(outcome) = listened.take_if(|_| pass.account.waba_numbers_failed_within(pass.ctx.policy.name_poll())) {
        return without_list(pass, outcome).await;
    }
    let found = match entry(pass, max_age).await {
        Err(error) if awaited => {
            tracing::info!(line = %pass.spec.name, error = %error, "Meta's list can't be read while a code is awaited; it is read again by itself");
            let outcome = match (listened, &verification.code_expires_at) {
                (Some(outcome), _) => outcome,
                // Who was called is still to hand the code in.
                (None, Some(expires)) if !carrier => person::awaited(pass, expires.0).await,
                (None, _) => Err(error),
            };
            return without_list(pass, outcome).await;
        }
        found => found,
    };
    if armed && !awaited && !matches!(found, Ok(Some(_))) {
        let message = "calls to the number are rejected again until a code can be asked for";
        arm::disarm(pass, &Progress::working(Step::Verify, Reason::InProgress, message)).await?;
    }
    let Some(entry) = found? else {
        let message = "the WhatsApp Business Account does not list the number at the moment; read again by itself";
        let progress = Progress::working(Step::Verify, Reason::LinkPending, message);
        return Ok(Outcome::wait(progress, pass.ctx.policy.link_poll()));
    };
    if is_verified(&entry) {
        return accepted(pass).await;
    }
    match person::take_code(pass).await? {
        person::Taken::Code(code, secret) => return hand_in::persons(pass, &entry.id, &code, secret).await,
        person::Taken::Malformed(outcome) => return Ok(outcome),
        person::Taken::Nothing => {}
    }
    match verification.code_expires_at.as_ref() {
        Some(expires) if now < expires.0 => {
            return match listened {
                Some(outcome) => outcome,
                None if carrier => Ok(unheard(pass, expires.0)),
                None => person::awaited(pass, expires.0).await,
            };
        }
        Some(_) => return ended(pass, Reason::CodeExpired).await,
        None => {}
    }
    // Armed without a code asked for means killed in between: asking arms again, which changes nothing.
    let held = held(pass, &verification);
    let last = verification.call.as_ref().filter(|call| call.requested_at.is_some()).map(|call| outcome(pass, call));
    if !pass.spec.source.at_carrier()
        && let Some(outcome) = person::waits(pass, held, last.as_deref()).await?
    {
        return Ok(outcome);
    }
    if let Some(held) = held {
        let last = last.map_or(String::new(), |last| format!("{last}; "));
        let message = format!("{last}{}: {}", held.why(), follows(&pass.spec.name.name, held.until));
        let wait = held.until.duration_since(now).try_into().unwrap_or(pass.ctx.policy.code_poll());
        let outcome = Outcome::wait(Progress::working(Step::Verify, Reason::CodeRateLimited, message), wait);
        let outcome = person::stands(pass, outcome);
        // Killed between Meta's refusal and disarming, or armed and never asked: it would record until then.
        arm::disarm(pass, &outcome.progress).await?;
        return Ok(outcome);
    }
    Box::pin(ask::run(pass)).await
}

/// Meta's list is held back, perhaps for an hour. Whoever listens can do without it, and so can a person's code, which is
/// good for minutes. `outcome`: what else there is.
async fn without_list(pass: &mut Pass<'_>, outcome: StepResult) -> StepResult {
    let Some(id) = pass.status().phone_number_id.and_then(|id| id.parse::<PhoneNumberId>().ok()) else {
        return outcome;
    };
    match person::take_code(pass).await? {
        person::Taken::Code(code, secret) => hand_in::persons(pass, &id, &code, secret).await,
        person::Taken::Malformed(told) => Ok(told),
        person::Taken::Nothing => outcome,
    }
}

/// A code may still be on its way to a number that stopped recording when work on its line was stopped.
fn unheard(pass: &Pass<'_>, expires: Timestamp) -> Outcome {
    let message = format!(
        "work was stopped while a code was awaited, so that it can't be caught; {}",
        follows(&pass.spec.name.name, next_attempt(pass))
    );
    let left = Duration::try_from(expires.duration_since(pass.ctx.clock.now())).unwrap_or_default();
    let outcome = Outcome::wait(Progress::working(Step::Verify, Reason::CodeRequested, message), left);
    person::stands(pass, outcome)
}

/// What forbids to ask for a code now.
fn held(pass: &Pass<'_>, verification: &VerificationStatus) -> Option<budget::Held> {
    let limits = &pass.portfolio.spec.limits.code_requests;
    let (now, policy) = (pass.ctx.clock.now(), pass.ctx.policy);
    budget::next_code(&verification.requests, verification.not_before.as_ref(), limits, now, policy)
}

/// When the next code may be asked for.
fn next_attempt(pass: &Pass<'_>) -> Timestamp {
    let verification = pass.status().verification.unwrap_or_default();
    let now = pass.ctx.clock.now();
    let allowed = held(pass, &verification).map_or(now, |held| held.until);
    // While a code may still arrive no other is asked for.
    allowed.max(verification.code_expires_at.map_or(now, |expires| expires.0))
}

/// What happens next, and what a person can do meanwhile.
fn follows(name: &str, when: Timestamp) -> String {
    let when = when.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!(
        "the next attempt follows by itself at {when}, or hand a code in with kubectl clientnumber verify {name} --code 123456"
    )
}

/// Meta did not take the code.
fn refused(name: &str, when: Timestamp) -> String {
    format!("Meta refused the code, which is not handed in again; {}", follows(name, when))
}

/// What became of the last attempt.
fn outcome(pass: &Pass<'_>, call: &CallStatus) -> String {
    match &call.not_called {
        None if !pass.spec.source.at_carrier() => "no right code was handed in while it was good".to_owned(),
        _ => call::outcome(call),
    }
}

/// Meta accepted: recorded first, then the number stops recording. Before it is recorded a person's code goes, which nobody
/// would look for afterwards; Meta's list shows what it accepted, so nothing is lost in between.
async fn accepted(pass: &mut Pass<'_>) -> StepResult {
    clear_code(pass.ctx, &pass.spec.name).await?;
    let now = Time(pass.ctx.clock.now());
    pass.save(&verified(), |status| {
        let verification = status.verification.get_or_insert_with(VerificationStatus::default);
        verification.verified_at.get_or_insert(now);
        verification.code_expires_at = None;
    })
    .await?;
    finish(pass).await
}

/// After success: recordings are deleted, the number rejects calls again.
async fn finish(pass: &mut Pass<'_>) -> StepResult {
    arm::disarm(pass, &verified()).await?;
    Ok(Outcome::advanced(Step::Verify))
}

fn verified() -> Progress {
    Progress::working(Step::Verify, Reason::Verified, "Meta accepted the code; the line is routed next")
}

/// An attempt ended without a code.
async fn ended(pass: &mut Pass<'_>, reason: Reason) -> StepResult {
    let call = pass.status().verification.and_then(|v| v.call).unwrap_or_default();
    let next = if pass.spec.source.at_carrier() {
        follows(&pass.spec.name.name, next_attempt(pass))
    } else {
        let verification = pass.status().verification.unwrap_or_default();
        person::another(pass, held(pass, &verification).map(|held| held.until))
    };
    let message = format!("{}; {next}", outcome(pass, &call));
    let progress = Progress::working(Step::Verify, reason, message);
    arm::disarm(pass, &progress).await?;
    let expired = pass.status().verification.is_some_and(|v| v.code_expires_at.is_some());
    pass.save(&progress, |status| {
        if let Some(verification) = status.verification.as_mut() {
            verification.code_expires_at = None;
        }
    })
    .await?;
    if expired {
        pass.ctx.metrics.code_request(&pass.spec.portfolio, "expired");
    }
    Ok(Outcome::wait(progress, Duration::ZERO))
}
