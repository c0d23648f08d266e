//! Starts the ingest: the webhook port and the tasks behind it. Sockets are started beside it by the command line.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::domain::SharedClock;
use crate::listen::{self, Limits};
use crate::restart::after_panics;
use crate::store::{QuarantineKeys, Store, StoreClock};
use crate::telemetry::{Part, Readiness, Registry};

use super::append::OnAppend;
use super::ingest::Ingest;
use super::keeper::{Grown, Keeper};
use super::metrics::Metrics;
use super::portfolios::Portfolios;
use super::routes::RouteTable;
use super::webhook::Webhook;
use super::{replay, silent, texml};

/// What the ingest is started with.
pub struct Settings {
    /// Answers Meta's challenge.
    pub verify_token: SecretString,
    /// Who may sign, and for which accounts.
    pub portfolios: Portfolios,
    /// For what has no place.
    pub quarantine_keys: QuarantineKeys,
    /// The store; without one every POST is answered with 503.
    pub store: Option<Store>,
    /// The routing table, shared with the sockets.
    pub routes: RouteTable,
    /// Where time comes from.
    pub clock: SharedClock,
    /// After `stop` webhooks are still taken for so long.
    pub linger: Duration,
    /// Told of what this replica appends, so that its own sockets need not wait for the change stream.
    pub on_append: OnAppend,
}

/// Connections on the webhook port at most.
const CONNECTIONS: usize = 4096;

/// Registers the metrics and parts of readiness and serves until `stop`, when what runs is finished first.
pub fn serve(
    settings: Settings,
    listener: TcpListener,
    registry: &mut Registry,
    readiness: &Readiness,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static + use<> {
    let Settings { verify_token, portfolios, quarantine_keys, store, routes, clock, linger, on_append } = settings;
    let metrics = Metrics::register(registry);
    let (routes_part, store_part) = (readiness.part("routes"), readiness.part("store"));
    let grown = Grown::default();
    let noted = grown.clone();
    let on_append: OnAppend = Arc::new(move |company, seq| {
        noted.note(company);
        on_append(company, seq);
    });
    let own = clock;
    let clock = Arc::new(StoreClock::new(Arc::clone(&own)));
    let keeper = store.clone().map(|store| Keeper::new(store, Arc::clone(&clock), metrics.clone()));
    let ingest = store.clone().map(|store| {
        let clock = Arc::<StoreClock>::clone(&clock);
        Ingest::new(store, quarantine_keys, portfolios.clone(), routes.clone(), metrics.clone(), clock, on_append)
    });
    let webhook = Webhook::new(verify_token, portfolios.clone(), ingest.clone(), metrics.clone(), own);
    let app = webhook.app().merge(texml::app());
    async move {
        // A panic in one of these is no reason to take no more webhooks.
        let beside = async {
            let (Some(store), Some(ingest), Some(keeper)) = (&store, ingest, keeper) else { return };
            let listen = || {
                let clock: SharedClock = Arc::<StoreClock>::clone(&clock);
                silent::run(store.line_activity(), routes.clone(), metrics.silent.clone(), clock, stop.clone())
            };
            let replay = || replay::run(ingest.clone(), metrics.clone(), stop.clone());
            let keep = || keeper.clone().run(grown.clone(), stop.clone());
            tokio::join!(
                after_panics("silent lines", None, listen, stop.clone()),
                after_panics("replay", None, replay, stop.clone()),
                after_panics("keeper", None, keep, stop.clone()),
            );
        };
        let routing = async {
            if store.is_some() {
                // Without routes nothing is taken: no POST meets a clock that nobody has looked at.
                let _ = stop.run_until_cancelled(clock.compared()).await;
            }
            routes.run(routes_part, stop.clone()).await;
        };
        tokio::join!(
            listen::serve(listener, app, Limits { linger, ..Limits::new("webhook", CONNECTIONS) }, stop.clone()),
            routing,
            portfolios.run(stop.clone()),
            watch_store(store.clone(), store_part, &clock, &metrics, stop.clone()),
            beside,
        );
    }
}

/// Asks the store every two seconds whether it is there, for `/readyz`, and what time it is there.
async fn watch_store(store: Option<Store>, part: Part, clock: &StoreClock, metrics: &Metrics, stop: CancellationToken) {
    let Some(store) = store else {
        part.not_ready("there is no store: set MONGODB_URI");
        return;
    };
    loop {
        let sent = clock.own();
        match store.hello(Duration::from_secs(1)).await {
            Ok(told) => {
                let before = clock.ahead();
                clock.compare(sent, told, clock.own());
                let ahead = clock.ahead().unwrap_or_default().as_secs();
                metrics.clock_ahead.set(ahead);
                if ahead != 0 && before.unwrap_or_default().is_zero() {
                    tracing::warn!(
                        seconds = ahead,
                        "this machine's clock is ahead of the store's (behind it, if less than 0); what is stored follows \
                         the store's, retention waits: set the wrong one, and let NTP keep it"
                    );
                }
                part.ready();
            }
            Err(error) => part.not_ready(error.to_string()),
        }
        tokio::select! {
            () = stop.cancelled() => {
                part.not_ready("draining");
                return;
            }
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}
