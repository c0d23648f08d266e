//! Who a candidate is, for one company: BSUID first, phone number where Meta gives one, under an id of our own.
//!
//! The id is random and is decided by the first entry of the log that bears it: a writer looks for the candidate in the
//! log up to the place where it appends, so two replicas can't give one candidate two ids, and nothing outside the log
//! has to agree. The same candidate at another company is another contact with another id.
//! Here is what webhooks say and what is asked of the log; what follows from it is `people`'s.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use mongodb::Collection;
use mongodb::bson::doc;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::domain::Pii;

use super::connect::Within;
use super::error::StoreError;
use super::log::READ;
use super::log_entry::{Contact, LogEntry, NewEntry, Seq};
use super::people::{Known, People};

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

/// Meta says that a person's ids are others from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityChange {
    /// What they were; at least one.
    pub before: ContactHint,
    /// What they are; at least one.
    pub now: ContactHint,
}

/// Whom items speak of: what is to be known of them before the items are written.
#[derive(Debug, Default, Clone)]
pub(super) struct Wanted {
    users: HashSet<Pii<String>>,
    phones: HashSet<Pii<String>>,
    ids: HashSet<String>,
}

impl Wanted {
    pub(super) fn add(&mut self, item: &NewEntry) {
        let changes = item.changes.iter().flat_map(|change| [&change.before, &change.now]);
        for hint in item.contact.iter().chain(changes) {
            self.users.extend(hint.user_id.clone());
            self.phones.extend(hint.wa_id.clone());
        }
    }

    /// Contacts that messages were with.
    pub(super) fn add_contacts(&mut self, ids: HashSet<String>) {
        self.ids.extend(ids);
    }

    /// Who is not among these.
    pub(super) fn without(mut self, asked: &Self) -> Self {
        self.users.retain(|user| !asked.users.contains(user));
        self.phones.retain(|phone| !asked.phones.contains(phone));
        self.ids.retain(|id| !asked.ids.contains(id));
        self
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.users.extend(other.users);
        self.phones.extend(other.phones);
        self.ids.extend(other.ids);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.phones.is_empty() && self.ids.is_empty()
    }
}

/// What is known of these candidates, from memory or else from the log: of many at once by few queries, since each read may
/// cost as much as an insert, and Meta waits.
pub(super) async fn gather(
    cached: &People,
    log: &Collection<LogEntry>,
    wanted: Wanted,
    within: &Within,
) -> Result<People, StoreError> {
    // For one append alone, which must not forget whom it has asked for.
    let mut found = People::of(usize::MAX);
    let Wanted { mut users, mut phones, mut ids } = wanted;
    users.retain(|user| match cached.by_user(user) {
        Some(known) => {
            found.remember_from(cached, &known);
            found.user_is(user.clone(), known.id);
            false
        }
        None => true,
    });
    phones.retain(|phone| match cached.by_phone(phone) {
        Some(known) => {
            found.remember_from(cached, &known);
            found.phone_is(phone.clone(), known.id);
            false
        }
        None => true,
    });
    ids.retain(|id| match cached.known(id) {
        Some(known) => {
            found.remember_from(cached, &known);
            found.is_now(id, &known.id);
            false
        }
        None => true,
    });
    let users: HashMap<Pii<String>, Newest> = newest(log, "contact.user_id", users, within).await?;
    let phones: HashMap<Pii<String>, Newest> = newest(log, "contact.wa_id", phones, within).await?;
    ids.extend(users.values().chain(phones.values()).filter_map(|entry| entry.id.clone()));
    // An entry that bears an id of Meta's need not be the contact's newest, nor the contact's id still be its own.
    let merges = survivors(log, ids.clone(), within).await?;
    for (merged, id) in &merges {
        found.is_now(merged, id);
    }
    let living = ids.into_iter().filter(|id| !merges.contains_key(id));
    let living = living.chain(merges.values().filter(|id| !merges.contains_key(*id)).cloned()).collect();
    let contacts: HashMap<String, Newest> = newest(log, "contact_id", living, within).await?;
    for (id, contact) in contacts.into_iter().filter_map(|(id, newest)| Some((id, newest.contact?))) {
        found.remember(&Known { id, contact });
    }
    // Who bears an id of Meta's is whom its newest entry names, whatever other contacts had it before.
    for (user, id) in users.into_iter().filter_map(|(user, newest)| Some((user, newest.id?))) {
        found.user_is(user, id);
    }
    for (phone, id) in phones.into_iter().filter_map(|(phone, newest)| Some((phone, newest.id?))) {
        found.phone_is(phone, id);
    }
    // Entries of theirs may be left in the log for a moment more.
    found.forget_erased(cached);
    Ok(found)
}

/// So many are asked for one by one: the usual case, and a plain read of an index.
const FEW: usize = 8;
/// Of these at the same time, each on a connection that all companies share.
const AT_ONCE: usize = 4;

/// The newest entry about something.
#[derive(Deserialize)]
struct Newest {
    #[serde(rename = "contact_id")]
    id: Option<String>,
    contact: Option<Contact>,
}

#[derive(Deserialize)]
struct Grouped<V> {
    #[serde(rename = "_id")]
    value: V,
    #[serde(flatten)]
    newest: Newest,
}

/// A value that entries are looked for by.
trait Value: Eq + std::hash::Hash + DeserializeOwned + Send + Sync + 'static {
    fn text(&self) -> &str;
}

impl Value for Pii<String> {
    fn text(&self) -> &str {
        self.expose()
    }
}

impl Value for String {
    fn text(&self) -> &str {
        self
    }
}

/// The newest entry that knows the contact, for each of these values.
async fn newest<V: Value>(
    log: &Collection<LogEntry>,
    field: &'static str,
    values: HashSet<V>,
    within: &Within,
) -> Result<HashMap<V, Newest>, StoreError> {
    if values.is_empty() {
        return Ok(HashMap::new());
    }
    let log = log.clone_with_type::<Newest>();
    within
        .run(async move {
            if values.len() <= FEW {
                return one_by_one(&log, field, values).await;
            }
            let mut found = grouped(&log, field, &values).await?;
            // The newest was erased: it has the contact's id only, and an older one is looked for. Not so in the query for
            // all, which would have to read every entry of each.
            let erased: HashSet<V> = values
                .into_iter()
                .filter(|value| found.get(value).is_some_and(|newest| newest.contact.is_none()))
                .collect();
            found.retain(|value, _| !erased.contains(value));
            found.extend(one_by_one(&log, field, erased).await?);
            Ok(found)
        })
        .await
}

async fn one_by_one<V: Value>(
    log: &Collection<Newest>,
    field: &'static str,
    values: HashSet<V>,
) -> Result<HashMap<V, Newest>, StoreError> {
    let newest = |value: V| async move {
        let filter = doc! { field: value.text(), "contact": { "$exists": true } };
        let newest = log
            .find_one(filter)
            .sort(doc! { "_id": -1 })
            .projection(doc! { "contact_id": 1, "contact": 1 })
            .max_time(READ)
            .await
            .map_err(|e| StoreError::from_driver("the contacts", e))?;
        Ok::<_, StoreError>(newest.map(|newest| (value, newest)))
    };
    let found: Vec<_> = stream::iter(values.into_iter().map(newest)).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn grouped<V: Value>(
    log: &Collection<Newest>,
    field: &'static str,
    values: &HashSet<V>,
) -> Result<HashMap<V, Newest>, StoreError> {
    let read = |e| StoreError::from_driver("the contacts", e);
    let values: Vec<&str> = values.iter().map(Value::text).collect();
    // Sorted as the field's own index is, so that the server can jump from value to value, however many entries each has.
    let pipeline = [
        doc! { "$match": { field: { "$in": values } } },
        doc! { "$sort": { field: 1, "_id": -1 } },
        doc! { "$group": {
            "_id": format!("${field}"), "contact_id": { "$first": "$contact_id" }, "contact": { "$first": "$contact" },
        } },
    ];
    let cursor = log.aggregate(pipeline).with_type::<Grouped<V>>().max_time(READ).await.map_err(read)?;
    let all: Vec<Grouped<V>> = cursor.try_collect().await.map_err(read)?;
    Ok(all.into_iter().map(|grouped| (grouped.value, grouped.newest)).collect())
}

#[derive(Deserialize)]
struct Merge {
    contact_id: String,
    merged: Vec<String>,
}

fn merges(log: &Collection<LogEntry>) -> Collection<Merge> {
    log.clone_with_type()
}

/// Which of these contacts were merged into others, those again, and so on: by the merged id, the one it was merged into.
async fn survivors(
    log: &Collection<LogEntry>,
    ids: HashSet<String>,
    within: &Within,
) -> Result<HashMap<String, String>, StoreError> {
    let log = merges(log);
    within
        .run(async move {
            let (mut all, mut ask) = (HashMap::new(), ids);
            while !ask.is_empty() {
                let values: Vec<&String> = ask.iter().collect();
                let found = log
                    .find(doc! { "merged": { "$in": values } })
                    .projection(doc! { "contact_id": 1, "merged": 1 })
                    .max_time(READ);
                let read = |e| StoreError::from_driver("the contacts", e);
                let found: Vec<Merge> = found.await.map_err(read)?.try_collect().await.map_err(read)?;
                let mut next = HashSet::new();
                for Merge { contact_id, merged } in found {
                    for merged in merged.into_iter().filter(|merged| ask.contains(merged) && *merged != contact_id) {
                        all.insert(merged, contact_id.clone());
                    }
                    next.insert(contact_id);
                }
                next.retain(|id| !all.contains_key(id) && !ask.contains(id));
                ask = next;
            }
            Ok(all)
        })
        .await
}

/// All ids under which the log has entries of this contact, its own among them.
pub(super) async fn all_ids(
    log: &Collection<LogEntry>,
    id: &str,
    deadline: Instant,
) -> Result<Vec<String>, StoreError> {
    let within = &Within::until(deadline);
    let up = survivors(log, HashSet::from([id.to_owned()]), within).await?;
    let mut living = id.to_owned();
    for _ in 0..up.len() {
        match up.get(&living) {
            Some(next) => living.clone_from(next),
            None => break,
        }
    }
    let log = merges(log);
    within
        .run(async move {
            let (mut all, mut ask) = (HashSet::from([living.clone()]), vec![living]);
            while !ask.is_empty() {
                let found = log.find(doc! { "contact_id": { "$in": &ask }, "merged": { "$exists": true } });
                let read = |e| StoreError::from_driver("the contacts", e);
                let found: Vec<Merge> = found
                    .projection(doc! { "contact_id": 1, "merged": 1 })
                    .max_time(READ)
                    .await
                    .map_err(read)?
                    .try_collect()
                    .await
                    .map_err(read)?;
                ask = found.into_iter().flat_map(|merge| merge.merged).filter(|id| all.insert(id.clone())).collect();
            }
            Ok(all.into_iter().collect())
        })
        .await
}

#[derive(Deserialize)]
struct Place {
    #[serde(rename = "_id")]
    seq: Seq,
}

/// Where the oldest entries of these contacts stand.
pub(super) async fn ages(
    log: &Collection<LogEntry>,
    ids: HashSet<String>,
    within: &Within,
) -> Result<HashMap<String, Seq>, StoreError> {
    let log = log.clone_with_type::<Place>();
    within
        .run(async move {
            let mut all = HashMap::new();
            for id in ids {
                let oldest =
                    log.find_one(doc! { "contact_id": &id }).sort(doc! { "_id": 1 }).projection(doc! { "_id": 1 });
                let oldest = oldest.max_time(READ).await.map_err(|e| StoreError::from_driver("the contacts", e))?;
                all.insert(id, oldest.map_or(Seq::MAX, |place| place.seq));
            }
            Ok(all)
        })
        .await
}
