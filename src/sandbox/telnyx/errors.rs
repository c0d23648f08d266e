//! Telnyx's refusals: status, code, title, detail, in the one envelope of the API.
//!
//! Source: Telnyx's list of API error codes; where the status is not documented, what field reports saw.

use serde_json::{Value, json};

use crate::sandbox::http::Response;

/// A refusal.
pub fn refuse(status: u16, code: &str, title: &str, detail: &str) -> Response {
    envelope(status, code, title, detail, Value::Null)
}

/// A refusal that points at a place in the body, `/phone_numbers/0`.
pub fn at(status: u16, code: &str, title: &str, detail: &str, pointer: &str) -> Response {
    envelope(status, code, title, detail, json!({ "pointer": pointer }))
}

fn envelope(status: u16, code: &str, title: &str, detail: &str, source: Value) -> Response {
    let mut error = json!({
        "code": code, "title": title, "detail": detail,
        "meta": {"url": format!("https://developers.telnyx.com/docs/overview/errors/{code}")},
    });
    if !source.is_null() {
        error["source"] = source;
    }
    Response::json(status, &json!({"errors": [error]}))
}

/// 404, 10005.
pub fn not_found(detail: &str) -> Response {
    refuse(404, "10005", "Resource not found", detail)
}

/// 400, 10015 with the parameter's name.
pub fn bad_parameter(name: &str, detail: &str) -> Response {
    envelope(400, "10015", "Bad Request", detail, json!({ "parameter": name }))
}

/// 400, 10004 with the missing field.
pub fn missing(name: &str) -> Response {
    at(
        400,
        "10004",
        "Missing required parameter",
        &format!("The required parameter {name} is missing."),
        &format!("/{name}"),
    )
}

/// 429, 10011.
pub fn too_many() -> Response {
    refuse(429, "10011", "Too many requests", "You have exceeded the maximum number of allowed requests.")
}
