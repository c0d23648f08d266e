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

/// What forbids a code request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Until when.
    pub until: Timestamp,
    /// By what.
    pub by: HeldBy,
}

/// Which rule forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldBy {
    /// Meta's word, or the gap that is kept when it is not known which codes were asked for.
    Pause,
    /// `limits.codeRequests.perHour`, and its value.
    PerHour(i32),
    /// `limits.codeRequests.perDay`.
    PerDay(i32),
    /// `limits.codeRequests.per72h`.
    Per72h(i32),
}

impl Held {
    /// For people: which limit, and how it is used up.
    pub fn why(&self) -> String {
        let used = |count: i32, window: &str, field: &str| {
            let codes = if count == 1 { "1 code was".to_owned() } else { format!("{count} codes were") };
            format!("{codes} asked for within {window}, which is limits.codeRequests.{field}")
        };
        match self.by {
            HeldBy::Pause => "no code may be asked for yet".to_owned(),
            HeldBy::PerHour(limit) => used(limit, "an hour", "perHour"),
            HeldBy::PerDay(limit) => used(limit, "24 hours", "perDay"),
            HeldBy::Per72h(limit) => used(limit, "72 hours", "per72h"),
        }
    }
}

/// What forbids to ask for the next code, the longest of all; None: nothing.
pub fn next_code(
    requests: &[Time],
    not_before: Option<&Time>,
    limits: &CodeRequests,
    now: Timestamp,
    policy: PolicyTime,
) -> Option<Held> {
    let by = |by: HeldBy, until: Option<Timestamp>| until.map(|until| Held { until, by });
    [
        by(HeldBy::PerHour(limits.per_hour), next_in(requests, limits.per_hour, policy.hour(), now)),
        by(HeldBy::PerDay(limits.per_day), next_in(requests, limits.per_day, policy.day(), now)),
        by(HeldBy::Per72h(limits.per_72h), next_in(requests, limits.per_72h, policy.three_days(), now)),
        by(HeldBy::Pause, not_before.map(|t| t.0).filter(|t| *t > now)),
    ]
    .into_iter()
    .flatten()
    .max()
}

/// When register may be tried next; None: now. Between two attempts the gap grows from two minutes (Meta may still be at
/// work, and its lists lag) to an hour: a cause that takes hours to pass must not use the whole budget up.
pub fn next_registration(
    attempts: &[Time],
    limits: &Registrations,
    now: Timestamp,
    policy: PolicyTime,
) -> Option<Timestamp> {
    let counted =
        u32::try_from(attempts.iter().filter(|t| t.0 + policy.three_days() > now).count()).unwrap_or(u32::MAX);
    let gap = policy.link_grace().saturating_mul(4u32.saturating_pow(counted.saturating_sub(1))).min(policy.hour());
    let after_last = attempts.iter().map(|t| t.0 + gap).max().filter(|at| *at > now);
    [next_in(attempts, limits.per_72h, policy.three_days(), now), after_last].into_iter().flatten().max()
}

/// Until when Meta would refuse to register or deregister whatever is configured here: ten calls in 72 hours, failures
/// included. None: now.
pub fn blocked_by_meta(attempts: &[Time], now: Timestamp, policy: PolicyTime) -> Option<Timestamp> {
    const TEN: i32 = 10;
    next_in(attempts, TEN, policy.three_days(), now)
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
        let next = |requests: &[i64], now: i64| {
            next_code(&times(requests), None, &limits, at(now), PolicyTime::default()).map(|held| (held.until, held.by))
        };
        use HeldBy::{Pause, Per72h, PerDay, PerHour};
        assert_eq!(next(&[], 0), None);
        assert_eq!(next(&[0], 0), Some((at(1), PerHour(1))));
        assert_eq!(next(&[0], 1), None);
        assert_eq!(next(&[0, 1, 2], 3), Some((at(24), PerDay(3))));
        assert_eq!(next(&[0, 1, 2, 24, 25, 26, 48, 49], 50), Some((at(72), Per72h(8))));
        assert_eq!(next(&[49, 0, 2, 24, 1, 25, 26, 48], 50), Some((at(72), Per72h(8))), "whatever the order");
        let gap = Time(at(5));
        assert_eq!(
            next_code(&[], Some(&gap), &limits, at(4), PolicyTime::default()),
            Some(Held { until: at(5), by: Pause }),
            "gap after a restore"
        );
        let why = |by| Held { until: at(1), by }.why();
        assert_eq!(why(PerHour(1)), "1 code was asked for within an hour, which is limits.codeRequests.perHour");
        assert_eq!(why(PerDay(3)), "3 codes were asked for within 24 hours, which is limits.codeRequests.perDay");
    }

    #[test]
    fn registrations_are_not_used_up_in_a_minute() {
        let limits = Registrations::default();
        let minutes = |list: &[i64]| -> Vec<Time> {
            list.iter().map(|m| Time(at(0) + std::time::Duration::from_secs(60 * m.unsigned_abs()))).collect()
        };
        let next = |attempts: &[i64], now: i64| {
            next_registration(&minutes(attempts), &limits, minutes(&[now])[0].0, PolicyTime::default()).map(Time)
        };
        let minute = |m: i64| Some(minutes(&[m])[0].clone());
        assert_eq!(next(&[], 0), None);
        assert_eq!(next(&[0], 1), minute(2), "Meta may still be at work");
        assert_eq!(next(&[0], 2), None);
        assert_eq!(next(&[0, 2], 3), minute(10));
        assert_eq!(next(&[0, 2, 10], 11), minute(42));
        assert_eq!(next(&[0, 2, 10, 42], 43), minute(102), "then once an hour");
        let eight = [0, 2, 10, 42, 102, 162, 222, 282];
        assert_eq!(next(&eight, 400), minute(72 * 60), "eight in 72 hours");
    }

    #[test]
    fn old_attempts_are_forgotten() {
        assert_eq!(with(&times(&[0, 10]), at(73), PolicyTime::default()), times(&[10, 73]));
    }
}
