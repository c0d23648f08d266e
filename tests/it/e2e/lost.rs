//! Lines that are deleted and do not say, or say wrongly, which number they have: what is theirs is found and their policy is
//! honoured, and what an earlier line of their name left is not touched.

use anyhow::{Result, ensure};
use kube::api::{Patch, PostParams};
use serde_json::{Value, json};

use super::release::{begin_delete, entries, has_pin, ready, retained, route_state};
use super::steps::{LONG, begun, delete, existing, gone, number_of};
use crate::support::World;

/// A number that nobody has.
const NOBODYS: &str = "+212699999999";

async fn set_status(world: &World, name: &str, status: Value) -> Result<()> {
    let mut line = world.lines().get(name).await?;
    line.status = Some(serde_json::from_value(status)?);
    world.lines().replace_status(name, &PostParams::default(), &line).await?;
    Ok(())
}

/// A number is kept for its company. A line of the same name names another one, by mistake, and is deleted to be corrected:
/// its policy is for the number that it named, not for the one that is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_namesake_left_is_not_given_back() -> Result<()> {
    let mut world = begun("namesakes-left").await?;
    let kept = ready(&mut world, "atlas", "Retain").await?;
    delete(&world, "atlas").await?;
    let naming = |world: &World, number: &str| {
        world.line("atlas", "atlas-co", |spec| {
            spec["number"] = existing(number);
            spec["deletionPolicy"] = json!("Release");
        })
    };
    world.apply(naming(&world, NOBODYS)).await?;
    world.wait_line("atlas", "False", "NumberNotFound", LONG).await?;
    delete(&world, "atlas").await?;
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == 0, "a number was given back that nobody asked for");
    ensure!(has_pin(&world, &kept).await?, "the PIN of the number that is kept is gone");
    ensure!(retained(&world).await? == [kept.clone()], "{:?}", retained(&world).await?);

    // The right one carries the same reference from now on. Its status is lost: it is told from what is kept.
    let right = "+212612340001";
    world.sandbox.post("/existing-numbers", json!({"phone_number": right})).await?;
    world.apply(naming(&world, right)).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(number_of(&line)? == right, "the line lives on {:?}", number_of(&line));
    world.controller()?.stop().await?;
    set_status(&world, "atlas", json!({"observedGeneration": -1})).await?;
    begin_delete(&world, "atlas").await?;
    world.controller()?.restart().await?;
    gone(&world, "atlas").await?;
    ensure!(entries(&world, "rent_stop").await? == [right], "{:?}", entries(&world, "rent_stop").await?);
    ensure!(!has_pin(&world, right).await? && has_pin(&world, &kept).await?, "the wrong PINs are left");
    ensure!(retained(&world).await? == [kept], "{:?}", retained(&world).await?);
    Ok(())
}

/// A backup brings back a status that is older than the number: it tells of a candidate that never came. What was bought
/// since is found, whether a mirror and claims name it or, after the whole object was restored, only its route.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_older_than_its_number_hides_nothing() -> Result<()> {
    let mut world = begun("older-status").await?;
    let lines = [("told", "Unknown"), ("routed", "Rejected")];
    let mut numbers = Vec::new();
    for (name, _) in lines {
        numbers.push(ready(&mut world, name, "Release").await?);
    }
    world.controller()?.stop().await?;
    let no_finalizer = json!({"metadata": {"finalizers": null}});
    world.lines().patch("routed", &Default::default(), &Patch::Merge(&no_finalizer)).await?;
    delete(&world, "routed").await?;
    let mut again = world.line("routed", "routed-co", |spec| spec["deletionPolicy"] = json!("Release"));
    again["metadata"]["finalizers"] = json!(["clientnumber.dev/line"]);
    world.apply(again).await?;
    for (name, phase) in lines {
        let reference = format!("world/{}/{name}", world.clients);
        let purchase = json!({
            "phase": phase, "candidate": NOBODYS, "attempt": 1, "reference": reference, "startedAt": "2026-01-01T00:00:00Z",
        });
        set_status(&world, name, json!({"observedGeneration": 1, "purchase": purchase})).await?;
        begin_delete(&world, name).await?;
    }
    world.controller()?.restart().await?;
    for ((name, _), number) in lines.iter().zip(&numbers) {
        gone(&world, name).await?;
        ensure!(!has_pin(&world, number).await?, "{name}: the PIN is left");
        ensure!(route_state(&world, number).await? == "disabled", "{name}: still routed");
    }
    let mut given_back = entries(&world, "rent_stop").await?;
    given_back.sort();
    numbers.sort();
    ensure!(given_back == numbers, "given back: {given_back:?}, bought: {numbers:?}");
    ensure!(retained(&world).await?.is_empty(), "listed as kept: {:?}", retained(&world).await?);
    Ok(())
}
