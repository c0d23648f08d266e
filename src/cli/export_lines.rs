//! A company's data as lines of JSON. Pure. `raw` is Meta's own text as a string, so that what no parser takes comes out
//! byte for byte; every field of an entry comes out.

use serde::{Deserialize, Serialize};

use crate::domain::{CompanyId, Pii};
use crate::store::{Contact, ContactRecord, LogEntry, Seq};

/// One line.
#[derive(Serialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Line<'a> {
    Export(&'a Begun),
    Item(Box<Item<'a>>),
    Contact(Person<'a>),
    End { items_to: Seq },
}

#[derive(Serialize)]
struct Item<'a> {
    seq: Seq,
    kind: &'a str,
    at: String,
    fp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<LineRef<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a Contact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refers_to: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind_of_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recruiter: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    merged: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    erased: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
}

#[derive(Serialize)]
struct LineRef<'a> {
    phone_number_id: &'a str,
    phone_number: &'a str,
}

#[derive(Serialize)]
struct Person<'a> {
    id: &'a str,
    #[serde(flatten)]
    contact: &'a Contact,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    merged: &'a [String],
    last_seq: Seq,
}

fn text(line: &Line<'_>) -> serde_json::Result<String> {
    Ok(serde_json::to_string(line)? + "\n")
}

/// An entry of the log.
pub fn item(entry: &LogEntry) -> serde_json::Result<String> {
    fn shown(id: &Option<Pii<String>>) -> Option<&str> {
        id.as_ref().map(|id| id.expose().as_str())
    }
    let LogEntry {
        seq,
        kind,
        at,
        fp,
        ours: _,
        line,
        epoch,
        action,
        meta_id,
        contact_id,
        contact,
        message_id,
        reply_to,
        refers_to,
        kind_of_message,
        status,
        timestamp,
        field,
        client_ref,
        recruiter,
        merged,
        erased,
        // Hashes that only writers need.
        gone: _,
        raw,
    } = entry;
    text(&Line::Item(Box::new(Item {
        seq: *seq,
        kind: kind.as_str(),
        at: format!("{at:.3}"),
        fp,
        line: line.as_ref().map(|line| LineRef {
            phone_number_id: line.phone_number_id.as_str(),
            phone_number: line.phone_number.as_str(),
        }),
        epoch: *epoch,
        action: action.map(|action| action.as_str()),
        meta_id: shown(meta_id),
        contact_id: contact_id.as_deref(),
        contact: contact.as_ref(),
        message_id: message_id.as_deref(),
        reply_to: reply_to.as_deref(),
        refers_to: refers_to.as_deref(),
        kind_of_message: kind_of_message.as_deref(),
        status: status.as_deref(),
        timestamp: *timestamp,
        field: field.as_deref(),
        client_ref: client_ref.as_deref(),
        recruiter: recruiter.as_deref(),
        merged,
        erased,
        raw: shown(raw),
    })))
}

/// What an export is of: its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The company.
    pub company: CompanyId,
    /// One candidate only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Items up to this seq, the newest when it was begun: what comes in later is for another export.
    pub items_to: Seq,
}

/// The first line.
pub fn begun(begun: &Begun) -> serde_json::Result<String> {
    text(&Line::Export(begun))
}

/// What the export is of that begins with this line; None: it is none.
pub fn read_begun(line: &str) -> Option<Begun> {
    match serde_json::from_str(line).ok()? {
        Known::Export(begun) => Some(begun),
        _ => None,
    }
}

/// A contact.
pub fn contact(record: &ContactRecord) -> serde_json::Result<String> {
    let ContactRecord { id, contact, merged, last_seq } = record;
    text(&Line::Contact(Person { id, contact, merged, last_seq: *last_seq }))
}

/// The end: all is there.
pub fn end(items_to: Seq) -> serde_json::Result<String> {
    text(&Line::End { items_to })
}

/// Where an export stands after its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// After this item.
    Items(Seq),
    /// All items are there, and contacts up to this id.
    Contacts(String),
    /// All is there.
    End,
}

#[derive(Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Known {
    Export(Begun),
    Item { seq: Seq },
    Contact { id: String },
    End {},
}

/// The place of a line; None: it is none of these.
pub fn place(line: &str) -> Option<Place> {
    Some(match serde_json::from_str(line).ok()? {
        Known::Export(_) => Place::Items(0),
        Known::Item { seq } => Place::Items(seq),
        Known::Contact { id } => Place::Contacts(id),
        Known::End {} => Place::End,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry(raw: &str) -> LogEntry {
        let document = mongodb::bson::doc! {
            "_id": 7_i64, "kind": "message", "at": mongodb::bson::DateTime::from_millis(1_793_000_000_500), "fp": "0a",
            "line": { "phone_number_id": "106", "phone_number": "+212612345678" }, "epoch": 2_i64,
            "meta_id": "wamid.1", "contact_id": "c1", "contact": { "user_id": "MA.1", "name": "Amina" },
            "message_id": "m1", "reply_to": "m0", "type": "text", "timestamp": 1_793_000_000_i64, "raw": raw,
        };
        mongodb::bson::deserialize_from_document(document).unwrap()
    }

    #[test]
    fn an_item_and_its_text_byte_for_byte() {
        let raw = "{\"n\":1e999,\"x\":\"\\ud83d\", \"line\u{2028}end\" :\n[]}";
        let line = item(&entry(raw)).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        let want = json!({
            "record": "item", "seq": 7, "kind": "message", "at": "2026-10-26T07:33:20.500Z", "fp": "0a", "epoch": 2,
            "line": {"phone_number_id": "106", "phone_number": "+212612345678"}, "meta_id": "wamid.1",
            "contact_id": "c1", "contact": {"user_id": "MA.1", "name": "Amina"}, "message_id": "m1", "reply_to": "m0",
            "type": "text", "timestamp": 1_793_000_000, "raw": raw,
        });
        assert_eq!(value, want);
    }

    #[test]
    fn where_an_export_stands() {
        let record =
            ContactRecord { id: "c2".into(), contact: Contact::default(), merged: vec!["c9".into()], last_seq: 3 };
        assert_eq!(
            contact(&record).unwrap(),
            "{\"record\":\"contact\",\"id\":\"c2\",\"merged\":[\"c9\"],\"last_seq\":3}\n"
        );
        let of = Begun { company: CompanyId::parse("atlas").unwrap(), contact: None, items_to: 9 };
        let first = begun(&of).unwrap();
        assert_eq!(first, "{\"record\":\"export\",\"company\":\"atlas\",\"items_to\":9}\n");
        assert_eq!((place(&first), read_begun(&first)), (Some(Place::Items(0)), Some(of)));
        assert_eq!(read_begun(&end(9).unwrap()), None);
        assert_eq!(place(&item(&entry("{}")).unwrap()), Some(Place::Items(7)));
        assert_eq!(place(&contact(&record).unwrap()), Some(Place::Contacts("c2".into())));
        assert_eq!(place(&end(9).unwrap()), Some(Place::End));
        for other in ["", "{}", "{\"record\":\"item\"}", "{\"seq\":7}", "7"] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
