//! Waiting for a bucket: first come, first served, effects before reads. Who gives up while waiting leaves no trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::bucket::{Bucket, Said};

/// One bucket and those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bucket: Bucket,
    /// By rank and order of coming; the first is woken.
    waiting: BTreeMap<Place, Arc<Notify>>,
    came: u64,
}

/// Effects before reads, then by order of coming.
type Place = (u8, u64);

impl Gate {
    /// Waits for a turn, at most until `until`. The error says how long it would have taken from now on.
    pub(super) async fn enter(self: &Arc<Self>, first: bool, until: Instant) -> Result<Permit, Duration> {
        let (ticket, woken) = self.queue(first);
        loop {
            let ready = match self.turn(&ticket, until)? {
                Turn::Go(permit) => return Ok(permit),
                Turn::Wait(ready) => ready,
            };
            let wake = ready.map_or(until, |ready| ready.min(until));
            tokio::select! {
                () = tokio::time::sleep_until(wake.into()) => {}
                () = woken.notified() => {}
            }
        }
    }

    /// Something was said of this limit in an answer to another bucket's call.
    pub(super) fn hear(&self, said: &Said) {
        let mut state = self.state();
        let now = now();
        state.bucket.hear(now, now, said);
        state.wake();
    }

    fn queue(self: &Arc<Self>, first: bool) -> (Ticket, Arc<Notify>) {
        let mut state = self.state();
        state.came += 1;
        let place = (u8::from(!first), state.came);
        let woken = Arc::new(Notify::new());
        state.waiting.insert(place, woken.clone());
        (Ticket { gate: self.clone(), place }, woken)
    }

    fn turn(self: &Arc<Self>, ticket: &Ticket, until: Instant) -> Result<Turn, Duration> {
        let now = now();
        let mut state = self.state();
        let ahead = state.waiting.range(..ticket.place).count();
        let ready = state.bucket.ready_at(now);
        if ahead == 0 && ready <= now {
            state.waiting.remove(&ticket.place);
            let call = state.bucket.send(now);
            state.wake();
            return Ok(Turn::Go(Permit { gate: self.clone(), call: Some(call) }));
        }
        let expected = ready.max(now) + state.bucket.interval(now) * u32::try_from(ahead).unwrap_or(u32::MAX);
        if expected > until {
            return Err(expected - now);
        }
        Ok(Turn::Wait((ahead == 0).then_some(ready)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first in the queue looks again.
    fn wake(&self) {
        if let Some((_, first)) = self.waiting.first_key_value() {
            first.notify_one();
        }
    }
}

enum Turn {
    Go(Permit),
    /// When it may be one's turn; None: others come first.
    Wait(Option<Instant>),
}

/// A place in the queue.
struct Ticket {
    gate: Arc<Gate>,
    place: Place,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if state.waiting.remove(&self.place).is_some() {
            state.wake();
        }
    }
}

/// The right to make one call; a call that ends without an answer drops it.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Arc<Gate>,
    call: Option<u64>,
}

impl Permit {
    /// The call is not made: it had no turn elsewhere.
    pub(super) fn unsent(mut self) {
        if let Some(call) = self.call.take() {
            let mut state = self.gate.state();
            state.bucket.unsent(call);
            state.wake();
        }
    }

    /// The call was answered.
    pub(super) fn answered(mut self, said: &Said) {
        if let Some(call) = self.call.take() {
            let mut state = self.gate.state();
            state.bucket.answered(call, now(), said);
            state.wake();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let mut state = self.gate.state();
            state.bucket.lost(call);
            state.wake();
        }
    }
}

/// The monotonic clock, as the runtime's timers see it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
