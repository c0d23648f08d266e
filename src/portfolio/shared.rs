//! A value that many lines read and one call fetches: the WABA's list, the account's recordings.
//!
//! Callers that ask at the same moment wait for one fetch. Whoever has just changed something at the provider forgets the
//! value first, so that it never plans on what was true before.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::domain::SharedClock;

/// One shared value.
pub struct Shared<T> {
    clock: SharedClock,
    value: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Shared<T> {
    /// Empty.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, value: Mutex::new(None) }
    }

    /// The value if it is younger than `max_age`, else what `fetch` brings.
    pub async fn get<E, F>(&self, max_age: Duration, fetch: impl FnOnce() -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut value = self.value.lock().await;
        if let Some((at, current)) = value.as_ref()
            && self.clock.monotonic().duration_since(*at) < max_age
        {
            return Ok(current.clone());
        }
        // The age counts from before the call: what the provider did meanwhile may be missing.
        let asked = self.clock.monotonic();
        let fresh = Arc::new(fetch().await?);
        *value = Some((asked, fresh.clone()));
        Ok(fresh)
    }

    /// What was fetched last, however old; None while nothing is there, or while it is being fetched.
    pub fn peek(&self) -> Option<Arc<T>> {
        self.value.try_lock().ok()?.as_ref().map(|(_, value)| value.clone())
    }

    /// The next reader fetches.
    pub async fn forget(&self) {
        *self.value.lock().await = None;
    }
}
