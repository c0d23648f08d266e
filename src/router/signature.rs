//! Meta's signature: `X-Hub-Signature-256: sha256=<64 hex>`, HMAC-SHA256 with the app secret over the body as it came.
//!
//! Never over anything that was parsed and written again: Meta signs its own escaping. Compared in constant time. One
//! header exactly: with two it would be undefined which one a proxy checked.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header's name.
pub const HEADER: &str = "x-hub-signature-256";

/// A signature as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 32]);

/// Why a request counts as unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is none.
    #[error("no signature")]
    Missing,
    /// There are several.
    #[error("more than one signature")]
    Several,
    /// It is not `sha256=` and 64 hex digits.
    #[error("a signature of another form")]
    Form,
    /// No secret gives it.
    #[error("a signature that no app secret gives")]
    Wrong,
}

impl Signature {
    /// From all headers of that name; hex digits in either case.
    pub fn parse<'a>(mut headers: impl Iterator<Item = &'a [u8]>) -> Result<Self, Unsigned> {
        let header = headers.next().ok_or(Unsigned::Missing)?;
        if headers.next().is_some() {
            return Err(Unsigned::Several);
        }
        let digits = header.strip_prefix(b"sha256=").ok_or(Unsigned::Form)?;
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| Unsigned::Form)?;
        Ok(Self(bytes))
    }

    /// Does this secret give the signature of this body?
    pub fn matches(&self, secret: &SecretString, body: &[u8]) -> bool {
        match Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) {
            Ok(mac) => mac.chain_update(body).verify_slice(&self.0).is_ok(),
            Err(_) => false,
        }
    }
}

/// The header that signs a body: for whoever sends.
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    match Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) {
        Ok(mac) => format!("sha256={}", hex::encode(mac.chain_update(body).finalize().into_bytes())),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPACT: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    const SPACED: &[u8] = br#"{"object": "whatsapp_business_account", "entry": []}"#;
    const COMPACT_HEX: &str = "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756";
    const SPACED_HEX: &str = "56cbbaf4961c6cfdae48b7f116c047e5eb513d2c931baae63a2bc1afd26f803a";

    fn secret() -> SecretString {
        "test_app_secret".into()
    }

    fn parsed(header: &str) -> Result<Signature, Unsigned> {
        Signature::parse([header.as_bytes()].into_iter())
    }

    #[test]
    fn vectors_made_by_openssl() {
        for (body, hex) in [(COMPACT, COMPACT_HEX), (SPACED, SPACED_HEX)] {
            assert_eq!(sign(&secret(), body), format!("sha256={hex}"));
            assert!(parsed(&format!("sha256={hex}")).unwrap().matches(&secret(), body));
            assert!(parsed(&format!("sha256={}", hex.to_uppercase())).unwrap().matches(&secret(), body));
        }
        // The same JSON written in another way is another body.
        assert!(!parsed(&format!("sha256={COMPACT_HEX}")).unwrap().matches(&secret(), SPACED));
        assert!(!parsed(&format!("sha256={COMPACT_HEX}")).unwrap().matches(&"other".into(), COMPACT));
    }

    #[test]
    fn headers_that_are_no_signature() {
        assert_eq!(Signature::parse(std::iter::empty()), Err(Unsigned::Missing));
        let good = format!("sha256={COMPACT_HEX}");
        assert_eq!(Signature::parse([good.as_bytes(); 2].into_iter()), Err(Unsigned::Several));
        for bad in [
            "".to_owned(),
            "sha256=".into(),
            COMPACT_HEX.into(),
            format!("sha1={COMPACT_HEX}"),
            format!("SHA256={COMPACT_HEX}"),
            format!("sha256={}", &COMPACT_HEX[..63]),
            format!("sha256={COMPACT_HEX}0"),
            format!("sha256= {COMPACT_HEX}"),
            format!("sha256={}zz", &COMPACT_HEX[..62]),
            format!("{good},{good}"),
        ] {
            assert_eq!(parsed(&bad), Err(Unsigned::Form), "{bad}");
        }
    }
}
