//! Phone numbers in E.164, and what kind of number a carrier sells.
//!
//! Providers write the same number in several ways (`+212 612-345678`, `212612345678`): numbers are compared by digits
//! only, and this type is what they are compared as.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A phone number: plus sign and 8 to 15 digits. For Morocco exactly `+212` and nine digits that start with 5 to 8, so
/// that the trunk zero (`+2120612...`) is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(String);

impl E164 {
    /// Parses the international form with its plus sign.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix('+').unwrap_or("");
        let plausible = (8..=15).contains(&digits.len())
            && digits.bytes().all(|c| c.is_ascii_digit())
            && !digits.starts_with('0')
            && match digits.strip_prefix("212") {
                Some(national) => national.len() == 9 && (b'5'..=b'8').contains(&national.as_bytes()[0]),
                None => true,
            };
        if plausible {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("phone number", text, "write it as +212612345678, without the trunk 0 and without spaces"))
        }
    }

    /// Parses any of the forms providers answer with: spaces, hyphens, parentheses, with or without the plus sign.
    pub fn parse_loose(text: &str) -> Result<Self, Invalid> {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if text.chars().any(|c| !(c.is_ascii_digit() || "+ -().\u{a0}\u{202a}\u{202c}".contains(c))) {
            return Err(Invalid::new("phone number", text, "expected digits, spaces and hyphens"));
        }
        Self::parse(&format!("+{digits}"))
    }

    /// With the plus sign.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Digits only, as webhooks and Telnyx's filters write it.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// Country calling code and national digits, as Meta's `cc` and `phone_number` want them. None where the number
    /// plan does not know the number.
    pub fn split(&self) -> Option<(String, String)> {
        let parsed = phonenumber::parse(None, &self.0).ok()?;
        let code = parsed.code().value().to_string();
        let national = self.digits().strip_prefix(code.as_str())?.to_owned();
        Some((code, national))
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for E164 {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<E164> for String {
    fn from(number: E164) -> String {
        number.0
    }
}

impl std::str::FromStr for E164 {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

/// ISO 3166 alpha-2, in capitals.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country(String);

impl Country {
    /// Parses two capitals.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() == 2 && text.bytes().all(|c| c.is_ascii_uppercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("country", text, "use two capitals as in ISO 3166, for example MA"))
        }
    }

    /// The two capitals.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Country {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Country> for String {
    fn from(country: Country) -> String {
        country.0
    }
}

/// Kind of number at the carrier (Telnyx: `phone_number_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumberType {
    /// A mobile number.
    Mobile,
    /// A national, non-geographic number.
    National,
    /// A geographic number.
    Local,
}

impl NumberType {
    /// Telnyx's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::National => "national",
            Self::Local => "local",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_form() {
        for good in ["+212612345678", "+212522334455", "+33612345678", "+12025550123"] {
            assert!(E164::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "+",
            "212612345678",
            "+2120612345678",
            "+21261234567",
            "+212912345678",
            "+212 612345678",
            "+0612345678",
            "+49351xxxxxxx",
        ] {
            assert!(E164::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loose_forms_are_one_number() {
        let want = E164::parse("+212612345678").unwrap();
        for form in ["+212 612-345678", "212612345678", "(212) 612.345.678", "+212612345678"] {
            assert_eq!(E164::parse_loose(form).unwrap(), want, "{form}");
        }
        assert!(E164::parse_loose("+49351xxxxxxx").is_err());
    }

    #[test]
    fn split_for_meta() {
        let number = E164::parse("+212612345678").unwrap();
        assert_eq!(number.split(), Some(("212".into(), "612345678".into())));
        let us = E164::parse("+12025550123").unwrap();
        assert_eq!(us.split(), Some(("1".into(), "2025550123".into())));
    }
}
