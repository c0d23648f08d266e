//! Who a candidate is, for one company: BSUID first, phone number where Meta gives one, under an id of our own.
//!
//! The id is random and is decided by the first entry of the log that bears it: a writer looks for the candidate in the
//! log up to the place where it appends, so two replicas can't give one candidate two ids, and nothing outside the log
//! has to agree. The same candidate at another company is another contact with another id.
//! Never looked up by name or username: those can be anybody's.

use std::collections::HashMap;

use mongodb::Collection;
use mongodb::bson::doc;

use crate::domain::Pii;

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
#[derive(Default)]
pub(super) struct ContactCache {
    by_user: HashMap<Pii<String>, Known>,
    by_phone: HashMap<Pii<String>, Known>,
}

const CACHE_SIZE: usize = 4096;

impl ContactCache {
    /// Takes in an entry, in the order of seq.
    pub(super) fn fold(&mut self, entry: &LogEntry) {
        if let (Some(id), Some(contact)) = (&entry.contact_id, &entry.contact) {
            self.learn(&Known { id: id.clone(), contact: contact.clone() });
        }
    }

    pub(super) fn learn(&mut self, known: &Known) {
        if self.by_user.len().max(self.by_phone.len()) >= CACHE_SIZE {
            *self = Self::default();
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

    /// Finds what the hint may mean, in memory or else in the log.
    pub(super) async fn look_up(
        &self,
        log: &Collection<LogEntry>,
        hint: &ContactHint,
    ) -> Result<Option<Known>, StoreError> {
        let by_user = match &hint.user_id {
            None => None,
            Some(user) => match self.by_user.get(user) {
                Some(known) => Some(known.clone()),
                None => newest(log, "contact.user_id", user).await?,
            },
        };
        if by_user.is_some() {
            return Ok(choose(hint, by_user, None));
        }
        let by_phone = match &hint.wa_id {
            None => None,
            Some(phone) => match self.by_phone.get(phone) {
                Some(known) => Some(known.clone()),
                None => newest(log, "contact.wa_id", phone).await?,
            },
        };
        Ok(choose(hint, None, by_phone))
    }
}

async fn newest(log: &Collection<LogEntry>, field: &str, value: &Pii<String>) -> Result<Option<Known>, StoreError> {
    let entry = log
        .find_one(doc! { field: value.expose() })
        .sort(doc! { "_id": -1 })
        .projection(doc! { "raw": 0 })
        .await
        .map_err(|e| StoreError::from_driver("a contact", e))?;
    Ok(entry.and_then(|entry| Some(Known { id: entry.contact_id?, contact: entry.contact? })))
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
