//! What the API server is asked once, before work begins: a controller that starts while it is away waits for it, not
//! ready, and does not end with advice about rights that it may well have. Must never repeat what was answered with no.

use std::fmt::Display;

use tokio_util::sync::CancellationToken;

use super::reconnect;

/// Whether an error is an answer that stays the same, not an API server that is away, starts, or is asked too often.
pub fn is_answer(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500 && status.code != 429)
}

/// Asks until there is an answer. None: the program ends before there is one.
pub async fn answered<T, E: Display>(
    what: &'static str,
    stop: &CancellationToken,
    ask: impl AsyncFn() -> Result<T, E>,
    is_answer: impl Fn(&E) -> bool,
) -> Result<Option<T>, E> {
    let asking = async {
        for gap in reconnect::gaps() {
            match ask().await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) if is_answer(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(what, error = %error, "the API server can't be asked; asked again by itself, work begins when it answers");
                    tokio::time::sleep(gap).await;
                }
            }
        }
        Ok(None)
    };
    tokio::select! {
        () = stop.cancelled() => Ok(None),
        answer = asking => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn refused(code: u16) -> kube::Error {
        let status = kube::core::Status { code, ..kube::core::Status::default() };
        kube::Error::Api(Box::new(status))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_is_asked_again_and_a_no_is_not() {
        let stop = CancellationToken::new();
        let asked = AtomicU32::new(0);
        let back = answered(
            "x",
            &stop,
            async || match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Err(kube::Error::LinesCodecMaxLineLengthExceeded),
                1 => Err(refused(503)),
                _ => Ok(7),
            },
            is_answer,
        );
        assert!(matches!(back.await, Ok(Some(7))));
        let asked = AtomicU32::new(0);
        let no = answered(
            "x",
            &stop,
            async || {
                asked.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(refused(403))
            },
            is_answer,
        );
        assert!(no.await.is_err() && asked.load(Ordering::Relaxed) == 1);
        stop.cancel();
        assert!(matches!(answered("x", &stop, async || Err::<(), _>(refused(503)), is_answer).await, Ok(None)));
    }
}
