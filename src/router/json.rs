//! JSON taken apart without being understood: members and elements as the text they were sent in.
//!
//! Meta's text may hold what no Rust string, number or stack can (lone surrogates, 40-digit numbers, a thousand levels).
//! Reading it member by member loses nothing and refuses nothing that is JSON; only the few fields that are needed are
//! read, each by itself, and one that can't be read is simply not known.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in their order, also repeated ones.
pub(super) struct Object<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                // Keys as raw text too: a key with a lone surrogate must not make the object unreadable.
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

impl<'a> Object<'a> {
    /// The object that this text is; None if it is something else.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A member's text; of repeated ones the last, as most parsers do.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let named = |key: &RawValue| serde_json::from_str::<Cow<'_, str>>(key.get()).is_ok_and(|key| key == name);
        self.0.iter().rev().find(|(key, _)| named(key)).map(|(_, value)| value.get())
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &str) -> Option<Object<'a>> {
        self.get(name).and_then(Object::of)
    }

    /// A member that is text, or a number written without quotes.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        match value.as_bytes().first()? {
            b'"' => serde_json::from_str(value).ok(),
            b'0'..=b'9' | b'-' => Some(value.to_owned()),
            _ => None,
        }
    }

    /// The elements of a member that is an array; None if it is absent or null; an error if it is something else.
    pub(super) fn array(&self, name: &str) -> Result<Option<Vec<&'a str>>, NotAnArray> {
        match self.get(name) {
            None | Some("null") => Ok(None),
            Some(value) => elements(value).map(Some).ok_or(NotAnArray),
        }
    }

    /// All members' texts.
    pub(super) fn values(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(_, value)| value.get())
    }
}

/// A member that should have been an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnArray;

/// The elements' texts; None if it is not an array.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(raw.into_iter().map(RawValue::get).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_text() {
        let text = r#"{"a": {"x" :1e400}, "\ud800": 1, "b":"\ud83d", "n": 12345678901234567890123, "a": [1, {}]}"#;
        let object = Object::of(text).unwrap();
        assert_eq!(object.get("a"), Some("[1, {}]"));
        assert_eq!(object.array("a"), Ok(Some(vec!["1", "{}"])));
        assert_eq!((object.get("b"), object.text("b")), (Some(r#""\ud83d""#), None));
        assert_eq!(object.text("n").as_deref(), Some("12345678901234567890123"));
        assert_eq!(object.array("n"), Err(NotAnArray));
        assert_eq!(object.array("missing"), Ok(None));
        assert_eq!(object.values().count(), 5);
    }

    #[test]
    fn escaped_names_are_the_same_names_and_depth_is_no_matter() {
        let deep = format!(r#"{{"m\u0065": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(Object::of(&deep).unwrap().get("me").is_some_and(|value| value.len() == 200_001));
        assert!(Object::of("[]").is_none() && Object::of("{").is_none() && Object::of("{} x").is_none());
    }
}
