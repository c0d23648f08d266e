//! What of an erased candidate waits in quarantine: changes that speak of nobody else are removed.
//!
//! A change may hold messages of several people. One that is also somebody else's stays, since it is that person's only
//! copy: it is counted, and goes by itself seven days after it came. What of it is the candidate's is told, so that a replay
//! brings back only the rest.

use std::collections::BTreeSet;

use crate::domain::Pii;
use crate::store::closing::Lines;
use crate::store::erasure::mentions;
use crate::store::quarantine::Quarantined;
use crate::store::{Quarantine, StoreError};

use super::split::{self, Content, Item};

/// What was found in quarantine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Changes that were removed.
    pub removed: u64,
    /// Changes that stay, because they are others' too or can't be taken apart.
    pub mixed: u64,
    /// Meta's ids of the candidate's items in all of these: whoever sends them again, or has just read them, must not bring
    /// them into the log.
    pub theirs: BTreeSet<Pii<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    NotTheirs,
    // With Meta's ids of what is theirs.
    Theirs(BTreeSet<Pii<String>>),
    Mixed(BTreeSet<Pii<String>>),
}

/// Looks through what waits for the company's lines.
pub async fn forget(
    quarantine: &Quarantine,
    lines: &Lines,
    identifiers: &BTreeSet<Pii<String>>,
) -> Result<Forgotten, StoreError> {
    let mut done = Forgotten::default();
    for choice in lines.choices() {
        for id in quarantine.chosen(&choice).await? {
            let Some(change) = quarantine.get(&id).await? else { continue };
            match judge(&change, identifiers) {
                Verdict::NotTheirs => {}
                Verdict::Mixed(theirs) => {
                    done.mixed += 1;
                    done.theirs.extend(theirs);
                }
                Verdict::Theirs(theirs) => {
                    quarantine.remove(&id).await?;
                    done.removed += 1;
                    done.theirs.extend(theirs);
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
    let Content::Line { items, remainder, .. } = split::change(&change.entry_id, None, text).content else {
        return Verdict::Mixed(BTreeSet::new());
    };
    let all = !remainder && items.iter().all(|item| is_theirs(item, identifiers));
    let theirs = items.into_iter().filter(|item| is_theirs(item, identifiers)).map(|item| item.meta_id).collect();
    if all { Verdict::Theirs(theirs) } else { Verdict::Mixed(theirs) }
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
    use crate::store::Extent;

    fn verdict(body: &str) -> Verdict {
        let ids = ["MA.1", "212611", "wamid.X"].map(|id| Pii(id.to_owned())).into();
        let change = Quarantined {
            id: "i".into(),
            entry_time: None,
            entry_id: "104".into(),
            signer: None,
            extent: Extent::Change,
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
        let ids = |ids: &[&str]| ids.iter().map(|id| Pii((*id).to_owned())).collect();
        let (mixed, theirs) = (|all: &[&str]| Verdict::Mixed(ids(all)), |all: &[&str]| Verdict::Theirs(ids(all)));
        let table = [
            (of(&format!(r#""messages":[{}]"#, message("MA.1"))), theirs(&["wMA.1"])),
            (of(&format!(r#""messages":[{}]"#, message("MA.12"))), Verdict::NotTheirs),
            (of(&format!(r#""messages":[{},{}]"#, message("MA.1"), message("MA.2"))), mixed(&["wMA.1"])),
            (of(r#""statuses":[{"id":"wamid.X","status":"read"}]"#), theirs(&["wamid.X read "])),
            (of(r#""messages":[{"id":"y","from":"212611"}]"#), theirs(&["y"])),
            // Whose phone number this was before.
            (of(r#""messages":[{"id":"y","from":"212611","from_user_id":"MA.3"}]"#), mixed(&[])),
            // Somebody else speaks of them.
            (of(r#""messages":[{"id":"y","from_user_id":"MA.3","text":{"body":"call 212611"}}]"#), mixed(&[])),
            (of(r#""messages":{"from_user_id":"MA.1"}"#), mixed(&[])),
            (r#"["MA.1"]"#.to_owned(), mixed(&[])),
            ("nothing".to_owned(), Verdict::NotTheirs),
        ];
        for (body, want) in table {
            assert_eq!(verdict(&body), want, "{body}");
        }
    }
}
