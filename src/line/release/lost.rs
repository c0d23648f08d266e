//! A line that is deleted without the status that it once had: a backup brought the object back bare, or with a status that
//! is older than its number, and it was suspended, or its Portfolio not Ready, until it was deleted. Its number is looked
//! for before the object goes, so that the policy is honoured and its route ends.
//!
//! Looked for only where something speaks of a number: the mirror of the number, a claim of this very object in the ledger,
//! or a candidate that was not bought. All of them prove nothing; what counts is what the carrier shows. Must never take
//! what is the company's, but another line's or free.

use std::time::Duration;

use kube::ResourceExt;

use super::super::acquire::{self, Lost};
use super::super::error::StepError;
use super::super::pass::Pass;
use super::super::spec::LineSpec;
use super::{Release, releasing};
use crate::controller::context::Context;
use crate::domain::E164;
use crate::resources::ClientNumber;
use crate::resources::names::ANNOTATION_PHONE_NUMBER;

/// What was found.
pub enum Found {
    /// The number, which is recorded by now.
    Ours,
    /// Nothing that is this line's.
    Nothing,
    /// Something that must be waited for.
    Waits(Release),
}

/// Numbers that something says this object had or claimed. Without a spec that can be read its claims are not found.
pub fn traces(line: &ClientNumber, spec: Option<&LineSpec>, ctx: &Context) -> Vec<String> {
    let portfolio = spec.and_then(|s| ctx.portfolios.get(&s.portfolio.namespace, &s.portfolio.name));
    let claims = portfolio.iter().flat_map(|p| p.status.iter()).flat_map(|status| status.ledger.iter());
    let claims = claims.filter(|claim| spec.is_some_and(|spec| claim.uid == spec.uid));
    let claimed = claims.map(|claim| claim.phone_number.clone());
    line.annotations().get(ANNOTATION_PHONE_NUMBER).cloned().into_iter().chain(claimed).collect()
}

/// Looks for the line's number and records it.
pub async fn find(pass: &mut Pass<'_>) -> Result<Found, StepError> {
    let named = traces(&pass.line, Some(&pass.spec), pass.ctx);
    if !pass.spec.source.at_carrier() {
        let number = pass.spec.source.number().filter(|n| named.iter().any(|named| named == n.as_str())).cloned();
        let Some(number) = number.filter(|n| pass.ctx.other_line_with(n, &pass.spec.uid).is_none()) else {
            return Ok(Found::Nothing);
        };
        at_meta(pass, &number).await?;
        acquire::record_owned(pass, &number, None, None).await?;
        return Ok(Found::Ours);
    }
    Ok(match acquire::lost(pass, &named).await? {
        Lost::Number(owned) => {
            at_meta(pass, &owned.number).await?;
            let price = acquire::kept_price(pass, &owned.number);
            acquire::record_owned(pass, &owned.number, Some(owned.id), price).await?;
            Found::Ours
        }
        Lost::Waits(outcome) => Found::Waits(Release::Waits(outcome.progress, pass.ctx.policy.backoff(3))),
        Lost::Nothing => Found::Nothing,
    })
}

/// Records Meta's id of the number, if Meta lists it: first, since the search is not repeated once the number is recorded.
async fn at_meta(pass: &mut Pass<'_>, number: &E164) -> Result<(), StepError> {
    let listed = pass.account.waba_numbers(Duration::ZERO).await?;
    let Some(id) = listed.iter().find(|n| n.number().as_ref() == Some(number)).map(|n| n.id.to_string()) else {
        return Ok(());
    };
    let progress = releasing(pass, "the line's number was found again; the release goes on");
    pass.save(&progress, |status| status.phone_number_id = Some(id)).await
}
