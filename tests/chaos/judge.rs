//! Whether a recruiter's device has exactly its company's set: by the sender's book, item by item.
//!
//! Pure. Must never take a device's word for whose an item is: the book says that.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::book::{Key, Wanted};

/// What is known of all companies.
pub struct Truth {
    /// Of each company.
    pub wanted: Vec<Wanted>,
    /// Each item's content as it was sent, and where it may be: companies by their place.
    pub sent: HashMap<Key, (Value, Option<usize>)>,
    /// Ids of candidates (BSUIDs, phone numbers) by company.
    pub people: Vec<BTreeSet<String>>,
    /// The lines' ids that each company has or had.
    pub lines: Vec<BTreeSet<String>>,
    /// What the log itself says of lines, for each company: `given 1`, `taken 1`.
    pub fences: Vec<Vec<String>>,
}

/// At most so many of a device's faults are told.
const TOLD: usize = 5;

/// A device's faults; none: it has its company's set, ascending, without gap, nothing foreign, nothing twice, each item as
/// it was sent.
pub fn judge(truth: &Truth, company: usize, items: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    let mut fences = Vec::new();
    let mut held: HashMap<&str, bool> = HashMap::new();
    let mut due = 1;
    for item in items {
        let seq = item["seq"].as_i64().unwrap_or(-1);
        if seq != due {
            faults.push(format!("seq {seq} where {due} is due"));
        }
        due = seq + 1;
        let line = item["line"]["phone_number_id"].as_str().unwrap_or_default();
        if !truth.lines[company].contains(line) {
            faults.push(format!("seq {seq} is of the line {line:?}, which is another company's"));
        }
        match item["kind"].as_str().unwrap_or_default() {
            kind @ ("message" | "status") => {
                if !held.get(line).copied().unwrap_or_default() {
                    faults.push(format!(
                        "seq {seq} was written past a fence: the log does not hold the line {line:?} here"
                    ));
                }
                let key = format!("{kind} {}", item["content"]["id"].as_str().unwrap_or_default());
                match truth.sent.get(&key) {
                    None => faults.push(format!("seq {seq} was never sent: {key}")),
                    Some((_, owner)) if *owner != Some(company) => {
                        faults.push(format!("seq {seq} is foreign, of company {owner:?}: {key}"));
                    }
                    Some((content, _)) if *content != item["content"] => {
                        faults.push(format!("seq {seq} is not as it was sent: {key}"));
                    }
                    Some(_) => {}
                }
                if !seen.insert(key.clone()) {
                    faults.push(format!("seq {seq} came twice: {key}"));
                }
            }
            "event" if item["field"] == "line" => {
                let content = &item["content"];
                held.insert(line, content["action"] == "given");
                fences.push(format!("{} {}", content["action"].as_str().unwrap_or_default(), content["epoch"]));
            }
            "contact" => {}
            other => faults.push(format!("seq {seq} is of an unexpected kind: {other}")),
        }
        for id in ["user_id", "wa_id"].iter().filter_map(|id| item["contact"][id].as_str()) {
            if !truth.people[company].contains(id) {
                faults.push(format!("seq {seq} tells of a candidate of another company"));
            }
        }
    }
    let Wanted { must, may } = &truth.wanted[company];
    let missing: Vec<_> = must.difference(&seen).collect();
    if let Some(first) = missing.first() {
        faults.push(format!("{} of {} are missing, {first} among them", missing.len(), must.len()));
    }
    if let Some(more) = seen.iter().find(|key| !must.contains(*key) && !may.contains(*key)) {
        faults.push(format!("more than its company's set: {more}"));
    }
    if fences != truth.fences[company] {
        faults.push(format!("the log's own entries are {fences:?}, not {:?}", truth.fences[company]));
    }
    let more = faults.len().saturating_sub(TOLD);
    faults.truncate(TOLD);
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two companies; the first has three messages, the second one.
    fn truth() -> Truth {
        let sent = |id: &str, owner| (format!("message {id}"), (json!({"id": id, "text": id}), Some(owner)));
        let set = |ids: &[&str]| ids.iter().map(|id| format!("message {id}")).collect::<BTreeSet<_>>();
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        Truth {
            wanted: vec![
                Wanted { must: set(&["a", "b"]), may: set(&["c"]) },
                Wanted { must: set(&["z"]), may: BTreeSet::new() },
            ],
            sent: [sent("a", 0), sent("b", 0), sent("c", 0), sent("z", 1)].into(),
            people: vec![texts(&["MA.1"]), texts(&["MA.9"])],
            lines: vec![texts(&["101"]), texts(&["102"])],
            fences: vec![vec!["given 1".into()], vec!["given 1".into()]],
        }
    }

    fn fence(seq: i64) -> Value {
        let content = json!({"action": "given", "epoch": 1});
        json!({"seq": seq, "kind": "event", "field": "line", "line": {"phone_number_id": "101"}, "content": content})
    }

    fn message(seq: i64, id: &str) -> Value {
        json!({
            "seq": seq, "kind": "message", "line": {"phone_number_id": "101"}, "contact": {"id": "k", "user_id": "MA.1"},
            "content": {"id": id, "text": id},
        })
    }

    #[test]
    fn a_device_that_has_its_companys_set() {
        for good in [
            vec![fence(1), message(2, "a"), message(3, "b")],
            vec![fence(1), message(2, "c"), message(3, "b"), message(4, "a")],
        ] {
            assert_eq!(judge(&truth(), 0, &good), [""; 0]);
        }
    }

    #[test]
    fn a_fence_is_respected() {
        let taken = |seq: i64| {
            let content = json!({"action": "taken", "epoch": 1});
            json!({"seq": seq, "kind": "event", "field": "line", "line": {"phone_number_id": "101"}, "content": content})
        };
        let mut truth = truth();
        truth.fences[0].push("taken 1".into());
        let before = vec![fence(1), message(2, "a"), message(3, "b"), taken(4)];
        assert_eq!(judge(&truth, 0, &before), [""; 0]);
        let after = vec![fence(1), message(2, "a"), taken(3), message(4, "b")];
        assert!(judge(&truth, 0, &after)[0].contains("past a fence"));
        truth.fences[0].pop();
        assert!(judge(&truth, 0, &[message(1, "a"), fence(2), message(3, "b")])[0].contains("past a fence"));
    }

    #[test]
    fn every_fault_is_found() {
        let all = [fence(1), message(2, "a"), message(3, "b")];
        let with = |more: &[Value]| [&all[..], more].concat();
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut item = message(4, "c");
            change(&mut item);
            with(&[item])
        };
        for (what, items, told) in [
            ("nothing came", vec![], "2 of 2 are missing"),
            ("one item was dropped, its seq too", vec![fence(1), message(2, "a")], "1 of 2 are missing, message b"),
            ("one item was dropped", vec![fence(1), message(3, "b")], "seq 3 where 2 is due"),
            ("out of order", vec![fence(1), message(3, "b"), message(2, "a")], "seq 3 where 2 is due"),
            ("a page twice", with(&all), "seq 1 where 4 is due"),
            ("one message under two seqs", with(&[message(4, "a")]), "seq 4 came twice"),
            ("a foreign item", with(&[message(4, "z")]), "seq 4 is foreign, of company Some(1)"),
            ("one that nobody sent", with(&[message(4, "y")]), "seq 4 was never sent"),
            ("a changed text", changed(&|item| item["content"]["text"] = json!("d")), "not as it was sent"),
            ("of a foreign line", changed(&|item| item["line"]["phone_number_id"] = json!("102")), "another company's"),
            ("of a foreign candidate", changed(&|item| item["contact"]["user_id"] = json!("MA.9")), "a candidate of"),
            ("of a kind that was not sent", changed(&|item| item["kind"] = json!("sent")), "unexpected kind"),
            ("a fence too many", with(&[fence(4)]), "the log's own entries are"),
        ] {
            let faults = judge(&truth(), 0, &items);
            assert!(faults.iter().any(|fault| fault.contains(told)), "{what}: {faults:?}");
        }
        // What nobody may have: a line without an owner.
        let mut truth = truth();
        truth.sent.insert("message n".into(), (json!({"id": "n", "text": "n"}), None));
        assert!(judge(&truth, 0, &with(&[message(4, "n")]))[0].contains("foreign, of company None"));
    }
}
