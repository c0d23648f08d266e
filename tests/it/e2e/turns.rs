//! Turns: of many lines at most `concurrentOnboardings` await a code at the same time, the oldest first; who can't go on,
//! since its budget is used up or its number can't be armed, holds up nobody.
//!
//! Witnesses are the sandbox's journal (which number was given the recording application, and when it lost it) and every
//! state of every line that a watch shows. Order is judged by events, never by how long something took.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use futures::TryStreamExt;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use super::steps::{binary, patch_portfolio, reason_of};
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

/// Fifty lines on two cores, beside other tests.
const LONG: Duration = Duration::from_secs(240);
const TURNS: usize = 4;

/// One state of a line.
#[derive(Debug, Clone, PartialEq)]
struct State {
    name: String,
    created: Timestamp,
    number_id: Option<String>,
    armed: bool,
    ready: bool,
    reason: String,
}

/// Every state of every line from now on, in the order of the API server.
type History = Arc<Mutex<Vec<State>>>;

fn follow(api: Api<ClientNumber>) -> History {
    let history = History::default();
    let into = history.clone();
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
        while let Ok(Some(line)) = stream.try_next().await {
            let reason = reason_of(&line);
            let created = line.metadata.creation_timestamp.as_ref().map(|t| t.0).unwrap_or_default();
            let status = line.status.clone().unwrap_or_default();
            into.lock().unwrap_or_else(PoisonError::into_inner).push(State {
                name: line.name_any(),
                created,
                number_id: status.purchase.and_then(|p| p.number_id),
                armed: status.verification.is_some_and(|v| v.armed_at.is_some()),
                ready: reason == "Ready",
                reason,
            });
        }
    });
    history
}

fn states(history: &History) -> Vec<State> {
    history.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The newest state of each line.
fn newest(history: &History) -> BTreeMap<String, State> {
    states(history).into_iter().map(|state| (state.name.clone(), state)).collect()
}

/// The most lines that were armed at the same time, by their status.
fn most_armed(states: &[State]) -> usize {
    let mut armed = BTreeSet::new();
    let mut most = 0;
    for state in states {
        if state.armed {
            armed.insert(&state.name)
        } else {
            armed.remove(&state.name)
        };
        most = most.max(armed.len());
    }
    most
}

/// A number began to record, or ended.
#[derive(Debug, Clone, PartialEq)]
struct Switch {
    number_id: String,
    records: bool,
}

/// Every change of a number's application, as it took effect, in order.
fn switches(journal: &[Value], capture: &str) -> Vec<Switch> {
    let changes = journal.iter().filter(|e| e["operation"] == "telnyx.update_number" && e["status"] == 200);
    let switch = |entry: &Value| {
        let number_id = entry["path"].as_str()?.rsplit('/').next()?.to_owned();
        Some(Switch { number_id, records: entry["body"]["connection_id"].as_str()? == capture })
    };
    changes.filter_map(switch).collect()
}

/// What is wrong with the order in which numbers began to record. `lines`: number and time of creation of all that waited
/// for a turn when the first of them could have one. A line may begin when it finds a turn free beside those that record
/// and those that wait and are older.
fn out_of_turn(switches: &[Switch], lines: &BTreeMap<String, Timestamp>, turns: usize) -> Vec<String> {
    let (mut records, mut begun) = (BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for switch in switches {
        if !switch.records {
            records.remove(&switch.number_id);
            continue;
        }
        if !records.insert(&switch.number_id) {
            continue;
        }
        if records.len() > turns {
            wrong.push(format!("{} numbers record at the same time: {records:?}", records.len()));
        }
        let Some(created) = lines.get(&switch.number_id) else { continue };
        begun.insert(&switch.number_id);
        let older = lines.iter().filter(|(id, other)| *other < created && !begun.contains(id)).count();
        if records.len() + older > turns {
            let held = records.len() - 1;
            wrong
                .push(format!("{} began while {held} others recorded and {older} older ones waited", switch.number_id));
        }
    }
    wrong
}

/// A world whose providers are fast, and whose codes live long enough for all lines to come to their turn meanwhile.
async fn world(name: &str, scale: f64, limits: Value) -> Result<(World, History)> {
    let plane = ControlPlane::shared().await?;
    let options = WorldOptions { speed: 0.01, scale, ..WorldOptions::default() };
    let mut world = World::start(plane, binary(), &run_dir(name)?, options).await?;
    let settings = json!({"policy_time_scale": scale, "telnyx": {"balance": "1000.00"}, "meta": {"number_cap": 1000}});
    world.sandbox.post("/settings", settings).await?;
    world.control(None, None).await?;
    let mut all = json!({"maxNumbers": 1000, "purchasesPerHour": 1000, "purchasesPerDay": 1000,
        "concurrentOnboardings": TURNS});
    all.as_object_mut().context("limits")?.extend(limits.as_object().cloned().unwrap_or_default());
    world.apply(world.portfolio(|spec| spec["limits"] = all)).await?;
    wait_portfolio(&world).await?;
    let history = follow(world.lines());
    Ok((world, history))
}

/// Makes lines, no more than `each` in the same second: that is how finely their age is told.
async fn apply(world: &World, names: &[String], each: usize) -> Result<()> {
    for group in names.chunks(each) {
        let second = Timestamp::now().as_second();
        for name in group {
            world.apply(world.line(name, &format!("{name}-co"), |_| ())).await?;
        }
        wait::until(LONG, "the next second", async || {
            wait::seen(Timestamp::now().as_second() > second, "the same second")
        })
        .await?;
    }
    Ok(())
}

/// Waits until all lines of these names are as wished.
async fn all(history: &History, names: &[String], what: &str, wished: impl Fn(&State) -> bool) -> Result<()> {
    wait::until(LONG, what, async || {
        let now = newest(history);
        let short: Vec<String> = names
            .iter()
            .filter(|name| now.get(*name).is_none_or(|state| !wished(state)))
            .map(|name| format!("{name} {}", now.get(name).map_or("unseen", |state| &state.reason)))
            .collect();
        wait::seen(short.is_empty(), short.join(", "))
    })
    .await
}

async fn journal(world: &World, capture: &str) -> Result<Vec<Switch>> {
    let told = world.sandbox.get("/journal").await?;
    Ok(switches(told["entries"].as_array().context("no journal")?, capture))
}

async fn capture(world: &World) -> Result<String> {
    let portfolio = world.portfolios().get("main").await?;
    Ok(portfolio.status.and_then(|s| s.applications).context("no applications")?.capture)
}

fn names(kind: &str, count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("{kind}-{n:02}")).collect()
}

/// Four lines hold all turns until forty-six others wait for one. Then the turns go round.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_lines_await_their_codes_four_at_a_time_oldest_first() -> Result<()> {
    // A code lives for two minutes.
    let (world, history) = world("turns", 0.2, json!({})).await?;
    let ring = json!({"operation": "sandbox.call", "when": "before", "action": "hold", "count": TURNS});
    let ring = world.sandbox.fault(ring).await?;
    let (first, others) = (names("first", TURNS), names("line", 50 - TURNS));
    apply(&world, &first, TURNS).await?;
    all(&history, &first, "four lines to await their call", |state| state.reason == "CodeRequested").await?;
    apply(&world, &others, 6).await?;
    all(&history, &others, "all others to wait for a turn", |state| state.reason == "WaitingForTurn").await?;
    world.sandbox.release(&ring).await?;
    let everyone: Vec<String> = first.iter().chain(&others).cloned().collect();
    all(&history, &everyone, "all to be Ready", |state| state.ready).await?;

    let seen = states(&history);
    let most = most_armed(&seen);
    ensure!(most == TURNS, "{most} lines were armed at the same time, by their status");
    let waited = newest(&history).into_values().filter(|state| others.contains(&state.name));
    let waited: BTreeMap<String, Timestamp> =
        waited.map(|state| Some((state.number_id?, state.created))).collect::<Option<_>>().context("no number's id")?;
    let ages: BTreeSet<&Timestamp> = waited.values().collect();
    ensure!(waited.len() == others.len() && ages.len() >= 5, "{} numbers, {} ages", waited.len(), ages.len());
    let switches = journal(&world, &capture(&world).await?).await?;
    let wrong = out_of_turn(&switches, &waited, TURNS);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let codes = world.sandbox.calls("meta.request_code").await?;
    ensure!(codes == 50, "{codes} codes were asked for by 50 lines");
    let recording = switches.iter().fold(BTreeSet::new(), |mut all, switch| {
        if switch.records {
            all.insert(&switch.number_id)
        } else {
            all.remove(&switch.number_id)
        };
        all
    });
    ensure!(recording.is_empty(), "left recording: {recording:?}");
    Ok(())
}

/// Those who wait for their budget hold no turn: as many as there are turns have used theirs up, for a day.
#[tokio::test(flavor = "multi_thread")]
async fn lines_whose_budget_is_used_up_hold_up_nobody() -> Result<()> {
    // A code lives for twelve seconds, a day for 29 minutes.
    let once = json!({"codeRequests": {"perHour": 1, "perDay": 1, "per72h": 8}});
    let (world, history) = world("turns-budget", 0.02, once).await?;
    let lost = json!({"operation": "sandbox.call", "when": "before", "action": "drop", "count": TURNS});
    let lost = world.sandbox.fault(lost).await?;
    let (spent, others) = (names("spent", TURNS), names("line", 8));
    apply(&world, &spent, TURNS).await?;
    all(&history, &spent, "four lines to await a call that never comes", |s| s.reason == "CodeRequested").await?;
    apply(&world, &others, 4).await?;
    all(&history, &others, "the others to be Ready", |state| state.ready).await?;
    let hits = world.sandbox.get(&format!("/faults/{lost}")).await?["hits"].as_u64().unwrap_or_default();
    ensure!(hits == TURNS as u64, "{hits} calls were lost");
    all(&history, &spent, "four lines to wait for their budget", |state| {
        state.reason == "CodeRateLimited" && !state.armed
    })
    .await?;
    let codes = world.sandbox.calls("meta.request_code").await?;
    ensure!(codes == TURNS + others.len(), "{codes} codes were asked for");
    // With more of it they go on.
    let more = json!({"limits": {"codeRequests": {"perHour": 2, "perDay": 2, "per72h": 8}}});
    patch_portfolio(&world, more).await?;
    all(&history, &spent, "the four to be Ready", |state| state.ready).await?;
    ensure!(most_armed(&states(&history)) <= TURNS, "{} armed", most_armed(&states(&history)));
    Ok(())
}

/// Nor do those whose number can't be armed, as many as there are turns.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_armed_hold_up_nobody() -> Result<()> {
    let (world, history) = world("turns-unarmed", 0.02, json!({})).await?;
    // Their numbers are bought; then Telnyx refuses to let them record.
    let held = json!({"operation": "meta.create_number", "when": "before", "action": "status", "status": 503,
        "count": 1_000_000});
    let held = world.sandbox.fault(held).await?;
    let (barred, others) = (names("barred", TURNS), names("line", 8));
    apply(&world, &barred, TURNS).await?;
    all(&history, &barred, "four lines to have a number", |state| state.number_id.is_some()).await?;
    for state in newest(&history).into_values() {
        let id = state.number_id.context("no number's id")?;
        let body =
            json!({"errors": [{"code": "10015", "title": "Bad Request", "detail": "The number can't be changed."}]});
        let refuse = json!({"operation": "telnyx.update_number", "contains": id, "when": "before", "action": "status",
            "status": 400, "body": body, "count": 1_000_000});
        world.sandbox.fault(refuse).await?;
    }
    world.sandbox.delete(&format!("/faults/{held}")).await?;
    let capture = capture(&world).await?;
    wait::until(LONG, "all four to be refused", async || match world.sandbox.get("/journal").await {
        Ok(told) => {
            let entries = told["entries"].as_array().cloned().unwrap_or_default();
            let refused =
                entries.iter().filter(|e| e["status"] == 400 && e["body"]["connection_id"] == capture.as_str());
            let refused: BTreeSet<&str> = refused.filter_map(|e| e["path"].as_str()).collect();
            wait::seen(refused.len() == TURNS, format!("{refused:?}"))
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    apply(&world, &others, 4).await?;
    all(&history, &others, "the others to be Ready", |state| state.ready).await?;
    let codes = world.sandbox.calls("meta.request_code").await?;
    ensure!(codes == others.len(), "{codes} codes were asked for by {} lines", others.len());
    Ok(())
}

#[test]
fn who_begins_out_of_turn_is_seen() {
    let at = |second: i64| Timestamp::from_second(1_793_000_000 + second).unwrap();
    let on = |id: &str| Switch { number_id: id.to_owned(), records: true };
    let off = |id: &str| Switch { number_id: id.to_owned(), records: false };
    let lines: BTreeMap<String, Timestamp> =
        [("a", 1), ("b", 1), ("c", 2), ("d", 3)].map(|(id, second)| (id.to_owned(), at(second))).into();
    let wrong = |switches: &[Switch]| out_of_turn(switches, &lines, 2);
    // Two are on their way at once, whichever arrives first.
    assert_eq!(wrong(&[on("c"), on("a"), off("c"), on("b"), off("a"), on("d")]).len(), 1, "b is older than c");
    assert_eq!(wrong(&[on("b"), on("a"), off("b"), on("c"), off("a"), off("c"), on("d")]), [""; 0]);
    assert!(wrong(&[on("a"), on("b"), on("c")])[0].contains("3 numbers record at the same time"));
    assert!(wrong(&[on("a"), off("a"), on("d")])[0].contains("2 older ones waited"));
    let state = |name: &str, armed| State {
        name: name.to_owned(),
        created: at(0),
        number_id: None,
        armed,
        ready: false,
        reason: String::new(),
    };
    assert_eq!(most_armed(&[state("a", true), state("a", true), state("b", true), state("a", false)]), 2);
}
