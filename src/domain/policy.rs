//! Policy times: gaps, grace times, code life, back-off, poll and lease intervals, in one place with the rule each comes
//! from. `--policy-time-scale` multiplies them, so that a test lives through 72 hours in a minute.
//!
//! Never scaled: HTTP time-outs, and the 10 seconds on the monotonic clock within which an order may be posted. Those
//! are about machines, not about providers' rules.

use std::time::Duration;

/// The factor on all policy times; 1 in production.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolicyTime {
    scale: f64,
}

impl Default for PolicyTime {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl PolicyTime {
    /// A factor above 0 and at most 1000; None otherwise.
    pub fn new(scale: f64) -> Option<Self> {
        (scale.is_finite() && scale > 0.0 && scale <= 1000.0).then_some(Self { scale })
    }

    /// A duration of policy, scaled.
    pub fn scaled(self, duration: Duration) -> Duration {
        duration.mul_f64(self.scale)
    }

    /// An order may be posted only so long after the PUT that recorded it, on the monotonic clock: a frozen process that
    /// wakes up must not buy. Not scaled.
    pub const ORDER_WINDOW: Duration = secs(10);

    /// How long a posted order may still be on its way: the order window, the POST's own time-out and clock skew. Before
    /// that, absence proves nothing.
    pub fn order_grace(self) -> Duration {
        self.scaled(secs(120))
    }

    /// Meta's lists may lag behind a write; absence of a number is proven only by two lists, the last at least this long
    /// after the intent.
    pub fn link_grace(self) -> Duration {
        self.scaled(secs(120))
    }

    /// An order without news for so long is a person's business: Telnyx delivers in seconds, or names what it waits for.
    pub fn order_patience(self) -> Duration {
        self.scaled(secs(3600))
    }

    /// How often a pending order is looked at.
    pub fn order_poll(self) -> Duration {
        self.scaled(secs(3))
    }

    /// How often a WABA's list is read again while a line waits for its number to appear there.
    pub fn link_poll(self) -> Duration {
        self.scaled(secs(5))
    }

    /// How often recordings and transcriptions are listed while a code is awaited.
    pub fn code_poll(self) -> Duration {
        self.scaled(secs(3))
    }

    /// Meta's code is good for about 10 minutes.
    pub fn code_life(self) -> Duration {
        self.scaled(secs(600))
    }

    /// A wish that Meta call or text is granted so long at most: later, nobody may be at the phone. A person is not as quick
    /// as a scaled world, so never less than 20 s.
    pub fn wish_life(self) -> Duration {
        self.scaled(secs(120)).max(secs(20))
    }

    /// No call that we answer lasts longer: the document records 120 s at most.
    pub fn longest_call(self) -> Duration {
        self.scaled(secs(150))
    }

    /// A recording's transcription is waited for so long, then Telnyx's speech-to-text is asked.
    pub fn transcription_grace(self) -> Duration {
        self.scaled(secs(30))
    }

    /// The window of `perHour` limits, also the gap after a restore without status.
    pub fn hour(self) -> Duration {
        self.scaled(secs(3600))
    }

    /// The window of `perDay` limits.
    pub fn day(self) -> Duration {
        self.scaled(secs(24 * 3600))
    }

    /// The window of `per72h` limits.
    pub fn three_days(self) -> Duration {
        self.scaled(secs(72 * 3600))
    }

    /// PENDING_REVIEW of a display name: one try an hour.
    pub fn name_poll(self) -> Duration {
        self.scaled(secs(60))
    }

    /// Shortest and longest wait between attempts after a transient error.
    pub fn backoff(self, attempts: u32) -> Duration {
        let doubled = secs(2).saturating_mul(1u32.checked_shl(attempts.min(10)).unwrap_or(1024));
        self.scaled(doubled.min(secs(600)))
    }

    /// How long after the `tries`th look at a provider or a store that is away the next one follows, for all lines
    /// together: never long, so that work goes on within half a minute of its return. A provider that has answered with
    /// errors for ten minutes counts these calls (Meta: 200 an hour), and is asked once a minute.
    pub fn away_gap(self, tries: u32, answered: bool, away: Duration) -> Duration {
        let long = answered && away >= self.scaled(secs(600));
        self.backoff(tries).min(self.scaled(secs(if long { 60 } else { 15 })))
    }

    /// How long after the `tries`th round that met a provider that is away the next one follows. At first as soon as lines
    /// try; then seldom where a line tries for all (`probed`), since its success brings the round forward, and once a
    /// minute where a provider answers with errors, since those calls count. What does not answer is asked often enough
    /// for what waits to go on within half a minute of its return.
    pub fn round_gap(self, tries: u32, answered: bool, probed: bool, away: Duration) -> Duration {
        let most = match (away < self.scaled(secs(120)), probed, answered) {
            (true, _, _) => secs(15),
            (_, true, _) => secs(300),
            (_, _, true) => secs(60),
            _ => secs(25),
        };
        self.backoff(tries).min(self.scaled(most))
    }

    /// Rounds that somebody wishes for follow each other no sooner than that, however often they are wished for.
    pub fn round_floor(self) -> Duration {
        self.scaled(secs(10))
    }

    /// How often a line asks whether what it waits for is back. No call follows from asking.
    pub fn away_look(self) -> Duration {
        self.scaled(secs(3)).max(Duration::from_millis(100))
    }

    /// A claim in the ledger is kept for the rates' sake this long.
    pub fn ledger_keep(self) -> Duration {
        self.day()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_and_ends() {
        let policy = PolicyTime::default();
        assert_eq!(policy.backoff(0), secs(2));
        assert_eq!(policy.backoff(3), secs(16));
        assert_eq!(policy.backoff(40), secs(600));
    }

    #[test]
    fn rounds_during_an_outage_leave_an_hourly_budget_to_the_lines() {
        let policy = PolicyTime::default();
        let in_an_hour = |answered, probed| {
            let (mut away, mut tries) = (Duration::ZERO, 0);
            while away < secs(3600) {
                away += policy.round_gap(tries, answered, probed, away);
                tries += 1;
            }
            tries
        };
        assert_eq!((in_an_hour(true, false), in_an_hour(true, true), in_an_hour(false, true)), (69, 23, 23));
        assert_eq!(policy.round_gap(40, false, false, secs(3600)), secs(25), "nobody else notices its return");
        assert_eq!(
            (0..5).map(|n| policy.round_gap(n, true, true, secs(1)).as_secs()).collect::<Vec<_>>(),
            [2, 4, 8, 15, 15]
        );
    }

    #[test]
    fn scale_is_bounded() {
        assert!(
            PolicyTime::new(0.0).is_none() && PolicyTime::new(f64::NAN).is_none() && PolicyTime::new(1e9).is_none()
        );
        assert_eq!(PolicyTime::new(0.01).map(|p| p.hour()), Some(secs(36)));
    }
}
