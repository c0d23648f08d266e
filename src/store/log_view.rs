//! What a writer knows of a log, and how it comes to know it: by having read every entry up to head, fences included.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::bson::doc;

use crate::domain::Pii;

use super::append_job::Job;
use super::connect::Within;
use super::error::StoreError;
use super::fences::Fences;
use super::log::{Log, READ};
use super::log_entry::{LogEntry, Seq};
use super::people::People;

/// Entries that a writer which fell behind reads at once.
const TAIL: usize = 2_000;

/// What a writer knows of the log, up to `head`.
pub(super) struct View {
    pub(super) head: Seq,
    pub(super) fences: Fences,
    pub(super) people: People,
    /// What was erased of Meta's and may still come again.
    pub(super) gone: HashSet<String>,
}

impl View {
    pub(super) fn fold(&mut self, entry: &LogEntry) {
        self.fences.fold(entry);
        self.people.fold(entry);
        self.gone.extend(entry.gone.iter().cloned());
        self.head = entry.seq;
    }
}

/// The log as it is now. Head first, then the fences: a fence that is written between the two is read as well, while in
/// the other order it would be missed.
pub(super) async fn open(log: &Log) -> Result<View, StoreError> {
    let head = log.head().await?;
    let (mut fences, mut gone) = (Fences::default(), HashSet::new());
    for entry in log.ours().await? {
        fences.fold(&entry);
        // Without an end: they are few, and a status comes up to a month after its message.
        gone.extend(entry.gone);
    }
    Ok(View { head, fences, people: People::default(), gone })
}

/// Reads what was appended since, by others or by us, and settles what is there. How many entries there were.
pub(super) async fn catch_up(log: &Log, view: &mut View, job: &mut Job, within: &Within) -> Result<usize, StoreError> {
    let mut count = 0;
    loop {
        let (reader, head) = (log.clone(), view.head);
        let tail = within.run(async move { reader.tail(head, TAIL).await }).await?;
        for entry in &tail {
            if entry.seq != view.head + 1 {
                // Must not happen; nothing may be appended behind a hole.
                return Err(StoreError::Unreadable { what: "the log", field: "its numbers have a gap".into() });
            }
            view.fold(entry);
            job.learn(entry);
        }
        let read = tail.len();
        job.settle_present(tail);
        count += read;
        if read < TAIL {
            return Ok(count);
        }
    }
}

/// The entries that bear these ids, without Meta's text.
pub(super) async fn find_by_meta_id(
    log: &Log,
    ids: Vec<Pii<String>>,
    within: &Within,
) -> Result<HashMap<Pii<String>, LogEntry>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let collection = log.collection().clone();
    within
        .run(async move {
            let ids: Vec<&str> = ids.iter().map(|id| id.expose().as_str()).collect();
            let read = |e| StoreError::from_driver("the log", e);
            let found = collection.find(doc! { "meta_id": { "$in": ids } }).projection(doc! { "raw": 0 });
            let cursor = found.max_time(READ).await.map_err(read)?;
            let found: Vec<LogEntry> = cursor.try_collect().await.map_err(read)?;
            Ok(found.into_iter().filter_map(|entry| Some((entry.meta_id.clone()?, entry))).collect())
        })
        .await
}
