//! SIGTERM and SIGINT end a program in order: what is in hand is finished, nothing new is begun.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first SIGTERM or SIGINT.
pub fn on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("signals can't be caught: this program can only be killed");
            return;
        };
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM: the program ends in order"),
            _ = interrupt.recv() => tracing::info!("SIGINT: the program ends in order"),
            () = stop.cancelled() => {}
        }
        stop.cancel();
    });
}
