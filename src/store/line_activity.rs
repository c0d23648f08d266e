//! When each line was last heard of by a webhook: the controller tells from it that a line has fallen silent.

use std::collections::HashMap;

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Collection, Database};

use crate::domain::PhoneNumberId;

use super::bson_time;
use super::error::{StoreError, is_duplicate_key};

/// The collection `line_activity`.
#[derive(Clone)]
pub struct LineActivity {
    lines: Collection<Document>,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the lines' activity", error)
}

impl LineActivity {
    pub(super) fn new(platform: &Database) -> Self {
        Self { lines: platform.collection("line_activity") }
    }

    /// Notes that a webhook named this line. Time only moves forward, so replicas may write in any order.
    pub async fn touch(&self, line: &PhoneNumberId, at: Timestamp) -> Result<(), StoreError> {
        let update = doc! { "$max": { "last_webhook_at": bson_time::to_bson(at) } };
        match self.lines.update_one(doc! { "_id": line.as_str() }, update).upsert(true).await {
            Ok(_) => Ok(()),
            // Two first notes at once: the other one will do.
            Err(error) if is_duplicate_key(&error) => Ok(()),
            Err(error) => Err(driver(error)),
        }
    }

    /// When the line was last heard of.
    pub async fn last(&self, line: &PhoneNumberId) -> Result<Option<Timestamp>, StoreError> {
        let found = self.lines.find_one(doc! { "_id": line.as_str() }).await.map_err(driver)?;
        let at: Option<DateTime> = found.and_then(|document| document.get_datetime("last_webhook_at").ok().copied());
        Ok(at.map(bson_time::from_bson))
    }

    /// When these lines were last heard of, in one query; those never heard of are left out.
    pub async fn last_of(&self, lines: &[PhoneNumberId]) -> Result<HashMap<PhoneNumberId, Timestamp>, StoreError> {
        let ids: Vec<&str> = lines.iter().map(PhoneNumberId::as_str).collect();
        let cursor = self.lines.find(doc! { "_id": { "$in": ids } }).await.map_err(driver)?;
        let documents: Vec<Document> = cursor.try_collect().await.map_err(driver)?;
        let entry = |document: Document| {
            let id = document.get_str("_id").ok()?.parse().ok()?;
            Some((id, bson_time::from_bson(*document.get_datetime("last_webhook_at").ok()?)))
        };
        Ok(documents.into_iter().filter_map(entry).collect())
    }
}
