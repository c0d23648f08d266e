//! Numbers that the spec names: in the Telnyx account already, or another operator's. Nothing is bought; they are claimed
//! in the ledger all the same, so that a second line that names one is told before any call is made.

use super::super::number_use::{OtherUse, other_use};
use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepResult};
use super::adopt::referenced_by_live_line;
use super::{claim, mark, record_owned};
use crate::controller::context::Context;
use crate::domain::E164;
use crate::portfolio::accounts::Account;
use crate::portfolio::ledger::Refusal;
use crate::providers::telnyx::OwnedNumber;
use crate::resources::names;
use crate::resources::reasons::Reason;

/// Another operator's number: claimed, that is all.
pub async fn external(pass: &mut Pass<'_>, number: &E164) -> StepResult {
    if let Err(refusal) = claim::claim(pass, number, claim::For::Use).await? {
        return Ok(claim::refused(pass, &refusal));
    }
    record_owned(pass, number, None, None).await?;
    Ok(Outcome::advanced(Step::Acquire))
}

/// A number of the Telnyx account: ours, or the account's and nobody else's.
pub async fn telnyx(pass: &mut Pass<'_>, number: &E164) -> StepResult {
    if let Err(refusal) = claim::claim(pass, number, claim::For::Use).await? {
        return Ok(claim::refused(pass, &refusal));
    }
    let found = pass.account.telnyx.number(number).await?;
    let owned = match found {
        Some(owned) => owned,
        None => {
            return Ok(stalled(
                pass.ctx,
                Reason::NumberNotFound,
                format!(
                    "the Telnyx account does not list {number}: buy it there, or use carrier External if it is another operator's"
                ),
            ));
        }
    };
    // A line whose status was lost in a restore still lives on its number.
    if let Some(by) = referenced_by_live_line(pass, &owned) {
        return Ok(claim::refused(pass, &Refusal::NumberTaken { by: by.to_string() }));
    }
    if let Some((reason, message)) = obstacle(&owned, &pass.account) {
        return Ok(stalled(pass.ctx, reason, message));
    }
    mark(pass, &owned.id, owned.connection_id.as_deref()).await?;
    let price = super::kept_price(pass, number);
    record_owned(pass, number, Some(owned.id), price).await?;
    Ok(Outcome::advanced(Step::Acquire))
}

fn stalled(ctx: &Context, reason: Reason, message: String) -> Outcome {
    Outcome::wait(Progress::stalled(Step::Acquire, reason, message), ctx.policy.backoff(6))
}

/// Why the number can't be used as it is. What it is used for now is not changed silently.
fn obstacle(owned: &OwnedNumber, account: &Account) -> Option<(Reason, String)> {
    let owner_tag = names::owner_tag(&account.owner);
    if let Some(foreign) = owned.tags.iter().find(|t| t.starts_with("clientnumber:owner=") && **t != owner_tag) {
        return Some((
            Reason::NumberInUse,
            format!(
                "{} carries the tag {foreign} of another installation: remove it at Telnyx if the number is free",
                owned.number
            ),
        ));
    }
    let number = &owned.number;
    Some(match other_use(owned, None, &account.applications)? {
        OtherUse::NotActive(status) => {
            (Reason::NumberNotActive, format!("Telnyx says that {number} is {status}: have it activated there"))
        }
        OtherUse::Diverted(_) => {
            (Reason::NumberInUse, format!("{number} forwards its calls: switch call forwarding off at Telnyx"))
        }
        OtherUse::Connected(id) => (
            Reason::NumberInUse,
            format!("{number} is connected to the application {id}: detach it at Telnyx if the number is free"),
        ),
    })
}
