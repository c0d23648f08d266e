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

/// How long the next call waits after `said` was heard, and after a right answer to that one.
fn after(bucket: &mut Bucket, now: &mut Instant, said: &Said) -> Duration {
    let call = bucket.send(*now);
    bucket.answered(call, *now, said);
    let ready = bucket.ready_at(*now);
    let wait = ready.saturating_duration_since(*now);
    *now = ready.max(*now);
    wait
}

/// What was told wrongly once, by a provider or by something on the way, holds calls back for a bounded time, and no
/// longer once a right answer comes.
#[test]
fn nothing_that_was_told_slows_calls_for_ever() {
    let window = |limit: f64, remaining: f64, seconds: u64| Said {
        window: Some(Told { limit, remaining, reset: Duration::from_secs(seconds) }),
        ..Said::default()
    };
    let percent = |percent| Said { percent: Some(percent), ..Said::default() };
    let pause = |seconds| Said { pause: Some(Duration::from_secs(seconds)), refused: true, ..Said::default() };
    let hour = Duration::from_secs(3600);
    let mut bad = Vec::new();
    for (right, wrong, most) in [
        (window(25.0, 24.0, 1), window(25.0, 24.0, 3600), Duration::from_secs(10)),
        (window(25.0, 24.0, 1), window(25.0, 0.0, 3600), hour * 2),
        (window(25.0, 24.0, 1), window(1.0, 1.0, 3600), Duration::from_secs(10)),
        (window(25.0, 24.0, 1), window(1e300, 0.0, 0), Duration::from_secs(2)),
        (percent(2.0), percent(1000.0), hour),
        (percent(2.0), percent(10_000.0), hour),
        (percent(2.0), pause(u64::MAX / 2), hour * 2),
        (Said::default(), pause(u64::MAX / 2), hour * 2),
        (Said::default(), Said { refused: true, ..Said::default() }, Duration::from_secs(2)),
    ] {
        // Slow for a long time before it: nothing that was measured then may count as a limit.
        let mut now = Instant::now();
        let mut bucket = Bucket::default();
        for _ in 0..60 {
            let wait = after(&mut bucket, &mut now, &right);
            assert!(wait < Duration::from_millis(100), "{right:?}: {wait:?}");
            now += Duration::from_secs(300);
        }
        let wait = after(&mut bucket, &mut now, &wrong);
        for _ in 0..3 {
            after(&mut bucket, &mut now, &right);
        }
        let later = after(&mut bucket, &mut now, &right);
        if wait > most || later > Duration::from_secs(2) {
            bad.push(format!("{wrong:?} holds calls back for {wait:?}, and after right answers for {later:?}"));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Somebody else uses up most of an app's limit for hours, then stops.
#[test]
fn what_others_use_is_no_cost_of_ours_for_ever() {
    let mut now = Instant::now();
    let mut bucket = Bucket::default();
    let said = |percent| Said { percent: Some(percent), ..Said::default() };
    let mut longest = Duration::ZERO;
    for round in 0..200_u32 {
        longest = longest.max(after(&mut bucket, &mut now, &said(f64::from(40 + round * 7 % 56))));
        now += Duration::from_secs(300);
    }
    assert!(longest <= Duration::from_secs(3600), "{longest:?}");
    now += Duration::from_secs(3600);
    let mut waited = Duration::ZERO;
    for _ in 0..20 {
        waited += after(&mut bucket, &mut now, &said(3.0));
    }
    assert!(waited <= Duration::from_secs(60), "twenty calls wait {waited:?} while 3 percent are used");
}

/// A call that had its turn in one bucket and none in the next was not made: it is no call of the first.
#[test]
fn a_call_that_was_not_sent_is_not_counted() {
    let now = Instant::now();
    let mut bucket = Bucket::default();
    let told =
        Said { window: Some(Told { limit: 25.0, remaining: 24.0, reset: Duration::from_secs(60) }), ..Said::default() };
    after(&mut bucket, &mut now.clone(), &told);
    let later = now + Duration::from_secs(60);
    let before = bucket.ready_at(later);
    for _ in 0..100 {
        let call = bucket.send(later);
        bucket.unsent(call);
    }
    assert_eq!(bucket.ready_at(later), before);
}

/// A gateway that refuses a call now and then, without a word of a limit, must not leave an account crawling: who makes
/// few calls hears few answers, so it is time that ends the slowness.
#[test]
fn refusals_without_a_limit_are_outlived() {
    let (mut bucket, mut now) = (Bucket::default(), Instant::now());
    let refusal = Said { refused: true, ..Said::default() };
    for _ in 0..10 {
        after(&mut bucket, &mut now, &refusal);
        after(&mut bucket, &mut now, &Said::default());
    }
    assert!(bucket.interval(now) > Duration::from_secs(1), "{:?}", bucket.interval(now));
    now += Duration::from_secs(300);
    assert!(bucket.interval(now) < Duration::from_millis(100), "{:?}", bucket.interval(now));
}
