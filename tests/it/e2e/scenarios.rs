//! What is not an ordinary onboarding: lines that are deleted, handed on, raced, suspended while a code is awaited, cut off
//! from MongoDB, looked at with --read-only, and left behind by a Portfolio that is to go.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::Api;
use kube::api::{ListParams, Patch};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, MongoProxy, World, WorldOptions, run_dir};

const LONG: Duration = Duration::from_secs(90);

async fn world(name: &str) -> Result<World> {
    let plane = ControlPlane::shared().await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    World::start(plane, binary, &run_dir(name)?, WorldOptions { speed: 0.02, scale: 0.02, ..WorldOptions::default() })
        .await
}

fn existing(number: &str) -> Value {
    json!({"existing": {"phoneNumber": number}})
}

fn number_of(line: &ClientNumber) -> Result<String> {
    line.status.as_ref().and_then(|s| s.phone_number.clone()).context("the line has no number")
}

/// Deletes a line and waits until it is gone.
async fn delete(world: &World, name: &str) -> Result<()> {
    world.lines().delete(name, &Default::default()).await?;
    gone(world, name).await
}

async fn gone(world: &World, name: &str) -> Result<()> {
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
async fn sides(world: &World, number: &str) -> Result<Value> {
    let all = world.sandbox.get("/numbers").await?;
    let found = all["numbers"].as_array().into_iter().flatten().find(|n| n["phone_number"] == number);
    found.cloned().with_context(|| format!("no {number} in {all}"))
}

/// Waits until calls to the number run through the application whose name ends so.
async fn answered_by(world: &World, number: &str, kind: &str) -> Result<()> {
    wait::until(LONG, &format!("calls to {number} to run through {kind}"), async || match sides(world, number).await {
        Ok(seen) if seen["telnyx"]["application"].as_str().is_some_and(|a| a.ends_with(kind)) => Seen::Done(()),
        Ok(seen) => Seen::NotYet(seen["telnyx"]["application"].to_string()),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

async fn patch(world: &World, name: &str, spec: Value) -> Result<()> {
    world.lines().patch(name, &Default::default(), &Patch::Merge(&json!({"spec": spec}))).await?;
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
    world.apply(world.line("atlas-casa", "atlas-logistics", |_| ())).await?;
    let again = world.wait_line("atlas-casa", "True", "Ready", LONG).await?;
    ensure!(number_of(&again)? == number, "a renamed manifest has another number");
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
    delete(&world, "rif").await?;
    let left = sides(&world, &number).await?;
    ensure!(left["telnyx"].is_null() || left["telnyx"]["status"] == "deleted", "Release kept {left}");
    ensure!(left["meta"]["registered"] == false, "still registered: {left}");
    ensure!(pins.get_opt(&pin).await?.is_none(), "the PIN's Secret is left");
    ensure!(world.sandbox.purchases().await?.len() == 1, "bought more than once");
    let journal = world.sandbox.get("/journal?operation=meta.deregister").await?;
    let deregistered = journal["entries"].as_array().map_or(0, Vec::len);
    ensure!(deregistered == 3, "deregistered {deregistered} times for three deletions");
    Ok(())
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
    answered_by(&world, &number, "/capture").await?;
    patch(&world, "atlas", json!({"suspend": true})).await?;
    world.wait_line("atlas", "False", "Suspended", LONG).await?;
    answered_by(&world, &number, "/reject").await?;
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

/// An owner id whose applications bear another cluster's name: that is shown, with a token that is good all the same, and
/// nothing is touched.
#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_owner_id_is_not_used() -> Result<()> {
    let mut world = world("owner-in-use").await?;
    let application = json!({
        "friendly_name": "clientnumber/world/another-cluster/capture", "voice_url": "https://other.example/capture.xml",
    });
    let url = format!("{}/texml_applications", world.sandbox.telnyx);
    let made = reqwest::Client::builder().no_proxy().build()?.post(url).bearer_auth("key").json(&application);
    made.send().await?.error_for_status()?;
    let before = writes(&world).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    let portfolios = world.portfolios();
    wait::until(LONG, "the Portfolio to say whose the owner id is", async || match portfolios.get("main").await {
        Ok(portfolio) => {
            let conditions = portfolio.status.map(|s| s.conditions).unwrap_or_default();
            let shown: Vec<String> =
                conditions.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect();
            let wanted = ["Ready=False/OwnerIdInUse", "TokensValid=True/CredentialsValid", "Stalled=True/OwnerIdInUse"];
            wait::seen(wanted.iter().all(|w| shown.iter().any(|s| s == w)), format!("{shown:?}"))
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    let after = writes(&world).await?;
    ensure!(after == before, "wrote: {:?}", &after[before.len()..]);
    Ok(())
}

/// Calls to the providers that may change something, in order.
async fn writes(world: &World) -> Result<Vec<String>> {
    let journal = world.sandbox.get("/journal").await?;
    let entries = journal["entries"].as_array().cloned().unwrap_or_default();
    let changing = |e: &&Value| e["provider"] != "sandbox" && e["method"] != "GET";
    Ok(entries.iter().filter(changing).map(|e| format!("{} {}", e["method"], e["path"])).collect())
}
