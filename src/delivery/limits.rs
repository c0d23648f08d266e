//! How much one client, and all of them at the door, may ask for.
//!
//! A token bucket for a connection's events (too many: answered with an error; ten times too many: the connection is
//! cut), and one for new connections of this replica (a storm after an outage: `retry_later` with a spread-out delay).
//! Must never count what the server sends.

use std::time::{Duration, Instant};

/// A token bucket on the monotonic clock.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// Full at the start.
    pub fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self { per_second, burst, level: burst, at: now }
    }

    /// Takes one token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + passed * self.per_second).min(self.burst);
        let granted = self.level >= 1.0;
        if granted {
            self.level -= 1.0;
        }
        granted
    }

    /// How long until the next token.
    pub fn wait(&self) -> Duration {
        Duration::from_secs_f64(((1.0 - self.level).max(0.0) / self.per_second).min(3600.0))
    }
}

/// What to do with a client's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Handle it.
    Fine,
    /// Answer `rate_limited`.
    TooMany,
    /// Cut the connection.
    Flood,
}

/// The limit of one connection: so many events a second, and a flood at ten times that.
#[derive(Debug)]
pub struct EventLimit {
    events: Bucket,
    flood: Bucket,
}

impl EventLimit {
    /// `per_second` with a burst of twice that.
    pub fn new(per_second: f64, now: Instant) -> Self {
        let bucket = |rate: f64| Bucket::new(rate, rate * 2.0, now);
        Self { events: bucket(per_second), flood: bucket(per_second * 10.0) }
    }

    /// Counts one event.
    pub fn count(&mut self, now: Instant) -> Verdict {
        if !self.flood.take(now) {
            Verdict::Flood
        } else if self.events.take(now) {
            Verdict::Fine
        } else {
            Verdict::TooMany
        }
    }
}

/// The delay that `retry_later` names: grows with how far the door is behind, and spread over `spread` (0 to 1) so that
/// those who were refused together don't come back together.
pub fn retry_after(wait: Duration, spread: f64) -> u32 {
    let base = wait.as_secs_f64().clamp(1.0, 30.0);
    (base + spread.clamp(0.0, 1.0) * 4.0 * base).ceil().min(120.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_limited_and_floods_cut() {
        let start = Instant::now();
        let mut limit = EventLimit::new(20.0, start);
        let verdicts: Vec<_> = (0..500).map(|_| limit.count(start)).collect();
        assert!(verdicts[..40].iter().all(|v| *v == Verdict::Fine));
        assert!(verdicts[40..400].iter().all(|v| *v == Verdict::TooMany));
        assert!(verdicts[400..].iter().all(|v| *v == Verdict::Flood));
        assert_eq!(limit.count(start + Duration::from_secs(1)), Verdict::Fine);
    }

    #[test]
    fn steady_use_is_never_refused() {
        let start = Instant::now();
        let mut limit = EventLimit::new(20.0, start);
        for n in 0..1000u32 {
            assert_eq!(limit.count(start + Duration::from_millis(50) * n), Verdict::Fine);
        }
    }

    #[test]
    fn refused_clients_are_spread() {
        assert_eq!(retry_after(Duration::ZERO, 0.0), 1);
        assert_eq!(retry_after(Duration::ZERO, 1.0), 5);
        assert_eq!(retry_after(Duration::from_secs(600), 1.0), 120);
        let mut bucket = Bucket::new(100.0, 1.0, Instant::now());
        let now = Instant::now();
        assert!(bucket.take(now) && !bucket.take(now));
        assert!(bucket.wait() <= Duration::from_millis(10));
    }
}
