//! Identifiers. Each is a type of its own, so that a Meta id can't be passed where a company is meant.
//!
//! They are opaque: nothing is derived from an id's digits. Meta's ids may exceed 2^53, so they stay strings
//! (meta-whatsapp facts, pitfall 13).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Invalid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $way_out:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text; the error says what is allowed.
            pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(Invalid::new($what, &text, $way_out)) }
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }
    };
}

/// Lower-case letters, digits and inner hyphens, at most `max` characters: the form of owner and company ids.
fn slug(text: &str, max: usize) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= max
        && bytes.iter().all(|&c| plain(c) || c == b'-')
        && plain(bytes[0])
        && plain(bytes[bytes.len() - 1])
}

fn digits(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit())
}

id!(
    /// A client company of the platform, as the purchase backend names it.
    CompanyId, "company id",
    "use 1 to 48 lower-case letters, digits and hyphens, starting and ending with a letter or digit",
    |t| slug(t, 48)
);
id!(
    /// First part of every customer reference: which installation a bought number belongs to.
    OwnerId, "owner id",
    "use 1 to 32 lower-case letters, digits and hyphens, starting and ending with a letter or digit",
    |t| slug(t, 32)
);
id!(
    /// The cluster's identity: the uid of the namespace kube-system.
    ClusterId, "cluster identity", "use the uid of the namespace kube-system",
    |t| !t.is_empty() && t.len() <= 64 && t.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
);
id!(
    /// Meta's id of a phone number; the same as `metadata.phone_number_id` in webhooks.
    PhoneNumberId, "phone number id", "use Meta's id, digits only", digits
);
id!(
    /// Meta's id of a WhatsApp Business Account.
    WabaId, "WABA id", "use Meta's id, digits only", digits
);
id!(
    /// Meta's id of a business portfolio.
    BusinessId, "business id", "use Meta's id, digits only", digits
);
id!(
    /// Meta's id of the app whose token and secret are used.
    AppId, "app id", "use Meta's id, digits only", digits
);

/// Namespace and name of a Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacedName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl NamespacedName {
    /// Both parts as given.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl std::str::FromStr for NamespacedName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(Invalid::new("object", text, "write namespace/name")),
        }
    }
}

/// `<ownerId>/<namespace>/<name>`: what is written on each order and number at Telnyx, so that whatever is bought can be
/// traced to its object. Not the uid: a restored object has a new uid and would buy again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CustomerReference {
    /// The installation.
    pub owner: OwnerId,
    /// The ClientNumber.
    pub line: NamespacedName,
}

impl CustomerReference {
    /// The reference of a line.
    pub fn new(owner: OwnerId, line: NamespacedName) -> Self {
        Self { owner, line }
    }
}

impl fmt::Display for CustomerReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.line)
    }
}

impl std::str::FromStr for CustomerReference {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("customer reference", text, "write ownerId/namespace/name");
        let (owner, line) = text.split_once('/').ok_or_else(bad)?;
        Ok(Self { owner: OwnerId::parse(owner).map_err(|_| bad())?, line: line.parse().map_err(|_| bad())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for good in ["a", "a1", "atlas-logistics", "0", &"a".repeat(48)] {
            assert!(CompanyId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "é", &"a".repeat(49)] {
            assert!(CompanyId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn references_round_trip_and_refuse_foreign_forms() {
        let reference: CustomerReference = "prod-ma/clients/atlas".parse().unwrap();
        assert_eq!(reference.to_string(), "prod-ma/clients/atlas");
        for bad in ["", "prod-ma", "prod-ma/clients", "PROD/clients/atlas", "a/b/c/d"] {
            assert!(bad.parse::<CustomerReference>().is_err(), "{bad}");
        }
    }
}
