//! Asking Meta for a code: turn, arming, the attempt counted, then the one call.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::{Duration, Instant};

use super::super::budget;
use super::super::error::condition;
use super::super::pass::Pass;
use super::super::plan::{Step, plan};
use super::super::status::Progress;
use super::super::{Outcome, StepError, StepResult};
use super::{arm, ended, person};
use crate::controller::context::Context;
use crate::providers::{ErrorClass, Reason as Outcomes, meta};
use crate::resources::ClientNumber;
use crate::resources::client_number::{CodeMethod, VerificationStatus};
use crate::resources::conditions::{ConditionType, is_true};
use crate::resources::names::ANNOTATION_CALL;
use crate::resources::reasons::Reason;
use kube::ResourceExt;

/// Asks for a code.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let at_carrier = pass.spec.source.at_carrier();
    let mut known = None;
    if at_carrier {
        let Some(number) = pass.number() else {
            let message = "waits for the number to be recorded; goes on by itself";
            let progress = Progress::working(Step::Verify, Reason::InProgress, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.link_poll()));
        };
        if !take_turn(pass) {
            let limit = pass.portfolio.spec.limits.concurrent_onboardings;
            let message = format!("{limit} other lines await their code; goes on by itself, oldest first");
            let progress = Progress::working(Step::Verify, Reason::WaitingForTurn, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.code_poll()));
        }
        if let Some(outcome) = arm::arm(pass, &number).await? {
            // Others need not wait for a line that can't be armed.
            if pass.status().verification.is_none_or(|v| v.armed_at.is_none()) {
                pass.account.end_turn(&pass.spec.uid);
            }
            return Ok(outcome);
        }
        // Calls between arming and now hold no code of ours. They go at once: nothing later would look for them.
        arm::delete_recordings(pass, &number).await?;
        known = Some(arm::recordings_to(pass, &number).await?);
    }
    let now = pass.ctx.clock.now();
    let expires = now + pass.ctx.policy.code_life();
    let requested = if at_carrier { requested(expires) } else { person::awaited(pass, expires).progress };
    let call_request = pass.line.annotations().get(ANNOTATION_CALL).cloned();
    let (policy, started) = (pass.ctx.policy, pass.ctx.clock.monotonic());
    let before = pass.status().verification;
    // Counted before the call: a restart can't reset it, and must not ask again while this code may arrive.
    pass.save(&requested, |status| {
        let verification = status.verification.get_or_insert_with(VerificationStatus::default);
        verification.requests = budget::with(&verification.requests, now, policy);
        verification.code_expires_at = Some(Time(expires));
        verification.known_recordings = known.unwrap_or_default();
        if !at_carrier {
            verification.handled_call_request = call_request;
        }
    })
    .await?;
    if pass.too_late(started) {
        return Ok(Outcome::wait(requested, pass.ctx.policy.code_poll()));
    }
    call(pass, requested, pass.good_until(started), before).await
}

/// What is shown while a code is awaited. Names the time, which is recorded, so that it does not change.
fn requested(expires: jiff::Timestamp) -> Progress {
    let until = expires.strftime("%H:%M:%S UTC");
    Progress::working(
        Step::Verify,
        Reason::CodeRequested,
        format!("Meta was asked to call; the code is listened for until {until}"),
    )
}

/// Asks. `before` is what was recorded before the request was counted.
async fn call(
    pass: &mut Pass<'_>,
    requested: Progress,
    good_until: Instant,
    before: Option<VerificationStatus>,
) -> StepResult {
    let Some(id) = pass.status().phone_number_id.and_then(|id| id.parse().ok()) else {
        return Ok(Outcome::wait(requested, pass.ctx.policy.code_poll()));
    };
    let method = match pass.spec.method {
        CodeMethod::Voice => meta::CodeMethod::Voice,
        CodeMethod::Sms => meta::CodeMethod::Sms,
    };
    let language = pass.spec.language.clone();
    let waiting = Outcome::wait(requested, pass.ctx.policy.code_poll());
    match pass.account.meta.not_after(good_until).request_code(&id, &method, &language).await {
        Ok(()) => {
            pass.ctx.metrics.code_request("requested");
            Ok(waiting)
        }
        Err(error) if error.was_not_sent() => {
            pass.intend(&waiting.progress, |status| status.verification = before).await?;
            Err(error.into())
        }
        // It may have gone out: the code is awaited as if it had.
        Err(error) if matches!(error.class, ErrorClass::Unknown | ErrorClass::Transient) => {
            tracing::info!(line = %pass.spec.name, error = %error, "whether Meta calls is not known; the code is awaited");
            Ok(waiting)
        }
        Err(error) if error.is(Outcomes::AlreadyVerified) => {
            pass.account.forget_waba_numbers();
            not_sent(pass, None).await?;
            Ok(Outcome::wait(
                Progress::working(
                    Step::Verify,
                    Reason::InProgress,
                    "Meta says that the number is verified; it is read again",
                ),
                Duration::ZERO,
            ))
        }
        Err(error) => {
            pass.ctx.metrics.code_request("refused");
            pass.account.forget_waba_numbers();
            // Asking while blocked may prolong the block: at least an hour, or what Meta says.
            let wait = error.retry_after.unwrap_or_default().max(pass.ctx.policy.hour());
            let reason = condition(error.operation, error.class, error.reason);
            let human = error.class == ErrorClass::NeedsHuman;
            let text = error.provider_text();
            not_sent(pass, Some(Time(pass.ctx.clock.now() + wait))).await?;
            if human {
                let message =
                    "Meta does not send a code; calls to the number are rejected again until one is asked for";
                let progress = Progress::working(Step::Verify, Reason::CodeUnavailable, message);
                arm::disarm(pass, &progress).await?;
                return Err(error.into());
            }
            ended(pass, reason, &text).await
        }
    }
}

/// No code is coming.
async fn not_sent(pass: &mut Pass<'_>, not_before: Option<Time>) -> Result<(), StepError> {
    let progress =
        Progress::working(Step::Verify, Reason::CodeUnavailable, "Meta does not send a code; the next attempt follows");
    pass.save(&progress, |status| {
        if let Some(verification) = status.verification.as_mut() {
            verification.code_expires_at = None;
            verification.not_before = not_before.or(verification.not_before.take());
        }
    })
    .await
}

/// Takes one of the Portfolio's `concurrentOnboardings` turns, oldest line first.
fn take_turn(pass: &Pass<'_>) -> bool {
    let limit = usize::try_from(pass.portfolio.spec.limits.concurrent_onboardings).unwrap_or(1).max(1);
    let lines = pass.ctx.lines.state();
    let same = |line: &ClientNumber| {
        let namespace = line.spec.portfolio_ref.namespace.clone().or_else(|| line.namespace()).unwrap_or_default();
        line.spec.portfolio_ref.name == pass.spec.portfolio.name && namespace == pass.spec.portfolio.namespace
    };
    let others: Vec<_> =
        lines.iter().filter(|l| same(l) && l.metadata.uid.as_deref() != Some(pass.spec.uid.as_str())).collect();
    let armed: Vec<String> = others
        .iter()
        .filter(|l| l.status.as_ref().and_then(|s| s.verification.as_ref()).is_some_and(|v| v.armed_at.is_some()))
        .filter_map(|l| l.metadata.uid.clone())
        .collect();
    let mine = pass.line.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let older = others
        .iter()
        .filter(|l| waits_for_turn(pass.ctx, l, pass) && l.metadata.creation_timestamp.as_ref().map(|t| t.0) < mine)
        .count();
    pass.account.take_turn(&pass.spec.uid, &armed, older, limit)
}

/// Whether another line could ask for a code now and does not await one.
fn waits_for_turn(ctx: &Context, line: &ClientNumber, pass: &Pass<'_>) -> bool {
    let status = line.status.clone().unwrap_or_default();
    let verification = status.verification.clone().unwrap_or_default();
    let limits = &pass.portfolio.spec.limits.code_requests;
    plan(&status) == Step::Verify
        && !line.spec.suspend
        && line.metadata.deletion_timestamp.is_none()
        && verification.armed_at.is_none()
        // Who waits for a person does not hold up the others.
        && !is_true(&status.conditions, ConditionType::Stalled)
        && line
            .spec
            .number
            .existing
            .as_ref()
            .is_none_or(|e| e.carrier == crate::resources::client_number::Carrier::Telnyx)
        && budget::next_code(
            &verification.requests,
            verification.not_before.as_ref(),
            limits,
            ctx.clock.now(),
            ctx.policy,
        )
        .is_none()
}
