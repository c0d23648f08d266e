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

/// The next round of each Portfolio, by uid.
#[derive(Debug, Default)]
pub struct Rounds {
    next: Mutex<HashMap<String, (Basis, Instant)>>,
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
    }
}
