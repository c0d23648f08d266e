//! The bucket against providers that count in different ways, in simulated time: how much of a limit is used, and how
//! many calls are refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::bucket::{Bucket, Said};
use super::window::Told;

/// How a provider counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Counts {
    /// From the start of each window.
    Fixed,
    /// What came within the last window.
    Sliding,
    /// What has not drained yet: one window's worth, evenly.
    Leaky,
}

/// What its answers say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tells {
    /// Calls left and whole seconds until the reset, rounded up.
    Window,
    /// The same, rounded down.
    WindowDown,
    /// Whole percent.
    Percent,
    /// Refusals only.
    Nothing,
    /// Refusals with a time.
    Pause,
}

struct Provider {
    counts: Counts,
    tells: Tells,
    limit: usize,
    window: Duration,
    calls: VecDeque<Instant>,
    began: Instant,
    empty_at: Instant,
}

impl Provider {
    fn call(&mut self, now: Instant) -> Said {
        if self.counts == Counts::Leaky {
            return self.leak(now);
        }
        let start = match self.counts {
            Counts::Leaky | Counts::Sliding => now.checked_sub(self.window),
            Counts::Fixed => {
                let whole = (now - self.began).as_nanos() / self.window.as_nanos();
                Some(self.began + self.window * u32::try_from(whole).unwrap())
            }
        };
        let start = start.unwrap_or(self.began);
        while self.calls.front().is_some_and(|at| *at < start) {
            self.calls.pop_front();
        }
        let refused = self.calls.len() >= self.limit;
        if !refused {
            self.calls.push_back(now);
        }
        let left = match self.counts {
            Counts::Fixed => start + self.window - now,
            Counts::Leaky | Counts::Sliding => {
                self.calls.front().map_or(Duration::ZERO, |first| *first + self.window - now)
            }
        };
        self.say(refused, self.calls.len(), left)
    }

    fn leak(&mut self, now: Instant) -> Said {
        let step = self.window.div_f64(self.limit as f64);
        let full = self.empty_at.max(now) + step - now;
        let refused = full > self.window;
        if !refused {
            self.empty_at = now + full;
        }
        let left = self.empty_at.max(now) - now;
        self.say(refused, left.div_duration_f64(step).ceil() as usize, left)
    }

    fn say(&self, refused: bool, used: usize, left: Duration) -> Said {
        let up = Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0));
        let told = |reset| Told { limit: self.limit as f64, remaining: (self.limit - used) as f64, reset };
        match self.tells {
            Tells::Window => Said { window: Some(told(up)), refused, ..Said::default() },
            Tells::WindowDown => {
                Said { window: Some(told(Duration::from_secs(left.as_secs()))), refused, ..Said::default() }
            }
            Tells::Percent => {
                let percent = (used * 100 / self.limit) as f64;
                Said { percent: Some(percent), refused, ..Said::default() }
            }
            Tells::Nothing => Said { refused, ..Said::default() },
            Tells::Pause => Said { refused, pause: refused.then_some(up), ..Said::default() },
        }
    }
}

#[derive(Debug)]
struct Outcome {
    calls: usize,
    refused: usize,
    /// Of what the limit allowed in this time.
    used: f64,
}

/// `callers` that call again at once after each answer, for so long.
fn run(counts: Counts, tells: Tells, limit: usize, window: Duration, callers: usize, length: Duration) -> Outcome {
    let mut rng = StdRng::seed_from_u64(7);
    let began = Instant::now();
    let mut now = began + window.mul_f64(0.37);
    let (started, end) = (now, now + length);
    let mut provider = Provider { counts, tells, limit, window, calls: VecDeque::new(), began, empty_at: began };
    let mut bucket = Bucket::default();
    let mut arrivals: BTreeMap<(Instant, u64), ()> = BTreeMap::new();
    let mut answers: BTreeMap<(Instant, u64), Said> = BTreeMap::new();
    let (mut calls, mut refused) = (0, 0);
    while now < end {
        let busy = arrivals.len() + answers.len();
        let ready = bucket.ready_at(now);
        if busy < callers && ready <= now {
            let id = bucket.send(now);
            arrivals.insert((now + Duration::from_micros(rng.random_range(500..15_000)), id), ());
            continue;
        }
        let next = [
            arrivals.first_key_value().map(|(key, ())| key.0),
            answers.first_key_value().map(|(key, _)| key.0),
            (busy < callers).then_some(ready),
        ];
        now = next.into_iter().flatten().min().unwrap();
        if let Some(entry) = arrivals.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, id), ()) = entry.remove_entry();
            let said = provider.call(at);
            calls += 1;
            refused += usize::from(said.refused);
            answers.insert((now + Duration::from_micros(rng.random_range(500..15_000)), id), said);
        } else if let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, id), said) = entry.remove_entry();
            bucket.answered(id, now, &said);
        }
    }
    let allowed = (now - started).as_secs_f64() / window.as_secs_f64() * limit as f64;
    Outcome { calls, refused, used: (calls - refused) as f64 / allowed }
}

#[test]
fn most_of_a_limit_is_used_and_hardly_a_call_refused() {
    use Counts::{Fixed, Leaky, Sliding};
    let second = Duration::from_secs(1);
    let mut bad = Vec::new();
    for (counts, tells, limit, window, length, least, refusals) in [
        (Fixed, Tells::Window, 25, second, 60, 0.85, 0.005),
        (Sliding, Tells::Window, 25, second, 60, 0.85, 0.005),
        (Leaky, Tells::Window, 25, second, 60, 0.85, 0.005),
        (Leaky, Tells::Percent, 25, second, 60, 0.85, 0.005),
        (Fixed, Tells::WindowDown, 25, second, 60, 0.85, 0.005),
        (Sliding, Tells::WindowDown, 25, second, 60, 0.85, 0.005),
        (Fixed, Tells::Window, 100, second * 60, 600, 0.85, 0.005),
        (Fixed, Tells::WindowDown, 100, second * 60, 600, 0.85, 0.005),
        (Sliding, Tells::Window, 300, second * 60, 600, 0.8, 0.005),
        (Fixed, Tells::Window, 1000, second, 20, 0.25, 0.005),
        (Fixed, Tells::Percent, 25, second, 60, 0.8, 0.01),
        (Sliding, Tells::Percent, 25, second, 60, 0.8, 0.005),
        (Sliding, Tells::Percent, 200, second * 10, 200, 0.75, 0.005),
        (Sliding, Tells::Percent, 200, second * 3600, 3 * 3600, 0.55, 0.005),
        (Sliding, Tells::Percent, 5000, second * 3600, 5000, 0.7, 0.005),
        (Fixed, Tells::Nothing, 25, second, 60, 0.5, 0.07),
        (Sliding, Tells::Nothing, 25, second, 60, 0.5, 0.07),
        (Fixed, Tells::Pause, 25, second, 60, 0.5, 0.07),
    ] {
        for callers in [4, 16, 64] {
            let got = run(counts, tells, limit, window, callers, Duration::from_secs(length));
            let share = got.refused as f64 / got.calls as f64;
            let line = format!("{counts:?} {tells:?} {limit}/{window:?} {callers} callers: {got:?} refused {share:.4}");
            if got.used < least || share > refusals {
                bad.push(line);
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
