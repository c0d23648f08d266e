//! What commands need that open the quarantine: the store, fresh routes, the keys, and an ingest that writes as a router's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Failure;
use super::settings::{secret, secret_text};
use crate::domain::SharedClock;
use crate::router::RouteTable;
use crate::router::ingest::Ingest;
use crate::router::metrics::Metrics;
use crate::router::portfolios::Portfolios;
use crate::store::{QuarantineKeys, Store, StoreClock};
use crate::telemetry::{Readiness, Registry};

/// The quarantine's keys.
#[derive(Debug, Clone, clap::Args)]
pub struct KeyArgs {
    /// The routers' quarantine keys, comma-separated.
    #[arg(long, env = "QUARANTINE_KEY", hide_env_values = true, value_parser = secret_text)]
    quarantine_key: Option<SecretString>,
    /// Reads the keys from a file instead.
    #[arg(long, env = "QUARANTINE_KEY_FILE")]
    quarantine_key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// The keys, if any are given.
    pub fn optional(&self) -> Result<Option<QuarantineKeys>, Failure> {
        let given = secret("quarantine-key", self.quarantine_key.as_ref(), self.quarantine_key_file.as_deref())?;
        let parsed = given.map(|text| QuarantineKeys::parse(text.expose_secret())).transpose();
        parsed.map_err(|error| Failure::Usage(error.to_string()))
    }

    /// The keys.
    pub fn required(&self) -> Result<QuarantineKeys, Failure> {
        self.optional()?.ok_or_else(|| {
            Failure::Usage("the quarantine is encrypted: give --quarantine-key (QUARANTINE_KEY) or its file".into())
        })
    }
}

/// An ingest for one command, with routes that are kept fresh while it lives.
pub struct Opened {
    /// It.
    pub ingest: Ingest,
    _stop: DropGuard,
}

/// Opens it; fails when the routes can't be read within some seconds.
pub async fn open(
    store: Store,
    keys: QuarantineKeys,
    portfolios: Portfolios,
    clock: SharedClock,
) -> anyhow::Result<Opened> {
    let routes = RouteTable::new(Some(store.clone()));
    let stop = CancellationToken::new();
    let (kept, part, ended) = (routes.clone(), Readiness::default().part("routes"), stop.clone());
    tokio::spawn(async move { kept.run(part, ended).await });
    let guard = stop.drop_guard();
    let mut changes = routes.subscribe();
    let fresh = async {
        while !routes.is_fresh() {
            // The first reading may change nothing, where there are no routes.
            let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), fresh).await.is_err() {
        bail!("the routes could not be read: is MongoDB there, and is it the routers' one?");
    }
    let clock = StoreClock::new(clock);
    let sent = clock.own();
    let told = store.hello(Duration::from_secs(5)).await.context("the store does not answer")?;
    clock.compare(sent, told, clock.own());
    let metrics = Metrics::register(&mut Registry::default());
    // Sockets hear of what is appended by the change stream, as of another replica's writes.
    let ingest = Ingest::new(store, keys, portfolios, routes, metrics, Arc::new(clock), Arc::new(|_, _| {}));
    Ok(Opened { ingest, _stop: guard })
}
