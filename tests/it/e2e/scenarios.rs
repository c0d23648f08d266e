//! What is not an ordinary onboarding: lines that are deleted, handed on, raced, suspended while a code is awaited, cut off
//! from MongoDB, looked at with --read-only, and left behind by a Portfolio that is to go.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::onboarding::wait_portfolio;
use super::steps::{LONG, answered_by, delete, existing, gone, number_of, patch, sides, world, writes};
use crate::support::wait::{self, Seen};
use crate::support::{MongoProxy, World, leaks};

/// A number whose line is gone is in the Portfolio's status and in what the plugin shows, with its rent.
async fn listed_as_kept(world: &World, number: &str) -> Result<()> {
    let kept = world.portfolios().get("main").await?.status.map(|s| s.retained).unwrap_or_default();
    let one = kept.iter().find(|kept| kept.phone_number == number).with_context(|| format!("not kept: {kept:?}"))?;
    ensure!(one.company_id == "atlas-logistics" && one.monthly_usd.as_deref() == Some("1.1"), "{one:?}");
    ensure!(!one.estimated, "{one:?}");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_clientnumber"));
    let portfolio = format!("--portfolio={}/main", world.platform);
    let done = command.args(["retained", &portfolio]).env("KUBECONFIG", world.kubeconfig()).output().await?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success() && said.contains(number) && said.contains("1 kept, 1.1 USD a month"), "{said}");
    Ok(())
}

/// Retain keeps the number for its company under any object's name; another company gets it only by name; Release gives
/// it back with its PIN. One purchase in all.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_kept_handed_on_and_given_back() -> Result<()> {
    let mut world = world("handed-on").await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let atlas = world.wait_line("atlas", "True", "Ready", LONG).await?;
    let number = number_of(&atlas)?;
    let twin = world.line("twin", "rif-foods", |spec| spec["number"] = existing(&number));
    world.apply(twin).await?;
    world.wait_line("twin", "False", "DuplicateNumber", LONG).await?;
    delete(&world, "twin").await?;
    let kept = sides(&world, &number).await?;
    ensure!(kept["telnyx"]["tags"].to_string().contains("company=atlas-logistics"), "the twin changed {kept}");

    delete(&world, "atlas").await?;
    ensure!(sides(&world, &number).await?["telnyx"]["status"] == "active", "Retain gave the number back");
    listed_as_kept(&world, &number).await?;
    world.apply(world.line("atlas-casa", "atlas-logistics", |_| ())).await?;
    let again = world.wait_line("atlas-casa", "True", "Ready", LONG).await?;
    ensure!(number_of(&again)? == number, "a renamed manifest has another number");
    let purchase = again.status.and_then(|s| s.purchase).context("no purchase")?;
    let rent = purchase.price.as_ref().map(|p| p.monthly_usd.as_str());
    ensure!(purchase.attempt == 0 && rent == Some("1.1"), "what it costs is not known any more: {purchase:?}");
    delete(&world, "atlas-casa").await?;

    let rif = world.line("rif", "rif-foods", |spec| {
        spec["number"] = existing(&number);
        spec["deletionPolicy"] = json!("Release");
    });
    world.apply(rif).await?;
    let rif = world.wait_line("rif", "True", "Ready", LONG).await?;
    let epoch = rif.status.and_then(|s| s.route).map(|r| r.epoch);
    ensure!(epoch == Some(2), "handed on with epoch {epoch:?}");
    let pins: Api<Secret> = Api::namespaced(world.client.clone(), &world.platform);
    let pin = format!("pin-{}", number.trim_start_matches('+'));
    ensure!(pins.get_opt(&pin).await?.is_some(), "the PIN is not in its Secret");
    let kept = leaks::pins(&world).await?;
    let lock = |on: bool| json!({"telnyx": {"deletion_lock": on}});
    world.sandbox.post(&format!("/numbers/{number}"), lock(true)).await?;
    world.lines().delete("rif", &Default::default()).await?;
    world.wait_line("rif", "False", "DeletionLocked", LONG).await?;
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == 0, "a locked number was to be deleted");
    world.sandbox.post(&format!("/numbers/{number}"), lock(false)).await?;
    gone(&world, "rif").await?;
    let left = sides(&world, &number).await?;
    ensure!(left["telnyx"].is_null() || left["telnyx"]["status"] == "deleted", "Release kept {left}");
    ensure!(left["meta"]["registered"] == false, "still registered: {left}");
    ensure!(pins.get_opt(&pin).await?.is_none(), "the PIN's Secret is left");
    ensure!(world.sandbox.purchases().await?.len() == 1, "bought more than once");
    let journal = world.sandbox.get("/journal?operation=meta.deregister").await?;
    let deregistered = journal["entries"].as_array().map_or(0, Vec::len);
    ensure!(deregistered == 3, "deregistered {deregistered} times for three deletions");
    leaks::none_in_logs(&world, &kept).await
}

/// Lines that are applied at the same moment want the same first offer: each gets a number, and nobody is told to act.
/// MongoDB goes away before they are routed and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_race_and_a_store_that_is_away() -> Result<()> {
    let mut world = world("race").await?;
    let mongo = MongoProxy::start(&world.mongo).await?;
    world.control(None, Some(&mongo.uri())).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    mongo.refuse(true);
    mongo.cut_all();
    let names = ["atlas", "rif", "sahara"];
    for name in names {
        world.apply(world.line(name, &format!("{name}-co"), |_| ())).await?;
    }
    for name in names {
        world.wait_line(name, "False", "StoreUnavailable", LONG).await?;
    }
    mongo.refuse(false);
    let mut numbers = Vec::new();
    for name in names {
        numbers.push(number_of(&world.wait_line(name, "True", "Ready", LONG).await?)?);
    }
    numbers.sort();
    numbers.dedup();
    ensure!(numbers.len() == 3, "two lines share a number: {numbers:?}");
    ensure!(world.sandbox.purchases().await?.len() == 3, "not one purchase a line");
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.clients);
    let told: Vec<String> =
        events.list(&ListParams::default()).await?.items.into_iter().filter_map(|e| e.reason).collect();
    ensure!(!told.iter().any(|reason| reason == "DuplicateNumber"), "a race called for a person: {told:?}");
    Ok(())
}

/// A line that is suspended while its code is awaited records no calls meanwhile; --read-only changes nothing anywhere,
/// also on deletion; lines and their Portfolio that are deleted while no controller runs all go when one does.
#[tokio::test(flavor = "multi_thread")]
async fn suspended_looked_at_and_left_behind() -> Result<()> {
    let mut world = world("suspended").await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let call = json!({"operation": "sandbox.call", "nth": 1, "when": "before", "action": "hold"});
    let call = world.sandbox.fault(call).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.sandbox.holding(&call, LONG).await?;
    let number = number_of(&world.lines().get("atlas").await?)?;
    answered_by(&world, &number, "/capture", LONG).await?;
    patch(&world, "atlas", json!({"suspend": true})).await?;
    world.wait_line("atlas", "False", "Suspended", LONG).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    world.sandbox.release(&call).await?;
    world.apply(world.line("rif", "rif-foods", |_| ())).await?;
    let rif = number_of(&world.wait_line("rif", "True", "Ready", LONG).await?)?;

    let code = world.controller()?.stop().await?;
    ensure!(code == 0, "SIGTERM ended with {code}");
    let before = writes(&world).await?;
    world.control_with(&[("READ_ONLY", "true")]).await?;
    world.lines().delete("rif", &Default::default()).await?;
    world.apply(world.line("sahara", "sahara-co", |_| ())).await?;
    world.wait_line("sahara", "False", "ReadOnly", LONG).await?;
    world.wait_line("rif", "False", "Releasing", LONG).await?;
    let after = writes(&world).await?;
    ensure!(after == before, "--read-only wrote: {:?}", &after[before.len()..]);
    ensure!(sides(&world, &rif).await?["meta"]["registered"] == true, "--read-only deregistered the line");

    world.controller()?.stop().await?;
    world.portfolios().delete("main", &Default::default()).await?;
    for name in ["atlas", "sahara"] {
        world.lines().delete(name, &Default::default()).await?;
    }
    world.control(None, None).await?;
    for name in ["atlas", "sahara", "rif"] {
        gone(&world, name).await?;
    }
    let portfolios = world.portfolios();
    wait::until(LONG, "the Portfolio to be gone", async || match portfolios.get_opt("main").await {
        Ok(None) => Seen::Done(()),
        Ok(Some(left)) => Seen::NotYet(format!("{:?}", left.status.map(|s| s.conditions))),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    ensure!(world.sandbox.purchases().await?.len() == 2, "bought more or less than two");
    Ok(())
}
