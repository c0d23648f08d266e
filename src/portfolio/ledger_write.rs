//! Writing the ledger: read the Portfolio live, decide by the pure rules of `ledger`, PUT with resourceVersion. A 409
//! means that another line was faster: read again and decide again. Lines of this process take turns, since fifty that
//! write at once would mostly make each other repeat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Api;
use kube::api::PostParams;

use super::ledger::{self, Claim, Refusal};
use crate::controller::context::Context;
use crate::domain::{E164, NamespacedName};
use crate::resources::Portfolio;
use crate::resources::portfolio::LedgerEntry;

/// Why a claim was not written.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// By the rules.
    #[error("refused")]
    Refused(Refusal),
    /// Others wrote all the time: try again in a moment.
    #[error("the Portfolio is being written by others")]
    Busy,
    /// Kubernetes.
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

const ATTEMPTS: usize = 8;

/// Claims. After a success no other line can claim the number, or the last slot, until it is settled.
pub async fn claim(
    ctx: &Context,
    portfolio: &NamespacedName,
    claim: &Claim,
    at_meta: &[E164],
) -> Result<(), ClaimError> {
    update(ctx, portfolio, |current| {
        ledger::claim(
            &current.status.as_ref().map(|s| s.ledger.clone()).unwrap_or_default(),
            claim,
            at_meta,
            &current.spec.limits,
            ctx.clock.now(),
            ctx.policy,
        )
        .map_err(ClaimError::Refused)
    })
    .await
}

/// Settles the line's claim. A Portfolio that is gone has nothing to settle.
pub async fn settle(
    ctx: &Context,
    portfolio: &NamespacedName,
    line: &NamespacedName,
    uid: &str,
) -> Result<(), ClaimError> {
    let result = update(ctx, portfolio, |current| {
        let ledger = current.status.as_ref().map(|s| s.ledger.clone()).unwrap_or_default();
        Ok(ledger::prune(&ledger::settle(&ledger, line, uid, ctx.clock.now()), ctx.clock.now(), ctx.policy))
    })
    .await;
    match result {
        Err(ClaimError::Kube(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
        other => other,
    }
}

/// One writer a Portfolio at a time, in the order of coming.
#[derive(Default)]
pub struct LedgerTurns(Mutex<HashMap<NamespacedName, Arc<tokio::sync::Mutex<()>>>>);

impl LedgerTurns {
    async fn take(&self, portfolio: &NamespacedName) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(portfolio.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

async fn update(
    ctx: &Context,
    name: &NamespacedName,
    decide: impl Fn(&Portfolio) -> Result<Vec<LedgerEntry>, ClaimError>,
) -> Result<(), ClaimError> {
    let api: Api<Portfolio> = Api::namespaced(ctx.client.clone(), &name.namespace);
    let _turn = ctx.ledgers.take(name).await;
    for _ in 0..ATTEMPTS {
        let mut live = api.get(&name.name).await?;
        let next = decide(&live)?;
        let status = live.status.get_or_insert_default();
        if status.ledger == next {
            return Ok(());
        }
        status.ledger = next;
        match api.replace_status(&name.name, &PostParams::default(), &live).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ClaimError::Busy)
}
