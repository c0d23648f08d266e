//! How fast one account's calls of one kind may go: all that the provider has said, as one state machine. Pure: the
//! moment comes in as an argument, and nothing here waits.
//!
//! Fed only by answers. No limit is configured: whoever raises a limit at the provider need change nothing here. What a
//! provider tells comes in three ways: calls left (`window`), percent used (`usage`), or no more than a refusal, after
//! which calls pause, then go slower and faster again step by step.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::usage::{Sent, Usage};
use super::window::{Told, Window};

/// A call that is not answered for so long is no longer taken for one that is about to be counted.
const FLIGHT: Duration = Duration::from_secs(2);
/// Before a provider has said anything, so many calls at a time, and two more after each answer.
const UNHEARD: u64 = 4;
/// After so many answers without a word of limits there is none to be told.
const SILENT: u64 = 16;
/// Sends that are remembered.
const LOG: usize = 6_000;
/// Whatever a provider asks for, after that it is asked again.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
/// Without another refusal the pace doubles in this time.
const DOUBLES: Duration = Duration::from_secs(30);
/// After so long without another a refusal is no reason to go slowly.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// What an answer said of the limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Said {
    /// Calls left.
    pub(crate) window: Option<Told>,
    /// Percent used.
    pub(crate) percent: Option<f64>,
    /// Nothing more for so long.
    pub(crate) pause: Option<Duration>,
    /// The call was refused because there were too many.
    pub(crate) refused: bool,
}

/// One bucket.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    flying: BTreeMap<u64, Instant>,
    log: VecDeque<Instant>,
    /// Calls made, and the number that the last one got.
    total: u64,
    last: u64,
    answers: u64,
    window: Option<Window>,
    usage: Option<Usage>,
    refusals: Refusals,
}

/// What refusals alone have taught.
#[derive(Debug, Default)]
struct Refusals {
    in_a_row: u32,
    last: Option<Instant>,
    pause_until: Option<Instant>,
    /// Calls a second.
    rate: Option<f64>,
    /// The rate after the last refusal: far above it, it counts no more.
    first_rate: f64,
}

impl Refusals {
    /// Calls a second, while a refusal still counts. Who makes few calls hears few answers, so time counts as well.
    fn rate(&self, now: Instant) -> Option<f64> {
        let since = now.saturating_duration_since(self.last?);
        let grown = 2f64.powf(since.div_duration_f64(DOUBLES));
        self.rate.filter(|_| since < FORGOTTEN).map(|rate| rate * grown)
    }

    /// Between two calls.
    fn gap(&self, now: Instant) -> Option<Duration> {
        self.rate(now).map(|rate| Duration::from_secs_f64(1.0 / rate))
    }
}

impl Bucket {
    /// When the next call may go; not after `now` if at once. May become earlier with the next answer.
    pub(crate) fn ready_at(&self, now: Instant) -> Instant {
        let flying = self.flying(now);
        let last = self.log.back().copied();
        let mut at = self.refusals.pause_until.unwrap_or(now).max(now);
        if let (Some(gap), Some(last)) = (self.refusals.gap(now), last) {
            at = at.max(last + gap);
        }
        if let Some(window) = &self.window {
            at = at.max(window.ready_at(now, flying));
        }
        if let Some(usage) = &self.usage {
            at = at.max(usage.ready_at(now, &self.sent(flying)));
        }
        let unheard = self.window.is_none() && self.usage.is_none() && self.answers < SILENT;
        if unheard && flying >= (UNHEARD + 2 * self.answers) as f64 {
            let oldest = self.flying.values().find(|at| now.saturating_duration_since(**at) < FLIGHT);
            at = at.max(oldest.map_or(now, |oldest| *oldest + FLIGHT));
        }
        at
    }

    /// Between two calls under load.
    pub(crate) fn interval(&self, now: Instant) -> Duration {
        let by_rate = self.refusals.gap(now);
        let by_window = self.window.as_ref().map(Window::interval);
        let by_usage = self.usage.as_ref().map(Usage::interval);
        [by_rate, by_window, by_usage].into_iter().flatten().max().unwrap_or_default()
    }

    /// A call goes; its number.
    pub(crate) fn send(&mut self, now: Instant) -> u64 {
        self.total += 1;
        self.last += 1;
        self.flying.insert(self.last, now);
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(now);
        if let Some(window) = &mut self.window {
            window.sent(now);
        }
        if let Some(usage) = &mut self.usage {
            usage.sent(now);
        }
        self.last
    }

    /// A call had its turn here and was not made after all.
    pub(crate) fn unsent(&mut self, call: u64) {
        let Some(at) = self.flying.remove(&call) else { return };
        if let Some(found) = self.log.iter().rposition(|sent| *sent == at) {
            self.log.remove(found);
        }
        self.total = self.total.saturating_sub(1);
        if let Some(window) = &mut self.window {
            window.unsent();
        }
        if let Some(usage) = &mut self.usage {
            usage.unsent();
        }
    }

    /// A call ended without an answer.
    pub(crate) fn lost(&mut self, call: u64) {
        self.flying.remove(&call);
    }

    /// A call was answered.
    pub(crate) fn answered(&mut self, call: u64, now: Instant, said: &Said) {
        let Some(sent_at) = self.flying.remove(&call) else { return };
        self.answers += 1;
        self.hear(sent_at, now, said);
        if said.refused {
            self.refused(sent_at, now, said.pause);
        } else if self.refusals.last.is_none_or(|last| sent_at > last) {
            self.refusals.in_a_row = 0;
            // Slowly upwards again, until the refusal is long gone.
            self.refusals.rate =
                self.refusals.rate.map(|rate| rate * 1.003).filter(|rate| *rate < self.refusals.first_rate * 10.0);
        }
    }

    /// Something was said of this limit, in an answer to a call of this or of another bucket.
    pub(crate) fn hear(&mut self, sent_at: Instant, now: Instant, said: &Said) {
        let flying = self.flying(now);
        if let Some(told) = said.window {
            match &mut self.window {
                Some(window) => window.hear(told, now),
                none => *none = Some(Window::new(told, now)),
            }
        }
        if let Some(percent) = said.percent {
            let sent = Sent { log: &self.log, total: self.total, flying };
            let usage = self.usage.get_or_insert_with(|| Usage::new(percent, sent_at));
            usage.hear(percent, said.refused, sent_at, now, &sent);
        }
        if let Some(pause) = said.pause {
            self.pause(now + pause.min(LONGEST));
        }
    }

    fn refused(&mut self, sent_at: Instant, now: Instant, asked: Option<Duration>) {
        // Those that were on their way at the same time are one refusal.
        if self.refusals.last.is_some_and(|last| sent_at <= last) {
            return;
        }
        let pause = asked.unwrap_or(Duration::from_millis(500) * 2u32.pow(self.refusals.in_a_row.min(7)));
        self.refusals.in_a_row += 1;
        self.refusals.last = Some(now);
        self.pause(now + pause.min(LONGEST));
        if self.window.is_none() && self.usage.is_none() {
            let rate = (self.refusals.rate(now).unwrap_or_else(|| self.measured(now)) * 0.7).max(0.01);
            (self.refusals.rate, self.refusals.first_rate) = (Some(rate), rate);
        }
    }

    fn pause(&mut self, until: Instant) {
        self.refusals.pause_until = Some(self.refusals.pause_until.map_or(until, |before| before.max(until)));
    }

    /// Calls a second, of late. Who makes few calls has not measured a limit: that would be his own pace.
    fn measured(&self, now: Instant) -> f64 {
        let recent = self.log.len().min(50);
        let span = self.log.get(self.log.len() - recent).map_or(1.0, |first| (now - *first).as_secs_f64());
        (recent as f64 / span.max(0.25)).max(1.0)
    }

    fn flying(&self, now: Instant) -> f64 {
        self.flying.values().filter(|at| now.saturating_duration_since(**at) < FLIGHT).count() as f64
    }

    fn sent(&self, flying: f64) -> Sent<'_> {
        Sent { log: &self.log, total: self.total, flying }
    }
}
