//! `fields=`: what of a node is shown.
//!
//! Only the named fields and id come back; a field that a node does not have is (#100), one that is empty or in beta
//! for others is simply left out.

use serde_json::{Map, Value};

use super::errors;
use crate::sandbox::http::Response;

/// The names in a `fields` parameter, with what is in braces and parentheses left off.
pub fn names(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = vec![String::new()];
    for c in text.chars() {
        match c {
            '{' | '(' => depth += 1,
            '}' | ')' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            c if depth == 0 && !c.is_whitespace() => {
                if let Some(name) = names.last_mut() {
                    name.push(c);
                }
            }
            _ => {}
        }
    }
    names.iter().map(|name| name.split('.').next().unwrap_or("").to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The asked-for part of `node`; `default` when nothing was asked for.
///
/// # Errors
/// (#100) for a field that the node does not know.
pub fn select(
    node: &Map<String, Value>,
    asked: Option<&str>,
    default: &[&str],
    absent: &[String],
    kind: &str,
) -> Result<Value, Response> {
    let wanted = match asked {
        Some(text) if !text.trim().is_empty() => names(text),
        _ => default.iter().map(|name| (*name).to_owned()).collect(),
    };
    let mut shown = Map::new();
    for name in wanted {
        let Some(value) = node.get(&name) else {
            return Err(errors::invalid(&format!("Tried accessing nonexisting field ({name}) on node type ({kind})")));
        };
        if !value.is_null() && !absent.contains(&name) {
            shown.insert(name, value.clone());
        }
    }
    if let Some(id) = node.get("id") {
        shown.insert("id".to_owned(), id.clone());
    }
    Ok(Value::Object(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_fields_are_read_as_one() {
        let cases = [
            ("id,status", vec!["id", "status"]),
            (
                "id, webhook_configuration{application,phone_number},status",
                vec!["id", "webhook_configuration", "status"],
            ),
            ("pricing_analytics.start(1).phone_numbers([\"1\",\"2\"]),id", vec!["pricing_analytics", "id"]),
            ("", vec![]),
        ];
        for (text, expected) in cases {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn only_what_was_asked_for_and_exists_is_shown() {
        let node = json!({"id": "1", "status": "PENDING", "quality_score": null});
        let node = node.as_object().expect("an object");
        assert_eq!(select(node, Some("status"), &[], &[], "N").unwrap(), json!({"status": "PENDING", "id": "1"}));
        assert_eq!(select(node, Some("quality_score"), &[], &[], "N").unwrap(), json!({"id": "1"}));
        assert_eq!(select(node, Some("status"), &[], &["status".to_owned()], "N").unwrap(), json!({"id": "1"}));
        assert_eq!(select(node, None, &["status"], &[], "N").unwrap(), json!({"status": "PENDING", "id": "1"}));
        assert_eq!(select(node, Some("nonsense"), &[], &[], "N").unwrap_err().status, 400);
    }
}
