//! A company's contacts one after the other, as the newest entry of each knows it, and one contact's entries. For export:
//! few queries, bounded memory, in an order that can be gone on with.

use std::time::Duration;

use mongodb::bson::doc;
use tokio::time::Instant;

use super::contacts::all_ids;
use super::error::StoreError;
use super::log::{Log, Page};
use super::log_entry::{Contact, LogEntry, Seq};

/// A read that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(30);

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRecord {
    /// Our id.
    pub id: String,
    /// What is known now; nothing of one that was erased.
    pub contact: Contact,
    /// Contacts that were merged into it, directly or not.
    pub merged: Vec<String>,
    /// Its newest entry.
    pub last_seq: Seq,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the contacts", error)
}

impl Log {
    /// The contact whose id follows, in the order of ids; those that were merged into another are left out.
    pub async fn contact_after(&self, id: &str) -> Result<Option<ContactRecord>, StoreError> {
        let mut after = id.to_owned();
        loop {
            let next = self
                .collection()
                .find_one(doc! { "contact_id": { "$gt": &after }, "contact": { "$exists": true } })
                .sort(doc! { "contact_id": 1, "_id": -1 })
                .projection(doc! { "raw": 0 })
                .await
                .map_err(driver)?;
            let Some(LogEntry { seq, contact_id: Some(id), contact: Some(contact), .. }) = next else {
                return Ok(None);
            };
            if let Some(record) = self.record(&id, contact, seq).await? {
                return Ok(Some(record));
            }
            after = id;
        }
    }

    /// One contact, by its id or one that was merged into it; None if no kept entry knows it.
    pub async fn contact(&self, id: &str) -> Result<Option<ContactRecord>, StoreError> {
        for id in all_ids(self.collection(), id, Instant::now() + LIMIT).await? {
            let newest = self
                .collection()
                .find_one(doc! { "contact_id": &id, "contact": { "$exists": true } })
                .sort(doc! { "_id": -1 })
                .projection(doc! { "raw": 0 })
                .await
                .map_err(driver)?;
            if let Some(LogEntry { seq, contact: Some(contact), .. }) = newest
                && let Some(record) = self.record(&id, contact, seq).await?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// None: it was merged into another.
    async fn record(&self, id: &str, contact: Contact, last_seq: Seq) -> Result<Option<ContactRecord>, StoreError> {
        let into = self.collection().find_one(doc! { "merged": id, "contact_id": { "$ne": id } });
        if into.projection(doc! { "raw": 0 }).await.map_err(driver)?.is_some() {
            return Ok(None);
        }
        let mut merged = all_ids(self.collection(), id, Instant::now() + LIMIT).await?;
        merged.retain(|other| other != id);
        merged.sort();
        Ok(Some(ContactRecord { id: id.to_owned(), contact, merged, last_seq }))
    }

    /// Entries of one contact after `seq`: at most `limit`, and about `max_bytes`, but at least one if there is one.
    pub async fn read_contact_after(
        &self,
        ids: &[String],
        seq: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Page, StoreError> {
        self.page(doc! { "contact_id": { "$in": ids }, "_id": { "$gt": seq } }, 1, limit, max_bytes).await
    }
}
