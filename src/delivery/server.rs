//! Puts the parts together: Socket.IO on the default namespace, the background readers, the drain at the end.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::{ParserConfig, SocketIo, TransportType};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::door::{Door, PATH};
use super::hub::{Handshake, Hub};
use super::keys::Keys;
use super::lines::Lines;
use super::metrics::Metrics;
use super::refusal::Refusal;
use super::session::Session;
use super::settings::Settings;
use super::wire::Cut;
use super::{events, wake};
use crate::domain::{CompanyId, SharedClock};
use crate::restart::after_panics;
use crate::store::{Seq, Store};
use crate::telemetry::Readiness;

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

/// Starts what reads for the whole replica.
type Reader = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Handed from the middleware to the handler.
#[derive(Clone)]
struct Seated(Arc<Session>);

impl Delivery {
    /// Starts the background readers. They end when the value is dropped. Ready once revocations were read: before
    /// that nobody can be let in.
    pub fn start(
        store: Store,
        keys: Keys,
        lines: Arc<dyn Lines>,
        settings: Settings,
        metrics: Metrics,
        clock: SharedClock,
        readiness: &Readiness,
    ) -> Self {
        let (alive, news) = watch::channel(false);
        let hub = Arc::new(Hub::new(store, keys, lines, settings, metrics, clock, news));
        let stop = CancellationToken::new();
        let revocations = readiness.part("revocations");
        let background = |name, read: Reader| tokio::spawn(after_panics(name, None, read, stop.clone()));
        let of = hub.clone();
        background("logs", Box::new(move || wake::logs(of.clone(), alive.clone()).boxed()));
        let of = hub.clone();
        background("keys", Box::new(move || wake::keys(of.clone()).boxed()));
        let of = hub.clone();
        background("revocations", Box::new(move || wake::revocations(of.clone(), revocations.clone()).boxed()));
        let of = hub.clone();
        background("sessions", Box::new(move || wake::sessions(of.clone()).boxed()));
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
        let cut = socket.req_parts().extensions.get::<Cut>().cloned().unwrap_or_default();
        let admitted = match handshake {
            Ok(handshake) => at_the_door.admit(handshake, &cut.token).await,
            Err(_) => Err(Refusal::Unauthorized("malformed")),
        };
        let admitted = admitted.inspect_err(|refusal| at_the_door.metrics.refusal(refusal.label()))?;
        cut.admit();
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
    let patience = settings.connect_timeout + settings.handshake_store_limit;
    Door::new(sockets, settings.origins.clone(), settings.max_connections, patience)
}
