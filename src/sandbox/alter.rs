//! Changes an answer at places that JSON pointers name, as a provider does that adds a word, drops a field or changes a
//! type without telling.
//!
//! Pure. `/data/*/status` means that place in every element; a place that is not there is left alone, except that a
//! field may be added to an object.

use serde_json::{Map, Value};

/// The answer with `set` put in and `remove` taken out.
pub fn altered(mut answer: Value, set: &Map<String, Value>, remove: &[String]) -> Value {
    for (pointer, value) in set {
        at(&mut answer, &segments(pointer), &mut |parent, last| match parent {
            Value::Object(fields) => drop(fields.insert(last.to_owned(), value.clone())),
            Value::Array(items) => {
                if let Some(item) = last.parse::<usize>().ok().and_then(|place| items.get_mut(place)) {
                    *item = value.clone();
                }
            }
            _ => {}
        });
        if pointer.is_empty() {
            answer = value.clone();
        }
    }
    for pointer in remove {
        at(&mut answer, &segments(pointer), &mut |parent, last| match parent {
            Value::Object(fields) => drop(fields.remove(last)),
            Value::Array(items) => {
                if let Some(place) = last.parse::<usize>().ok().filter(|place| *place < items.len()) {
                    items.remove(place);
                }
            }
            _ => {}
        });
    }
    answer
}

fn segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

/// Calls `change` with every parent that fits and the last part of the path.
fn at(value: &mut Value, path: &[String], change: &mut impl FnMut(&mut Value, &str)) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        if first != "*" {
            return change(value, first);
        }
        let places: Vec<String> = match value {
            Value::Object(fields) => fields.keys().cloned().collect(),
            // From the end, so that taking one out moves none that is still to come.
            Value::Array(items) => (0..items.len()).rev().map(|place| place.to_string()).collect(),
            _ => Vec::new(),
        };
        return places.iter().for_each(|place| change(value, place));
    }
    match value {
        Value::Object(fields) if first == "*" => fields.values_mut().for_each(|field| at(field, rest, change)),
        Value::Array(items) if first == "*" => items.iter_mut().for_each(|item| at(item, rest, change)),
        Value::Object(fields) => {
            if let Some(field) = fields.get_mut(first) {
                at(field, rest, change);
            }
        }
        Value::Array(items) => {
            if let Some(item) = first.parse::<usize>().ok().and_then(|place| items.get_mut(place)) {
                at(item, rest, change);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_set_and_taken_out_and_what_is_not_there_is_left_alone() {
        let answer =
            json!({"data": [{"status": "active", "tags": ["a"]}, {"status": "active", "tags": []}], "meta": 1});
        let cases = [
            (json!({"/data/0/status": "frozen"}), vec![], json!(["frozen", "active"])),
            (json!({"/data/*/status": "frozen"}), vec![], json!(["frozen", "frozen"])),
            (json!({"/data/*/status": null}), vec![], json!([null, null])),
            (json!({"/data/1/status": {"word": 1}}), vec![], json!(["active", {"word": 1}])),
            (json!({}), vec!["/data/1/status"], json!(["active", "none"])),
            (json!({}), vec!["/data/0"], json!(["active"])),
            (json!({}), vec!["/data/*"], json!([])),
            (
                json!({"/nothing/0/status": 1, "/data/9/status": 1, "/meta/x": 1}),
                vec!["/a/b"],
                json!(["active", "active"]),
            ),
        ];
        for (set, remove, expected) in cases {
            let remove: Vec<String> = remove.into_iter().map(str::to_owned).collect();
            let set = set.as_object().expect("an object");
            let changed = altered(answer.clone(), set, &remove);
            let seen: Vec<Value> = changed["data"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|item| item.get("status").cloned().unwrap_or(json!("none")))
                .collect();
            assert_eq!(json!(seen), expected, "{set:?} {remove:?}");
        }
        let set = json!({"": [], "/a~1b": 1});
        assert_eq!(altered(json!({}), set.as_object().expect("an object"), &[]), json!([]));
        let set = json!({"/a~1b": 1});
        assert_eq!(altered(json!({}), set.as_object().expect("an object"), &[]), json!({"a/b": 1}));
    }
}
