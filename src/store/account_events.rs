//! What Meta says about accounts, numbers, limits, names and templates: written by the router, read by operators and the
//! controller, never shown to a company. It holds no candidate's data.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::doc;
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bson_time;
use super::error::{StoreError, is_duplicate_key};

/// Kept for so long.
const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

/// One change of an account field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountEvent {
    /// Hash of what it says: Meta's repeats are one document, and nothing else is.
    #[serde(rename = "_id")]
    pub id: String,
    /// `entry[].id`: the WABA.
    pub waba_id: String,
    /// Meta's field name.
    pub field: String,
    /// Meta's `entry[].time`, seconds since 1970, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// Meta's value object, its own text.
    pub value: String,
    /// When it came.
    #[serde(with = "bson_time")]
    pub at: Timestamp,
}

impl AccountEvent {
    /// An event as it came; its id is made from its content.
    pub fn new(waba_id: &str, field: &str, time: Option<i64>, value: &str, at: Timestamp) -> Self {
        // As JSON: in joined texts the end of one part could pass for the beginning of the next.
        let text = serde_json::json!([waba_id, field, time, value]).to_string();
        let id = hex::encode(&Sha256::digest(text.as_bytes())[..16]);
        Self { id, waba_id: waba_id.into(), field: field.into(), time, value: value.into(), at }
    }

    /// Does it say the same, whenever it came?
    fn repeats(&self, other: &Self) -> bool {
        let Self { id, waba_id, field, time, value, at: _ } = self;
        (id, waba_id, field, time, value) == (&other.id, &other.waba_id, &other.field, &other.time, &other.value)
    }
}

/// The collection `account_events`.
#[derive(Clone)]
pub struct AccountEvents {
    events: Collection<AccountEvent>,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the account events", error)
}

impl AccountEvents {
    pub(super) fn new(platform: &Database) -> Self {
        Self { events: platform.collection("account_events") }
    }

    pub(super) async fn ensure_indexes(&self) -> Result<(), StoreError> {
        let ttl = IndexOptions::builder().expire_after(KEEP).build();
        let expire = IndexModel::builder().keys(doc! { "at": 1 }).options(ttl).build();
        let by_account = IndexModel::builder().keys(doc! { "waba_id": 1, "at": 1 }).build();
        self.events.create_indexes([expire, by_account]).await.map_err(driver)?;
        Ok(())
    }

    /// Writes an event; false if it is there already. An error that does not pass means that another event, or a document
    /// of somebody's own, has its place.
    pub async fn insert(&self, event: &AccountEvent) -> Result<bool, StoreError> {
        match self.events.insert_one(event).await {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate_key(&error) => self.is_kept(event).await.map(|()| false),
            Err(error) => Err(driver(error)),
        }
    }

    /// That a key is taken is no proof that this event has it, nor that a majority knows; and whoever is told "there
    /// already" answers Meta with 200.
    async fn is_kept(&self, event: &AccountEvent) -> Result<(), StoreError> {
        match self.events.find_one(doc! { "_id": &event.id }).await.map_err(driver)? {
            Some(known) if known.repeats(event) => Ok(()),
            Some(_) => Err(StoreError::Refused {
                what: "an account event",
                code: 11000,
                name: "another document has its id".into(),
            }),
            None => Err(StoreError::Away("the account events' last write is not on a majority yet".into())),
        }
    }

    /// The events of an account since a moment, oldest first.
    pub async fn since(&self, waba_id: &str, since: Timestamp, limit: i64) -> Result<Vec<AccountEvent>, StoreError> {
        let filter = doc! { "waba_id": waba_id, "at": { "$gte": bson_time::to_bson(since) } };
        let cursor = self.events.find(filter).sort(doc! { "at": 1, "_id": 1 }).limit(limit).await.map_err(driver)?;
        cursor.try_collect().await.map_err(driver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_something_else_has_another_id() {
        let event = |waba: &str, field: &str, time, value: &str| {
            AccountEvent::new(waba, field, time, value, Timestamp::UNIX_EPOCH)
        };
        let pairs = [
            (event("104", "a\nb", Some(1), "{}"), event("104\na", "b", Some(1), "{}")),
            (event("104", "a", Some(1), "2\n{}"), event("104", "a\n1", Some(2), "{}")),
            (event("104", "a", None, "{}"), event("104", "a", Some(0), "{}")),
        ];
        for (one, other) in pairs {
            assert_ne!(one.id, other.id, "{one:?} {other:?}");
            assert!(one.repeats(&one) && !one.repeats(&other));
        }
        let later = AccountEvent::new("104", "a", None, "{}", Timestamp::MAX);
        assert!(later.repeats(&event("104", "a", None, "{}")), "Meta's repeat");
    }
}
