//! Out of service at Meta: asked for once, then read; again only when Meta has had the time to show its effect, and not more
//! often than registrations may be tried. What may be done next is decided by a pure function.
//!
//! Meta blocks a number for 72 hours at ten calls: register and deregister are counted together, each before its call. Only a
//! line that Meta shows connected is deregistered. A registration whose answer was lost may still connect the line, so it
//! counts as out of service only after the time in which that would show.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::budget;
use super::super::error::StepError;
use super::super::owner::still_ours;
use super::super::pass::Pass;
use super::super::plan::plan;
use super::super::route;
use super::super::status::{Overlay, Progress, State};
use super::{Release, releasing};
use crate::domain::{PhoneNumberId, PolicyTime};
use crate::resources::ClientNumberStatus;
use crate::resources::client_number::RegistrationStatus;
use crate::resources::conditions::{ConditionType, get};
use crate::resources::limits::Registrations;
use crate::resources::reasons::Reason;

/// How the message of a refused call begins. What else was refused meanwhile, the list for one, says nothing of it.
const REFUSED: &str = "Meta refuses to deregister the line: ";

/// How the message on an error begins.
pub fn refused(error: &StepError, state: State) -> &'static str {
    let ours = matches!(error, StepError::Provider(error) if error.operation == "deregister");
    if ours && state == State::Stalled { REFUSED } else { "" }
}

/// What may be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Meta shows the line not connected, and no registration of ours can change that any more.
    Out,
    /// Not connected, but a registration may still be on its way.
    Registering,
    /// Meta may be asked.
    Ask,
    /// It was asked, and its effect may still show.
    Wait,
    /// It may not be asked before then.
    Limited(Timestamp),
}

fn decide(
    connected: bool,
    registration: &RegistrationStatus,
    limits: &Registrations,
    now: Timestamp,
    policy: PolicyTime,
) -> Decision {
    let last = last_attempt(registration);
    // A registration that was tried after it has undone it.
    let asked = registration.deregister_asked_at.as_ref().map(|at| at.0).filter(|at| last.is_none_or(|l| l <= *at));
    if !connected {
        let unanswered = asked.is_none() && registration.registered_at.is_none();
        return if unanswered && fresh(registration, now, policy) { Decision::Registering } else { Decision::Out };
    }
    // The first one is held against Meta's own ten: a tight limit on registrations must not keep a line in service.
    let until = match asked {
        Some(asked) if now < asked + policy.link_grace() => return Decision::Wait,
        Some(_) => budget::next_registration(&registration.attempts, limits, now, policy),
        None => budget::blocked_by_meta(&registration.attempts, now, policy),
    };
    until.map_or(Decision::Ask, Decision::Limited)
}

fn last_attempt(registration: &RegistrationStatus) -> Option<Timestamp> {
    registration.attempts.iter().map(|at| at.0).max()
}

/// Whether what was last asked of Meta may still show.
fn fresh(registration: &RegistrationStatus, now: Timestamp, policy: PolicyTime) -> bool {
    last_attempt(registration).is_some_and(|last| now < last + policy.link_grace())
}

/// What is left to wait for at Meta; None: the line is not connected there.
pub async fn run(pass: &mut Pass<'_>) -> Result<Option<Release>, StepError> {
    let policy = pass.ctx.policy;
    let Some(id) = route::phone_number_id(&pass.status().phone_number_id) else { return Ok(None) };
    let now = pass.ctx.clock.now();
    let registration = pass.status().registration.unwrap_or_default();
    let connected = connected(pass, &id, &registration, now).await?;
    let limits = &pass.portfolio.spec.limits.registrations;
    // Waiting must not hide what a person has to settle.
    let stands = pass.standing(plan(&pass.status())).filter(|refusal| refusal.message.starts_with(REFUSED));
    let waits = |message: &str, after| Ok(Some(Release::Waits(releasing(pass, message), after)));
    match decide(connected, &registration, limits, now, policy) {
        Decision::Out => Ok(None),
        Decision::Registering => {
            waits("Meta may still be at work on a registration; read again by itself", policy.link_poll())
        }
        Decision::Wait => {
            let message = "Meta was asked to deregister the line and still shows it connected; read again by itself";
            match stands {
                Some(refusal) => Ok(Some(Release::Waits(refusal, policy.link_poll()))),
                None => waits(message, policy.link_poll()),
            }
        }
        Decision::Limited(until) => {
            let when = until.strftime("%Y-%m-%d %H:%M UTC");
            let message = format!(
                "Meta still shows the line connected and may not be asked again to deregister it yet; the next attempt follows by itself at {when}, or deregister it in WhatsApp Manager"
            );
            let limited = || Progress::working(plan(&pass.status()), Reason::RegistrationLimited, message);
            let progress = stands.unwrap_or_else(limited);
            // Read meanwhile: a person may do it, and the attempts that are recorded keep the limit.
            let rest = until.duration_since(now).try_into().unwrap_or(policy.link_poll());
            Ok(Some(Release::Waits(progress, policy.backoff(8).min(rest))))
        }
        Decision::Ask => ask(pass, &id, now).await.map(Some),
    }
}

/// Whether the line was seen out of service by an earlier pass: its route was disabled then, or, where it never had one, it
/// shows what only the carrier's side of a release waits for. Nothing here connects it again.
fn was_out(status: &ClientNumberStatus) -> bool {
    const AT_THE_CARRIER: [Reason; 3] = [Reason::DeletionLocked, Reason::DuplicateNumber, Reason::NumberLost];
    let released = status.step.as_deref() == Some(Overlay::RELEASE);
    let shows = get(&status.conditions, ConditionType::Ready).map(|ready| ready.reason.as_str());
    let later = released && shows.is_some_and(|shows| AT_THE_CARRIER.iter().any(|reason| reason.as_str() == shows));
    later || status.route.as_ref().is_some_and(|route| route.state == "disabled")
}

/// Whether Meta shows the line connected. What the list lacks is asked for alone: a page may be missing. A line that waits
/// for days for something else must not use up the 200 calls an hour that a WABA has.
async fn connected(
    pass: &Pass<'_>,
    id: &PhoneNumberId,
    registration: &RegistrationStatus,
    now: Timestamp,
) -> Result<bool, StepError> {
    let policy = pass.ctx.policy;
    let (anew, fresh) = (super::super::asked_anew(&pass.line), fresh(registration, now, policy));
    let out = !anew && !fresh && was_out(&pass.status());
    let age = match (anew, fresh) {
        (true, _) => Duration::ZERO,
        (false, true) => policy.code_poll(),
        (false, false) if out => policy.hour(),
        (false, false) => policy.name_poll(),
    };
    let listed = pass.account.waba_numbers(age).await?;
    if let Some(entry) = listed.iter().find(|entry| entry.id == *id) {
        return Ok(entry.is_connected());
    }
    if out {
        return Ok(false);
    }
    Ok(pass.account.meta.phone_number(id).await?.is_some_and(|entry| entry.is_connected()))
}

async fn ask(pass: &mut Pass<'_>, id: &PhoneNumberId, now: Timestamp) -> Result<Release, StepError> {
    let policy = pass.ctx.policy;
    let started = pass.ctx.clock.monotonic();
    still_ours(pass).await?;
    let progress = releasing(pass, "Meta is asked to deregister the line; its answer is read next");
    let before = pass.status().registration;
    // Lost before this: nothing was called. Lost after it: the line is read first, and the call is counted.
    pass.intend(&progress, |status| {
        let registration = status.registration.get_or_insert_with(RegistrationStatus::default);
        registration.attempts = budget::with(&registration.attempts, now, policy);
        registration.deregister_asked_at = Some(Time(now));
        registration.registered_at = None;
    })
    .await?;
    if !pass.too_late(started)
        && let Err(error) = pass.account.meta.not_after(pass.good_until(started)).deregister(id).await
    {
        pass.account.forget_waba_numbers();
        if error.was_not_sent() {
            // Certainly not asked: it counts as no attempt, and the next pass need not wait for its effect.
            pass.intend(&progress, |status| status.registration = before).await?;
        }
        return Err(error.into());
    }
    pass.account.forget_waba_numbers();
    Ok(Release::Waits(progress, policy.order_poll()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::error::ErrorDetails;
    use crate::providers::{ErrorClass, Provider, Reason as Outcomes};

    #[test]
    fn table() {
        use Decision::{Ask, Limited, Out, Registering, Wait};
        let now: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        let before = |seconds: i64| now - jiff::SignedDuration::from_secs(seconds);
        let ago = |seconds: i64| Time(before(seconds));
        let many = |count: i64, youngest: i64| (0..count).map(|n| ago(youngest + 3600 * n)).rev().collect::<Vec<_>>();
        let day = Duration::from_secs(86_400);
        let limits = Registrations { per_72h: 3 };
        for (what, connected, registered, attempts, asked, expected) in [
            ("connected: at once, however young", true, true, vec![ago(1)], None, Ask),
            ("connected without having been registered from here", true, false, vec![], None, Ask),
            ("its answer was lost, and it is connected by now", true, false, vec![ago(5)], None, Ask),
            ("its answer was lost: it may connect yet", false, false, vec![ago(119)], None, Registering),
            ("its answer was lost, and it never connected", false, false, vec![ago(120)], None, Out),
            ("never registered", false, false, vec![], None, Out),
            ("registered, and disconnected by somebody", false, true, vec![ago(5)], None, Out),
            ("asked, and gone", false, false, vec![ago(600), ago(5)], Some(ago(5)), Out),
            ("asked a moment ago", true, false, vec![ago(119)], Some(ago(119)), Wait),
            ("asked, and nothing came of it", true, false, vec![ago(121)], Some(ago(121)), Ask),
            (
                "asked twice: the gap grows",
                true,
                false,
                vec![ago(400), ago(200)],
                Some(ago(200)),
                Limited(before(200) + Duration::from_secs(480)),
            ),
            (
                "as often as limits.registrations allows",
                true,
                false,
                many(3, 7200),
                Some(ago(7200)),
                Limited(before(14_400) + 3 * day),
            ),
            ("asked before it was registered again", true, true, vec![ago(600), ago(5)], Some(ago(600)), Ask),
            ("the first one is not held against that limit", true, true, many(9, 60), None, Ask),
            ("but against Meta's own", true, true, many(10, 60), None, Limited(before(60 + 9 * 3600) + 3 * day)),
        ] {
            let registration = RegistrationStatus {
                attempts,
                registered_at: registered.then(|| ago(9999)),
                deregister_asked_at: asked,
                ..RegistrationStatus::default()
            };
            let got = decide(connected, &registration, &limits, now, PolicyTime::default());
            assert_eq!(got, expected, "{what}");
        }
    }

    #[test]
    fn what_was_seen_out_of_service_is_not_read_again_and_again() {
        let status = |step: &str, reason: &str, route: Option<&str>| -> ClientNumberStatus {
            let ready = serde_json::json!({"type": "Ready", "status": "False", "reason": reason, "message": "",
                "lastTransitionTime": "2026-11-01T10:00:00Z"});
            let route = route.map(|state| {
                serde_json::json!({"state": state, "epoch": 1, "revision": 1,
                "updatedAt": "2026-11-01T10:00:00Z"})
            });
            serde_json::from_value(serde_json::json!({"observedGeneration": 1, "step": step, "conditions": [ready],
                "route": route}))
            .unwrap()
        };
        for (step, reason, route, out) in [
            ("release", "Releasing", Some("disabled"), true),
            ("release", "Releasing", Some("draining"), false),
            ("release", "Releasing", None, false),
            ("release", "DeletionLocked", None, true),
            ("acquire", "DuplicateNumber", None, false),
            ("release", "DuplicateNumber", None, true),
        ] {
            assert_eq!(was_out(&status(step, reason, route)), out, "{step} {reason} {route:?}");
        }
    }

    #[test]
    fn a_refusal_is_known_by_its_call() {
        let error = |operation: &'static str| {
            let details = ErrorDetails {
                provider: Provider::Meta,
                operation,
                class: ErrorClass::NeedsHuman,
                reason: Outcomes::PermissionDenied,
                code: None,
                subcode: None,
                http_status: Some(403),
                message: String::new(),
                what_to_do: "",
                retry_after: None,
                policy_wait: None,
            };
            StepError::Provider(details.into())
        };
        assert_eq!(refused(&error("deregister"), State::Stalled), REFUSED);
        assert_eq!(refused(&error("deregister"), State::Working), "");
        assert_eq!(refused(&error("phone_numbers"), State::Stalled), "");
    }
}
