//! The number of a line that is being deleted and does not say itself which one it has: its status was lost, or is of a time
//! before the number was bought.
//!
//! A reference proves nothing here: what an earlier line of this name left to the company carries the same one, and the
//! policy of this line may be Release. Ours is what this object is known to have claimed, what its mirror names, or what is
//! routed to it; a line that names its number has that one or none. Must never call a number its own that nobody asked it to
//! take. Never orders.

use std::time::Duration;

use super::super::pass::Pass;
use super::super::spec::Source;
use super::super::{Outcome, StepError, route};
use super::adopt::{self, Found};
use crate::domain::E164;
use crate::providers::telnyx::OwnedNumber;
use crate::resources::reasons::Reason;

/// What such a line has.
pub enum Lost {
    /// This number.
    Number(OwnedNumber),
    /// Not known yet, or a person's business.
    Waits(Outcome),
    /// Nothing.
    Nothing,
}

/// How a number of the account stands to the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bond {
    /// It is the line's.
    Ours,
    /// It is if it is routed to the line.
    IfRouted,
    /// It is not.
    None,
}

fn bond(number: &OwnedNumber, reference: &str, named: &[String], source: &Source) -> Bond {
    let named = named.iter().any(|named| named == number.number.as_str());
    match (source, number.reference.as_deref()) {
        // The reference is written before the number counts as taken: without it, it was only claimed.
        (Source::ExistingTelnyx(its), Some(text)) if text == reference && *its == number.number && named => Bond::Ours,
        (Source::ExistingTelnyx(_) | Source::External(_), _) => Bond::None,
        (Source::Acquire { .. }, Some(text)) if text != reference && !text.is_empty() => Bond::None,
        (Source::Acquire { .. }, _) if named => Bond::Ours,
        (Source::Acquire { .. }, Some(text)) if text == reference => Bond::IfRouted,
        (Source::Acquire { .. }, _) => Bond::None,
    }
}

/// Looks for it. `named` are numbers that something says this object had or claimed.
pub async fn lost(pass: &Pass<'_>, named: &[String]) -> Result<Lost, StepError> {
    let reference = pass.spec.reference(&pass.account.owner).to_string();
    let candidates = match candidates(pass).await? {
        Ok(candidates) => candidates,
        Err(outcome) => return Ok(Lost::Waits(outcome)),
    };
    for number in &candidates {
        let ours = match bond(number, &reference, named, &pass.spec.source) {
            Bond::Ours => true,
            Bond::IfRouted => route::leads_to(pass.ctx, &pass.line, &number.number).await?,
            Bond::None => false,
        };
        match adopt::judged(pass, number).filter(|_| ours) {
            Some(Found::Number(number)) => return Ok(Lost::Number(number)),
            // Another company's by its tag.
            Some(Found::Blocked(outcome)) if outcome.progress.reason == Reason::CompanyMismatch => {}
            Some(Found::Blocked(outcome)) => return Ok(Lost::Waits(outcome)),
            Some(Found::Nothing) | None => {}
        }
    }
    Ok(Lost::Nothing)
}

/// Numbers that may be the line's; or the wait for an order that may yet bring one.
async fn candidates(pass: &Pass<'_>) -> Result<Result<Vec<OwnedNumber>, Outcome>, StepError> {
    if let Source::ExistingTelnyx(number) = &pass.spec.source {
        return Ok(Ok(pass.account.telnyx.number(number).await?.into_iter().collect()));
    }
    let mut candidates = match adopt::carried(pass).await? {
        Ok(carried) => carried,
        Err(outcome) => return Ok(Err(outcome)),
    };
    let known = |number: &E164| candidates.iter().any(|candidate| candidate.number == *number);
    let owned = pass.account.owned_numbers(Duration::ZERO).await?;
    let free: Vec<OwnedNumber> = owned.iter().filter(|o| !known(&o.number) && adopt::free(pass, o)).cloned().collect();
    candidates.extend(free);
    Ok(Ok(candidates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Country;
    use serde_json::json;

    #[test]
    fn table() {
        const OURS: &str = "prod/clients/atlas";
        const NUMBER: &str = "+212612345678";
        const OTHER: &str = "+212612345679";
        let acquire = Source::Acquire { country: Country::parse("MA").unwrap(), types: Vec::new() };
        let existing = |number: &str| Source::ExistingTelnyx(E164::parse(number).unwrap());
        for (what, source, reference, named, expected) in [
            ("claimed or mirrored", &acquire, Some(OURS), vec![NUMBER], Bond::Ours),
            ("claimed among others", &acquire, Some(OURS), vec![OTHER, NUMBER], Bond::Ours),
            ("bought, and the reference was not copied", &acquire, None, vec![NUMBER], Bond::Ours),
            ("the same, written as empty", &acquire, Some(""), vec![NUMBER], Bond::Ours),
            ("claimed, and another line's by now", &acquire, Some("prod/clients/rif"), vec![NUMBER], Bond::None),
            ("left by a namesake, or bought and not named", &acquire, Some(OURS), vec![OTHER], Bond::IfRouted),
            ("the same, and nothing is named", &acquire, Some(OURS), vec![], Bond::IfRouted),
            ("free for the company's next line", &acquire, None, vec![], Bond::None),
            ("the number that it names, taken", &existing(NUMBER), Some(OURS), vec![NUMBER], Bond::Ours),
            ("claimed, and never taken", &existing(NUMBER), None, vec![NUMBER], Bond::None),
            ("never claimed", &existing(NUMBER), Some(OURS), vec![], Bond::None),
            ("left by a namesake that bought", &existing(OTHER), Some(OURS), vec![OTHER], Bond::None),
            ("the same, and a mirror names it", &existing(OTHER), Some(OURS), vec![OTHER, NUMBER], Bond::None),
        ] {
            let number: OwnedNumber =
                serde_json::from_value(json!({"id": "7", "phone_number": NUMBER, "customer_reference": reference}))
                    .unwrap();
            let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
            assert_eq!(bond(&number, OURS, &named, source), expected, "{what}");
        }
    }
}
