//! What the Portfolio lists of a number that is kept: whose it is, since when nobody uses it, and what it costs. The price
//! that it was bought at; where that is not known, the rent of the rate card.

use super::super::keep;
use super::super::pass::Pass;
use crate::resources::conditions::seconds;
use crate::resources::portfolio::RetainedNumber;

/// The entry. None: no number, or another operator's, which costs nothing here.
pub fn entry(pass: &Pass<'_>) -> Option<RetainedNumber> {
    let number = pass.number().filter(|_| pass.spec.source.at_carrier())?;
    let (status, now) = (pass.status(), pass.ctx.clock.now());
    let price = status.purchase.as_ref().and_then(|p| p.price.as_ref()).map(|price| price.monthly_usd.clone());
    let estimated = price.is_none();
    let monthly_usd = price.or_else(|| keep::cost(&status, &pass.spec, &pass.portfolio, now).monthly_usd);
    Some(RetainedNumber {
        phone_number: number.to_string(),
        company_id: pass.spec.company.to_string(),
        since: seconds(now),
        estimated: estimated && monthly_usd.is_some(),
        monthly_usd,
    })
}
