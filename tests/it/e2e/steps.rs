//! What the scenarios of this folder share: a fast world, and short words for what is done to a line and looked at.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::conditions::{ConditionType, get};
use kube::api::Patch;
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

/// Generous: several worlds share two cores.
pub const LONG: Duration = Duration::from_secs(90);

/// A world in which minutes are seconds.
pub async fn world(name: &str) -> Result<World> {
    world_at(name, 0.02).await
}

/// A world in which the controller's policy times have this scale.
pub async fn world_at(name: &str, scale: f64) -> Result<World> {
    let plane = ControlPlane::shared().await?;
    let options = WorldOptions { speed: 0.02, scale, ..WorldOptions::default() };
    World::start(plane, binary(), &run_dir(name)?, options).await
}

/// Such a world with a controller and a Ready Portfolio.
pub async fn begun(name: &str) -> Result<World> {
    begun_with(world(name).await?, |_| ()).await
}

/// The same in a world that is there, with `change` on the Portfolio's spec.
pub async fn begun_with(mut world: World, change: impl FnOnce(&mut Value)) -> Result<World> {
    world.control(None, None).await?;
    world.apply(world.portfolio(change)).await?;
    wait_portfolio(&world).await?;
    Ok(world)
}

/// The program.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_clientnumber"))
}

/// `spec.number` of a line that names its number.
pub fn existing(number: &str) -> Value {
    json!({"existing": {"phoneNumber": number}})
}

/// The number that a line has.
pub fn number_of(line: &ClientNumber) -> Result<String> {
    line.status.as_ref().and_then(|s| s.phone_number.clone()).context("the line has no number")
}

/// Reason of Ready.
pub fn reason_of(line: &ClientNumber) -> String {
    let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    get(conditions, ConditionType::Ready).map(|c| c.reason.clone()).unwrap_or_default()
}

/// What Ready says.
pub fn message_of(line: &ClientNumber) -> String {
    let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    get(conditions, ConditionType::Ready).map(|c| c.message.clone()).unwrap_or_default()
}

/// Deletes a line and waits until it is gone.
pub async fn delete(world: &World, name: &str) -> Result<()> {
    world.lines().delete(name, &Default::default()).await?;
    gone(world, name).await
}

/// Waits until a line is gone.
pub async fn gone(world: &World, name: &str) -> Result<()> {
    let what = format!("the line {name} to be gone");
    wait::until(LONG, &what, async || match world.lines().get_opt(name).await {
        Ok(None) => Seen::Done(()),
        Ok(Some(line)) => {
            let conditions = line.status.map(|s| s.conditions).unwrap_or_default();
            Seen::NotYet(conditions.first().map(|c| c.message.clone()).unwrap_or_default())
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

/// Both sides of a number, as the sandbox has them.
pub async fn sides(world: &World, number: &str) -> Result<Value> {
    let all = world.sandbox.get("/numbers").await?;
    let found = all["numbers"].as_array().into_iter().flatten().find(|n| n["phone_number"] == number);
    found.cloned().with_context(|| format!("no {number} in {all}"))
}

/// Waits until calls to the number run through the application whose name ends so.
pub async fn answered_by(world: &World, number: &str, kind: &str, deadline: Duration) -> Result<()> {
    let what = format!("calls to {number} to run through {kind}");
    wait::until(deadline, &what, async || match sides(world, number).await {
        Ok(seen) if seen["telnyx"]["application"].as_str().is_some_and(|a| a.ends_with(kind)) => Seen::Done(()),
        Ok(seen) => Seen::NotYet(seen["telnyx"]["application"].to_string()),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

/// Changes a line's spec.
pub async fn patch(world: &World, name: &str, spec: Value) -> Result<()> {
    world.lines().patch(name, &Default::default(), &Patch::Merge(&json!({"spec": spec}))).await?;
    Ok(())
}

/// Changes the Portfolio's spec.
pub async fn patch_portfolio(world: &World, spec: Value) -> Result<()> {
    world.portfolios().patch("main", &Default::default(), &Patch::Merge(&json!({"spec": spec}))).await?;
    Ok(())
}

/// Calls to the providers that may change something, in order.
pub async fn writes(world: &World) -> Result<Vec<String>> {
    let journal = world.sandbox.get("/journal").await?;
    let entries = journal["entries"].as_array().cloned().unwrap_or_default();
    let changing = |e: &&Value| e["provider"] != "sandbox" && e["method"] != "GET";
    Ok(entries.iter().filter(changing).map(|e| format!("{} {}", e["method"], e["path"])).collect())
}

/// The ledger holds exactly so many purchases, none of them of a number that was bought before; their numbers.
pub async fn bought(world: &World, expected: usize) -> Result<Vec<String>> {
    let ledger = world.sandbox.purchases().await?;
    ensure!(ledger.len() == expected, "{} purchases instead of {expected}: {ledger:?}", ledger.len());
    let numbers: Vec<String> = ledger.iter().filter_map(|e| e["phone_number"].as_str().map(str::to_owned)).collect();
    let mut different = numbers.clone();
    different.sort();
    different.dedup();
    ensure!(different.len() == expected, "a number was bought twice: {ledger:?}");
    Ok(numbers)
}

/// Waits until the Portfolio's conditions are these, each as `Type=Status/Reason`.
pub async fn portfolio_shows(world: &World, wanted: &[&str]) -> Result<()> {
    let portfolios = world.portfolios();
    wait::until(LONG, &format!("the Portfolio to show {wanted:?}"), async || match portfolios.get("main").await {
        Ok(portfolio) => {
            let conditions = portfolio.status.map(|s| s.conditions).unwrap_or_default();
            let shown: Vec<String> =
                conditions.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect();
            wait::seen(wanted.iter().all(|w| shown.iter().any(|s| s == w)), format!("{shown:?}"))
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}
