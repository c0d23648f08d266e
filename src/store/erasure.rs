//! Erasing a candidate: what the company's database holds of them becomes stubs of seq, kind, time, fingerprint and contact
//! id; names, ids and texts are gone.
//!
//! An erasure is told in the log itself, by entries of ours that name the contacts: writers forget them when they read it,
//! so that whoever comes back is a new contact, and clients learn what to remove, also those that are away. The first such
//! entry stands before any stub is made, the last one after all of them: whatever a client read in between, it is told
//! afterwards. Killed at any moment, it goes on by the contact's id.
//! What Meta sends again is recognised by hashes and not stored a second time. Must never touch another contact's items,
//! but for events (no message of anybody) whose text names the candidate.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use mongodb::bson::{Document, doc};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::domain::{CompanyId, Pii, SharedClock};

use super::company_db::CompanyDb;
use super::contacts::all_ids;
use super::error::StoreError;
use super::log_entry::{Kind, LogEntry, NewEntry, Seq};
use super::states::{about, parts};

/// What is younger than this can come again, or be spoken of by a status: Meta keeps a message for a month.
const COMES_AGAIN: SignedDuration = SignedDuration::from_hours(31 * 24);
/// Hashes in one entry at most.
const HASHES: usize = 1000;
/// Stubs that are written at once.
const AT_ONCE: usize = 8;
/// A candidate who goes on writing all the while is given up on after so many passes.
const PASSES: usize = 20;
/// One append of ours may take so long.
const LIMIT: Duration = Duration::from_secs(30);

/// What of Meta's was erased, as a hash that only serves to recognise it: its ids are long and random.
pub(super) fn gone(company: &CompanyId, meta_id: &Pii<String>) -> String {
    let whole =
        Sha256::new().chain_update(company.as_str()).chain_update("\n").chain_update(meta_id.expose()).finalize();
    hex::encode(&whole[..16])
}

/// Who is to be erased.
#[derive(Debug, Clone)]
pub enum Whom {
    /// By our id, as items bear it.
    Contact(String),
    /// By BSUID.
    User(Pii<String>),
    /// By phone number, digits only.
    Phone(Pii<String>),
}

impl Whom {
    /// What is given of Meta's.
    pub fn identifiers(&self) -> BTreeSet<Pii<String>> {
        match self {
            Self::Contact(_) => BTreeSet::new(),
            Self::User(id) | Self::Phone(id) => BTreeSet::from([id.clone()]),
        }
    }
}

/// Why nobody was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The log knows nobody like that.
    #[error(
        "the company's log knows nobody by that id; an erasure that was cut short goes on by the contact id that it showed (--contact)"
    )]
    Nobody,
    /// The id was several people's.
    #[error("several contacts had that id: {}; erase each that is meant by its contact id", .0.join(", "))]
    Several(Vec<String>),
    /// The candidate writes faster than can be erased.
    #[error("new items of the contact kept coming: run the same command again")]
    Restless,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A contact, with all that it was ever called.
#[derive(Debug, Clone)]
pub struct Found {
    /// Ids of ours: its own and those that were merged into it.
    pub contact_ids: Vec<String>,
    /// Entries of the log that are to become stubs.
    pub items: usize,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Erased {
    /// Entries that were the contact's.
    pub items: usize,
    /// Entries that spoke of the contact.
    pub events: usize,
    /// Ids of Meta's that the contact had, and those of its messages.
    pub identifiers: BTreeSet<Pii<String>>,
    /// Where the log tells of it last.
    pub told_at: Seq,
}

/// An entry that is to become a stub.
struct Doomed {
    entry: LogEntry,
    event: bool,
}

/// Erases candidates of one company.
pub struct Erasure {
    db: CompanyDb,
    clock: SharedClock,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the log", error)
}

impl CompanyDb {
    /// For erasing candidates.
    pub fn erasure(&self, clock: SharedClock) -> Erasure {
        Erasure { db: self.clone(), clock }
    }
}

impl Erasure {
    /// Who that is; nothing is changed.
    pub async fn find(&self, whom: &Whom) -> Result<Found, EraseError> {
        let log = self.db.log();
        let named = match whom {
            Whom::Contact(id) => vec![id.clone()],
            Whom::User(id) => self.contacts_with("contact.user_id", id).await?,
            Whom::Phone(id) => self.contacts_with("contact.wa_id", id).await?,
        };
        let mut groups: Vec<BTreeSet<String>> = Vec::new();
        for id in named {
            if groups.iter().all(|group| !group.contains(&id)) {
                let all = all_ids(log.collection(), &id, Instant::now() + LIMIT).await?;
                groups.push(all.into_iter().collect());
            }
        }
        let mut ids = match (groups.pop(), groups.is_empty()) {
            (None, _) => return Err(EraseError::Nobody),
            (Some(only), true) => only,
            (Some(last), false) => {
                groups.push(last);
                return Err(EraseError::Several(
                    groups.into_iter().filter_map(|group| group.into_iter().next()).collect(),
                ));
            }
        };
        // An erasure that was cut half-way knows ids whose merges are stubs by now.
        let mut told = false;
        for entry in log.ours().await? {
            if entry.erased.iter().any(|id| ids.contains(id)) {
                ids.extend(entry.erased);
                told = true;
            }
        }
        let contact_ids: Vec<String> = ids.into_iter().collect();
        let items = log.collection().count_documents(of(&contact_ids)).await.map_err(driver)?;
        if items == 0 && !told {
            return Err(EraseError::Nobody);
        }
        Ok(Found { contact_ids, items: usize::try_from(items).unwrap_or(usize::MAX) })
    }

    async fn contacts_with(&self, field: &str, id: &Pii<String>) -> Result<Vec<String>, StoreError> {
        let log = self.db.log();
        let ids = log.collection().distinct("contact_id", doc! { field: id.expose() }).await.map_err(driver)?;
        Ok(ids.iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect())
    }

    /// Ids of Meta's that the contact has, and those of its messages, as far as the log still tells.
    pub async fn identifiers(&self, found: &Found) -> Result<BTreeSet<Pii<String>>, StoreError> {
        let mut identifiers = BTreeSet::new();
        self.collect(&found.contact_ids, &mut identifiers).await?;
        Ok(identifiers)
    }

    /// Erases a contact that was found. What the candidate writes while this runs is either erased too or a new contact's.
    /// `waiting`: Meta's ids of what of theirs never reached the log and must not come into it, as it waits elsewhere.
    pub async fn erase(&self, found: &Found, waiting: &BTreeSet<Pii<String>>) -> Result<Erased, EraseError> {
        let mut appender = self.db.log().appender(self.clock.clone());
        let mut done = Erased::default();
        let mut told = false;
        let mut shared = HashSet::new();
        let mut waiting: Vec<String> = waiting.iter().map(|id| gone(self.db.company(), id)).collect();
        let mut ids = found.contact_ids.clone();
        for _ in 0..PASSES {
            // Who turned out to be the same person since is the same person: what tells it becomes a stub below.
            for id in ids.clone() {
                ids.extend(all_ids(self.db.log().collection(), &id, Instant::now() + LIMIT).await?);
            }
            ids.sort_unstable();
            ids.dedup();
            let doomed = self.collect(&ids, &mut done.identifiers).await?;
            shared.extend(self.shared(&ids, &doomed).await?);
            self.forget_states(&ids, &done, &shared).await?;
            if doomed.is_empty() && told {
                return Ok(done);
            }
            // Before the first stub: from here on no writer knows the contact.
            let mut hashes = self.hashes(&doomed, &shared);
            hashes.append(&mut waiting);
            loop {
                let rest = hashes.split_off(hashes.len().min(HASHES));
                let entry = NewEntry { erased: ids.clone(), gone: hashes, ..NewEntry::of(Kind::Erasure) };
                appender.append_ours(entry, Instant::now() + LIMIT).await?;
                hashes = rest;
                if hashes.is_empty() {
                    break;
                }
            }
            done.told_at = self.db.log().head().await?;
            // The last one must stand after the last stub.
            told = doomed.is_empty();
            done.events += doomed.iter().filter(|doomed| doomed.event).count();
            done.items += doomed.iter().filter(|doomed| !doomed.event).count();
            self.stub(doomed).await?;
        }
        Err(EraseError::Restless)
    }

    /// Keeps these of Meta's ids out of the log, of somebody whom it does not know.
    pub async fn keep_out(&self, waiting: &BTreeSet<Pii<String>>) -> Result<(), StoreError> {
        let hashes: Vec<String> = waiting.iter().map(|id| gone(self.db.company(), id)).collect();
        let mut appender = self.db.log().appender(self.clock.clone());
        for some in hashes.chunks(HASHES) {
            let entry = NewEntry { gone: some.to_vec(), ..NewEntry::of(Kind::Erasure) };
            appender.append_ours(entry, Instant::now() + LIMIT).await?;
        }
        Ok(())
    }

    /// What is still to become a stub: events first, since they are found by what the items say.
    async fn collect(
        &self,
        ids: &[String],
        identifiers: &mut BTreeSet<Pii<String>>,
    ) -> Result<Vec<Doomed>, StoreError> {
        let log = self.db.log();
        let found = log.collection().find(of(ids)).sort(doc! { "_id": 1 }).projection(doc! { "raw": 0 });
        let items: Vec<LogEntry> = found.await.map_err(driver)?.try_collect().await.map_err(driver)?;
        for entry in &items {
            identifiers.extend(entry.contact.iter().flat_map(|c| [&c.user_id, &c.wa_id]).flatten().cloned());
            let message = entry.meta_id.clone().filter(|_| matches!(entry.kind, Kind::Message | Kind::Sent));
            identifiers.extend(message.or_else(|| about(entry).map(|wamid| Pii(wamid.to_owned()))));
        }
        let known: HashSet<Seq> = items.iter().map(|entry| entry.seq).collect();
        let mut all = Vec::new();
        if !identifiers.is_empty() {
            let events = log.collection().find(doc! { "kind": Kind::Event.as_str() }).await.map_err(driver)?;
            let named: Vec<LogEntry> = events
                .try_filter(|entry| std::future::ready(!known.contains(&entry.seq) && names(entry, identifiers)))
                .map_ok(|entry| LogEntry { raw: None, ..entry })
                .try_collect()
                .await
                .map_err(driver)?;
            all.extend(named.into_iter().map(|entry| Doomed { entry, event: true }));
        }
        all.extend(items.into_iter().map(|entry| Doomed { entry, event: false }));
        Ok(all)
    }

    /// Messages of which the log has others' statuses too: those to a group. What comes of them later is the others' as well.
    async fn shared(&self, ids: &[String], doomed: &[Doomed]) -> Result<HashSet<String>, StoreError> {
        let wamids: BTreeSet<String> =
            doomed.iter().filter_map(|doomed| about(&doomed.entry)).map(str::to_owned).collect();
        let log = self.db.log();
        let others = stream::iter(wamids).map(|wamid| {
            let collection = log.collection().clone();
            // Whatever begins with the message's id and a space.
            let of_message = doc! { "$gte": format!("{wamid} "), "$lt": format!("{wamid}!") };
            let theirs = doc! {
                "meta_id": of_message, "kind": Kind::Status.as_str(), "contact_id": { "$nin": ids },
            };
            async move {
                let count = collection.count_documents(theirs).limit(1).await.map_err(driver)?;
                Ok::<_, StoreError>((count > 0).then_some(wamid))
            }
        });
        let found: Vec<Option<String>> = others.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What may come again.
    fn hashes(&self, doomed: &[Doomed], shared: &HashSet<String>) -> Vec<String> {
        let since = self.clock.now().checked_sub(COMES_AGAIN).unwrap_or(Timestamp::MIN);
        let young = doomed.iter().map(|doomed| &doomed.entry).filter(|entry| entry.at >= since);
        let ids = young.flat_map(|entry| {
            let later = match about(entry) {
                Some(wamid) if shared.contains(wamid) => told_to_entry(entry),
                wamid => wamid.map(|wamid| Pii(wamid.to_owned())),
            };
            [entry.meta_id.clone(), later]
        });
        let unique: BTreeSet<String> = ids.flatten().map(|id| gone(self.db.company(), &id)).collect();
        unique.into_iter().collect()
    }

    async fn stub(&self, doomed: Vec<Doomed>) -> Result<(), StoreError> {
        let log = self.db.log();
        let (events, items): (Vec<_>, Vec<_>) = doomed.into_iter().partition(|doomed| doomed.event);
        for some in [events, items] {
            stream::iter(some)
                .map(|doomed| {
                    let collection = log.collection().clone();
                    async move {
                        let stub = stub(doomed.entry);
                        collection.replace_one(doc! { "_id": stub.seq }, &stub).await.map_err(driver)
                    }
                })
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<_>>()
                .await?;
        }
        Ok(())
    }

    async fn forget_states(&self, ids: &[String], done: &Erased, shared: &HashSet<String>) -> Result<(), StoreError> {
        let all = done.identifiers.iter().map(|id| id.expose().as_str());
        let wamids: Vec<&str> = all.filter(|wamid| !shared.contains(*wamid)).collect();
        self.db.states().erase(ids, &wamids).await
    }
}

/// What a recipient is told of a message, whatever word it is told with.
pub(super) fn told_to(meta_id: &Pii<String>, word: &str) -> Option<Pii<String>> {
    parts(meta_id.expose(), word).map(|(wamid, recipient)| Pii(format!("{wamid} {recipient}")))
}

fn told_to_entry(entry: &LogEntry) -> Option<Pii<String>> {
    told_to(entry.meta_id.as_ref()?, entry.status.as_deref()?)
}

fn of(ids: &[String]) -> Document {
    doc! { "contact_id": { "$in": ids }, "kind": { "$ne": Kind::Erased.as_str() }, "ours": { "$ne": true } }
}

/// What is left of an entry.
fn stub(entry: LogEntry) -> LogEntry {
    LogEntry {
        seq: entry.seq,
        kind: Kind::Erased,
        at: entry.at,
        // So that cursors which stand on it go on.
        fp: entry.fp,
        contact_id: entry.contact_id,
        ours: false,
        line: None,
        epoch: None,
        action: None,
        meta_id: None,
        contact: None,
        message_id: None,
        reply_to: None,
        refers_to: None,
        kind_of_message: None,
        status: None,
        timestamp: None,
        field: None,
        client_ref: None,
        recruiter: None,
        merged: Vec::new(),
        erased: Vec::new(),
        gone: Vec::new(),
        raw: None,
    }
}

/// Does an entry's text name one of these?
fn names(entry: &LogEntry, identifiers: &BTreeSet<Pii<String>>) -> bool {
    entry.raw.as_ref().is_some_and(|raw| mentions(raw.expose(), identifiers))
}

/// Is one of these in the text, whole and not as a part of a longer id?
pub fn mentions(text: &str, identifiers: &BTreeSet<Pii<String>>) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    identifiers.iter().map(|id| id.expose().as_str()).filter(|id| !id.is_empty()).any(|id| {
        text.match_indices(id)
            .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + id.len()..].chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_ids_only() {
        let ids = ["MA.12", "212611", "wamid.A="].map(|id| Pii(id.to_owned())).into();
        for (text, want) in [
            (r#"{"user_id":"MA.12"}"#, true),
            (r#"{"user_id":"MA.123"}"#, false),
            (r#"{"wa_id":"212611","user_id":"MA.123"}"#, true),
            (r#"{"wa_id":"9212611"}"#, false),
            ("+212611", true),
            (r#"{"id":"wamid.A="}"#, true),
            (r#"{"id":"wamid.A"}"#, false),
            ("212611", true),
            ("212611 and 2126112", true),
            ("", false),
        ] {
            assert_eq!(mentions(text, &ids), want, "{text}");
        }
        assert!(!mentions("anything", &BTreeSet::from([Pii(String::new())])));
    }

    #[test]
    fn a_hash_is_of_one_company() {
        let (atlas, rif) = (CompanyId::parse("atlas").unwrap(), CompanyId::parse("rif").unwrap());
        let id = Pii("wamid.1".to_owned());
        assert_eq!(gone(&atlas, &id), gone(&atlas, &id));
        assert_ne!(gone(&atlas, &id), gone(&rif, &id));
        assert_ne!(gone(&atlas, &id), gone(&atlas, &Pii("wamid.2".into())));
        assert!(!gone(&atlas, &id).contains("wamid"));
    }
}
