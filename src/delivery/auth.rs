//! Who is calling: a JWT becomes a [`Recruiter`], or a typed refusal.
//!
//! The company comes from the token and from nowhere else. The algorithm is fixed by the key, never by the token's
//! header; `exp` has no leeway and lies at most an hour ahead, and at most as far after `iat`; `iat` and `sub` are required.
//! Must never tell a client which check failed (the label is for metrics), and never print a token.

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::refusal::Refusal;
use crate::domain::CompanyId;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;
/// `exp` lies at most so many seconds ahead.
pub const MAX_LIFETIME_S: i64 = 3600;
/// So many seconds more between `iat` and `exp` are forgiven: some signers set `iat` back for clocks that differ.
const LIFETIME_LEEWAY_S: i64 = 60;
/// An `iat` in the future by more than this is another clock's, or made up.
const MAX_IAT_AHEAD_S: i64 = 60;
const MAX_NAME: usize = 128;

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recruiter {
    /// The company, from the token.
    pub company: CompanyId,
    /// The recruiter (`sub`).
    pub recruiter: String,
    /// The token's own id, if it has one.
    pub jti: Option<String>,
    /// Second of issue.
    pub iat: i64,
    /// Second of expiry.
    pub exp: i64,
}

impl Recruiter {
    /// Whether a token of the same person in the same company: what `reauth` accepts.
    pub fn same_person(&self, other: &Self) -> bool {
        self.company == other.company && self.recruiter == other.recruiter
    }
}

/// One key with the one algorithm that it is good for.
#[derive(Clone)]
pub struct VerifyKey {
    /// `kid`, where the key has one.
    pub id: Option<String>,
    /// The algorithm that the key's type allows.
    pub algorithm: Algorithm,
    /// The key.
    pub key: DecodingKey,
}

/// What a token must say besides being signed.
#[derive(Debug, Clone)]
pub struct TokenPolicy {
    /// Required `aud`.
    pub audience: String,
    /// Required `iss`, when configured.
    pub issuer: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<Value>,
    company_id: Option<Value>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    aud: Option<Value>,
    iss: Option<Value>,
    jti: Option<Value>,
}

/// Checks signature, then claims. `keys` are all keys that are valid now.
pub fn verify(token: &str, keys: &[VerifyKey], policy: &TokenPolicy, now: Timestamp) -> Result<Recruiter, Refusal> {
    if token.is_empty() {
        return Err(Refusal::Unauthorized("missing"));
    }
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Unauthorized("too_long"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Unauthorized("malformed"))?;
    let key = choose(keys, header.kid.as_deref()).ok_or(Refusal::Unauthorized("unknown_key"))?;
    if header.alg != key.algorithm {
        return Err(Refusal::Unauthorized("algorithm"));
    }
    // Times, audience and issuer are judged below with our own clock; here only the signature counts.
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation)
        .map_err(|e| {
            Refusal::Unauthorized(match e.kind() {
                ErrorKind::InvalidSignature => "bad_signature",
                ErrorKind::InvalidAlgorithm => "algorithm",
                _ => "malformed",
            })
        })?
        .claims;
    judge(claims, policy, now)
}

/// Whether a token names a key that is not among `keys`, so that fetching the key set again could help.
pub fn names_unknown_key(token: &str, keys: &[VerifyKey]) -> bool {
    token.len() <= MAX_TOKEN
        && jsonwebtoken::decode_header(token).is_ok_and(|h| choose(keys, h.kid.as_deref()).is_none())
}

/// With a `kid` exactly that key; without one only where there is no choice.
fn choose<'a>(keys: &'a [VerifyKey], kid: Option<&str>) -> Option<&'a VerifyKey> {
    match (kid, keys) {
        (_, [only]) if only.id.is_none() => Some(only),
        (Some(kid), keys) => keys.iter().find(|k| k.id.as_deref() == Some(kid)),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

fn judge(claims: Claims, policy: &TokenPolicy, now: Timestamp) -> Result<Recruiter, Refusal> {
    let bad = Refusal::Unauthorized;
    let now = now.as_second();
    let exp = seconds(claims.exp).ok_or(bad("exp"))?;
    let iat = seconds(claims.iat).ok_or(bad("iat"))?;
    if !names(&policy.audience, claims.aud.as_ref()) {
        return Err(bad("audience"));
    }
    if policy.issuer.as_ref().is_some_and(|issuer| claims.iss.as_ref().and_then(Value::as_str) != Some(issuer)) {
        return Err(bad("issuer"));
    }
    let recruiter = text(claims.sub).ok_or(bad("sub"))?;
    let company = claims.company_id.as_ref().and_then(Value::as_str).ok_or(bad("company"))?;
    let company = CompanyId::parse(company).map_err(|_| bad("company"))?;
    let jti = match claims.jti {
        None | Some(Value::Null) => None,
        some => Some(text(some).ok_or(bad("jti"))?),
    };
    if iat > now + MAX_IAT_AHEAD_S || exp <= iat {
        return Err(bad("iat"));
    }
    match claims.nbf {
        None | Some(Value::Null) => {}
        some if seconds(some.clone()).is_some_and(|nbf| nbf <= now) => {}
        _ => return Err(bad("nbf")),
    }
    // A long life is refused also near its end: by then what revoked the token would be forgotten.
    if exp > now + MAX_LIFETIME_S || exp - iat > MAX_LIFETIME_S + LIFETIME_LEEWAY_S {
        return Err(bad("lifetime"));
    }
    if exp <= now {
        return Err(Refusal::TokenExpired);
    }
    Ok(Recruiter { company, recruiter, jti, iat, exp })
}

/// A NumericDate. Fractions are allowed by RFC 7519 and rounded down, so never in the token's favour at its end.
fn seconds(value: Option<Value>) -> Option<i64> {
    let number = value?;
    let whole = number.as_i64().or_else(|| number.as_f64().map(|f| f.floor() as i64))?;
    (0..=253_402_300_799).contains(&whole).then_some(whole)
}

fn names(audience: &str, aud: Option<&Value>) -> bool {
    match aud {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

/// Names of people and tokens: 1 to 128 characters without control characters.
fn text(value: Option<Value>) -> Option<String> {
    value.as_ref().and_then(Value::as_str).filter(|t| is_name(t, MAX_NAME)).map(str::to_owned)
}

/// Whether `text` may serve as a name: not empty, at most `max` bytes, no control characters.
pub fn is_name(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
