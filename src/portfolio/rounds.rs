//! When each Portfolio's accounts are read next. In memory: a restart reads anew, which is what one wants of it.
//!
//! The Portfolio's own status writes wake its reconcile; without this every claim in the ledger would cost a round of
//! calls to both providers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a round was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// Generation of the spec.
    pub generation: i64,
    /// The last retry-requested-at.
    pub retry: Option<String>,
}

/// What seldom changes and need not be asked in every round, once it was answered well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Daily {
    /// That the access token is good. Every other call says so too when it is not.
    Token,
    /// That the business is verified.
    Business,
}

/// The next round of each Portfolio, by uid.
#[derive(Debug, Default)]
pub struct Rounds {
    next: Mutex<HashMap<String, (Basis, Instant)>>,
    answered: Mutex<HashMap<(String, Daily), (u64, Instant)>>,
}

impl Rounds {
    /// How long until the next round; None: it is due.
    pub fn rest(&self, uid: &str, basis: &Basis, now: Instant) -> Option<Duration> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let (made_for, at) = next.get(uid)?;
        (made_for == basis).then(|| at.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// Brings the next round forward: something that only a round can settle was seen.
    pub fn not_after(&self, uid: &str, at: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, due)) = next.get_mut(uid) {
            *due = at.min(*due);
        }
    }

    /// Whether `what` was answered well less than `day` ago, about the same thing (`key`).
    pub fn answered(&self, uid: &str, what: Daily, key: u64, now: Instant, day: Duration) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.get(&(uid.to_owned(), what)).is_some_and(|(of, at)| *of == key && now.duration_since(*at) < day)
    }

    /// Notes a good answer.
    pub fn note(&self, uid: &str, what: Daily, key: u64, now: Instant) {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert((uid.to_owned(), what), (key, now));
    }

    /// Asks everything in the next round: a provider refused something, or a person wants it looked at now.
    pub fn ask_all(&self, uid: &str) {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| of != uid);
    }

    /// The Portfolio is gone.
    pub fn forget(&self, uid: &str) {
        self.ask_all(uid);
        self.next.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Whether the last round was made for something else: the spec changed, or a person asks for a look.
    pub fn anew(&self, uid: &str, basis: &Basis) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.get(uid).is_none_or(|(made_for, _)| made_for != basis)
    }

    /// Notes when the next round is due.
    pub fn set(&self, uid: &str, basis: Basis, at: Instant) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), (basis, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_brought_forward_never_put_off() {
        let (rounds, now, basis) = (Rounds::default(), Instant::now(), Basis { generation: 1, retry: None });
        let second = Duration::from_secs(1);
        rounds.set("u", basis.clone(), now + 60 * second);
        rounds.not_after("u", now + 9 * second);
        rounds.not_after("u", now + 20 * second);
        assert_eq!(rounds.rest("u", &basis, now), Some(9 * second));
        assert_eq!(rounds.rest("u", &Basis { generation: 2, retry: None }, now), None);
        assert!(rounds.anew("u", &Basis { generation: 2, retry: None }) && !rounds.anew("u", &basis));
    }

    #[test]
    fn what_was_answered_well_is_asked_again_after_a_day_or_for_something_else() {
        let (rounds, now, day) = (Rounds::default(), Instant::now(), Duration::from_secs(86_400));
        let answered = |key, later| rounds.answered("u", Daily::Token, key, now + later, day);
        assert!(!answered(7, Duration::ZERO));
        rounds.note("u", Daily::Token, 7, now);
        assert!(answered(7, day / 2) && !answered(8, day / 2) && !answered(7, day));
        rounds.ask_all("u");
        assert!(!answered(7, Duration::ZERO));
    }
}
