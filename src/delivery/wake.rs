//! News for the whole replica: which log grew, which keys sign tokens, which of them were revoked, which devices connected
//! elsewhere.
//!
//! ONE change stream over all logs, projected to namespace and `_id`; when it breaks, or where there is none, the tails
//! are told so and poll. Revocations and sessions have a change stream each beside a poll, so that either alone is
//! enough. Must never carry content: what was written is read from the log by its company's tail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::hub::Hub;
use crate::store::revocations::Active;
use crate::telemetry::Part;

/// Pauses between tries to open a change stream.
const REOPEN: Duration = Duration::from_secs(2);
/// Claims are looked for this far back, for clocks that differ between replicas.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Follows the change stream over all logs for as long as the process lives. `alive` says whether it does.
pub(super) async fn logs(hub: Arc<Hub>, alive: watch::Sender<bool>) {
    let mut opened = 0u32;
    loop {
        match hub.store.watch_logs().await {
            Ok(mut watch) => {
                if opened > 0 {
                    hub.metrics.news_resumes.inc();
                }
                opened = opened.saturating_add(1);
                // Opened: whatever was written before is found by the look that this flag triggers.
                alive.send_replace(true);
                hub.metrics.log_stream.set(1);
                let error = loop {
                    match watch.next().await {
                        Ok(Some(news)) => hub.log_grew(&news),
                        Ok(None) => {}
                        Err(error) => break error,
                    }
                };
                tracing::warn!(%error, "the change stream over the logs broke: logs are polled until it is back");
            }
            Err(error) if opened == 0 || *alive.borrow() => {
                tracing::warn!(%error, "there is no change stream over the logs: they are polled");
            }
            Err(_) => {}
        }
        alive.send_replace(false);
        hub.metrics.log_stream.set(0);
        tokio::time::sleep(REOPEN).await;
    }
}

/// Fetches the key set until there is one, and then as it grows old, so that no handshake waits for it. Without one nobody
/// is let in, which is told to whoever comes; the replica is ready all the same, since Meta's messages need no keys.
pub(super) async fn keys(hub: Arc<Hub>) {
    loop {
        hub.keys().refresh(false).await;
        tokio::time::sleep(hub.settings.control_poll).await;
    }
}

/// Keeps the list of revocations fresh: by change stream for speed and by poll for certainty.
pub(super) async fn revocations(hub: Arc<Hub>, part: Part) {
    let loads = Loads { part, failing: AtomicBool::new(false), unreadable: AtomicUsize::new(0) };
    let follow = async {
        loop {
            if let Ok(mut stream) = hub.store.revocations().watch().await {
                loads.load(&hub).await;
                loop {
                    match stream.next().await {
                        Ok(Some(_)) => loads.load(&hub).await,
                        Ok(None) => {}
                        Err(_) => break,
                    }
                }
            }
            tokio::time::sleep(REOPEN).await;
        }
    };
    let poll = async {
        loop {
            loads.load(&hub).await;
            tokio::time::sleep(hub.settings.control_poll).await;
        }
    };
    tokio::join!(follow, poll);
}

/// Loads of the revocations. Each bad thing is said once, not with every poll.
struct Loads {
    part: Part,
    failing: AtomicBool,
    unreadable: AtomicUsize,
}

impl Loads {
    async fn load(&self, hub: &Hub) {
        match hub.store.revocations().active(hub.clock.now()).await {
            Ok(Active { revocations, unreadable }) => {
                hub.set_revocations(revocations);
                self.part.ready();
                self.failing.store(false, Ordering::Relaxed);
                if self.unreadable.swap(unreadable, Ordering::Relaxed) < unreadable {
                    tracing::error!(
                        unreadable,
                        "revocations can't be read and have no effect: were they written by hand? use `clientnumber revoke`"
                    );
                }
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the revocations could not be read: new ones have no effect until they are");
                }
            }
        }
    }
}

/// Learns of devices that connected elsewhere, in the same two ways.
pub(super) async fn sessions(hub: Arc<Hub>) {
    let follow = async {
        loop {
            if let Ok(mut stream) = hub.store.presence().watch().await {
                loop {
                    match stream.next().await {
                        Ok(Some(claim)) => hub.presence.claimed(&claim),
                        Ok(None) => {}
                        Err(_) => break,
                    }
                }
            }
            tokio::time::sleep(REOPEN).await;
        }
    };
    let poll = async {
        loop {
            if !hub.presence.is_empty() {
                // A store that is away takes no claims either: nothing is missed by not looking.
                let since = hub.clock.now().checked_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
                let claims = hub.store.presence().since(since).await.unwrap_or_default();
                claims.iter().for_each(|claim| hub.presence.claimed(claim));
            }
            tokio::time::sleep(hub.settings.control_poll).await;
        }
    };
    tokio::join!(follow, poll);
}
