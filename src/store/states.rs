//! How far each message has come, folded from its statuses, which arrive in any order: the collection `states`, one
//! document a message.
//!
//! Derived from the log and nothing else: each document carries the seq of the last status that it includes, and
//! `derived` carries how far the log was read, so any number of replicas may do this at once, be killed at any moment, and
//! begin anew. The statuses themselves stay in the log as they came, each once. The fold is pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::domain::Pii;

use super::bson_time;
use super::connect::bounded;
use super::error::{StoreError, is_duplicate_key};
use super::log::Log;
use super::log_entry::{Kind, LogEntry, Seq};

/// Statuses that are read at once.
const READ: usize = 500;
/// A batch that takes longer is given up; the next look goes on.
const LIMIT: Duration = Duration::from_secs(10);

/// Where a message stands; what comes later in this list goes over what comes before. `played` is a voice message's, after
/// `read` (facts 6.2); `failed` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Meta took it.
    Sent,
    /// It is on the candidate's phone.
    Delivered,
    /// It was read.
    Read,
    /// It was listened to.
    Played,
    /// It did not arrive and will not.
    Failed,
}

impl State {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Failed];

    /// Meta's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What is known of a message from its statuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageState {
    /// Meta's id of the message.
    #[serde(rename = "_id")]
    pub wamid: Pii<String>,
    /// Where it stands.
    pub state: State,
    /// When Meta says that it got there first, seconds since 1970; without a time it is 0.
    pub times: BTreeMap<State, i64>,
    /// Our id of the message, where the log knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Our id of the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_id: Option<String>,
    /// The last status of the log that is included.
    pub seq: Seq,
}

/// The message that a status speaks of: the first part of what makes its repeats recognisable.
pub(super) fn about(entry: &LogEntry) -> Option<&str> {
    parts(entry.meta_id.as_ref()?.expose(), entry.status.as_deref()?).map(|(wamid, _)| wamid)
}

/// Message and recipient in what makes a status' repeats recognisable. Without ids of Meta's it is a hash of the text, and
/// belongs to no message.
pub(super) fn parts<'a>(meta_id: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (wamid, rest) = meta_id.split_once(' ')?;
    Some((wamid, rest.strip_prefix(word)?.strip_prefix(' ')?))
}

/// Takes in an entry of the log. None: nothing is known yet, and this is no status that says anything.
fn fold(known: Option<MessageState>, entry: &LogEntry) -> Option<MessageState> {
    let told = entry.status.as_deref().and_then(State::of).zip(about(entry));
    let (Some((state, wamid)), Kind::Status) = (told, entry.kind) else { return known };
    let mut next = known.unwrap_or_else(|| MessageState {
        wamid: Pii(wamid.to_owned()),
        state,
        times: BTreeMap::new(),
        message_id: None,
        contact_id: None,
        seq: 0,
    });
    if entry.seq <= next.seq {
        return Some(next);
    }
    next.seq = entry.seq;
    next.state = next.state.max(state);
    let time = entry.timestamp.unwrap_or(0);
    next.times.entry(state).and_modify(|known| *known = time.min(*known)).or_insert(time);
    next.message_id = entry.message_id.clone().or(next.message_id);
    next.contact_id = entry.contact_id.clone().or(next.contact_id);
    Some(next)
}

/// The collections `states` and `derived` of a company.
#[derive(Clone)]
pub struct States {
    log: Log,
    states: Collection<MessageState>,
    derived: Collection<Document>,
}

/// `derived._id` of how far the statuses were read.
const PROGRESS: &str = "states";

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the states of messages", error)
}

pub(super) async fn ensure(database: &Database) -> Result<(), StoreError> {
    let named = |name: &str| IndexOptions::builder().name(name.to_owned()).build();
    let by_seq = IndexModel::builder().keys(doc! { "seq": 1 }).options(named("seq")).build();
    let by_contact = IndexModel::builder().keys(doc! { "contact_id": 1 }).options(named("contact")).build();
    database.collection::<Document>("states").create_indexes([by_seq, by_contact]).await.map_err(driver)?;
    Ok(())
}

impl States {
    pub(super) fn new(log: Log, database: &Database) -> Self {
        Self { log, states: database.collection("states"), derived: database.collection("derived") }
    }

    /// What is known of a message, by Meta's id of it.
    pub async fn get(&self, wamid: &str) -> Result<Option<MessageState>, StoreError> {
        self.states.find_one(doc! { "_id": wamid }).await.map_err(driver)
    }

    /// How far the log is included.
    async fn progress(&self) -> Result<Seq, StoreError> {
        let found = self.derived.find_one(doc! { "_id": PROGRESS }).await.map_err(driver)?;
        Ok(found.and_then(|document| document.get_i64("seq").ok()).unwrap_or(0))
    }

    /// Includes what is new in the log, batch by batch; how many statuses there were.
    pub async fn follow(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let states = self.clone();
            let batch = async move { states.batch(now).await };
            let (count, more) = bounded(Instant::now() + LIMIT, batch).await?;
            all += count;
            if !more {
                return Ok(all);
            }
        }
    }

    async fn batch(&self, now: Timestamp) -> Result<(usize, bool), StoreError> {
        // In this order: the head only grows, so progress that was read before it is beyond it in another log only.
        let mut after = self.progress().await?;
        let head = self.log.head().await?;
        if after > head {
            // Another log than the one that was read: a backup was put back.
            self.forget().await?;
            after = 0;
        }
        if after == head {
            return Ok((0, false));
        }
        let range = doc! { "_id": { "$gt": after, "$lte": head }, "kind": Kind::Status.as_str() };
        let found = self.log.collection().find(range).sort(doc! { "_id": 1 }).limit(i64::try_from(READ).unwrap_or(0));
        let entries: Vec<LogEntry> =
            found.projection(doc! { "raw": 0 }).await.map_err(driver)?.try_collect().await.map_err(driver)?;
        self.include(&entries).await?;
        self.forget_erased(&entries).await?;
        let more = entries.len() == READ;
        let done = entries.last().filter(|_| more).map_or(head, |entry| entry.seq);
        let moved = doc! { "$max": { "seq": done }, "$set": { "at": bson_time::to_bson(now) } };
        match self.derived.update_one(doc! { "_id": PROGRESS }, moved).upsert(true).await {
            Ok(_) => {}
            // Two first writes at once: the other replica's will do.
            Err(error) if is_duplicate_key(&error) => {}
            Err(error) => return Err(driver(error)),
        }
        Ok((entries.len(), more))
    }

    /// A candidate may have been erased since these entries were read: whoever looks last sees the other.
    async fn forget_erased(&self, entries: &[LogEntry]) -> Result<(), StoreError> {
        let seqs: Vec<Seq> = entries.iter().map(|entry| entry.seq).collect();
        let stubs = doc! { "_id": { "$in": seqs }, "kind": Kind::Erased.as_str() };
        let found = self.log.collection().find(stubs).projection(doc! { "raw": 0 }).await.map_err(driver)?;
        let stubs: HashSet<Seq> = found.map_ok(|stub| stub.seq).try_collect().await.map_err(driver)?;
        let wamids: Vec<&str> = entries.iter().filter(|entry| stubs.contains(&entry.seq)).filter_map(about).collect();
        if wamids.is_empty() { Ok(()) } else { self.erase(&[], &wamids).await }
    }

    /// Folds these entries into their messages' documents. Of one message all earlier statuses must be included already.
    async fn include(&self, entries: &[LogEntry]) -> Result<(), StoreError> {
        let mut by_message: HashMap<&str, Vec<&LogEntry>> = HashMap::new();
        for entry in entries {
            if let Some(wamid) = about(entry) {
                by_message.entry(wamid).or_default().push(entry);
            }
        }
        let wamids: Vec<&str> = by_message.keys().copied().collect();
        if wamids.is_empty() {
            return Ok(());
        }
        let found = self.states.find(doc! { "_id": { "$in": wamids } }).await.map_err(driver)?;
        let known: Vec<MessageState> = found.try_collect().await.map_err(driver)?;
        let mut known: HashMap<String, MessageState> =
            known.into_iter().map(|state| (state.wamid.expose().clone(), state)).collect();
        for (wamid, entries) in by_message {
            self.write(wamid, known.remove(wamid), &entries).await?;
        }
        Ok(())
    }

    /// Writes a message's document over the one that was read; read anew where another replica was faster.
    async fn write(
        &self,
        wamid: &str,
        mut known: Option<MessageState>,
        entries: &[&LogEntry],
    ) -> Result<(), StoreError> {
        loop {
            let Some(next) = entries.iter().fold(known.clone(), |state, entry| fold(state, entry)) else {
                return Ok(());
            };
            let written = match &known {
                Some(known) if *known == next => return Ok(()),
                Some(known) => {
                    let was = doc! { "_id": wamid, "seq": known.seq };
                    self.states.replace_one(was, &next).await.map(|done| done.matched_count == 1)
                }
                None => self.states.insert_one(&next).await.map(|_| true),
            };
            match written {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if is_duplicate_key(&error) => {}
                Err(error) => return Err(driver(error)),
            }
            known = self.get(wamid).await?;
        }
    }

    /// Removes the states of messages of which the log keeps no status any more.
    pub async fn remove_stale(&self) -> Result<u64, StoreError> {
        // In this order: what comes in between is not below it.
        let head = self.log.head().await?;
        let oldest = self.log.oldest().await?.unwrap_or(head + 1);
        let removed = self.states.delete_many(doc! { "seq": { "$lt": oldest } }).await.map_err(driver)?;
        Ok(removed.deleted_count)
    }

    /// Removes what is known of these candidates' messages, and of these messages.
    pub(super) async fn erase(&self, contact_ids: &[String], wamids: &[&str]) -> Result<(), StoreError> {
        let theirs = doc! { "$or": [{ "contact_id": { "$in": contact_ids } }, { "_id": { "$in": wamids } }] };
        self.states.delete_many(theirs).await.map_err(driver)?;
        Ok(())
    }

    /// Forgets all: the next look begins at the log's beginning.
    pub async fn forget(&self) -> Result<(), StoreError> {
        // The other way round a replica could go on in the middle of nothing.
        self.derived.delete_one(doc! { "_id": PROGRESS }).await.map_err(driver)?;
        self.states.delete_many(doc! {}).await.map_err(driver)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "states_tests.rs"]
mod tests;
