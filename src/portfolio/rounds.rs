//! When each Portfolio's accounts are read next. In memory: a restart reads anew, which is what one wants of it.
//!
//! The Portfolio's own status writes wake its reconcile; without this every claim in the ledger would cost a round of
//! calls to both providers. Whoever wishes for a round gets one, but not one for each wish: what is wished for too soon
//! after the last one began is kept, and granted then. A new spec does not wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines are counted no more often than that.
const COUNT_EVERY: Duration = Duration::from_secs(1);

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

/// The next round of one Portfolio.
#[derive(Debug, Default)]
struct Next {
    /// What the last one was made for, and when the next is due.
    due: Option<(Basis, Instant)>,
    /// A round that was wished for since the last one began: what it saw may be older than the wish.
    wish: Option<Instant>,
    /// When the last one began.
    began: Option<Instant>,
    /// Since when rounds meet a provider that is away, and how many did.
    away: Option<(Instant, u32)>,
}

impl Next {
    /// The moment, or the first after it at which one may be wished for.
    fn allowed(&self, at: Instant, floor: Duration) -> Instant {
        self.began.map_or(at, |began| at.max(began + floor))
    }
}

/// The next round of each Portfolio, by uid.
#[derive(Debug)]
pub struct Rounds {
    floor: Duration,
    next: Mutex<HashMap<String, Next>>,
    answered: Mutex<HashMap<(String, Daily), (u64, Instant)>>,
    counted: Mutex<HashMap<String, Instant>>,
}

impl Rounds {
    /// `floor`: how soon after the beginning of one a round may follow that was only wished for.
    pub fn new(floor: Duration) -> Self {
        Self { floor, next: Mutex::default(), answered: Mutex::default(), counted: Mutex::default() }
    }

    /// How long until the next round; None: it is due.
    pub fn rest(&self, uid: &str, basis: &Basis, now: Instant) -> Option<Duration> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.get(uid)?;
        let (made_for, at) = next.due.as_ref()?;
        let at = match (made_for == basis, made_for.generation == basis.generation) {
            (true, _) => *at,
            (false, true) => next.allowed(now, self.floor).min(*at),
            (false, false) => return None,
        };
        Some(at.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// A round met a provider that is away: how many did before it, and for how long.
    pub fn failed(&self, uid: &str, now: Instant) -> (u32, Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, tries) = next.entry(uid.to_owned()).or_default().away.get_or_insert((now, 0));
        *tries += 1;
        (*tries - 1, now.saturating_duration_since(*since))
    }

    /// A round met none.
    pub fn went_well(&self, uid: &str) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.entry(uid.to_owned()).or_default().away = None;
    }

    /// A line noticed that a provider is back: the round that waits for it need not wait longer.
    pub fn is_back(&self, uid: &str, now: Instant) {
        let away = |next: &HashMap<String, Next>| next.get(uid).is_some_and(|next| next.away.is_some());
        if away(&self.next.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.not_after(uid, now);
        }
    }

    /// Whether the lines may be counted now; else how long until they may. Each write of a line asks for it, and each count
    /// is a write to the object that all lines claim in: two hundred lines on their way would hold each other up.
    pub fn may_count(&self, uid: &str, now: Instant) -> Result<(), Duration> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = counted.get(uid).map(|last| *last + COUNT_EVERY).filter(|due| *due > now);
        match due {
            Some(due) => Err(due - now),
            None => {
                counted.insert(uid.to_owned(), now);
                Ok(())
            }
        }
    }

    /// Brings the next round forward: something that only a round can settle was seen. A round that runs at this moment
    /// does not count: it may have asked before.
    pub fn not_after(&self, uid: &str, at: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.entry(uid.to_owned()).or_default();
        let at = next.allowed(at, self.floor);
        if let Some((_, due)) = &mut next.due {
            *due = at.min(*due);
        }
        next.wish = Some(next.wish.map_or(at, |wish| wish.min(at)));
    }

    /// A round begins: what was wished for before is granted by it.
    pub fn begin(&self, uid: &str, now: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.entry(uid.to_owned()).or_default();
        (next.wish, next.began) = (None, Some(now));
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
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Whether the last round was made for something else: the spec changed, or a person asks for a look.
    pub fn anew(&self, uid: &str, basis: &Basis) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.get(uid).and_then(|next| next.due.as_ref()).is_none_or(|(made_for, _)| made_for != basis)
    }

    /// Notes when the next round is due, unless an earlier one was wished for while the last one ran; when it is due.
    pub fn set(&self, uid: &str, basis: Basis, at: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.entry(uid.to_owned()).or_default();
        let at = next.wish.map_or(at, |wish| wish.min(at));
        next.due = Some((basis, at));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_secs(10);

    #[test]
    fn a_round_is_brought_forward_never_put_off() {
        let (rounds, now, basis) = (Rounds::new(FLOOR), Instant::now(), Basis { generation: 1, retry: None });
        let second = Duration::from_secs(1);
        rounds.set("u", basis.clone(), now + 60 * second);
        rounds.not_after("u", now + 9 * second);
        rounds.not_after("u", now + 20 * second);
        assert_eq!(rounds.rest("u", &basis, now), Some(9 * second));
        assert_eq!(rounds.rest("u", &Basis { generation: 2, retry: None }, now), None);
        assert!(rounds.anew("u", &Basis { generation: 2, retry: None }) && !rounds.anew("u", &basis));
    }

    #[test]
    fn a_wish_during_a_round_is_granted_by_the_next_one() {
        let (rounds, now, basis) = (Rounds::new(FLOOR), Instant::now(), Basis { generation: 1, retry: None });
        let hour = Duration::from_secs(3600);
        rounds.not_after("u", now);
        rounds.begin("u", now);
        assert_eq!(rounds.set("u", basis.clone(), now + hour), now + hour, "what was wished before it began");
        rounds.begin("u", now);
        rounds.not_after("u", now);
        assert_eq!(rounds.set("u", basis.clone(), now + hour), now + FLOOR);
        assert_eq!(rounds.rest("u", &basis, now + FLOOR), None);
        rounds.begin("u", now);
        rounds.set("u", basis.clone(), now + hour);
        assert_eq!(rounds.rest("u", &basis, now), Some(hour));
    }

    #[test]
    fn a_round_for_many_wishes() {
        let (rounds, now, hour) = (Rounds::new(FLOOR), Instant::now(), Duration::from_secs(3600));
        let second = Duration::from_secs(1);
        let asked = |retry: &str| Basis { generation: 1, retry: Some(retry.to_owned()) };
        assert_eq!(rounds.rest("u", &asked("a"), now), None, "the first");
        rounds.begin("u", now);
        rounds.set("u", asked("a"), now + hour);
        for later in [1, 4, 9] {
            let rest = Some(FLOOR - later * second);
            assert_eq!(rounds.rest("u", &asked(&format!("b{later}")), now + later * second), rest);
        }
        assert!(rounds.anew("u", &asked("b9")));
        assert_eq!(rounds.rest("u", &asked("b9"), now + FLOOR), None, "the wish is kept");
        rounds.not_after("u", now + second);
        assert_eq!(rounds.rest("u", &asked("a"), now + second), Some(FLOOR - second), "a line's wish too");
        let spec = Basis { generation: 2, ..asked("a") };
        assert_eq!(rounds.rest("u", &spec, now + second), None, "a new spec does not wait");
    }

    #[test]
    fn a_provider_that_a_line_found_back_is_not_waited_for() {
        let (rounds, now, basis) = (Rounds::new(FLOOR), Instant::now(), Basis { generation: 1, retry: None });
        let minute = Duration::from_secs(60);
        rounds.begin("u", now);
        assert_eq!(rounds.failed("u", now), (0, Duration::ZERO));
        assert_eq!(rounds.failed("u", now + minute), (1, minute));
        rounds.set("u", basis.clone(), now + 5 * minute);
        rounds.is_back("u", now + minute);
        assert_eq!(rounds.rest("u", &basis, now + minute), None);
        rounds.begin("u", now + minute);
        rounds.went_well("u");
        rounds.set("u", basis.clone(), now + 60 * minute);
        rounds.is_back("u", now + 2 * minute);
        assert_eq!(rounds.rest("u", &basis, now + 2 * minute), Some(58 * minute), "nothing waits");
        assert_eq!(rounds.failed("u", now), (0, Duration::ZERO), "the next outage begins anew");
    }

    #[test]
    fn lines_are_counted_once_a_second() {
        let (rounds, now) = (Rounds::new(FLOOR), Instant::now());
        let milli = Duration::from_millis;
        assert_eq!(rounds.may_count("u", now), Ok(()));
        assert_eq!(rounds.may_count("u", now + milli(400)), Err(milli(600)));
        assert_eq!(rounds.may_count("other", now + milli(400)), Ok(()));
        assert_eq!(rounds.may_count("u", now + milli(1000)), Ok(()));
    }

    #[test]
    fn what_was_answered_well_is_asked_again_after_a_day_or_for_something_else() {
        let (rounds, now, day) = (Rounds::new(FLOOR), Instant::now(), Duration::from_secs(86_400));
        let answered = |key, later| rounds.answered("u", Daily::Token, key, now + later, day);
        assert!(!answered(7, Duration::ZERO));
        rounds.note("u", Daily::Token, 7, now);
        assert!(answered(7, day / 2) && !answered(8, day / 2) && !answered(7, day));
        rounds.ask_all("u");
        assert!(!answered(7, Duration::ZERO));
    }
}
