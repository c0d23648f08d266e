//! Reading what providers write in more than one way: times, ids that are text or numbers, numbers with or without plus.
//! A value that can't be read is absent, never a reason to drop the whole answer.

use jiff::Timestamp;
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::E164;

/// RFC 3339, RFC 3339 without a zone (taken as UTC), RFC 2822 (TeXML), Meta's `+0000`, or unix seconds.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp()))
        .or_else(|| {
            let civil = text.parse::<jiff::civil::DateTime>().ok()?;
            civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        })
        .or_else(|| text.parse::<i64>().ok().and_then(|secs| Timestamp::from_second(secs).ok()))
}

/// For `#[serde(deserialize_with)]`: a time in any of the forms, or None.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => timestamp(&text),
        Value::Number(number) => number.as_i64().and_then(|secs| Timestamp::from_second(secs).ok()),
        _ => None,
    })
}

/// A text, or a number as text, or None.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// A phone number in any of the forms, or None.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<E164>, D::Error> {
    Ok(text(deserializer)?.and_then(|text| E164::parse_loose(&text).ok()))
}

/// A bool, or None for anything else.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}

/// A whole number, also as text; None for anything else.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(text(deserializer)?.and_then(|text| text.trim().parse().ok()))
}

/// An exact decimal, from a text or from a number as it was written; None for anything else.
pub(crate) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let text = text(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok().or_else(|| Decimal::from_scientific(text.trim()).ok())))
}

/// A list whose unreadable members are left out; anything but a list is empty.
pub(crate) fn list<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(items(Value::deserialize(deserializer)?))
}

/// A value that is None when absent, null or unreadable.
pub(crate) fn maybe<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// A text that must not be seen, or None.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(text(deserializer)?.map(SecretString::from))
}

/// The readable members of a JSON array.
pub(crate) fn items<T: serde::de::DeserializeOwned>(value: Value) -> Vec<T> {
    match value {
        Value::Array(values) => values.into_iter().filter_map(|v| serde_json::from_value(v).ok()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_all_forms() {
        let want: Timestamp = "2023-06-15T09:56:45Z".parse().unwrap();
        for form in [
            "2023-06-15T09:56:45Z",
            "2023-06-15T09:56:45+00:00",
            "2023-06-15T10:56:45+0100",
            "2023-06-15T09:56:45",
            "Thu, 15 Jun 2023 09:56:45 +0000",
            "1686823005",
        ] {
            assert_eq!(timestamp(form), Some(want), "{form}");
        }
        assert_eq!(timestamp("soon"), None);
    }
}
