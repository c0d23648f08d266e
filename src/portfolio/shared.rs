//! A value that many lines read and one call fetches: the WABA's list, the account's recordings.
//!
//! Callers that ask at the same moment wait for one fetch and share what it brings, its failure too: behind a provider
//! that hangs each would else wait for its own time-out in turn, and the last of fifty for half an hour. Whoever has just
//! changed something at the provider forgets the value, so that nobody plans on what was true before; that never waits.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::SharedClock;

/// One shared value.
pub struct Shared<T, E> {
    clock: SharedClock,
    /// Counts what was changed at the provider by this process.
    changes: AtomicU64,
    last: Mutex<Last<T, E>>,
    /// Held by the one who fetches.
    turn: tokio::sync::Mutex<()>,
}

/// What the last fetches came to.
struct Last<T, E> {
    value: Option<Value<T>>,
    /// When the last failure ended, if nothing was fetched since.
    failure: Option<(Instant, E)>,
}

struct Value<T> {
    asked: Instant,
    changes: u64,
    value: Arc<T>,
}

impl<T, E: Clone> Shared<T, E> {
    /// Empty.
    pub fn new(clock: SharedClock) -> Self {
        let last = Mutex::new(Last { value: None, failure: None });
        Self { clock, changes: AtomicU64::new(0), last, turn: tokio::sync::Mutex::new(()) }
    }

    /// The value if it was asked for less than `max_age` ago, or since this call began; else what `fetch` brings.
    pub async fn get<F>(&self, max_age: Duration, fetch: impl FnOnce() -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let entered = self.clock.monotonic();
        if let Some(value) = self.since(entered, max_age) {
            return Ok(value);
        }
        let _turn = self.turn.lock().await;
        if let Some(value) = self.since(entered, max_age) {
            return Ok(value);
        }
        if let Some((ended, error)) = &self.last().failure
            && *ended >= entered
        {
            return Err(error.clone());
        }
        // The age counts from before the call: what the provider did meanwhile may be missing.
        let (asked, changes) = (self.clock.monotonic(), self.changes.load(Ordering::SeqCst));
        let fetched = fetch().await;
        let mut last = self.last();
        match fetched {
            Ok(value) => {
                let value = Arc::new(value);
                *last = Last { value: Some(Value { asked, changes, value: value.clone() }), failure: None };
                Ok(value)
            }
            Err(error) => {
                last.failure = Some((self.clock.monotonic(), error.clone()));
                Err(error)
            }
        }
    }

    /// Whether the last fetch failed less than `age` ago.
    pub fn failed_within(&self, age: Duration) -> bool {
        self.last().failure.as_ref().is_some_and(|(ended, _)| self.clock.monotonic().duration_since(*ended) < age)
    }

    /// What was fetched last, however old.
    pub fn peek(&self) -> Option<Arc<T>> {
        self.last().value.as_ref().map(|last| last.value.clone())
    }

    /// The next reader fetches; what is being fetched at this moment does not count for it.
    pub fn forget(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn since(&self, entered: Instant, max_age: Duration) -> Option<Arc<T>> {
        let last = self.last();
        let last = last.value.as_ref().filter(|last| last.changes == self.changes.load(Ordering::SeqCst))?;
        let young = last.asked >= entered || entered.duration_since(last.asked) < max_age;
        young.then(|| last.value.clone())
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last<T, E>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SystemClock;
    use std::sync::atomic::AtomicUsize;

    fn shared() -> Arc<Shared<usize, &'static str>> {
        Arc::new(Shared::new(Arc::new(SystemClock)))
    }

    /// Fifty callers come while one fetch runs: it fails for all of them, and none fetches again.
    #[tokio::test(start_paused = true)]
    async fn those_who_wait_share_the_failure() {
        let (shared, fetches) = (shared(), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..50)
            .map(|_| {
                let (shared, fetches) = (shared.clone(), fetches.clone());
                tokio::spawn(async move {
                    let fetch = || async {
                        fetches.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_secs(30)).await;
                        Err("hung")
                    };
                    shared.get(Duration::from_secs(60), fetch).await
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Err("hung"));
        }
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        assert_eq!(*shared.get(Duration::ZERO, || async { Ok(7) }).await.unwrap(), 7, "a failure is not kept");
    }

    #[tokio::test]
    async fn a_change_during_a_fetch_is_not_missed() {
        let shared = shared();
        let day = Duration::from_secs(86_400);
        let first = shared.get(day, || async {
            shared.forget();
            Ok(1)
        });
        assert_eq!(*first.await.unwrap(), 1);
        assert_eq!(*shared.get(day, || async { Ok(2) }).await.unwrap(), 2, "asked before the change");
        assert_eq!(*shared.get(day, || async { Ok(3) }).await.unwrap(), 2);
        assert_eq!(*shared.get(Duration::ZERO, || async { Ok(4) }).await.unwrap(), 4);
        assert_eq!(shared.peek().as_deref(), Some(&4));
    }
}
