//! Counting, holding and cutting, the same for both proxies: a trap waits for the nth request that its rule matches.
//!
//! A proxy asks [`Traps::triggered`] once per request and then passes both points: before the request reaches the
//! server, and after its effect but before the answer reaches the client. At its point a trap does nothing (count),
//! stops the request until the test lets it go (hold), or closes the connection (cut).
//! Must never lose a count: it is taken before anything can stop.

use super::wait::{self, Seen};
use anyhow::{Result, anyhow};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Where a trap stops a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// The server has not seen it.
    BeforeEffect,
    /// The server has done it and answered; the client does not know.
    AfterEffect,
}

/// Whether a request goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// The connection to the client is closed.
    Cut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Count,
    Hold,
    Cut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    There,
    Released,
    Cut,
}

/// Which of the matching requests a trap is for.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Nth(usize),
    Each,
}

type Matches<R> = Box<dyn Fn(&R) -> bool + Send + Sync>;

pub(super) struct Trap<R> {
    what: String,
    matches: Matches<R>,
    which: Which,
    point: Point,
    action: Action,
    count: AtomicUsize,
    first: Mutex<Option<R>>,
    state: watch::Sender<State>,
}

/// All traps of one proxy.
pub(super) struct Traps<R>(Mutex<Vec<Arc<Trap<R>>>>);

impl<R: Clone> Traps<R> {
    pub(super) fn new() -> Self {
        Traps(Mutex::new(Vec::new()))
    }

    fn add(&self, what: String, matches: Matches<R>, which: Which, point: Point, action: Action) -> Hit<R> {
        let trap = Arc::new(Trap {
            what,
            matches,
            which,
            point,
            action,
            count: AtomicUsize::new(0),
            first: Mutex::new(None),
            state: watch::Sender::new(State::Waiting),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(trap.clone());
        Hit(trap)
    }

    pub(super) fn count(&self, what: String, matches: Matches<R>) -> Hit<R> {
        self.add(what, matches, Which::Each, Point::BeforeEffect, Action::Count)
    }

    pub(super) fn hold(&self, what: String, matches: Matches<R>, which: Which, point: Point) -> Hit<R> {
        self.add(what, matches, which, point, Action::Hold)
    }

    pub(super) fn cut(&self, what: String, matches: Matches<R>, which: Which, point: Point) -> Hit<R> {
        self.add(what, matches, which, point, Action::Cut)
    }

    /// Forgets all traps; what is held goes on.
    pub(super) fn clear(&self) {
        for trap in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            trap.state.send_replace(State::Released);
        }
    }

    /// Counts the request in each trap that matches it, and returns the traps that it has to pass.
    pub(super) fn triggered(&self, request: &R) -> Vec<Arc<Trap<R>>> {
        let traps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut triggered = Vec::new();
        for trap in traps.iter().filter(|trap| (trap.matches)(request)) {
            let number = trap.count.fetch_add(1, Ordering::SeqCst) + 1;
            let wanted = match trap.which {
                Which::Nth(nth) => number == nth,
                Which::Each => true,
            };
            if wanted {
                trap.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| request.clone());
                triggered.push(trap.clone());
            }
        }
        triggered
    }
}

/// Passes one point of a request: returns when it may go on or has to be cut.
pub(super) async fn pass<R>(triggered: &[Arc<Trap<R>>], point: Point) -> Verdict {
    for trap in triggered.iter().filter(|trap| trap.point == point) {
        match trap.action {
            Action::Count => {
                trap.state.send_replace(State::There);
            }
            Action::Cut => {
                trap.state.send_replace(State::Cut);
                return Verdict::Cut;
            }
            Action::Hold => {
                let mut state = trap.state.subscribe();
                // A trap for each request stays open or cut once the test has decided.
                trap.state.send_if_modified(|state| {
                    let first = *state == State::Waiting;
                    if first {
                        *state = State::There;
                    }
                    first
                });
                let decided = state.wait_for(|state| matches!(state, State::Released | State::Cut)).await;
                // The sender lives in the trap that we hold, so this cannot fail.
                if decided.is_ok_and(|state| *state == State::Cut) {
                    return Verdict::Cut;
                }
            }
        }
    }
    Verdict::Pass
}

/// The test's side of a trap. Dropping it changes nothing: what is held stays held until the proxy ends.
pub struct Hit<R>(Arc<Trap<R>>);

impl<R: Clone> Hit<R> {
    /// Waits until a request is at the trap (held there, or cut by it); that request.
    pub async fn wait(&self, deadline: Duration) -> Result<R> {
        wait::until(deadline, &self.0.what, async || {
            let state = *self.0.state.borrow();
            if state == State::Waiting {
                return Seen::NotYet(format!("{} requests matched so far", self.count()));
            }
            match self.request() {
                Some(request) => Seen::Done(request),
                None => Seen::Never("it was released before a request came".to_owned()),
            }
        })
        .await
    }

    /// The first request that this trap was for, as soon as it has come.
    pub fn request(&self) -> Option<R> {
        self.0.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests matched the rule so far.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Has a request reached the trap?
    pub fn is_there(&self) -> bool {
        *self.0.state.borrow() != State::Waiting && self.request().is_some()
    }

    /// Lets what is held, or will be, go on.
    pub fn release(&self) {
        self.0.state.send_replace(State::Released);
    }

    /// Closes the connection of what is held, or will be.
    pub fn cut(&self) {
        self.0.state.send_replace(State::Cut);
    }

    /// An error that says that this trap has not been reached; for assertions.
    pub fn assert_there(&self) -> Result<()> {
        if self.is_there() { Ok(()) } else { Err(anyhow!("{} has not come", self.0.what)) }
    }
}
