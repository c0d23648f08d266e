//! Counting: slots, lines by state, claims. Pure, from lists that were read before.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ledger;
use crate::domain::E164;
use crate::resources::ClientNumber;
use crate::resources::conditions::{ConditionType, is_true};
use crate::resources::portfolio::{LedgerEntry, NumberCounts};

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
