//! A background task that panics is started again and said: without it tokens that were revoked would live on, a company's
//! sockets stay connected and silent, or what waits in quarantine wait for ever, and nobody would know.
//!
//! Must never let a panic end what it runs beside, above all the webhook.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::domain::CompanyId;

/// Before it is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a task until it has nothing more to do, or until `ended`. `company`: whose, for one that is a single company's.
pub(crate) async fn after_panics<F>(
    task: &'static str,
    company: Option<&CompanyId>,
    start: impl Fn() -> F,
    ended: CancellationToken,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let running = AbortOnDropHandle::new(tokio::spawn(start()));
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            done = running => match done {
                Ok(()) => return,
                Err(_) => {
                    let company = company.map(tracing::field::display);
                    tracing::error!(task, company, "a background task panicked, it is started again");
                }
            },
        }
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn until_it_is_done_or_nobody_needs_it() {
        for stopped in [false, true] {
            let (starts, ended) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
            let (count, stop) = (starts.clone(), ended.clone());
            let read = move || {
                let start = count.fetch_add(1, Ordering::Relaxed);
                let stop = stop.clone();
                async move {
                    assert!(start == 2, "planted");
                    if stopped {
                        stop.cancel();
                        std::future::pending::<()>().await;
                    }
                }
            };
            after_panics("a test", None, read, ended).await;
            assert_eq!(starts.load(Ordering::Relaxed), 3, "stopped: {stopped}");
        }
    }
}
