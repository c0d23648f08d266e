//! When a busy writer of a log lets others have a turn. Without it a late writer, the controller's fence among them, could
//! lose every race for as long as the busy one has work.

use std::time::Duration;

use tokio::time::Instant;

/// Appends of this writer that followed each other without a break.
#[derive(Default)]
pub(super) struct Streak {
    length: u32,
    ended: Option<Instant>,
    took: Duration,
}

/// A writer that appends without a break stands aside after so many.
const COURTESY: u32 = 16;

impl Streak {
    /// Waits, if it is time to. Another writer needs two round trips, reading the tail and inserting, where a busy one
    /// needs one: it would lose every race. So a busy writer now and then lets as much time pass as two and a half of its
    /// own appends take; what waits meanwhile goes into its next one.
    pub(super) async fn stand_aside(&mut self) {
        let unbroken = self.ended.is_some_and(|ended| ended.elapsed() < self.took.max(Duration::from_millis(2)));
        self.length = if unbroken { self.length + 1 } else { 0 };
        if self.length >= COURTESY {
            self.length = 0;
            tokio::time::sleep((self.took * 5 / 2).clamp(Duration::from_millis(2), Duration::from_millis(200))).await;
        }
    }

    /// Notes an append that began at `since`.
    pub(super) fn appended(&mut self, since: Instant) {
        let now = Instant::now();
        (self.took, self.ended) = (now.duration_since(since), Some(now));
    }
}
