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
    /// Hash of what it says: Meta's repeats are one document.
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
        let text = format!("{waba_id}\n{field}\n{}\n{value}", time.unwrap_or(0));
        let id = hex::encode(&Sha256::digest(text.as_bytes())[..16]);
        Self { id, waba_id: waba_id.into(), field: field.into(), time, value: value.into(), at }
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

    /// Writes an event; false if it is there already.
    pub async fn insert(&self, event: &AccountEvent) -> Result<bool, StoreError> {
        match self.events.insert_one(event).await {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate_key(&error) => Ok(false),
            Err(error) => Err(driver(error)),
        }
    }

    /// The events of an account since a moment, oldest first.
    pub async fn since(&self, waba_id: &str, since: Timestamp, limit: i64) -> Result<Vec<AccountEvent>, StoreError> {
        let filter = doc! { "waba_id": waba_id, "at": { "$gte": bson_time::to_bson(since) } };
        let cursor = self.events.find(filter).sort(doc! { "at": 1, "_id": 1 }).limit(limit).await.map_err(driver)?;
        cursor.try_collect().await.map_err(driver)
    }
}
