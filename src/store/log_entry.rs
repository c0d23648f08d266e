//! What an entry of a company's log is: Meta's own text, byte for byte, beside the few fields that queries need.
//!
//! Entries are written once. The only later change is erasure, which keeps seq, kind, time, contact id and fingerprint.
//! Everything of a candidate is wrapped in [`Pii`], so that an entry can be printed without harm.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{E164, PhoneNumberId, Pii};

use super::bson_time;
use super::contacts::{ContactHint, IdentityChange};
use super::fences::FenceAction;

/// Position in a company's log: 1, 2, 3 ... without gaps; 0 stands before the first.
pub type Seq = i64;

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A candidate's message.
    Message,
    /// A status of a message.
    Status,
    /// A message that a recruiter sent.
    Sent,
    /// What is known of a contact changed.
    Contact,
    /// Any other field that names a line.
    Event,
    /// An entry that was here.
    Erased,
    /// A line was given to this company or taken from it.
    Fence,
    /// The company is being erased; nothing is appended after it.
    Closed,
    /// A candidate was erased: what stood before is forgotten.
    Erasure,
}

impl Kind {
    /// The word in MongoDB and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Status => "status",
            Self::Sent => "sent",
            Self::Contact => "contact",
            Self::Event => "event",
            Self::Erased => "erased",
            Self::Fence => "fence",
            Self::Closed => "closed",
            Self::Erasure => "erasure",
        }
    }

    /// Ours, not a candidate's or Meta's: kept for ever.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Fence | Self::Closed | Self::Erasure)
    }
}

/// The line that an entry came in by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRef {
    /// Meta's id of the number.
    pub phone_number_id: PhoneNumberId,
    /// The number.
    pub phone_number: E164,
}

/// What was known of the candidate when the entry was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// BSUID: Meta's id of the user for this business portfolio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Pii<String>>,
    /// Phone number, digits only. Often absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<Pii<String>>,
    /// Profile name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Pii<String>>,
    /// Username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Pii<String>>,
}

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place.
    #[serde(rename = "_id")]
    pub seq: Seq,
    /// What it says.
    pub kind: Kind,
    /// When we stored it.
    #[serde(with = "bson_time")]
    pub at: Timestamp,
    /// Random; a cursor carries it, so that another entry at the same place (a restored backup) is noticed.
    #[serde(default)]
    pub fp: String,
    /// True on fences, `closed` and erasures, which a partial index finds by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ours: bool,
    /// The line; absent on `closed` and erasures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineRef>,
    /// The line's epoch under which it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// What happened to the line; on fences only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<FenceAction>,
    /// What makes a repeat of Meta's recognisable; unique where present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_id: Option<Pii<String>>,
    /// Our id of the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_id: Option<String>,
    /// What was known of the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Our id of the message; on a status that of the message it speaks of, None when that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Our id of the message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Our id of the message that a reaction, edit or revoke is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<String>,
    /// Meta's message type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind_of_message: Option<String>,
    /// Meta's word of a status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Meta's time, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// Meta's field name; on events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The sender's own reference; on `sent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ref: Option<String>,
    /// Who sent it; on `sent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recruiter: Option<String>,
    /// Contacts that turned out to be this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
    /// Contacts that were erased; on erasures only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<String>,
    /// What of Meta's must not come back, as [`gone`](super::erasure::gone); on erasures only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Meta's own text of the message, status or value object, unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Pii<String>>,
}

impl LogEntry {
    /// Roughly what it weighs in a page.
    pub fn weight(&self) -> usize {
        512 + self.raw.as_ref().map_or(0, |raw| raw.expose().len())
    }

    /// The cursor that stands on this entry.
    pub fn cursor(&self) -> super::Cursor {
        super::Cursor { seq: self.seq, fingerprint: self.fp.clone() }
    }
}

/// An entry to be appended. Its place, ids and the contact are found when it is written.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// What it says.
    pub kind: Kind,
    /// What makes a repeat recognisable.
    pub meta_id: Option<Pii<String>>,
    /// The line it came in by; None on what concerns none.
    pub line: Option<LineRef>,
    /// The epoch of the route by which it was brought here.
    pub epoch: i64,
    /// Who it is from or to, as far as Meta says.
    pub contact: Option<ContactHint>,
    /// What it says of people whose ids are others now.
    pub changes: Vec<IdentityChange>,
    /// On a status: the wamid of the message it speaks of.
    pub about: Option<Pii<String>>,
    /// Refuse the status when that message isn't in this log: on a line that changed hands it may speak of the former
    /// owner's candidate.
    pub about_required: bool,
    /// The wamid that this message answers.
    pub reply_to: Option<Pii<String>>,
    /// The wamid that a reaction, edit or revoke is about.
    pub refers_to: Option<Pii<String>>,
    /// Meta's message type.
    pub kind_of_message: Option<String>,
    /// Meta's word of a status.
    pub status: Option<String>,
    /// Meta's time, seconds since 1970.
    pub timestamp: Option<i64>,
    /// Meta's field name; on events.
    pub field: Option<String>,
    /// The sender's own reference; on `sent`.
    pub client_ref: Option<String>,
    /// Who sent it; on `sent`.
    pub recruiter: Option<String>,
    /// Contacts that were erased.
    pub erased: Vec<String>,
    /// What of Meta's must not come back.
    pub gone: Vec<String>,
    /// Meta's own text.
    pub raw: Option<Pii<String>>,
}

impl NewEntry {
    /// An entry with nothing but its line.
    pub fn new(kind: Kind, line: LineRef, epoch: i64) -> Self {
        Self { line: Some(line), epoch, ..Self::of(kind) }
    }

    /// An entry that concerns no line.
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            meta_id: None,
            line: None,
            epoch: 0,
            contact: None,
            changes: Vec::new(),
            about: None,
            about_required: false,
            reply_to: None,
            refers_to: None,
            kind_of_message: None,
            status: None,
            timestamp: None,
            field: None,
            client_ref: None,
            recruiter: None,
            erased: Vec::new(),
            gone: Vec::new(),
            raw: None,
        }
    }
}
