//! From an entry of the log to the item that a client gets: the shape in
//! docs/recruiter-client.md.
//!
//! `content` is Meta's own text, byte for byte: it is never parsed and written again, so that lone surrogates, large
//! numbers and unknown fields arrive as they were sent. Only what is nested deeper than 100 levels becomes a string of
//! its text, since many clients' parsers stop near 1,000.
//! An erased item must show nothing but its place, time and contact id.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::domain::Pii;
use crate::store::{Cursor, FenceAction, Kind, LogEntry, Seq};

/// `content` nested deeper than this is delivered as a string.
pub const MAX_DEPTH: usize = 100;

/// An item, rendered once and shared by all sockets that get it.
pub struct Item {
    /// Its place.
    pub seq: Seq,
    /// When it was stored.
    pub at: Timestamp,
    fingerprint: String,
    /// The JSON that goes out.
    pub json: Box<RawValue>,
}

impl Item {
    /// Bytes of JSON.
    pub fn size(&self) -> usize {
        self.json.get().len()
    }

    /// The cursor of a client that has stored this item.
    pub fn cursor(&self) -> Cursor {
        Cursor { seq: self.seq, fingerprint: self.fingerprint.clone() }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    phone_number_id: &'a str,
    phone_number: &'a str,
}

#[derive(Serialize, Default)]
struct Contact<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<&'a str>,
}

/// All fields of all kinds; `Some(None)` is written as null.
#[derive(Serialize, Default)]
struct Shape<'a> {
    seq: Seq,
    kind: &'a str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<Line<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Contact<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Option<&'a str>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind_of_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refers_to: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recruiter: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    merged: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Box<RawValue>>,
}

/// The parts of Meta's text that have fields of their own in an item.
#[derive(Deserialize, Default)]
struct Peek<'a> {
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Context {
    id: Option<serde::de::IgnoredAny>,
}

/// Renders an entry. None only if it can't be written as JSON at all, which no entry does.
pub fn render(entry: &LogEntry) -> Option<Item> {
    let json = to_raw_value(&shape(entry)).ok()?;
    Some(Item { seq: entry.seq, at: entry.at, fingerprint: entry.fp.clone(), json })
}

fn shape(entry: &LogEntry) -> Shape<'_> {
    let mut shape = Shape { seq: entry.seq, kind: entry.kind.as_str(), at: rfc3339(entry.at), ..Shape::default() };
    if entry.kind == Kind::Erased {
        shape.contact = entry.contact_id.as_deref().map(|id| Contact { id, ..Contact::default() });
        return shape;
    }
    shape.line = entry
        .line
        .as_ref()
        .map(|l| Line { phone_number_id: l.phone_number_id.as_str(), phone_number: l.phone_number.as_str() });
    shape.contact = contact(entry);
    let text = entry.raw.as_ref().map(|raw| raw.expose().as_str());
    let message_id = entry.message_id.as_deref();
    match entry.kind {
        Kind::Message => {
            let peek = text.map(peek).unwrap_or_default();
            shape.message_id = Some(message_id);
            shape.kind_of_message = Some(entry.kind_of_message.as_deref().unwrap_or("unknown"));
            shape.timestamp = entry.timestamp.map(|t| t.to_string());
            let answers = entry.reply_to.is_some() || peek.context.is_some_and(names_a_message);
            shape.reply_to = answers.then_some(entry.reply_to.as_deref());
            let refers = matches!(entry.kind_of_message.as_deref(), Some("reaction" | "edit" | "revoke"));
            shape.refers_to = (refers || entry.refers_to.is_some()).then_some(entry.refers_to.as_deref());
            shape.content = text.map(content);
        }
        Kind::Status => {
            shape.message_id = Some(message_id);
            shape.status = Some(entry.status.as_deref().unwrap_or("unknown"));
            shape.timestamp = entry.timestamp.map(|t| t.to_string());
            shape.errors = text.map(peek).unwrap_or_default().errors.filter(|e| depth(e.get()) <= MAX_DEPTH);
            shape.content = text.map(content);
        }
        Kind::Sent => {
            shape.message_id = Some(message_id);
            shape.kind_of_message = entry.kind_of_message.as_deref();
            shape.client_ref = entry.client_ref.as_deref();
            shape.recruiter = entry.recruiter.as_deref();
            shape.content = text.map(content);
        }
        Kind::Contact => shape.merged = &entry.merged,
        Kind::Event => {
            shape.message_id = message_id.map(Some);
            shape.field = Some(entry.field.as_deref().unwrap_or("unknown"));
            shape.timestamp = entry.timestamp.map(|t| t.to_string());
            shape.content = text.map(content);
        }
        Kind::Fence => {
            let action = match entry.action {
                Some(FenceAction::Given) => "given",
                Some(FenceAction::Taken) => "taken",
                None => "unknown",
            };
            (shape.kind, shape.field) = ("event", Some("line"));
            shape.content = to_raw_value(&serde_json::json!({"action": action, "epoch": entry.epoch})).ok();
        }
        Kind::Closed => {
            (shape.kind, shape.field) = ("event", Some("company"));
            shape.content = to_raw_value(&serde_json::json!({"action": "closed"})).ok();
        }
        Kind::Erasure => {
            (shape.kind, shape.field) = ("event", Some("contact"));
            let content = serde_json::json!({"action": "erased", "contact_ids": entry.erased});
            shape.content = to_raw_value(&content).ok();
        }
        Kind::Erased => {}
    }
    shape
}

fn contact(entry: &LogEntry) -> Option<Contact<'_>> {
    fn text(value: Option<&Pii<String>>) -> Option<&str> {
        value.map(|v| v.expose().as_str())
    }
    let id = entry.contact_id.as_deref()?;
    let known = entry.contact.as_ref();
    Some(Contact {
        id,
        name: text(known.and_then(|c| c.name.as_ref())),
        username: text(known.and_then(|c| c.username.as_ref())),
        user_id: text(known.and_then(|c| c.user_id.as_ref())),
        wa_id: text(known.and_then(|c| c.wa_id.as_ref())),
    })
}

fn peek(text: &str) -> Peek<'_> {
    serde_json::from_str(text).unwrap_or_default()
}

fn names_a_message(context: &RawValue) -> bool {
    serde_json::from_str::<Context>(context.get()).is_ok_and(|c| c.id.is_some())
}

/// Meta's text as it is, or as a string where a client's parser might not take it.
fn content(text: &str) -> Box<RawValue> {
    let as_string = || to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    if depth(text) > MAX_DEPTH {
        return as_string();
    }
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| as_string())
}

/// How deep brackets are nested, without parsing.
fn depth(text: &str) -> usize {
    let (mut deepest, mut now, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// RFC 3339 in UTC with milliseconds, always three digits.
fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
#[path = "item_tests.rs"]
pub(super) mod tests;
