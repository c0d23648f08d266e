//! Where the keys for tokens come from: an HS256 secret, a JWKS file or a JWKS URL.
//!
//! Each key is good for exactly one algorithm (RS256, ES256, EdDSA by its type), so a token can't choose. Symmetric keys
//! in a key set are ignored: a public document is no place for a secret. When a fetch fails the last good set stays.
//! Must never fetch more than once per [`REFETCH_GAP`], however many tokens name unknown keys.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::auth::VerifyKey;

/// A key set is fetched again at this age.
pub const MAX_AGE: Duration = Duration::from_secs(300);
/// The shortest time between two fetches, whatever tokens ask for.
pub const REFETCH_GAP: Duration = Duration::from_secs(10);
/// A key set larger than this is not a key set.
const MAX_BYTES: usize = 256 * 1024;
const MIN_SECRET: usize = 32;

/// Exactly one of the three.
#[derive(Clone)]
pub enum KeySource {
    /// An HS256 secret of at least 32 bytes (RFC 7518, section 3.2).
    Hs256(SecretString),
    /// `https://.../jwks.json`.
    JwksUrl(String),
    /// A file that holds a JWKS; re-read when it changes.
    JwksFile(PathBuf),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The secret is too short to be one.
    #[error(
        "the HS256 secret has {0} bytes, too few to be safe: give at least 32 random bytes, for example from `openssl rand -hex 32`"
    )]
    ShortSecret(usize),
    /// The file can't be read.
    #[error("the JWKS file can't be read ({0}): check --jwt-jwks-file and its permissions")]
    File(#[source] std::io::Error),
    /// The URL does not answer with a document.
    #[error("the JWKS URL could not be fetched: {0}; check --jwt-jwks-url and that it is reachable from here")]
    Fetch(String),
    /// The document is not a key set.
    #[error("this is not a JWKS: {0}; expected {{\"keys\": [...]}} with RSA, P-256 or Ed25519 keys")]
    NotAKeySet(&'static str),
}

/// The keys, kept fresh.
pub struct Keys {
    source: KeySource,
    /// For a URL only.
    http: Option<reqwest::Client>,
    current: RwLock<Arc<Vec<VerifyKey>>>,
    fetched: Mutex<Option<Instant>>,
}

impl Keys {
    /// Loads a secret or a file at once; a URL may be away at the start, until it answers clients are told to come later.
    pub async fn load(source: KeySource) -> Result<Self, KeyError> {
        let http = match &source {
            KeySource::JwksUrl(_) => Some(client()?),
            _ => None,
        };
        let keys = Self { source, http, current: RwLock::default(), fetched: Mutex::new(None) };
        let first = keys.read().await;
        match (first, &keys.source) {
            (Ok(set), _) => keys.set(set),
            (Err(error @ KeyError::Fetch(_)), KeySource::JwksUrl(_)) => {
                tracing::warn!(%error, "no keys for tokens yet: clients are told `retry_later` until the key set is there");
            }
            (Err(error), _) => return Err(error),
        }
        *keys.fetched.lock().await = Some(Instant::now());
        Ok(keys)
    }

    /// The keys as they are known now.
    pub fn current(&self) -> Arc<Vec<VerifyKey>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the set again when it is old, or when a token names a key that is not in it. Failures keep the old set.
    pub async fn refresh(&self, unknown_key: bool) {
        if matches!(self.source, KeySource::Hs256(_)) {
            return;
        }
        // Whoever needs a new key waits for it; others go on with the old set while somebody else fetches.
        let old = if self.current().is_empty() { REFETCH_GAP } else { MAX_AGE };
        let (wanted, mut fetched) = if unknown_key {
            (REFETCH_GAP, self.fetched.lock().await)
        } else {
            let Ok(fetched) = self.fetched.try_lock() else { return };
            (old, fetched)
        };
        if fetched.is_some_and(|at| at.elapsed() < wanted) {
            return;
        }
        *fetched = Some(Instant::now());
        match self.read().await {
            Ok(set) => self.set(set),
            Err(error) => tracing::warn!(%error, "the key set could not be read again, the last one stays"),
        }
    }

    fn set(&self, set: Vec<VerifyKey>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    async fn read(&self) -> Result<Vec<VerifyKey>, KeyError> {
        match &self.source {
            KeySource::Hs256(secret) => hs256(secret),
            KeySource::JwksFile(path) => parse_jwks(&tokio::fs::read(path).await.map_err(KeyError::File)?),
            KeySource::JwksUrl(url) => {
                let http = self.http.as_ref().ok_or_else(|| KeyError::Fetch("there is no client".into()))?;
                let fail = |e: reqwest::Error| KeyError::Fetch(e.without_url().to_string());
                let mut answer = http.get(url).send().await.map_err(fail)?.error_for_status().map_err(fail)?;
                let mut body = Vec::new();
                while let Some(chunk) = answer.chunk().await.map_err(fail)? {
                    body.extend_from_slice(&chunk);
                    if body.len() > MAX_BYTES {
                        return Err(KeyError::NotAKeySet("it is larger than 256 KiB"));
                    }
                }
                parse_jwks(&body)
            }
        }
    }
}

fn client() -> Result<reqwest::Client, KeyError> {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| KeyError::Fetch(e.to_string()))
}

/// Is an HS256 secret long enough (RFC 7518, section 3.2: at least as long as the hash)?
pub fn check_secret(secret: &SecretString) -> Result<(), KeyError> {
    match secret.expose_secret().len() {
        short if short < MIN_SECRET => Err(KeyError::ShortSecret(short)),
        _ => Ok(()),
    }
}

fn hs256(secret: &SecretString) -> Result<Vec<VerifyKey>, KeyError> {
    check_secret(secret)?;
    let bytes = secret.expose_secret().as_bytes();
    Ok(vec![VerifyKey { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(bytes) }])
}

/// The usable keys of a JWKS; unusable ones (for encryption, of other types) are skipped, since providers mix them.
pub fn parse_jwks(document: &[u8]) -> Result<Vec<VerifyKey>, KeyError> {
    let not = KeyError::NotAKeySet;
    let value: serde_json::Value = serde_json::from_slice(document).map_err(|_| not("it is not JSON"))?;
    let keys = value.get("keys").and_then(serde_json::Value::as_array).ok_or(not("it has no list `keys`"))?;
    let usable: Vec<_> =
        keys.iter().filter_map(|k| serde_json::from_value::<Jwk>(k.clone()).ok()).filter_map(usable).collect();
    if usable.is_empty() { Err(not("none of its keys can verify a token")) } else { Ok(usable) }
}

fn usable(jwk: Jwk) -> Option<VerifyKey> {
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|u| *u != PublicKeyUse::Signature)
        || common.key_operations.as_ref().is_some_and(|ops| !ops.contains(&KeyOperations::Verify))
    {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(p) if p.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(p) if p.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    if common.key_algorithm.is_some_and(|named| named != KeyAlgorithm::from(algorithm)) {
        return None;
    }
    Some(VerifyKey { id: common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(&jwk).ok()? })
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
