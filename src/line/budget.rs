//! When the next code may be asked for, and the next registration tried. Pure: times that are recorded, limits, now.
//!
//! Meta's own budgets are not documented for codes (about 10 in 72 hours were seen; asking while blocked may prolong the
//! block) and are 10 in 72 hours for register. Each attempt is recorded before its call, so a restart can't reset it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::domain::PolicyTime;
use crate::resources::limits::{CodeRequests, Registrations};

/// The earliest time at which `limit` attempts within `window` allow one more; None: at once.
fn next_in(attempts: &[Time], limit: i32, window: Duration, now: Timestamp) -> Option<Timestamp> {
    let mut times: Vec<Timestamp> = attempts.iter().map(|t| t.0).collect();
    times.sort();
    let limit = usize::try_from(limit.max(1)).unwrap_or(1);
    // The attempt that must have left the window before another fits.
    let leaving = times.len().checked_sub(limit).and_then(|i| times.get(i).copied())?;
    let at = leaving + window;
    (at > now).then_some(at)
}

/// When the next code may be asked for; None: now.
pub fn next_code(
    requests: &[Time],
    not_before: Option<&Time>,
    limits: &CodeRequests,
    now: Timestamp,
    policy: PolicyTime,
) -> Option<Timestamp> {
    [
        next_in(requests, limits.per_hour, policy.hour(), now),
        next_in(requests, limits.per_day, policy.day(), now),
        next_in(requests, limits.per_72h, policy.three_days(), now),
        not_before.map(|t| t.0).filter(|t| *t > now),
    ]
    .into_iter()
    .flatten()
    .max()
}

/// When register may be tried next; None: now.
pub fn next_registration(
    attempts: &[Time],
    limits: &Registrations,
    now: Timestamp,
    policy: PolicyTime,
) -> Option<Timestamp> {
    next_in(attempts, limits.per_72h, policy.three_days(), now)
}

/// The attempts that still count, oldest first, with one more now.
pub fn with(attempts: &[Time], now: Timestamp, policy: PolicyTime) -> Vec<Time> {
    let mut kept: Vec<Time> = attempts.iter().filter(|t| t.0 + policy.three_days() > now).cloned().collect();
    kept.push(Time(now));
    kept.sort_by_key(|t| t.0);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_793_000_000 + hours * 3600).unwrap()
    }

    fn times(hours: &[i64]) -> Vec<Time> {
        hours.iter().map(|h| Time(at(*h))).collect()
    }

    #[test]
    fn codes() {
        let limits = CodeRequests::default();
        let next =
            |requests: &[i64], now: i64| next_code(&times(requests), None, &limits, at(now), PolicyTime::default());
        assert_eq!(next(&[], 0), None);
        assert_eq!(next(&[0], 0), Some(at(1)), "one an hour");
        assert_eq!(next(&[0], 1), None);
        assert_eq!(next(&[0, 1, 2], 3), Some(at(24)), "three in 24 h");
        assert_eq!(next(&[0, 1, 2, 24, 25, 26, 48, 49], 50), Some(at(72)), "eight in 72 h");
        assert_eq!(next(&[49, 0, 2, 24, 1, 25, 26, 48], 50), Some(at(72)), "whatever the order");
        let gap = Time(at(5));
        assert_eq!(
            next_code(&[], Some(&gap), &limits, at(4), PolicyTime::default()),
            Some(at(5)),
            "gap after a restore"
        );
    }

    #[test]
    fn old_attempts_are_forgotten() {
        assert_eq!(with(&times(&[0, 10]), at(73), PolicyTime::default()), times(&[10, 73]));
    }
}
