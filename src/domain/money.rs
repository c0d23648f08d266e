//! Money as exact decimals. A price from a provider is a decimal string and is never touched by a float.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Invalid;

macro_rules! money {
    ($(#[$doc:meta])* $name:ident, $code:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub Decimal);

        impl $name {
            /// Parses a plain decimal such as `1.10`; no sign, no exponent.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
                match text.parse::<Decimal>() {
                    Ok(value) if plain => Ok(Self(value)),
                    _ => Err(Invalid::new(concat!("amount in ", $code), text, "write a plain decimal such as \"1.10\"")),
                }
            }

            /// Two decimals and the currency, for people: `11.55 MAD`.
            pub fn display(&self) -> String {
                format!("{:.2} {}", self.0.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero), $code)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.normalize())
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(amount: $name) -> String {
                amount.to_string()
            }
        }

        impl std::ops::Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
    };
}

money!(
    /// US dollars: what Telnyx charges.
    Usd, "USD"
);
money!(
    /// Moroccan dirhams: what the companies' cost is shown in.
    Mad, "MAD"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_plain_decimals_only() {
        assert_eq!(Usd::parse("1.00000").unwrap(), Usd::parse("1").unwrap());
        for bad in ["", "-1", "1e3", "1,5", "abc", "."] {
            assert!(Usd::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shows_two_decimals() {
        assert_eq!(Mad::parse("11.55").unwrap().display(), "11.55 MAD");
        assert_eq!(Mad::parse("11.545").unwrap().display(), "11.55 MAD");
        assert_eq!(Mad::parse("12").unwrap().display(), "12.00 MAD");
    }
}
