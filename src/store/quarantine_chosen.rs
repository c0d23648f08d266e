//! What a person asks of the quarantine: what is in it, by counts and without content, and single changes of it.

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};
use serde::Deserialize;

use crate::domain::PhoneNumberId;

use super::bson_time;
use super::error::StoreError;
use super::quarantine::{Quarantine, QuarantineReason, Quarantined};

/// Which changes are meant; all that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Of this line.
    pub line: Option<PhoneNumberId>,
    /// Put away for this reason.
    pub reason: Option<QuarantineReason>,
    /// This one.
    pub id: Option<String>,
}

impl Choice {
    pub(super) fn filter(&self) -> Document {
        let mut filter = Document::new();
        if let Some(line) = &self.line {
            filter.insert("phone_number_id", line.as_str());
        }
        if let Some(reason) = self.reason {
            filter.insert("reason", reason.as_str());
        }
        if let Some(id) = &self.id {
            filter.insert("_id", id);
        }
        filter
    }
}

/// Changes of one reason and line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Heap {
    /// The word of the reason.
    pub reason: String,
    /// The line, where the changes say so.
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// How many.
    pub count: i64,
    /// When the oldest came; it is gone seven days later.
    #[serde(with = "bson_time")]
    pub oldest: Timestamp,
}

#[derive(Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: String,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the quarantine", error)
}

impl Quarantine {
    /// What is in it, by reason and line.
    pub async fn heaps(&self) -> Result<Vec<Heap>, StoreError> {
        let pipeline = [
            doc! { "$group": {
                "_id": { "reason": "$reason", "line": "$phone_number_id" },
                "reason": { "$first": "$reason" },
                "phone_number_id": { "$first": "$phone_number_id" },
                "count": { "$sum": 1_i64 },
                "oldest": { "$min": "$at" },
            } },
            doc! { "$sort": { "reason": 1, "phone_number_id": 1 } },
        ];
        let found = self.records().aggregate(pipeline).with_type::<Heap>().await.map_err(driver)?;
        found.try_collect().await.map_err(driver)
    }

    /// The ids of these changes, in the order in which they came.
    pub async fn chosen(&self, choice: &Choice) -> Result<Vec<String>, StoreError> {
        self.ids(choice.filter()).await
    }

    pub(super) async fn ids(&self, filter: Document) -> Result<Vec<String>, StoreError> {
        let found = self
            .records()
            .clone_with_type::<Id>()
            .find(filter)
            .sort(doc! { "at": 1, "place": 1, "_id": 1 })
            .projection(doc! { "_id": 1 })
            .await
            .map_err(driver)?;
        found.map_ok(|id| id.id).try_collect().await.map_err(driver)
    }

    /// One change; None if it is gone or no key opens it (which is logged).
    pub async fn get(&self, id: &str) -> Result<Option<Quarantined>, StoreError> {
        let found = self.records().find_one(doc! { "_id": id }).await.map_err(driver)?;
        Ok(found.and_then(|record| self.open(record)))
    }
}
