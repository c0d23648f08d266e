//! The companies' records: which database is whose. Written by the controller before a company's first route.
//!
//! The database's name is random, so that nothing can be derived from it, and it is decided by whoever inserts the
//! record first: two controllers that create a company at the same moment get the same database.
//! A record is never deleted: an erased company's id is not given out again.

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;
use mongodb::{Collection, IndexModel};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::domain::CompanyId;

use super::company_db::CompanyDb;
use super::error::{StoreError, is_duplicate_key};
use super::{Store, bson_time, log};

/// Whether a company's data is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompanyState {
    /// In use.
    Active,
    /// Its database was dropped.
    Erased,
}

/// A company's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Company {
    /// The company.
    #[serde(rename = "_id")]
    pub id: CompanyId,
    database: String,
    /// The MongoDB cluster that holds it; `default` is the only one so far.
    pub store: String,
    /// In use or erased.
    pub state: CompanyState,
    /// Entries older than this are removed.
    pub retention_days: i64,
    /// When the record was made.
    #[serde(with = "bson_time")]
    pub created_at: Timestamp,
}

impl Company {
    /// `co_<16 hex>`.
    pub fn database(&self) -> &str {
        &self.database
    }
}

/// The collection `companies`.
#[derive(Clone)]
pub struct Companies {
    store: Store,
    records: Collection<Company>,
}

const WHAT: &str = "companies";

impl Companies {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), records: store.platform.collection(WHAT) }
    }

    pub(super) async fn ensure_indexes(&self) -> Result<(), StoreError> {
        let unique = mongodb::options::IndexOptions::builder().unique(true).build();
        let index = IndexModel::builder().keys(doc! { "database": 1 }).options(unique).build();
        self.records.create_index(index).await.map_err(|e| StoreError::from_driver("an index of companies", e))?;
        Ok(())
    }

    /// Creates the company's record, its log and its indexes where they are missing, and sets its retention (pass the
    /// smallest of its lines). Idempotent: call it before every route that is written.
    pub fn ensure<'a, R: rand::Rng>(
        &'a self,
        id: &'a CompanyId,
        retention_days: i64,
        now: Timestamp,
        rng: &mut R,
    ) -> impl Future<Output = Result<(Company, CompanyDb), StoreError>> + Send + use<'a, R> {
        // Drawn before the first await, so that any source of randomness will do.
        let database = format!("co_{:016x}", rng.random::<u64>());
        self.ensure_as(id, retention_days, now, database)
    }

    async fn ensure_as(
        &self,
        id: &CompanyId,
        retention_days: i64,
        now: Timestamp,
        database: String,
    ) -> Result<(Company, CompanyDb), StoreError> {
        let mut attempts = 0;
        let company = loop {
            attempts += 1;
            let found = self
                .records
                .find_one_and_update(
                    doc! { "_id": id.as_str() },
                    doc! {
                        "$setOnInsert": {
                            "database": &database, "store": "default", "state": "active",
                            "created_at": bson_time::to_bson(now),
                        },
                        "$set": { "retention_days": retention_days },
                    },
                )
                .upsert(true)
                .return_document(ReturnDocument::After)
                .await;
            match found {
                Ok(Some(company)) => break company,
                // Lost the race between looking and inserting: the record is there now.
                Ok(None) if attempts < 5 => {}
                Ok(None) => return Err(StoreError::Away("an upsert returned nothing".into())),
                // Two upserts of the same new key: the later one is told of the duplicate instead of updating.
                Err(error) if is_duplicate_key(&error) && attempts < 5 => {}
                Err(error) => return Err(StoreError::from_driver("the company's record", error)),
            }
        };
        if company.state == CompanyState::Erased {
            return Err(StoreError::CompanyErased(id.clone()));
        }
        let db = CompanyDb::of(&self.store, &company);
        log::ensure(db.database()).await?;
        Ok((company, db))
    }

    /// Changes a record.
    pub(super) async fn update(&self, id: &CompanyId, change: Document) -> Result<(), StoreError> {
        let changed = self.records.update_one(doc! { "_id": id.as_str() }, change).await;
        changed.map(|_| ()).map_err(|e| StoreError::from_driver("the company's record", e))
    }

    /// How long the company's items are kept from now on.
    pub async fn set_retention(&self, id: &CompanyId, days: i64) -> Result<(), StoreError> {
        self.update(id, doc! { "$set": { "retention_days": days } }).await
    }

    /// The record, if there is one.
    pub async fn get(&self, id: &CompanyId) -> Result<Option<Company>, StoreError> {
        self.records
            .find_one(doc! { "_id": id.as_str() })
            .await
            .map_err(|e| StoreError::from_driver("the company's record", e))
    }

    /// All records; those that can't be read are left out and logged.
    pub async fn all(&self) -> Result<Vec<Company>, StoreError> {
        let cursor = self
            .records
            .clone_with_type::<Document>()
            .find(doc! {})
            .await
            .map_err(|e| StoreError::from_driver("the companies", e))?;
        let documents: Vec<Document> =
            cursor.try_collect().await.map_err(|e| StoreError::from_driver("the companies", e))?;
        Ok(documents
            .into_iter()
            .filter_map(|document| match mongodb::bson::deserialize_from_document(document) {
                Ok(company) => Some(company),
                Err(_) => {
                    tracing::error!("a record in companies can't be read and is left out: was it written by hand?");
                    None
                }
            })
            .collect())
    }

    /// The company's database; None while there is no record, an error once it was erased.
    pub async fn open(&self, id: &CompanyId) -> Result<Option<CompanyDb>, StoreError> {
        match self.get(id).await? {
            None => Ok(None),
            Some(company) if company.state == CompanyState::Erased => Err(StoreError::CompanyErased(id.clone())),
            Some(company) => Ok(Some(CompanyDb::of(&self.store, &company))),
        }
    }

    /// As [`Companies::open`] for a record that was read already.
    pub fn open_record(&self, company: &Company) -> Result<CompanyDb, StoreError> {
        match company.state {
            CompanyState::Erased => Err(StoreError::CompanyErased(company.id.clone())),
            CompanyState::Active => Ok(CompanyDb::of(&self.store, company)),
        }
    }
}
