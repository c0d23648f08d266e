//! One writer for each company and process: it gathers what waits and appends it in one insert.
//!
//! So one busy company never holds up another, and a busy company's items share their round trips. Whoever hands items
//! in waits at most three seconds; then Meta is told to come again.
//! Must never go on writing a log that lost the index by which repeats are recognised, however busy its writer is.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use crate::domain::{CompanyId, SharedClock};
use crate::store::{Appended, Appender, NewEntry, Outcome, Refused, Seq, Store, StoreError, bounded};

use super::metrics::Metrics;

/// An append that takes longer is answered with 503.
pub const LIMIT: Duration = Duration::from_secs(3);
/// Jobs that wait for one company at most; more are answered with 503.
const QUEUE: usize = 1024;
/// Items that share one insert.
const GATHER: usize = 500;
/// A writer without work ends after this long.
const IDLE: Duration = Duration::from_secs(600);
/// The indexes of a log that is being written are looked at so often.
const LOOK: Duration = Duration::from_secs(30);

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
    look: Duration,
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
        Self::looking_every(LOOK, store, clock, metrics, on_append)
    }

    /// As [`Writers::new`], with another pause between two looks at a log's indexes.
    pub fn looking_every(
        look: Duration,
        store: Store,
        clock: SharedClock,
        metrics: Metrics,
        on_append: OnAppend,
    ) -> Self {
        Self { shared: Arc::new(Shared { store, clock, metrics, on_append, look, writers: Mutex::default() }) }
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

/// A log that may be written.
struct Opened {
    appender: Appender,
    /// Looks at its indexes beside the appends, and ends when it may be written no longer.
    look: JoinSet<()>,
}

impl Opened {
    /// None when something was found that speaks against writing it. Never waits.
    fn while_fit(mut self) -> Option<Self> {
        self.look.try_join_next().is_none().then_some(self)
    }
}

/// A company's writer: opens its log when there is something to write, and again after a failure.
async fn write(shared: Arc<Shared>, company: CompanyId, mut jobs: mpsc::Receiver<Job>) {
    let mut opened: Option<Opened> = None;
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
        let mut batches = VecDeque::from([gathered]);
        while let Some(jobs) = batches.pop_front() {
            let Some(deadline) = jobs.iter().map(|job| job.deadline).max() else { continue };
            let mut ready = match opened.take().and_then(Opened::while_fit) {
                Some(ready) => ready,
                None => match open(&shared, &company, deadline).await {
                    Ok(ready) => ready,
                    Err(error) => {
                        give_up(jobs, &error);
                        continue;
                    }
                },
            };
            match append(&shared, &company, &mut ready.appender, jobs, deadline).await {
                Ok(()) => opened = Some(ready),
                // Singly they tell which is at fault, and no other pays for it.
                Err(jobs) if jobs.len() > 1 => batches.extend(jobs.into_iter().map(|job| vec![job])),
                Err(jobs) => jobs.into_iter().for_each(refuse),
            }
        }
    }
}

/// Appends what these jobs hold and answers them. If the program itself fails on it (a panic) they are given back: left
/// without an answer, whoever waits would take it for a store that is away, and Meta would come again with the same for
/// seven days.
async fn append(
    shared: &Shared,
    company: &CompanyId,
    appender: &mut Appender,
    jobs: Vec<Job>,
    deadline: Instant,
) -> Result<(), Vec<Job>> {
    let began = Monotonic::now();
    let retries = appender.retries();
    let items = jobs.iter().flat_map(|job| job.items.iter().cloned()).collect();
    let appending = AssertUnwindSafe(appender.append_some(items, deadline)).catch_unwind();
    let Ok(Appended { outcomes, error }) = appending.await else {
        return Err(jobs);
    };
    let waiting = jobs.into_iter().map(|job| (job.items.len(), job.reply));
    shared.metrics.stored("append", began);
    shared.metrics.retries.inc_by(appender.retries() - retries);
    let newest = outcomes.iter().filter_map(|outcome| match outcome {
        Some(Outcome::Stored(seq)) => Some(*seq),
        _ => None,
    });
    if let Some(seq) = newest.max() {
        (shared.on_append)(company, seq);
    }
    if let Some(error) = error.as_ref().filter(|error| !error.is_transient()) {
        tracing::error!(company = company.as_str(), %error, "a company's log takes nothing");
    }
    let mut outcomes = outcomes.into_iter();
    for (count, reply) in waiting {
        let _ = reply.send(complete(outcomes.by_ref().take(count).collect(), error.as_ref()));
    }
    Ok(())
}

/// What was settled stays so, whatever became of others' items: only what is open is answered by the error.
fn complete(outcomes: Vec<Option<Outcome>>, error: Option<&StoreError>) -> Result<Vec<Outcome>, NotNow> {
    let open = || error.map_or(Err(NotNow::StoreAway), answer);
    outcomes.into_iter().map(|outcome| outcome.map_or_else(open, Ok)).collect()
}

/// Answers what the program fails on: it goes to quarantine, where a later version may do better.
fn refuse(job: Job) {
    let outcome = Outcome::Unwritable("the program itself fails on it".into());
    let _ = job.reply.send(Ok(vec![outcome; job.items.len()]));
}

fn give_up(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        let _ = job.reply.send(answer(error).map(|outcome| vec![outcome; job.items.len()]));
    }
}

/// What passes by itself is tried again by Meta; what does not is for the quarantine.
fn answer(error: &StoreError) -> Result<Outcome, NotNow> {
    match error {
        error if error.is_transient() => Err(NotNow::StoreAway),
        StoreError::CompanyErased(_) => Ok(Outcome::Refused(Refused::Closed)),
        StoreError::Log(refused) => Ok(Outcome::Refused(*refused)),
        error => Ok(Outcome::Unwritable(error.to_string())),
    }
}

/// Opens a company's log, if it may be written. A store that hangs is given up at the deadline: the writer must go on with
/// those who come later.
async fn open(shared: &Shared, company: &CompanyId, deadline: Instant) -> Result<Opened, StoreError> {
    let (companies, id) = (shared.store.companies(), company.clone());
    let log = bounded(deadline, async move {
        let database = companies.open(&id).await?;
        // The controller makes the record before the first route, so this is a route written by hand.
        let log = database.ok_or(StoreError::Log(Refused::NotHeld))?.log();
        log.check_indexes().await.map(|()| log)
    })
    .await?;
    let appender = log.appender(Arc::clone(&shared.clock));
    let mut look = JoinSet::new();
    let indexes = move || {
        let log = log.clone();
        bounded(Instant::now() + LIMIT, async move { log.check_indexes().await })
    };
    look.spawn(until_unfit(shared.look, indexes).in_current_span());
    Ok(Opened { appender, look })
}

/// Looks again and again until it is found that a log may not be written as it is. A look that fails for a passing reason
/// says nothing.
async fn until_unfit<F: Future<Output = Result<(), StoreError>>>(pause: Duration, look: impl Fn() -> F) {
    loop {
        tokio::time::sleep(pause).await;
        match look().await {
            Err(error) if !error.is_transient() => {
                tracing::error!(%error, "a company's log is written no longer");
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_settled_is_answered_so_and_who_is_not_by_the_reason() {
        let (stored, gone) = (Outcome::Stored(7), Outcome::Duplicate);
        let closed = || Outcome::Refused(Refused::Closed);
        let table = [
            (vec![Some(stored.clone()), Some(gone.clone())], None, Ok(vec![stored.clone(), gone.clone()])),
            // Other people's items were not settled in time.
            (vec![Some(stored.clone())], Some(StoreError::TimedOut), Ok(vec![stored.clone()])),
            (vec![Some(stored.clone()), None], Some(StoreError::TimedOut), Err(NotNow::StoreAway)),
            (vec![Some(stored.clone()), None], Some(StoreError::Log(Refused::Closed)), Ok(vec![stored, closed()])),
            (vec![None], None, Err(NotNow::StoreAway)),
        ];
        for (outcomes, error, want) in table {
            assert_eq!(complete(outcomes.clone(), error.as_ref()), want, "{outcomes:?} {error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn looks_go_on_until_one_finds_the_log_unfit() {
        let company = CompanyId::parse("atlas").unwrap();
        let looks = Mutex::new(vec![
            Err(StoreError::IndexMissing { company, index: "meta_id_unique" }),
            Err(StoreError::TimedOut),
            Err(StoreError::Away("no server could be selected".into())),
            Ok(()),
        ]);
        let began = Instant::now();
        until_unfit(LOOK, || std::future::ready(looks.lock().unwrap().pop().unwrap())).await;
        assert_eq!(began.elapsed(), LOOK * 4);
        assert!(LOOK + LIMIT < Duration::from_secs(60), "less than a minute unwatched");
    }
}
