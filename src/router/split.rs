//! A webhook taken apart: every entry, every change, every message and status, each with its own text as Meta sent it.
//!
//! Pure. Routing by anything else than `metadata.phone_number_id` is impossible here, since nothing else comes out.
//! Whatever is JSON comes out somewhere: as items of a line, as an account's event, or as malformed for the quarantine.
//! One POST may hold up to a thousand updates and mix several companies (Meta: batches, facts 6.1).

use std::cell::Cell;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::domain::{PhoneNumberId, Pii};
use crate::store::{ContactHint, Extent, IdentityChange, Kind, LineRef, NewEntry};

use super::identity;
use super::json::{Object, elements};

/// One change, or an entry or a body that could not be taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which of them.
    pub extent: Extent,
    /// `entry[].id` as it was written: the WABA.
    pub entry_id: String,
    /// `entry[].time`, seconds since 1970; on account fields.
    pub entry_time: Option<i64>,
    /// Its own text.
    pub text: Pii<String>,
    /// What is in it.
    pub content: Content,
}

/// What a change holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// It names a line.
    Line {
        /// The routing key.
        phone_number_id: PhoneNumberId,
        /// Its messages, statuses and events, in their order.
        items: Vec<Item>,
        /// Something in it was not as Meta documents it: a copy goes to quarantine too.
        remainder: bool,
    },
    /// An account-level field, for operators and the controller.
    Account {
        /// Meta's field name.
        field: String,
        /// Meta's value, its own text.
        value: String,
    },
    /// It can't be given to anybody.
    Malformed,
}

/// One message, status or event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Message, status or event.
    pub kind: Kind,
    /// What makes a repeat recognisable.
    pub meta_id: Pii<String>,
    /// Who it is from or to.
    pub contact: Option<ContactHint>,
    /// What it says of people whose ids are others now.
    pub changes: Vec<IdentityChange>,
    /// On a status: the message it speaks of.
    pub about: Option<Pii<String>>,
    /// The message that this one answers.
    pub reply_to: Option<Pii<String>>,
    /// The message that a reaction, edit or revoke is about.
    pub refers_to: Option<Pii<String>>,
    /// Meta's message type.
    pub kind_of_message: Option<String>,
    /// Meta's word of a status.
    pub status: Option<String>,
    /// Meta's time, seconds since 1970.
    pub timestamp: Option<i64>,
    /// Meta's field name, on events.
    pub field: Option<String>,
    /// Meta's own text.
    pub raw: Pii<String>,
}

impl Item {
    /// As an entry for a log, brought there by a route of this epoch.
    pub fn into_entry(self, line: LineRef, epoch: i64, about_required: bool) -> NewEntry {
        let Self {
            kind,
            meta_id,
            contact,
            changes,
            about,
            reply_to,
            refers_to,
            kind_of_message,
            status,
            timestamp,
            field,
            raw,
        } = self;
        NewEntry {
            meta_id: Some(meta_id),
            contact,
            changes,
            about,
            about_required: about_required && kind == Kind::Status,
            reply_to,
            refers_to,
            kind_of_message,
            status,
            timestamp,
            field,
            raw: Some(raw),
            ..NewEntry::new(kind, line, epoch)
        }
    }
}

/// Fields that speak of an account, a number or a template and hold nothing of a candidate (facts 6.5). Any other field
/// without a line goes to quarantine, since what it holds is not known.
const ACCOUNT_FIELDS: [&str; 17] = [
    "account_alerts",
    "account_review_update",
    "account_settings_update",
    "account_update",
    "business_capability_update",
    "business_status_update",
    "business_username_update",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "partner_solutions",
    "payment_configuration_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "template_category_update",
    "template_correct_category_detection",
];

/// The body is not a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON object")]
pub struct NotAnObject;

/// Changes and items of one POST at most, five times what Meta sends. More than that is not taken apart but kept whole:
/// it would fill the memory and never be written in time.
const PARTS: usize = 5000;

/// How many parts a POST may still have.
struct Budget(Cell<usize>);

impl Budget {
    fn take(&self, parts: usize) -> bool {
        let left = self.0.get().checked_sub(parts);
        left.inspect(|left| self.0.set(*left)).is_some()
    }
}

/// As long as a body may be. A text that became longer is kept whole: it would be too long for whoever reads it.
pub const LONGEST: usize = 4 * 1024 * 1024;

/// Takes a body apart.
pub fn split(body: &str) -> Result<Vec<Change>, NotAnObject> {
    let root = Object::of(body).ok_or(NotAnObject)?;
    let whole = || vec![malformed(Extent::Body, String::new(), body)];
    if body.len() > LONGEST || root.text("object").as_deref() != Some("whatsapp_business_account") {
        return Ok(whole());
    }
    Ok(match root.array("entry") {
        Ok(Some(entries)) if entries.len() <= PARTS => {
            let budget = Budget(Cell::new(PARTS));
            entries.into_iter().flat_map(|text| entry(text, &budget)).collect()
        }
        Ok(_) | Err(_) => whole(),
    })
}

/// Takes a body apart that holds bytes which are not UTF-8, and so is not quite JSON: by its text with U+FFFD in their
/// place. A change that holds none goes its way byte for byte. One that holds any is stored as that text and noted.
pub fn not_text(body: &[u8]) -> Result<Vec<Change>, NotAnObject> {
    let mut changes = split(&String::from_utf8_lossy(body))?;
    for Change { text, content, .. } in &mut changes {
        if let Content::Line { remainder, .. } = content {
            *remainder |= text.expose().contains(char::REPLACEMENT_CHARACTER);
        }
    }
    Ok(changes)
}

/// Takes apart again what was kept in quarantine. What is still not understood comes out as it went in.
pub fn again(extent: Extent, entry_id: &str, entry_time: Option<i64>, text: &str) -> Vec<Change> {
    match extent {
        Extent::Change => vec![change(entry_id, entry_time, text)],
        Extent::Entry => entry(text, &Budget(Cell::new(PARTS))),
        Extent::Body => split(text).unwrap_or_else(|_| vec![malformed(Extent::Body, String::new(), text)]),
    }
}

fn malformed(extent: Extent, entry_id: String, text: &str) -> Change {
    Change { extent, entry_id, entry_time: None, text: Pii(text.to_owned()), content: Content::Malformed }
}

fn entry(text: &str, budget: &Budget) -> Vec<Change> {
    let Some(entry) = Object::of(text) else { return vec![malformed(Extent::Entry, String::new(), text)] };
    let id = entry.text("id").unwrap_or_default();
    let time = entry.text("time").and_then(|time| time.parse().ok());
    match entry.array("changes") {
        Ok(Some(changes)) if budget.take(changes.len()) => {
            changes.into_iter().map(|text| within(&id, time, text, budget)).collect()
        }
        Ok(_) | Err(_) => vec![malformed(Extent::Entry, id, text)],
    }
}

/// Takes one change apart, as it came or as it was kept in quarantine.
pub fn change(entry_id: &str, entry_time: Option<i64>, text: &str) -> Change {
    within(entry_id, entry_time, text, &Budget(Cell::new(PARTS)))
}

fn within(entry_id: &str, entry_time: Option<i64>, text: &str, budget: &Budget) -> Change {
    Change {
        extent: Extent::Change,
        entry_id: entry_id.to_owned(),
        entry_time,
        text: Pii(text.to_owned()),
        content: content(text, budget).unwrap_or(Content::Malformed),
    }
}

fn content(text: &str, budget: &Budget) -> Option<Content> {
    let change = Object::of(text)?;
    let field = change.text("field")?;
    let value_text = change.get("value")?;
    if ACCOUNT_FIELDS.contains(&field.as_str()) {
        return Some(Content::Account { field, value: value_text.to_owned() });
    }
    let value = Object::of(value_text)?;
    let phone_number_id = value.object("metadata")?.text("phone_number_id")?.parse().ok()?;
    let mut items = Vec::new();
    let mut remainder = false;
    if field == "messages" {
        let contacts = Contacts::of(&value);
        let mut take = |name: &str, item: &dyn Fn(&str) -> Item| match value.array(name) {
            Ok(Some(texts)) if budget.take(texts.len()) => items.extend(texts.into_iter().map(item)),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => remainder = true,
        };
        take("messages", &|text| message(text, &contacts));
        take("statuses", &|text| status(text, &contacts));
        // Errors that belong to no message: the value as a whole says what they are about.
        let errors = value.get("errors").is_some_and(|errors| errors != "null");
        if errors || (items.is_empty() && !remainder) {
            items.push(event(&field, value_text, &value));
        }
    } else {
        let mut event = event(&field, value_text, &value);
        if field == "user_id_update" {
            event.changes = identity::updates(&value).filter(|changes| budget.take(changes.len())).unwrap_or_default();
            if let [change] = event.changes.as_slice() {
                let IdentityChange { now, .. } = change;
                event.contact = Some(hint(
                    now.user_id.clone().map(|id| id.0),
                    now.wa_id.clone().map(|id| id.0),
                    &Contacts::of(&value),
                ));
            }
        }
        items.push(event);
    }
    Some(Content::Line { phone_number_id, items, remainder })
}

/// Meta's names of fields are a few words.
const LONGEST_FIELD: usize = 100;

/// `field` and SHA-256 of the text: the id of what has none of its own.
fn hashed(field: &str, text: &str) -> Pii<String> {
    // Ids that are kept in an index must have an end.
    let Some((cut, _)) = field.char_indices().nth(LONGEST_FIELD) else {
        return Pii(format!("{field} {}", hex::encode(Sha256::digest(text.as_bytes()))));
    };
    let whole = Sha256::new().chain_update(field).chain_update("\n").chain_update(text).finalize();
    Pii(format!("{} {}", &field[..cut], hex::encode(whole)))
}

/// Ids that are kept in an index must have an end.
pub(super) fn usable(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && id.len() <= 512)
}

fn message(text: &str, contacts: &Contacts<'_>) -> Item {
    let object = Object::of(text);
    let get = |name: &str| object.as_ref().and_then(|object| object.text(name));
    let id = usable(get("id"));
    let kind_of_message = get("type");
    let refers_to = match kind_of_message.as_deref() {
        Some(kind @ ("reaction" | "edit" | "revoke")) => object
            .as_ref()
            .and_then(|object| object.object(kind))
            .and_then(|about| about.text("message_id").or_else(|| about.text("original_message_id"))),
        _ => None,
    };
    let reply_to = object.as_ref().and_then(|object| object.object("context")).and_then(|context| context.text("id"));
    let (user_id, wa_id) = (get("from_user_id"), get("from"));
    let change = match kind_of_message.as_deref() {
        Some("system") => object.as_ref().and_then(|object| object.object("system")),
        _ => None,
    };
    let change = change.and_then(|system| identity::change(&system, user_id.as_deref(), wa_id.as_deref()));
    // Whose the message is by the ids that are good from now on.
    let (user_id, wa_id) = match &change {
        Some(IdentityChange { now, .. }) => (now.user_id.clone().map(|id| id.0), now.wa_id.clone().map(|id| id.0)),
        None => (user_id, wa_id),
    };
    Item {
        kind: Kind::Message,
        meta_id: id.map_or_else(|| hashed("messages", text), Pii),
        contact: Some(hint(user_id, wa_id, contacts)),
        changes: change.into_iter().collect(),
        about: None,
        reply_to: usable(reply_to).map(Pii),
        refers_to: usable(refers_to).map(Pii),
        kind_of_message,
        status: None,
        timestamp: get("timestamp").and_then(|time| time.parse().ok()),
        field: None,
        raw: Pii(text.to_owned()),
    }
}

fn status(text: &str, contacts: &Contacts<'_>) -> Item {
    let object = Object::of(text);
    let get = |name: &str| object.as_ref().and_then(|object| object.text(name));
    let about = usable(get("id"));
    let status = get("status");
    // In a group one message has a status for each participant, and `recipient_id` is the group's. `sent` and `failed` name
    // nobody: then the group stands for itself.
    let phone = get("recipient_participant_id").or_else(|| get("recipient_id"));
    let recipient = match get("recipient_participant_id") {
        None => get("recipient_user_id").or_else(|| phone.clone()),
        participant => participant,
    };
    let meta_id = match (&about, &status) {
        (Some(id), Some(status)) => usable(Some(format!("{id} {status} {}", recipient.unwrap_or_default()))),
        _ => None,
    };
    Item {
        kind: Kind::Status,
        meta_id: meta_id.map_or_else(|| hashed("statuses", text), Pii),
        contact: Some(hint(get("recipient_user_id"), phone, contacts)),
        changes: Vec::new(),
        about: about.map(Pii),
        reply_to: None,
        refers_to: None,
        kind_of_message: None,
        status,
        timestamp: get("timestamp").and_then(|time| time.parse().ok()),
        field: None,
        raw: Pii(text.to_owned()),
    }
}

fn event(field: &str, text: &str, value: &Object<'_>) -> Item {
    Item {
        kind: Kind::Event,
        meta_id: hashed(field, text),
        contact: None,
        changes: Vec::new(),
        about: None,
        reply_to: None,
        refers_to: None,
        kind_of_message: None,
        status: None,
        timestamp: earliest(value),
        field: Some(field.to_owned()),
        raw: Pii(text.to_owned()),
    }
}

/// The earliest `timestamp` in the value or in the elements of its arrays (calls, user_preferences).
fn earliest(value: &Object<'_>) -> Option<i64> {
    let seconds = |object: &Object<'_>| object.text("timestamp").and_then(|time| time.parse::<i64>().ok());
    let inner = value.values().filter_map(elements).flatten().filter_map(Object::of);
    inner.filter_map(|object| seconds(&object)).chain(seconds(value)).min()
}

/// The blocks in `contacts`, found by either id: a batch may hold a thousand of them, so none is looked for twice.
struct Contacts<'a> {
    blocks: Vec<Object<'a>>,
    by_user: HashMap<String, usize>,
    by_phone: HashMap<String, usize>,
}

impl<'a> Contacts<'a> {
    fn of(value: &Object<'a>) -> Self {
        let blocks = value.array("contacts").ok().flatten().unwrap_or_default();
        let blocks: Vec<Object<'a>> = blocks.into_iter().filter_map(Object::of).collect();
        let (mut by_user, mut by_phone) = (HashMap::new(), HashMap::new());
        for (index, block) in blocks.iter().enumerate() {
            for (name, ids) in [("user_id", &mut by_user), ("wa_id", &mut by_phone)] {
                if let Some(id) = usable(block.text(name)) {
                    ids.entry(id).or_insert(index);
                }
            }
        }
        Self { blocks, by_user, by_phone }
    }

    fn find(&self, user_id: Option<&String>, wa_id: Option<&String>) -> Option<&Object<'a>> {
        let user = user_id.and_then(|id| self.by_user.get(id));
        // A phone number may be another person's by now: the BSUID's block goes before.
        let index = user.or_else(|| wa_id.and_then(|id| self.by_phone.get(id)))?;
        self.blocks.get(*index)
    }
}

/// What is known of a candidate: the ids in the item itself, and the block in `contacts` that bears one of them. With
/// no id in the item a single block speaks of it (older forms); of several none can be chosen.
fn hint(user_id: Option<String>, wa_id: Option<String>, contacts: &Contacts<'_>) -> ContactHint {
    let (user_id, wa_id) = (usable(user_id), usable(wa_id));
    let block = match contacts.find(user_id.as_ref(), wa_id.as_ref()) {
        None if user_id.is_none() && wa_id.is_none() && contacts.blocks.len() == 1 => contacts.blocks.first(),
        found => found,
    };
    let of = |name: &str| block.and_then(|contact| usable(contact.text(name)));
    let profile = block.and_then(|contact| contact.object("profile"));
    ContactHint {
        user_id: user_id.clone().or_else(|| of("user_id")).map(Pii),
        wa_id: wa_id.clone().or_else(|| of("wa_id")).map(Pii),
        name: profile.as_ref().and_then(|profile| profile.text("name")).map(Pii),
        username: profile.as_ref().and_then(|profile| profile.text("username")).map(Pii),
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
