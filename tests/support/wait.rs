//! The one way to wait in tests: look again and again until a deadline.
//!
//! What fails says what was waited for and the last thing seen, so that a red test explains itself. A look may also
//! say that waiting is pointless (`Seen::Never`), for example because the program has ended.
//! Must never wait without a deadline, and a single look must not outlive it either.

use anyhow::{Result, anyhow};
use std::fmt::Display;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// What one look saw.
pub enum Seen<T> {
    /// It is there.
    Done(T),
    /// Not yet; the text says what was there instead.
    NotYet(String),
    /// It will never be there; the text says why.
    Never(String),
}

impl<T, E: Display> From<Result<T, E>> for Seen<T> {
    fn from(look: Result<T, E>) -> Self {
        match look {
            Ok(value) => Seen::Done(value),
            Err(seen) => Seen::NotYet(format!("{seen:#}")),
        }
    }
}

/// Done when `condition` holds; else `seen` is what the failure will quote.
pub fn seen(condition: bool, seen: impl Display) -> Seen<()> {
    if condition { Seen::Done(()) } else { Seen::NotYet(seen.to_string()) }
}

/// Looks until it is there, every 30 ms, at most for `deadline`. A look returns a [`Seen`] or a `Result` whose error
/// means "not yet".
pub async fn until<T, R: Into<Seen<T>>>(deadline: Duration, what: &str, mut look: impl AsyncFnMut() -> R) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut last = "nothing, the first look did not come back".to_owned();
    loop {
        match timeout_at(end, look()).await.map(Into::into) {
            Ok(Seen::Done(value)) => return Ok(value),
            Ok(Seen::Never(why)) => return Err(anyhow!("waited for {what}, which can no longer come: {why}")),
            Ok(Seen::NotYet(seen)) => last = seen,
            Err(_) => return Err(anyhow!("waited {deadline:?} for {what}; last seen: {last}; the last look hung")),
        }
        if Instant::now() >= end {
            return Err(anyhow!("waited {deadline:?} for {what}; last seen: {last}"));
        }
        sleep(Duration::from_millis(30)).await;
    }
}
