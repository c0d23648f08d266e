//! What could not be given to a company: encrypted, kept for seven days, one document a change.
//!
//! It holds candidates' data outside any company's database, so nobody reads it without the key: not from a backup, not
//! by a query. The key's holder is the router. Meta's repeats of the same change are one document.

use std::time::Duration;

use base64::Engine;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use rand::Rng;
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{Invalid, PhoneNumberId, Pii};

use super::error::{StoreError, is_duplicate_key};
use super::{Store, bson_time};

/// Kept for so long: as long as Meta itself would have repeated it.
pub const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why a change is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    /// No route names the phone number id.
    UnknownNumber,
    /// The line's route is disabled.
    Disabled,
    /// The company's log does not hold the line yet, or not any more.
    NotHeld,
    /// So old that it could be a repeat of what retention has removed.
    TooOld,
    /// Written by the candidate before the line came to its present company.
    BeforeEpoch,
    /// A status of a message that the present company's log does not know, on a line that changed hands.
    UnknownMessage,
    /// The entry's WABA is not that of the Portfolio whose secret signed it.
    ForeignAccount,
    /// It has not the form that Meta documents.
    Malformed,
    /// The company's database does not take it.
    NotWritable,
}

impl QuarantineReason {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::UnknownNumber,
        Self::Disabled,
        Self::NotHeld,
        Self::TooOld,
        Self::BeforeEpoch,
        Self::UnknownMessage,
        Self::ForeignAccount,
        Self::Malformed,
        Self::NotWritable,
    ];

    /// The word in MongoDB and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownNumber => "unknown_number",
            Self::Disabled => "disabled",
            Self::NotHeld => "not_held",
            Self::TooOld => "too_old",
            Self::BeforeEpoch => "before_epoch",
            Self::UnknownMessage => "unknown_message",
            Self::ForeignAccount => "foreign_account",
            Self::Malformed => "malformed",
            Self::NotWritable => "not_writable",
        }
    }

    /// Does it go to the company by itself once the route and the log are there?
    pub fn replays_by_itself(self) -> bool {
        matches!(self, Self::UnknownNumber | Self::Disabled | Self::NotHeld | Self::NotWritable)
    }
}

impl std::str::FromStr for QuarantineReason {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| Invalid::new("reason", text, "give one that clientnumber replay lists"))
    }
}

/// 32-byte keys; the first encrypts, all decrypt.
#[derive(Clone)]
pub struct QuarantineKeys(std::sync::Arc<Vec<(String, SecretSlice<u8>)>>);

impl QuarantineKeys {
    /// From a comma-separated list of 32 bytes each, as 64 hex digits or base64. The error never quotes a key.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = || {
            Invalid::new(
                "quarantine key",
                "***",
                "give 32 random bytes as 64 hex digits or base64: openssl rand -hex 32",
            )
        };
        let mut keys = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bytes = hex::decode(part)
                .ok()
                .or_else(|| base64::engine::general_purpose::STANDARD.decode(part).ok())
                .filter(|bytes| bytes.len() == 32)
                .ok_or_else(bad)?;
            // The id tells which key it was; four bytes of a hash say nothing about a random key.
            let id = hex::encode(&Sha256::digest(&bytes)[..4]);
            keys.push((id, SecretSlice::from(bytes)));
        }
        if keys.is_empty() { Err(bad()) } else { Ok(Self(std::sync::Arc::new(keys))) }
    }

    fn first(&self) -> Option<&(String, SecretSlice<u8>)> {
        self.0.first()
    }

    /// What a repeat of the same change is recognised by: keyed, so that the content can't be guessed from it.
    fn fingerprint(&self, text: &str) -> String {
        let key = self.first().map_or(&[][..], |(_, key)| key.expose_secret());
        match Hmac::<Sha256>::new_from_slice(key) {
            Ok(mac) => hex::encode(&mac.chain_update(text.as_bytes()).finalize().into_bytes()[..16]),
            Err(_) => String::new(),
        }
    }

    fn encrypt(&self, id: &str, text: &str) -> Option<(String, Vec<u8>)> {
        let (key_id, key) = self.first()?;
        let cipher = XChaCha20Poly1305::new_from_slice(key.expose_secret()).ok()?;
        // 192 random bits: no two documents meet.
        let mut nonce = [0u8; 24];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: text.as_bytes(), aad: id.as_bytes() };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some((key_id.clone(), [nonce.as_slice(), &sealed].concat()))
    }

    fn decrypt(&self, id: &str, key_id: &str, sealed: &[u8]) -> Option<Pii<String>> {
        let (_, key) = self.0.iter().find(|(known, _)| known == key_id)?;
        let cipher = XChaCha20Poly1305::new_from_slice(key.expose_secret()).ok()?;
        let (nonce, sealed) = sealed.split_at_checked(24)?;
        let nonce: [u8; 24] = nonce.try_into().ok()?;
        let text = cipher.decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: id.as_bytes() }).ok()?;
        String::from_utf8(text).ok().map(Pii)
    }
}

/// A change in quarantine, decrypted.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// Its id here.
    pub id: String,
    /// The WABA that the entry named, as it was written.
    pub entry_id: String,
    /// The change's text, or the entry's if it could not be taken apart.
    pub body: Pii<String>,
    /// Why.
    pub reason: String,
    /// Which line, where the text says so.
    pub phone_number_id: Option<PhoneNumberId>,
    /// When it came.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(rename = "_id")]
    id: String,
    entry_id: String,
    key_id: String,
    body: Binary,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number_id: Option<PhoneNumberId>,
    #[serde(with = "bson_time")]
    at: Timestamp,
    /// Its place in its POST, whose changes all came at one moment: they go back in the order in which they came.
    #[serde(default)]
    place: i64,
}

/// The collection `quarantine`.
#[derive(Clone)]
pub struct Quarantine {
    records: Collection<Record>,
    keys: QuarantineKeys,
}

const WHAT: &str = "quarantine";

fn driver(error: mongodb::error::Error) -> StoreError {
    StoreError::from_driver("the quarantine", error)
}

/// The reasons that pass by themselves.
pub(super) fn waiting() -> Vec<&'static str> {
    QuarantineReason::ALL
        .into_iter()
        .filter(|reason| reason.replays_by_itself())
        .map(QuarantineReason::as_str)
        .collect()
}

/// Removes all changes of a line, whoever holds the key; how many there were.
pub(super) async fn remove_line(store: &Store, line: &PhoneNumberId) -> Result<u64, StoreError> {
    let records = store.platform.collection::<Document>(WHAT);
    let removed = records.delete_many(doc! { "phone_number_id": line.as_str() }).await.map_err(driver)?;
    Ok(removed.deleted_count)
}

impl Quarantine {
    pub(super) fn new(platform: &Database, keys: QuarantineKeys) -> Self {
        Self { records: platform.collection(WHAT), keys }
    }

    pub(super) async fn ensure_indexes(store: &Store) -> Result<(), StoreError> {
        let ttl = IndexOptions::builder().expire_after(KEEP).build();
        let expire = IndexModel::builder().keys(doc! { "at": 1 }).options(ttl).build();
        let by_line = IndexModel::builder().keys(doc! { "phone_number_id": 1, "reason": 1 }).build();
        store.platform.collection::<Document>(WHAT).create_indexes([expire, by_line]).await.map_err(driver)?;
        Ok(())
    }

    /// Puts a change away, with the moment and its place among those that came with it; false if it is there already.
    pub async fn put(
        &self,
        entry_id: &str,
        body: &str,
        reason: QuarantineReason,
        line: Option<&PhoneNumberId>,
        (now, place): (Timestamp, usize),
    ) -> Result<bool, StoreError> {
        // The WABA belongs to what is recognised: the same text from another account is another change.
        let id = self.keys.fingerprint(&format!("{entry_id}\n{body}"));
        let unusable = || StoreError::Refused { what: "the quarantine key", code: 0, name: "unusable".into() };
        let (key_id, sealed) = self.keys.encrypt(&id, body).ok_or_else(unusable)?;
        let record = Record {
            id: id.clone(),
            entry_id: entry_id.to_owned(),
            key_id,
            body: Binary { subtype: BinarySubtype::Generic, bytes: sealed },
            reason: reason.as_str().to_owned(),
            phone_number_id: line.cloned(),
            at: now,
            place: i64::try_from(place).unwrap_or(i64::MAX),
        };
        match self.records.insert_one(record).await {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate_key(&error) => self.is_kept(&id).await.map(|()| false),
            Err(error) => Err(driver(error)),
        }
    }

    /// That a key is taken is no proof that a majority has it, and a repeat is answered with 200 as well.
    async fn is_kept(&self, id: &str) -> Result<(), StoreError> {
        let records = self.records.clone_with_type::<Document>();
        match records.find_one(doc! { "_id": id }).projection(doc! { "_id": 1 }).await.map_err(driver)? {
            Some(_) => Ok(()),
            None => Err(StoreError::Away("the quarantine's last write is not on a majority yet".into())),
        }
    }

    /// The lines with changes that may go to their company by themselves.
    pub async fn waiting_lines(&self) -> Result<Vec<PhoneNumberId>, StoreError> {
        let ids =
            self.records.distinct("phone_number_id", doc! { "reason": { "$in": waiting() } }).await.map_err(driver)?;
        Ok(ids.iter().filter_map(|id| id.as_str()?.parse().ok()).collect())
    }

    pub(super) fn records(&self) -> &Collection<Record> {
        &self.records
    }

    pub(super) fn open(&self, record: Record) -> Option<Quarantined> {
        let Some(body) = self.keys.decrypt(&record.id, &record.key_id, &record.body.bytes) else {
            tracing::warn!(
                key_id = record.key_id,
                "a quarantined change can't be decrypted: add its key to --quarantine-key until it has expired"
            );
            return None;
        };
        let Record { id, entry_id, reason, phone_number_id, at, key_id: _, body: _, place: _ } = record;
        Some(Quarantined { id, entry_id, body, reason, phone_number_id, at })
    }

    /// Removes a change that found its company.
    pub async fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.records.delete_one(doc! { "_id": id }).await.map_err(driver)?;
        Ok(())
    }

    /// Gives a change another reason, so that it is not tried again by itself.
    pub async fn set_reason(&self, id: &str, reason: QuarantineReason) -> Result<(), StoreError> {
        let set = doc! { "$set": { "reason": reason.as_str() } };
        self.records.update_one(doc! { "_id": id }, set).await.map_err(driver)?;
        Ok(())
    }

    /// How many changes there are, for the alert.
    pub async fn count(&self) -> Result<u64, StoreError> {
        self.records.count_documents(doc! {}).await.map_err(driver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rotate_and_bind_the_text_to_its_id() {
        let (old, new) = ("11".repeat(32), "22".repeat(32));
        let before = QuarantineKeys::parse(&old).unwrap();
        let (key_id, sealed) = before.encrypt("id1", "Salam").unwrap();
        assert!(!sealed.windows(5).any(|w| w == b"Salam"));
        let after = QuarantineKeys::parse(&format!("{new}, {old}")).unwrap();
        assert_eq!(after.decrypt("id1", &key_id, &sealed).unwrap().expose(), "Salam");
        assert_ne!(after.encrypt("id1", "Salam").unwrap().0, key_id);
        assert!(after.decrypt("id2", &key_id, &sealed).is_none());
        assert!(QuarantineKeys::parse(&new).unwrap().decrypt("id1", &key_id, &sealed).is_none());
        assert!(after.decrypt("id1", &key_id, &sealed[..10]).is_none());
    }

    #[test]
    fn reasons_are_words_and_back() {
        for reason in QuarantineReason::ALL {
            assert_eq!(reason.as_str().parse::<QuarantineReason>().unwrap(), reason);
        }
        assert_eq!(waiting(), ["unknown_number", "disabled", "not_held", "not_writable"]);
        let error = "old".parse::<QuarantineReason>().unwrap_err().to_string();
        assert!(error.contains("clientnumber replay"), "{error}");
    }

    #[test]
    fn forms_of_a_key() {
        let base64 = base64::engine::general_purpose::STANDARD.encode([7u8; 32]);
        assert!(QuarantineKeys::parse(&base64).is_ok());
        for bad in ["", ",", "abc", &"11".repeat(31), &"zz".repeat(32)] {
            let Err(error) = QuarantineKeys::parse(bad) else { panic!("{bad}") };
            assert!(bad.len() < 3 || !error.to_string().contains(bad));
        }
    }
}
