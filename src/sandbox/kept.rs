//! What may be kept of a call: shapes and ids yes; tokens, proofs, codes and PINs never.
//!
//! What is hidden keeps its form (a code of six digits becomes six zeros, a text stays a text), or the contract could not
//! be judged; of a long list only what differs in shape stays. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::http::Request;

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

/// The same value without what must not be kept, in the same form.
pub fn redact(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), redact_field(key, value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(redact).collect()),
        other => other.clone(),
    }
}

fn redact_field(key: &str, value: &Value) -> Value {
    match value {
        // A name that was given several times in a query.
        Value::Array(items) => Value::Array(items.iter().map(|item| redact_field(key, item)).collect()),
        // An error's code is a number of Meta's or a string of five digits of Telnyx's: kept.
        Value::String(text) if key == "code" && text.len() != 5 => Value::from(zeros(text)),
        // A document that says digits.
        Value::String(text) if key == "Texml" => Value::from(text.replace(|c: char| c.is_ascii_digit(), "0")),
        Value::String(text) if key == "pin" => Value::from(zeros(text)),
        Value::Number(_) if key == "pin" => Value::from(0),
        value if SECRET.contains(&key) => hidden(value),
        value => redact(value),
    }
}

/// Every text in it hidden.
fn hidden(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), hidden(value))).collect(),
        Value::Array(items) => items.iter().map(hidden).collect(),
        Value::String(_) => Value::from("***"),
        Value::Number(_) => Value::from(0),
        other => other.clone(),
    }
}

/// Zeros for digits, `x` for letters; what separates them stays.
fn zeros(text: &str) -> String {
    text.chars().map(|c| if c.is_numeric() { '0' } else { if c.is_alphabetic() { 'x' } else { c } }).collect()
}

/// The query as the journal keeps it.
pub fn query(pairs: &[(String, String)]) -> Option<Value> {
    let mut all: serde_json::Map<String, Value> = serde_json::Map::new();
    for (key, value) in pairs {
        match all.get_mut(key) {
            None => drop(all.insert(key.clone(), Value::from(value.as_str()))),
            Some(Value::Array(several)) => several.push(Value::from(value.as_str())),
            Some(one) => *one = json!([one.take(), value]),
        }
    }
    (!all.is_empty()).then(|| redact(&Value::Object(all)))
}

/// The headers of a request that a contract speaks of; of a credential only its kind.
pub fn headers(req: &Request) -> BTreeMap<String, String> {
    ["content-type", "accept", "idempotency-key", "authorization"]
        .iter()
        .filter_map(|name| {
            let value = req.header(name)?;
            let value = match *name {
                // Without a scheme it is all credential.
                "authorization" => match value.split_once(' ') {
                    Some((scheme, _)) => format!("{scheme} ***"),
                    None => "***".to_owned(),
                },
                // A boundary is chance and says nothing.
                "content-type" => value.split("boundary=").next().unwrap_or("").trim_end_matches([' ', ';']).to_owned(),
                _ => value.to_owned(),
            };
            Some(((*name).to_owned(), value))
        })
        .collect()
}

/// A request's body as the journal keeps it: JSON, forms and the fields of a multipart redacted, anything else by type
/// and length only.
pub fn request_body(req: &Request) -> Value {
    let kind = req.header("content-type").unwrap_or("application/json");
    if !kind.starts_with("multipart/form-data") {
        return body(kind, &req.body);
    }
    let fields = req.multipart().into_iter().map(|part| {
        let value = match std::str::from_utf8(&part.data) {
            Ok(text) if text.len() <= 1_024 => Value::from(text),
            _ => json!({"bytes": part.data.len()}),
        };
        (part.name, value)
    });
    redact(&Value::Object(fields.collect()))
}

/// A body as the journal keeps it: JSON and forms redacted, anything else by type and length only.
pub fn body(content_type: &str, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    // JSON that curl sends as a form is no form: its secrets would stand in a field's name.
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    if is_form && !bytes.trim_ascii_start().starts_with(b"{") {
        return query(&super::http::pairs(&String::from_utf8_lossy(bytes))).unwrap_or_default();
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => redact(&value),
        Err(_) => json!({"content_type": content_type, "bytes": bytes.len()}),
    }
}

const LONG: usize = 64 * 1024;
const TOO_LONG: usize = 8 * 1024 * 1024;
const SAMPLES: usize = 64;

/// An answer as the journal keeps it. Of a long list, which is asked for all the time, only items that differ in shape
/// from those before them: the contract is judged by shapes.
pub fn answer(content_type: &str, bytes: &[u8]) -> Value {
    if bytes.len() > TOO_LONG {
        return json!({"content_type": content_type, "bytes": bytes.len()});
    }
    let kept = body(content_type, bytes);
    if bytes.len() > LONG { sampled(kept) } else { kept }
}

fn sampled(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, sampled(value))).collect(),
        Value::Array(items) => {
            let mut seen = BTreeSet::new();
            let items = items.into_iter().filter(|item| seen.len() < SAMPLES && seen.insert(shape(item)));
            Value::Array(items.map(sampled).collect())
        }
        other => other,
    }
}

/// What a schema can tell apart: types, names of fields, and words (which may be members of an enum).
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", shape(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: BTreeSet<String> = items.iter().map(shape).collect();
            format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
        }
        Value::String(text)
            if text.len() <= 24 && text.bytes().all(|c| c.is_ascii_alphabetic() || b"-_".contains(&c)) =>
        {
            format!("'{text}'")
        }
        Value::String(text) if text.is_empty() => "''".to_owned(),
        Value::String(_) => "s".to_owned(),
        Value::Number(number) if number.is_f64() => "f".to_owned(),
        Value::Number(_) => "i".to_owned(),
        Value::Bool(_) => "b".to_owned(),
        Value::Null => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_forms_stay() {
        let cases = [
            (json!({"code": "123456"}), json!({"code": "000000"})),
            (json!({"code": "123 45"}), json!({"code": "000 00"})),
            (json!({"code": ["123456", "1"]}), json!({"code": ["000000", "0"]})),
            (
                json!({"pin": "123456", "messaging_product": "whatsapp"}),
                json!({"pin": "000000", "messaging_product": "whatsapp"}),
            ),
            (json!({"pin": 123_456}), json!({"pin": 0})),
            (json!({"pin": "12a4"}), json!({"pin": "00x0"})),
            (json!({"error": {"code": 136_024}}), json!({"error": {"code": 136_024}})),
            (json!({"errors": [{"code": "85001"}]}), json!({"errors": [{"code": "85001"}]})),
            (
                json!({"data": [{"transcription_text": "Verification code is"}]}),
                json!({"data": [{"transcription_text": "***"}]}),
            ),
            (json!({"text": {"body": "salam"}}), json!({"text": {"body": "***"}})),
            (json!({"access_token": "t", "a": [1]}), json!({"access_token": "***", "a": [1]})),
        ];
        for (given, expected) in cases {
            assert_eq!(redact(&given), expected);
        }
        assert_eq!(body("application/x-www-form-urlencoded", b"code=123456"), json!({"code": "000000"}));
        let form = "application/x-www-form-urlencoded";
        assert_eq!(body(form, br#"{"pin": "123456"}"#), json!({"pin": "000000"}));
        let request = |value: &str| Request {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: Vec::new(),
            headers: vec![("authorization".to_owned(), value.to_owned())],
            body: hyper::body::Bytes::new(),
        };
        for (given, kept) in [("Bearer KEY-1", "Bearer ***"), ("OAuth a b", "OAuth ***"), ("KEY-1", "***")] {
            assert_eq!(headers(&request(given))["authorization"], kept);
        }
        assert_eq!(body("audio/wav", b"RIFF")["bytes"], 4);
        let pairs =
            [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned()), ("pin".to_owned(), "9".to_owned())];
        assert_eq!(query(&pairs), Some(json!({"a": ["1", "2"], "pin": "0"})));
    }

    #[test]
    fn of_a_long_list_each_shape_is_kept_once() {
        let item = |status: &str, tag: Value| json!({"id": "1".repeat(200), "status": status, "tags": [tag]});
        let mut items = vec![item("active", Value::from("t")); 400];
        items[200] = item("deleted", Value::from("t"));
        items[399] = item("active", Value::from(7));
        let long = json!({"data": items, "meta": {"total_results": 400}}).to_string();
        let kept = answer("application/json", long.as_bytes());
        let expected = [&items[0], &items[200], &items[399]].map(Clone::clone).to_vec();
        assert_eq!(kept, json!({"data": expected, "meta": {"total_results": 400}}));
        let short = json!({"data": [1, 2, 3]}).to_string();
        assert_eq!(answer("application/json", short.as_bytes()), json!({"data": [1, 2, 3]}));
    }
}
