//! A limit told as "so many percent are used": Meta's usage headers. Pure.
//!
//! Neither the limit nor its window is told, so both are learned: what one call costs from how the percentage rises, the
//! window from how long ago the calls were made that the percentage still counts. Below 75 percent calls go as they
//! come; above, so that about 92 percent are used; what is on its way is always counted. Errors in the cost cancel out,
//! since the window is measured with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::bucket::LONGEST;

/// Meta: slow down above this.
const SLOW: f64 = 75.0;
/// Aimed at under load.
const TARGET: f64 = 92.0;
/// What one call is taken to cost before anything was learned.
const UNKNOWN: f64 = 5.0;
/// No call is sent that would take it above.
const MOST: f64 = 97.0;
/// While the window is not known: after so long it is asked again how much is used.
const FURTHEST: Duration = Duration::from_secs(300);
/// Below [`SLOW`] calls are not spread further apart than this.
const SHORT: Duration = Duration::from_secs(2);

/// What is known of the limit.
#[derive(Debug)]
pub(super) struct Usage {
    percent: f64,
    heard_at: Instant,
    /// Percent a call.
    cost: Option<f64>,
    /// Percentage and calls sent when nothing was on its way.
    quiet: Option<(f64, u64)>,
    /// When the percentage was last below half, or first told.
    low_at: Instant,
    /// The window times the cost: while the cost is only nearly known, this is known better than either.
    pace: Option<Duration>,
    /// Calls that may go at once: fills up evenly.
    level: f64,
    level_at: Instant,
}

/// What the bucket knows besides.
pub(super) struct Sent<'a> {
    /// When calls were sent, oldest first.
    pub(super) log: &'a VecDeque<Instant>,
    /// How many ever.
    pub(super) total: u64,
    /// How many of them are on their way.
    pub(super) flying: f64,
}

impl Usage {
    pub(super) fn new(percent: f64, now: Instant) -> Self {
        Self { percent, heard_at: now, cost: None, quiet: None, low_at: now, pace: None, level: 0.0, level_at: now }
    }

    /// An answer to a call that was sent at `sent_at`.
    pub(super) fn hear(&mut self, percent: f64, refused: bool, sent_at: Instant, now: Instant, sent: &Sent<'_>) {
        // Answers overtake each other: only one to a call that was sent after the last was heard is surely newer.
        let newer = sent_at >= self.heard_at;
        if newer || percent > self.percent {
            (self.percent, self.heard_at) = (percent, now);
        }
        if self.percent < 50.0 {
            self.low_at = now;
        }
        if refused {
            // What is refused is not counted, and teaches no cost.
            self.quiet = None;
            if newer {
                self.pace = self.pace.map(|pace| pace.mul_f64(1.3));
            }
        } else if sent.flying < 2.0 {
            self.learn_cost(sent);
            self.learn_window(now, sent);
        }
    }

    fn learn_cost(&mut self, sent: &Sent<'_>) {
        if sent.flying >= 1.0 {
            return;
        }
        let percent = self.percent;
        let Some((from, count)) = self.quiet.filter(|(from, _)| percent >= *from) else {
            self.quiet = Some((percent, sent.total));
            return;
        };
        let calls = sent.total.saturating_sub(count) as f64;
        let enough = if self.cost.is_some() { 20.0 } else { 8.0 };
        if percent - from >= enough && calls >= 2.0 {
            // Calls that left the window lower the rise: never so far at once.
            let seen = (percent - from) / calls;
            self.cost = Some(self.cost.map_or(seen, |cost| seen.clamp(cost * 0.7, cost * 1.5)));
            self.quiet = Some((percent, sent.total));
        }
    }

    /// Of the calls that the percentage counts the oldest is as old as the window, the one before it older.
    fn learn_window(&mut self, now: Instant, sent: &Sent<'_>) {
        let (Some(cost), log) = (self.cost, sent.log) else { return };
        let counted = (self.percent / cost).round() as usize + sent.flying as usize;
        if counted < 3 || self.percent < 30.0 {
            return;
        }
        let age =
            |back: usize| log.len().checked_sub(back).and_then(|i| log.get(i)).map(|at| (now - *at).mul_f64(cost));
        let Some(least) = age(counted) else { return };
        match (self.pace, age(counted + 1)) {
            (Some(pace), _) if pace < least => self.pace = Some(least),
            // A window that begins anew each time looks shorter at its start: slowly.
            (Some(pace), Some(most)) if pace > most => {
                let step = if pace > most.mul_f64(1.2) && self.percent >= 50.0 { 0.2 } else { 0.03 };
                self.pace = Some(most.max(pace.mul_f64(1.0 - step * (cost / 100.0).min(1.0))));
            }
            (None, Some(most)) if most < least * 2 && log.len() > counted + counted / 2 + 2 => self.pace = Some(most),
            _ => {}
        }
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.level = self.level(now) - 1.0;
        self.level_at = now;
    }

    /// A call that had its turn was not made.
    pub(super) fn unsent(&mut self) {
        self.level += 1.0;
    }

    fn level(&self, now: Instant) -> f64 {
        let (Some(pace), Some(cost)) = (self.pace, self.cost) else { return 0.0 };
        let gained = now.saturating_duration_since(self.level_at).as_secs_f64() / pace.as_secs_f64() * TARGET;
        (self.level + gained).min((20.0 / cost).max(1.0))
    }

    /// Between two calls under load.
    pub(super) fn interval(&self) -> Duration {
        self.pace.map(|pace| pace.div_f64(TARGET)).unwrap_or_default()
    }

    /// When the next call may go.
    pub(super) fn ready_at(&self, now: Instant, sent: &Sent<'_>) -> Instant {
        let cost = self.cost.unwrap_or(UNKNOWN);
        let coming = cost * (sent.flying + 1.0);
        let Some(window) = self.pace.map(|pace| pace.div_f64(cost).min(LONGEST)) else {
            let last = sent.log.back().copied().unwrap_or(now);
            let room = (TARGET - self.percent - coming) / cost;
            let at = last + careful(last.saturating_duration_since(self.low_at), room);
            return if self.percent + coming < SLOW { now } else { at };
        };
        let even = now + self.interval().mul_f64((1.0 - self.level(now)).max(0.0));
        // As far as our own calls have left the window meanwhile.
        let begin =
            |at: Instant| at.checked_sub(window).map_or(0, |begin| sent.log.partition_point(|sent| *sent <= begin));
        let (first, gone) = (begin(self.heard_at), begin(now));
        let told = if now.saturating_duration_since(self.heard_at) > window { 0.0 } else { self.percent };
        let used = (told - cost * gone.saturating_sub(first) as f64).max(0.0) + coming;
        if used < SLOW {
            // What was learned may be wrong, or others' doing: far from the limit it holds nobody up for long.
            return even.min(now + SHORT);
        }
        if used <= MOST {
            return even;
        }
        // Room comes when enough of ours have left the window.
        let needed = ((used - MOST) / cost).ceil().max(1.0) as usize;
        even.max(sent.log.get(gone + needed - 1).map_or(self.heard_at, |at| *at) + window)
    }
}

/// Nothing has left the window yet, so nobody knows how long it is: what room is left is made to last as long as it took
/// to come here, and then the gaps double, up to a bound: others may have used it, and may have stopped.
fn careful(took: Duration, room: f64) -> Duration {
    let gap = if room >= 1.0 { took.div_f64(room) } else { took.max(Duration::from_millis(250)) };
    gap.min(FURTHEST)
}
