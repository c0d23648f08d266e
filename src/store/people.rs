//! Who is who among a company's candidates, as a writer knows it, and what an item makes of them. Pure but for random ids.
//!
//! BSUID first, phone number second, never name or username: those can be anybody's. Meta says when a person's ids change
//! (`user_changed_number`, `user_changed_user_id`, `user_id_update`): the contact keeps its id. Two contacts that turn out
//! to be one are merged, and the older id stays. Must never follow a change that speaks of ids the contact no longer has:
//! webhooks come late and more than once.

use std::collections::{HashMap, HashSet};

use crate::domain::Pii;

use super::append_job::random_id;
use super::contacts::{ContactHint, IdentityChange};
use super::log_entry::{Contact, LogEntry, NewEntry, Seq};

/// A contact as the newest entry about it knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) contact: Contact,
}

/// An entry about a contact, which goes before the item that made it necessary: whoever is killed between the two finds the
/// contact changed already when Meta repeats the item, and writes nothing about it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) known: Known,
    /// Contacts that turned out to be this one.
    pub(super) merged: Vec<String>,
}

/// What an item makes of the contacts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) notes: Vec<Note>,
    /// Whose the item is.
    pub(super) whose: Option<Known>,
}

/// Which of two contacts is older is not known yet; the ids of those whose oldest entry is to be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ages(pub(super) HashSet<String>);

/// Contacts that a writer has met, as of the log's head that it knows. Bounded: it forgets all when it is full.
#[derive(Clone)]
pub(super) struct People {
    size: usize,
    by_user: HashMap<Pii<String>, String>,
    by_phone: HashMap<Pii<String>, String>,
    current: HashMap<String, Contact>,
    /// Ids that are another contact's since two were merged.
    merged: HashMap<String, String>,
    /// The oldest entry of a contact.
    ages: HashMap<String, Seq>,
    /// Contacts that were erased: entries of theirs may still be read for a while, and must make nobody known again.
    erased: HashSet<String>,
}

const SIZE: usize = 4096;

const NOTHING: ContactHint = ContactHint { user_id: None, wa_id: None, name: None, username: None };

impl Default for People {
    fn default() -> Self {
        Self::of(SIZE)
    }
}

impl People {
    pub(super) fn of(size: usize) -> Self {
        Self {
            size,
            by_user: HashMap::new(),
            by_phone: HashMap::new(),
            current: HashMap::new(),
            merged: HashMap::new(),
            ages: HashMap::new(),
            erased: HashSet::new(),
        }
    }

    /// Takes in an entry, in the order of seq.
    pub(super) fn fold(&mut self, entry: &LogEntry) {
        if !entry.erased.is_empty() {
            self.erased.extend(entry.erased.iter().cloned());
            let erased: HashSet<String> = entry.erased.iter().cloned().collect();
            self.forget(&erased);
        }
        let (Some(id), Some(contact)) = (&entry.contact_id, &entry.contact) else { return };
        for merged in &entry.merged {
            self.is_now(merged, id);
        }
        self.learn(&Known { id: id.clone(), contact: contact.clone() });
    }

    /// These contacts were erased: who writes under their ids of Meta's from now on is somebody new.
    fn forget(&mut self, erased: &HashSet<String>) {
        let kept = |id: &String| !erased.contains(id);
        self.by_user.retain(|_, id| kept(id));
        self.by_phone.retain(|_, id| kept(id));
        self.current.retain(|id, _| kept(id));
        self.ages.retain(|id, _| kept(id));
        self.merged.retain(|from, to| kept(from) && kept(to));
    }

    fn make_room(&mut self, more: usize) {
        let most = [self.by_user.len(), self.by_phone.len(), self.current.len(), self.merged.len(), self.ages.len()];
        if most.into_iter().max().unwrap_or(0).saturating_add(more) > self.size {
            *self = Self { erased: std::mem::take(&mut self.erased), ..Self::of(self.size) };
        }
    }

    pub(super) fn learn(&mut self, known: &Known) {
        self.make_room(1);
        if let Some(user) = &known.contact.user_id {
            self.by_user.insert(user.clone(), known.id.clone());
        }
        if let Some(phone) = &known.contact.wa_id {
            self.by_phone.insert(phone.clone(), known.id.clone());
        }
        self.current.insert(known.id.clone(), known.contact.clone());
    }

    /// Takes in what is known of a contact, and nothing of who bears Meta's ids.
    pub(super) fn remember(&mut self, known: &Known) {
        self.current.insert(known.id.clone(), known.contact.clone());
    }

    /// Takes in all that was gathered: it is as of the same head or of a later one, and what stands up to that one is folded
    /// before anything can be appended.
    pub(super) fn add(&mut self, gathered: Self) {
        self.make_room(gathered.current.len().max(gathered.by_user.len()).max(gathered.by_phone.len()));
        self.by_user.extend(gathered.by_user);
        self.by_phone.extend(gathered.by_phone);
        self.current.extend(gathered.current);
        self.merged.extend(gathered.merged);
        self.ages.extend(gathered.ages);
    }

    /// The same of one contact, from what another knows of it.
    pub(super) fn remember_from(&mut self, other: &Self, known: &Known) {
        self.remember(known);
        if let Some(seq) = other.ages.get(&known.id) {
            self.is_since(known.id.clone(), *seq);
        }
    }

    /// Forgets whom another knows to be erased.
    pub(super) fn forget_erased(&mut self, other: &Self) {
        if !other.erased.is_empty() {
            self.forget(&other.erased);
        }
    }

    /// A contact was merged into another.
    pub(super) fn is_now(&mut self, merged: &str, id: &str) {
        if merged != id {
            self.merged.insert(merged.to_owned(), id.to_owned());
            self.current.remove(merged);
        }
    }

    /// The newest entry with this BSUID is that contact's.
    pub(super) fn user_is(&mut self, user: Pii<String>, id: String) {
        self.by_user.insert(user, id);
    }

    /// The same of a phone number.
    pub(super) fn phone_is(&mut self, phone: Pii<String>, id: String) {
        self.by_phone.insert(phone, id);
    }

    /// The oldest entry of a contact.
    pub(super) fn is_since(&mut self, id: String, seq: Seq) {
        self.ages.insert(id, seq);
    }

    pub(super) fn by_user(&self, user: &Pii<String>) -> Option<Known> {
        self.known(self.by_user.get(user)?)
    }

    /// The contact that has this phone number now: whoever had it once may be another person than who has it by now.
    pub(super) fn by_phone(&self, phone: &Pii<String>) -> Option<Known> {
        self.known(self.by_phone.get(phone)?).filter(|known| known.contact.wa_id.as_ref() == Some(phone))
    }

    /// A contact by its id, or by one that was merged into it.
    pub(super) fn known(&self, id: &str) -> Option<Known> {
        let mut id = id;
        // Each merge leads to an older contact, so this ends; bounded all the same.
        for _ in 0..=self.merged.len() {
            match self.merged.get(id) {
                Some(next) => id = next,
                None => break,
            }
        }
        Some(Known { id: id.to_owned(), contact: self.current.get(id)?.clone() })
    }

    fn find(&self, hint: &ContactHint) -> (Option<Known>, Option<Known>) {
        let by_user = hint.user_id.as_ref().and_then(|user| self.by_user(user));
        (by_user, hint.wa_id.as_ref().and_then(|phone| self.by_phone(phone)))
    }

    /// What an item makes of the contacts, and learns it. `about`: the contact of the message that the item speaks of.
    /// `seq`: where it would stand. After an error everything learnt here is to be dropped.
    pub(super) fn meet(&mut self, item: &NewEntry, about: Option<&str>, seq: Seq) -> Result<Met, Ages> {
        let mut met = Met::default();
        for change in &item.changes {
            if let Some(note) = self.follow(change)? {
                met.add(note);
            }
        }
        let Some(hint) = &item.contact else { return Ok(met) };
        let known = match self.find(hint) {
            // One of them was known by the phone number alone: the same person.
            (Some(a), Some(b)) if a.id != b.id && b.contact.user_id.is_none() => {
                // From before a change: it tells that they are one, and nothing of the ids.
                let outdated = differ(&a.contact.user_id, &hint.user_id);
                let note = self.merge(a, b, if outdated { &NOTHING } else { hint })?;
                let known = note.known.clone();
                met.add(note);
                Some(known)
            }
            (by_user, by_phone) => choose(hint, by_user, by_phone),
        };
        // A status that names nobody who is known is about whom the message was with, unless it names another person.
        let with = || self.known(about?).filter(|known| !differ(&known.contact.user_id, &hint.user_id));
        let known = known.or_else(with);
        met.whose = Some(match known {
            None => {
                let known = Known { id: random_id("c"), contact: overlay(None, hint) };
                self.is_since(known.id.clone(), seq);
                self.learn(&known);
                known
            }
            // From before a change: what is known by now stays.
            Some(known) if differ(&known.contact.user_id, &hint.user_id) => known,
            Some(Known { id, contact: before }) => {
                let known = Known { id, contact: overlay(Some(&before), hint) };
                self.learn(&known);
                if is_other(&before, &known.contact) {
                    met.add(Note { known: known.clone(), merged: Vec::new() });
                }
                known
            }
        });
        Ok(met)
    }

    /// Follows a change of ids, if it speaks of those that the contact has.
    fn follow(&mut self, change: &IdentityChange) -> Result<Option<Note>, Ages> {
        let (before, now) = (&change.before, &change.now);
        let found = |people: &Self, hint: &ContactHint| {
            let (by_user, by_phone) = people.find(hint);
            choose(hint, by_user, by_phone)
        };
        let Some(known) = found(self, before) else { return Ok(None) };
        let speaks_of_it = match &before.user_id {
            Some(user) => known.contact.user_id.as_ref().is_none_or(|has| has == user),
            None => known.contact.wa_id == before.wa_id,
        };
        if !speaks_of_it {
            return Ok(None);
        }
        match found(self, now) {
            Some(other) if other.id != known.id => self.merge(known, other, now).map(Some),
            _ => {
                let contact = overlay(Some(&known.contact), now);
                if contact == known.contact {
                    return Ok(None);
                }
                let known = Known { id: known.id, contact };
                self.learn(&known);
                Ok(Some(Note { known, merged: Vec::new() }))
            }
        }
    }

    /// Two contacts are one: the older id stays. `a` knows better than `b`, and the hint better than both.
    fn merge(&mut self, a: Known, b: Known, hint: &ContactHint) -> Result<Note, Ages> {
        let unknown: HashSet<String> =
            [&a.id, &b.id].into_iter().filter(|id| !self.ages.contains_key(*id)).cloned().collect();
        if !unknown.is_empty() {
            return Err(Ages(unknown));
        }
        let contact = overlay(Some(&overlay(Some(&b.contact), &a.contact.into_hint())), hint);
        let (older, younger) = if self.ages[&a.id] <= self.ages[&b.id] { (a.id, b.id) } else { (b.id, a.id) };
        self.is_now(&younger, &older);
        let known = Known { id: older, contact };
        self.learn(&known);
        Ok(Note { known, merged: vec![younger] })
    }
}

impl Met {
    /// One entry tells all that an item makes of one contact.
    fn add(&mut self, note: Note) {
        match self.notes.iter_mut().find(|there| there.known.id == note.known.id) {
            Some(there) => {
                there.known = note.known;
                there.merged.extend(note.merged);
            }
            None => self.notes.push(note),
        }
    }
}

impl Contact {
    fn into_hint(self) -> ContactHint {
        let Self { user_id, wa_id, name, username } = self;
        ContactHint { user_id, wa_id, name, username }
    }
}

fn differ(a: &Option<Pii<String>>, b: &Option<Pii<String>>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a != b)
}

/// Whether something that was known is otherwise now. What is learnt for the first time comes with the item that says it.
fn is_other(before: &Contact, now: &Contact) -> bool {
    differ(&before.user_id, &now.user_id)
        || differ(&before.wa_id, &now.wa_id)
        || differ(&before.name, &now.name)
        || differ(&before.username, &now.username)
}

/// Which contact a hint means: the one with its BSUID; else the one with its phone number, unless both have a BSUID and
/// they differ (a phone number that went to another person, or a person's new BSUID after a change of number: not the
/// same contact until Meta says so).
fn choose(hint: &ContactHint, by_user: Option<Known>, by_phone: Option<Known>) -> Option<Known> {
    by_user.or_else(|| by_phone.filter(|known| !differ(&known.contact.user_id, &hint.user_id)))
}

/// What is known after a hint: what it says, else what was known before.
fn overlay(before: Option<&Contact>, hint: &ContactHint) -> Contact {
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

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
