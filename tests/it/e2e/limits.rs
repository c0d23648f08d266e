//! The purchases' limits against a loop that creates and deletes lines while somebody wipes the Portfolio's status, and
//! against a Portfolio that is made anew: the carrier's own orders count.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::Patch;
use serde_json::json;

use super::onboarding::wait_portfolio;
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const LONG: Duration = Duration::from_secs(120);

async fn owned(world: &World, name: &str) -> Result<()> {
    wait::until(LONG, &format!("{name} to have a number"), async || match world.lines().get(name).await {
        Ok(line) => match line.status.as_ref().and_then(|s| s.phone_number.clone()) {
            Some(_) => Seen::Done(()),
            None => Seen::NotYet(format!("{:?}", line.status.map(|s| s.conditions))),
        },
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

async fn gone<K>(api: &kube::Api<K>, name: &str) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.delete(name, &Default::default()).await?;
    wait::until(LONG, &format!("{name} to be gone"), async || match api.get_opt(name).await {
        Ok(None) => Seen::Done(()),
        Ok(Some(object)) => Seen::NotYet(format!("{object:?}")),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_creating_and_deleting_spends_no_more_than_the_limit() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let options = WorldOptions { speed: 0.0, scale: 0.2, ..WorldOptions::default() };
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let mut world = World::start(plane, binary, &run_dir("limits")?, options).await?;
    world.control(None, None).await?;
    let portfolio = world.portfolio(|spec| spec["limits"] = json!({"purchasesPerHour": 3, "purchasesPerDay": 3}));
    world.apply(portfolio.clone()).await?;
    wait_portfolio(&world).await?;
    // The first by the ledger, then the ledger is wiped, then the Portfolio itself is another one.
    for name in ["one", "two", "three"] {
        world.apply(world.line(name, &format!("{name}-co"), |_| ())).await?;
        owned(&world, name).await?;
        gone(&world.lines(), name).await?;
        if name == "one" {
            let wiped = Patch::Merge(json!({"status": {"ledger": null}}));
            world.portfolios().patch_status("main", &Default::default(), &wiped).await?;
        }
        if name == "two" {
            gone(&world.portfolios(), "main").await?;
            world.apply(portfolio.clone()).await?;
            wait_portfolio(&world).await?;
        }
    }
    world.apply(world.line("four", "four-co", |_| ())).await?;
    let four = world.wait_line("four", "False", "PurchaseLimitReached", LONG).await?;
    ensure!(four.status.context("no status")?.purchase.is_none(), "the fourth line chose a number");
    ensure!(world.sandbox.purchases().await?.len() == 3, "{:?}", world.sandbox.purchases().await?);
    // One question serves all that ask at the same time; the limit is not found out by ordering.
    let orders = world.sandbox.calls("telnyx.create_number_order").await?;
    ensure!(orders == 3, "{orders} orders were sent");
    Ok(())
}

/// The day's limit holds where the hour's would allow more, and a line that met the hour's goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_day_holds_after_the_hour() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    // An hour is 36 seconds, a day more than 14 minutes.
    let options = WorldOptions { speed: 0.0, scale: 0.01, ..WorldOptions::default() };
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let mut world = World::start(plane, binary, &run_dir("limits-day")?, options).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|spec| spec["limits"] = json!({"purchasesPerHour": 2, "purchasesPerDay": 3}))).await?;
    wait_portfolio(&world).await?;
    for name in ["one", "two"] {
        world.apply(world.line(name, &format!("{name}-co"), |_| ())).await?;
        owned(&world, name).await?;
    }
    world.apply(world.line("three", "three-co", |_| ())).await?;
    let hour = limited(&mut world, "three").await?;
    ensure!(hour.starts_with("limits.purchasesPerHour of the Portfolio is reached; goes on by itself at "), "{hour}");
    owned(&world, "three").await?;
    world.apply(world.line("four", "four-co", |_| ())).await?;
    let day = limited(&mut world, "four").await?;
    ensure!(day.starts_with("limits.purchasesPerDay of the Portfolio is reached; goes on by itself at "), "{day}");
    ensure!(world.sandbox.purchases().await?.len() == 3, "{:?}", world.sandbox.purchases().await?);
    Ok(())
}

/// Waits until a line met a limit of purchases; what it says.
async fn limited(world: &mut World, name: &str) -> Result<String> {
    let line = world.wait_line(name, "False", "PurchaseLimitReached", LONG).await?;
    let status = line.status.context("no status")?;
    ensure!(status.purchase.is_none(), "{name} chose a number: {:?}", status.purchase);
    status.conditions.first().map(|c| c.message.clone()).context("no condition")
}
