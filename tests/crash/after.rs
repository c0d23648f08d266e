//! What must hold after anything, for many lines at once: each line Ready with the one number that was bought for it, no
//! orphan, no budget exceeded, nothing armed, no recording left. The witnesses are the sandbox's ledger and journal, the
//! routing table, and a fresh round of the controller's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::conditions::{ConditionType, get};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{ListParams, Patch};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::budget::{Limit, too_soon};
use crate::support::wait::{self, Seen};
use crate::support::{World, leaks};

/// What the Portfolio's limits allow: a code that was lost is asked for once more within the hour.
const CODES_AN_HOUR: usize = 2;
const CODES_A_DAY: usize = 3;
const REGISTERS: usize = 8;
/// Held by whoever measures how soon something goes on: two such worlds at once would measure the machine.
pub async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    TURN.lock().await
}

/// All lines of the world by name.
pub async fn lines(world: &World) -> Result<BTreeMap<String, ClientNumber>> {
    let list = world.lines().list(&ListParams::default()).await?;
    Ok(list.items.into_iter().map(|line| (line.name_any(), line)).collect())
}

/// Status and reason of Ready.
pub fn ready(line: &ClientNumber) -> (bool, String) {
    let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let ready = get(conditions, ConditionType::Ready);
    (ready.is_some_and(|c| c.status == "True"), ready.map_or("nothing yet".into(), |c| c.reason.clone()))
}

/// Waits until lines can be made.
pub async fn portfolio_ready(world: &World) -> Result<()> {
    wait::until(Duration::from_secs(90), "the Portfolio to be Ready", async || {
        match world.portfolios().get("main").await {
            Ok(portfolio) => {
                let conditions = portfolio.status.map(|s| s.conditions).unwrap_or_default();
                let shown = conditions.first().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason));
                wait::seen(shown.as_deref() == Some("Ready=True/Ready"), format!("{shown:?}"))
            }
            Err(error) => Seen::NotYet(error.to_string()),
        }
    })
    .await
}

/// Waits until all lines are Ready.
pub async fn all_ready(world: &mut World, count: usize, deadline: Duration) -> Result<()> {
    let api = world.lines();
    let mut controller = world.controller.as_mut();
    wait::until(deadline, &format!("{count} lines to be Ready"), async || {
        if let Some(end) = controller.as_mut().and_then(|c| c.ended()) {
            return Seen::Never(end);
        }
        let list = match api.list(&ListParams::default()).await {
            Ok(list) => list,
            Err(error) => return Seen::NotYet(error.to_string()),
        };
        let mut waiting: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in list.items.iter().filter(|line| !ready(line).0) {
            waiting.entry(ready(line).1).or_default().push(line.name_any());
        }
        wait::seen(list.items.len() == count && waiting.is_empty(), format!("{waiting:?}"))
    })
    .await
}

/// All of it. `scale` is the controller's.
pub async fn check(world: &World, count: usize, scale: f64) -> Result<()> {
    let lines = lines(world).await?;
    ensure!(lines.len() == count, "{} lines instead of {count}", lines.len());
    purchases(world, &lines).await?;
    carrier_and_meta(world, &lines).await?;
    budgets(world, scale).await?;
    recordings(world).await?;
    routes(world, &lines).await?;
    no_orphan(world, count).await?;
    leaks::none_in_logs(world, &leaks::Markers::new()).await
}

/// One purchase a line, by its reference, of the number that the line has.
async fn purchases(world: &World, lines: &BTreeMap<String, ClientNumber>) -> Result<()> {
    let ledger = world.sandbox.purchases().await?;
    let mut by_reference: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in &ledger {
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        by_reference.entry(text("customer_reference")).or_default().push(text("phone_number"));
    }
    let expected: BTreeMap<String, Option<&str>> = lines
        .iter()
        .map(|(name, line)| {
            let number = line.status.as_ref().and_then(|s| s.phone_number.as_deref());
            (format!("world/{}/{name}", world.clients), number)
        })
        .collect();
    for (reference, number) in &expected {
        let bought = by_reference.get(reference.as_str()).map(Vec::as_slice).unwrap_or_default();
        ensure!(
            number.is_some() && bought == [number.unwrap_or_default()],
            "{reference} has {number:?}, bought: {bought:?}"
        );
    }
    let numbers: BTreeSet<&str> = by_reference.values().flatten().copied().collect();
    ensure!(
        ledger.len() == lines.len() && numbers.len() == lines.len(),
        "{} purchases of {} numbers for {} lines",
        ledger.len(),
        numbers.len(),
        lines.len()
    );
    Ok(())
}

/// Each number is registered once at Meta, and calls to it are rejected.
async fn carrier_and_meta(world: &World, lines: &BTreeMap<String, ClientNumber>) -> Result<()> {
    let all = world.sandbox.get("/numbers").await?;
    let all = all["numbers"].as_array().context("no numbers")?;
    let at_meta = all.iter().filter(|n| n["meta"].is_object()).count();
    ensure!(at_meta == lines.len(), "{at_meta} numbers at Meta for {} lines", lines.len());
    for number in all {
        let application = number["telnyx"]["application"].as_str().unwrap_or_default();
        ensure!(application.ends_with("/reject"), "calls run through {application:?}: {number}");
        ensure!(number["meta"]["registered"] == true, "not registered: {number}");
        let registers = number["meta"]["registers"].as_u64().unwrap_or(u64::MAX);
        ensure!(registers <= REGISTERS as u64, "{registers} registrations were tried: {number}");
    }
    Ok(())
}

/// Requests for a code as Meta saw them, those too whose answers were lost.
async fn budgets(world: &World, scale: f64) -> Result<()> {
    let journal = world.sandbox.get("/journal?operation=meta.request_code").await?;
    let mut asked: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for entry in journal["entries"].as_array().context("no journal")? {
        let (Some(path), Some(time)) = (entry["path"].as_str(), entry["time"].as_str()) else { continue };
        asked.entry(path).or_default().push(time.parse()?);
    }
    let limits = [Limit { calls: CODES_AN_HOUR, hours: 1 }, Limit { calls: CODES_A_DAY, hours: 24 }];
    for (path, times) in &asked {
        let wrong = too_soon("code requests", times, &limits, scale);
        ensure!(wrong.is_empty(), "{path}: {wrong:?}");
    }
    Ok(())
}

async fn recordings(world: &World) -> Result<()> {
    let told = world.sandbox.get("/recordings").await?;
    for recording in told["recordings"].as_array().context("no recordings")? {
        let transcription = &recording["transcription"];
        let left = recording["deleted"] != true || (transcription.is_object() && transcription["deleted"] != true);
        ensure!(!left, "a recording is left of {}", recording["to"]);
    }
    Ok(())
}

/// One active route a line, with its number.
async fn routes(world: &World, lines: &BTreeMap<String, ClientNumber>) -> Result<()> {
    let routes = world.mongo.client().await?.database("clientnumber").collection::<Document>("routes");
    let total = routes.count_documents(doc! {}).await?;
    ensure!(total == lines.len() as u64, "{total} routes for {} lines", lines.len());
    for (name, line) in lines {
        let number = line.status.as_ref().and_then(|s| s.phone_number.clone()).unwrap_or_default();
        let wanted = doc! {"phone_number": &number, "object": format!("{}/{name}", world.clients), "state": "active"};
        ensure!(routes.find_one(wanted).await?.is_some(), "no active route of {name} for {number}");
    }
    Ok(())
}

/// A round that was asked for now finds nothing that belongs to no object.
async fn no_orphan(world: &World, count: usize) -> Result<()> {
    let last = world.portfolios().get("main").await?.status.and_then(|s| s.last_round_at);
    let mut asked: Option<Timestamp> = None;
    wait::until(Duration::from_secs(120), "a round without orphans", async || {
        let now = Timestamp::now();
        // A round's time is whole seconds: one that fell into the same second as the last is asked for again.
        if asked.is_none_or(|at| now.duration_since(at).as_secs() >= 3) {
            asked = Some(now);
            let patch = json!({"metadata": {"annotations": {"clientnumber.dev/retry-requested-at": now.to_string()}}});
            if let Err(error) = world.portfolios().patch("main", &Default::default(), &Patch::Merge(&patch)).await {
                return Seen::NotYet(error.to_string());
            }
        }
        let status = match world.portfolios().get("main").await {
            Ok(portfolio) => portfolio.status.unwrap_or_default(),
            Err(error) => return Seen::NotYet(error.to_string()),
        };
        let numbers = status.numbers.clone().unwrap_or_default();
        let used = usize::try_from(numbers.used).unwrap_or_default();
        match status.last_round_at > last {
            false => Seen::NotYet("no new round".to_owned()),
            true if numbers.orphaned == 0 && numbers.retained == 0 && used == count => Seen::Done(()),
            true => Seen::Never(format!("{numbers:?} {:?}", status.retained)),
        }
    })
    .await
}

/// Limits that many lines at once do not meet, but for those of each number.
pub fn wide_limits() -> Value {
    json!({
        "maxNumbers": 1000, "purchasesPerHour": 1000, "purchasesPerDay": 1000, "concurrentOnboardings": 1000,
        "codeRequests": {"perHour": CODES_AN_HOUR, "perDay": CODES_A_DAY, "per72h": 8},
    })
}

/// The providers' own limits to go with them.
pub async fn wide_providers(world: &World) -> Result<()> {
    let settings = json!({"telnyx": {"balance": "10000.00", "pool": 600}, "meta": {"number_cap": 1000}});
    world.sandbox.post("/settings", settings).await.map(|_| ())
}
