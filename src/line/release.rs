//! Deletion: route draining -> deregister -> route disabled -> the number kept (Retain) or given back (Release).
//!
//! The two ends are files of their own: `release/deregister.rs` at Meta, `give_back.rs` at the carrier; `release/lost.rs`
//! finds the number of a line whose status was lost, `release/order.rs` says what an order without an end needs,
//! `release/abandon.rs` is the way out, `release/rival.rs` says when the number is another line's.
//! The finalizer goes only when nothing that costs money depends on this object any more, or when a person says
//! `clientnumber.dev/abandon`. A purchase whose outcome is not known is looked up first: a number that arrives after its
//! object is gone would be paid for by nobody. A provider that is away delays deletion and says so. A release that waits
//! writes nothing while nothing changes: each write would be followed by another pass.

mod abandon;
mod deregister;
mod finish;
mod keep_number;
mod lost;
mod order;
mod rival;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::acquire;
use super::error::{StepError, verdict};
use super::gate;
use super::give_back;
use super::pass::{self, Pass};
use super::plan::plan;
use super::route;
use super::spec::LineSpec;
use super::status::{Overlay, Progress};
use super::verify;
use crate::controller::context::Context;
use crate::domain::{E164, NamespacedName};
use crate::portfolio::ledger_write::{self, ClaimError, Left};
use crate::resources::client_number::{DeletionPolicy, PurchasePhase, RetryStatus};
use crate::resources::names::{ANNOTATION_ABANDON, LINE_FINALIZER};
use crate::resources::reasons::Reason;
use crate::resources::{ClientNumber, ClientNumberStatus};
use crate::store::RouteState;

/// What is left to wait for.
pub enum Release {
    /// Nothing: the object may go.
    Done(Reason, String),
    /// Something: what is shown, and when to look again.
    Waits(Progress, Duration),
}

/// Whether nothing is recorded that could cost money.
fn nothing(status: &ClientNumberStatus) -> bool {
    status.purchase.is_none() && status.phone_number.is_none()
}

/// What a pass may do.
enum Entry<'a> {
    /// Its work.
    Works(Box<Pass<'a>>),
    /// Nothing more: this was done or is waited for.
    Ends(Action),
}

/// One pass over a line that is being deleted.
pub async fn reconcile(line: ClientNumber, ctx: &Context) -> Result<Action, StepError> {
    let uid = line.uid().unwrap_or_default();
    if !line.finalizers().iter().any(|f| f == LINE_FINALIZER) {
        ctx.away.forget(&uid, ctx.clock.monotonic());
        return Ok(Action::await_change());
    }
    let mut pass = match enter(begun(line), ctx).await? {
        Entry::Works(pass) => *pass,
        Entry::Ends(action) => {
            ctx.away.forget(&uid, ctx.clock.monotonic());
            return Ok(action);
        }
    };
    // A time that a provider or its rule named holds whatever wakes the line; a person's wish ends it.
    if !ctx.away.goes(&uid)
        && let Some(rest) = gate::retry_gate(&pass.line, ctx.clock.now())
    {
        return Ok(Action::requeue(rest));
    }
    match run(&mut pass).await {
        Ok(Release::Done(reason, message)) => {
            super::came_back(&pass);
            finish::run(ctx, &pass.line, reason, message).await
        }
        Ok(Release::Waits(progress, after)) => {
            if progress.reason == Reason::PortfolioSuspended {
                ctx.away.forget(&uid, ctx.clock.monotonic());
            } else {
                super::came_back(&pass);
            }
            let token = super::retry_token(&pass.line);
            pass.save(&progress, |status| super::handled(&mut status.retry, token)).await?;
            Ok(Action::requeue(ctx.jitter(after)))
        }
        Err(error) => failed(&mut pass, &error).await,
    }
}

/// The line, without what steps before the deletion are to wait for: that time is not the release's, and the number may be
/// recording until then. What is written next writes this too.
fn begun(mut line: ClientNumber) -> ClientNumber {
    let status = line.status.as_mut().filter(|status| status.step.as_deref() != Some(Overlay::RELEASE));
    if let Some(retry) = status.and_then(|status| status.retry.as_mut()) {
        *retry = RetryStatus { handled_request: retry.handled_request.take(), ..RetryStatus::default() };
    }
    line
}

/// Whether there is something to do, and the accounts to do it with.
async fn enter(line: ClientNumber, ctx: &Context) -> Result<Entry<'_>, StepError> {
    let status = line.status.clone().unwrap_or_default();
    let (step, again) = (plan(&status), ctx.policy.backoff(5));
    let spec = LineSpec::of(&line);
    let traces = lost::traces(&line, spec.as_ref().ok(), ctx);
    let nothing = nothing(&status) && traces.is_empty();
    let working = |reason, message: &str| Progress::working(step, reason, message);
    if ctx.read_only && !nothing {
        let text = "would take the line out of service; start the controller without --read-only to let it";
        return shown(ctx, &line, working(Reason::Releasing, text), again).await.map(Entry::Ends);
    }
    if let Some(number) = abandon::wanted(&line, &traces) {
        return abandon::run(ctx, &line, &number).await.map(Entry::Ends);
    }
    let bought_nothing = async || finish::run(ctx, &line, Reason::Released, "nothing had been bought".into()).await;
    let Ok(spec) = spec else {
        if nothing {
            return bought_nothing().await.map(Entry::Ends);
        }
        let text = "the spec can't be read any more: correct it, or set clientnumber.dev/abandon to the phone number";
        return shown(ctx, &line, working(Reason::Releasing, text), again).await.map(Entry::Ends);
    };
    if nothing {
        settle(ctx, &spec, Left::Nothing).await?;
        return bought_nothing().await.map(Entry::Ends);
    }
    let portfolio = ctx.portfolios.get(&spec.portfolio.namespace, &spec.portfolio.name);
    let Some((portfolio, account)) = portfolio.and_then(|p| ctx.accounts.get(&p).map(|a| (p, a))) else {
        let text = format!(
            "Portfolio {} is not there or not Ready, so the number can't be released; goes on when it is, or set {ANNOTATION_ABANDON} to the phone number",
            spec.portfolio
        );
        let progress = working(Reason::PortfolioNotReady, &text);
        if super::stop_recording(ctx, line.clone(), spec, &progress, Overlay::Deleting).await? {
            return Ok(Entry::Ends(Action::requeue(ctx.jitter(again))));
        }
        return shown(ctx, &line, progress, again).await.map(Entry::Ends);
    };
    Ok(Entry::Works(Box::new(Pass { ctx, line, spec, portfolio, account, overlay: Overlay::Deleting })))
}

/// Shows an error and says when the release goes on.
async fn failed(pass: &mut Pass<'_>, error: &StepError) -> Result<Action, StepError> {
    let ctx = pass.ctx;
    let Some(verdict) = verdict(plan(&pass.status()), error, ctx.policy) else {
        return Ok(Action::requeue(error.again()));
    };
    tracing::info!(line = %pass.spec.name, error = %error, "a release did not succeed; it is tried again");
    let attempts = pass.status().retry.map_or(0, |r| r.attempts) + i32::from(verdict.failure);
    let wait = match super::away(&pass.spec, error, &verdict) {
        // One line tries for all that wait for it: those that are deleted use up no budget either.
        Some((service, answered)) => {
            ctx.away.failed(&pass.spec.uid, service, answered, ctx.clock.monotonic(), ctx.policy)
        }
        None => {
            ctx.away.forget(&pass.spec.uid, ctx.clock.monotonic());
            // What is counted at the provider has a rule of its own; what a person must settle may cost a call each time.
            let backoff = ctx.policy.backoff(u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(5));
            verdict.wait.unwrap_or_default().max(backoff)
        }
    };
    let wait = ctx.jitter(wait);
    let next = ctx.clock.now() + wait;
    let when = verdict.wait.map(|_| format!("; tried again at {}", next.strftime("%Y-%m-%d %H:%M UTC")));
    let refused = deregister::refused(error, verdict.progress.state);
    let message = format!(
        "{refused}{}{}; or set {ANNOTATION_ABANDON} to the phone number to give it up",
        verdict.progress.message,
        when.unwrap_or_default()
    );
    let progress = Progress { message: message.clone(), ..verdict.progress };
    let token = super::retry_token(&pass.line);
    pass.intend(&progress, |status| {
        let retry = status.retry.get_or_insert_with(RetryStatus::default);
        retry.attempts = attempts;
        retry.next_retry_at = Some(Time(next));
        retry.last_error = Some(message);
        super::handled(&mut status.retry, token);
    })
    .await?;
    Ok(Action::requeue(wait))
}

async fn run(pass: &mut Pass<'_>) -> Result<Release, StepError> {
    let policy = pass.ctx.policy;
    // Before anything that may have to wait: neither MongoDB nor a suspension may keep a number recording.
    let progress = releasing(pass, "calls to the number are rejected again; the release goes on");
    verify::disarm(pass, &progress).await?;
    if pass.portfolio.spec.suspend {
        let message = "the Portfolio is suspended; the release goes on when it is not";
        let progress = Progress::working(plan(&pass.status()), Reason::PortfolioSuspended, message);
        return Ok(Release::Waits(progress, policy.backoff(5)));
    }
    match bought(pass).await? {
        Bought::Yes => {}
        Bought::Waits(release) => return Ok(release),
        // What is recorded may be older than what was bought.
        Bought::No(why) => match lost::find(pass).await? {
            lost::Found::Ours => {}
            lost::Found::Waits(release) => return Ok(release),
            lost::Found::Nothing => {
                settle(pass.ctx, &pass.spec, Left::Nothing).await?;
                return Ok(Release::Done(Reason::Released, why.into()));
            }
        },
    }
    if let Some(other) = rival::of(pass).await? {
        return left_to(pass, &other).await;
    }
    let progress = releasing(pass, "the line takes no part in sending any more; what arrives is still delivered");
    route::set_state(pass, RouteState::Draining, &progress).await?;
    if let Some(waits) = deregister::run(pass).await? {
        return Ok(waits);
    }
    let progress = releasing(pass, "the line is out of service");
    route::set_state(pass, RouteState::Disabled, &progress).await?;
    number(pass).await
}

/// Whether the line has a number by what is recorded.
enum Bought {
    Yes,
    /// And what is said of that.
    No(&'static str),
    Waits(Release),
}

/// A purchase on its way is followed to its end first.
async fn bought(pass: &mut Pass<'_>) -> Result<Bought, StepError> {
    let Some(purchase) = pass.status().purchase else {
        return Ok(if nothing(&pass.status()) { Bought::No("nothing had been bought") } else { Bought::Yes });
    };
    if matches!(purchase.phase, PurchasePhase::Owned | PurchasePhase::Burnt) {
        return Ok(Bought::Yes);
    }
    Ok(match acquire::outcome_for_release(pass, &purchase).await? {
        acquire::ForRelease::NotOurs => Bought::No("no number had been bought"),
        acquire::ForRelease::Waits => Bought::Waits(order::awaits(pass)),
        acquire::ForRelease::Vanished => Bought::Waits(order::vanished(pass, &purchase)),
        acquire::ForRelease::Owned => Bought::Yes,
    })
}

/// The number is kept or given back.
async fn number(pass: &mut Pass<'_>) -> Result<Release, StepError> {
    if let Some(number) = pass.number()
        && let Some(other) = rival::who_stays(pass, &number).await?
    {
        return left_to(pass, &other).await;
    }
    let at_meta = pass.status().phone_number_id.is_some();
    let slot = if at_meta { "; its slot at Meta is freed only by a person in WhatsApp Manager" } else { "" };
    let purchase = pass.status().purchase;
    let begun = purchase.as_ref().is_some_and(|p| p.give_back.is_some());
    // A replacement that was begun is ended, whatever the policy: nobody wants that number.
    let replacing = begun && purchase.as_ref().is_some_and(|p| p.phase == PurchasePhase::Burnt);
    let release = replacing || pass.spec.deletion_policy == DeletionPolicy::Release;
    if let (Some(number_id), Some(number)) = (purchase.and_then(|p| p.number_id), pass.number())
        && (release || begun)
    {
        let state = if release {
            give_back::run(pass, &number, &number_id, Reason::Releasing).await?
        } else {
            // The policy was changed after Telnyx was asked: what is gone can't be kept.
            give_back::undone(pass, &number, &number_id).await?
        };
        match state {
            give_back::State::Waits(progress, after) => return Ok(Release::Waits(progress, after)),
            give_back::State::Gone => return given_back(pass, number, slot).await,
            give_back::State::Kept => {}
        }
    }
    let kept = keep_number::entry(pass).map_or(Left::Nothing, Left::Kept);
    settle(pass.ctx, &pass.spec, kept).await?;
    Ok(Release::Done(Reason::Retained, format!("the number is kept for its company{slot}")))
}

/// The number is another line's, which goes on with it: nothing at Meta or the carrier is this one's to end.
async fn left_to(pass: &Pass<'_>, other: &NamespacedName) -> Result<Release, StepError> {
    let number = pass.number().map(|number| number.to_string()).unwrap_or_default();
    tracing::info!(line = %pass.spec.name, other = %other, "the number of a line that goes is another line's, and stays as it is");
    settle(pass.ctx, &pass.spec, Left::Nothing).await?;
    let message =
        format!("{number} is the line {other}'s and stays as it is; delete that one too if the number is to go");
    Ok(Release::Done(Reason::DuplicateNumber, message))
}

async fn given_back(pass: &mut Pass<'_>, number: E164, slot: &str) -> Result<Release, StepError> {
    super::pin::delete(pass, &number).await?;
    settle(pass.ctx, &pass.spec, Left::Unlisted(number)).await?;
    Ok(Release::Done(Reason::Released, format!("the number was given back{slot}")))
}

fn releasing(pass: &Pass<'_>, message: &str) -> Progress {
    Progress::working(plan(&pass.status()), Reason::Releasing, message)
}

/// Ends the line's claim, and says what became of its number: before the finalizer goes, since nothing else tells of it then.
async fn settle(ctx: &Context, spec: &LineSpec, left: Left) -> Result<(), StepError> {
    match ledger_write::settle(ctx, &spec.portfolio, &spec.name, &spec.uid, left).await {
        Ok(()) => Ok(()),
        Err(ClaimError::Kube(error)) => Err(StepError::Kube(error)),
        Err(_) => Err(StepError::Moved),
    }
}

/// Shows what the release waits for.
async fn shown(ctx: &Context, line: &ClientNumber, progress: Progress, after: Duration) -> Result<Action, StepError> {
    pass::save(ctx, line, &progress, &Overlay::Deleting, |_| ()).await?;
    Ok(Action::requeue(ctx.jitter(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blocked registration waits for 72 hours, perhaps with a number that records; the deletion does not.
    #[test]
    fn a_release_waits_for_no_time_of_before_the_deletion() {
        let now = "2026-11-01T10:00:00Z".parse().unwrap();
        for (step, waits) in [("register", false), ("release", true)] {
            let line: ClientNumber = serde_json::from_value(serde_json::json!({
                "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
                "metadata": {"name": "atlas", "generation": 2},
                "spec": {"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"},
                    "number": {"acquire": {}}},
                "status": {"observedGeneration": 2, "conditions": [], "step": step,
                    "retry": {"attempts": 3, "nextRetryAt": "2026-11-04T10:00:00Z", "handledRequest": "once"}},
            }))
            .unwrap();
            let line = begun(line);
            assert_eq!(gate::retry_gate(&line, now).is_some(), waits, "{step}");
            let retry = line.status.and_then(|status| status.retry).unwrap();
            assert_eq!((retry.attempts > 0, retry.handled_request.as_deref()), (waits, Some("once")), "{step}");
        }
    }
}
