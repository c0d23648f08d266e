//! Giving a number back on real parts: when it counts as gone, and when not. Witnesses are the sandbox's ledger and journal.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::release::{begin_delete, entries, has_pin, ready, retained, says};
use super::steps::{LONG, begun, delete, gone, patch};

/// The policy is changed to Retain after Telnyx was asked to take the number back: what is gone is not listed as kept, and
/// what is there after all is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_mind_after_the_delete_went_out() -> Result<()> {
    let mut world = begun("change-of-mind").await?;
    for (name, when) in [("late", "after"), ("in-time", "before")] {
        let number = ready(&mut world, name, "Release").await?;
        let hold = json!({"operation": "telnyx.delete_number", "nth": 1, "when": when, "action": "hold"});
        let held = world.sandbox.fault(hold).await?;
        begin_delete(&world, name).await?;
        world.sandbox.holding(&held, LONG).await?;
        world.controller()?.kill().await?;
        patch(&world, name, json!({"deletionPolicy": "Retain"})).await?;
        world.controller()?.restart().await?;
        gone(&world, name).await?;
        let there = when == "before";
        ensure!((retained(&world).await? == [number.clone()]) == there, "{name}: kept {:?}", retained(&world).await?);
        ensure!(has_pin(&world, &number).await? == there, "{name}: the PIN");
        ensure!(entries(&world, "rent_stop").await?.contains(&number) != there, "{name}: the rent");
    }
    Ok(())
}

/// Telnyx shows a number neither by its id nor in its list, for a moment, and was never asked to take it back: one such look
/// is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_not_shown_for_a_moment_is_given_back_all_the_same() -> Result<()> {
    let mut world = begun("not-shown").await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    let missing = json!({"errors": [{"code": "10005", "title": "Resource not found", "detail": "not found"}]});
    let by_id = json!({
        "operation": "telnyx.get_number", "nth": 1, "when": "before", "action": "status", "status": 404, "body": missing,
    });
    let by_id = world.sandbox.fault(by_id).await?;
    let empty = json!({
        "operation": "telnyx.list_numbers", "nth": 1, "contains": number.trim_start_matches('+'), "action": "alter",
        "set": {"/data": [], "/meta/total_results": 0},
    });
    let empty = world.sandbox.fault(empty).await?;
    begin_delete(&world, "atlas").await?;
    for fault in [by_id, empty] {
        world.sandbox.met(&fault, LONG).await?;
    }
    gone(&world, "atlas").await?;
    ensure!(entries(&world, "rent_stop").await? == [number.clone()], "the number {number} stays paid for");
    ensure!(!has_pin(&world, &number).await?, "the PIN is left");
    Ok(())
}

/// Telnyx fails on every DELETE: the line says so and keeps its finalizer, another line comes to life meanwhile, and when it
/// is over the number is given back once. "Not found" as the answer counts as done.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_carrier_delays_a_deletion_and_nothing_else() -> Result<()> {
    let mut world = begun("broken-carrier").await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    let fail = json!({
        "operation": "telnyx.delete_number", "nth": 1, "count": 100, "when": "before", "action": "status", "status": 503,
    });
    let fault = world.sandbox.fault(fail).await?;
    begin_delete(&world, "atlas").await?;
    world.sandbox.met(&fault, LONG).await?;
    says(&world, "atlas", "clientnumber.dev/abandon").await?;
    let other = ready(&mut world, "rif", "Release").await?;
    let line = world.lines().get("atlas").await?;
    ensure!(line.finalizers().iter().any(|f| f == "clientnumber.dev/line"), "the finalizer is gone");
    ensure!(entries(&world, "rent_stop").await?.is_empty(), "given back although the carrier failed");
    world.sandbox.delete(&format!("/faults/{fault}")).await?;
    gone(&world, "atlas").await?;
    ensure!(entries(&world, "rent_stop").await? == [number.clone()], "{:?}", entries(&world, "rent_stop").await?);

    let missing = json!({"errors": [{"code": "10005", "title": "Resource not found", "detail": "not found"}]});
    let answer = json!({
        "operation": "telnyx.delete_number", "nth": 1, "when": "after", "action": "status", "status": 404, "body": missing,
    });
    let fault = world.sandbox.fault(answer).await?;
    let before = world.sandbox.calls("telnyx.delete_number").await?;
    delete(&world, "rif").await?;
    world.sandbox.met(&fault, Duration::from_secs(1)).await?;
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == before + 1, "asked again after \"not found\"");
    ensure!(entries(&world, "rent_stop").await? == [number, other], "{:?}", entries(&world, "rent_stop").await?);
    Ok(())
}

/// The key is another account's for longer than lists may lag: that account shows neither the number nor the order that bought
/// it, which ends nothing, and neither does the order that shows again while the number was looked for in vain just before.
/// With the right key the number is given back; one that somebody released in the portal of the right account counts as gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_account_ends_no_release() -> Result<()> {
    let mut world = begun("other-account").await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    let released = ready(&mut world, "rif", "Release").await?;
    let missing = json!({"errors": [{"code": "10005", "title": "Resource not found", "detail": "not found"}]});
    let mut faults = Vec::new();
    for operation in ["telnyx.get_number", "telnyx.get_number_order"] {
        let nothing = json!({
            "operation": operation, "nth": 1, "count": 10000, "when": "before", "action": "status", "status": 404, "body": missing,
        });
        faults.push(world.sandbox.fault(nothing).await?);
    }
    let empty = json!({
        "operation": "telnyx.list_numbers", "nth": 1, "count": 10000, "action": "alter",
        "set": {"/data": [], "/meta/total_results": 0},
    });
    faults.push(world.sandbox.fault(empty).await?);
    begin_delete(&world, "atlas").await?;
    let line = world.wait_line("atlas", "False", "NumberLost", LONG).await?;
    says(&world, "atlas", "restore the right one").await?;
    ensure!(line.finalizers().iter().any(|f| f == "clientnumber.dev/line"), "the finalizer is gone");
    ensure!(has_pin(&world, &number).await?, "the PIN of a number that is paid for is gone");
    ensure!(entries(&world, "rent_stop").await?.is_empty(), "given back");
    // The right key is back between the look for the number and the look for the order.
    let hold = json!({"operation": "telnyx.get_number_order", "nth": 1, "when": "before", "action": "hold"});
    world.sandbox.delete(&format!("/faults/{}", faults.remove(1))).await?;
    let held = world.sandbox.fault(hold).await?;
    world.sandbox.holding(&held, LONG).await?;
    for fault in faults {
        world.sandbox.delete(&format!("/faults/{fault}")).await?;
    }
    world.sandbox.release(&held).await?;
    gone(&world, "atlas").await?;
    ensure!(entries(&world, "rent_stop").await? == [number.clone()], "the number {number} stays paid for");

    let asked = world.sandbox.calls("telnyx.delete_number").await?;
    world.sandbox.post(&format!("/numbers/{released}"), json!({"telnyx": {"remove": true}})).await?;
    delete(&world, "rif").await?;
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == asked, "asked to take back what is gone");
    ensure!(!has_pin(&world, &released).await?, "the PIN is left");
    Ok(())
}
