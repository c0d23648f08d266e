//! Whether anything may be bought, and which offer: slots, price limits, balance. Spends nothing.

use super::super::Outcome;
use super::super::StepError;
use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::claim;
use crate::domain::{Country, E164, Usd};
use crate::portfolio::ledger::{self, Refusal};
use crate::providers::ProviderError;
use crate::providers::telnyx::Candidate;
use crate::resources::reasons::Reason;

/// Whether a slot is free at all, before anything is searched.
pub async fn no_room(pass: &Pass<'_>) -> Result<Option<Outcome>, StepError> {
    let at_meta: Vec<E164> =
        pass.account.waba_numbers(claim::SLOT_LIST_AGE).await?.iter().filter_map(|n| n.number()).collect();
    let ledger: Vec<_> = pass
        .portfolio
        .status
        .iter()
        .flat_map(|s| s.ledger.iter())
        .filter(|e| e.uid != pass.spec.uid)
        .cloned()
        .collect();
    let (used, limit) = (ledger::slots(&ledger, &at_meta), pass.portfolio.spec.limits.max_numbers);
    Ok((used >= limit).then(|| claim::refused(pass, &Refusal::CapacityFull { used, limit })))
}

/// The first offer that is free, not one of `taken`, and within the price limits.
pub fn choose(pass: &Pass<'_>, found: &[Candidate], taken: &[E164]) -> Result<Candidate, Outcome> {
    let limits = &pass.portfolio.spec.limits;
    let (max_monthly, max_upfront) =
        match (Usd::parse(&limits.max_monthly_usd_per_number), Usd::parse(&limits.max_upfront_usd_per_number)) {
            (Ok(monthly), Ok(upfront)) => (monthly, upfront),
            (Err(invalid), _) | (_, Err(invalid)) => {
                let message = format!("spec.limits of the Portfolio: {invalid}");
                return Err(Outcome::wait(
                    Progress::stalled(Step::Acquire, Reason::InvalidSpec, message),
                    pass.ctx.policy.backoff(6),
                ));
            }
        };
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
        Some(cheapest) => Outcome::wait(
            Progress::stalled(
                Step::Acquire,
                Reason::PriceAboveLimit,
                format!(
                    "the cheapest number costs {} a month and {} once: raise limits.maxMonthlyUsdPerNumber or limits.maxUpfrontUsdPerNumber of the Portfolio",
                    cheapest.monthly.display(),
                    cheapest.upfront.display()
                ),
            ),
            poll,
        ),
    })
}

/// Whether the balance would fall below the Portfolio's minimum.
pub async fn too_poor(pass: &Pass<'_>, chosen: &Candidate) -> Result<Option<Outcome>, StepError> {
    let minimum = Usd::parse(&pass.portfolio.spec.limits.min_balance_usd).unwrap_or_default();
    let balance = pass.account.telnyx.balance().await?;
    let needed = minimum + chosen.upfront + chosen.monthly;
    Ok((balance.available < needed).then(|| {
        let message = format!(
            "the carrier's balance of {} would fall below limits.minBalanceUsd {}: pay into the Telnyx account; goes on by itself",
            balance.available.display(),
            minimum.display()
        );
        Outcome::wait(Progress::stalled(Step::Acquire, Reason::InsufficientFunds, message), pass.ctx.policy.backoff(4))
    }))
}

/// What is shown where the carrier sells no such number.
pub fn no_coverage(pass: &Pass<'_>, country: &Country, error: &ProviderError) -> Outcome {
    let message = format!(
        "Telnyx sells no such number in {country} ({}): use number.existing with a number that you have, also with carrier External",
        error.provider_text()
    );
    Outcome::wait(Progress::stalled(Step::Acquire, Reason::NoCoverage, message), pass.ctx.policy.backoff(8))
}
