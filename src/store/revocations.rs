//! Cut tokens: all tokens of a company, of a recruiter or one token, issued up to a moment. Routers cut the sockets and
//! refuse the tokens; the record goes away by itself once no token that it speaks of can still be valid.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};

use crate::domain::CompanyId;

use super::bson_time;
use super::error::StoreError;

/// A token lives for an hour at most (interfaces: `exp` at most 1 h ahead); a little more for clocks that differ.
pub const KEEP: Duration = Duration::from_secs(3600 + 300);

/// Which tokens are cut: all fields that are given must match, and unless one token is named, `iat` must not be after `at`
/// (a token issued within the same second is cut too).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Random.
    #[serde(rename = "_id")]
    pub id: String,
    /// Tokens of this company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company_id: Option<CompanyId>,
    /// Tokens of this recruiter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recruiter: Option<String>,
    /// This token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Tokens issued up to this moment.
    #[serde(with = "bson_time")]
    pub at: Timestamp,
    /// When the record goes away.
    #[serde(rename = "expireAt", with = "bson_time")]
    pub expire_at: Timestamp,
}

/// When a record goes away; the moment may be a store's whose clock shows nonsense.
fn expire_at(at: Timestamp) -> Timestamp {
    at.checked_add(KEEP).unwrap_or(Timestamp::MAX)
}

impl Revocation {
    /// A revocation from `at` on; None if nothing is named, since that would cut everybody.
    pub fn new(
        company_id: Option<CompanyId>,
        recruiter: Option<String>,
        jti: Option<String>,
        at: Timestamp,
        rng: &mut impl rand::RngExt,
    ) -> Option<Self> {
        if company_id.is_none() && recruiter.is_none() && jti.is_none() {
            return None;
        }
        let id = format!("{:016x}", rng.random::<u64>());
        Some(Self { id, company_id, recruiter, jti, at, expire_at: expire_at(at) })
    }

    /// The same from another moment on.
    pub fn from_moment(self, at: Timestamp) -> Self {
        Self { at, expire_at: expire_at(at), ..self }
    }

    /// Does it cut a token? `iat` in whole seconds, as tokens have it. One that is named is cut whatever it says of its
    /// issue: that is by the clock of whoever signed it.
    pub fn cuts(&self, company: &CompanyId, recruiter: &str, jti: Option<&str>, iat: i64) -> bool {
        self.company_id.as_ref().is_none_or(|id| id == company)
            && self.recruiter.as_deref().is_none_or(|r| r == recruiter)
            && self.jti.as_deref().is_none_or(|j| Some(j) == jti)
            && (self.jti.is_some() || iat <= self.at.as_second())
    }
}

/// The revocations that are not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Those that could be read.
    pub revocations: Vec<Revocation>,
    /// How many could not: they have no effect.
    pub unreadable: usize,
}

/// The collection `revocations`.
#[derive(Clone)]
pub struct Revocations {
    revocations: Collection<Revocation>,
}

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the revocations", error)
}

impl Revocations {
    pub(super) fn new(platform: &Database) -> Self {
        Self { revocations: platform.collection("revocations") }
    }

    pub(super) async fn ensure_indexes(&self) -> Result<(), StoreError> {
        let ttl = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let expire = IndexModel::builder().keys(doc! { "expireAt": 1 }).options(ttl).build();
        self.revocations.create_index(expire).await.map_err(driver)?;
        Ok(())
    }

    /// Writes a revocation.
    pub async fn insert(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.revocations.insert_one(revocation).await.map_err(driver)?;
        Ok(())
    }

    /// All that are not over. One that can't be read is left out and counted, so that it costs itself and not all.
    pub async fn active(&self, now: Timestamp) -> Result<Active, StoreError> {
        let filter = doc! { "expireAt": { "$gt": bson_time::to_bson(now) } };
        let cursor = self.revocations.clone_with_type::<Document>().find(filter).await.map_err(driver)?;
        let documents: Vec<Document> = cursor.try_collect().await.map_err(driver)?;
        let found = documents.len();
        let revocations: Vec<Revocation> =
            documents.into_iter().filter_map(|d| mongodb::bson::deserialize_from_document(d).ok()).collect();
        Ok(Active { unreadable: found - revocations.len(), revocations })
    }

    /// Follows new ones. Load [`Revocations::active`] after opening it, so that nothing falls between.
    pub async fn watch(&self) -> Result<RevocationWatch, StoreError> {
        let stream = self
            .revocations
            .clone_with_type::<Document>()
            .watch()
            .max_await_time(Duration::from_secs(1))
            .await
            .map_err(driver)?;
        Ok(RevocationWatch { stream })
    }
}

/// A change stream on the revocations.
pub struct RevocationWatch {
    stream: ChangeStream<ChangeStreamEvent<Document>>,
}

impl RevocationWatch {
    /// The next new revocation; None when the server answered within about a second that there is none. After an error
    /// open a new one and load all.
    pub async fn next(&mut self) -> Result<Option<Revocation>, StoreError> {
        loop {
            if !self.stream.is_alive() {
                return Err(StoreError::Away("the change stream on revocations ended".into()));
            }
            let Some(event) = self.stream.next_if_any().await.map_err(driver)? else { return Ok(None) };
            // Deletions are the time-to-live at work.
            let Some(document) = event.full_document else { continue };
            if let Ok(revocation) = mongodb::bson::deserialize_from_document(document) {
                return Ok(Some(revocation));
            }
            tracing::error!("a revocation can't be read and has no effect: was it written by hand?");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_given_fields_must_match_and_time_is_inclusive() {
        let at: Timestamp = "2026-11-24T10:00:00.400Z".parse().unwrap();
        let company = CompanyId::parse("atlas").unwrap();
        let other = CompanyId::parse("rif").unwrap();
        let make = |company: Option<&CompanyId>, recruiter: Option<&str>, jti: Option<&str>| {
            let mut rng = rand::rng();
            Revocation::new(company.cloned(), recruiter.map(Into::into), jti.map(Into::into), at, &mut rng)
        };
        assert!(make(None, None, None).is_none());
        let all = make(Some(&company), None, None).unwrap();
        assert!(all.cuts(&company, "r1", None, at.as_second()));
        assert!(!all.cuts(&company, "r1", None, at.as_second() + 1));
        assert!(!all.cuts(&other, "r1", None, at.as_second()));
        let one = make(Some(&company), Some("r1"), None).unwrap();
        assert!(one.cuts(&company, "r1", Some("x"), 0) && !one.cuts(&company, "r2", None, 0));
        let token = make(None, None, Some("j1")).unwrap();
        assert!(token.cuts(&other, "r9", Some("j1"), 0) && !token.cuts(&other, "r9", None, 0));
        // Its issuer's clock is ahead of ours: it is that one all the same.
        assert!(token.cuts(&other, "r9", Some("j1"), at.as_second() + 30));
        assert!(!one.cuts(&company, "r1", Some("j1"), at.as_second() + 1), "signed afterwards");
        let later = one.from_moment(at + Duration::from_secs(2));
        assert!(later.cuts(&company, "r1", None, at.as_second() + 2));
        assert_eq!(later.expire_at, later.at + KEEP);
        assert_eq!(later.from_moment(Timestamp::MAX).expire_at, Timestamp::MAX);
    }
}
