//! A limit told as "so many of so many calls are left until then": Telnyx's `x-ratelimit-*`. Pure.
//!
//! Spreads calls evenly over the window instead of bursting at each reset, and never counts on more than what is left
//! minus what is on its way. Neither the window's length nor whether it slides is documented: the length is the longest
//! time until a reset that was ever told, and what is left is believed over any reckoning of ours: calls never go slower
//! than would use it up by the reset, so that a length that was told wrongly once, or of other calls, does no lasting harm.

use std::time::{Duration, Instant};

/// So much of a limit is used; the rest is for clocks that differ and calls that are late.
const SHARE: f64 = 0.94;
/// A reset is told in whole seconds, so a window can't be told from one of a second.
const SHORTEST: Duration = Duration::from_secs(1);
/// Calls are not spread further apart than this: that is worth less than to hear again how much is left.
const FURTHEST: Duration = Duration::from_secs(10);

/// What an answer said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Told {
    pub(crate) limit: f64,
    pub(crate) remaining: f64,
    pub(crate) reset: Duration,
}

/// What is known of the limit.
#[derive(Debug)]
pub(super) struct Window {
    told: Told,
    resets_at: Instant,
    length: Duration,
    /// Calls that may go at once: fills up evenly.
    level: f64,
    level_at: Instant,
}

impl Window {
    pub(super) fn new(told: Told, now: Instant) -> Self {
        let length = told.reset.max(SHORTEST);
        Self { told, resets_at: now + told.reset.max(SHORTEST / 2), length, level: 0.0, level_at: now }
    }

    pub(super) fn hear(&mut self, told: Told, now: Instant) {
        self.level = self.level(now);
        self.level_at = now;
        let ends = now + told.reset.max(SHORTEST / 2);
        // Within one window the earliest end told is the truest, since seconds are rounded up.
        let same = now < self.resets_at && told.remaining <= self.told.remaining + 1.0;
        self.resets_at = if same { self.resets_at.min(ends) } else { ends };
        self.length = self.length.max(told.reset);
        self.told = told;
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.level = self.level(now) - 1.0;
        self.level_at = now;
    }

    /// A call that had its turn was not made.
    pub(super) fn unsent(&mut self) {
        self.level += 1.0;
    }

    /// Between two calls under load.
    pub(super) fn interval(&self) -> Duration {
        let evenly = self.length.div_f64((self.told.limit * SHARE).max(0.001));
        let by_the_reset = self.told.reset.max(SHORTEST).div_f64((self.told.remaining * SHARE).max(0.001));
        evenly.min(by_the_reset).min(FURTHEST)
    }

    fn level(&self, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.level_at).as_secs_f64() / self.interval().as_secs_f64();
        let most = (self.told.limit * 0.2).clamp(1.0, 20.0);
        (self.level + gained).min(most)
    }

    /// When the next call may go, with `flying` calls on their way.
    pub(super) fn ready_at(&self, now: Instant, flying: f64) -> Instant {
        let interval = self.interval();
        let even = now + interval.mul_f64((1.0 - self.level(now)).max(0.0));
        let over = now >= self.resets_at;
        let left = if over { self.told.limit } else { self.told.remaining } - flying;
        if left >= 1.0 {
            return even;
        }
        // Whole seconds may be rounded down: in a long window one more does no harm.
        let whole = self.length > SHORTEST * 5 && self.told.reset.subsec_nanos() == 0;
        (self.resets_at + if whole { SHORTEST } else { Duration::ZERO }).max(even)
    }
}
