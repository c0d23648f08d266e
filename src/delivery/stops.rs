//! Where a device stopped, written as it moves.
//!
//! The client's own cursor is what counts; this one is for clients that come without. Must never move a stop back, nor be
//! the reason that an ack waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::session::Session;
use super::tail::Status;
use crate::store::{Cursor, bounded};

/// A device's stop is written at most this often, and at the end.
const CURSOR_PAUSE: Duration = Duration::from_secs(1);
/// Writing it may take so long.
const CURSOR_LIMIT: Duration = Duration::from_secs(5);

/// Writes the device's stop as it moves, and where it stood at the end. Of a device that was never here the start is written
/// at once: what comes after it is the device's, also if it goes before it has acked anything.
pub(super) async fn keep(session: Arc<Session>, mut stop: watch::Receiver<Cursor>) {
    let recruiter = session.token.borrow().recruiter.clone();
    let (mut written, mut over) = ((!session.fresh).then(|| session.start.clone()), false);
    if session.fresh {
        let mut status = session.tail.status();
        tokio::select! {
            _ = status.wait_for(|status| matches!(status, Status::Live(_))) => {}
            // Gone: what it has acked meanwhile is written below.
            () = session.cut.token.cancelled() => {}
        }
    }
    while !over {
        if written.is_some() {
            over = stop.changed().await.is_err();
        } else {
            over = stop.has_changed().is_err();
        }
        if written.as_ref() == Some(&*stop.borrow_and_update()) {
            continue;
        }
        if let Some(db) = session.tail.database() {
            // After a message that all recruiters of a company got, all their stops move at once: they wait for each other,
            // and what they came to meanwhile is written with them.
            let turn = session.tail.stop_turn().await;
            let cursor = stop.borrow_and_update().clone();
            let (now, recruiter, device) = (session.hub.clock.now(), recruiter.clone(), session.device.clone());
            let stands = cursor.clone();
            let write = async move { db.cursors().advance(&recruiter, &device, &cursor, now).await };
            match bounded(Instant::now() + CURSOR_LIMIT, write).await {
                Ok(_) => written = Some(stands),
                Err(error) => tracing::debug!(%error, "a device's stop could not be written, the next one will be"),
            }
            drop(turn);
        }
        if !over {
            tokio::time::sleep(CURSOR_PAUSE).await;
        }
    }
}
