//! Whether anything was bought, or is paid for, that is no line's: by the sandbox's ledger and its numbers alone, under
//! whatever reference, whatever the controller says of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::verdict::Snapshot;

/// Each line of the world has exactly one purchase, there is no other, and each number in the account is a line's.
pub fn strays(seen: &Snapshot) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut bought: BTreeMap<&str, Vec<&str>> = seen.made.keys().map(|name| (name.as_str(), Vec::new())).collect();
    for order in seen.ledger.iter().filter(|e| e["kind"] == "order") {
        let number = order["phone_number"].as_str().unwrap_or_default();
        match order["customer_reference"].as_str().and_then(|reference| bought.get_mut(reference)) {
            Some(numbers) => numbers.push(number),
            None => wrong.push(format!("bought for no line: {order}")),
        }
    }
    for (reference, number) in &seen.made {
        let numbers = &bought[reference.as_str()];
        let right = numbers.len() == 1 && (number.is_empty() || numbers[0] == number);
        if !right {
            wrong.push(format!("{reference} has {number:?}, bought were {numbers:?}"));
        }
    }
    let lines: BTreeSet<&str> = seen.made.values().chain(&seen.by_hand).map(String::as_str).collect();
    let paid = |n: &&Value| n["telnyx"]["status"].as_str().is_some_and(|status| status != "deleted");
    for number in seen.numbers.iter().filter(paid) {
        if !lines.contains(number["phone_number"].as_str().unwrap_or_default()) {
            wrong.push(format!("in the account and no line's: {number}"));
        }
    }
    wrong
}
