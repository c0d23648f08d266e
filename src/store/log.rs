//! A company's append-only log, read. `_id` is the seq: 1, 2, 3 ... without gaps, so "everything after n" is complete by
//! construction. All reads are majority reads on the primary.
//!
//! Writing is the [`Appender`](super::Appender)'s; nothing here inserts.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use tokio::time::Instant;

use crate::domain::{CompanyId, PhoneNumberId, SharedClock};

use super::appender::Appender;
use super::bson_time;
use super::connect::bounded;
use super::contacts;
use super::cursors::{self, Cursor, Start};
use super::error::StoreError;
use super::fences::Fences;
use super::log_entry::{Kind, LogEntry, Seq};
use super::states;

/// Reads are given up after this long.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// What a writer reads is given up by the server after this long, whether or not anybody waits for it any more: the
/// connections are everybody's.
pub(super) const READ: Duration = Duration::from_secs(3);

/// Entries that are read for what the newest of them tells.
const LAST: Seq = 2000;

const UNIQUE: &str = "meta_id_unique";
const CONTACT: &str = "contact";
const MERGED: &str = "contact_merged";
const USER: &str = "contact_user";
const PHONE: &str = "contact_phone";
/// What a writer needs.
const NEEDED: [&str; 5] = [UNIQUE, CONTACT, MERGED, USER, PHONE];

/// Consecutive entries.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Ascending seq.
    pub entries: Vec<LogEntry>,
    /// Is there more in the direction that was read?
    pub more: bool,
}

/// The log of one company.
#[derive(Clone)]
pub struct Log {
    company: CompanyId,
    entries: Collection<LogEntry>,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the log", error)
}

/// Creates the log's indexes and those of what is derived from it. Idempotent.
pub(super) async fn ensure(database: &Database) -> Result<(), StoreError> {
    let present = |field: &str| doc! { field: { "$exists": true } };
    let partial = |keys: Document, name: &str, unique: bool, filter: Document| {
        let options = IndexOptions::builder()
            .name(name.to_owned())
            .unique(unique.then_some(true))
            .partial_filter_expression(filter)
            .build();
        IndexModel::builder().keys(keys).options(options).build()
    };
    let indexes = [
        partial(doc! { "meta_id": 1 }, UNIQUE, true, present("meta_id")),
        partial(doc! { "kind": 1, "_id": 1 }, "fences", false, doc! { "ours": true }),
        partial(doc! { "contact_id": 1, "_id": -1 }, CONTACT, false, present("contact_id")),
        partial(doc! { "merged": 1 }, MERGED, false, present("merged")),
        partial(doc! { "contact.user_id": 1, "_id": -1 }, USER, false, present("contact.user_id")),
        partial(doc! { "contact.wa_id": 1, "_id": -1 }, PHONE, false, present("contact.wa_id")),
    ];
    database.collection::<LogEntry>("log").create_indexes(indexes).await.map_err(driver)?;
    states::ensure(database).await?;
    cursors::ensure(database).await
}

impl Log {
    pub(super) fn new(company: CompanyId, database: &Database) -> Self {
        Self { company, entries: database.collection("log") }
    }

    /// Whose log.
    pub fn company(&self) -> &CompanyId {
        &self.company
    }

    /// A writer. One for each company and process is best: several are correct, but get in each other's way.
    pub fn appender(&self, clock: SharedClock) -> Appender {
        Appender::new(self.clone(), clock)
    }

    pub(super) fn collection(&self) -> &Collection<LogEntry> {
        &self.entries
    }

    /// Are the indexes there: the one without which a repeat of Meta's would be stored twice, and those without which each
    /// look for a candidate reads the whole log? Check it before the first append.
    pub async fn check_indexes(&self) -> Result<(), StoreError> {
        let names = match self.entries.list_index_names().await {
            Ok(names) => names,
            // 26: the collection does not exist.
            Err(error) if super::error::server_code(&error).is_some_and(|(code, _)| code == 26) => Vec::new(),
            Err(error) => return Err(driver(error)),
        };
        match NEEDED.into_iter().find(|index| names.iter().all(|name| name != index)) {
            Some(index) => Err(StoreError::IndexMissing { company: self.company.clone(), index }),
            None => Ok(()),
        }
    }

    /// The newest entry.
    pub async fn newest(&self) -> Result<Option<LogEntry>, StoreError> {
        let find = self.entries.find_one(doc! {}).sort(doc! { "_id": -1 }).max_time(READ_LIMIT);
        find.await.map_err(driver)
    }

    /// The newest seq; 0 while the log is empty.
    pub async fn head(&self) -> Result<Seq, StoreError> {
        self.edge(Document::new(), -1).await.map(|seq| seq.unwrap_or(0))
    }

    /// The oldest kept item; None while there is none. Entries of ours don't count: they are kept for ever, and would
    /// pretend that nothing was removed.
    pub async fn oldest(&self) -> Result<Option<Seq>, StoreError> {
        self.edge(doc! { "ours": { "$ne": true } }, 1).await
    }

    async fn edge(&self, filter: Document, direction: i32) -> Result<Option<Seq>, StoreError> {
        let find = self
            .entries
            .clone_with_type::<Document>()
            .find_one(filter)
            .sort(doc! { "_id": direction })
            .projection(doc! { "_id": 1 })
            .max_time(READ_LIMIT)
            .await
            .map_err(driver)?;
        Ok(find.and_then(|document| document.get_i64("_id").ok()))
    }

    /// One entry.
    pub async fn entry(&self, seq: Seq) -> Result<Option<LogEntry>, StoreError> {
        self.entries.find_one(doc! { "_id": seq }).max_time(READ_LIMIT).await.map_err(driver)
    }

    /// What follows `seq`: at most `limit` entries and about `max_bytes`, but at least one if there is one.
    pub async fn read_after(&self, seq: Seq, limit: usize, max_bytes: usize) -> Result<Page, StoreError> {
        self.page(doc! { "_id": { "$gt": seq } }, 1, limit, max_bytes).await
    }

    /// What precedes `before` (None: the newest), of one contact or of all. Entries are in ascending order.
    pub async fn read_before(
        &self,
        before: Option<Seq>,
        contact_id: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Page, StoreError> {
        let mut filter = Document::new();
        if let Some(before) = before {
            filter.insert("_id", doc! { "$lt": before });
        }
        if let Some(contact) = contact_id {
            // What was written while two contacts were not known to be one is this contact's too.
            let ids = contacts::all_ids(&self.entries, contact, Instant::now() + READ_LIMIT).await?;
            filter.insert("contact_id", doc! { "$in": ids });
        }
        let mut page = self.page(filter, -1, limit, max_bytes).await?;
        page.entries.reverse();
        Ok(page)
    }

    pub(super) async fn page(
        &self,
        filter: Document,
        direction: i32,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Page, StoreError> {
        let limit_i64 = i64::try_from(limit).unwrap_or(i64::MAX - 1);
        let entries = self.entries.clone();
        let read = async move {
            let mut cursor = entries
                .find(filter)
                .sort(doc! { "_id": direction })
                .limit(limit_i64 + 1)
                .max_time(READ_LIMIT)
                .await
                .map_err(driver)?;
            let mut page = Page::default();
            let mut bytes = 0;
            while let Some(entry) = cursor.try_next().await.map_err(driver)? {
                bytes += entry.weight();
                if page.entries.len() == limit || (bytes > max_bytes && !page.entries.is_empty()) {
                    page.more = true;
                    break;
                }
                page.entries.push(entry);
            }
            Ok(page)
        };
        bounded(Instant::now() + READ_LIMIT, read).await
    }

    /// Meta's time of a line's newest message among the log's last entries, seconds since 1970. Meta tells late what it could
    /// not tell sooner, so the newest by Meta's time need not be the last that came.
    pub async fn newest_message(&self, line: &PhoneNumberId) -> Result<Option<i64>, StoreError> {
        let last = self.tail((self.head().await? - LAST).max(0), usize::try_from(LAST).unwrap_or(usize::MAX)).await?;
        let of_line = |entry: &&LogEntry| entry.line.as_ref().is_some_and(|l| l.phone_number_id == *line);
        let messages = last.iter().filter(|entry| entry.kind == Kind::Message).filter(of_line);
        Ok(messages.filter_map(|entry| entry.timestamp).max())
    }

    /// What follows `seq`, at most so many and without Meta's text: what a writer must know of the tail.
    pub(super) async fn tail(&self, seq: Seq, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let cursor = self
            .entries
            .find(doc! { "_id": { "$gt": seq } })
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .projection(doc! { "raw": 0 })
            .max_time(READ)
            .await
            .map_err(driver)?;
        cursor.try_collect().await.map_err(driver)
    }

    /// Which lines the log holds, from its fences.
    pub async fn fences(&self) -> Result<Fences, StoreError> {
        let mut fences = Fences::default();
        self.ours().await?.iter().for_each(|entry| fences.fold(entry));
        Ok(fences)
    }

    /// Fences, `closed` and erasures, in the order of seq.
    pub(super) async fn ours(&self) -> Result<Vec<LogEntry>, StoreError> {
        let kinds = [Kind::Fence, Kind::Closed, Kind::Erasure].map(Kind::as_str);
        let cursor = self
            .entries
            .find(doc! { "ours": true, "kind": { "$in": kinds.as_slice() } })
            .sort(doc! { "_id": 1 })
            .max_time(READ)
            .await
            .map_err(driver)?;
        cursor.try_collect().await.map_err(driver)
    }

    /// Where a device without a cursor begins: before the newest `max` entries, and not before `since`.
    pub async fn start_for_new(&self, max: usize, since: Timestamp) -> Result<Seq, StoreError> {
        let head = self.head().await?;
        let floor = head.saturating_sub(i64::try_from(max).unwrap_or(i64::MAX)).max(0);
        let first = self
            .entries
            .find_one(doc! { "_id": { "$gt": floor }, "at": { "$gte": bson_time::to_bson(since) } })
            .sort(doc! { "_id": 1 })
            .projection(doc! { "raw": 0 })
            .max_time(READ_LIMIT)
            .await
            .map_err(driver)?;
        Ok(first.map_or(head, |entry| entry.seq - 1))
    }

    /// The cursor that stands on `seq`: of the entry there, or the empty one for 0.
    pub async fn cursor_at(&self, seq: Seq) -> Result<Cursor, StoreError> {
        Ok(match self.entry(seq).await? {
            Some(entry) => entry.cursor(),
            None => Cursor { seq, fingerprint: String::new() },
        })
    }

    /// Where a client with this cursor goes on, or that it must start anew. `head` may be a moment old.
    pub async fn judge(&self, cursor: &Cursor, head: Seq) -> Result<Start, StoreError> {
        // What is there needs no comparison with what is kept: most who come back cost one look.
        let here = self.entry(cursor.seq).await?;
        let next = match &here {
            Some(_) => None,
            None => self.edge(doc! { "_id": { "$gt": cursor.seq } }, 1).await?,
        };
        let head = if here.is_some() { head.max(cursor.seq) } else { head };
        Ok(cursors::judge(cursor, here.as_ref().map(|entry| entry.fp.as_str()), next, head))
    }
}
