//! What was asked of the sandbox, in order: the evidence for tests that count calls.
//!
//! Decides what of a request may be kept: shapes and ids yes; tokens, proofs, codes and PINs never (codes and PINs
//! become zeros, so that a record still has the form the contract asks for).

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

const KEPT: usize = 50_000;

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counts from 1.
    pub n: u64,
    /// When it arrived.
    pub time: Timestamp,
    /// `telnyx`, `meta` or `sandbox` (calls and webhooks that the sandbox makes itself).
    pub provider: &'static str,
    /// Operation name, for example `telnyx.create_number_order`.
    pub operation: String,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// Status of the answer; null while it runs, or when the connection was closed without one.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<String>,
    /// Request body without secrets.
    pub body: Value,
    /// Answer without secrets; shown with `?full=1`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub response: Value,
}

/// The calls so far.
#[derive(Default)]
pub struct Journal {
    next: u64,
    entries: std::collections::VecDeque<Entry>,
}

impl Journal {
    /// Notes a call that arrives; returns its number.
    pub fn begin(&mut self, mut entry: Entry) -> u64 {
        self.next += 1;
        entry.n = self.next;
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.next
    }

    /// Notes how the call ended.
    pub fn end(&mut self, n: u64, status: Option<u16>, response: Value) {
        let Some(first) = self.entries.front().map(|entry| entry.n) else { return };
        let place = n.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            entry.status = status;
            entry.response = response;
        }
    }

    /// Calls after number `after`, of one operation if named (a trailing `*` matches all that begin so).
    pub fn list(&self, after: u64, operation: Option<&str>, full: bool) -> Vec<Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.n > after)
            .filter(|entry| match operation {
                Some(name) => match name.strip_suffix('*') {
                    Some(prefix) => entry.operation.starts_with(prefix),
                    None => entry.operation == name,
                },
                None => true,
            })
            .map(|entry| {
                let mut entry = entry.clone();
                if !full {
                    entry.response = Value::Null;
                }
                entry
            })
            .collect()
    }

    /// Number of the newest call.
    pub fn last(&self) -> u64 {
        self.next
    }
}

const SECRET: [&str; 10] = [
    "access_token",
    "appsecret_proof",
    "input_token",
    "verify_token",
    "hub.verify_token",
    "password",
    "client_secret",
    "api_key",
    "transcription_text",
    "text",
];

/// The same value without what must not be kept.
pub fn redact(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| {
                    let clean = match (key.as_str(), value) {
                        // An error's code is a number of Meta's or a string of five digits of Telnyx's: kept.
                        ("code" | "pin", Value::String(text)) if text.len() == 6 => Value::from("000000"),
                        ("pin", _) => Value::from("000000"),
                        (key, _) if SECRET.contains(&key) => Value::from("***"),
                        (_, value) => redact(value),
                    };
                    (key.clone(), clean)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(redact).collect()),
        other => other.clone(),
    }
}

/// A body as the journal keeps it: JSON and forms redacted, anything else by type and length only.
pub fn body(content_type: &str, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let form = super::http::pairs(&String::from_utf8_lossy(bytes));
        return redact(&Value::Object(form.into_iter().map(|(key, value)| (key, Value::String(value))).collect()));
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => redact(&value),
        Err(_) => serde_json::json!({"content_type": content_type, "bytes": bytes.len()}),
    }
}

/// An answer as the journal keeps it: long ones by their length only, since lists are asked for all the time.
pub fn answer(content_type: &str, bytes: &[u8]) -> Value {
    if bytes.len() > 64 * 1024 {
        return serde_json::json!({"content_type": content_type, "bytes": bytes.len()});
    }
    body(content_type, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_left_out_and_error_codes_stay() {
        let cases = [
            (json!({"code": "123456"}), json!({"code": "000000"})),
            (
                json!({"pin": "123456", "messaging_product": "whatsapp"}),
                json!({"pin": "000000", "messaging_product": "whatsapp"}),
            ),
            (json!({"error": {"code": 136024}}), json!({"error": {"code": 136024}})),
            (json!({"errors": [{"code": "85001"}]}), json!({"errors": [{"code": "85001"}]})),
            (
                json!({"data": [{"transcription_text": "Verification code is"}]}),
                json!({"data": [{"transcription_text": "***"}]}),
            ),
            (json!({"access_token": "t", "a": [1]}), json!({"access_token": "***", "a": [1]})),
        ];
        for (given, expected) in cases {
            assert_eq!(redact(&given), expected);
        }
        assert_eq!(body("application/x-www-form-urlencoded", b"code=123456"), json!({"code": "000000"}));
        assert_eq!(body("audio/wav", b"RIFF")["bytes"], 4);
    }
}
