//! Step 3, verify ownership: Meta calls the number, and the code that it speaks is handed in.
//!
//! arm -> count the attempt -> request_code -> listen -> verify_code -> disarm. The number records calls only between arm
//! and disarm: a line that records candidates' calls would be an offence. Each attempt is in status before its call, so
//! that a restart can't reset the budget, and while a code may still arrive no second one is asked for.

mod arm;
mod ask;
mod listen;
mod person;

pub use arm::disarm;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

use super::budget;
use super::pass::Pass;
use super::plan::Step;
use super::status::Progress;
use super::{Outcome, StepError, StepResult};
use crate::domain::OtpCode;
use crate::providers::meta::{CodeVerificationStatus, PhoneNumber};
use crate::providers::{ErrorClass, Reason as Outcomes};
use crate::resources::client_number::VerificationStatus;
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
        return ended(pass, Reason::CodeExpired, "no code was caught while it was good").await;
    }
    // Not with every look at the recordings: a fresh WABA has 200 calls an hour for everything.
    let found = entry(pass, pass.ctx.policy.name_poll()).await;
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
        person::Taken::Code(code) => return hand_in(pass, &entry, &code, None).await,
        person::Taken::Malformed(outcome) => return Ok(outcome),
        person::Taken::Nothing => {}
    }
    match verification.code_expires_at.as_ref() {
        Some(expires) if now < expires.0 => {
            if pass.spec.source.at_carrier() {
                return listen::run(pass, &entry, &verification, expires.0).await;
            }
            return Ok(person::awaited(pass, expires.0));
        }
        Some(_) => return ended(pass, Reason::CodeExpired, "no code was caught while it was good").await,
        None => {}
    }
    // Armed without a code asked for means killed in between: asking arms again, which changes nothing.
    if let Some(outcome) = person::not_asked_yet(pass, &verification) {
        return Ok(outcome);
    }
    let limits = &pass.portfolio.spec.limits.code_requests;
    let not_before = verification.not_before.as_ref();
    if let Some(at) = budget::next_code(&verification.requests, not_before, limits, now, pass.ctx.policy) {
        let when = at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let message = format!("no code may be asked for yet; the next attempt follows by itself at {when}");
        let wait = at.duration_since(now).try_into().unwrap_or(pass.ctx.policy.code_poll());
        return Ok(Outcome::wait(Progress::working(Step::Verify, Reason::CodeRateLimited, message), wait));
    }
    ask::run(pass).await
}

/// Hands a code in, once. `recording` is what it was read from.
async fn hand_in(pass: &mut Pass<'_>, entry: &PhoneNumber, code: &OtpCode, recording: Option<String>) -> StepResult {
    let result = pass.account.meta.verify_code(&entry.id, code).await;
    pass.account.forget_waba_numbers();
    match result {
        Ok(()) => {
            pass.ctx.metrics.code_request("verified");
            accepted(pass).await
        }
        Err(error) if error.is(Outcomes::AlreadyVerified) => accepted(pass).await,
        Err(error) if error.is(Outcomes::WrongCode) || error.class == ErrorClass::Refused => {
            pass.ctx.metrics.code_request("wrong");
            let message = "Meta refused the code; it is not handed in again: the next one follows by itself, or hand in another with kubectl clientnumber verify";
            let progress = Progress::working(Step::Verify, Reason::CodeWrong, message);
            // What was read wrong once is not read again; it stays a recording of ours, to be deleted with the others.
            if let Some(recording) = recording {
                pass.account.was_wrong(recording);
            }
            Ok(Outcome::wait(progress, pass.ctx.policy.code_poll()))
        }
        // Perhaps it was accepted: the number is read again before anything else.
        Err(error) if error.class == ErrorClass::Unknown => {
            tracing::info!(line = %pass.spec.name, error = %error, "whether Meta took the code is looked up");
            let progress = Progress::working(
                Step::Verify,
                Reason::CodeRequested,
                "the code was handed in; Meta's answer is looked up",
            );
            Ok(Outcome::wait(progress, pass.ctx.policy.code_poll()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Meta accepted: recorded first, then the number stops recording.
async fn accepted(pass: &mut Pass<'_>) -> StepResult {
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
async fn ended(pass: &mut Pass<'_>, reason: Reason, what: &str) -> StepResult {
    pass.ctx.metrics.code_request("expired");
    let progress = Progress::working(
        Step::Verify,
        reason,
        format!(
            "{what}; the next attempt follows as soon as limits.codeRequests allows, or hand a code in with kubectl clientnumber verify"
        ),
    );
    arm::disarm(pass, &progress).await?;
    pass.save(&progress, |status| {
        if let Some(verification) = status.verification.as_mut() {
            verification.code_expires_at = None;
        }
    })
    .await?;
    Ok(Outcome::wait(progress, Duration::ZERO))
}
