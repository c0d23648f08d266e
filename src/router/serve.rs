//! Starts the ingest: the webhook port and the tasks behind it. Sockets are started beside it by the command line.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::domain::SharedClock;
use crate::listen::{self, Limits};
use crate::store::{QuarantineKeys, Store};
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
    let Settings { verify_token, portfolios, quarantine_keys, store, routes, clock, on_append } = settings;
    let metrics = Metrics::register(registry);
    let (routes_part, store_part) = (readiness.part("routes"), readiness.part("store"));
    let grown = Grown::default();
    let noted = grown.clone();
    let on_append: OnAppend = Arc::new(move |company, seq| {
        noted.note(company);
        on_append(company, seq);
    });
    let keeper = store.clone().map(|store| Keeper::new(store, Arc::clone(&clock), metrics.clone()));
    let ingest = store.clone().map(|store| {
        Ingest::new(store, quarantine_keys, routes.clone(), metrics.clone(), Arc::clone(&clock), on_append)
    });
    let silence = std::sync::Arc::clone(&clock);
    let webhook = Webhook::new(verify_token, portfolios.clone(), ingest.clone(), metrics.clone(), clock);
    let app = webhook.app().merge(texml::app());
    async move {
        let listening = async {
            if let Some(store) = &store {
                silent::run(store.line_activity(), &routes, &metrics.silent, &*silence, stop.clone()).await;
            }
        };
        let replaying = async {
            if let Some(ingest) = ingest {
                replay::run(ingest, metrics.clone(), stop.clone()).await;
            }
        };
        let keeping = async {
            if let Some(keeper) = keeper {
                keeper.run(grown, stop.clone()).await;
            }
        };
        tokio::join!(
            listen::serve(listener, app, Limits::new("webhook", CONNECTIONS), stop.clone()),
            routes.run(routes_part, stop.clone()),
            portfolios.run(stop.clone()),
            watch_store(store.clone(), store_part, stop.clone()),
            replaying,
            listening,
            keeping,
        );
    }
}

/// Asks the store every two seconds whether it is there, for `/readyz`.
async fn watch_store(store: Option<Store>, part: Part, stop: CancellationToken) {
    let Some(store) = store else {
        part.not_ready("there is no store: set MONGODB_URI");
        return;
    };
    loop {
        match store.ping(Duration::from_secs(1)).await {
            Ok(()) => part.ready(),
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
