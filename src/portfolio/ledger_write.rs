//! Writing the ledger: read the Portfolio live, decide by the pure rules of `ledger`, PUT with resourceVersion. A 409
//! means that another line was faster: read again and decide again. Lines of this process take turns, since fifty that
//! write at once would mostly make each other repeat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Api;
use kube::api::PostParams;

use super::business;
use super::ledger::{self, Claim, Facts, Funds, Ordered, Refusal};
use crate::controller::context::{Context, name_of};
use crate::domain::{E164, NamespacedName};
use crate::resources::limits::Limits;
use crate::resources::portfolio::RetainedNumber;
use crate::resources::{Portfolio, PortfolioStatus};

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

/// Claims. After a success no other line can claim the number, or the last slot of the business, until it is settled. Meta's
/// lists are not asked for here: `business::refresh` comes before.
pub async fn claim(
    ctx: &Context,
    portfolio: &Portfolio,
    claim: &Claim,
    orders: &[Ordered],
    funds: Option<&Funds>,
) -> Result<(), ClaimError> {
    let _turn = ctx.ledgers.take(Turn::Business(portfolio.spec.meta.business_id.clone())).await;
    let others = business::others_now(ctx, portfolio).await?;
    update(ctx, &name_of(&portfolio.metadata), |limits, status| {
        // After the ledgers: a claim is settled when Meta's list shows its number.
        let seen = business::seen(ctx, portfolio, &others, &claim.uid);
        // Who has linked the number has settled its claim, and recorded the number before.
        let holder = ctx.other_line_with(&claim.number, &claim.uid);
        let facts = Facts { orders, funds, holder: holder.as_ref(), ..seen.facts() };
        status.ledger = ledger::claim(&status.ledger, claim, &facts, limits, ctx.clock.now(), ctx.policy)
            .map_err(ClaimError::Refused)?;
        Ok(())
    })
    .await
}

/// What a settled claim means for the list of numbers that are kept.
#[derive(Debug, Clone)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// The number is kept from now on.
    Kept(RetainedNumber),
    /// The number is a line's, or was given back: it is not listed any more.
    Unlisted(E164),
}

/// Settles the line's claim and says what became of its number: one PUT. A Portfolio that is gone has nothing to settle.
pub async fn settle(
    ctx: &Context,
    portfolio: &NamespacedName,
    line: &NamespacedName,
    uid: &str,
    left: Left,
) -> Result<(), ClaimError> {
    let now = ctx.clock.now();
    let result = update(ctx, portfolio, |_, status| {
        status.ledger = ledger::prune(&ledger::settle(&status.ledger, line, uid, now), now, ctx.policy);
        let before = status.retained.len();
        match left.clone() {
            Left::Nothing => {}
            Left::Kept(number) => status.retained = ledger::keep(&status.retained, number),
            Left::Unlisted(number) => status.retained.retain(|kept| kept.phone_number != number.as_str()),
        }
        if status.retained.len() != before {
            let count = i32::try_from(status.retained.len()).unwrap_or(i32::MAX);
            status.numbers.get_or_insert_default().retained = count;
        }
        Ok(())
    })
    .await;
    match result {
        Err(ClaimError::Kube(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
        other => other,
    }
}

/// What is written by one at a time. Whoever has a business's turn may wait for a Portfolio's, never the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Turn {
    /// A Portfolio's ledger.
    Portfolio(NamespacedName),
    /// New claims on the slots of a business.
    Business(String),
}

/// Who writes, in the order of coming.
#[derive(Default)]
pub struct LedgerTurns(Mutex<HashMap<Turn, Arc<tokio::sync::Mutex<()>>>>);

impl LedgerTurns {
    async fn take(&self, turn: Turn) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(turn).or_default().clone()
        };
        turn.lock_owned().await
    }

    /// The Portfolio is gone.
    pub fn forget(&self, portfolio: &NamespacedName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Turn::Portfolio(portfolio.clone()));
    }
}

async fn update(
    ctx: &Context,
    name: &NamespacedName,
    change: impl Fn(&Limits, &mut PortfolioStatus) -> Result<(), ClaimError>,
) -> Result<(), ClaimError> {
    let api: Api<Portfolio> = Api::namespaced(ctx.client.clone(), &name.namespace);
    let _turn = ctx.ledgers.take(Turn::Portfolio(name.clone())).await;
    for _ in 0..ATTEMPTS {
        let mut live = api.get(&name.name).await?;
        let before = live.status.clone().unwrap_or_default();
        let mut status = before.clone();
        change(&live.spec.limits, &mut status)?;
        if status == before {
            return Ok(());
        }
        live.status = Some(status);
        match api.replace_status(&name.name, &PostParams::default(), &live).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ClaimError::Busy)
}
