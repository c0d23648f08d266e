//! What Telnyx answers, as types. Ids are texts, money is exact, times are instants; what is missing is None.
//!
//! A recording's URL opens a candidate-free but secret call, a transcription's text holds a code: neither type can be
//! printed. `from` of a call is a person's number: it prints as `***`.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;

use super::sub_orders::RequirementValue;
use super::words::*;
use crate::domain::{CustomerReference, E164, NumberType, Pii, Usd};
use crate::providers::lenient;

/// What Telnyx sells in a country.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// False: no numbers at all.
    pub numbers: bool,
    /// Types sold.
    pub types: Vec<NumberKind>,
    /// Features, e.g. `voice`.
    pub features: Vec<String>,
}

/// A number that could be bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The number.
    pub number: E164,
    /// The type that was searched for (the answer does not tell it).
    pub kind: NumberType,
    /// Once.
    pub upfront: Usd,
    /// Each month.
    pub monthly: Usd,
}

/// One number of an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OrderItem {
    /// Id of the ORDER ITEM, not of the number: `OwnedNumber.id` is another one.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    /// The number.
    #[serde(rename = "phone_number", default, deserialize_with = "lenient::number")]
    pub number: Option<E164>,
    /// Its status.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<OrderStatus>,
    /// False: something must be handed in.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub requirements_met: Option<bool>,
    /// Where the documents stand.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub requirements_status: Option<RequirementsStatus>,
    /// Its kind.
    #[serde(rename = "phone_number_type", default, deserialize_with = "lenient::maybe")]
    pub kind: Option<NumberKind>,
    /// What is asked for, with the values that were handed in.
    #[serde(rename = "regulatory_requirements", default, deserialize_with = "lenient::list")]
    pub requirements: Vec<RequirementValue>,
    /// All values must be in by then, or the order is cancelled; only an item read by its id has it, and only while
    /// something is missing or rejected.
    #[serde(default, deserialize_with = "lenient::time")]
    pub deadline: Option<Timestamp>,
    /// The sub-order that it is part of; only an item read by its id has it.
    #[serde(rename = "sub_number_order_id", default, deserialize_with = "lenient::text")]
    pub sub_order: Option<String>,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Its status; None if the answer left it out (lists do).
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<OrderStatus>,
    /// `customer_reference`, as stored.
    #[serde(rename = "customer_reference", default, deserialize_with = "lenient::text")]
    pub reference: Option<String>,
    /// False: something must be handed in.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub requirements_met: Option<bool>,
    /// The numbers.
    #[serde(rename = "phone_numbers", default, deserialize_with = "lenient::list")]
    pub numbers: Vec<OrderItem>,
    /// Its parts, by country and type; what is cancelled is a part.
    #[serde(rename = "sub_number_orders_ids", default, deserialize_with = "lenient::list")]
    pub sub_orders: Vec<String>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
}

impl Order {
    /// The item for this number.
    pub fn item(&self, number: &E164) -> Option<&OrderItem> {
        self.numbers.iter().find(|item| item.number.as_ref() == Some(number))
    }

    /// True if it bears exactly this reference.
    pub fn is_of(&self, reference: &CustomerReference) -> bool {
        self.reference.as_deref() == Some(reference.to_string().as_str())
    }
}

/// A number of the account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OwnedNumber {
    /// Telnyx's id of the number.
    pub id: String,
    /// The number.
    #[serde(rename = "phone_number", deserialize_with = "required_number")]
    pub number: E164,
    /// Its status.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<OwnedStatus>,
    /// The TeXML application it is attached to.
    #[serde(default, deserialize_with = "lenient::text")]
    pub connection_id: Option<String>,
    /// Tags.
    #[serde(default, deserialize_with = "lenient::list")]
    pub tags: Vec<String>,
    /// `customer_reference`, as stored.
    #[serde(rename = "customer_reference", default, deserialize_with = "lenient::text")]
    pub reference: Option<String>,
    /// Its kind.
    #[serde(rename = "phone_number_type", default, deserialize_with = "lenient::maybe")]
    pub kind: Option<NumberKind>,
    /// Set in the portal: it can't be released.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub deletion_lock_enabled: Option<bool>,
    /// Must be off, or the code goes elsewhere.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub call_forwarding_enabled: Option<bool>,
    /// When it was bought.
    #[serde(default, deserialize_with = "lenient::time")]
    pub purchased_at: Option<Timestamp>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
}

fn required_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<E164, D::Error> {
    let text = String::deserialize(deserializer)?;
    E164::parse_loose(&text).map_err(serde::de::Error::custom)
}

impl OwnedNumber {
    /// True if it bears exactly this reference.
    pub fn is_of(&self, reference: &CustomerReference) -> bool {
        self.reference.as_deref() == Some(reference.to_string().as_str())
    }
}

/// What to change on a number; None leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberUpdate {
    /// The TeXML application.
    pub connection_id: Option<String>,
    /// All tags: Telnyx replaces the list.
    pub tags: Option<Vec<String>>,
    /// The reference.
    pub customer_reference: Option<CustomerReference>,
}

/// A TeXML application; its id is a number's `connection_id`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TexmlApplication {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(rename = "friendly_name", default)]
    pub name: String,
    /// Where the document is fetched.
    #[serde(default, deserialize_with = "lenient::text")]
    pub voice_url: Option<String>,
    /// `get` or `post`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub voice_method: Option<String>,
    /// Whether it takes calls.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: Option<bool>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
}

/// A recorded call. No Debug: its URL lets anyone listen.
#[derive(Clone, Deserialize)]
pub struct Recording {
    /// Its id.
    pub id: String,
    /// Called number.
    #[serde(default, deserialize_with = "lenient::number")]
    pub to: Option<E164>,
    /// Calling number, as it came.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub from: Option<Pii<String>>,
    /// When it was stored.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
    /// When it began.
    #[serde(default, deserialize_with = "lenient::time")]
    pub recording_started_at: Option<Timestamp>,
    /// The application that answered.
    #[serde(default, deserialize_with = "lenient::text")]
    pub connection_id: Option<String>,
    /// The call.
    #[serde(default, deserialize_with = "lenient::text")]
    pub call_session_id: Option<String>,
    /// How long it is.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub duration_millis: Option<u64>,
    #[serde(default, deserialize_with = "lenient::maybe")]
    download_urls: Option<DownloadUrls>,
}

#[derive(Clone, Deserialize)]
struct DownloadUrls {
    #[serde(default, deserialize_with = "lenient::secret")]
    wav: Option<SecretString>,
    #[serde(default, deserialize_with = "lenient::secret")]
    mp3: Option<SecretString>,
}

impl Recording {
    /// Where the sound is, for about 10 minutes after this answer.
    pub fn sound_url(&self) -> Option<&SecretString> {
        let urls = self.download_urls.as_ref()?;
        urls.wav.as_ref().or(urls.mp3.as_ref())
    }
}

/// A recording as text. No Debug: it holds the code.
#[derive(Clone, Deserialize)]
pub struct Transcription {
    /// Its id.
    pub id: String,
    /// Of which recording.
    #[serde(default, deserialize_with = "lenient::text")]
    pub recording_id: Option<String>,
    /// Its status.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<TranscriptionStatus>,
    #[serde(rename = "transcription_text", default, deserialize_with = "lenient::secret")]
    text: Option<SecretString>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
}

impl Transcription {
    /// The words, once there are any.
    pub fn text(&self) -> Option<&SecretString> {
        self.text.as_ref()
    }

    /// True if the text is there to be read.
    pub fn is_complete(&self) -> bool {
        self.status == Some(TranscriptionStatus::Completed) && self.text.is_some()
    }
}

/// One entry of the call log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// What happened.
    pub kind: CallEventKind,
    /// When.
    pub at: Option<Timestamp>,
    /// Called number.
    pub to: Option<E164>,
    /// Calling number.
    pub from: Option<Pii<String>>,
    /// A call that the account made: this is its own leg, and says nothing of whether the called number rang.
    pub outgoing: bool,
    /// The call.
    pub call_session_id: Option<String>,
    /// Why it ended.
    pub hangup_cause: Option<String>,
}

/// What the account may still spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Money and credit that is left; 0 if overdrawn.
    pub available: Usd,
    /// Currency of the account; amounts are USD at Telnyx.
    pub currency: String,
}
