//! The ledger of claims in a Portfolio's status: slots, budget and numbers, claimed by lines before they spend. Pure.
//!
//! One PUT of the Portfolio decides, so that no two lines take the same number or the last slot. A claim holds its slot
//! until it is settled (Meta lists the number, or the line gave up) and is kept for 24 hours for the purchases' limits:
//! creating and deleting objects in a loop can't spend without bound.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::domain::{E164, NamespacedName, PolicyTime};
use crate::resources::limits::Limits;
use crate::resources::portfolio::LedgerEntry;

/// What a line claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The line.
    pub line: NamespacedName,
    /// Its uid.
    pub uid: String,
    /// The number it may order or use.
    pub number: E164,
    /// Whether it is going to be bought.
    pub purchase: bool,
}

/// Why a claim is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Another line claims the number.
    NumberTaken {
        /// The other line.
        by: String,
    },
    /// No slot is free.
    CapacityFull {
        /// Slots in use or claimed.
        used: i32,
        /// Slots that there are.
        limit: i32,
    },
    /// As many purchases as allowed.
    PurchaseLimit {
        /// When the next one is allowed.
        until: Timestamp,
        /// `purchasesPerHour` or `purchasesPerDay`.
        which: &'static str,
    },
}

/// Numbers that hold a slot: those at Meta, and claims that are not settled.
pub fn slots(ledger: &[LedgerEntry], at_meta: &[E164]) -> i32 {
    let reserved = reserved(ledger, at_meta);
    i32::try_from(at_meta.len()).unwrap_or(i32::MAX).saturating_add(reserved)
}

/// Claims in progress whose number Meta does not list.
pub fn reserved(ledger: &[LedgerEntry], at_meta: &[E164]) -> i32 {
    let count = ledger
        .iter()
        .filter(|e| e.settled_at.is_none() && !at_meta.iter().any(|n| n.as_str() == e.phone_number))
        .count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The ledger with the claim in it. A claim in progress of the same object is replaced: it had not been acted upon, or its
/// candidate was proven not ours.
pub fn claim(
    ledger: &[LedgerEntry],
    claim: &Claim,
    at_meta: &[E164],
    limits: &Limits,
    now: Timestamp,
    policy: PolicyTime,
) -> Result<Vec<LedgerEntry>, Refusal> {
    let mine = |e: &LedgerEntry| e.line == claim.line.to_string() && e.uid == claim.uid;
    let others: Vec<LedgerEntry> = ledger.iter().filter(|e| !(mine(e) && e.settled_at.is_none())).cloned().collect();
    if let Some(other) =
        others.iter().find(|e| e.settled_at.is_none() && !mine(e) && e.phone_number == claim.number.as_str())
    {
        return Err(Refusal::NumberTaken { by: other.line.clone() });
    }
    let used = slots(&others, at_meta);
    if used >= limits.max_numbers && !at_meta.contains(&claim.number) {
        return Err(Refusal::CapacityFull { used, limit: limits.max_numbers });
    }
    if claim.purchase {
        let windows = [
            (limits.purchases_per_hour, policy.hour(), "purchasesPerHour"),
            (limits.purchases_per_day, policy.day(), "purchasesPerDay"),
        ];
        for (limit, window, which) in windows {
            let mut times: Vec<Timestamp> =
                others.iter().filter(|e| e.purchase).map(|e| e.claimed_at.0).filter(|t| *t + window > now).collect();
            times.sort();
            let limit = usize::try_from(limit.max(1)).unwrap_or(1);
            if let Some(leaving) = times.len().checked_sub(limit).and_then(|i| times.get(i)) {
                return Err(Refusal::PurchaseLimit { until: *leaving + window, which });
            }
        }
    }
    let mut next = prune(&others, now, policy);
    next.push(LedgerEntry {
        line: claim.line.to_string(),
        phone_number: claim.number.to_string(),
        claimed_at: Time(now),
        purchase: claim.purchase,
        uid: claim.uid.clone(),
        settled_at: None,
    });
    Ok(next)
}

/// The ledger with the line's claim settled: its slot is Meta's list's business now, or free again.
pub fn settle(ledger: &[LedgerEntry], line: &NamespacedName, uid: &str, now: Timestamp) -> Vec<LedgerEntry> {
    ledger
        .iter()
        .cloned()
        .map(|mut e| {
            if e.line == line.to_string() && e.uid == uid && e.settled_at.is_none() {
                e.settled_at = Some(Time(now));
            }
            e
        })
        .collect()
}

/// Without settled claims that no limit looks at any more.
pub fn prune(ledger: &[LedgerEntry], now: Timestamp, policy: PolicyTime) -> Vec<LedgerEntry> {
    ledger.iter().filter(|e| e.settled_at.is_none() || e.claimed_at.0 + policy.ledger_keep() > now).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_793_000_000 + minutes * 60).unwrap()
    }

    fn number(n: u32) -> E164 {
        E164::parse(&format!("+2126{n:08}")).unwrap()
    }

    fn line(n: u32, purchase: bool) -> Claim {
        Claim {
            line: NamespacedName::new("clients", format!("c{n}")),
            uid: format!("u{n}"),
            number: number(n),
            purchase,
        }
    }

    fn put(
        ledger: &[LedgerEntry],
        c: &Claim,
        meta: &[E164],
        limits: &Limits,
        minute: i64,
    ) -> Result<Vec<LedgerEntry>, Refusal> {
        claim(ledger, c, meta, limits, at(minute), PolicyTime::default())
    }

    #[test]
    fn one_number_one_line() {
        let limits = Limits::default();
        let ledger = put(&[], &line(1, true), &[], &limits, 0).unwrap();
        let rival = Claim { number: number(1), ..line(2, true) };
        assert_eq!(put(&ledger, &rival, &[], &limits, 0), Err(Refusal::NumberTaken { by: "clients/c1".into() }));
        let again = put(&ledger, &Claim { number: number(9), ..line(1, true) }, &[], &limits, 0).unwrap();
        assert_eq!(again.len(), 1, "a new candidate replaces the old claim");
    }

    #[test]
    fn the_last_slot_goes_to_one() {
        let limits = Limits { max_numbers: 3, ..Limits::default() };
        let meta = [number(100), number(101)];
        let ledger = put(&[], &line(1, true), &meta, &limits, 0).unwrap();
        assert_eq!(put(&ledger, &line(2, true), &meta, &limits, 0), Err(Refusal::CapacityFull { used: 3, limit: 3 }));
        let settled = settle(&ledger, &line(1, true).line, "u1", at(1));
        assert!(put(&settled, &line(2, true), &meta, &limits, 1).is_ok());
        let at_meta = Claim { number: number(100), ..line(4, false) };
        assert!(put(&ledger, &at_meta, &meta, &limits, 0).is_ok(), "a number that holds a slot needs no other");
    }

    #[test]
    fn purchases_are_counted_also_after_deletion() {
        let limits = Limits { max_numbers: 100, purchases_per_hour: 2, purchases_per_day: 3, ..Limits::default() };
        let mut ledger = Vec::new();
        for n in 0..2 {
            ledger = put(&ledger, &line(n, true), &[], &limits, i64::from(n)).unwrap();
            ledger = settle(&ledger, &line(n, true).line, &format!("u{n}"), at(i64::from(n)));
        }
        assert_eq!(
            put(&ledger, &line(3, true), &[], &limits, 2),
            Err(Refusal::PurchaseLimit { until: at(60), which: "purchasesPerHour" })
        );
        assert!(put(&ledger, &line(3, false), &[], &limits, 2).is_ok(), "an existing number spends nothing");
        let ledger = put(&ledger, &line(3, true), &[], &limits, 60).unwrap();
        assert_eq!(
            put(&ledger, &line(4, true), &[], &limits, 130),
            Err(Refusal::PurchaseLimit { until: at(24 * 60), which: "purchasesPerDay" })
        );
    }
}
