//! The sender's own book: what was sent by whom to whose line, when, and what was answered. What each company must have
//! follows from it and from the moment of the hand-over; the store is not asked.
//!
//! Pure but for the clock's readings that are handed in. Must never know anything of what was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use super::plan::{Item, Kind, Line, Plan, Shown};

/// What an item is recognised by: kind and wamid.
pub type Key = String;

/// What became of one POST.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Meta's time of all that is in it, seconds since 1970: when it was sent first.
    pub timestamp: i64,
    /// When 200 came; None: not yet.
    pub answered: Option<Instant>,
}

/// When the line changed hands.
#[derive(Clone, Copy, Debug)]
pub struct HandOver {
    /// The route still was the former owner's.
    pub begun: Instant,
    /// Meta's times from here on are the new owner's.
    pub epoch_at: i64,
}

/// Who has which line.
#[derive(Clone, Debug)]
pub struct Lines {
    /// The Meta ids, by line.
    pub ids: Vec<String>,
    /// The company that had the line that moves, and the one that has it.
    pub from: usize,
    pub to: usize,
}

/// What one company must have, and what it may have.
#[derive(Default, Debug)]
pub struct Wanted {
    pub must: BTreeSet<Key>,
    pub may: BTreeSet<Key>,
}

/// The key of an item.
pub fn key(item: &Item) -> Key {
    match item.kind {
        Kind::Status => format!("status {}", item.wamid),
        _ => format!("message {}", item.wamid),
    }
}

/// An item's own JSON.
pub fn content(plan: &Plan, item: &Item, timestamp: i64) -> Value {
    let candidate = &plan.candidates[item.candidate];
    let (user, phone) = shown(item, plan);
    let mut content = json!({"id": item.wamid, "timestamp": timestamp.to_string()});
    let (user_key, phone_key) = match item.kind {
        Kind::Status => ("recipient_user_id", "recipient_id"),
        _ => ("from_user_id", "from"),
    };
    if user {
        content[user_key] = json!(candidate.user_id);
    }
    if phone {
        content[phone_key] = json!(candidate.phone);
    }
    match item.kind {
        Kind::Status => content["status"] = json!("delivered"),
        Kind::Text => {
            content["type"] = json!("text");
            content["text"] = json!({"body": item.text});
        }
        Kind::Image => {
            content["type"] = json!("image");
            content["image"] = json!({"id": item.media_id, "mime_type": "image/jpeg", "caption": item.text});
        }
        Kind::New => {
            content["type"] = json!("not_known_yet");
            content["not_known_yet"] = json!({"said": item.text, "document": {"id": item.media_id}});
        }
    }
    if let Some(answers) = item.answers {
        content["context"] = json!({"id": plan.items[answers].wamid});
    }
    content
}

fn shown(item: &Item, plan: &Plan) -> (bool, bool) {
    (shows_user_id(plan, item), item.with_phone)
}

/// Whether a webhook shows the candidate's BSUID with it.
pub fn shows_user_id(plan: &Plan, item: &Item) -> bool {
    plan.candidates[item.candidate].shown != Shown::Phone
}

/// A POST's body, as Meta writes it.
pub fn body(plan: &Plan, lines: &Lines, post: usize, timestamp: i64) -> String {
    let post = &plan.posts[post];
    let mut changes: Vec<Value> = post
        .changes
        .iter()
        .map(|(line, items)| {
            let items: Vec<&Item> = items.iter().map(|item| &plan.items[*item]).collect();
            let texts = |status: bool| {
                let of = items.iter().filter(|item| (item.kind == Kind::Status) == status);
                of.map(|item| content(plan, item, timestamp)).collect::<Vec<_>>()
            };
            let mut contacts: BTreeMap<usize, Value> = BTreeMap::new();
            for item in &items {
                let candidate = &plan.candidates[item.candidate];
                let contact =
                    contacts.entry(item.candidate).or_insert_with(|| json!({"profile": {"name": candidate.name}}));
                let (user, phone) = shown(item, plan);
                if user {
                    contact["user_id"] = json!(candidate.user_id);
                }
                if phone {
                    contact["wa_id"] = json!(candidate.phone);
                }
            }
            let mut value = json!({
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "212500000000", "phone_number_id": lines.ids[*line]},
                "contacts": contacts.into_values().collect::<Vec<_>>(),
            });
            for (name, texts) in [("messages", texts(false)), ("statuses", texts(true))] {
                if !texts.is_empty() {
                    value[name] = json!(texts);
                }
            }
            json!({"field": "messages", "value": value})
        })
        .collect();
    if post.account {
        let event = json!({"event": "PENDING_DELETION", "message_template_id": timestamp});
        changes.push(json!({"field": "message_template_status_update", "value": event}));
    }
    json!({"object": "whatsapp_business_account", "entry": [{"id": "104", "time": timestamp, "changes": changes}]})
        .to_string()
}

/// The companies that may have an item of a line with this time: one, or none.
pub fn owner(plan: &Plan, lines: &Lines, hand_over: &HandOver, line: Line, timestamp: i64) -> Option<usize> {
    match line {
        line if line == plan.nobodys() => None,
        line if line == plan.moved() => Some(if timestamp < hand_over.epoch_at { lines.from } else { lines.to }),
        line => Some(line),
    }
}

/// What each company must have and may have.
pub fn wanted(plan: &Plan, lines: &Lines, entries: &[Entry], hand_over: &HandOver) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = (0..plan.size.companies).map(|_| Wanted::default()).collect();
    for (post, entry) in plan.posts.iter().zip(entries) {
        for (line, items) in &post.changes {
            let Some(owner) = owner(plan, lines, hand_over, *line, entry.timestamp) else { continue };
            // What was answered before the hand-over is in the former owner's log. The rest that is older than the new
            // owner's time may be there, or it came too late for both.
            let late = *line == plan.moved()
                && owner == lines.from
                && entry.answered.is_none_or(|answered| answered >= hand_over.begun);
            let wanted = if late { &mut all[owner].may } else { &mut all[owner].must };
            wanted.extend(items.iter().map(|item| key(&plan.items[*item])));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Size;

    #[test]
    fn whose_an_item_of_the_moved_line_is() {
        let plan = Plan::draw(3, Size { companies: 4, posts: 200, messages: 400 });
        let lines = Lines { ids: (0..6).map(|n| n.to_string()).collect(), from: 1, to: 2 };
        let begun = Instant::now();
        let hand_over = HandOver { begun, epoch_at: 100 };
        let entry = |timestamp, answered| Entry { timestamp, answered };
        let before = begun.checked_sub(Duration::from_secs(1));
        let after = Some(begun + Duration::from_secs(1));
        let moved = |company: &Wanted| {
            let ours: BTreeSet<Key> = plan.items.iter().filter(|i| i.line == plan.moved()).map(key).collect();
            (company.must.intersection(&ours).count(), company.may.intersection(&ours).count())
        };
        let all = plan.items.iter().filter(|item| item.line == plan.moved()).count();
        assert!(all > 10);
        // Time, answer; what the former and the new owner must and may have.
        for (timestamp, answered, from, to) in [
            (99, before, (all, 0), (0, 0)),
            (99, after, (0, all), (0, 0)),
            (99, None, (0, all), (0, 0)),
            (100, after, (0, 0), (all, 0)),
        ] {
            let wanted = wanted(&plan, &lines, &vec![entry(timestamp, answered); 200], &hand_over);
            assert_eq!((moved(&wanted[1]), moved(&wanted[2])), (from, to), "{timestamp}");
            let nobodys = plan.items.iter().find(|item| item.line == plan.nobodys()).map(key).unwrap();
            assert!(wanted.iter().all(|company| !company.must.contains(&nobodys) && !company.may.contains(&nobodys)));
        }
    }
}
