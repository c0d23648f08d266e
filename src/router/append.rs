//! One writer for each company and process: it gathers what waits and appends it in one insert.
//!
//! So one busy company never holds up another, and a busy company's items share their round trips. Whoever hands items
//! in waits at most three seconds; then Meta is told to come again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::Instrument;

use crate::domain::{CompanyId, SharedClock};
use crate::store::{Appender, NewEntry, Outcome, Refused, Seq, Store, StoreError};

use super::metrics::Metrics;

/// An append that takes longer is answered with 503.
pub const LIMIT: Duration = Duration::from_secs(3);
/// Jobs that wait for one company at most; more are answered with 503.
const QUEUE: usize = 1024;
/// Items that share one insert.
const GATHER: usize = 500;
/// A writer without work ends after this long.
const IDLE: Duration = Duration::from_secs(600);

/// Not appended in time. Everything deterministic is an [`Outcome`] instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// The store is away or slow.
    #[error("the store did not take it in time")]
    StoreAway,
    /// Too much waits for this company.
    #[error("too much waits to be written")]
    Full,
}

struct Job {
    items: Vec<NewEntry>,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<Outcome>, NotNow>>,
}

/// Called with a company and the newest seq that this process has appended to its log.
pub type OnAppend = Arc<dyn Fn(&CompanyId, Seq) + Send + Sync>;

struct Shared {
    store: Store,
    clock: SharedClock,
    metrics: Metrics,
    on_append: OnAppend,
    writers: Mutex<HashMap<CompanyId, mpsc::Sender<Job>>>,
}

/// The writers of all companies. Cheap to clone.
#[derive(Clone)]
pub struct Writers {
    shared: Arc<Shared>,
}

impl Writers {
    /// None yet; each begins with its company's first item.
    pub fn new(store: Store, clock: SharedClock, metrics: Metrics, on_append: OnAppend) -> Self {
        Self { shared: Arc::new(Shared { store, clock, metrics, on_append, writers: Mutex::default() }) }
    }

    /// Appends to a company's log; the company comes from a route.
    pub async fn append(&self, company: &CompanyId, items: Vec<NewEntry>) -> Result<Vec<Outcome>, NotNow> {
        let deadline = Instant::now() + LIMIT;
        let (reply, answer) = oneshot::channel();
        self.hand_in(company, Job { items, deadline, reply })?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(NotNow::StoreAway),
        }
    }

    fn hand_in(&self, company: &CompanyId, job: Job) -> Result<(), NotNow> {
        let mut writers = self.shared.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match writers.get(company) {
            None => job,
            Some(writer) => match writer.try_send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => return Err(NotNow::Full),
                // It had nothing to do for long and has ended.
                Err(mpsc::error::TrySendError::Closed(job)) => job,
            },
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        sender.try_send(job).map_err(|_| NotNow::Full)?;
        writers.insert(company.clone(), sender);
        let span = tracing::debug_span!("writer", company = company.as_str());
        tokio::spawn(write(Arc::clone(&self.shared), company.clone(), receiver).instrument(span));
        Ok(())
    }
}

/// A company's writer: opens its log when there is something to write, and again after a failure.
async fn write(shared: Arc<Shared>, company: CompanyId, mut jobs: mpsc::Receiver<Job>) {
    let mut appender: Option<Appender> = None;
    loop {
        let first = match tokio::time::timeout(IDLE, jobs.recv()).await {
            Ok(Some(first)) => first,
            Ok(None) => return,
            Err(_) => {
                // From here on another writer begins; what was handed in at this very moment is still written.
                jobs.close();
                continue;
            }
        };
        let mut gathered = vec![first];
        let mut items = gathered[0].items.len();
        while items < GATHER
            && let Ok(job) = jobs.try_recv()
        {
            items += job.items.len();
            gathered.push(job);
        }
        // Who has stopped waiting will come again with the same items.
        gathered.retain(|job| job.deadline > Instant::now() && !job.reply.is_closed());
        if gathered.is_empty() {
            continue;
        }
        if appender.is_none() {
            match open(&shared, &company).await {
                Ok(opened) => appender = Some(opened),
                Err(error) => {
                    give_up(gathered, &error);
                    continue;
                }
            }
        }
        if let Some(appender) = &mut appender {
            append(&shared, &company, appender, gathered).await;
        }
    }
}

async fn append(shared: &Shared, company: &CompanyId, appender: &mut Appender, jobs: Vec<Job>) {
    let began = Monotonic::now();
    let retries = appender.retries();
    let (mut items, mut waiting) = (Vec::new(), Vec::new());
    let mut deadline = Instant::now();
    for job in jobs {
        deadline = deadline.max(job.deadline);
        waiting.push((job.items.len(), job.reply));
        items.extend(job.items);
    }
    let result = appender.append(items, deadline).await;
    shared.metrics.stored("append", began);
    shared.metrics.retries.inc_by(appender.retries() - retries);
    match result {
        Ok(outcomes) => {
            let newest = outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Stored(seq) => Some(*seq),
                _ => None,
            });
            if let Some(seq) = newest.max() {
                (shared.on_append)(company, seq);
            }
            let mut outcomes = outcomes.into_iter();
            for (count, reply) in waiting {
                let _ = reply.send(Ok(outcomes.by_ref().take(count).collect()));
            }
        }
        Err(error) => {
            if !error.is_transient() {
                tracing::error!(company = company.as_str(), %error, "a company's log takes nothing");
            }
            for (count, reply) in waiting {
                let _ = reply.send(answer(&error, count));
            }
        }
    }
}

fn give_up(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        let answer = answer(error, job.items.len());
        let _ = job.reply.send(answer);
    }
}

/// What passes by itself is tried again by Meta; what does not is for the quarantine.
fn answer(error: &StoreError, count: usize) -> Result<Vec<Outcome>, NotNow> {
    match error {
        error if error.is_transient() => Err(NotNow::StoreAway),
        StoreError::CompanyErased(_) => Ok(vec![Outcome::Refused(Refused::Closed); count]),
        StoreError::Log(refused) => Ok(vec![Outcome::Refused(*refused); count]),
        error => Ok(vec![Outcome::Unwritable(error.to_string()); count]),
    }
}

async fn open(shared: &Shared, company: &CompanyId) -> Result<Appender, StoreError> {
    let database = shared.store.companies().open(company).await?;
    // The controller makes the record before the first route, so this is a route written by hand.
    let database = database.ok_or(StoreError::Log(Refused::NotHeld))?;
    let log = database.log();
    log.check_indexes().await?;
    Ok(log.appender(Arc::clone(&shared.clock)))
}
