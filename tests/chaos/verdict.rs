//! What became of it all: each device's set by the sender's book, and what is in quarantine. `figures` says how much of it
//! there was and how long answers took, `searched` whose texts stand where.
//!
//! Faults are gathered and told together. Must never judge by what the store says that it has.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use clientnumber::domain::PhoneNumberId;
use clientnumber::store::{Choice, QuarantineKeys};
use serde_json::Value;

use super::book::{self, Key};
use super::judge::{Truth, judge};
use super::plan::Shown;
use super::run::{Ended, Scene};
use super::{figures, searched};
use crate::support::router::QUARANTINE_KEY;

/// Judges all of it; what is to be told, as rows of a table.
pub async fn judged(scene: &Scene, ended: &Ended) -> Result<String> {
    let mut told = String::from("| what | how much |\n| --- | --- |\n");
    let owners: Vec<Option<usize>> = owners(scene, ended);
    let truth = truth(scene, ended, &owners);
    let mut faults = Vec::new();
    for ((items, company), counts) in ended.stored.iter().zip(&ended.whose).zip(&ended.counts) {
        let name = counts["name"].as_str().unwrap_or_default();
        faults.extend(judge(&truth, *company, items).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    faults.extend(same_for_all(ended));
    let logs = logs_of_devices(ended);
    faults.extend(quarantined(scene, ended, &truth, &logs, &mut told).await?);
    let count = faults.len();
    faults.truncate(40);
    ensure!(count == 0, "{count} faults, the first of them: {faults:#?}");
    figures::sent(scene, ended, &mut told)?;
    figures::delivered(ended, &mut told)?;
    figures::answers(ended, &mut told)?;
    searched::search(scene, ended, &owners, &truth, &mut told).await?;
    Ok(told)
}

/// Of each item of the plan, the company that may have it.
fn owners(scene: &Scene, ended: &Ended) -> Vec<Option<usize>> {
    let mut owners = vec![None; scene.plan.items.len()];
    for (post, entry) in scene.plan.posts.iter().zip(&ended.book) {
        for (line, items) in &post.changes {
            let owner = book::owner(&scene.plan, &scene.lines, &ended.hand_over, *line, entry.timestamp);
            items.iter().for_each(|item| owners[*item] = owner);
        }
    }
    owners
}

fn truth(scene: &Scene, ended: &Ended, owners: &[Option<usize>]) -> Truth {
    let (plan, lines) = (&scene.plan, &scene.lines);
    let companies = plan.size.companies;
    let mut truth = Truth {
        wanted: book::wanted(plan, lines, &ended.book, &ended.hand_over),
        sent: HashMap::new(),
        people: vec![BTreeSet::new(); companies],
        lines: lines.ids.iter().take(companies).map(|id| BTreeSet::from([id.clone()])).collect(),
        fences: vec![vec!["given 1".to_owned()]; companies],
    };
    for (post, entry) in plan.posts.iter().zip(&ended.book) {
        for index in post.changes.iter().flat_map(|(_, items)| items) {
            let (item, owner) = (&plan.items[*index], owners[*index]);
            truth.sent.insert(book::key(item), (book::content(plan, item, entry.timestamp), owner));
            if let Some(owner) = owner {
                let candidate = &plan.candidates[item.candidate];
                truth.people[owner].insert(candidate.user_id.clone());
                if candidate.shown != Shown::UserId {
                    truth.people[owner].insert(candidate.phone.clone());
                }
            }
        }
    }
    for company in [lines.from, lines.to] {
        truth.lines[company].insert(lines.ids[plan.moved()].clone());
    }
    truth.fences[lines.from].extend(["given 1".to_owned(), "taken 1".to_owned()]);
    truth.fences[lines.to].push("given 2".to_owned());
    truth
}

/// Where devices of one company differ.
fn same_for_all(ended: &Ended) -> Vec<String> {
    let mut first: HashMap<usize, &Vec<Value>> = HashMap::new();
    let mut faults = Vec::new();
    for (items, company) in ended.stored.iter().zip(&ended.whose) {
        if *first.entry(*company).or_insert(items) != items {
            faults.push(format!("two devices of company {company} have different logs"));
        }
    }
    faults
}

/// The keys that each company's devices have.
fn logs_of_devices(ended: &Ended) -> HashMap<Key, BTreeSet<usize>> {
    let mut all: HashMap<Key, BTreeSet<usize>> = HashMap::new();
    for (items, company) in ended.stored.iter().zip(&ended.whose) {
        for item in items {
            let (kind, id) = (item["kind"].as_str(), item["content"]["id"].as_str());
            if let (Some(kind @ ("message" | "status")), Some(id)) = (kind, id) {
                all.entry(format!("{kind} {id}")).or_default().insert(*company);
            }
        }
    }
    all
}

/// What is in quarantine must be there: of nobody's line, or too old for the new owner of the line that moved. What is of
/// these lines is in one company's log, or in quarantine.
async fn quarantined(
    scene: &Scene,
    ended: &Ended,
    truth: &Truth,
    logs: &HashMap<Key, BTreeSet<usize>>,
    told: &mut String,
) -> Result<Vec<String>> {
    let plan = &scene.plan;
    let quarantine = scene.bed.store.quarantine(QuarantineKeys::parse(QUARANTINE_KEY)?);
    let (mut faults, mut kept, mut changes) = (Vec::new(), BTreeSet::new(), 0);
    for (line, reason) in [(plan.moved(), "before_epoch"), (plan.nobodys(), "unknown_number")] {
        let id = PhoneNumberId::parse(scene.lines.ids[line].clone())?;
        let of_line = Choice { line: Some(id.clone()), ..Choice::default() };
        for change in quarantine.chosen(&of_line).await? {
            let change = quarantine.get(&change).await?.context("no key opens a change in quarantine")?;
            changes += 1;
            if change.reason != reason {
                faults.push(format!("a change of line {id} is in quarantine as {}", change.reason));
            }
            let value: Value = serde_json::from_str(change.body.expose())?;
            let messages = value["value"]["messages"].as_array().cloned().unwrap_or_default();
            for message in messages {
                let timestamp: i64 = message["timestamp"].as_str().unwrap_or_default().parse()?;
                if line == plan.moved() && timestamp >= ended.hand_over.epoch_at {
                    faults.push("a message of the new owner's time stays in quarantine".to_owned());
                }
                kept.insert(format!("message {}", message["id"].as_str().unwrap_or_default()));
            }
        }
    }
    let all = quarantine.count().await?;
    if all != changes {
        faults.push(format!("{all} changes are in quarantine, {changes} of them may be"));
    }
    let mut only_kept = 0;
    let watched = plan.items.iter().filter(|item| item.line == plan.moved() || item.line == plan.nobodys());
    for key in watched.map(book::key) {
        let holders = logs.get(&key).map_or(0, BTreeSet::len);
        match (holders, kept.contains(&key)) {
            (0, true) => only_kept += 1,
            (0, false) => faults.push(format!("in no log and not in quarantine: {key}")),
            (1, _) => {}
            (_, _) => faults.push(format!("in {holders} companies' logs: {key}")),
        }
    }
    let (from, to) = (&truth.wanted[scene.lines.from], scene.lines.to);
    let late = from.may.iter().filter(|key| logs.contains_key(*key)).count();
    writeln!(
        told,
        "| moved line: answered after the hand-over began, in its former owner's log | {late} of {} |",
        from.may.len()
    )?;
    let of = |key: &&Key| truth.sent.get(*key).is_some_and(|(_, owner)| *owner == Some(to));
    let moved: Vec<Key> = plan.items.iter().filter(|item| item.line == plan.moved()).map(book::key).collect();
    let new = moved.iter().filter(of).count();
    writeln!(told, "| moved line: messages for its new owner | {new} of {} |", moved.len())?;
    if new * 8 < moved.len() {
        faults.push(format!("the new owner of the moved line gets {new} of {} messages", moved.len()));
    }
    writeln!(told, "| changes in quarantine at the end, of the moved line and of nobody's | {changes} |")?;
    writeln!(told, "| messages in quarantine only | {only_kept} |")?;
    Ok(faults)
}
