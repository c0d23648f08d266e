//! Whether the owner id still is this cluster's: asked of the carrier right before a number is ordered, marked, taken out of
//! service or given back. The Portfolio's round looks once in `checkInterval`, and a person may let another cluster take
//! over at any moment: the numbers are that cluster's then, in service for it.
//!
//! Must never let such a call be made on what a round saw.

use kube::ResourceExt;

use super::error::StepError;
use super::pass::Pass;
use crate::portfolio::applications;

/// Ends the pass if another cluster holds the owner id by now: no line of the Portfolio goes on, and its next round says so.
pub async fn still_ours(pass: &Pass<'_>) -> Result<(), StepError> {
    let account = &pass.account;
    let look = applications::lost_to(&pass.portfolio, &account.telnyx, &account.owner, &account.cluster);
    let Some(by) = look.await? else { return Ok(()) };
    tracing::warn!(line = %pass.spec.name, owner = %account.owner, cluster = %by, "another cluster has taken the owner id over: nothing of it is touched");
    pass.ctx.accounts.withdraw(&pass.portfolio);
    if let Some(uid) = pass.portfolio.uid() {
        pass.ctx.rounds.not_after(&uid, pass.ctx.clock.monotonic());
    }
    Err(StepError::OwnerIdInUse { owner: account.owner.clone(), by })
}
