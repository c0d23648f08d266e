//! Erasing a company: `closed` into its log, a wait, the record says `erased`, another wait, and its database is dropped.
//!
//! The waits are what makes it safe. After `closed` no writer that reads the log appends; the first wait is longer than any
//! write that was on its way and than any replica may act on an old route. The record says `erased` before the drop, so
//! that recruiters are sent away and nothing opens the database any more: one late write of a cursor would make it again.
//! Each step finds out what was done before, so the same command goes on after a crash. The record stays: the company's id
//! is not given out again. Must never begin while a line of the company is in use.

use std::time::Duration;

use jiff::Timestamp;
use mongodb::bson::doc;
use tokio::time::Instant;

use crate::domain::{CompanyId, PhoneNumberId, SharedClock};

use super::companies::{Company, CompanyState};
use super::company_db::CompanyDb;
use super::error::StoreError;
use super::log_entry::Kind;
use super::quarantine::QuarantineReason;
use super::quarantine_chosen::Choice;
use super::{Store, bson_time};

/// The waits.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// After `closed`: longer than a write's deadline and a route's age, together.
    pub writers: Duration,
    /// After the record says so: longer than recruiters take to be sent away.
    pub readers: Duration,
    /// After the drop, before it is looked at once more.
    pub settled: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { writers: Duration::from_secs(60), readers: Duration::from_secs(20), settled: Duration::from_secs(5) }
    }
}

/// Why a company was not erased.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// There is no record.
    #[error("there is no company {0}: is the id right?")]
    Unknown(CompanyId),
    /// A line is in use.
    #[error(
        "the company still has lines in use ({}): delete their ClientNumbers first and wait until they are gone",
        .0.iter().map(PhoneNumberId::as_str).collect::<Vec<_>>().join(", ")
    )]
    InUse(Vec<PhoneNumberId>),
    /// Something goes on writing.
    #[error("something goes on writing into the company's database: which program of yours does? Then run this again")]
    Written,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What happened, to be told while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The log is closed; now comes a wait.
    Closed(Duration),
    /// The record says `erased`; now comes a wait.
    Marked(Duration),
    /// Changes of its lines were removed from quarantine.
    Quarantine(u64),
    /// The database is dropped.
    Dropped,
}

/// What is there of a company.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Whether an earlier erasure came so far that the record says so.
    pub erased: bool,
    /// Entries of its log, fences and stubs included.
    pub entries: u64,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the company's database", error)
}

/// Erases a company's data.
pub struct Closing {
    store: Store,
    clock: SharedClock,
    waits: Waits,
    record: Company,
    db: CompanyDb,
}

/// The lines that the company's log ever held.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// What waits for them is the company's.
    pub own: Vec<PhoneNumberId>,
    /// They are another company's, and so is what waits for them, but for what was written before that had them.
    pub given_away: Vec<PhoneNumberId>,
}

impl Lines {
    /// What in quarantine may be the company's.
    pub fn choices(&self) -> impl Iterator<Item = Choice> + '_ {
        let own = self.own.iter().map(|line| Choice { line: Some(line.clone()), ..Choice::default() });
        let before = Some(QuarantineReason::BeforeEpoch);
        let old = self.given_away.iter();
        own.chain(old.map(move |line| Choice { line: Some(line.clone()), reason: before, ..Choice::default() }))
    }
}

/// The lines that the company's log ever held.
pub async fn lines_of(store: &Store, db: &CompanyDb) -> Result<Lines, StoreError> {
    let mut lines = Lines::default();
    for line in db.log().fences().await?.lines() {
        let route = store.routes().get(line).await?;
        let own = route.is_none_or(|route| route.company_id == *db.company());
        if own { &mut lines.own } else { &mut lines.given_away }.push(line.clone());
    }
    Ok(lines)
}

impl Closing {
    /// Finds the company; an error if a line of it is in use. Nothing is changed.
    pub async fn of(store: Store, id: &CompanyId, clock: SharedClock, waits: Waits) -> Result<Self, CloseError> {
        let record = store.companies().get(id).await?.ok_or_else(|| CloseError::Unknown(id.clone()))?;
        let db = CompanyDb::of(&store, &record);
        let closing = Self { store, clock, waits, record, db };
        closing.lines_are_out().await?;
        Ok(closing)
    }

    /// What there is to erase.
    pub async fn extent(&self) -> Result<Extent, StoreError> {
        let entries = self.db.log().collection().estimated_document_count().await.map_err(driver)?;
        Ok(Extent { erased: self.record.state == CompanyState::Erased, entries })
    }

    async fn lines_are_out(&self) -> Result<(), CloseError> {
        let routes = self.store.routes().all().await?;
        let used: Vec<PhoneNumberId> = routes
            .into_iter()
            .filter(|route| route.company_id == self.record.id && route.state.accepts())
            .map(|route| route.phone_number_id)
            .collect();
        if used.is_empty() { Ok(()) } else { Err(CloseError::InUse(used)) }
    }

    /// Erases it.
    pub async fn run(self, mut tell: impl FnMut(Step)) -> Result<(), CloseError> {
        if self.record.state == CompanyState::Active {
            // Whoever was asked may have thought about it for long, and `closed` can't be taken back.
            self.lines_are_out().await?;
            let left = self.close().await?;
            tell(Step::Closed(left));
            tokio::time::sleep(left).await;
            // A line that was sold to the company meanwhile writes nothing any more, but somebody expects it to.
            self.lines_are_out().await?;
            self.mark().await?;
        }
        tell(Step::Marked(self.waits.readers));
        tokio::time::sleep(self.waits.readers).await;
        // While the log still tells which lines were its own.
        tell(Step::Quarantine(self.clear_quarantine().await?));
        self.store.presence().forget(&self.record.id).await?;
        for _ in 0..3 {
            self.db.database().drop().await.map_err(driver)?;
            tokio::time::sleep(self.waits.settled).await;
            if self.db.database().list_collection_names().await.map_err(driver)?.is_empty() {
                tell(Step::Dropped);
                return Ok(());
            }
        }
        Err(CloseError::Written)
    }

    /// Closes the log; for how long is still to be waited.
    async fn close(&self) -> Result<Duration, StoreError> {
        let mut appender = self.db.log().appender(self.clock.clone());
        let deadline = Instant::now() + Duration::from_secs(30);
        appender.append_closed(deadline).await?;
        let closed = self.db.log().ours().await?.into_iter().rfind(|entry| entry.kind == Kind::Closed);
        let at: Timestamp = closed.map_or_else(|| self.clock.now(), |entry| entry.at);
        let passed = Duration::try_from(self.clock.now().duration_since(at)).unwrap_or_default();
        Ok(self.waits.writers.saturating_sub(passed))
    }

    async fn mark(&self) -> Result<(), StoreError> {
        let set = doc! { "$set": { "state": "erased", "erased_at": bson_time::to_bson(self.clock.now()) } };
        self.store.companies().update(&self.record.id, set).await
    }

    /// What waits in quarantine for lines that are nobody else's, and what was written to the others before they were.
    async fn clear_quarantine(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        for choice in lines_of(&self.store, &self.db).await?.choices() {
            removed += super::quarantine::remove_chosen(&self.store, &choice).await?;
        }
        Ok(removed)
    }
}
