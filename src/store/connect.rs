//! The connection: one driver client for the process, with the settings that make its answers mean something.
//!
//! The driver's defaults wait 30 s for a server and hold 10 connections; a router that answers Meta within seconds
//! needs less of the first and more of the second. Write concern is set here, in code, so that a URI can't weaken it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mongodb::bson::doc;
use mongodb::options::{ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Database};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::bson_time;
use super::company_db::platform_database;
use super::error::StoreError;
use super::{
    AccountEvents, Companies, LineActivity, LogWatch, Presence, Quarantine, QuarantineKeys, Revocations, Routes,
};

/// How the connection is made; the defaults suit both the router and the controller.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Shown in the server's log and in `currentOp`.
    pub app_name: String,
    /// Connections at most. A change stream keeps one of them busy.
    pub max_pool_size: u32,
    /// How long an operation waits for a usable server.
    pub server_selection_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { app_name: "clientnumber".into(), max_pool_size: 64, server_selection_timeout: Duration::from_secs(3) }
    }
}

/// The way to everything that is stored. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) platform: Database,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Prepares the connection. It succeeds also while no server is there: use [`Store::hello`] to know.
    pub async fn connect(uri: &SecretString, options: StoreOptions) -> Result<Self, StoreError> {
        // The error's own text may quote the URI with its password, hence only its kind.
        let mut parsed = ClientOptions::parse(uri.expose_secret())
            .await
            .map_err(|_| StoreError::Uri("it could not be parsed or its SRV record not resolved".into()))?;
        parsed.app_name = Some(options.app_name);
        parsed.max_pool_size = Some(options.max_pool_size);
        parsed.min_pool_size = Some(4);
        parsed.max_connecting = Some(4);
        parsed.server_selection_timeout = Some(options.server_selection_timeout);
        parsed.connect_timeout = Some(Duration::from_secs(2));
        parsed.heartbeat_freq = Some(Duration::from_secs(2));
        parsed.max_idle_time = Some(Duration::from_secs(90));
        parsed.retry_reads = Some(true);
        parsed.retry_writes = Some(true);
        let mut write = WriteConcern::majority();
        write.journal = Some(true);
        write.w_timeout = Some(Duration::from_secs(5));
        parsed.write_concern = Some(write);
        parsed.read_concern = Some(ReadConcern::majority());
        // The head of a log is only known on the primary.
        parsed.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let client =
            Client::with_options(parsed).map_err(|_| StoreError::Uri("its options contradict each other".into()))?;
        let platform = platform_database(&client);
        Ok(Self { client, platform })
    }

    /// Asks the server whether it is there, within `limit`, and what its clock shows: one for all, on whatever machine.
    pub async fn hello(&self, limit: Duration) -> Result<Timestamp, StoreError> {
        let platform = self.platform.clone();
        let told = bounded(Instant::now() + limit, async move {
            platform.run_command(doc! { "hello": 1 }).await.map_err(|e| StoreError::from_driver("a hello", e))
        })
        .await?;
        let unreadable = |_| StoreError::Unreadable { what: "hello", field: "localTime".into() };
        told.get_datetime("localTime").map(|now| bson_time::from_bson(*now)).map_err(unreadable)
    }

    /// Creates the platform's indexes. Idempotent; the controller calls it at its start, before any route is written.
    pub async fn ensure_indexes(&self) -> Result<(), StoreError> {
        self.routes().ensure_indexes().await?;
        self.companies().ensure_indexes().await?;
        self.revocations().ensure_indexes().await?;
        self.account_events().ensure_indexes().await?;
        self.presence().ensure_indexes().await?;
        Quarantine::ensure_indexes(self).await
    }

    /// The routing table.
    pub fn routes(&self) -> Routes {
        Routes::new(&self.platform)
    }

    /// The companies' records.
    pub fn companies(&self) -> Companies {
        Companies::new(self)
    }

    /// What could not be given to a company; it can only be read and written with the keys.
    pub fn quarantine(&self, keys: QuarantineKeys) -> Quarantine {
        Quarantine::new(&self.platform, keys)
    }

    /// Cut tokens.
    pub fn revocations(&self) -> Revocations {
        Revocations::new(&self.platform)
    }

    /// Which connection of a device is the newest.
    pub fn presence(&self) -> Presence {
        Presence::new(&self.platform)
    }

    /// What Meta says about accounts.
    pub fn account_events(&self) -> AccountEvents {
        AccountEvents::new(&self.platform)
    }

    /// When each line was last heard of.
    pub fn line_activity(&self) -> LineActivity {
        LineActivity::new(&self.platform)
    }

    /// News of all companies' logs: which grew, and to where. No content.
    pub async fn watch_logs(&self) -> Result<LogWatch, StoreError> {
        LogWatch::open(&self.client).await
    }
}

/// Until when a log's writer waits for an operation, and how many of its operations may run, those among them that nobody
/// waits for any more. The connections are everybody's: a company whose database hangs must not take them all.
#[derive(Clone)]
pub(crate) struct Within {
    deadline: Instant,
    running: Arc<Semaphore>,
}

/// Operations of one writer at the same time. It waits for one; the others are left from before.
const RUNNING: usize = 3;

impl Within {
    /// For operations that are not a writer's.
    pub(crate) fn until(deadline: Instant) -> Self {
        Running::default().until(deadline)
    }

    /// As [`bounded`]; when too many run already, nothing is sent.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(place) = tokio::time::timeout_at(self.deadline, Arc::clone(&self.running).acquire_owned()).await else {
            return Err(StoreError::TimedOut);
        };
        bounded(self.deadline, async move {
            let result = operation.await;
            drop(place);
            result
        })
        .await
    }
}

/// The operations of one writer that run.
#[derive(Clone)]
pub(crate) struct Running(Arc<Semaphore>);

impl Default for Running {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RUNNING)))
    }
}

impl Running {
    /// What may run until then.
    pub(crate) fn until(&self, deadline: Instant) -> Within {
        Within { deadline, running: Arc::clone(&self.0) }
    }
}

/// Runs a driver operation to its end in its own task and waits for it until `deadline`. An operation that is dropped
/// half-way costs its connection; one that is left running may still have its effect, which is why the caller is told
/// [`StoreError::TimedOut`] and must look.
pub(crate) async fn bounded<T: Send + 'static>(
    deadline: Instant,
    operation: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let mut task = tokio::spawn(operation);
    match tokio::time::timeout_at(deadline, &mut task).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(StoreError::Away("the operation was interrupted".into())),
        Err(_) => Err(StoreError::TimedOut),
    }
}
