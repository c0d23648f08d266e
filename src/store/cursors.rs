//! Cursors: how far a client has come, as an opaque string `<seq>.<fingerprint of that entry>`.
//!
//! The fingerprint is what tells a restored backup from the log the client knows: seqs alone look the same again as
//! soon as new entries have been written. A device's own stop is kept here too, and only moves forward.

use jiff::Timestamp;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};

use super::bson_time;
use super::error::{StoreError, is_duplicate_key};
use super::log_entry::Seq;

/// How far a client has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last entry that the client has stored; 0 before the first.
    pub seq: Seq,
    /// That entry's fingerprint; empty at 0.
    pub fingerprint: String,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.seq, self.fingerprint)
    }
}

impl std::str::FromStr for Cursor {
    type Err = crate::domain::Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || crate::domain::Invalid::new("cursor", text, "send the cursor of the last page, or none at all");
        let (seq, fingerprint) = text.split_once('.').ok_or_else(bad)?;
        let digits = !seq.is_empty() && seq.bytes().all(|c| c.is_ascii_digit());
        let hex = fingerprint.len() <= 32 && fingerprint.bytes().all(|c| c.is_ascii_hexdigit());
        match seq.parse() {
            Ok(seq) if digits && hex => Ok(Self { seq, fingerprint: fingerprint.to_owned() }),
            _ => Err(bad()),
        }
    }
}

/// What a cursor means in the log as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Go on with what follows.
    After(Seq),
    /// It is of another log, or ahead of this one: the client must clear its store.
    Reset,
}

/// Judges a cursor. `here` is the fingerprint of the entry at its seq, if that is kept; `next` the first kept seq behind it.
pub(super) fn judge(cursor: &Cursor, here: Option<&str>, next: Option<Seq>, head: Seq) -> Start {
    match (here, next) {
        _ if cursor.seq > head => Start::Reset,
        _ if cursor.seq == 0 => {
            if cursor.fingerprint.is_empty() {
                Start::After(0)
            } else {
                Start::Reset
            }
        }
        (Some(fingerprint), _) if fingerprint == cursor.fingerprint => Start::After(cursor.seq),
        (Some(_), _) => Start::Reset,
        // Removed by retention: it goes on at the oldest that is left, be it an entry of ours that is kept for ever.
        (None, Some(next)) => Start::After(next - 1),
        // Nothing follows.
        (None, None) => Start::After(cursor.seq),
    }
}

/// The collection `cursors` of a company.
#[derive(Clone)]
pub struct Cursors {
    cursors: Collection<Document>,
}

/// Forgotten after this long without a move.
const KEEP: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 3600);

pub(super) async fn ensure(database: &Database) -> Result<(), StoreError> {
    let options = IndexOptions::builder().expire_after(KEEP).build();
    let index = IndexModel::builder().keys(doc! { "at": 1 }).options(options).build();
    let cursors = database.collection::<Document>("cursors");
    cursors.create_index(index).await.map_err(|e| StoreError::from_driver("the cursors", e))?;
    Ok(())
}

fn key(recruiter: &str, device: &str) -> Bson {
    // A document, so that a "/" in a name can't make two devices one. The order of its fields is part of the key.
    Bson::Document(doc! { "recruiter": recruiter, "device": device })
}

impl Cursors {
    pub(super) fn new(database: &Database) -> Self {
        Self { cursors: database.collection("cursors") }
    }

    /// Where this device stopped.
    pub async fn get(&self, recruiter: &str, device: &str) -> Result<Option<Cursor>, StoreError> {
        let found = self
            .cursors
            .find_one(doc! { "_id": key(recruiter, device) })
            .await
            .map_err(|e| StoreError::from_driver("the cursors", e))?;
        Ok(found.and_then(|document| {
            Some(Cursor {
                seq: document.get_i64("seq").ok()?,
                fingerprint: document.get_str("fingerprint").ok()?.to_owned(),
            })
        }))
    }

    /// Moves the device's stop forward; an older cursor changes nothing, so acks may arrive in any order.
    pub async fn advance(
        &self,
        recruiter: &str,
        device: &str,
        cursor: &Cursor,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let filter = doc! { "_id": key(recruiter, device), "seq": { "$lt": cursor.seq } };
        self.write(filter, cursor, now).await
    }

    /// Puts the device's stop here, also backward: after `cursor_reset`.
    pub async fn reset(
        &self,
        recruiter: &str,
        device: &str,
        cursor: &Cursor,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(doc! { "_id": key(recruiter, device) }, cursor, now).await
    }

    async fn write(&self, filter: Document, cursor: &Cursor, now: Timestamp) -> Result<(), StoreError> {
        let set = doc! { "$set": {
            "seq": cursor.seq, "fingerprint": &cursor.fingerprint, "at": bson_time::to_bson(now),
        } };
        match self.cursors.update_one(filter, set).upsert(true).await {
            Ok(_) => Ok(()),
            // The filter did not match and the insert met the document: it is ahead already.
            Err(error) if is_duplicate_key(&error) => Ok(()),
            Err(error) => Err(StoreError::from_driver("the cursors", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        for good in ["0.", "1.00ff", "9223372036854775807.0123456789abcdef"] {
            assert_eq!(good.parse::<Cursor>().unwrap().to_string(), good);
        }
        for bad in ["", "1", ".aa", "-1.aa", "+1.aa", "1.zz", "9223372036854775808.aa", "1.a.b", " 1.a"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn judged_against_the_log() {
        // cursor, fingerprint at its seq, the first kept behind it, head, verdict
        let table = [
            ("0.", None, None, 0, Start::After(0)),
            ("0.", None, Some(1), 9, Start::After(0)),
            ("0.", None, Some(7), 9, Start::After(0)),
            ("0.aa", None, Some(1), 9, Start::Reset),
            ("5.aa", Some("aa"), Some(6), 9, Start::After(5)),
            ("9.aa", Some("aa"), None, 9, Start::After(9)),
            // Ahead of the log: a backup was restored.
            ("10.aa", None, None, 9, Start::Reset),
            ("1.aa", None, None, 0, Start::Reset),
            // Restored and written to again: the seq exists, but it is another entry.
            ("5.aa", Some("bb"), Some(6), 9, Start::Reset),
            ("5.", Some("bb"), Some(6), 9, Start::Reset),
            // Removed by retention.
            ("5.aa", None, Some(7), 9, Start::After(6)),
            // Removed up to here.
            ("5.aa", None, Some(6), 9, Start::After(5)),
            // An old fence stands below the gap that retention made behind it.
            ("1.aa", Some("aa"), Some(7), 9, Start::After(1)),
        ];
        for (cursor, here, next, head, want) in table {
            assert_eq!(judge(&cursor.parse().unwrap(), here, next, head), want, "{cursor}");
        }
    }
}
