//! Two hundred lines at once, the controller killed every three seconds for two minutes, one answer of the providers in
//! twenty lost: and in the end each line is Ready with the one number that was bought for it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::{after, report};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const LINES: usize = 200;
const KILLS: usize = 40;
const EVERY: Duration = Duration::from_secs(3);
/// A code lives for half a minute, an hour is three.
const SCALE: f64 = 0.05;
const LOST: f64 = 0.05;
/// After the storm.
const QUIET: Duration = Duration::from_secs(400);

/// Lines whose answers the providers lose: the call was made, nobody hears what came of it.
async fn lose_answers(world: &World) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for provider in ["telnyx.*", "meta.*"] {
        let fault = json!({
            "operation": provider, "chance": LOST, "count": 1_000_000, "when": "after", "action": "drop",
        });
        faults.push(world.sandbox.fault(fault).await?);
    }
    Ok(faults)
}

/// Calls and lost answers, of all and of those that change something.
async fn lost(world: &World, faults: &[String]) -> Result<(u64, u64, usize)> {
    let (mut seen, mut hits) = (0, 0);
    for fault in faults {
        let told = world.sandbox.get(&format!("/faults/{fault}")).await?;
        seen += told["seen"].as_u64().context("no count")?;
        hits += told["hits"].as_u64().context("no count")?;
    }
    let journal = world.sandbox.get("/journal").await?;
    let effects = journal["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|e: &&Value| e["fault"].is_string() && e["method"] != "GET")
        .count();
    Ok((seen, hits, effects))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_lines_in_a_storm() -> Result<()> {
    let _turn = after::alone().await;
    let plane = ControlPlane::shared().await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let options = WorldOptions { speed: 0.02, scale: SCALE, log: "info".into(), ..WorldOptions::default() };
    let mut world = World::start(plane, binary, &run_dir("storm")?, options).await?;
    after::wide_providers(&world).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|spec| spec["limits"] = after::wide_limits())).await?;
    after::portfolio_ready(&world).await?;

    let faults = lose_answers(&world).await?;
    let begun = Instant::now();
    let names: Vec<String> = (1..=LINES).map(|n| format!("line-{n:03}")).collect();
    let apply = async |name: &String| world.apply(world.line(name, &format!("{name}-co"), |_| ())).await;
    futures::stream::iter(names.iter().map(apply)).buffer_unordered(16).try_collect::<Vec<()>>().await?;
    println!("storm: {LINES} lines applied after {:.1?}", begun.elapsed());
    let mut pids = Vec::new();
    for _ in 0..KILLS {
        // Nothing is hoped for: this is how long each of them lives.
        tokio::time::sleep(EVERY).await;
        let controller = world.controller()?;
        pids.push(controller.pid().await?);
        ensure!(controller.ended().is_none(), "the controller ended before it was killed: {:?}", controller.ended());
        controller.kill().await?;
        controller.restart().await?;
    }
    pids.sort_unstable();
    pids.dedup();
    ensure!(pids.len() == KILLS, "only {} processes were killed", pids.len());
    let ready = after::lines(&world).await?.values().filter(|line| after::ready(line).0).count();
    let bought = world.sandbox.purchases().await?.len();
    println!("storm: {KILLS} kills after {:.1?}, {bought} numbers bought, {ready} lines Ready", begun.elapsed());

    let (seen, hits, effects) = lost(&world, &faults).await?;
    println!("storm: {hits} of {seen} answers lost, {effects} of them of calls that change something");
    ensure!(hits * 100 >= seen * 3 && effects >= LINES / 10, "hardly any answer was lost");
    for fault in &faults {
        world.sandbox.delete(&format!("/faults/{fault}")).await?;
    }
    let quiet = Instant::now();
    after::all_ready(&mut world, LINES, QUIET).await?;
    let (calm, whole) = (quiet.elapsed().as_secs_f64(), begun.elapsed().as_secs_f64());
    after::check(&world, LINES, SCALE).await?;
    let purchases = world.sandbox.purchases().await?.len();
    report::publish(
        "storm",
        &format!(
            "storm: passed\n\n| what | how much |\n| --- | --- |\n| lines | {LINES} |\n| kills, one every {EVERY:?} | {KILLS} |\n\
             | calls | {seen} |\n| answers lost | {hits} |\n| of these of calls that change something | {effects} |\n\
             | at the last kill: numbers bought | {bought} |\n| at the last kill: lines Ready | {ready} |\n\
             | all Ready after the last kill | {calm:.1} s |\n| in all | {whole:.1} s |\n\
             | purchases | {purchases} |\n| orphans | 0 |\n"
        ),
    )
}
