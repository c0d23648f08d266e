//! Counting: slots, lines by state, retained and orphaned numbers. Pure, from lists that were read before.

use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ledger;
use crate::domain::{CustomerReference, E164};
use crate::providers::telnyx::OwnedNumber;
use crate::resources::conditions::{ConditionType, is_true, seconds};
use crate::resources::portfolio::{LedgerEntry, NumberCounts, RetainedNumber};
use crate::resources::{ClientNumber, names};

/// Counts that need no provider: lines by state, claims, limit.
pub fn of_lines<'a>(
    before: &NumberCounts,
    lines: impl IntoIterator<Item = &'a ClientNumber>,
    ledger_now: &[LedgerEntry],
    at_meta: Option<&[E164]>,
    limit: i32,
) -> NumberCounts {
    let (mut ready, mut onboarding, mut stalled) = (0, 0, 0);
    for line in lines {
        let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        if is_true(conditions, ConditionType::Stalled) {
            stalled += 1;
        } else if is_true(conditions, ConditionType::Ready) {
            ready += 1;
        } else {
            onboarding += 1;
        }
    }
    let used = at_meta.map_or(before.used, |numbers| i32::try_from(numbers.len()).unwrap_or(i32::MAX));
    let reserved = match at_meta {
        Some(numbers) => ledger::reserved(ledger_now, numbers),
        None => i32::try_from(ledger_now.iter().filter(|e| e.settled_at.is_none()).count()).unwrap_or(i32::MAX),
    };
    NumberCounts { used, limit, reserved, ready, onboarding, stalled, ..before.clone() }
}

/// Numbers that are paid for and belong to no object, told apart: retained carry a company tag and an object that is
/// gone; orphans have nothing that accounts for them. Reported, never released.
pub fn without_object<'a>(
    owned: &[OwnedNumber],
    lines: impl IntoIterator<Item = &'a ClientNumber>,
    ledger_now: &[LedgerEntry],
    before: &[RetainedNumber],
    now: Timestamp,
) -> (Vec<RetainedNumber>, Vec<E164>) {
    let (mut retained, mut orphaned) = (Vec::new(), Vec::new());
    // Indexed: a thousand numbers against a thousand lines.
    let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
    for line in lines {
        let status = line.status.as_ref();
        let candidate = status.and_then(|s| s.purchase.as_ref()).and_then(|p| p.candidate.as_deref());
        numbers.extend(status.and_then(|s| s.phone_number.as_deref()).into_iter().chain(candidate));
        names.extend(line.metadata.namespace.as_deref().zip(line.metadata.name.as_deref()));
    }
    for number in owned {
        let text = number.number.as_str();
        let reference = || number.reference.as_deref().and_then(|r| r.parse::<CustomerReference>().ok());
        let held = numbers.contains(text)
            || reference().is_some_and(|r| names.contains(&(r.line.namespace.as_str(), r.line.name.as_str())));
        let claimed = ledger_now.iter().any(|e| e.settled_at.is_none() && e.phone_number == text);
        if held || claimed {
            continue;
        }
        match number.tags.iter().find_map(|tag| tag.strip_prefix(names::COMPANY_TAG)) {
            Some(company) => {
                let known = before.iter().find(|r| r.phone_number == text);
                retained.push(RetainedNumber {
                    phone_number: text.to_owned(),
                    company_id: company.to_owned(),
                    since: known.map_or_else(|| seconds(now), |r| r.since.clone()),
                    monthly_usd: known.and_then(|r| r.monthly_usd.clone()),
                });
            }
            None => orphaned.push(number.number.clone()),
        }
    }
    (retained, orphaned)
}

/// Claims of objects that are gone: settled, so that their slots are free, but kept for the purchases' limits.
pub fn settle_gone<'a>(
    ledger_now: &[LedgerEntry],
    lines: impl IntoIterator<Item = &'a ClientNumber> + Clone,
    now: Timestamp,
    quiet: std::time::Duration,
) -> Vec<LedgerEntry> {
    ledger_now
        .iter()
        .cloned()
        .map(|mut entry| {
            let lives = lines.clone().into_iter().any(|line| line.metadata.uid.as_deref() == Some(entry.uid.as_str()));
            // A claim that is younger than our view of the lines may belong to one that we have not seen yet.
            if entry.settled_at.is_none() && !lives && entry.claimed_at.0 + quiet < now {
                entry.settled_at = Some(Time(now));
            }
            entry
        })
        .collect()
}
