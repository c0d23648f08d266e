//! Which lines are looked at again when their Portfolio has changed. Must never wake a line for a change that is not about
//! it: a thousand lines would be read at every claim of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::line::budget;
use crate::portfolio::observed::Observed;
use crate::resources::conditions::{ConditionType, get, is_true};
use crate::resources::reasons::Reason;
use crate::resources::{ClientNumber, Portfolio};

/// The rounds that lines have been woken for, by the Portfolio's uid.
#[derive(Default)]
pub struct Told(Mutex<HashMap<String, Arc<Observed>>>);

/// What the Portfolio's last round saw, if it was not told before.
fn news(ctx: &Context, portfolio: &Portfolio, told: &Told) -> Option<Arc<Observed>> {
    let uid = portfolio.uid().unwrap_or_default();
    let mut told = told.0.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(observed) = ctx.observations.get(portfolio) else {
        // Gone, or not read yet.
        told.remove(&uid);
        return None;
    };
    let last = told.insert(uid, observed.clone());
    last.is_none_or(|last| !Arc::ptr_eq(&last, &observed)).then_some(observed)
}

/// Whether a line that waits for its budget of codes could ask for one now: the Portfolio's limits were raised.
fn may_ask(ctx: &Context, portfolio: &Portfolio, line: &ClientNumber) -> bool {
    let verification = line.status.as_ref().and_then(|s| s.verification.clone()).unwrap_or_default();
    let limits = &portfolio.spec.limits.code_requests;
    let not_before = verification.not_before.as_ref();
    budget::next_code(&verification.requests, not_before, limits, ctx.clock.now(), ctx.policy).is_none()
}

/// The lines that a change of a Portfolio concerns: those that wait for it, those for which its last round has news, and
/// all when it is suspended or resumed. A claim in the ledger must not wake every line.
pub fn by(ctx: &Context, portfolio: &Portfolio, told: &Told) -> Vec<ObjectRef<ClientNumber>> {
    let news = news(ctx, portfolio, told);
    let waits = [
        Reason::PortfolioNotFound.as_str(),
        Reason::PortfolioNotReady.as_str(),
        Reason::PortfolioSuspended.as_str(),
        Reason::NamespaceNotAllowed.as_str(),
        Reason::CapacityFull.as_str(),
        Reason::PurchaseLimitReached.as_str(),
        Reason::PriceAboveLimit.as_str(),
        Reason::CaptureNotConfigured.as_str(),
    ];
    crate::portfolio::lines_of(ctx, portfolio)
        .into_iter()
        .filter(|line| {
            let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            let reason = get(conditions, ConditionType::Ready).map(|c| c.reason.as_str());
            let suspended = is_true(conditions, ConditionType::Suspended);
            // One that is being deleted says by its reason alone that it waits for its Portfolio.
            let leaving = line.metadata.deletion_timestamp.is_some();
            (!leaving && (portfolio.spec.suspend || line.spec.suspend) != suspended)
                || reason.is_none_or(|reason| waits.contains(&reason))
                || (reason == Some(Reason::CodeRateLimited.as_str()) && may_ask(ctx, portfolio, line))
                || news.as_ref().is_some_and(|observed| crate::line::keep::due(line, portfolio, observed, ctx))
        })
        .map(|line| ObjectRef::from_obj(line.as_ref()))
        .collect()
}
