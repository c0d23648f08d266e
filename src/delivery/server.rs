//! Puts the parts together: Socket.IO on the default namespace, the background readers, the drain at the end.

use std::sync::Arc;
use std::time::Duration;

use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::{ParserConfig, SocketIo, TransportType};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::door::{Cut, Door, PATH};
use super::hub::{Handshake, Hub};
use super::keys::Keys;
use super::lines::Lines;
use super::metrics::Metrics;
use super::refusal::Refusal;
use super::session::Session;
use super::settings::Settings;
use super::{events, wake};
use crate::domain::{CompanyId, SharedClock};
use crate::store::{Seq, Store};

/// The largest message and frame that a client may send.
const MAX_CLIENT_MESSAGE: usize = 64 * 1024;

/// Packets that wait for a client that reads slowly or not at all: a page and its repeats, an answer, and the small ones
/// of the protocol. What is more is not sent; pages and lines are said again. A packet may have a megabyte.
const MAX_WAITING: usize = 16;

/// The running delivery of a replica.
pub struct Delivery {
    hub: Arc<Hub>,
    door: Door,
    _stop: DropGuard,
}

/// Handed from the middleware to the handler.
#[derive(Clone)]
struct Seated(Arc<Session>);

impl Delivery {
    /// Starts the background readers. They end when the value is dropped.
    pub fn start(
        store: Store,
        keys: Keys,
        lines: Arc<dyn Lines>,
        settings: Settings,
        metrics: Metrics,
        clock: SharedClock,
    ) -> Self {
        let (alive, news) = watch::channel(false);
        let hub = Arc::new(Hub::new(store, keys, lines, settings, metrics, clock, news));
        let stop = CancellationToken::new();
        let (background, ended) = (hub.clone(), stop.clone());
        for reader in [Reader::Logs, Reader::Revocations, Reader::Sessions] {
            let (hub, alive) = (background.clone(), alive.clone());
            let read = move || {
                let (hub, alive) = (hub.clone(), alive.clone());
                async move {
                    match reader {
                        Reader::Logs => wake::logs(hub, alive).await,
                        Reader::Revocations => wake::revocations(hub).await,
                        Reader::Sessions => wake::sessions(hub).await,
                    }
                }
            };
            tokio::spawn(always(reader, read, ended.clone()));
        }
        let door = door(&hub);
        Self { hub, door, _stop: stop.drop_guard() }
    }

    /// The HTTP side of the socket port.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// This replica appended to a company's log: its sockets need not wait for the change stream.
    pub fn appended(&self, company: &CompanyId, seq: Seq) {
        self.hub.appended(company, seq);
    }

    /// Tells everybody `goodbye draining`, lets nobody in any more, and waits until all are gone, at most `limit`.
    pub async fn drain(&self, limit: Duration) {
        self.hub.drain();
        let gone = async {
            while self.hub.metrics.sockets.get() > 0 || self.door.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(limit, gone).await.is_err() {
            tracing::warn!(connections = self.door.connections(), "some clients did not leave in time and are cut");
        }
    }
}

/// What reads for the whole replica.
#[derive(Debug, Clone, Copy)]
enum Reader {
    Logs,
    Revocations,
    Sessions,
}

/// Runs a reader until `ended`. One that panics is started again and said: without it revoked tokens would live on, and
/// nobody would know.
async fn always<F>(reader: Reader, read: impl Fn() -> F, ended: CancellationToken)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut task = tokio::spawn(read());
        tokio::select! {
            biased;
            () = ended.cancelled() => return task.abort(),
            _ = &mut task => tracing::error!(?reader, "a reader of the delivery ended by itself, it is started again"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn door(hub: &Arc<Hub>) -> Door {
    let settings = &hub.settings;
    let parser = ParserConfig::common().max_incoming_binaries(8).max_incoming_binary_buf_size(MAX_CLIENT_MESSAGE);
    let (sockets, io) = SocketIo::builder()
        .req_path(PATH)
        .transports([TransportType::Websocket])
        .ws_max_message_size(MAX_CLIENT_MESSAGE)
        .ws_max_frame_size(MAX_CLIENT_MESSAGE)
        .max_payload(MAX_CLIENT_MESSAGE as u64)
        .max_buffer_size(MAX_WAITING)
        .connect_timeout(settings.connect_timeout)
        .ack_timeout(settings.ack_timeout)
        .with_parser(parser)
        .build_with_inner_svc(());
    let at_the_door = hub.clone();
    let middleware = async move |socket: SocketRef, TryData(handshake): TryData<Handshake>| {
        let cut = socket.req_parts().extensions.get::<Cut>().map(|cut| cut.0.clone()).unwrap_or_default();
        let admitted = match handshake {
            Ok(handshake) => at_the_door.admit(handshake, &cut).await,
            Err(_) => Err(Refusal::Unauthorized("malformed")),
        };
        let admitted = admitted.inspect_err(|refusal| at_the_door.metrics.refusal(refusal.label()))?;
        let session = Arc::new(Session::new(at_the_door.clone(), admitted, cut));
        events::register(&socket, &session);
        socket.extensions.insert(Seated(session));
        Ok::<(), Refusal>(())
    };
    let connected = async |socket: SocketRef| {
        if let Some(Seated(session)) = socket.extensions.remove::<Seated>() {
            session.run(socket).await;
        }
    };
    io.ns("/", connected.with(middleware));
    Door::new(sockets, settings.origins.clone(), settings.max_connections)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_panics_is_started_again() {
        let (starts, ended) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (count, stop) = (starts.clone(), ended.clone());
        let read = move || {
            let start = count.fetch_add(1, Ordering::Relaxed);
            let stop = stop.clone();
            async move {
                assert!(start == 2, "planted");
                stop.cancel();
            }
        };
        always(Reader::Revocations, read, ended).await;
        assert_eq!(starts.load(Ordering::Relaxed), 3);
    }
}
