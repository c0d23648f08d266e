//! Who a candidate is, for one company: BSUID first, phone number where Meta gives one, under an id of our own.
//!
//! The id is random and is decided by the first entry of the log that bears it: a writer looks for the candidate in the
//! log up to the place where it appends, so two replicas can't give one candidate two ids, and nothing outside the log
//! has to agree. The same candidate at another company is another contact with another id.
//! Never looked up by name or username: those can be anybody's.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::doc;
use serde::Deserialize;
use tokio::time::Instant;

use crate::domain::Pii;

use super::connect::bounded;
use super::error::StoreError;
use super::log_entry::{Contact, LogEntry};

/// What a webhook says about a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactHint {
    /// BSUID.
    pub user_id: Option<Pii<String>>,
    /// Phone number, digits only.
    pub wa_id: Option<Pii<String>>,
    /// Profile name.
    pub name: Option<Pii<String>>,
    /// Username.
    pub username: Option<Pii<String>>,
}

/// A contact as the newest entry about it knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) contact: Contact,
}

/// Which contact a hint means: the one with its BSUID; else the one with its phone number, unless both have a BSUID and
/// they differ (a phone number that went to another person, or a person's new BSUID after a change of number: not the
/// same contact until Meta says so).
pub(super) fn choose(hint: &ContactHint, by_user: Option<Known>, by_phone: Option<Known>) -> Option<Known> {
    by_user.or_else(|| {
        by_phone.filter(|known| match (&known.contact.user_id, &hint.user_id) {
            (Some(known), Some(hinted)) => known == hinted,
            _ => true,
        })
    })
}

/// What is known after a hint: what it says, else what was known before.
pub(super) fn overlay(before: Option<&Contact>, hint: &ContactHint) -> Contact {
    let pick = |new: &Option<Pii<String>>, old: fn(&Contact) -> &Option<Pii<String>>| {
        new.clone().or_else(|| before.and_then(|contact| old(contact).clone()))
    };
    Contact {
        user_id: pick(&hint.user_id, |c| &c.user_id),
        wa_id: pick(&hint.wa_id, |c| &c.wa_id),
        name: pick(&hint.name, |c| &c.name),
        username: pick(&hint.username, |c| &c.username),
    }
}

/// Contacts that a writer has met, as of the log's head that it knows. Bounded: it forgets all when it is full.
#[derive(Clone)]
pub(super) struct ContactCache {
    size: usize,
    by_user: HashMap<Pii<String>, Known>,
    by_phone: HashMap<Pii<String>, Known>,
}

const CACHE_SIZE: usize = 4096;

impl Default for ContactCache {
    fn default() -> Self {
        Self::of(CACHE_SIZE)
    }
}

impl ContactCache {
    fn of(size: usize) -> Self {
        Self { size, by_user: HashMap::new(), by_phone: HashMap::new() }
    }

    /// Takes in an entry, in the order of seq.
    pub(super) fn fold(&mut self, entry: &LogEntry) {
        if let (Some(id), Some(contact)) = (&entry.contact_id, &entry.contact) {
            self.learn(&Known { id: id.clone(), contact: contact.clone() });
        }
    }

    pub(super) fn learn(&mut self, known: &Known) {
        if self.by_user.len().max(self.by_phone.len()) >= self.size {
            *self = Self::of(self.size);
        }
        if let Some(user) = &known.contact.user_id {
            self.by_user.insert(user.clone(), known.clone());
        }
        if let Some(phone) = &known.contact.wa_id {
            self.by_phone.insert(phone.clone(), known.clone());
        }
    }

    /// Finds what the hint means, in memory alone.
    pub(super) fn look_up_cached(&self, hint: &ContactHint) -> Option<Known> {
        let by_user = hint.user_id.as_ref().and_then(|user| self.by_user.get(user)).cloned();
        let by_phone = hint.wa_id.as_ref().and_then(|phone| self.by_phone.get(phone)).cloned();
        choose(hint, by_user, by_phone)
    }

    /// What is known of these candidates, from memory or else from the log: of many at once by one query for all BSUIDs
    /// and one for all phone numbers, since a batch of Meta's may be of a thousand candidates who were never seen.
    pub(super) async fn gather(
        &self,
        log: &Collection<LogEntry>,
        hints: &[&ContactHint],
        deadline: Instant,
    ) -> Result<Self, StoreError> {
        // For one append alone, which must not forget whom it has asked for.
        let mut found = Self::of(usize::MAX);
        let (mut users, mut phones) = (HashSet::new(), HashSet::new());
        for hint in hints {
            for (id, known, found, missing) in [
                (&hint.user_id, &self.by_user, &mut found.by_user, &mut users),
                (&hint.wa_id, &self.by_phone, &mut found.by_phone, &mut phones),
            ] {
                match id.as_ref().map(|id| (id, known.get(id))) {
                    Some((id, Some(known))) => drop(found.insert(id.clone(), known.clone())),
                    Some((id, None)) => drop(missing.insert(id.clone())),
                    None => {}
                }
            }
        }
        found.by_user.extend(newest(log, "contact.user_id", users, deadline).await?);
        found.by_phone.extend(newest(log, "contact.wa_id", phones, deadline).await?);
        Ok(found)
    }
}

/// So many are asked for one by one: the usual case, and a plain read of an index.
const FEW: usize = 8;

#[derive(Deserialize)]
struct Newest {
    #[serde(rename = "_id")]
    value: Pii<String>,
    id: Option<String>,
    contact: Option<Contact>,
}

/// The newest entry's contact for each of these values.
async fn newest(
    log: &Collection<LogEntry>,
    field: &'static str,
    values: HashSet<Pii<String>>,
    deadline: Instant,
) -> Result<HashMap<Pii<String>, Known>, StoreError> {
    if values.is_empty() {
        return Ok(HashMap::new());
    }
    let log = log.clone();
    bounded(deadline, async move {
        let read = |e| StoreError::from_driver("the contacts", e);
        if values.len() <= FEW {
            let mut all = HashMap::new();
            for value in values {
                let newest = log.find_one(doc! { field: value.expose() }).sort(doc! { "_id": -1 });
                let entry = newest.projection(doc! { "raw": 0 }).await.map_err(read)?;
                let known = entry.and_then(|entry| Some(Known { id: entry.contact_id?, contact: entry.contact? }));
                all.extend(known.map(|known| (value, known)));
            }
            return Ok(all);
        }
        let values: Vec<&str> = values.iter().map(|value| value.expose().as_str()).collect();
        let path = format!("${field}");
        // Sorted as the field's own index is, so that the server can jump from value to value.
        let pipeline = [
            doc! { "$match": { field: { "$in": values } } },
            doc! { "$sort": { field: 1, "_id": -1 } },
            doc! { "$group": {
                "_id": path, "id": { "$first": "$contact_id" }, "contact": { "$first": "$contact" },
            } },
        ];
        let cursor = log.aggregate(pipeline).with_type::<Newest>().await.map_err(read)?;
        let all: Vec<Newest> = cursor.try_collect().await.map_err(read)?;
        Ok(all
            .into_iter()
            .filter_map(|newest| Some((newest.value, Known { id: newest.id?, contact: newest.contact? })))
            .collect())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<Pii<String>> {
        (!value.is_empty()).then(|| Pii(value.to_owned()))
    }

    fn known(id: &str, user: &str, phone: &str) -> Option<Known> {
        (!id.is_empty()).then(|| Known {
            id: id.into(),
            contact: Contact { user_id: text(user), wa_id: text(phone), ..Contact::default() },
        })
    }

    #[test]
    fn bsuid_first_phone_second_never_by_force() {
        // (hint user, hint phone), found by user, found by phone, chosen
        let table = [
            (("U1", ""), known("a", "U1", ""), None, "a"),
            (("U1", "212"), known("a", "U1", ""), known("b", "", "212"), "a"),
            (("U1", "212"), None, known("b", "", "212"), "b"),
            (("", "212"), None, known("b", "U9", "212"), "b"),
            // The phone number belonged to somebody with another BSUID.
            (("U1", "212"), None, known("b", "U9", "212"), ""),
            (("U1", "212"), None, None, ""),
            (("", ""), None, None, ""),
        ];
        for ((user, phone), by_user, by_phone, want) in table {
            let hint = ContactHint { user_id: text(user), wa_id: text(phone), ..ContactHint::default() };
            let chosen = choose(&hint, by_user, by_phone).map(|k| k.id).unwrap_or_default();
            assert_eq!(chosen, want, "{user} {phone}");
        }
    }

    #[test]
    fn what_is_not_said_again_stays_known() {
        let before = Contact { user_id: text("U1"), wa_id: text("212"), name: text("Amina"), username: None };
        let hint = ContactHint { user_id: text("U1"), username: text("amina.b"), ..ContactHint::default() };
        let after = overlay(Some(&before), &hint);
        assert_eq!(after, Contact { username: text("amina.b"), ..before });
    }
}
