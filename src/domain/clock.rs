//! Time as an argument: the wall clock for what is written down, the monotonic clock for what must not be fooled by a
//! wall clock that jumps (the 10 seconds within which an order may be posted).
//!
//! Linux's monotonic clock stands still while a machine is suspended, and a process that wakes up with it must not take
//! hours for seconds. So ours goes on at least as far as the wall clock did: one that is set forward makes it go on too,
//! which only ever refuses something that would still have been right; one that is set back does nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Wall clock, for timestamps in status and records.
    fn now(&self) -> Timestamp;
    /// Monotonic clock, for elapsed time inside this process.
    fn monotonic(&self) -> Instant;
}

/// A clock that can be handed around.
pub type SharedClock = Arc<dyn Clock>;

/// How far the wall clock must run ahead of the monotonic one between two looks to count: less is its being set right
/// little by little.
const LEAP: Duration = Duration::from_secs(1);

/// A monotonic clock that counts suspension.
#[derive(Debug)]
struct Awake {
    last: Option<(Instant, Timestamp)>,
    /// What the monotonic clock has missed.
    missed: Duration,
}

impl Awake {
    const fn new() -> Self {
        Self { last: None, missed: Duration::ZERO }
    }

    /// What it shows when the machine's clocks show this.
    fn at(&mut self, monotonic: Instant, wall: Timestamp) -> Instant {
        if let Some((before, then)) = self.last.replace((monotonic, wall)) {
            let told = Duration::try_from(wall.duration_since(then)).unwrap_or_default();
            let ahead = told.saturating_sub(monotonic.saturating_duration_since(before));
            if ahead >= LEAP {
                self.missed = self.missed.saturating_add(ahead);
            }
        }
        monotonic.checked_add(self.missed).unwrap_or(monotonic)
    }
}

/// The machine has one clock: what was measured at one place is compared at another.
static AWAKE: Mutex<Awake> = Mutex::new(Awake::new());

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn monotonic(&self) -> Instant {
        let mut awake = AWAKE.lock().unwrap_or_else(PoisonError::into_inner);
        awake.at(Instant::now(), Timestamp::now())
    }
}

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, Instant)>,
}

impl ManualClock {
    /// Starts at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new((now, Instant::now())) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += by;
        state.1 += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }
    fn monotonic(&self) -> Instant {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (monotonic, wall) after the start in ms, and what is shown.
    fn shown(looks: &[(u64, i64)]) -> Vec<u64> {
        let (start, began) = (Instant::now(), Timestamp::from_second(1_793_000_000).unwrap());
        let mut awake = Awake::new();
        looks
            .iter()
            .map(|(monotonic, wall)| {
                let wall = began + jiff::SignedDuration::from_millis(*wall);
                let at = awake.at(start + Duration::from_millis(*monotonic), wall);
                u64::try_from(at.duration_since(start).as_millis()).unwrap()
            })
            .collect()
    }

    #[test]
    fn suspension_counts() {
        for (what, looks, want) in [
            ("awake", &[(0, 0), (500, 500), (20_000, 20_000)][..], &[0, 500, 20_000][..]),
            ("suspended for an hour", &[(0, 0), (300, 3_600_300), (800, 3_600_800)], &[0, 3_600_300, 3_600_800]),
            ("twice", &[(0, 0), (1, 5_001), (2, 9_002)], &[0, 5_001, 9_002]),
            ("set back", &[(0, 0), (500, -9_000), (900, -8_600)], &[0, 500, 900]),
            ("set right little by little", &[(0, 0), (1_000, 1_400), (2_000, 2_800)], &[0, 1_000, 2_000]),
        ] {
            assert_eq!(shown(looks), want, "{what}");
        }
    }
}
