//! How much one client, one recruiter, and all of them at the door, may ask for.
//!
//! A token bucket for a connection's events (too many: answered with an error; ten times too many: the connection is
//! cut), one for each recruiter's new connections (a broken client: `retry_later`, before it costs others anything), and
//! one for new connections of this replica (a storm after an outage: `retry_later` with a spread-out delay).
//! Must never count what the server sends.

use std::collections::HashMap;
use std::hash::Hash;
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

    fn level(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.level + passed * self.per_second).min(self.burst)
    }

    /// Takes one token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.level = self.level(now);
        self.at = now;
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

/// A bucket for each of many. Only those are remembered whose bucket is not full, since a full one says nothing: what it
/// takes is bounded by how many asked within the time in which a bucket fills.
#[derive(Debug)]
pub struct Buckets<K> {
    per_second: f64,
    burst: f64,
    known: HashMap<K, Bucket>,
    /// Full ones are looked for when so many are known.
    sweep_at: usize,
}

/// Fewer than this are not worth looking through.
const SWEEP_AT_LEAST: usize = 64;

impl<K: Hash + Eq> Buckets<K> {
    /// With nobody known yet.
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, known: HashMap::new(), sweep_at: SWEEP_AT_LEAST }
    }

    /// Takes one token of this one's bucket; else how long until the next.
    pub fn take(&mut self, whose: K, now: Instant) -> Result<(), Duration> {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, bucket| bucket.level(now) < bucket.burst);
            // Twice what is left: looking through them costs each newcomer about one look.
            self.sweep_at = (self.known.len() * 2).max(SWEEP_AT_LEAST);
        }
        let bucket = self.known.entry(whose).or_insert_with(|| Bucket::new(self.per_second, self.burst, now));
        if bucket.take(now) { Ok(()) } else { Err(bucket.wait()) }
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
    fn each_has_a_bucket_of_its_own_and_idle_ones_are_forgotten() {
        let start = Instant::now();
        let mut buckets = Buckets::new(2.0, 20.0);
        let granted = (0..200).filter(|_| buckets.take(0, start).is_ok()).count();
        assert_eq!(granted, 20);
        assert!(buckets.take(0, start).is_err_and(|wait| wait <= Duration::from_millis(500)));
        assert!(buckets.take(1, start).is_ok(), "somebody else's");
        assert!(buckets.take(0, start + Duration::from_millis(500)).is_ok());
        // One after the other, each ten seconds after the one before: no more are kept than are not worth a look.
        for n in 2..10_000 {
            assert!(buckets.take(n, start + Duration::from_secs(10) * n).is_ok());
        }
        assert!(buckets.known.len() <= SWEEP_AT_LEAST, "{}", buckets.known.len());
        // Whoever asks all the time is not forgotten among many others.
        let end = start + Duration::from_secs(10) * 10_000;
        let greedy = (0..500).filter(|n| {
            assert!(buckets.take(20_000 + n, end).is_ok());
            buckets.take(0, end).is_ok()
        });
        assert_eq!(greedy.count(), 20);
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
