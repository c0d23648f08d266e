//! Claiming a number, a slot and the budget in the Portfolio's ledger: one PUT that decides between lines.

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use crate::domain::E164;
use crate::portfolio::business;
use crate::portfolio::ledger::{self, Claim, Funds, Ordered, Refusal};
use crate::portfolio::ledger_write::{self, ClaimError};
use crate::resources::reasons::Reason;
use std::time::Duration;

/// What a claim is for.
#[derive(Debug, Clone, Copy)]
pub enum For<'a> {
    /// A number that is there already.
    Use,
    /// A purchase, held against these funds, if it is not known to have been.
    Purchase(Option<&'a Funds>),
}

/// Claims the number for this line. `Ok(Err(refusal))`: refused; `refused` says what to show.
pub async fn claim(pass: &Pass<'_>, number: &E164, what: For<'_>) -> Result<Result<(), Refusal>, StepError> {
    let (purchase, funds) = match what {
        For::Use => (false, None),
        For::Purchase(funds) => (true, funds),
    };
    // Nobody is asked for a number that is seen to be another line's; the ledgers, which are read anew, decide.
    if let Some(other) = pass.ctx.other_line_with(number, &pass.spec.uid) {
        return Ok(Err(Refusal::NumberTaken { by: other.to_string() }));
    }
    business::refresh(pass.ctx, &pass.portfolio).await?;
    let orders = if purchase { ordered(pass).await? } else { Vec::new() };
    let claim = Claim { line: pass.spec.name.clone(), uid: pass.spec.uid.clone(), number: number.clone(), purchase };
    match ledger_write::claim(pass.ctx, &pass.portfolio, &claim, &orders, funds).await {
        Ok(()) => Ok(Ok(())),
        Err(ClaimError::Refused(refusal)) => Ok(Err(refusal)),
        Err(ClaimError::Kube(error)) => Err(StepError::Kube(error)),
        Err(ClaimError::Busy) => Err(StepError::Moved),
    }
}

/// The purchases of the longest window by the carrier's own list. It can't be wiped as a status can.
async fn ordered(pass: &Pass<'_>) -> Result<Vec<Ordered>, StepError> {
    let now = pass.ctx.clock.now();
    let orders = pass.account.orders(now - pass.ctx.policy.day(), business::LIST_AGE).await?;
    Ok(ledger::purchases(&orders, &pass.account.reference_prefix(), now))
}

/// What a refusal means for the line.
pub fn refused(pass: &Pass<'_>, refusal: &Refusal) -> Outcome {
    let poll = pass.ctx.policy.backoff(4);
    let alone = business::others(pass.ctx, &pass.portfolio).is_empty();
    let shared = if alone { "" } else { ", by all Portfolios of the business together" };
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
                    "all {limit} slots are in use or claimed{shared}; goes on by itself when one is free: ask Meta for more and raise limits.maxNumbers, or delete numbers in WhatsApp Manager"
                ),
            ),
            poll,
        ),
        Refusal::FundsLow { available, minimum } => {
            let message = format!(
                "the carrier's balance of {} would fall below limits.minBalanceUsd {}, with what is ordered already: pay into the Telnyx account; goes on by itself",
                available.display(),
                minimum.display()
            );
            Outcome::wait(Progress::stalled(Step::Acquire, Reason::InsufficientFunds, message), poll)
        }
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
