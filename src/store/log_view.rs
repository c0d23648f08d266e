//! What a writer knows of a log, and how it comes to know it: by having read every entry up to head, fences included.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde::Deserialize;

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
    /// The fingerprint of the entry there.
    fp: String,
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
        self.fp.clone_from(&entry.fp);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { seq: self.head, fp: self.fp.clone() }
    }
}

/// A place in a log, and what stands there.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Mark {
    #[serde(rename = "_id")]
    seq: Seq,
    #[serde(default)]
    fp: String,
}

/// The log as it is now; None where all that is known of it up to `known` still holds and not much was added since. A log
/// that was restored from a backup meanwhile is another one.
/// Head first, then the fences: a fence that is written between the two is read as well, while in the other order it would
/// be missed.
pub(super) async fn open(log: &Log, known: Option<Mark>) -> Result<Option<View>, StoreError> {
    let head = mark(log, Document::new()).await?.unwrap_or_default();
    if let Some(known) = known.filter(|known| goes_on(known, &head)) {
        let same = known == head || mark(log, doc! { "_id": known.seq }).await? == Some(known);
        if same {
            return Ok(None);
        }
    }
    let (mut fences, mut people, mut gone) = (Fences::default(), People::default(), HashSet::new());
    for entry in log.ours().await? {
        fences.fold(&entry);
        people.fold(&entry);
        // Without an end: they are few, and a status comes up to a month after its message.
        gone.extend(entry.gone);
    }
    Ok(Some(View { head: head.seq, fp: head.fp, fences, people, gone }))
}

/// May a log with this head be the one that was known up to there, and is it worth reading what was added?
fn goes_on(known: &Mark, head: &Mark) -> bool {
    !known.fp.is_empty() && usize::try_from(head.seq - known.seq).is_ok_and(|more| more < TAIL)
}

async fn mark(log: &Log, filter: Document) -> Result<Option<Mark>, StoreError> {
    let marks = log.collection().clone_with_type::<Mark>();
    let newest = marks.find_one(filter).sort(doc! { "_id": -1 });
    let mark = newest.projection(doc! { "_id": 1, "fp": 1 }).max_time(READ).await;
    mark.map_err(|e| StoreError::from_driver("the log", e))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_is_kept_where_it_may_still_hold() {
        let mark = |seq: Seq, fp: &str| Mark { seq, fp: fp.into() };
        let most = Seq::try_from(TAIL).unwrap();
        for (what, known, head, want) in [
            ("nothing new", mark(7, "a"), mark(7, "a"), true),
            ("something new", mark(7, "a"), mark(9, "b"), true),
            ("much that is new", mark(7, "a"), mark(7 + most, "b"), false),
            ("a log that is shorter than it was", mark(7, "a"), mark(6, "b"), false),
            ("a log that is empty again", mark(7, "a"), Mark::default(), false),
            ("an empty one that was known", Mark::default(), mark(1, "a"), false),
            ("an entry without a fingerprint", mark(7, ""), mark(7, ""), false),
        ] {
            assert_eq!(goes_on(&known, &head), want, "{what}");
        }
    }
}
