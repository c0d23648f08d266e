//! Asking Meta for a code: turn, arming, the attempt counted, then the one call.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::{Duration, Instant};

use super::super::budget;
use super::super::error::condition;
use super::super::pass::Pass;
use super::super::plan::{Step, plan};
use super::super::status::Progress;
use super::super::{Outcome, StepError, StepResult};
use super::{arm, call, ended, hand_in, person, rehearse};
use crate::controller::context::Context;
use crate::portfolio::turns::Wish;
use crate::providers::{ErrorClass, ProviderError, Reason as Outcomes, meta};
use crate::resources::ClientNumber;
use crate::resources::client_number::{CallStatus, CodeMethod, VerificationStatus};
use crate::resources::conditions::{ConditionType, is_true, seconds};
use crate::resources::names::ANNOTATION_CALL;
use crate::resources::reasons::Reason;
use kube::ResourceExt;

/// Asks for a code.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let at_carrier = pass.spec.source.at_carrier();
    let mut known = Vec::new();
    if at_carrier {
        let Some(number) = pass.number() else {
            let message = "waits for the number to be recorded; goes on by itself";
            let progress = Progress::working(Step::Verify, Reason::InProgress, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.link_poll()));
        };
        if let Some(outcome) = rehearse::rests(pass).await? {
            return Ok(outcome);
        }
        if !take_turn(pass) {
            let limit = pass.portfolio.spec.limits.concurrent_onboardings;
            let message = format!("{limit} other lines await their code; goes on by itself, oldest first");
            let progress = Progress::working(Step::Verify, Reason::WaitingForTurn, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.code_poll()));
        }
        if let Some(outcome) = Box::pin(rehearse::run(pass, &number)).await? {
            return Ok(outcome);
        }
        match Box::pin(arm::or_reject(pass, &number)).await? {
            arm::Armed::Yes(before) => known = before,
            arm::Armed::Soon(outcome) | arm::Armed::No(outcome) => return Ok(outcome),
        }
    }
    let now = pass.ctx.clock.now();
    let expires = now + pass.ctx.policy.code_life();
    let requested = if at_carrier { requested(expires) } else { person::asked_for(pass, expires) };
    let call_request = pass.line.annotations().get(ANNOTATION_CALL).cloned();
    let (policy, started) = (pass.ctx.policy, pass.ctx.clock.monotonic());
    let before = pass.status().verification;
    // Counted before the call: a restart can't reset it, and must not ask again while this code may arrive.
    pass.save(&requested, |status| {
        let verification = status.verification.get_or_insert_with(VerificationStatus::default);
        verification.requests = budget::with(&verification.requests, now, policy);
        verification.code_expires_at = Some(Time(expires));
        verification.known_recordings = known;
        hand_in::forget_recordings(verification);
        verification.stopped_at = None;
        verification.call = Some(CallStatus { requested_at: Some(seconds(now)), ..CallStatus::default() });
        if !at_carrier {
            verification.handled_call_request = call_request;
        }
    })
    .await?;
    if pass.too_late(started) {
        return Ok(Outcome::wait(requested, pass.ctx.policy.code_poll()));
    }
    request(pass, requested, pass.good_until(started), before).await
}

/// What is shown while a code is awaited. Names the time, which is recorded, so that it does not change.
fn requested(expires: jiff::Timestamp) -> Progress {
    Progress::working(Step::Verify, Reason::CodeRequested, call::listening(&CallStatus::default(), expires))
}

/// Asks. `before` is what was recorded before the request was counted.
async fn request(
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
            pass.ctx.metrics.code_request(&pass.spec.portfolio, "requested");
            if !pass.spec.source.at_carrier() {
                // Somebody at the phone waits for this word, in front of a screen.
                let now = seconds(pass.ctx.clock.now());
                pass.save(&waiting.progress, |status| {
                    if let Some(call) = status.verification.as_mut().and_then(|v| v.call.as_mut()) {
                        call.accepted_at = Some(now);
                    }
                })
                .await?;
            }
            Ok(waiting)
        }
        // A connection that could not be made has carried nothing.
        Err(error) if error.was_not_sent() || error.is(Outcomes::Unreachable) => {
            let handled = pass.status().verification.and_then(|v| v.handled_call_request);
            let before = person::wish::kept(before, handled);
            pass.intend(&waiting.progress, |status| status.verification = before).await?;
            // It may take an hour until Meta can be asked: nobody awaits a code until then.
            let message = "Meta can't be asked for a code now; calls to the number are rejected until it can";
            arm::disarm(pass, &Progress::working(Step::Verify, Reason::InProgress, message)).await?;
            Err(error.into())
        }
        // It may have gone out: the code is awaited as if it had.
        Err(error) if may_call(&error) => {
            tracing::info!(line = %pass.spec.name, error = %error, "whether Meta calls is not known; the code is awaited");
            Ok(waiting)
        }
        Err(error) if error.is(Outcomes::AlreadyVerified) => {
            pass.account.forget_waba_numbers();
            not_sent(pass, None, None).await?;
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
            pass.ctx.metrics.code_request(&pass.spec.portfolio, "refused");
            pass.account.forget_waba_numbers();
            // Asking while blocked may prolong the block: at least an hour, or what Meta says.
            let wait = error.retry_after.unwrap_or_default().max(pass.ctx.policy.hour());
            let reason = condition(error.operation, error.class, error.reason);
            let human = error.class == ErrorClass::NeedsHuman;
            let text = error.provider_text();
            not_sent(pass, Some(Time(pass.ctx.clock.now() + wait)), Some(text)).await?;
            if human {
                let message =
                    "Meta does not send a code; calls to the number are rejected again until one is asked for";
                let progress = Progress::working(Step::Verify, Reason::CodeUnavailable, message);
                arm::disarm(pass, &progress).await?;
                return Err(error.into());
            }
            ended(pass, reason).await
        }
    }
}

/// Whether the call may come all the same. Meta's clear word that its servers for codes are away says that it does not.
fn may_call(error: &ProviderError) -> bool {
    matches!(error.class, ErrorClass::Unknown | ErrorClass::Transient) && !error.is(Outcomes::CodeServersUnavailable)
}

/// No code is coming. `why` is Meta's word.
async fn not_sent(pass: &mut Pass<'_>, not_before: Option<Time>, why: Option<String>) -> Result<(), StepError> {
    let message = match &why {
        Some(why) if !pass.spec.source.at_carrier() => {
            person::not_called(pass, why, not_before.as_ref().map(|until| until.0))
        }
        _ => "Meta does not send a code; the next attempt follows".to_owned(),
    };
    let progress = Progress::working(Step::Verify, Reason::CodeUnavailable, message);
    pass.save(&progress, |status| {
        if let Some(verification) = status.verification.as_mut() {
            verification.code_expires_at = None;
            verification.not_before = not_before.or(verification.not_before.take());
            if let Some(call) = verification.call.as_mut() {
                call.not_called = why;
            }
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
    let records = pass.status().verification.is_some_and(|v| v.armed_at.is_some());
    let mine = pass.line.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let older = others
        .iter()
        .filter(|l| waits_for_turn(pass.ctx, l, pass) && l.metadata.creation_timestamp.as_ref().map(|t| t.0) < mine)
        .count();
    let wish = Wish { uid: &pass.spec.uid, records, others: &armed, older_waiting: older };
    pass.account.turns.take(&wish, limit)
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
        // Who failed and waits to try again does not hold up the others, nor who waits for a person.
        && status.retry.and_then(|r| r.next_retry_at).is_none_or(|at| at.0 <= ctx.clock.now())
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
