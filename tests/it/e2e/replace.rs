//! A burnt number is replaced on a person's word: given back once, another bought once, also when the controller dies in the
//! middle or the line is deleted there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::Patch;
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, leaks, run_dir};

const LONG: Duration = Duration::from_secs(120);

/// A line whose number Meta will not take; the number.
async fn burnt(name: &str) -> Result<(World, String)> {
    let plane = ControlPlane::shared().await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let options = WorldOptions { speed: 0.02, scale: 0.02, ..WorldOptions::default() };
    let mut world = World::start(plane, binary, &run_dir(name)?, options).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let hold = json!({"operation": "meta.register", "nth": 1, "when": "before", "action": "hold"});
    let held = world.sandbox.fault(hold).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.sandbox.holding(&held, LONG).await?;
    let line = world.lines().get("atlas").await?;
    let number = line.status.and_then(|s| s.phone_number).context("no number")?;
    world.sandbox.post("/settings", json!({"meta": {"burnt": [number]}})).await?;
    world.sandbox.release(&held).await?;
    world.wait_line("atlas", "False", "NumberBurnt", LONG).await?;
    Ok((world, number))
}

/// The binary as kubectl's plugin, without a terminal; exit code and what it said.
async fn plugin(world: &World, args: &[&str]) -> Result<(i32, String)> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_clientnumber"));
    command.args(args).env("KUBECONFIG", world.kubeconfig()).stdin(std::process::Stdio::null());
    let done = command.output().await?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    Ok((done.status.code().context("no exit code")?, said))
}

/// Numbers of the ledger's entries of this kind.
async fn entries(world: &World, kind: &str) -> Result<Vec<String>> {
    let ledger = world.sandbox.get("/ledger").await?;
    let all = ledger["entries"].as_array().cloned().unwrap_or_default();
    let of_kind = all.iter().filter(|e| e["kind"] == kind);
    Ok(of_kind.filter_map(|e| e["phone_number"].as_str().map(str::to_owned)).collect())
}

async fn annotate(world: &World, number: &str) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {"clientnumber.dev/replace": number}}});
    world.lines().patch("atlas", &Default::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

/// Waits until what the line says of itself holds this text.
async fn says(world: &World, text: &str) -> Result<()> {
    wait::until(LONG, &format!("the line to say {text:?}"), async || match world.lines().get("atlas").await {
        Ok(line) => {
            let conditions = line.status.map(|s| s.conditions).unwrap_or_default();
            let message = conditions.first().map(|c| c.message.clone()).unwrap_or_default();
            wait::seen(message.contains(text), message)
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burnt_number_is_replaced_once() -> Result<()> {
    let (mut world, old) = burnt("replace").await?;
    let namespace = world.clients.clone();
    says(&world, "kubectl clientnumber replace atlas").await?;
    let old_pin = leaks::pins(&world).await?;
    let (code, said) = plugin(&world, &["replace", "atlas", "-n", &namespace]).await?;
    ensure!(code == 2 && said.contains("--yes"), "without a terminal: {code} {said}");
    // A number that is not the line's: nothing happens, and the line says so.
    annotate(&world, "+212600000000").await?;
    says(&world, "names +212600000000, which is not this line's number").await?;
    ensure!(entries(&world, "rent_stop").await?.is_empty(), "given back on another number's word");

    let before = world.lines().get("atlas").await?.status.and_then(|s| s.phone_number_id).context("no id")?;
    // Given back, and the controller dies before it knows.
    let hold = json!({"operation": "telnyx.delete_number", "nth": 1, "when": "after", "action": "hold"});
    let held = world.sandbox.fault(hold).await?;
    let (code, said) = plugin(&world, &["replace", "atlas", "-n", &namespace, "--yes"]).await?;
    ensure!(code == 0, "replace: {said}");
    world.sandbox.holding(&held, LONG).await?;
    world.controller()?.kill().await?;
    world.sandbox.release(&held).await?;
    let status = world.lines().get("atlas").await?.status.context("no status")?;
    let purchase = status.purchase.context("no purchase")?;
    ensure!(purchase.give_back.is_some(), "the DELETE went out and status does not know: {purchase:?}");
    world.controller()?.restart().await?;

    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    let status = line.status.context("no status")?;
    let new = status.phone_number.context("no number")?;
    ensure!(new != old, "the old number was bought again");
    let purchase = status.purchase.context("no purchase")?;
    ensure!(purchase.replaced == [old.clone()] && purchase.give_back.is_none(), "{purchase:?}");
    ensure!(purchase.attempt == 2, "{purchase:?}");
    ensure!(status.phone_number_id.is_some_and(|id| id != before), "linked under the old id");
    ensure!(entries(&world, "order").await? == [old.clone(), new.clone()], "{:?}", entries(&world, "order").await?);
    ensure!(entries(&world, "rent_stop").await? == [old.clone()], "{:?}", entries(&world, "rent_stop").await?);
    let pins: Api<Secret> = Api::namespaced(world.client.clone(), &world.platform);
    let pin = |number: &str| format!("pin-{}", number.trim_start_matches('+'));
    ensure!(pins.get_opt(&pin(&old)).await?.is_none(), "the old PIN is left");
    ensure!(pins.get_opt(&pin(&new)).await?.is_some(), "the new PIN is missing");

    let (code, said) = plugin(&world, &["replace", "atlas", "-n", &namespace, "--yes"]).await?;
    ensure!(code == 1 && said.contains("is not burnt"), "a line that works: {code} {said}");
    leaks::none_in_logs(&world, &old_pin).await
}

/// The line is deleted, with Retain, after the old number's DELETE went out: it is given back, and nothing else is bought.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_deleted_while_its_number_is_replaced() -> Result<()> {
    let (mut world, old) = burnt("replace-deleted").await?;
    let hold = json!({"operation": "telnyx.delete_number", "nth": 1, "when": "before", "action": "hold"});
    let held = world.sandbox.fault(hold).await?;
    annotate(&world, &old).await?;
    world.sandbox.holding(&held, LONG).await?;
    world.controller()?.kill().await?;
    world.lines().delete("atlas", &Default::default()).await?;
    world.controller()?.restart().await?;
    wait::until(LONG, "the line to be gone", async || match world.lines().get_opt("atlas").await {
        Ok(None) => Seen::Done(()),
        Ok(Some(line)) => Seen::NotYet(format!("{:?}", line.status.map(|s| s.conditions))),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    // The DELETE that was held arrives after the one of the second controller: nothing is there any more.
    world.sandbox.release(&held).await?;
    ensure!(entries(&world, "order").await? == [old.clone()], "{:?}", entries(&world, "order").await?);
    ensure!(entries(&world, "rent_stop").await? == [old], "{:?}", entries(&world, "rent_stop").await?);
    let portfolio = world.portfolios().get("main").await?;
    let retained = portfolio.status.map(|s| s.retained).unwrap_or_default();
    ensure!(retained.is_empty(), "a number that is gone is listed as kept: {retained:?}");
    let numbers: Value = world.sandbox.get("/numbers").await?;
    ensure!(numbers["numbers"].as_array().is_some_and(|all| all.len() == 1), "{numbers}");
    Ok(())
}
