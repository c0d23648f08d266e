//! The turns in which numbers await a code: as many at the same time as `concurrentOnboardings` allows, oldest first.
//!
//! In memory, and held against who records by status, since this process may have begun later than their turns. Must never
//! make a line that records wait: the others wait for it.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who has a turn, by uid.
#[derive(Default)]
pub struct Turns(Mutex<HashSet<String>>);

/// What a line knows that wants a turn.
pub struct Wish<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// It records by its own status.
    pub records: bool,
    /// The others that record by theirs, by uid.
    pub others: &'a [String],
    /// Older lines that could go on if they had a turn.
    pub older_waiting: usize,
}

impl Turns {
    /// Takes a turn, unless others hold them all or older lines wait for one.
    pub fn take(&self, wish: &Wish<'_>, limit: usize) -> bool {
        let mut turns = self.lock();
        let held = turns.iter().chain(wish.others).collect::<HashSet<_>>().len();
        let may = wish.records || turns.contains(wish.uid) || held + wish.older_waiting < limit;
        if may {
            turns.insert(wish.uid.to_owned());
        }
        may
    }

    /// Whether it has one.
    pub fn has(&self, uid: &str) -> bool {
        self.lock().contains(uid)
    }

    /// Gives it back.
    pub fn end(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(uid: &'a str, others: &'a [String], older_waiting: usize) -> Wish<'a> {
        Wish { uid, records: false, others, older_waiting }
    }

    #[test]
    fn as_many_as_the_limit_and_the_oldest_first() {
        let turns = Turns::default();
        assert!(turns.take(&wish("a", &[], 0), 2) && turns.take(&wish("b", &[], 0), 2));
        assert!(!turns.take(&wish("c", &[], 0), 2));
        assert!(turns.take(&wish("a", &[], 5), 2), "it has its turn");
        turns.end("a");
        assert!(!turns.take(&wish("d", &[], 1), 2), "an older one waits");
        assert!(turns.take(&wish("c", &[], 0), 2));
    }

    /// After a restart only status tells who records: it goes on, and the older one that has become due waits for it.
    #[test]
    fn who_records_never_waits() {
        let turns = Turns::default();
        let recording = ["b".to_owned()];
        assert!(!turns.take(&wish("a", &recording, 0), 1));
        assert!(turns.take(&Wish { records: true, ..wish("b", &[], 1) }, 1), "both would wait for ever");
    }
}
