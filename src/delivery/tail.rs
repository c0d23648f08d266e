//! One reader per company with local sockets: it reads what is new in the log once, renders it once and keeps the ring
//! that all sockets of the company share.
//!
//! It lives as long as a socket holds it. A company without a record may be waited for: the tail looks for the record
//! and comes alive by itself. After an error it reads again from where it stood; it never skips.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::catch_up::{CatchUp, Turn, Turns};
use super::item;
use super::metrics::Metrics;
use super::page::{Next, PAGE_BYTES, Page, Ring};
use super::settings::Settings;
use crate::domain::{CompanyId, SharedClock};
use crate::restart::after_panics;
use crate::store::{CompanyDb, CompanyState, Kind, LogEntry, Seq, Store, StoreError};

/// Read at once by the tail.
const READ_ITEMS: usize = 500;
const READ_BYTES: usize = 4 * PAGE_BYTES;

/// Where a company stands.
#[derive(Debug, Clone)]
pub enum Status {
    /// Not looked up yet, or the store is away.
    Opening,
    /// It has no record yet.
    Absent,
    /// Its log is being read.
    Live(CompanyDb),
    /// It was erased.
    Erased,
}

/// A company's tail as its sockets see it.
pub struct Tail {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    company: CompanyId,
    ring: RwLock<Ring>,
    head: watch::Sender<Seq>,
    status: watch::Sender<Status>,
    wake: Notify,
    catch_up: CatchUp,
}

/// Names of databases and their companies.
pub type Databases = Arc<Mutex<HashMap<String, CompanyId>>>;

/// What a tail needs from its surroundings.
#[derive(Clone)]
pub struct TailContext {
    /// The store.
    pub store: Store,
    /// Time.
    pub clock: SharedClock,
    /// Limits.
    pub settings: Arc<Settings>,
    /// Counters.
    pub metrics: Metrics,
    /// Which database is whose, for companies that are read here: news names databases.
    pub databases: Databases,
    /// True while the change stream over the logs lives; it decides how often the log is looked at without news.
    pub news: watch::Receiver<bool>,
    /// What all tails of the replica may read for sockets that are behind.
    pub turns: Turns,
}

impl Tail {
    /// Starts reading. The reader ends when the value is dropped.
    pub fn start(company: CompanyId, context: TailContext) -> Self {
        let shared = Arc::new(Shared {
            company,
            ring: RwLock::default(),
            head: watch::Sender::new(0),
            status: watch::Sender::new(Status::Opening),
            wake: Notify::new(),
            catch_up: CatchUp::new(context.turns.clone()),
        });
        let stop = CancellationToken::new();
        let (task_shared, task_stop) = (shared.clone(), stop.clone());
        tokio::spawn(async move {
            let again = || read(task_shared.clone(), context.clone());
            after_panics("tail", Some(&task_shared.company), again, task_stop).await;
        });
        Self { shared, _stop: stop.drop_guard() }
    }

    /// Whose it is.
    pub fn company(&self) -> &CompanyId {
        &self.shared.company
    }

    /// What follows `seq`, from the ring.
    pub fn after(&self, seq: Seq) -> Next {
        self.shared.ring.read().unwrap_or_else(PoisonError::into_inner).after(seq)
    }

    /// What follows `seq`, for a socket that is behind the ring; None when nothing does, or the log is not open yet.
    pub async fn behind(&self, seq: Seq, now: Instant) -> Result<Option<Page>, StoreError> {
        let Some(db) = self.database() else { return Ok(None) };
        self.shared.catch_up.page(&db, seq, now).await
    }

    /// The newest seq of the log, read there: for one who comes in.
    pub async fn newest(&self, db: &CompanyDb) -> Result<Seq, StoreError> {
        self.shared.catch_up.head(db).await
    }

    /// Waits until one who comes back may use the store.
    pub async fn turn(&self) -> Turn<'_> {
        self.shared.catch_up.turn().await
    }

    /// Waits until one who asks for older items may use the store.
    pub async fn history_turn(&self) -> Turn<'_> {
        self.shared.catch_up.history_turn().await
    }

    /// Waits until one more stop of a device may be written.
    pub async fn stop_turn(&self) -> Turn<'_> {
        self.shared.catch_up.stop_turn().await
    }

    /// The company's database, once it has one.
    pub fn database(&self) -> Option<CompanyDb> {
        match &*self.shared.status.borrow() {
            Status::Live(db) => Some(db.clone()),
            _ => None,
        }
    }

    /// The newest seq that was read.
    pub fn head(&self) -> watch::Receiver<Seq> {
        self.shared.head.subscribe()
    }

    /// Where the company stands.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Look at the log now.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// There is news up to `seq`: look, unless it was read already.
    pub fn news(&self, seq: Seq) {
        if *self.shared.head.borrow() < seq {
            self.wake();
        }
    }
}

/// Begins at the log's head, also when it is started again: sockets that stand before it are behind the ring then.
async fn read(shared: Arc<Shared>, context: TailContext) {
    let shared = &*shared;
    let Some(db) = open(shared, &context).await else { return };
    let mut failing = Backoff::default();
    let (head, mut closing) = loop {
        // In this order: a log that is closed after the look at its fences tells so behind the head.
        let found = async { Ok((db.log().head().await?, db.log().fences().await?.is_closed())) };
        match found.await {
            Ok(found) => break found,
            Err(error) => failing.wait(&error, shared).await,
        }
    };
    *shared.ring.write().unwrap_or_else(PoisonError::into_inner) = Ring::at(head);
    shared.head.send_replace(head);
    {
        let mut databases = context.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.insert(db.name().to_owned(), shared.company.clone());
    }
    shared.status.send_replace(Status::Live(db.clone()));
    // What was written between reading head and being found by name has no news: the first look below finds it.
    loop {
        let after = *shared.head.borrow();
        match db.log().read_after(after, READ_ITEMS, READ_BYTES).await {
            Ok(page) => {
                failing = Backoff::default();
                closing |= page.entries.iter().any(|entry| entry.kind == Kind::Closed);
                take(shared, &context, &page.entries);
                if page.more {
                    continue;
                }
            }
            Err(error) => {
                failing.wait(&error, shared).await;
                continue;
            }
        }
        if closing && erased(&shared.company, &context).await {
            shared.status.send_replace(Status::Erased);
            return;
        }
        wait(shared, &context, closing).await;
    }
}

/// Waits for the company's record.
async fn open(shared: &Shared, context: &TailContext) -> Option<CompanyDb> {
    let mut failing = Backoff::default();
    loop {
        match context.store.companies().open(&shared.company).await {
            Ok(Some(db)) => return Some(db),
            Ok(None) => {
                shared.status.send_replace(Status::Absent);
                let _ = tokio::time::timeout(context.settings.poll, shared.wake.notified()).await;
            }
            Err(StoreError::CompanyErased(_)) => {
                shared.status.send_replace(Status::Erased);
                return None;
            }
            Err(error) => failing.wait(&error, shared).await,
        }
    }
}

async fn erased(company: &CompanyId, context: &TailContext) -> bool {
    let record = context.store.companies().get(company).await;
    record.is_ok_and(|record| record.is_some_and(|r| r.state == CompanyState::Erased))
}

fn take(shared: &Shared, context: &TailContext, entries: &[LogEntry]) {
    let Some(newest) = entries.last().map(|entry| entry.seq) else { return };
    let (now, since) = (context.clock.now(), context.clock.monotonic());
    let rendered: Vec<_> =
        entries.iter().filter_map(|entry| Some((entry.kind, Arc::new(item::render(entry)?)))).collect();
    {
        let mut ring = shared.ring.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, item) in rendered {
            Metrics::observe(&context.metrics.news_lag, item.at, now);
            if kind == Kind::Erasure {
                ring.forget();
                shared.catch_up.clear();
            }
            ring.push(item, since);
        }
    }
    shared.head.send_replace(newest);
}

/// Until there is news, or it is time to look without any.
async fn wait(shared: &Shared, context: &TailContext, closing: bool) {
    let now = context.clock.monotonic();
    shared.catch_up.forget(now);
    shared.ring.write().unwrap_or_else(PoisonError::into_inner).forget_old(now);
    let mut news = context.news.clone();
    let alive = *news.borrow_and_update();
    let pause = if alive && !closing { context.settings.sweep } else { context.settings.poll };
    tokio::select! {
        () = shared.wake.notified() => {}
        () = tokio::time::sleep(pause) => {}
        // The stream broke (something may have been missed) or is back: look now.
        Ok(()) = news.changed() => {}
    }
}

/// Growing pauses while the store is away; said once, not with every try.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    async fn wait(&mut self, error: &StoreError, shared: &Shared) {
        if self.0 == 0 {
            tracing::warn!(company = %shared.company, %error, "the log can't be read, it is tried again");
        }
        let pause = Duration::from_millis(100 << self.0.min(4));
        self.0 += 1;
        tokio::time::sleep(pause).await;
    }
}
