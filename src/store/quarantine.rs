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
use super::quarantine_chosen::Choice;
use super::quarantine_waiting::by_itself;
use super::signer::Signer;
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

/// How much of a POST a record holds, which says how its text is taken apart again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// One change.
    #[default]
    Change,
    /// One entry, with its changes.
    Entry,
    /// All of it.
    Body,
}

/// What is put away.
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    /// How much it is.
    pub extent: Extent,
    /// The WABA that the entry named, as it was written.
    pub entry_id: &'a str,
    /// Meta's `entry[].time` of what is said of an account, where it was given: it is part of what is said.
    pub entry_time: Option<i64>,
    /// Its text.
    pub text: &'a str,
    /// Why.
    pub reason: QuarantineReason,
    /// Which line, where the text says so.
    pub line: Option<&'a PhoneNumberId>,
    /// Which secret signed it.
    pub signer: Option<&'a Signer>,
    /// When it came.
    pub at: Timestamp,
    /// Its place in its POST.
    pub place: usize,
}

/// A change in quarantine, decrypted.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// Its id here.
    pub id: String,
    /// The WABA that the entry named, as it was written.
    pub entry_id: String,
    /// Meta's `entry[].time` of what is said of an account.
    pub entry_time: Option<i64>,
    /// Which secret signed it, where that is known.
    pub signer: Option<Signer>,
    /// How much of a POST it is.
    pub extent: Extent,
    /// Its text.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry_time: Option<i64>,
    key_id: String,
    body: Binary,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone_number_id: Option<PhoneNumberId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signer: Option<Signer>,
    #[serde(default)]
    extent: Extent,
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

/// Removes these changes, whoever holds the key; how many there were.
pub(super) async fn remove_chosen(store: &Store, choice: &Choice) -> Result<u64, StoreError> {
    let records = store.platform.collection::<Document>(WHAT);
    let removed = records.delete_many(choice.filter()).await.map_err(driver)?;
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
        let by_signer = IndexModel::builder().keys(doc! { "reason": 1, "signer": 1, "entry_id": 1 }).build();
        store
            .platform
            .collection::<Document>(WHAT)
            .create_indexes([expire, by_line, by_signer])
            .await
            .map_err(driver)?;
        Ok(())
    }

    /// Puts a change away; false if it is there already.
    pub async fn put(&self, piece: &Piece<'_>) -> Result<bool, StoreError> {
        let Piece { extent, entry_id, entry_time, text, reason, line, signer, at, place } = *piece;
        // The WABA and the secret belong to what is recognised: the same text from another account is another change, and
        // what somebody else signed before must not keep back what its own account signs.
        let known_by = signer.map_or_else(String::new, |signer| format!("{}\n", signer.as_str()));
        let time = entry_time.map_or_else(String::new, |time| format!("{time}\n"));
        let id = self.keys.fingerprint(&format!("{known_by}{entry_id}\n{time}{text}"));
        let unusable = || StoreError::Refused { what: "the quarantine key", code: 0, name: "unusable".into() };
        let (key_id, sealed) = self.keys.encrypt(&id, text).ok_or_else(unusable)?;
        let record = Record {
            id: id.clone(),
            entry_id: entry_id.to_owned(),
            entry_time,
            key_id,
            body: Binary { subtype: BinarySubtype::Generic, bytes: sealed },
            reason: reason.as_str().to_owned(),
            phone_number_id: line.cloned(),
            signer: signer.cloned(),
            extent,
            at,
            place: i64::try_from(place).unwrap_or(i64::MAX),
        };
        match self.records.insert_one(record).await {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate_key(&error) => {
                if reason.replays_by_itself() {
                    self.improve(&id, reason, line).await?;
                }
                self.is_kept(&id).await.map(|()| false)
            }
            Err(error) => Err(driver(error)),
        }
    }

    /// Meta's repeat may be judged by a replica that knows more than the first one did: what may go on by itself does.
    async fn improve(
        &self,
        id: &str,
        reason: QuarantineReason,
        line: Option<&PhoneNumberId>,
    ) -> Result<(), StoreError> {
        let mut set = doc! { "reason": reason.as_str() };
        if let Some(line) = line {
            set.insert("phone_number_id", line.as_str());
        }
        let worse = doc! { "_id": id, "reason": { "$nin": by_itself() } };
        self.records.update_one(worse, doc! { "$set": set }).await.map_err(driver)?;
        Ok(())
    }

    /// That a key is taken is no proof that a majority has it, and a repeat is answered with 200 as well.
    async fn is_kept(&self, id: &str) -> Result<(), StoreError> {
        let records = self.records.clone_with_type::<Document>();
        match records.find_one(doc! { "_id": id }).projection(doc! { "_id": 1 }).await.map_err(driver)? {
            Some(_) => Ok(()),
            None => Err(StoreError::Away("the quarantine's last write is not on a majority yet".into())),
        }
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
        let Record {
            id,
            entry_id,
            entry_time,
            signer,
            extent,
            reason,
            phone_number_id,
            at,
            key_id: _,
            body: _,
            place: _,
        } = record;
        Some(Quarantined { id, entry_id, entry_time, signer, extent, body, reason, phone_number_id, at })
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
