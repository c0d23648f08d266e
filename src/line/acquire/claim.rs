//! Claiming a number, a slot and the budget in the Portfolio's ledger: one PUT that decides between lines.

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use crate::domain::E164;
use crate::portfolio::ledger::{Claim, Refusal};
use crate::portfolio::ledger_write::{self, ClaimError};
use crate::resources::reasons::Reason;
use std::time::Duration;

/// Numbers that Meta lists, for counting slots. A list of up to a minute is good enough: claims in progress are counted
/// beside it.
pub const SLOT_LIST_AGE: Duration = Duration::from_secs(60);

/// Claims the number for this line. `Ok(Err(refusal))`: refused; `refused` says what to show.
pub async fn claim(pass: &Pass<'_>, number: &E164, purchase: bool) -> Result<Result<(), Refusal>, StepError> {
    // The ledger knows the lines of this Portfolio; a line of another Portfolio may name the same number.
    if let Some(other) = pass.ctx.other_line_with(number, &pass.spec.uid) {
        return Ok(Err(Refusal::NumberTaken { by: other.to_string() }));
    }
    let at_meta: Vec<E164> =
        pass.account.waba_numbers(SLOT_LIST_AGE).await?.iter().filter_map(|n| n.number()).collect();
    let claim = Claim { line: pass.spec.name.clone(), uid: pass.spec.uid.clone(), number: number.clone(), purchase };
    match ledger_write::claim(pass.ctx, &pass.spec.portfolio, &claim, &at_meta).await {
        Ok(()) => Ok(Ok(())),
        Err(ClaimError::Refused(refusal)) => Ok(Err(refusal)),
        Err(ClaimError::Kube(error)) => Err(StepError::Kube(error)),
        Err(ClaimError::Busy) => Err(StepError::Moved),
    }
}

/// What a refusal means for the line.
pub fn refused(pass: &Pass<'_>, refusal: &Refusal) -> Outcome {
    let poll = pass.ctx.policy.backoff(4);
    match refusal {
        Refusal::NumberTaken { by } => Outcome::wait(
            Progress::stalled(
                Step::Acquire,
                Reason::DuplicateNumber,
                format!("the line {by} claims this number: delete one of the two ClientNumbers"),
            ),
            poll,
        ),
        Refusal::CapacityFull { limit, .. } => Outcome::wait(
            Progress::working(
                Step::Acquire,
                Reason::CapacityFull,
                format!(
                    "all {limit} slots are in use or claimed; goes on by itself when one is free: ask Meta for more and raise limits.maxNumbers, or delete numbers in WhatsApp Manager"
                ),
            ),
            poll,
        ),
        Refusal::PurchaseLimit { until, which } => {
            let wait: Duration = until.duration_since(pass.ctx.clock.now()).try_into().unwrap_or(poll);
            let at = until.strftime("%Y-%m-%d %H:%M:%S UTC");
            Outcome::wait(
                Progress::working(
                    Step::Acquire,
                    Reason::PurchaseLimitReached,
                    format!("limits.{which} of the Portfolio is reached; goes on by itself at {at}"),
                ),
                wait,
            )
        }
    }
}
