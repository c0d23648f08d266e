//! The routing table: which company a phone number id belongs to. Only the controller writes it, each write compared on
//! the revision that it has read; routers keep a copy.
//!
//! Two routes never hold one phone number: a unique index is the last net below the Portfolio's ledger.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType};
use mongodb::options::{FullDocumentType, IndexOptions, ReturnDocument};
use mongodb::{Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};

use crate::domain::{CompanyId, E164, PhoneNumberId, WabaId};

use super::bson_time;
use super::error::{StoreError, is_duplicate_key};

/// What a line may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteState {
    /// Stored and delivered; not registered yet.
    Pending,
    /// Stored and delivered.
    Active,
    /// Stored and delivered; nothing is sent any more.
    Draining,
    /// What still comes goes to quarantine.
    Disabled,
}

impl RouteState {
    /// The word in MongoDB and in `welcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }

    /// Are messages stored and delivered?
    pub fn accepts(self) -> bool {
        self != Self::Disabled
    }
}

/// One line's route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Meta's id of the number: the routing key.
    #[serde(rename = "_id")]
    pub phone_number_id: PhoneNumberId,
    /// The number itself.
    pub phone_number: E164,
    /// The name that candidates see.
    pub display_name: String,
    /// Whose line it is.
    pub company_id: CompanyId,
    /// The WABA that holds it.
    pub waba_id: WabaId,
    /// The Portfolio, namespace/name.
    pub portfolio: String,
    /// The ClientNumber, namespace/name.
    pub object: String,
    /// The ClientNumber's uid.
    pub uid: String,
    /// 1 for the line's first owner, then one more for each company that gets it.
    pub epoch: i64,
    /// None for the first owner; else what candidates wrote before goes to quarantine. Whole seconds.
    #[serde(with = "bson_time::option")]
    pub epoch_at: Option<Timestamp>,
    /// What the line may do.
    pub state: RouteState,
    /// One more with each write; set by [`Routes::put`].
    pub revision: i64,
    /// When it was last written.
    #[serde(with = "bson_time")]
    pub updated_at: Timestamp,
}

#[cfg(test)]
impl Route {
    /// A line at work of the company atlas, its first owner, from which tests make their own.
    pub(crate) fn example() -> Self {
        Self {
            phone_number_id: PhoneNumberId::parse("1").expect("an id"),
            phone_number: E164::parse("+212612345678").expect("a number"),
            display_name: "Atlas".into(),
            company_id: CompanyId::parse("atlas").expect("an id"),
            waba_id: WabaId::parse("104").expect("an id"),
            portfolio: "platform/main".into(),
            object: "clients/atlas".into(),
            uid: "u".into(),
            epoch: 1,
            epoch_at: None,
            state: RouteState::Active,
            revision: 1,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }
}

/// What happened to a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteChange {
    /// It is new or was changed.
    Upsert(Box<Route>),
    /// It was removed.
    Removed(PhoneNumberId),
    /// Something that can't be followed (the collection was dropped, an unreadable route): load all again.
    Reload,
}

/// The collection `routes`.
#[derive(Clone)]
pub struct Routes {
    routes: Collection<Route>,
}

const WHAT: &str = "routes";

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("a route", error)
}

impl Routes {
    pub(super) fn new(platform: &Database) -> Self {
        Self { routes: platform.collection(WHAT) }
    }

    pub(super) async fn ensure_indexes(&self) -> Result<(), StoreError> {
        let unique = IndexOptions::builder().unique(true).build();
        let number = IndexModel::builder().keys(doc! { "phone_number": 1 }).options(unique).build();
        let company = IndexModel::builder().keys(doc! { "company_id": 1 }).build();
        self.routes.create_indexes([number, company]).await.map_err(driver)?;
        Ok(())
    }

    /// One route.
    pub async fn get(&self, id: &PhoneNumberId) -> Result<Option<Route>, StoreError> {
        self.routes.find_one(doc! { "_id": id.as_str() }).await.map_err(driver)
    }

    /// The route of a number.
    pub async fn by_phone_number(&self, number: &E164) -> Result<Option<Route>, StoreError> {
        self.routes.find_one(doc! { "phone_number": number.as_str() }).await.map_err(driver)
    }

    /// All routes. One that can't be read is left out and logged, so that it costs one line and not all.
    pub async fn all(&self) -> Result<Vec<Route>, StoreError> {
        let cursor = self.routes.clone_with_type::<Document>().find(doc! {}).await.map_err(driver)?;
        let documents: Vec<Document> = cursor.try_collect().await.map_err(driver)?;
        Ok(documents
            .into_iter()
            .filter_map(|document| {
                let route = mongodb::bson::deserialize_from_document(document);
                if route.is_err() {
                    tracing::error!("a route can't be read and is left out: was it written by hand?");
                }
                route.ok()
            })
            .collect())
    }

    /// Writes a route. `expected` is the revision that was read, None for "there must be none yet". The answer carries
    /// the new revision; majority-acknowledged.
    pub async fn put(&self, route: &Route, expected: Option<i64>) -> Result<Route, StoreError> {
        let mut next = route.clone();
        next.revision = expected.unwrap_or(0) + 1;
        let written = match expected {
            None => self.routes.insert_one(&next).await.map(|_| true),
            Some(revision) => self
                .routes
                .replace_one(doc! { "_id": next.phone_number_id.as_str(), "revision": revision }, &next)
                .await
                .map(|result| result.matched_count == 1),
        };
        match written {
            Ok(true) => Ok(next),
            Ok(false) => self.conflict(&next).await,
            Err(error) if is_duplicate_key(&error) => self.conflict(&next).await,
            Err(error) => Err(driver(error)),
        }
    }

    /// Why a write was not taken: the number is somebody else's, our own write was repeated, or the revision is old.
    async fn conflict(&self, wanted: &Route) -> Result<Route, StoreError> {
        let current = self.get(&wanted.phone_number_id).await?;
        if current.as_ref() == Some(wanted) {
            return Ok(wanted.clone());
        }
        if let Some(other) = self.by_phone_number(&wanted.phone_number).await?
            && other.phone_number_id != wanted.phone_number_id
        {
            return Err(StoreError::DuplicateNumber {
                phone_number: wanted.phone_number.clone(),
                held_by: Some(Box::new(other)),
            });
        }
        Err(StoreError::RevisionConflict {
            phone_number_id: wanted.phone_number_id.clone(),
            current: current.map(Box::new),
        })
    }

    /// Changes the state alone, on the revision that was read.
    pub async fn set_state(
        &self,
        id: &PhoneNumberId,
        expected: i64,
        state: RouteState,
        now: Timestamp,
    ) -> Result<Route, StoreError> {
        let written = self
            .routes
            .find_one_and_update(
                doc! { "_id": id.as_str(), "revision": expected },
                doc! {
                    "$set": { "state": state.as_str(), "updated_at": bson_time::to_bson(now) },
                    "$inc": { "revision": 1 },
                },
            )
            .return_document(ReturnDocument::After)
            .await
            .map_err(driver)?;
        match written {
            Some(route) => Ok(route),
            None => Err(StoreError::RevisionConflict {
                phone_number_id: id.clone(),
                current: self.get(id).await?.map(Box::new),
            }),
        }
    }

    /// Removes a disabled route, for a number that was given back: a number that comes again later has a new id at Meta
    /// and must not meet the old route's claim. True if it was there.
    pub async fn remove(&self, id: &PhoneNumberId, expected: i64) -> Result<bool, StoreError> {
        let filter = doc! { "_id": id.as_str(), "revision": expected, "state": "disabled" };
        Ok(self.routes.delete_one(filter).await.map_err(driver)?.deleted_count == 1)
    }

    /// Follows the changes from now on. Load [`Routes::all`] after opening it, so that nothing falls between.
    pub async fn watch(&self) -> Result<RouteWatch, StoreError> {
        let stream = self
            .routes
            .clone_with_type::<Document>()
            .watch()
            .full_document(FullDocumentType::UpdateLookup)
            .max_await_time(Duration::from_secs(1))
            .await
            .map_err(|e| StoreError::from_driver("a change stream on routes", e))?;
        Ok(RouteWatch { stream })
    }
}

/// A change stream on the routes.
pub struct RouteWatch {
    stream: ChangeStream<ChangeStreamEvent<Document>>,
}

impl RouteWatch {
    /// The next change; None when the server answered within about a second that there is none, which is news too: the
    /// copy is as fresh as this call's start.
    pub async fn next(&mut self) -> Result<Option<RouteChange>, StoreError> {
        if !self.stream.is_alive() {
            return Err(StoreError::Away("the change stream on routes ended".into()));
        }
        let event =
            self.stream.next_if_any().await.map_err(|e| StoreError::from_driver("a change stream on routes", e))?;
        Ok(event.map(|event| change(&event)))
    }
}

fn change(event: &ChangeStreamEvent<Document>) -> RouteChange {
    let id = || event.document_key.as_ref().and_then(|k| k.get_str("_id").ok()).and_then(|id| id.parse().ok());
    match (&event.operation_type, &event.full_document, id()) {
        (OperationType::Delete, _, Some(id)) => RouteChange::Removed(id),
        // An update whose document is gone again: its delete follows.
        (OperationType::Update, None, Some(id)) => RouteChange::Removed(id),
        (OperationType::Insert | OperationType::Update | OperationType::Replace, Some(document), _) => {
            match mongodb::bson::deserialize_from_document(document.clone()) {
                Ok(route) => RouteChange::Upsert(Box::new(route)),
                Err(_) => RouteChange::Reload,
            }
        }
        _ => RouteChange::Reload,
    }
}
