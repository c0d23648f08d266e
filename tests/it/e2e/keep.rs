//! A line that works, and a hand in the portal: a number that records its calls is told once to reject them again, not once
//! a pass. Witness is the sandbox's journal.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use kube::api::Patch;
use serde_json::json;

use super::steps::{LONG, answered_by, begun_with, number_of, world, writes};
use crate::support::World;
use crate::support::wait::{self, Seen};

/// A round that began after this call.
async fn round(world: &World) -> Result<()> {
    let last = world.portfolios().get("main").await?.status.and_then(|s| s.last_round_at);
    let mut asked: Option<Timestamp> = None;
    wait::until(LONG, "a round", async || {
        let now = Timestamp::now();
        // A round's time is whole seconds: one that fell into the same second as the last is asked for again.
        if asked.is_none_or(|at| now.duration_since(at).as_secs() >= 2) {
            asked = Some(now);
            let patch = json!({"metadata": {"annotations": {"clientnumber.dev/retry-requested-at": now.to_string()}}});
            if let Err(error) = world.portfolios().patch("main", &Default::default(), &Patch::Merge(&patch)).await {
                return Seen::NotYet(error.to_string());
            }
        }
        match world.portfolios().get("main").await {
            Ok(portfolio) => wait::seen(portfolio.status.and_then(|s| s.last_round_at) > last, "no new round"),
            Err(error) => Seen::NotYet(error.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_records_is_told_once_to_reject() -> Result<()> {
    // The interval of rounds is out of reach: they come when asked for.
    let mut world = begun_with(world("keep").await?, |spec| spec["checkInterval"] = json!("24h")).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)?;
    let status = world.portfolios().get("main").await?.status.context("no status")?;
    let capture = status.applications.context("no applications")?.capture;

    let before = writes(&world).await?.len();
    let change = json!({"telnyx": {"connection_id": capture}});
    world.sandbox.post(&format!("/numbers/{number}"), change).await?;
    round(&world).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    // What would go on by itself has gone on by then.
    for _ in 0..2 {
        round(&world).await?;
    }
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    let told = writes(&world).await?.split_off(before);
    ensure!(told.len() == 1 && told[0].contains("/phone_numbers/"), "told more than once: {told:?}");
    Ok(())
}
