//! Whether a line may be worked on now: suspended, Portfolio missing or not ready, namespace not allowed, retry gate.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};

use super::error::StepError;
use super::plan::{Step, plan};
use super::spec::LineSpec;
use super::status::{Overlay, Progress};
use crate::controller::context::Context;
use crate::portfolio::accounts::Account;
use crate::resources::conditions::{ConditionType, get, is_true};
use crate::resources::portfolio::NamespacesFrom;
use crate::resources::reasons::Reason;
use crate::resources::{ClientNumber, Portfolio};

/// How often a line asks whether its Portfolio's accounts were read.
const NOT_READ_YET: Duration = Duration::from_millis(250);

/// Whether the line may be worked on.
pub enum Admission {
    /// Yes, with these accounts.
    Entered(Arc<Portfolio>, Arc<Account>),
    /// Not now.
    Waits {
        /// What to show.
        progress: Progress,
        /// What stands over the pipeline.
        overlay: Overlay,
        /// When to look again, besides changes of the line and its Portfolio.
        after: Duration,
    },
}

/// Decides whether the line may be worked on. The line's own suspension wins over the Portfolio's in the reason.
pub async fn admit(line: &ClientNumber, spec: &LineSpec, ctx: &Context) -> Result<Admission, StepError> {
    let step = plan(&line.status.clone().unwrap_or_default());
    let waits = |progress, overlay| Admission::Waits { progress, overlay, after: ctx.policy.backoff(6) };
    let suspended = |reason, message: String| {
        waits(Progress::working(step, reason, message.clone()), Overlay::Suspended(reason, message))
    };
    if line.spec.suspend {
        return Ok(suspended(
            Reason::Suspended,
            "work on the line is stopped; set spec.suspend to false to go on".into(),
        ));
    }
    let name = &spec.portfolio;
    let mut seen = ctx.portfolios.get(&name.namespace, &name.name);
    // Another watch than the one that woke us may be a moment behind it: a line that would have to wait looks for itself.
    if !seen.as_ref().is_some_and(|portfolio| is_ready(portfolio)) {
        let api: Api<Portfolio> = Api::namespaced(ctx.client.clone(), &name.namespace);
        seen = api.get_opt(&name.name).await?.map(Arc::new);
    }
    let Some(portfolio) = seen else {
        let message = format!("there is no Portfolio {name}; goes on by itself when there is");
        return Ok(waits(Progress::working(step, Reason::PortfolioNotFound, message), Overlay::None));
    };
    if !allowed(&portfolio, spec, ctx).await? {
        let message = format!(
            "Portfolio {name} does not allow namespace {}: add it to spec.allowedNamespaces there",
            spec.name.namespace
        );
        return Ok(waits(Progress::stalled(step, Reason::NamespaceNotAllowed, message), Overlay::None));
    }
    if portfolio.spec.suspend {
        let message = format!("all lines of Portfolio {name} are stopped; set its spec.suspend to false to go on");
        return Ok(suspended(Reason::PortfolioSuspended, message));
    }
    let ready = portfolio.status.as_ref().and_then(|s| get(&s.conditions, ConditionType::Ready));
    // A Portfolio that is to go takes nothing on, but what works is looked after until it goes.
    let goes_on = |reason: &str| reason == Reason::LinesInUse.as_str() && step == Step::Keep;
    let kept = ready.is_some_and(|ready| goes_on(&ready.reason));
    match ctx.accounts.get(&portfolio).filter(|_| is_ready(&portfolio) || passing_trouble(&portfolio) || kept) {
        Some(account) => Ok(Admission::Entered(portfolio, account)),
        None => {
            // The account's own trouble is told once, on the Portfolio; here only where to look.
            let reason = ready.map_or("not read yet".to_owned(), |c| c.reason.clone());
            let message = format!("Portfolio {name} is not Ready ({reason}); goes on by itself when it is");
            Ok(waits(Progress::working(step, Reason::PortfolioNotReady, message), Overlay::None))
        }
    }
}

/// This process has only begun and has not read the accounts of a Portfolio that is Ready: its lines need not say so and
/// take it back a second later, each with two writes and two events. When to ask again; no call follows from asking.
pub fn not_read_yet(line: &ClientNumber, ctx: &Context) -> Option<Duration> {
    let reference = &line.spec.portfolio_ref;
    let namespace = reference.namespace.as_deref().or(line.metadata.namespace.as_deref())?;
    let portfolio = ctx.portfolios.get(namespace, &reference.name)?;
    (is_ready(&portfolio) && ctx.accounts.get(&portfolio).is_none()).then_some(NOT_READ_YET)
}

fn is_ready(portfolio: &Portfolio) -> bool {
    portfolio.status.as_ref().is_some_and(|s| is_true(&s.conditions, ConditionType::Ready))
}

/// Whether all that is wrong is that a provider does not answer or asks to slow down. Lines whose accounts are known go
/// on: what needs the other provider must not wait, and what needs this one learns from its own call when it is back.
fn passing_trouble(portfolio: &Portfolio) -> bool {
    let ready = portfolio.status.as_ref().and_then(|s| get(&s.conditions, ConditionType::Ready));
    ready.is_some_and(|c| [Reason::ProviderUnavailable, Reason::RateLimited].iter().any(|r| r.as_str() == c.reason))
}

async fn allowed(portfolio: &Portfolio, spec: &LineSpec, ctx: &Context) -> Result<bool, StepError> {
    if portfolio.namespace().as_deref() == Some(spec.name.namespace.as_str()) {
        return Ok(true);
    }
    match portfolio.spec.allowed_namespaces.from {
        NamespacesFrom::Same => Ok(false),
        NamespacesFrom::All => Ok(true),
        NamespacesFrom::Selector => {
            let api: Api<Namespace> = Api::all(ctx.client.clone());
            let Some(namespace) = api.get_opt(&spec.name.namespace).await? else { return Ok(false) };
            let selector = portfolio.spec.allowed_namespaces.selector.clone().unwrap_or_default();
            // A selector that can't be read selects nothing.
            let Ok(selector) = kube::core::Selector::try_from(selector) else { return Ok(false) };
            Ok(kube::core::SelectorExt::matches(&selector, namespace.labels()))
        }
    }
}

/// How long the line's retry time still holds; None: go on. A new spec or a new retry-requested-at ends it early.
pub fn retry_gate(line: &ClientNumber, now: Timestamp) -> Option<Duration> {
    let status = line.status.as_ref()?;
    let retry = status.retry.as_ref()?;
    let at = retry.next_retry_at.as_ref()?.0;
    let same_spec = status.observed_generation == line.metadata.generation.unwrap_or_default();
    let too_long = super::recording(line, now) == super::Recording::TooLong;
    if !same_spec || super::asked_anew(line) || at <= now || too_long {
        return None;
    }
    at.duration_since(now).try_into().ok()
}
