//! How soon a watch that broke is begun again, and what could not be asked at the start: like kube's own, but never later
//! than ten seconds, since what is applied while the API server comes back should be seen within half a minute of its return. Decides nothing else.

use std::time::Duration;

use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use rand::RngExt;

const SHORTEST: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(10);
/// A watch that held for so long begins anew.
const CALM: Duration = Duration::from_secs(60);

/// Growing gaps with jitter.
pub struct Gaps {
    next: Duration,
}

impl Gaps {
    fn new() -> Self {
        Self { next: SHORTEST }
    }
}

/// Gaps without an end.
pub fn gaps() -> Gaps {
    Gaps::new()
}

/// The gaps of one watch.
pub fn backoff() -> ResetTimerBackoff<Gaps> {
    ResetTimerBackoff::new(Gaps::new(), CALM)
}

impl Iterator for Gaps {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let gap = self.next;
        self.next = (gap * 2).min(LONGEST);
        // Downwards, so that the longest stays the longest.
        Some(gap.mul_f64(rand::rng().random_range(0.7..1.0)))
    }
}

impl Backoff for Gaps {
    fn reset(&mut self) {
        self.next = SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_grow_to_ten_seconds_and_begin_anew() {
        let mut gaps = Gaps::new();
        let taken: Vec<Duration> = gaps.by_ref().take(12).collect();
        assert!(taken[0] <= SHORTEST && taken[0] >= SHORTEST / 2, "{taken:?}");
        assert!(taken.iter().all(|gap| *gap <= LONGEST) && taken[11] >= LONGEST / 2, "{taken:?}");
        gaps.reset();
        assert!(gaps.next().is_some_and(|gap| gap <= SHORTEST));
    }
}
