//! The log's rules without a store: what may follow what.

use std::collections::HashMap;

use clientnumber::domain::Pii;
use clientnumber::store::{FenceAction, LogEntry};

/// An entry as far as the rules speak of it.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    seq: i64,
    id: String,
    line: String,
    epoch: i64,
    fence: Option<FenceAction>,
    /// The candidate, and our id of them.
    contact: Option<(String, String)>,
}

impl Fact {
    pub fn of(entry: &LogEntry) -> Option<Self> {
        let text = |id: &Option<Pii<String>>| id.as_ref().map(|id| id.expose().clone());
        let user = entry.contact.as_ref().and_then(|contact| text(&contact.user_id));
        Some(Self {
            seq: entry.seq,
            id: text(&entry.meta_id)?,
            line: entry.line.as_ref()?.phone_number_id.to_string(),
            epoch: entry.epoch?,
            fence: entry.action,
            contact: user.zip(entry.contact_id.clone()),
        })
    }
}

/// What a log may hold: a reader's own memory of it, entry by entry.
#[derive(Default)]
pub struct Rules {
    pub head: i64,
    pub ids: HashMap<String, i64>,
    pub lines: HashMap<String, (i64, FenceAction)>,
    contacts: HashMap<String, String>,
}

impl Rules {
    /// Takes in what comes next, or says which rule it breaks.
    pub fn take(&mut self, fact: &Fact) -> Result<(), String> {
        let broken = |rule: &str| Err(format!("{rule}: {fact:?} after {}", self.head));
        if fact.seq != self.head + 1 {
            return broken("a gap, or a reader ahead of the writers");
        }
        if self.ids.contains_key(&fact.id) {
            return broken("a double");
        }
        match (fact.fence, self.lines.get(&fact.line)) {
            (Some(_), Some((epoch, _))) if fact.epoch < *epoch => return broken("a fence of the past"),
            (None, Some((epoch, FenceAction::Given))) if fact.epoch == *epoch => {}
            (None, _) => return broken("past a fence"),
            (Some(_), _) => {}
        }
        if let Some((user, ours)) = &fact.contact
            && self.contacts.get(user).is_some_and(|known| known != ours)
        {
            return broken("a second id of one candidate");
        }
        self.head = fact.seq;
        self.ids.insert(fact.id.clone(), fact.seq);
        self.contacts.extend(fact.contact.clone());
        if let Some(action) = fact.fence {
            self.lines.insert(fact.line.clone(), (fact.epoch, action));
        }
        Ok(())
    }
}

#[test]
fn the_rules_see_what_breaks_them() {
    use FenceAction::{Given, Taken};
    let fact = |seq, id: &str, epoch, fence, ours: &str| Fact {
        seq,
        id: id.into(),
        line: "1".into(),
        epoch,
        fence,
        contact: (!ours.is_empty()).then(|| ("MA.1".into(), ours.into())),
    };
    let table = [
        ("a gap", fact(5, "c", 1, None, "")),
        ("a place that is taken", fact(3, "c", 1, None, "")),
        ("a double", fact(4, "a", 1, None, "c1")),
        ("past a fence", fact(4, "c", 2, None, "")),
        ("a fence of the past", fact(4, "f", 0, Some(Taken), "")),
        ("a second id", fact(4, "c", 1, None, "c2")),
    ];
    for (name, bad) in table {
        let mut rules = Rules::default();
        for good in [fact(1, "g", 1, Some(Given), ""), fact(2, "a", 1, None, "c1"), fact(3, "b", 1, None, "c1")] {
            assert_eq!(rules.take(&good), Ok(()));
        }
        assert!(rules.take(&bad).is_err(), "{name}");
        assert_eq!(rules.take(&fact(4, "t", 1, Some(Taken), "")), Ok(()));
        assert!(rules.take(&fact(5, "late", 1, None, "")).is_err(), "{name}");
    }
}
