//! One request and one answer as plain values, so that everything behind them is a function without a socket.
//!
//! Decides how parameters are read: query, form and JSON body count alike (Graph takes all three), filters in deepObject
//! style (`filter[tag]=x`, `filter[features][]=sms`, `filter[features]=sms,voice`). Knows nothing of either provider.

use hyper::body::Bytes;
use serde_json::Value;

/// What arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path as sent, without the query.
    pub path: String,
    /// Decoded query pairs in their order.
    pub query: Vec<(String, String)>,
    /// Headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
}

impl Request {
    /// The path's parts, decoded, without empty ones: a trailing slash makes no difference.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(percent_decode).collect()
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The token behind `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        let value = self.header("authorization")?;
        let (scheme, token) = value.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
    }

    /// A query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `filter[name]` in all its spellings, with commas split.
    pub fn filters(&self, name: &str) -> Vec<String> {
        let plain = format!("filter[{name}]");
        let array = format!("filter[{name}][]");
        self.query
            .iter()
            .filter(|(key, _)| *key == plain || *key == array || is_indexed(key, &plain))
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The first value of `filter[name]`, not split at commas.
    pub fn filter(&self, name: &str) -> Option<&str> {
        let plain = format!("filter[{name}]");
        let array = format!("filter[{name}][]");
        self.query.iter().find(|(key, _)| *key == plain || *key == array).map(|(_, value)| value.as_str())
    }

    /// `filter[name][op]`, for example `filter[created_at][gte]`.
    pub fn filter_op(&self, name: &str, op: &str) -> Option<&str> {
        self.query(&format!("filter[{name}][{op}]"))
    }

    /// The JSON body; Null for an empty one, None for what is not JSON.
    pub fn json(&self) -> Option<Value> {
        if self.body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&self.body).ok() }
    }

    /// All parameters of a Graph call as one object: query first, then form, multipart or JSON body over it.
    pub fn params(&self) -> serde_json::Map<String, Value> {
        let mut all: serde_json::Map<String, Value> =
            self.query.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
        let kind = self.header("content-type").unwrap_or("").to_ascii_lowercase();
        if kind.starts_with("application/x-www-form-urlencoded") {
            all.extend(pairs(&String::from_utf8_lossy(&self.body)).into_iter().map(|(k, v)| (k, Value::String(v))));
        } else if kind.starts_with("multipart/form-data") {
            all.extend(
                self.multipart()
                    .into_iter()
                    .filter_map(|part| Some((part.name, Value::String(String::from_utf8(part.data.to_vec()).ok()?)))),
            );
        } else if let Some(Value::Object(body)) = self.json() {
            all.extend(body);
        }
        all
    }

    /// The parts of a multipart body; none if it is not one.
    pub fn multipart(&self) -> Vec<Part> {
        let kind = self.header("content-type").unwrap_or("");
        let Some((_, boundary)) = kind.split_once("boundary=") else { return Vec::new() };
        let boundary = boundary.split(';').next().unwrap_or("").trim_matches('"');
        split_multipart(&self.body, boundary)
    }
}

fn is_indexed(key: &str, plain: &str) -> bool {
    key.strip_prefix(plain)
        .and_then(|rest| rest.strip_prefix('['))
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|index| !index.is_empty() && index.bytes().all(|c| c.is_ascii_digit()))
}

/// One part of a multipart body.
pub struct Part {
    /// The field's name.
    pub name: String,
    /// Its bytes.
    pub data: Bytes,
}

fn split_multipart(body: &Bytes, boundary: &str) -> Vec<Part> {
    let marker = format!("--{boundary}");
    let mut starts = Vec::new();
    let mut from = 0;
    while let Some(at) = find(&body[from..], marker.as_bytes()) {
        starts.push(from + at);
        from += at + marker.len();
    }
    starts
        .windows(2)
        .filter_map(|pair| {
            let part = body.slice(pair[0] + marker.len()..pair[1]);
            let head_end = find(&part, b"\r\n\r\n")?;
            let head = String::from_utf8_lossy(&part[..head_end]).into_owned();
            let name = head.split("name=\"").nth(1)?.split('"').next()?.to_owned();
            let end = part.len().checked_sub(2).filter(|end| *end >= head_end + 4)?;
            Some(Part { name, data: part.slice(head_end + 4..end) })
        })
        .collect()
}

/// Where `needle` begins in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len().max(1)).position(|window| window == needle)
}

/// Decodes `a=b&c=d`.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(&key.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Decodes `%2B` and the like; what is not an escape stays as it is.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Encodes a query value.
pub fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The digits of a phone number in any spelling: numbers are compared by nothing else.
pub fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// What goes back.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers besides the content type.
    pub headers: Vec<(String, String)>,
    /// Content type of the body.
    pub content_type: String,
    /// The body's bytes.
    pub body: Bytes,
    /// How it goes over the wire.
    pub wire: super::wire::Wire,
}

impl Response {
    /// A JSON answer.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::bytes(status, "application/json; charset=utf-8", Bytes::from(value.to_string()))
    }

    /// An answer of any type.
    pub fn bytes(status: u16, content_type: &str, body: Bytes) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content_type: content_type.to_owned(),
            body,
            wire: super::wire::Wire::Whole,
        }
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str, content_type: &str, body: &'static [u8]) -> Request {
        Request {
            method: "GET".into(),
            path: "/v2/a%2Bb//c/".into(),
            query: pairs(query),
            headers: vec![("content-type".into(), content_type.into()), ("authorization".into(), "bearer  k ".into())],
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn filters_are_read_in_every_spelling() {
        let cases = [
            ("filter[features]=sms,voice", vec!["sms", "voice"]),
            ("filter[features][]=sms&filter%5Bfeatures%5D%5B%5D=voice", vec!["sms", "voice"]),
            ("filter[features][0]=sms&filter[features][1]=voice", vec!["sms", "voice"]),
            ("filter[feature]=sms", vec![]),
            ("filter[features][gte]=sms", vec![]),
        ];
        for (query, expected) in cases {
            assert_eq!(request(query, "", b"").filters("features"), expected, "{query}");
        }
        assert_eq!(request("filter[created_at][gte]=x", "", b"").filter_op("created_at", "gte"), Some("x"));
    }

    #[test]
    fn path_and_bearer_are_decoded() {
        let request = request("", "", b"");
        assert_eq!(request.segments(), ["v2", "a+b", "c"]);
        assert_eq!(request.bearer(), Some("k"));
    }

    #[test]
    fn parameters_come_from_query_form_multipart_and_json_alike() {
        let multipart = b"--B\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\n12\r\n--B--\r\n";
        for (query, kind, body) in [
            ("code=12", "", &b""[..]),
            ("", "application/x-www-form-urlencoded", b"code=12"),
            ("code=9", "application/json", b"{\"code\":\"12\"}"),
            ("", "multipart/form-data; boundary=B", multipart),
        ] {
            assert_eq!(request(query, kind, body).params().get("code"), Some(&Value::from("12")), "{query} {kind}");
        }
    }
}
