//! Deletion: route draining -> deregister -> route disabled -> the number kept (Retain) or given back (Release).
//!
//! The finalizer goes only when nothing that costs money depends on this object any more, or when a person says
//! `clientnumber.dev/abandon`. A purchase whose outcome is not known is looked up first: a number that arrives after its
//! object is gone would be paid for by nobody. A provider that is away delays deletion and says so.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};

use super::acquire;
use super::budget;
use super::error::{StepError, verdict};
use super::pass::{self, Pass};
use super::plan::plan;
use super::route;
use super::spec::LineSpec;
use super::status::{Overlay, Progress};
use super::verify;
use crate::controller::context::Context;
use crate::controller::events::{self, Draft};
use crate::portfolio::ledger_write::{self, ClaimError};
use crate::providers::telnyx::OwnedStatus;
use crate::resources::ClientNumber;
use crate::resources::client_number::{DeletionPolicy, PurchasePhase, RegistrationStatus};
use crate::resources::names::{ANNOTATION_ABANDON, LINE_FINALIZER, pin_secret};
use crate::resources::reasons::Reason;
use crate::store::RouteState;

/// What is left to wait for.
enum Release {
    /// Nothing: the object may go.
    Done(Reason, String),
    /// Something, and when to look again.
    Waits(String, Duration),
}

/// One pass over a line that is being deleted.
pub async fn reconcile(line: ClientNumber, ctx: &Context) -> Result<Action, StepError> {
    if !line.finalizers().iter().any(|f| f == LINE_FINALIZER) {
        return Ok(Action::await_change());
    }
    let status = line.status.clone().unwrap_or_default();
    let nothing = status.purchase.is_none() && status.phone_number.is_none();
    if ctx.read_only && !nothing {
        let text = "would take the line out of service; start the controller without --read-only to let it";
        return shown(ctx, &line, text).await;
    }
    if let Some(number) = abandoned(&line) {
        disable_route(ctx, &line).await;
        return finish(
            ctx,
            &line,
            Reason::Abandoned,
            format!("given up on the word of {ANNOTATION_ABANDON}; {number} is listed as an orphan"),
        )
        .await;
    }
    let Ok(spec) = LineSpec::of(&line) else {
        if nothing {
            return finish(ctx, &line, Reason::Released, "nothing had been bought".into()).await;
        }
        return shown(
            ctx,
            &line,
            "the spec can't be read any more: correct it, or set clientnumber.dev/abandon to the phone number",
        )
        .await;
    };
    if nothing {
        settle(ctx, &spec).await?;
        return finish(ctx, &line, Reason::Released, "nothing had been bought".into()).await;
    }
    let portfolio = ctx.portfolios.get(&spec.portfolio.namespace, &spec.portfolio.name);
    let Some((portfolio, account)) = portfolio.and_then(|p| ctx.accounts.get(&p).map(|a| (p, a))) else {
        let text = format!(
            "Portfolio {} is not there or not Ready, so the number can't be released; goes on when it is, or set {ANNOTATION_ABANDON} to the phone number",
            spec.portfolio
        );
        return shown(ctx, &line, &text).await;
    };
    let mut pass = Pass { ctx, line, spec, portfolio, account, overlay: Overlay::Deleting };
    match run(&mut pass).await {
        Ok(Release::Done(reason, message)) => finish(ctx, &pass.line, reason, message).await,
        Ok(Release::Waits(message, after)) => {
            let progress = releasing(&pass, &message);
            pass.save(&progress, |_| ()).await?;
            Ok(Action::requeue(ctx.jitter(after)))
        }
        Err(error) => {
            let Some(verdict) = verdict(plan(&pass.status()), &error, ctx.policy) else {
                return Ok(Action::requeue(Duration::from_millis(200)));
            };
            let progress = releasing(
                &pass,
                &format!("{}; or set {ANNOTATION_ABANDON} to the phone number to give it up", verdict.progress.message),
            );
            pass.save(&progress, |_| ()).await?;
            let wait = verdict.wait.unwrap_or_default().max(ctx.policy.backoff(3));
            Ok(Action::requeue(ctx.jitter(wait)))
        }
    }
}

async fn run(pass: &mut Pass<'_>) -> Result<Release, StepError> {
    let policy = pass.ctx.policy;
    // Before anything that may have to wait: neither MongoDB nor a suspension may keep a number recording.
    let progress = releasing(pass, "calls to the number are rejected again; the release goes on");
    verify::disarm(pass, &progress).await?;
    if pass.portfolio.spec.suspend {
        let message = "the Portfolio is suspended; the release goes on when it is not";
        return Ok(Release::Waits(message.into(), policy.backoff(5)));
    }
    // A purchase on its way is followed to its end first.
    let purchase = pass.status().purchase;
    if let Some(purchase) =
        purchase.as_ref().filter(|p| !matches!(p.phase, PurchasePhase::Owned | PurchasePhase::Burnt))
    {
        match acquire::outcome_for_release(pass, purchase).await? {
            acquire::ForRelease::NotOurs => {
                settle(pass.ctx, &pass.spec).await?;
                return Ok(Release::Done(Reason::Released, "no number had been bought".into()));
            }
            acquire::ForRelease::Waits => {
                return Ok(awaits_order(pass));
            }
            acquire::ForRelease::Owned => {}
        }
    }
    let progress = releasing(pass, "the line takes no part in sending any more; what arrives is still delivered");
    route::set_state(pass, RouteState::Draining, &progress).await?;
    if let Some(id) = route::phone_number_id(&pass.status().phone_number_id) {
        let listed = pass.account.waba_numbers(Duration::ZERO).await?;
        if listed.iter().any(|n| n.id == id && n.is_connected()) {
            let (now, grace) = (pass.ctx.clock.now(), policy.link_grace());
            let registration = pass.status().registration.unwrap_or_default();
            if !may_deregister(&registration, now, grace) {
                return Ok(Release::Waits(
                    "Meta was asked to deregister the line and still shows it connected; read again by itself".into(),
                    policy.link_poll(),
                ));
            }
            // Meta counts both ways together and blocks the number at ten: counted first, then read, not repeated.
            let progress = releasing(pass, "Meta is asked to deregister the line; its answer is read next");
            let before = pass.status().registration;
            pass.save(&progress, |status| {
                let registration = status.registration.get_or_insert_with(RegistrationStatus::default);
                registration.attempts = budget::with(&registration.attempts, now, policy);
                registration.registered_at = None;
            })
            .await?;
            if let Err(error) = pass.account.meta.deregister(&id).await {
                if error.was_not_sent() {
                    // Certainly not asked: it counts as no attempt, and the next pass need not wait for its effect.
                    pass.intend(&progress, |status| status.registration = before).await?;
                }
                return Err(error.into());
            }
            pass.account.forget_waba_numbers();
            return Ok(Release::Waits(
                "Meta was asked to deregister the line; its answer is read next".into(),
                policy.order_poll(),
            ));
        }
    }
    let progress = releasing(pass, "the line is out of service");
    route::set_state(pass, RouteState::Disabled, &progress).await?;
    let at_meta = pass.status().phone_number_id.is_some();
    let slot = if at_meta { "; its slot at Meta is freed only by a person in WhatsApp Manager" } else { "" };
    let number_id = pass.status().purchase.and_then(|p| p.number_id);
    let done = match (pass.spec.deletion_policy, number_id) {
        (DeletionPolicy::Release, Some(number_id)) => {
            let progress = releasing(pass, "the number is given back at Telnyx");
            pass.save(&progress, |_| ()).await?;
            if listed_at_carrier(pass, &number_id).await? {
                pass.account.telnyx.release_number(&number_id).await?;
                pass.account.forget_owned_numbers();
                // Given back is what Telnyx no longer lists, not what it said it would do.
                if listed_at_carrier(pass, &number_id).await? {
                    return Ok(Release::Waits(
                        "Telnyx was asked to take the number back and still lists it; read again by itself".into(),
                        policy.order_poll(),
                    ));
                }
            }
            delete_pin(pass).await?;
            Release::Done(Reason::Released, format!("the number was given back{slot}"))
        }
        _ => Release::Done(Reason::Retained, format!("the number is kept for its company{slot}")),
    };
    settle(pass.ctx, &pass.spec).await?;
    Ok(done)
}

/// Whether deregister may be asked for: once at first, again only when Meta has had the time to show its effect.
/// `registered_at` goes when it was asked.
fn may_deregister(registration: &RegistrationStatus, now: Timestamp, grace: Duration) -> bool {
    registration.registered_at.is_some() || registration.attempts.last().is_none_or(|t| now >= t.0 + grace)
}

/// An order that may still deliver keeps the object: its number would be paid for by nobody.
fn awaits_order(pass: &Pass<'_>) -> Release {
    let policy = pass.ctx.policy;
    match pass.status().purchase {
        Some(purchase) if purchase.phase == PurchasePhase::WaitingRequirements => Release::Waits(
            format!(
                "the carrier waits for documents before it delivers {}: cancel the order in the Telnyx portal or hand them in; the release goes on by itself, or set {ANNOTATION_ABANDON} to the phone number",
                purchase.candidate.unwrap_or_default()
            ),
            policy.backoff(5),
        ),
        _ => Release::Waits(
            "an order's outcome is being looked up; the release goes on when it is known".into(),
            policy.order_poll(),
        ),
    }
}

async fn listed_at_carrier(pass: &Pass<'_>, number_id: &str) -> Result<bool, StepError> {
    let found = pass.account.telnyx.number_by_id(number_id).await?;
    Ok(found.is_some_and(|number| number.status != Some(OwnedStatus::Deleted)))
}

/// The account is gone, the routing table is not: what arrives for a line that was given up must not reach its company as
/// if it lived, and the next owner of the number must not find the route taken.
async fn disable_route(ctx: &Context, line: &ClientNumber) {
    let Some(id) = line.status.as_ref().and_then(|s| route::phone_number_id(&s.phone_number_id)) else { return };
    let routes = ctx.store.routes();
    let result = match routes.get(&id).await {
        Ok(Some(route)) if Some(&route.uid) == line.uid().as_ref() && route.state != RouteState::Disabled => {
            routes.set_state(&id, route.revision, RouteState::Disabled, ctx.clock.now()).await.map(|_| ())
        }
        other => other.map(|_| ()),
    };
    if let Err(error) = result {
        tracing::warn!(line = %line.name_any(), error = %error, "the route of a line that was given up stays as it is");
    }
}

fn releasing(pass: &Pass<'_>, message: &str) -> Progress {
    Progress::working(plan(&pass.status()), Reason::Releasing, message)
}

async fn settle(ctx: &Context, spec: &LineSpec) -> Result<(), StepError> {
    match ledger_write::settle(ctx, &spec.portfolio, &spec.name, &spec.uid).await {
        Ok(()) => Ok(()),
        Err(ClaimError::Kube(error)) => Err(StepError::Kube(error)),
        Err(_) => Err(StepError::Moved),
    }
}

/// The PIN outlives the object; it goes only with the number.
async fn delete_pin(pass: &Pass<'_>) -> Result<(), StepError> {
    use k8s_openapi::api::core::v1::Secret;
    let Some(number) = pass.number() else { return Ok(()) };
    let api: Api<Secret> = Api::namespaced(pass.ctx.client.clone(), &pass.spec.portfolio.namespace);
    let name = pin_secret(number.digits());
    match api.get_opt(&name).await? {
        Some(secret) if secret.type_.as_deref() == Some(crate::resources::names::SECRET_TYPE_PIN) => {
            match api.delete(&name, &kube::api::DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                other => other.map(|_| ()).map_err(StepError::Kube),
            }
        }
        _ => Ok(()),
    }
}

/// The number that a person gives up: the annotation must name it, so that no other line's is meant.
fn abandoned(line: &ClientNumber) -> Option<String> {
    let wanted = line.annotations().get(ANNOTATION_ABANDON)?;
    let status = line.status.as_ref()?;
    let number = status.phone_number.as_ref().or(status.purchase.as_ref()?.candidate.as_ref())?;
    (wanted == number).then(|| number.clone())
}

/// Shows what the release waits for.
async fn shown(ctx: &Context, line: &ClientNumber, message: &str) -> Result<Action, StepError> {
    let step = plan(&line.status.clone().unwrap_or_default());
    let progress = Progress::working(step, Reason::Releasing, message);
    pass::save(ctx, line, &progress, &Overlay::Deleting, |_| ()).await?;
    Ok(Action::requeue(ctx.jitter(ctx.policy.backoff(5))))
}

/// The last word and the finalizer's end.
async fn finish(ctx: &Context, line: &ClientNumber, reason: Reason, message: String) -> Result<Action, StepError> {
    let draft = Draft {
        warning: reason == Reason::Abandoned,
        reason: reason.as_str().into(),
        action: "Release".into(),
        note: message,
    };
    events::write(ctx, &line.object_ref(&()), vec![draft]).await;
    let api: Api<ClientNumber> = Api::namespaced(ctx.client.clone(), &line.namespace().unwrap_or_default());
    let finalizers: Vec<String> = line.finalizers().iter().filter(|f| *f != LINE_FINALIZER).cloned().collect();
    let patch = serde_json::json!({"metadata": {"resourceVersion": line.resource_version(), "finalizers": finalizers}});
    match api.patch(&line.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(Action::await_change()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Action::await_change()),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Action::requeue(Duration::from_millis(200))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn deregister_is_not_repeated_while_its_effect_may_show() {
        let now: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        let ago = |seconds: i64| Time(now - jiff::SignedDuration::from_secs(seconds));
        let grace = Duration::from_secs(120);
        let may = |attempts: Vec<Time>, registered: bool| {
            let registered_at = registered.then(|| ago(9999));
            let registration = RegistrationStatus { attempts, registered_at, ..RegistrationStatus::default() };
            may_deregister(&registration, now, grace)
        };
        assert!(may(vec![ago(1)], true), "the first time, however young the registration is");
        assert!(!may(vec![ago(9999), ago(119)], false), "asked for a moment ago");
        assert!(may(vec![ago(9999), ago(120)], false));
        assert!(may(Vec::new(), false), "connected without having been registered from here");
    }
}
