//! Deletion: route draining -> deregister -> route disabled -> the number kept (Retain) or given back (Release).
//!
//! The finalizer goes only when nothing that costs money depends on this object any more, or when a person says
//! `clientnumber.dev/abandon`. A purchase whose outcome is not known is looked up first: a number that arrives after its
//! object is gone would be paid for by nobody. A provider that is away delays deletion and says so.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};

use super::acquire;
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
use crate::resources::ClientNumber;
use crate::resources::client_number::{DeletionPolicy, PurchasePhase};
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
    if let Some(number) = abandoned(&line) {
        return finish(
            ctx,
            &line,
            Reason::Abandoned,
            format!("given up on the word of {ANNOTATION_ABANDON}; {number} is listed as an orphan"),
        )
        .await;
    }
    let nothing = status.purchase.is_none() && status.phone_number.is_none();
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
    if portfolio.spec.suspend {
        return shown(ctx, &line, "the Portfolio is suspended; the release goes on when it is not").await;
    }
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
                return Ok(Release::Waits(
                    "an order's outcome is being looked up; the release goes on when it is known".into(),
                    policy.order_poll(),
                ));
            }
            acquire::ForRelease::Owned => {}
        }
    }
    let progress = releasing(pass, "the line takes no part in sending any more; what arrives is still delivered");
    route::set_state(pass, RouteState::Draining, &progress).await?;
    verify::disarm(pass, &progress).await?;
    if let Some(id) = route::phone_number_id(&pass.status().phone_number_id) {
        let listed = pass.account.waba_numbers(Duration::ZERO).await?;
        if listed.iter().any(|n| n.id == id && n.is_connected()) {
            pass.account.meta.deregister(&id).await?;
            pass.account.forget_waba_numbers().await;
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
            pass.account.telnyx.release_number(&number_id).await?;
            pass.account.forget_owned_numbers().await;
            delete_pin(pass).await?;
            Release::Done(Reason::Released, format!("the number was given back{slot}"))
        }
        _ => Release::Done(Reason::Retained, format!("the number is kept for its company{slot}")),
    };
    settle(pass.ctx, &pass.spec).await?;
    Ok(done)
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
