//! Rate limits: what an account may still ask, what it was refused, and the figures that the headers tell.
//!
//! Two kinds, as the providers have them. A second's limit is a bucket that holds one second's worth and fills evenly,
//! so a client that paces itself is never refused for a jitter of milliseconds. An hour's limit (Meta's 200 and 5,000
//! calls) is a moving window. A refused call uses nothing up; calls are counted also where there is no limit.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

const SECOND_US: i64 = 1_000_000;

/// What an account may ask; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Rule {
    /// Calls a second.
    pub per_second: u32,
    /// Calls in a moving hour.
    pub per_hour: u32,
    /// Length of that hour in seconds: 3,600, or scaled as all windows are.
    pub hour_s: i64,
}

/// Who is counted: `telnyx key 1a2b3c4d`, `meta app 7700`, `meta app 7700 waba 104`.
pub type Account = String;

/// Where an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Calls a window, of the limit that is nearer; 0: none.
    pub limit: u32,
    /// Calls that would be taken at once.
    pub remaining: u32,
    /// Until the limit is whole again.
    pub reset: SignedDuration,
    /// Share of the limit that is used up, 0 to 100.
    pub percent: u32,
    /// Until one more call is taken; zero while some remain.
    pub wait: SignedDuration,
}

impl Standing {
    /// Whole seconds until the limit is whole again, rounded up.
    pub fn reset_s(&self) -> i64 {
        up(self.reset, SECOND_US)
    }

    /// Whole minutes until one more call is taken. Under a second's limit that is 0, as Meta knows no less.
    pub fn wait_minutes(&self) -> i64 {
        if self.wait <= SignedDuration::from_secs(1) { 0 } else { up(self.wait, 60 * SECOND_US) }
    }
}

fn up(time: SignedDuration, unit_us: i64) -> i64 {
    let us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    div_up(us, unit_us)
}

fn div_up(value: i64, by: i64) -> i64 {
    value / by + i64::from(value % by > 0)
}

#[derive(Default)]
struct Count {
    rule: Rule,
    accepted: u64,
    refused: u64,
    /// When the second's bucket will be full again, in microseconds of the sandbox's clock.
    full_at: i64,
    /// Calls of the last hour.
    hour: VecDeque<i64>,
}

impl Count {
    /// Where it stands under `rule`.
    fn standing(&mut self, rule: Rule, now: i64) -> Standing {
        let mut found = Standing::default();
        if rule.per_second > 0 {
            let step = SECOND_US / i64::from(rule.per_second);
            let owed = (self.full_at - now).max(0);
            let used = u32::try_from(div_up(owed, step.max(1))).unwrap_or(u32::MAX);
            found = standing(rule.per_second, used, owed, (owed + step - SECOND_US).max(0));
        }
        if rule.per_hour > 0 {
            let length = rule.hour_s.max(1).saturating_mul(SECOND_US);
            while self.hour.front().is_some_and(|at| now - at >= length) {
                self.hour.pop_front();
            }
            let used = u32::try_from(self.hour.len()).unwrap_or(u32::MAX);
            let leaves = |at: Option<&i64>| at.map_or(0, |at| at + length - now);
            // The place that has to become free: the oldest, or one further in after the limit was lowered.
            let over = self.hour.len().checked_sub(rule.per_hour as usize);
            let wait = over.map_or(0, |place| leaves(self.hour.get(place)));
            let hourly = standing(rule.per_hour, used, leaves(self.hour.back()), wait);
            if found.limit == 0 || (hourly.wait, hourly.percent) > (found.wait, found.percent) {
                found = hourly;
            }
        }
        found
    }

    fn take(&mut self, rule: Rule, now: i64) {
        self.accepted += 1;
        if rule.per_second > 0 {
            self.full_at = self.full_at.max(now) + SECOND_US / i64::from(rule.per_second);
        }
        if rule.per_hour > 0 {
            self.hour.push_back(now);
        }
    }
}

fn standing(limit: u32, used: u32, reset_us: i64, wait_us: i64) -> Standing {
    let share = u64::from(used.min(limit)) * 100 / u64::from(limit.max(1));
    Standing {
        limit,
        remaining: limit.saturating_sub(used),
        reset: SignedDuration::from_micros(reset_us),
        percent: u32::try_from(share).unwrap_or(100),
        wait: SignedDuration::from_micros(wait_us),
    }
}

/// All accounts that have called.
#[derive(Default)]
pub struct Limits {
    accounts: BTreeMap<Account, Count>,
}

impl Limits {
    /// Takes one call for all of `accounts`, or refuses it for all.
    ///
    /// Answers with where each stands after it.
    ///
    /// # Errors
    /// The place of the first account that has no call left, and where each stands.
    pub fn admit(
        &mut self,
        accounts: &[(Account, Rule)],
        now: Timestamp,
    ) -> Result<Vec<Standing>, (usize, Vec<Standing>)> {
        let now = now.as_microsecond();
        let mut look = |taken: bool| -> Vec<Standing> {
            accounts
                .iter()
                .map(|(account, rule)| {
                    let count = self.accounts.entry(account.clone()).or_default();
                    count.rule = *rule;
                    if taken {
                        count.take(*rule, now);
                    }
                    count.standing(*rule, now)
                })
                .collect()
        };
        let before = look(false);
        match before.iter().position(|standing| standing.wait.is_positive()) {
            None => Ok(look(true)),
            Some(place) => {
                if let Some(count) = accounts.get(place).and_then(|(account, _)| self.accounts.get_mut(account)) {
                    count.refused += 1;
                }
                Err((place, before))
            }
        }
    }

    /// What each account was granted and refused, and its limit.
    pub fn list(&self) -> Value {
        let accounts = self.accounts.iter().map(|(account, count)| {
            json!({"account": account, "accepted": count.accepted, "refused": count.refused,
                   "per_second": count.rule.per_second, "per_hour": count.rule.per_hour})
        });
        let sum = |provider: &str| {
            let of = || self.accounts.iter().filter(|(account, _)| account.starts_with(provider));
            // A WABA's calls are its app's too.
            let accepted: u64 = of().filter(|(name, _)| !name.contains(" waba ")).map(|(_, c)| c.accepted).sum();
            json!({"accepted": accepted, "refused": of().map(|(_, count)| count.refused).sum::<u64>()})
        };
        json!({"accounts": accounts.collect::<Vec<_>>(), "telnyx": sum("telnyx"), "meta": sum("meta")})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_795_500_000_000 + ms).expect("a time")
    }

    fn rule(per_second: u32, per_hour: u32) -> Rule {
        Rule { per_second, per_hour, hour_s: 3_600 }
    }

    fn ask(limits: &mut Limits, rule: Rule, ms: i64) -> Result<Standing, Standing> {
        let asked = limits.admit(&[("a".to_owned(), rule)], at(ms));
        asked.map(|all| all[0]).map_err(|(_, all)| all[0])
    }

    #[test]
    fn a_burst_of_one_second_passes_and_then_one_call_a_step() {
        let mut limits = Limits::default();
        for n in 0..25 {
            let standing = ask(&mut limits, rule(25, 0), 0).expect("within the limit");
            assert_eq!((standing.remaining, standing.percent), (24 - n, (n + 1) * 4));
            assert_eq!(standing.reset_s(), 1);
        }
        let refused = ask(&mut limits, rule(25, 0), 0).expect_err("the 26th");
        assert_eq!((refused.limit, refused.remaining, refused.wait), (25, 0, SignedDuration::from_millis(40)));
        assert_eq!(refused.wait_minutes(), 0);
        assert!(ask(&mut limits, rule(25, 0), 39).is_err());
        // A client that keeps the pace is never refused, a second after a second.
        for n in 1..=100 {
            assert!(ask(&mut limits, rule(25, 0), n * 40).is_ok(), "{n}");
        }
        assert!(ask(&mut limits, rule(25, 0), 4_000).is_err());
        let list = limits.list();
        assert_eq!((&list["accounts"][0]["accepted"], &list["accounts"][0]["refused"]), (&json!(125), &json!(3)));
    }

    #[test]
    fn an_hours_limit_is_a_moving_window() {
        let mut limits = Limits::default();
        for n in 0..200 {
            assert!(ask(&mut limits, rule(0, 200), n * 1_000).is_ok());
        }
        let refused = ask(&mut limits, rule(0, 200), 200_000).expect_err("the 201st");
        assert_eq!((refused.percent, refused.wait_minutes()), (100, 57));
        assert!(ask(&mut limits, rule(0, 200), 3_599_999).is_err());
        assert!(ask(&mut limits, rule(0, 200), 3_600_000).is_ok());
        assert!(ask(&mut limits, rule(0, 200), 3_600_000).is_err());
        // More is allowed from the moment a number is registered.
        assert_eq!(ask(&mut limits, rule(0, 5_000), 3_600_000).expect("allowed").percent, 4);
    }

    #[test]
    fn a_call_refused_for_one_account_uses_up_none() {
        let mut limits = Limits::default();
        let both = [("app".to_owned(), rule(5, 0)), ("app waba 1".to_owned(), rule(1, 0))];
        assert!(limits.admit(&both, at(0)).is_ok());
        for _ in 0..10 {
            let (place, standings) = limits.admit(&both, at(0)).expect_err("the WABA's limit");
            assert_eq!((place, standings[0].remaining), (1, 4));
        }
        // No limit: everything passes, and is counted.
        assert!(limits.admit(&[("b".to_owned(), Rule::default())], at(0)).is_ok());
        assert_eq!(limits.list()["accounts"][2]["accepted"], 1);
    }
}
