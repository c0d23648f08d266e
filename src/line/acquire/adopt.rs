//! What is ours already: a number that carries this line's reference, or a retained number of the same company, also one
//! that a line which is being deleted is about to leave.
//!
//! A reference alone proves nothing about the company: a namesake of another company may have been deleted with Retain.
//! The company tag decides; a number without one is taken only if the ledger shows that this very object claimed it.

use std::time::Duration;

use jiff::Timestamp;

use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::status::Progress;
use super::super::{Outcome, StepError};
use super::predecessor::{Leaving, goes_without_status, leaving};
use crate::domain::{E164, NamespacedName};
use crate::providers::telnyx::{Order, OrderStatus, OwnedNumber, OwnedStatus};
use crate::resources::names;
use crate::resources::reasons::Reason;

/// What was found.
pub enum Found {
    /// A number to take.
    Number(OwnedNumber),
    /// Something that must be settled first.
    Blocked(Outcome),
    /// Nothing: a number is bought.
    Nothing,
}

/// What the tags of a number say about the company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompanyTag {
    /// This company's.
    Ours,
    /// Another one's.
    Other(String),
    /// None.
    Missing,
}

/// Reads the company tag.
pub fn company_tag(tags: &[String], ours: &crate::domain::CompanyId) -> CompanyTag {
    let mut companies = tags.iter().filter_map(|tag| tag.strip_prefix(names::COMPANY_TAG));
    match companies.next() {
        None => CompanyTag::Missing,
        Some(company) if company == ours.as_str() && companies.next().is_none() => CompanyTag::Ours,
        Some(company) => CompanyTag::Other(company.to_owned()),
    }
}

/// Looks for a number that needs no purchase.
pub async fn find(pass: &Pass<'_>) -> Result<Found, StepError> {
    let ours = match carried(pass).await? {
        Ok(ours) => ours,
        Err(outcome) => return Ok(Found::Blocked(outcome)),
    };
    if let Some(found) = ours.iter().find_map(|number| judged(pass, number)) {
        return Ok(found);
    }
    let retained = pass.account.owned_numbers(Duration::ZERO).await?;
    // Looked at before what is free: a line that is gone a moment later has left its number by then.
    let lines = pass.ctx.lines.state();
    if let Some(number) = retained.iter().find(|number| free(pass, number)) {
        return Ok(Found::Number(number.clone()));
    }
    let given_back = |number: &E164| given_back(pass, number);
    let kept = |number: &E164| {
        let owned = retained.iter().find(|owned| owned.number == *number);
        owned.is_some_and(|o| usable(o) && company_tag(&o.tags, &pass.spec.company) == CompanyTag::Ours)
    };
    let going = leaving(&lines, &pass.spec);
    let next = going.into_iter().find(|l| !given_back(&l.number) && (!l.delivered || kept(&l.number)));
    let by_reference = || {
        retained.iter().filter(|number| !given_back(&number.number) && kept(&number.number)).find_map(|number| {
            let reference: crate::domain::CustomerReference = number.reference.as_deref()?.parse().ok()?;
            goes_without_status(&lines, &reference.line, &pass.spec).then(|| Leaving {
                line: reference.line,
                number: number.number.clone(),
                delivered: true,
            })
        })
    };
    Ok(next.or_else(by_reference).map_or(Found::Nothing, |leaving| Found::Blocked(awaits(pass, &leaving))))
}

/// Numbers that carry the line's reference, or that an order of it brought; or the wait for an order that may yet bring one.
pub async fn carried(pass: &Pass<'_>) -> Result<Result<Vec<OwnedNumber>, Outcome>, StepError> {
    let account = &pass.account;
    let reference = pass.spec.reference(&account.owner);
    let mut ours = account.telnyx.numbers_by_reference(&reference).await?;
    ours.retain(|owned| !given_back(pass, &owned.number));
    // An order of ours speaks for its number too: the reference may not be copied to the number.
    let orders = account.telnyx.orders_by_reference(&reference).await?;
    let (now, grace) = (pass.ctx.clock.now(), pass.ctx.policy.order_grace());
    for order in &orders {
        for number in order.numbers.iter().filter_map(|item| item.number.as_ref()) {
            let known = ours.iter().any(|owned| owned.number == *number);
            if known || given_back(pass, number) || !may_deliver(order) {
                continue;
            }
            match account.telnyx.number(number).await? {
                Some(owned)
                    if owned.reference.as_deref().is_none_or(|r| r.is_empty() || r == reference.to_string()) =>
                {
                    ours.push(owned);
                }
                // Another line's by now.
                Some(_) => {}
                None if unfinished(order, now, grace) => return Ok(Err(on_its_way(pass, order))),
                None => {}
            }
        }
    }
    Ok(Ok(ours))
}

/// What a number that is carried is to the line; None: gone, or another object lives on it, whatever its reference says.
pub fn judged(pass: &Pass<'_>, number: &OwnedNumber) -> Option<Found> {
    if gone(number) || pass.ctx.other_line_with(&number.number, &pass.spec.uid).is_some() {
        return None;
    }
    Some(match company_tag(&number.tags, &pass.spec.company) {
        CompanyTag::Missing if !claimed_by_us(pass, number) => {
            Found::Blocked(mismatch(pass, number, &CompanyTag::Missing))
        }
        CompanyTag::Other(company) => Found::Blocked(mismatch(pass, number, &CompanyTag::Other(company))),
        _ if usable(number) => Found::Number(number.clone()),
        // Ours, paid for, and not usable yet: buying another would be buying twice.
        _ => Found::Blocked(not_active(pass, number)),
    })
}

/// Whether a number of the account is the company's and no line's.
pub fn free(pass: &Pass<'_>, number: &OwnedNumber) -> bool {
    usable(number)
        && !given_back(pass, &number.number)
        && company_tag(&number.tags, &pass.spec.company) == CompanyTag::Ours
        && pass.ctx.other_line_with(&number.number, &pass.spec.uid).is_none()
        && referenced_by_live_line(pass, number).is_none()
        && !claimed_by_another(pass, number)
}

/// Given back because Meta will not take it: lists and orders may tell of it for a while.
fn given_back(pass: &Pass<'_>, number: &E164) -> bool {
    let purchase = pass.line.status.as_ref().and_then(|status| status.purchase.as_ref());
    purchase.is_some_and(|purchase| purchase.replaced.iter().any(|old| old == number.as_str()))
}

/// Deleting it may take hours while a provider is away: what it waits for is told there.
fn awaits(pass: &Pass<'_>, leaving: &Leaving) -> Outcome {
    let message = format!(
        "the line {} of the same company is being deleted and leaves {}: it is taken when that line is gone, nothing is bought meanwhile; see there what its deletion waits for",
        leaving.line, leaving.number
    );
    let progress = Progress::working(Step::Acquire, Reason::AwaitingRelease, message);
    Outcome::wait(progress, pass.ctx.policy.backoff(3))
}

fn may_deliver(order: &Order) -> bool {
    !matches!(order.status, Some(OrderStatus::Failure | OrderStatus::Cancelled | OrderStatus::Deleted))
}

/// Whether an order may still bring a number that the account does not list. A delivered one counts for as long as lists
/// may lag; after that its number was given back.
fn unfinished(order: &Order, now: Timestamp, grace: Duration) -> bool {
    order.status != Some(OrderStatus::Success) || order.created_at.is_none_or(|at| now < at + grace)
}

fn on_its_way(pass: &Pass<'_>, order: &Order) -> Outcome {
    let message =
        format!("an order of this line ({}) is not finished; its number is taken when it is delivered", order.id);
    let now = pass.ctx.clock.now();
    if order.created_at.is_some_and(|at| now >= at + pass.ctx.policy.order_patience()) {
        let message = format!(
            "an order of this line ({}) neither delivers nor fails: look at it in the Telnyx portal (Numbers: Orders), and ask Telnyx support or cancel it there; goes on by itself",
            order.id
        );
        let progress = Progress::stalled(Step::Acquire, Reason::OrderOverdue, message);
        return Outcome::wait(progress, pass.ctx.policy.backoff(5));
    }
    let progress = Progress::working(Step::Acquire, Reason::PurchaseOutcomeUnknown, message);
    Outcome::wait(progress, pass.ctx.policy.order_poll())
}

fn usable(number: &OwnedNumber) -> bool {
    number.status == Some(OwnedStatus::Active)
}

/// Given back, lost, or never delivered. An unknown or absent status is none of these.
fn gone(number: &OwnedNumber) -> bool {
    use OwnedStatus::{Deleted, PortFailed, PortedOut, PurchaseFailed};
    matches!(number.status, Some(Deleted | PurchaseFailed | PortFailed | PortedOut))
}

fn not_active(pass: &Pass<'_>, number: &OwnedNumber) -> Outcome {
    let status = number.status.as_ref().map_or("unknown".to_owned(), ToString::to_string);
    let message = format!(
        "Telnyx says that {}, which carries this line's reference, is {status}: it is taken by itself when it is active; have it activated there",
        number.number
    );
    let progress = Progress::stalled(Step::Acquire, Reason::NumberNotActive, message);
    Outcome::wait(progress, pass.ctx.policy.backoff(4))
}

/// Whether another line is about to take it. The claim of a line that is gone may not have been seen to be settled yet; a
/// number that is free but for that must not look like none. Taking it asks the ledger itself.
fn claimed_by_another(pass: &Pass<'_>, number: &OwnedNumber) -> bool {
    let lines = pass.ctx.lines.state();
    let lives = |uid: &str| lines.iter().any(|line| line.metadata.uid.as_deref() == Some(uid));
    pass.portfolio.status.iter().flat_map(|s| s.ledger.iter()).any(|entry| {
        entry.settled_at.is_none()
            && entry.uid != pass.spec.uid
            && entry.phone_number == number.number.as_str()
            && lives(&entry.uid)
    })
}

/// Whether the ledger shows that this very object claimed the number to buy it.
fn claimed_by_us(pass: &Pass<'_>, number: &OwnedNumber) -> bool {
    pass.portfolio.status.as_ref().is_some_and(|status| {
        status.ledger.iter().any(|entry| {
            entry.uid == pass.spec.uid
                && entry.line == pass.spec.name.to_string()
                && entry.phone_number == number.number.as_str()
        })
    })
}

/// Whether the number's reference names another object that is there, of the company that its tag names: that line's
/// status may have been lost. A namesake of another company has no claim on it.
pub fn referenced_by_live_line(pass: &Pass<'_>, number: &OwnedNumber) -> Option<NamespacedName> {
    let reference: crate::domain::CustomerReference = number.reference.as_deref()?.parse().ok()?;
    let company = number.tags.iter().find_map(|tag| tag.strip_prefix(names::COMPANY_TAG))?;
    pass.ctx.line_exists(&reference.line, &pass.spec.uid, company).then_some(reference.line)
}

fn mismatch(pass: &Pass<'_>, number: &OwnedNumber, tag: &CompanyTag) -> Outcome {
    let whose = match tag {
        CompanyTag::Other(company) => format!("belongs to company {company}"),
        _ => "carries no company tag".to_owned(),
    };
    let message = format!(
        "the number {} carries this line's reference but {whose}: use another object name, or tag it clientnumber:company={} at Telnyx if it is this company's",
        number.number, pass.spec.company
    );
    Outcome::wait(Progress::stalled(Step::Acquire, Reason::CompanyMismatch, message), pass.ctx.policy.backoff(6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CompanyId;

    #[test]
    fn company_tags() {
        let ours = CompanyId::parse("atlas").unwrap();
        let tags = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(company_tag(&tags(&["x", "clientnumber:company=atlas"]), &ours), CompanyTag::Ours);
        assert_eq!(company_tag(&tags(&["clientnumber:company=atlas2"]), &ours), CompanyTag::Other("atlas2".into()));
        assert_eq!(company_tag(&tags(&["clientnumber:owner=x"]), &ours), CompanyTag::Missing);
        let both = tags(&["clientnumber:company=atlas", "clientnumber:company=b"]);
        assert_eq!(company_tag(&both, &ours), CompanyTag::Other("atlas".into()), "two companies: never ours");
    }
}
