//! What became of it all: each device's set by the sender's book, whose texts stand where, how long answers took.
//!
//! Faults are gathered and told together. Must never pass a run in which hardly anything went wrong.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use clientnumber::domain::PhoneNumberId;
use clientnumber::store::QuarantineKeys;
use mongodb::bson::doc;
use serde_json::Value;

use super::book::{self, Key};
use super::judge::{Truth, judge};
use super::leaks::Markers;
use super::plan::Shown;
use super::run::{Ended, Scene};
use super::sender::{Attempt, End};
use super::walk::{self, Place};
use crate::support::router::QUARANTINE_KEY;

/// While the store is there, a replica whose sister is killed answers sooner.
pub const ANSWER: Duration = Duration::from_secs(2);
/// What comes so soon after a kill would meet whatever it left behind.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// So long after its return the store is not yet taken for there: drivers notice it by their own clocks.
const RETURN: Duration = Duration::from_secs(5);

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
    ensure!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
    sent(scene, ended, &mut told)?;
    delivered(ended, &mut told)?;
    answers(ended, &mut told)?;
    searched(scene, ended, &owners, &truth, &mut told).await?;
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
        for change in quarantine.of_line(&id, true, i64::MAX - 1).await? {
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
    writeln!(told, "| moved line: messages for its new owner | {} |", {
        let of = |key: &&Key| truth.sent.get(*key).is_some_and(|(_, owner)| *owner == Some(to));
        let moved: Vec<Key> = plan.items.iter().filter(|item| item.line == plan.moved()).map(book::key).collect();
        moved.iter().filter(of).count()
    })?;
    writeln!(told, "| changes in quarantine at the end, of the moved line and of nobody's | {changes} |")?;
    writeln!(told, "| messages in quarantine only | {only_kept} |")?;
    Ok(faults)
}

fn sent(scene: &Scene, ended: &Ended, told: &mut String) -> Result<()> {
    let (plan, attempts) = (&scene.plan, &ended.attempts);
    let repeated = plan.posts.iter().filter(|post| post.repeated.is_some()).count();
    let count = |is: &dyn Fn(End) -> bool| attempts.iter().filter(|attempt| is(attempt.end)).count();
    let (lost, broken) = (count(&|end| end == End::Lost), count(&|end| end == End::Broken));
    let away = count(&|end| end == End::Status(503));
    let other: BTreeSet<u16> = attempts
        .iter()
        .filter_map(|attempt| match attempt.end {
            End::Status(status) if status != 200 && status != 503 => Some(status),
            _ => None,
        })
        .collect();
    ensure!(other.is_empty(), "answers that nothing of this explains: {other:?}");
    let (posts, mixed) = (plan.posts.len(), plan.mixed());
    ensure!(mixed * 5 >= posts && repeated * 10 >= posts, "{mixed} of {posts} POSTs are mixed, {repeated} repeated");
    ensure!(lost > 0 && broken > 0 && away > 0, "{lost} answers lost, {broken} connections broken, {away} times away");
    let first = ended.book.iter().map(|entry| entry.timestamp).min().context("nothing was sent")?;
    let last = ended.book.iter().map(|entry| entry.timestamp).max().context("nothing was sent")?;
    for (what, how_much) in [
        ("POSTs", posts),
        ("messages in them", plan.messages()),
        ("statuses beside them", plan.items.len() - plan.messages()),
        ("POSTs of three companies and more", mixed),
        ("POSTs sent twice although answered", repeated),
        ("attempts", attempts.len()),
        ("... answered 503", away),
        ("... without a connection, or one that broke", broken),
        ("... whose answer 200 got lost", lost),
        ("replicas killed", ended.killed.len()),
        ("connections of recruiters cut on the way", ended.cut[0]),
        ("connections of Meta's cut on the way", ended.cut[1] + ended.cut[2]),
    ] {
        writeln!(told, "| {what} | {how_much} |")?;
    }
    writeln!(told, "| from the first POST to the last | {} s |", last - first)?;
    let away: Vec<String> =
        ended.away.iter().map(|(from, to)| format!("{:.1} s", (*to - *from).as_secs_f64())).collect();
    writeln!(told, "| the store away | {} |", away.join(", "))?;
    Ok(())
}

fn delivered(ended: &Ended, told: &mut String) -> Result<()> {
    let sum = |name: &str| ended.counts.iter().filter_map(|device| device[name].as_u64()).sum::<u64>();
    let items: usize = ended.stored.iter().map(Vec::len).sum();
    let received = sum("received");
    ensure!(sum("lost") > 0 && sum("cut") > 0 && sum("torn") > 0 && sum("reloads") > 0, "no device had any bad luck");
    for (what, how_much) in [
        ("devices", ended.stored.len() as u64),
        ("items that they have, all together", items as u64),
        ("items that came again and were left out by the client's rule", received.saturating_sub(items as u64)),
        ("pages", sum("pages")),
        ("acks lost", sum("lost")),
        ("connections made", sum("welcomes")),
        ("connections broken by the client", sum("cut") + sum("torn")),
        ("pages reloaded", sum("reloads")),
    ] {
        writeln!(told, "| {what} | {how_much} |")?;
    }
    writeln!(
        told,
        "| every device had all of it after the last answer within | {:.1} s |",
        ended.caught_up.as_secs_f64()
    )?;
    Ok(())
}

/// How long answers took while the store was there. Of a replica whose sister is killed none takes longer than is promised,
/// neither of those on their way at that moment nor of those that come in the next ones.
fn answers(ended: &Ended, told: &mut String) -> Result<()> {
    let store_was_there = |attempt: &&Attempt| {
        let over: Instant = attempt.began + attempt.took;
        ended.away.iter().all(|(from, to)| over < *from || attempt.began > *to + RETURN)
    };
    let mut there: Vec<&Attempt> = ended.attempts.iter().filter(store_was_there).collect();
    there.sort_by_key(|attempt| attempt.took);
    ensure!(there.len() * 2 > ended.book.len(), "the store was away nearly all the time");
    for replica in 0..2 {
        let answered = there.iter().filter(|a| a.replica == replica && a.end == End::Status(200)).count();
        ensure!(answered * 10 > there.len(), "replica {replica} answered {answered} of {}", there.len());
    }
    let lives = |attempt: &&&Attempt| {
        let mut kills = ended.killed.iter().enumerate();
        kills.any(|(n, at)| {
            let amid = attempt.began < *at + AFTERWARDS && attempt.began + attempt.took > *at;
            amid && n % 2 != attempt.replica
        })
    };
    let beside: Vec<&Attempt> = there.iter().filter(lives).copied().collect();
    for (what, attempts) in [("answers", &there), ("... of a replica whose sister is killed", &beside)] {
        ensure!(attempts.len() >= ended.killed.len(), "hardly any answers");
        let at = |part: f64| attempts[((attempts.len() - 1) as f64 * part) as usize].took.as_millis();
        let (count, p50, p99, longest) = (attempts.len(), at(0.5), at(0.99), at(1.0));
        writeln!(
            told,
            "| {what} while the store was there, p50, p99, longest | {count}: {p50}, {p99}, {longest} ms |"
        )?;
    }
    let away = there.iter().filter(|attempt| attempt.end == End::Status(503)).count();
    writeln!(told, "| 503 among them (a replica that has just started, a store that is slow) | {away} |")?;
    let slow: Vec<_> = beside.iter().filter(|attempt| attempt.took >= ANSWER).collect();
    ensure!(slow.is_empty(), "{} answers beside a kill took longer than {ANSWER:?}: {slow:?}\n{told}", slow.len());
    Ok(())
}

async fn searched(
    scene: &Scene,
    ended: &Ended,
    owners: &[Option<usize>],
    truth: &Truth,
    told: &mut String,
) -> Result<()> {
    let plan = &scene.plan;
    let keys: Vec<Key> = plan.items.iter().map(book::key).collect();
    let certain = truth.wanted.iter().enumerate();
    let certain = certain.flat_map(|(n, wanted)| wanted.must.iter().map(move |key| (key.clone(), n))).collect();
    let markers = Markers::new(plan, &keys, owners, &certain);
    let databases: Vec<String> = scene.companies.iter().map(|company| company.db.name().to_owned()).collect();
    let client = scene.bed.mongo.client().await?;

    let places = walk::store(&client, &markers.finder).await?;
    let mut faults = markers.misplaced(&places, &databases);
    faults.extend(markers.unseen(&places, &databases));
    for collection in ["routes", "companies", "quarantine", "account_events", "line_activity", "sessions"] {
        let place = places.get(&("clientnumber".to_owned(), collection.to_owned()));
        if place.is_none_or(|place| place.documents == 0) {
            faults.push(format!("nothing was searched in clientnumber.{collection}"));
        }
    }
    let (mut logs, mut metrics) = (0, 0);
    for name in ["router-1.log", "router-2.log"] {
        let place = walk::file(&scene.dir.join(name), &markers.finder)?;
        logs += place.bytes;
        faults.extend(markers.any(name, &place));
    }
    for text in &ended.metrics {
        let place = walk::bytes(text.as_bytes(), &markers.finder);
        metrics += place.bytes;
        faults.extend(markers.any("/metrics", &place));
    }
    let more = faults.len().saturating_sub(20);
    faults.truncate(20);
    ensure!(faults.is_empty(), "leaks, or a blind search: {faults:#?} and {more} more");
    ensure!(logs > 1_000_000 && metrics > 100_000, "only {logs} bytes of logs and {metrics} of metrics were searched");
    can_fail(&client, &markers, &databases).await?;

    let documents: usize = places.values().map(|place| place.documents).sum();
    let bytes: usize = places.values().map(|place| place.bytes).sum();
    let mega = |bytes: usize| bytes as f64 / 1e6;
    let found: Vec<String> = markers.seen(&places).iter().map(|(what, n)| format!("{n} {what}")).collect();
    writeln!(told, "| texts looked for, each plain and in base64 | {} |", markers.finder.texts())?;
    writeln!(told, "| ... found, each in its own company's database only | {} |", found.join(", "))?;
    writeln!(told, "| searched: collections, documents | {}, {documents} ({:.1} MB) |", places.len(), mega(bytes))?;
    writeln!(told, "| searched: logs at trace, metrics | {:.1} MB, {:.1} MB |", mega(logs), mega(metrics))?;
    Ok(())
}

/// The search finds what is planted: a text of one company, in base64, in another one's database and in the platform's.
async fn can_fail(client: &mongodb::Client, markers: &Markers, databases: &[String]) -> Result<()> {
    let (_, (number, text)) = markers.samples.first_key_value().context("no text to plant")?;
    let hidden = base64::engine::general_purpose::STANDARD.encode(format!("xy{text}z"));
    let other = databases.last().context("no database")?;
    let planted = [(other.as_str(), "usage"), ("clientnumber", "line_activity")];
    for (database, collection) in planted {
        client.database(database).collection(collection).insert_one(doc! {"planted": {"deep": [&hidden]}}).await?;
    }
    let places = walk::store(client, &markers.finder).await?;
    let found = markers.misplaced(&places, databases);
    ensure!(found.len() == 2, "planted in two places was text {number}, found was: {found:?}");
    let log = Place { documents: 1, ..walk::bytes(format!("msg={hidden}").as_bytes(), &markers.finder) };
    ensure!(markers.any("a log", &log).len() == 1, "what is planted in a log is not found");
    Ok(())
}
