//! Whether anything may be bought, and which offer: slots, price limits, balance. Spends nothing.

use super::super::Outcome;
use super::super::StepError;
use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::claim;
use crate::domain::{Country, E164, Usd};
use crate::portfolio::business;
use crate::portfolio::ledger::{Funds, Refusal};
use crate::providers::ProviderError;
use crate::providers::telnyx::Candidate;
use crate::resources::client_number::{PurchasePhase, PurchaseStatus};
use crate::resources::reasons::Reason;

/// Whether a slot is free at all, before anything is searched.
pub async fn no_room(pass: &Pass<'_>) -> Result<Option<Outcome>, StepError> {
    business::refresh(pass.ctx, &pass.portfolio).await?;
    let ledger: Vec<_> = pass
        .portfolio
        .status
        .iter()
        .flat_map(|s| s.ledger.iter())
        .filter(|e| e.uid != pass.spec.uid)
        .cloned()
        .collect();
    let used = business::used(pass.ctx, &pass.portfolio, &ledger, &pass.spec.uid);
    let limit = pass.portfolio.spec.limits.max_numbers;
    Ok((used >= limit).then(|| claim::refused(pass, &Refusal::CapacityFull { used, limit })))
}

/// The first offer that is free, not one of `taken`, and within the price limits.
pub fn choose(pass: &Pass<'_>, found: &[Candidate], taken: &[E164]) -> Result<Candidate, Outcome> {
    let (max_monthly, max_upfront) = price_limits(pass)?;
    let claimed = |number: &E164| {
        pass.portfolio
            .status
            .iter()
            .flat_map(|s| s.ledger.iter())
            .any(|e| e.settled_at.is_none() && e.uid != pass.spec.uid && e.phone_number == number.as_str())
    };
    let free: Vec<&Candidate> = found
        .iter()
        .filter(|c| {
            !taken.contains(&c.number)
                && !claimed(&c.number)
                && pass.ctx.other_line_with(&c.number, &pass.spec.uid).is_none()
        })
        .collect();
    let priced: Vec<_> = free.iter().filter(|c| c.monthly <= max_monthly && c.upfront <= max_upfront).collect();
    let now = pass.ctx.clock.monotonic();
    let unclaimed = priced.iter().find(|c| pass.account.choose(&c.number, &pass.spec.uid, now));
    if let Some(chosen) = unclaimed.or(priced.first()) {
        return Ok((**chosen).clone());
    }
    let poll = pass.ctx.policy.backoff(6);
    Err(match free.iter().min_by_key(|c| (c.monthly, c.upfront)) {
        None => Outcome::wait(
            Progress::working(
                Step::Acquire,
                Reason::NoInventory,
                "the carrier has no such number at the moment; searched again by itself",
            ),
            poll,
        ),
        Some(cheapest) => dear(pass, cheapest),
    })
}

/// What a number may cost, each month and once.
fn price_limits(pass: &Pass<'_>) -> Result<(Usd, Usd), Outcome> {
    let limits = &pass.portfolio.spec.limits;
    match (Usd::parse(&limits.max_monthly_usd_per_number), Usd::parse(&limits.max_upfront_usd_per_number)) {
        (Ok(monthly), Ok(upfront)) => Ok((monthly, upfront)),
        (Err(invalid), _) | (_, Err(invalid)) => {
            let message = format!("spec.limits of the Portfolio: {invalid}");
            let progress = Progress::stalled(Step::Acquire, Reason::InvalidSpec, message);
            Err(Outcome::wait(progress, pass.ctx.policy.backoff(6)))
        }
    }
}

fn dear(pass: &Pass<'_>, cheapest: &Candidate) -> Outcome {
    let message = format!(
        "the cheapest number costs {} a month and {} once: raise limits.maxMonthlyUsdPerNumber or limits.maxUpfrontUsdPerNumber of the Portfolio",
        cheapest.monthly.display(),
        cheapest.upfront.display()
    );
    Outcome::wait(Progress::stalled(Step::Acquire, Reason::PriceAboveLimit, message), pass.ctx.policy.backoff(6))
}

/// What the offer is paid from. The ledger holds it against what others, who claimed before, may still be charged for.
pub async fn funds(pass: &Pass<'_>, chosen: &Candidate) -> Result<Funds, StepError> {
    let lines = crate::portfolio::lines_of(pass.ctx, &pass.portfolio);
    let others = lines.iter().filter_map(|line| {
        let purchase = line.status.as_ref()?.purchase.as_ref()?;
        Some(((line.metadata.uid.clone()?, purchase.candidate.clone()?), owed(purchase)?))
    });
    Ok(Funds {
        minimum: Usd::parse(&pass.portfolio.spec.limits.min_balance_usd).unwrap_or_default(),
        price: chosen.upfront + chosen.monthly,
        others: others.collect(),
        available: pass.account.telnyx.balance().await?.available,
    })
}

/// What a line may still be charged for; None: not known. Delivered numbers were paid, refused ones never are.
fn owed(purchase: &PurchaseStatus) -> Option<Usd> {
    use PurchasePhase::{Burnt, Owned, Rejected};
    if matches!(purchase.phase, Owned | Rejected | Burnt) {
        return Some(Usd::default());
    }
    let price = purchase.price.as_ref()?;
    Some(Usd::parse(&price.upfront_usd).ok()? + Usd::parse(&price.monthly_usd).ok()?)
}

/// What is shown where the carrier sells no such number.
pub fn no_coverage(pass: &Pass<'_>, country: &Country, error: &ProviderError) -> Outcome {
    let message = format!(
        "Telnyx sells no such number in {country} ({}): use number.existing with a number that you have, also with carrier External",
        error.provider_text()
    );
    Outcome::wait(Progress::stalled(Step::Acquire, Reason::NoCoverage, message), pass.ctx.policy.backoff(8))
}
