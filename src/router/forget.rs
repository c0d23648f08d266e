//! What of an erased candidate waits in quarantine: changes that speak of nobody else are removed.
//!
//! A change may hold messages of several people. One that is also somebody else's stays, since it is that person's only
//! copy: it is counted, and goes by itself seven days after it came.

use std::collections::BTreeSet;

use crate::domain::{PhoneNumberId, Pii};
use crate::store::erasure::mentions;
use crate::store::quarantine::Quarantined;
use crate::store::{Choice, Quarantine, StoreError};

use super::split::{self, Content, Item};

/// What was found in quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Changes that were removed.
    pub removed: u64,
    /// Changes that stay, because they are others' too or can't be taken apart.
    pub mixed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    NotTheirs,
    Theirs,
    Mixed,
}

/// Looks through what waits for these lines.
pub async fn forget<'a>(
    quarantine: &Quarantine,
    lines: impl IntoIterator<Item = &'a PhoneNumberId>,
    identifiers: &BTreeSet<Pii<String>>,
) -> Result<Forgotten, StoreError> {
    let mut done = Forgotten::default();
    for line in lines {
        let choice = Choice { line: Some(line.clone()), ..Choice::default() };
        for id in quarantine.chosen(&choice).await? {
            let Some(change) = quarantine.get(&id).await? else { continue };
            match judge(&change, identifiers) {
                Verdict::NotTheirs => {}
                Verdict::Mixed => done.mixed += 1,
                Verdict::Theirs => {
                    quarantine.remove(&id).await?;
                    done.removed += 1;
                }
            }
        }
    }
    Ok(done)
}

fn judge(change: &Quarantined, identifiers: &BTreeSet<Pii<String>>) -> Verdict {
    let text = change.body.expose();
    if !mentions(text, identifiers) {
        return Verdict::NotTheirs;
    }
    match split::change(&change.entry_id, None, text).content {
        Content::Line { items, remainder: false, .. } if items.iter().all(|item| is_theirs(item, identifiers)) => {
            Verdict::Theirs
        }
        _ => Verdict::Mixed,
    }
}

fn is_theirs(item: &Item, identifiers: &BTreeSet<Pii<String>>) -> bool {
    // A phone number may have been another's before: where a BSUID is told, it decides.
    let person = item.contact.as_ref().and_then(|contact| contact.user_id.as_ref().or(contact.wa_id.as_ref()));
    match person {
        Some(id) => identifiers.contains(id),
        None => item.about.iter().chain([&item.meta_id]).any(|id| identifiers.contains(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(body: &str) -> Verdict {
        let ids = ["MA.1", "212611", "wamid.X"].map(|id| Pii(id.to_owned())).into();
        let change = Quarantined {
            id: "i".into(),
            entry_id: "104".into(),
            body: Pii(body.into()),
            reason: "unknown_number".into(),
            phone_number_id: None,
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        judge(&change, &ids)
    }

    #[test]
    fn whose_a_change_is() {
        let of =
            |rest: &str| format!(r#"{{"field":"messages","value":{{"metadata":{{"phone_number_id":"1"}},{rest}}}}}"#);
        let message = |user: &str| format!(r#"{{"id":"w{user}","from_user_id":"{user}","type":"text"}}"#);
        let table = [
            (of(&format!(r#""messages":[{}]"#, message("MA.1"))), Verdict::Theirs),
            (of(&format!(r#""messages":[{}]"#, message("MA.12"))), Verdict::NotTheirs),
            (of(&format!(r#""messages":[{},{}]"#, message("MA.1"), message("MA.2"))), Verdict::Mixed),
            (of(r#""statuses":[{"id":"wamid.X","status":"read"}]"#), Verdict::Theirs),
            (of(r#""messages":[{"id":"y","from":"212611"}]"#), Verdict::Theirs),
            // Whose phone number this was before.
            (of(r#""messages":[{"id":"y","from":"212611","from_user_id":"MA.3"}]"#), Verdict::Mixed),
            // Somebody else speaks of them.
            (of(r#""messages":[{"id":"y","from_user_id":"MA.3","text":{"body":"call 212611"}}]"#), Verdict::Mixed),
            (of(r#""messages":{"from_user_id":"MA.1"}"#), Verdict::Mixed),
            (r#"["MA.1"]"#.to_owned(), Verdict::Mixed),
            ("nothing".to_owned(), Verdict::NotTheirs),
        ];
        for (body, want) in table {
            assert_eq!(verdict(&body), want, "{body}");
        }
    }
}
