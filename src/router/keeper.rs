//! What keeps companies' data as long as it may be kept, and what is derived from it up to date: beside the webhook and
//! never in its way.
//!
//! Two tasks in one. A few seconds after a company's log grew by this replica, its messages' states follow. About once an
//! hour each company is looked at: states that nobody followed (a replica died), and entries older than the company's
//! retention, which are removed in small batches with pauses that are longer than the work. Each replica does all of it
//! at a time of its own; doing it twice changes nothing. Must never remove anything while this machine's clock and the store's
//! differ.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

use crate::domain::{Clock, CompanyId};
use crate::store::retention::{self, BATCH};
use crate::store::{Company, CompanyDb, CompanyState, Store, StoreClock, StoreError};

use super::metrics::Metrics;

/// States follow a log after so long, so that a message's statuses that come together are one write.
const FOLLOW: Duration = Duration::from_secs(5);
/// All companies are looked at so often, give or take a quarter.
const ROUND: Duration = Duration::from_secs(3600);
/// Companies that are worked on at once.
const AT_ONCE: usize = 4;
/// The least pause between two batches of removals.
const PAUSE: Duration = Duration::from_millis(50);

/// Companies whose logs grew. Cheap to clone.
#[derive(Clone, Default)]
pub struct Grown(Arc<Mutex<HashSet<CompanyId>>>);

impl Grown {
    /// This company's log grew.
    pub fn note(&self, company: &CompanyId) {
        let mut grown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !grown.contains(company) {
            grown.insert(company.clone());
        }
    }

    fn take(&self) -> HashSet<CompanyId> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The keeper of a replica.
#[derive(Clone)]
pub struct Keeper {
    store: Store,
    clock: Arc<StoreClock>,
    metrics: Metrics,
}

impl Keeper {
    /// Over all companies of a store.
    pub fn new(store: Store, clock: Arc<StoreClock>, metrics: Metrics) -> Self {
        Self { store, clock, metrics }
    }

    /// Works until `stop`. What is cut half-way goes on another time.
    pub async fn run(self, grown: Grown, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow_grown(&grown) => {}
            () = self.rounds() => {}
        }
    }

    async fn follow_grown(&self, grown: &Grown) {
        loop {
            tokio::time::sleep(jittered(FOLLOW)).await;
            let look = stream::iter(grown.take()).for_each_concurrent(AT_ONCE, |company| async move {
                if let Err(error) = self.follow(&company).await {
                    tracing::debug!(company = company.as_str(), %error, "states were not brought up to date");
                    grown.note(&company);
                }
            });
            look.await;
        }
    }

    async fn follow(&self, company: &CompanyId) -> Result<(), StoreError> {
        match self.store.companies().open(company).await {
            Ok(Some(db)) => db.states().follow(self.clock.now()).await.map(|_| ()),
            Ok(None) | Err(StoreError::CompanyErased(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn rounds(&self) {
        // Replicas that start together must not go on together.
        let mut pause = Duration::from_secs(rand::rng().random_range(60..600));
        loop {
            tokio::time::sleep(pause).await;
            self.round().await;
            pause = jittered(ROUND);
        }
    }

    /// One round over all companies, in an order of its own.
    pub async fn round(&self) {
        match self.clock.ahead() {
            // By a comparison of the last seconds, or nobody could read the companies below.
            Some(SignedDuration::ZERO) => {}
            Some(ahead) => {
                let seconds = ahead.as_secs();
                tracing::warn!(
                    seconds,
                    "retention waits until this machine's clock and the store's agree: set the wrong one"
                );
                return;
            }
            None => return,
        }
        let mut companies = match self.store.companies().all().await {
            Ok(companies) => companies,
            Err(error) => {
                tracing::warn!(%error, "the companies can't be read: retention waits for the next round");
                return;
            }
        };
        // For the whole round, however long it takes: an old "now" only removes less, and a clock that is changed meanwhile
        // removes nothing more.
        let now = self.clock.now();
        companies.retain(|company| company.state == CompanyState::Active);
        companies.shuffle(&mut rand::rng());
        let (none, went) = (companies.is_empty(), AtomicBool::new(false));
        // A company with much to remove keeps one of the places only.
        let looks = stream::iter(companies).for_each_concurrent(AT_ONCE, async |company| {
            match self.look_after(&company, now).await {
                Ok(()) => went.store(true, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(company = company.id.as_str(), %error, "retention waits for the next round");
                }
            }
        });
        looks.await;
        // A round in which nothing went is none: whoever watches the metric must see that.
        if none || went.into_inner() {
            self.metrics.retention_round.set(self.clock.now().as_second());
        }
    }

    async fn look_after(&self, company: &Company, now: Timestamp) -> Result<(), StoreError> {
        let db = self.store.companies().open_record(company)?;
        // What is removed must be included before.
        db.states().follow(self.clock.now()).await?;
        let removed = self.remove_old(company, &db, now).await?;
        // Also what another round left when it was cut.
        let states = db.states().remove_stale().await?;
        if removed > 0 {
            tracing::info!(
                company = company.id.as_str(),
                removed,
                states,
                "entries older than the retention were removed"
            );
        }
        Ok(())
    }

    async fn remove_old(&self, company: &Company, db: &CompanyDb, now: Timestamp) -> Result<u64, StoreError> {
        let cutoff = retention::cutoff(company.retention_days, now);
        let log = db.log();
        let mut all = 0;
        loop {
            let began = Instant::now();
            let removed = log.remove_before(cutoff).await?;
            let count = u64::try_from(removed).unwrap_or(u64::MAX);
            self.metrics.retention_removed.inc_by(count);
            all += count;
            if removed < BATCH {
                return Ok(all);
            }
            // Appends come first: most of the time this one waits.
            tokio::time::sleep((began.elapsed() * 4).max(PAUSE)).await;
        }
    }
}

/// Give or take a quarter.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.75..1.25))
}
