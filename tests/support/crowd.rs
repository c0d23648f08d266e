//! Many lines that begin at the same moment, and what that cost the providers: for a test, and for `make bench`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clientnumber::resources::conditions::{ConditionType, get};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::wait::{self, Seen};
use super::world::World;

/// What a crowd cost.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// From the first line's creation until the last was Ready.
    pub took: Duration,
    /// Calls that the providers took and refused meanwhile, of each account: name, taken, refused.
    pub accounts: Vec<(String, u64, u64)>,
    /// Calls since the sandbox began, by operation, the most frequent first.
    pub operations: Vec<(String, usize)>,
}

impl Crowd {
    /// Calls of the busiest account.
    pub fn busiest(&self) -> u64 {
        self.accounts.iter().map(|(_, taken, _)| *taken).max().unwrap_or(0)
    }

    /// Refused calls of all accounts, as a share of all calls.
    pub fn refused_share(&self) -> f64 {
        let sum = |pick: fn(&(String, u64, u64)) -> u64| self.accounts.iter().map(pick).sum::<u64>() as f64;
        let refused = sum(|(_, _, refused)| *refused);
        refused / (sum(|(_, taken, _)| *taken) + refused).max(1.0)
    }
}

/// Makes `count` lines of a Portfolio that is Ready, with `per_second` calls a second at each account (0: no limit), and
/// waits until all are Ready.
pub async fn begin(world: &mut World, count: usize, per_second: u32, deadline: Duration) -> Result<Crowd> {
    let settings = json!({
        "telnyx": {"requests_per_second": per_second, "balance": "1000.00", "pool": 400},
        "meta": {"requests_per_second": per_second, "number_cap": 1000},
    });
    world.sandbox.post("/settings", settings).await?;
    let limits = json!({
        "maxNumbers": 1000, "purchasesPerHour": 1000, "purchasesPerDay": 1000, "concurrentOnboardings": 100,
    });
    world.apply(world.portfolio(|spec| spec["limits"] = limits)).await?;
    portfolio_ready(world, deadline).await?;

    let before = accounts(world).await?;
    let started = Instant::now();
    for number in 1..=count {
        let name = format!("crowd-{number}");
        world.apply(world.line(&name, &name, |_| ())).await?;
    }
    let api = world.lines();
    wait::until(deadline, &format!("{count} lines to be Ready"), async || {
        let Ok(lines) = api.list(&kube::api::ListParams::default()).await else {
            return Seen::NotYet("no list".into());
        };
        let waiting: Vec<String> = lines
            .iter()
            .filter_map(|line| {
                let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
                let ready = get(conditions, ConditionType::Ready);
                let reason = ready.map_or("no condition", |c| c.reason.as_str());
                (ready.is_none_or(|c| c.status != "True")).then(|| format!("{} {reason}", line.name_any()))
            })
            .collect();
        if lines.items.len() >= count && waiting.is_empty() { Seen::Done(()) } else { Seen::NotYet(waiting.join(", ")) }
    })
    .await?;
    let took = started.elapsed();
    let after = accounts(world).await?;
    let accounts = after
        .into_iter()
        .map(|(name, taken, refused)| {
            let past = before.iter().find(|(other, ..)| *other == name);
            let (t, r) = past.map_or((0, 0), |(_, t, r)| (*t, *r));
            (name, taken - t, refused - r)
        })
        .collect();
    let journal = world.sandbox.get("/journal").await?;
    let mut operations: Vec<(String, usize)> = Vec::new();
    for call in journal["entries"].as_array().or(journal["calls"].as_array()).into_iter().flatten() {
        let name = call["operation"].as_str().unwrap_or("?");
        match operations.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => operations.push((name.to_owned(), 1)),
        }
    }
    operations.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(Crowd { took, accounts, operations })
}

async fn portfolio_ready(world: &World, deadline: Duration) -> Result<()> {
    let api = world.portfolios();
    wait::until(deadline, "the Portfolio to be Ready", async || match api.get("main").await {
        Ok(portfolio) => {
            let conditions = portfolio.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            match get(conditions, ConditionType::Ready) {
                Some(c) if c.status == "True" => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

async fn accounts(world: &World) -> Result<Vec<(String, u64, u64)>> {
    let told = world.sandbox.get("/limits").await?;
    let list = told["accounts"].as_array().context("no accounts")?;
    ensure!(!list.is_empty(), "no call was counted yet");
    let number = |entry: &Value, name: &str| entry[name].as_u64().unwrap_or(0);
    Ok(list
        .iter()
        .map(|entry| {
            let name = entry["account"].as_str().unwrap_or_default().to_owned();
            (name, number(entry, "accepted"), number(entry, "refused"))
        })
        .collect())
}
