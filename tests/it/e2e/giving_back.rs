//! Giving a number back on real parts: when it counts as gone, and when not. Witnesses are the sandbox's ledger and journal.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::onboarding::wait_portfolio;
use super::release::{annotate, begin_delete, entries, has_pin, ready, retained, says};
use super::steps::{LONG, begun, binary, delete, gone, patch, patch_portfolio};
use crate::support::world::APP_SECRET;
use crate::support::{Sandbox, run_dir};

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

/// The DELETE was refused, and then the key is another account's: what was asked and never granted proves nothing there,
/// whether the number is to go or by now to be kept. With the right key the release ends as it should.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_was_refused_proves_nothing_in_another_account() -> Result<()> {
    let mut world = begun("refused-delete").await?;
    let given = ready(&mut world, "atlas", "Release").await?;
    let kept = ready(&mut world, "rif", "Release").await?;
    let no = json!({"errors": [{"code": "10010", "title": "Authorization failed", "detail": "no permission"}]});
    let refuse = json!({
        "operation": "telnyx.delete_number", "nth": 1, "count": 10000, "when": "before", "action": "status", "status": 403, "body": no,
    });
    let refusal = world.sandbox.fault(refuse).await?;
    for name in ["atlas", "rif"] {
        begin_delete(&world, name).await?;
        let line = says(&world, name, "to give it up").await?;
        let asked = line.status.and_then(|s| s.purchase?.give_back);
        ensure!(asked.as_ref().is_some_and(|asked| asked.answered_at.is_none()), "{name}: {asked:?}");
    }
    world.controller()?.kill().await?;
    world.sandbox.delete(&format!("/faults/{refusal}")).await?;
    let hook = format!("{}/webhook", world.webhook_url);
    let other = Sandbox::start(binary(), &run_dir("refused-delete-other")?, &hook, APP_SECRET, 0.02, 2).await?;
    patch_portfolio(&world, json!({"telnyx": {"baseUrl": other.telnyx}})).await?;
    patch(&world, "rif", json!({"deletionPolicy": "Retain"})).await?;
    world.controller()?.restart().await?;
    for (name, number) in [("atlas", &given), ("rif", &kept)] {
        annotate(&world, name, "clientnumber.dev/retry-requested-at", "now").await?;
        let line = world.wait_line(name, "False", "NumberLost", LONG).await?;
        says(&world, name, "restore the right one").await?;
        ensure!(line.finalizers().iter().any(|f| f == "clientnumber.dev/line"), "{name}: the finalizer is gone");
        ensure!(has_pin(&world, number).await?, "{name}: the PIN of a number that is paid for is gone");
    }
    ensure!(other.calls("telnyx.delete_number").await? == 0, "another account was asked to take a number back");

    patch_portfolio(&world, json!({"telnyx": {"baseUrl": world.sandbox.telnyx}})).await?;
    wait_portfolio(&world).await?;
    for name in ["atlas", "rif"] {
        gone(&world, name).await?;
    }
    ensure!(entries(&world, "rent_stop").await? == [given.clone()], "{:?}", entries(&world, "rent_stop").await?);
    ensure!(retained(&world).await? == [kept.clone()], "{:?}", retained(&world).await?);
    ensure!(!has_pin(&world, &given).await? && has_pin(&world, &kept).await?, "the wrong PINs are left");
    Ok(())
}

/// The answer to the DELETE of the account's last number, which was adopted, is lost with the process: that it is gone is
/// believed although nothing but old orders tells that this is the account which had it.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_number_goes_although_its_answer_was_lost() -> Result<()> {
    let mut world = begun("last-number").await?;
    let number = ready(&mut world, "atlas", "Retain").await?;
    delete(&world, "atlas").await?;
    world.apply(world.line("heir", "atlas-co", |spec| spec["deletionPolicy"] = json!("Release"))).await?;
    world.wait_line("heir", "True", "Ready", LONG).await?;
    let hold = json!({"operation": "telnyx.delete_number", "nth": 1, "when": "after", "action": "hold"});
    let held = world.sandbox.fault(hold).await?;
    begin_delete(&world, "heir").await?;
    world.sandbox.holding(&held, LONG).await?;
    world.controller()?.kill().await?;
    world.controller()?.restart().await?;
    gone(&world, "heir").await?;
    ensure!(entries(&world, "rent_stop").await? == [number.clone()], "{:?}", entries(&world, "rent_stop").await?);
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == 1, "asked again for what is gone");
    ensure!(!has_pin(&world, &number).await? && retained(&world).await?.is_empty(), "PIN or entry are left");
    Ok(())
}
