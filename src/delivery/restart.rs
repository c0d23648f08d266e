//! A reader that panics is started again and said: without it tokens that were revoked would live on, or a company's
//! sockets stay connected and silent, and nobody would know.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::CompanyId;

/// Before it is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a reader until it has nothing more to read, or until `ended`. `company`: whose, for one that is a single company's.
pub(super) async fn after_panics<F>(
    reader: &'static str,
    company: Option<&CompanyId>,
    read: impl Fn() -> F,
    ended: CancellationToken,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut task = tokio::spawn(read());
        tokio::select! {
            biased;
            () = ended.cancelled() => return task.abort(),
            done = &mut task => match done {
                Ok(()) => return,
                Err(_) => {
                    let company = company.map(tracing::field::display);
                    tracing::error!(reader, company, "a reader of the delivery panicked, it is started again");
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
