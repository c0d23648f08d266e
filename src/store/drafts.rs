//! What a batch of items becomes in the log: places, ids of ours, contacts, and the entries about contacts that go before
//! the items which made them necessary. Pure but for random ids.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::domain::Pii;

use super::append_job::draft;
use super::log_entry::{Kind, LogEntry, NewEntry, Seq};
use super::people::{Ages, Note, People};

/// An entry on its way.
pub(super) struct Draft {
    /// The item that it is, or that made it necessary.
    pub(super) item: usize,
    /// Whether it is about the item's contact only.
    pub(super) note: bool,
    pub(super) entry: LogEntry,
}

/// What came of drafting.
pub(super) enum Drafted {
    /// Entries in their order, and items that speak of a message which is not in the log and had to be.
    Ready { drafts: Vec<Draft>, unknown: Vec<usize> },
    /// The oldest entries of these contacts are to be asked for first.
    Ages(HashSet<String>),
    /// Something is to be written about a contact because of an item: whether the item is a repeat must be known before, or
    /// an old webhook would undo what was learnt since.
    Presence,
}

/// What is known when items are drafted.
pub(super) struct Basis<'a> {
    /// The newest place.
    pub(super) head: Seq,
    pub(super) at: Timestamp,
    /// Messages of the log that items speak of, by Meta's id.
    pub(super) messages: &'a HashMap<Pii<String>, LogEntry>,
    /// Everybody whom items speak of.
    pub(super) people: &'a People,
    /// Whether no item is in the log up to head.
    pub(super) all_new: bool,
}

/// Drafts these items in their order.
pub(super) fn draft_all(items: &[(usize, NewEntry)], basis: &Basis<'_>) -> Drafted {
    let (mut people, mut messages) = (basis.people.clone(), basis.messages.clone());
    let (mut drafts, mut unknown): (Vec<Draft>, Vec<usize>) = (Vec::with_capacity(items.len()), Vec::new());
    for (index, item) in items {
        let about = item.about.as_ref().and_then(|id| messages.get(id)).cloned();
        if item.about_required && about.is_none() {
            unknown.push(*index);
            continue;
        }
        let next = |drafts: &[Draft]| basis.head + 1 + Seq::try_from(drafts.len()).unwrap_or(Seq::MAX);
        let with = about.as_ref().and_then(|message| message.contact_id.as_deref());
        let met = match people.meet(item, with, next(&drafts)) {
            Ok(met) => met,
            Err(Ages(ids)) => return Drafted::Ages(ids),
        };
        if !met.notes.is_empty() && !basis.all_new {
            return Drafted::Presence;
        }
        for note in met.notes {
            let entry = about_contact(item, note, next(&drafts), basis.at);
            drafts.push(Draft { item: *index, note: true, entry });
        }
        let mut entry = draft(item, next(&drafts), basis.at);
        let reference = |id: &Option<Pii<String>>| {
            id.as_ref().and_then(|id| messages.get(id)).and_then(|entry| entry.message_id.clone())
        };
        entry.reply_to = reference(&item.reply_to);
        entry.refers_to = reference(&item.refers_to);
        if item.kind == Kind::Status {
            entry.message_id = about.as_ref().and_then(|message| message.message_id.clone());
        }
        (entry.contact_id, entry.contact) = met.whose.map(|known| (known.id, known.contact)).unzip();
        if let (Some(id), Kind::Message | Kind::Sent) = (&item.meta_id, item.kind) {
            messages.insert(id.clone(), entry.clone());
        }
        drafts.push(Draft { item: *index, note: false, entry });
    }
    Drafted::Ready { drafts, unknown }
}

fn about_contact(item: &NewEntry, note: Note, seq: Seq, at: Timestamp) -> LogEntry {
    let blank = NewEntry { line: item.line.clone(), epoch: item.epoch, ..NewEntry::of(Kind::Contact) };
    LogEntry {
        contact_id: Some(note.known.id),
        contact: Some(note.known.contact),
        merged: note.merged,
        ..draft(&blank, seq, at)
    }
}
