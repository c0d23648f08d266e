//! The table of webhook bodies, `tests/data/webhooks`: what Meta documents and what nobody should send, each with what must
//! come of it. The same rows are held against the splitter alone and against a router with a store.
//!
//! Every value of every part is compared, and Meta's own text byte for byte. Each row speaks of people and ids of its own,
//! since the store of all rows is one.

mod kinds;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use clientnumber::domain::Pii;
use clientnumber::router::split::{Content, Item, split};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::support::root;

/// The lines that are sold, and to whom.
const LINES: [(&str, &str); 2] = [("106540352242922", "atlas"), ("106540352242931", "rif")];
/// The account that the router's Portfolio owns.
const ACCOUNT: &str = "104";

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Documented,
    Invented,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    form: Form,
    body: String,
    #[serde(default = "taken")]
    status: u16,
    /// By company, in the order of the log.
    #[serde(default)]
    entries: BTreeMap<String, Vec<Entry>>,
    #[serde(default)]
    account: Vec<AccountField>,
    /// Reasons, in the order of the changes.
    #[serde(default)]
    quarantine: Vec<String>,
    /// So old that a router puts it away instead of storing what the splitter finds.
    #[serde(default)]
    late: bool,
}

fn taken() -> u16 {
    200
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    user_id: Option<String>,
    wa_id: Option<String>,
    name: Option<String>,
    username: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: String,
    #[serde(rename = "type")]
    kind_of_message: Option<String>,
    status: Option<String>,
    /// `hashed`: its kind's list or its field, and the hash of its text.
    meta_id: String,
    about: Option<String>,
    reply_to: Option<String>,
    refers_to: Option<String>,
    timestamp: Option<i64>,
    field: Option<String>,
    contact: Option<Person>,
    /// As right as `contact`: of a person whose ids change, the others.
    or_contact: Option<Person>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountField {
    field: String,
    time: Option<i64>,
}

/// What came of a body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    status: u16,
    entries: BTreeMap<String, Vec<Entry>>,
    account: Vec<AccountField>,
    quarantine: Vec<String>,
}

impl Row {
    fn expected(&self) -> Outcome {
        let Self { name: _, form: _, body: _, status, entries, account, quarantine, late: _ } = self;
        let (entries, account, quarantine) = (entries.clone(), account.clone(), quarantine.clone());
        Outcome { status: *status, entries, account, quarantine }
    }

    /// By a router, which knows what time it is.
    fn expected_now(&self) -> Outcome {
        let mut all = self.expected();
        if self.late {
            all.entries.clear();
            all.quarantine.push("too_old".to_owned());
        }
        all
    }
}

fn rows() -> Result<Vec<Row>> {
    let mut files: Vec<_> = std::fs::read_dir(root().join("tests/data/webhooks"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let text = lately(&std::fs::read_to_string(&file)?);
        let some: Vec<Row> = serde_yaml::from_str(&text).with_context(|| file.display().to_string())?;
        rows.extend(some);
    }
    Ok(rows)
}

/// The rows are as of their day; what is older than a week is put away. So the seconds of that day, in bodies and in what
/// is expected, become as many of today.
fn lately(text: &str) -> String {
    const DAY: &str = "1793";
    let from = Timestamp::now().as_second() - 200_000;
    let mut parts = text.split(DAY);
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..6).and_then(|digits| digits.parse::<i64>().ok()) {
            Some(seconds) if !moved.ends_with(|c: char| c.is_ascii_digit()) => {
                moved.push_str(&(from + seconds).to_string());
                moved.push_str(&part[6..]);
            }
            _ => moved.extend([DAY, part]),
        }
    }
    moved
}

fn plain(id: Option<&Pii<String>>) -> Option<String> {
    id.map(|id| id.expose().clone())
}

/// The id of what has none of its own is told as `hashed`, if it is the hash of this text.
fn meta_id(id: &str, kind: &str, field: Option<&String>, raw: &str) -> String {
    let name = match kind {
        "message" => "messages",
        "status" => "statuses",
        _ => field.map_or("", String::as_str),
    };
    let hashed = format!("{name} {}", hex::encode(Sha256::digest(raw.as_bytes())));
    if id == hashed { "hashed".to_owned() } else { id.to_owned() }
}

fn of_item(item: &Item) -> Entry {
    let kind = item.kind.as_str();
    Entry {
        kind: kind.to_owned(),
        kind_of_message: item.kind_of_message.clone(),
        status: item.status.clone(),
        meta_id: meta_id(item.meta_id.expose(), kind, item.field.as_ref(), item.raw.expose()),
        about: plain(item.about.as_ref()),
        reply_to: plain(item.reply_to.as_ref()),
        refers_to: plain(item.refers_to.as_ref()),
        timestamp: item.timestamp,
        field: item.field.clone(),
        contact: item.contact.as_ref().map(|hint| Person {
            user_id: plain(hint.user_id.as_ref()),
            wa_id: plain(hint.wa_id.as_ref()),
            name: plain(hint.name.as_ref()),
            username: plain(hint.username.as_ref()),
        }),
        or_contact: None,
    }
}

/// What the splitter makes of a body, sorted as lines, account and quarantine are, and the texts of the entries.
fn split_alone(body: &str) -> (Outcome, BTreeMap<String, Vec<String>>) {
    let (mut outcome, mut texts) = (Outcome { status: 200, ..Outcome::default() }, BTreeMap::<_, Vec<String>>::new());
    let Ok(changes) = split(body) else { return (Outcome { status: 400, ..outcome }, texts) };
    for change in changes {
        assert!(body.contains(change.text.expose().as_str()), "a change's text is another");
        match change.content {
            Content::Malformed => outcome.quarantine.push("malformed".into()),
            _ if change.entry_id != ACCOUNT => outcome.quarantine.push("foreign_account".into()),
            Content::Account { field, value } => {
                assert!(body.contains(&value), "an account's value is another");
                outcome.account.push(AccountField { field, time: change.entry_time });
            }
            Content::Line { phone_number_id, items, remainder } => {
                let Some((_, company)) = LINES.iter().find(|(line, _)| *line == phone_number_id.as_str()) else {
                    outcome.quarantine.push("unknown_number".into());
                    continue;
                };
                outcome.quarantine.extend(remainder.then(|| "malformed".to_owned()));
                for item in items {
                    let (entry, raw) = (of_item(&item), item.raw.expose());
                    assert!(body.contains(raw.as_str()), "an item's text is another");
                    let all = outcome.entries.entry((*company).to_owned()).or_default();
                    // The log takes each id once; what has none is known by its text.
                    if entry.meta_id == "hashed" || all.iter().all(|known| known.meta_id != entry.meta_id) {
                        all.push(entry);
                        texts.entry((*company).to_owned()).or_default().push(raw.clone());
                    }
                }
            }
        }
    }
    (outcome, texts)
}

/// Notes a failure when something else came than was expected; of the two contacts that an entry allows either is right.
fn compare(name: &str, mut expected: Outcome, got: &Outcome, failures: &mut Vec<String>) {
    for (company, all) in &mut expected.entries {
        for (index, entry) in all.iter_mut().enumerate() {
            let other = entry.or_contact.take();
            let found = got.entries.get(company).and_then(|got| got.get(index)).and_then(|got| got.contact.clone());
            if other.is_some() && other == found {
                entry.contact = other;
            }
        }
    }
    if *got != expected {
        failures.push(format!("{name}:\n  expected {expected:?}\n  got      {got:?}"));
    }
}

/// An error that names all of them.
fn none(failures: &[String], rows: usize) -> Result<()> {
    ensure!(failures.is_empty(), "{} of {rows} rows:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

#[test]
fn the_splitter_alone() -> Result<()> {
    let (rows, mut failures) = (rows()?, Vec::new());
    for row in &rows {
        compare(&row.name, row.expected(), &split_alone(&row.body).0, &mut failures);
    }
    none(&failures, rows.len())
}

#[test]
fn every_documented_kind_has_a_row() -> Result<()> {
    let rows = rows()?;
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    ensure!(names.len() == rows.len(), "two rows have one name");
    ensure!(rows.len() >= 120, "only {} rows", rows.len());
    let documented: BTreeSet<&str> = kinds::DOCUMENTED.iter().copied().collect();
    let mut there = BTreeSet::new();
    for row in rows.iter().filter(|row| row.form == Form::Documented) {
        let kinds = kinds::of(&row.body);
        ensure!(!kinds.is_empty(), "{}: a documented form without a kind", row.name);
        let unlisted: Vec<_> = kinds.iter().filter(|kind| !documented.contains(kind.as_str())).collect();
        ensure!(unlisted.is_empty(), "{}: {unlisted:?} is not in the list of kinds", row.name);
        there.extend(kinds);
    }
    let missing: Vec<_> = documented.iter().filter(|kind| !there.contains(**kind)).collect();
    ensure!(missing.is_empty(), "no row for {missing:?}");
    Ok(())
}
