//! Who is connected where, as far as it matters: the same recruiter and device connects again, on any replica, and the
//! older connection must learn of it.
//!
//! One small document a device. Each connection draws a number, and takes its seat under it: whoever holds a lower number
//! than the seat's was replaced. Numbers make the order in which news arrives irrelevant. A number alone replaces nobody:
//! it may be drawn for a client that has gone meanwhile and is connected elsewhere. Nothing of a candidate is in here.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Bson, Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use mongodb::options::{FullDocumentType, IndexOptions, ReturnDocument};
use mongodb::{Collection, Database, IndexModel};

use crate::domain::CompanyId;

use super::bson_time;
use super::error::{StoreError, is_duplicate_key};

/// A device of a recruiter of a company.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceKey {
    /// The company, from the token.
    pub company: CompanyId,
    /// The recruiter, from the token.
    pub recruiter: String,
    /// The client's own name for itself.
    pub device: String,
}

/// The newest connection of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose.
    pub key: DeviceKey,
    /// Its number; the next connection's is higher.
    pub number: i64,
}

/// The collection `sessions`.
#[derive(Clone)]
pub struct Presence {
    sessions: Collection<Document>,
}

/// Forgotten after this long without a new connection; none lasts nearly as long.
const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the sessions", error)
}

fn id(key: &DeviceKey) -> Bson {
    // A document, so that no character in a name can make two devices one. The order of its fields is part of the key.
    Bson::Document(doc! { "company_id": key.company.as_str(), "recruiter": &key.recruiter, "device": &key.device })
}

fn claim(document: &Document) -> Option<Claim> {
    let id = document.get_document("_id").ok()?;
    let text = |name: &str| id.get_str(name).ok().map(str::to_owned);
    let key = DeviceKey {
        company: CompanyId::parse(text("company_id")?).ok()?,
        recruiter: text("recruiter")?,
        device: text("device")?,
    };
    Some(Claim { key, number: document.get_i64("seat").ok()? })
}

impl Presence {
    pub(super) fn new(platform: &Database) -> Self {
        Self { sessions: platform.collection("sessions") }
    }

    pub(super) async fn ensure_indexes(&self) -> Result<(), StoreError> {
        let options = IndexOptions::builder().expire_after(KEEP).build();
        let index = IndexModel::builder().keys(doc! { "at": 1 }).options(options).build();
        self.sessions.create_index(index).await.map_err(driver)?;
        Ok(())
    }

    /// Draws the device's next number and takes the seat under it: from now on older connections of it are replaced. None
    /// when the client is not there any more once the number is drawn; then nobody is replaced. A store that is slow, or an
    /// operation that is done after its time, must not let such a client replace itself.
    pub async fn claim(
        &self,
        key: &DeviceKey,
        now: Timestamp,
        is_there: impl Fn() -> bool,
    ) -> Result<Option<Claim>, StoreError> {
        let number = self.draw(key, now).await?;
        if !is_there() {
            return Ok(None);
        }
        let update = doc! { "$max": { "seat": number }, "$set": { "at": bson_time::to_bson(now) } };
        let seated = self.sessions.update_one(doc! { "_id": id(key) }, update).await.map_err(driver)?;
        // Expired in between: the next try draws anew.
        Ok((seated.matched_count == 1).then(|| Claim { key: key.clone(), number }))
    }

    async fn draw(&self, key: &DeviceKey, now: Timestamp) -> Result<i64, StoreError> {
        // The time is what an entry is removed by, also one that never gets a seat.
        let update = doc! { "$inc": { "number": 1_i64 }, "$setOnInsert": { "at": bson_time::to_bson(now) } };
        for attempt in 0.. {
            let found = self
                .sessions
                .find_one_and_update(doc! { "_id": id(key) }, update.clone())
                .upsert(true)
                .return_document(ReturnDocument::After)
                .await;
            match found {
                Ok(found) => {
                    let unreadable = || StoreError::Unreadable { what: "sessions", field: "number".into() };
                    return found.and_then(|found| found.get_i64("number").ok()).ok_or_else(unreadable);
                }
                // Two first connections at one moment: the later upsert is told of the duplicate.
                Err(error) if is_duplicate_key(&error) && attempt < 5 => {}
                Err(error) => return Err(driver(error)),
            }
        }
        Err(StoreError::Away("the session could not be claimed".into()))
    }

    /// The claims made since `at`.
    pub async fn since(&self, at: Timestamp) -> Result<Vec<Claim>, StoreError> {
        let filter = doc! { "at": { "$gte": bson_time::to_bson(at) } };
        let documents: Vec<Document> =
            self.sessions.find(filter).await.map_err(driver)?.try_collect().await.map_err(driver)?;
        Ok(documents.iter().filter_map(claim).collect())
    }

    /// Forgets a company's devices.
    pub async fn forget(&self, company: &CompanyId) -> Result<(), StoreError> {
        self.sessions.delete_many(doc! { "_id.company_id": company.as_str() }).await.map_err(driver)?;
        Ok(())
    }

    /// Follows new claims. Load [`Presence::since`] after opening it.
    pub async fn watch(&self) -> Result<PresenceWatch, StoreError> {
        let stream = self
            .sessions
            .watch()
            .full_document(FullDocumentType::UpdateLookup)
            .max_await_time(Duration::from_secs(1))
            .await
            .map_err(driver)?;
        Ok(PresenceWatch { stream })
    }
}

/// A change stream on the sessions.
pub struct PresenceWatch {
    stream: ChangeStream<ChangeStreamEvent<Document>>,
}

impl PresenceWatch {
    /// The next claim; None when the server answered within about a second that there is none.
    pub async fn next(&mut self) -> Result<Option<Claim>, StoreError> {
        loop {
            if !self.stream.is_alive() {
                return Err(StoreError::Away("the change stream on the sessions ended".into()));
            }
            let Some(event) = self.stream.next_if_any().await.map_err(driver)? else { return Ok(None) };
            if let Some(claim) = event.full_document.as_ref().and_then(claim) {
                return Ok(Some(claim));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_round_trip() {
        let key =
            DeviceKey { company: CompanyId::parse("atlas").unwrap(), recruiter: "a/b".into(), device: "c".into() };
        let read = claim(&doc! { "_id": id(&key), "number": 4_i64, "seat": 3_i64 });
        assert_eq!(read, Some(Claim { key: key.clone(), number: 3 }));
        assert_eq!(claim(&doc! { "_id": id(&key), "number": 4_i64 }), None, "a number alone replaces nobody");
        assert_eq!(claim(&doc! { "_id": id(&key), "seat": "3" }), None);
        let other = DeviceKey { recruiter: "a".into(), device: "b/c".into(), ..key.clone() };
        assert_ne!(id(&key), id(&other));
    }
}
