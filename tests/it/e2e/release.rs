//! Deletion on real parts: what must be waited for, what may not be asked again, and what the routing table, the carrier and
//! the Portfolio show when the object is gone. Witnesses are the sandbox's ledger and journal and the routing table.

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::finding::FindingKind;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PostParams};
use kube::{Api, ResourceExt};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use super::steps::{LONG, begun, begun_with, bought, delete, existing, gone, number_of, patch, sides, world, world_at};
use crate::support::wait::{self, Seen};
use crate::support::{MongoProxy, World};

/// A Ready line of a company of its own; its number.
pub(super) async fn ready(world: &mut World, name: &str, policy: &str) -> Result<String> {
    let line = world.line(name, &format!("{name}-co"), |spec| spec["deletionPolicy"] = json!(policy));
    world.apply(line).await?;
    number_of(&world.wait_line(name, "True", "Ready", LONG).await?)
}

pub(super) async fn begin_delete(world: &World, name: &str) -> Result<()> {
    world.lines().delete(name, &Default::default()).await?;
    Ok(())
}

pub(super) async fn annotate(world: &World, name: &str, key: &str, value: &str) -> Result<()> {
    let annotations = json!({"metadata": {"annotations": {key: value}}});
    world.lines().patch(name, &Default::default(), &Patch::Merge(&annotations)).await?;
    Ok(())
}

pub(super) async fn routes(world: &World) -> Result<mongodb::Collection<Document>> {
    Ok(world.mongo.client().await?.database("clientnumber").collection("routes"))
}

pub(super) async fn route(world: &World, number: &str) -> Result<Document> {
    routes(world)
        .await?
        .find_one(doc! {"phone_number": number})
        .await?
        .with_context(|| format!("{number} has no route"))
}

pub(super) async fn route_state(world: &World, number: &str) -> Result<String> {
    Ok(route(world, number).await?.get_str("state")?.to_owned())
}

/// Numbers of the ledger's entries of this kind.
pub(super) async fn entries(world: &World, kind: &str) -> Result<Vec<String>> {
    let ledger = world.sandbox.get("/ledger").await?;
    let all = ledger["entries"].as_array().cloned().unwrap_or_default();
    let of_kind = all.iter().filter(|e| e["kind"] == kind);
    Ok(of_kind.filter_map(|e| e["phone_number"].as_str().map(str::to_owned)).collect())
}

pub(super) async fn retained(world: &World) -> Result<Vec<String>> {
    let status = world.portfolios().get("main").await?.status.unwrap_or_default();
    Ok(status.retained.into_iter().map(|kept| kept.phone_number).collect())
}

pub(super) async fn has_pin(world: &World, number: &str) -> Result<bool> {
    let pins: Api<Secret> = Api::namespaced(world.client.clone(), &world.platform);
    Ok(pins.get_opt(&format!("pin-{}", number.trim_start_matches('+'))).await?.is_some())
}

/// What a line says of itself.
pub(super) fn message(line: &ClientNumber) -> String {
    let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    conditions.first().map(|c| c.message.clone()).unwrap_or_default()
}

/// Waits until what the line says of itself holds this text; the line.
pub(super) async fn says(world: &World, name: &str, text: &str) -> Result<ClientNumber> {
    wait::until(LONG, &format!("{name} to say {text:?}"), async || match world.lines().get(name).await {
        Ok(line) => {
            let message = message(&line);
            if message.contains(text) { Seen::Done(line) } else { Seen::NotYet(message) }
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

/// Waits until an operation was called so many times.
pub(super) async fn called(world: &World, operation: &str, times: usize) -> Result<()> {
    let what = format!("{times} calls of {operation}");
    wait::until(LONG, &what, async || match world.sandbox.calls(operation).await {
        Ok(calls) => wait::seen(calls >= times, calls),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

/// MongoDB comes from an older backup while a line waits for its name: the line is not Ready before it is routed again. Then
/// the object comes from a backup, with another uid than its route names: when it is deleted, its route ends all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_was_lost_or_is_of_a_former_life() -> Result<()> {
    let mut world = begun("route-lost").await?;
    world.sandbox.post("/settings", json!({"meta": {"name_status": "PENDING_REVIEW"}})).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = number_of(&world.wait_line("atlas", "False", "NamePending", LONG).await?)?;
    routes(&world).await?.delete_one(doc! {"phone_number": &number}).await?;
    world.sandbox.post(&format!("/numbers/{number}"), json!({"meta": {"name_status": "APPROVED"}})).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    let written = route(&world, &number).await?;
    ensure!(written.get_str("state")? == "active" && written.get_str("uid").ok() == line.uid().as_deref(), "{written}");
    ensure!(world.sandbox.calls("meta.register").await? == 1, "registered more than once");

    let former = doc! {"$set": {"uid": "of-a-former-life"}};
    routes(&world).await?.update_one(doc! {"phone_number": &number}, former).await?;
    delete(&world, "atlas").await?;
    ensure!(route_state(&world, &number).await? == "disabled", "{}", route(&world, &number).await?);
    ensure!(sides(&world, &number).await?["meta"]["registered"] == false, "still registered");
    Ok(())
}

/// A line is given up while MongoDB is away: it waits and says so, and its route ends before the object goes. The number
/// stays paid for and listed, with its PIN.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_given_up_while_the_store_is_away() -> Result<()> {
    let mut world = world("given-up").await?;
    let mongo = MongoProxy::start(&world.mongo).await?;
    world.control(None, Some(&mongo.uri())).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    mongo.refuse(true);
    annotate(&world, "atlas", "clientnumber.dev/abandon", &number).await?;
    begin_delete(&world, "atlas").await?;
    world.wait_line("atlas", "False", "StoreUnavailable", LONG).await?;
    ensure!(route_state(&world, &number).await? == "active", "the route changed while the store was away");
    mongo.refuse(false);
    gone(&world, "atlas").await?;
    ensure!(route_state(&world, &number).await? == "disabled", "{}", route(&world, &number).await?);
    let findings = world.portfolios().get("main").await?.status.unwrap_or_default().findings;
    let listed = findings.iter().any(|f| f.kind == FindingKind::Abandoned && f.phone_number == number);
    ensure!(listed, "what was given up is not listed: {findings:?}");
    ensure!(has_pin(&world, &number).await?, "the PIN of a number that is paid for is gone");
    ensure!(entries(&world, "rent_stop").await?.is_empty(), "an account that is given up was written to");
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == 0, "an account that is given up was written to");
    Ok(())
}

/// What a release that waits has done until now.
async fn stillness(world: &World, name: &str, number: &str) -> Result<(Option<String>, i64, usize)> {
    let version = world.lines().get(name).await?.resource_version();
    let revision = route(world, number).await?.get_i64("revision")?;
    Ok((version, revision, world.sandbox.calls("meta.list_numbers").await?))
}

/// While a person must unlock the number nothing is written and Meta is left alone, however long it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_waits_is_quiet() -> Result<()> {
    let mut world = begun("quiet").await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    let lock = |on: bool| json!({"telnyx": {"deletion_lock": on}});
    world.sandbox.post(&format!("/numbers/{number}"), lock(true)).await?;
    begin_delete(&world, "atlas").await?;
    world.wait_line("atlas", "False", "DeletionLocked", LONG).await?;
    // Each pass looks at Telnyx once: some periods.
    let looks = world.sandbox.calls("telnyx.get_number").await?;
    called(&world, "telnyx.get_number", looks + 2).await?;
    let before = stillness(&world, "atlas", &number).await?;
    called(&world, "telnyx.get_number", looks + 8).await?;
    let after = stillness(&world, "atlas", &number).await?;
    ensure!((&after.0, after.1) == (&before.0, before.1), "written while it waited: {before:?}, {after:?}");
    // The Portfolio's own round may fall into it.
    ensure!(after.2 <= before.2 + 1, "Meta's list was read {} times", after.2 - before.2);
    world.sandbox.post(&format!("/numbers/{number}"), lock(false)).await?;
    gone(&world, "atlas").await?;
    ensure!(entries(&world, "rent_stop").await? == [number], "{:?}", entries(&world, "rent_stop").await?);
    Ok(())
}

/// Meta answers every deregister with an error: it is asked within the limit, the next time is shown and kept whatever
/// wakes the line, and a person who does it by hand ends the wait.
#[tokio::test(flavor = "multi_thread")]
async fn deregister_has_a_limit_and_its_time_is_kept() -> Result<()> {
    let limit = |spec: &mut Value| spec["limits"] = json!({"registrations": {"per72h": 2}});
    let mut world = begun_with(world("deregister").await?, limit).await?;
    let number = ready(&mut world, "atlas", "Retain").await?;
    let refuse = json!({"operation": "meta.deregister", "nth": 1, "count": 100, "when": "before", "action": "status", "status": 500});
    world.sandbox.fault(refuse).await?;
    begin_delete(&world, "atlas").await?;
    world.wait_line("atlas", "False", "RegistrationLimited", LONG).await?;
    let said = message(&says(&world, "atlas", "the next attempt follows by itself at 2").await?);
    // Another line's claims write the Portfolio again and again.
    ready(&mut world, "rif", "Retain").await?;
    ensure!(world.sandbox.calls("meta.deregister").await? == 1, "asked again before its time");
    let still = message(&world.lines().get("atlas").await?);
    ensure!(still == said, "the time moved: {said}, then {still}");

    world.sandbox.post(&format!("/numbers/{number}"), json!({"meta": {"status": "DISCONNECTED"}})).await?;
    annotate(&world, "atlas", "clientnumber.dev/retry-requested-at", "now").await?;
    gone(&world, "atlas").await?;
    ensure!(world.sandbox.calls("meta.deregister").await? == 1, "asked although it is out of service");
    Ok(())
}

/// Another line waits for the number: it is not given back under it. When it is kept instead, that line gets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_another_line_names_is_not_given_back() -> Result<()> {
    let mut world = begun("named").await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    world.apply(world.line("rif", "rif-co", |spec| spec["number"] = existing(&number))).await?;
    world.wait_line("rif", "False", "DuplicateNumber", LONG).await?;
    begin_delete(&world, "atlas").await?;
    world.wait_line("atlas", "False", "DuplicateNumber", LONG).await?;
    says(&world, "atlas", "/rif has or names").await?;
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == 0, "given back under another line");
    patch(&world, "atlas", json!({"deletionPolicy": "Retain"})).await?;
    gone(&world, "atlas").await?;
    ensure!(number_of(&world.wait_line("rif", "True", "Ready", LONG).await?)? == number, "rif has another number");
    ensure!(retained(&world).await?.is_empty(), "a number in use is listed as kept: {:?}", retained(&world).await?);
    bought(&world, 1).await?;
    Ok(())
}

/// Lines whose status was lost are deleted before anything found it again: the policy is honoured and their routes end. What
/// is kept is listed until the company's next line takes it, and not a moment longer.
#[tokio::test(flavor = "multi_thread")]
async fn lines_without_their_status_are_released_all_the_same() -> Result<()> {
    let mut world = begun("statusless").await?;
    let given = ready(&mut world, "given", "Release").await?;
    let kept = ready(&mut world, "kept", "Retain").await?;
    world.controller()?.stop().await?;
    for name in ["given", "kept"] {
        let mut line = world.lines().get(name).await?;
        line.status = Some(serde_json::from_value(json!({"observedGeneration": -1}))?);
        world.lines().replace_status(name, &PostParams::default(), &line).await?;
        begin_delete(&world, name).await?;
    }
    world.controller()?.restart().await?;
    for name in ["given", "kept"] {
        gone(&world, name).await?;
    }
    ensure!(entries(&world, "rent_stop").await? == [given.clone()], "{:?}", entries(&world, "rent_stop").await?);
    ensure!(retained(&world).await? == [kept.clone()], "{:?}", retained(&world).await?);
    ensure!(!has_pin(&world, &given).await? && has_pin(&world, &kept).await?, "the wrong PINs are left");
    for number in [&given, &kept] {
        ensure!(route_state(&world, number).await? == "disabled", "{}", route(&world, number).await?);
    }
    ensure!(sides(&world, &kept).await?["meta"]["registered"] == false, "still registered");
    world.apply(world.line("again", "kept-co", |_| ())).await?;
    ensure!(number_of(&world.wait_line("again", "True", "Ready", LONG).await?)? == kept, "not its company's number");
    ensure!(retained(&world).await?.is_empty(), "a number in use is listed as kept: {:?}", retained(&world).await?);
    bought(&world, 2).await?;
    Ok(())
}

/// The answer to a registration is lost and the line is deleted before Meta shows its effect: that is waited for, so that no
/// number stays connected that was given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_on_its_way_is_waited_for() -> Result<()> {
    // Two minutes are half a minute: time to kill and restart.
    let mut world = begun_with(world_at("registering", 0.25).await?, |_| ()).await?;
    let hold = json!({"operation": "meta.register", "nth": 1, "when": "before", "action": "hold"});
    let held = world.sandbox.fault(hold).await?;
    world.apply(world.line("atlas", "atlas-logistics", |spec| spec["deletionPolicy"] = json!("Release"))).await?;
    world.sandbox.holding(&held, LONG).await?;
    let number = number_of(&world.lines().get("atlas").await?)?;
    world.controller()?.kill().await?;
    begin_delete(&world, "atlas").await?;
    world.controller()?.restart().await?;
    says(&world, "atlas", "Meta may still be at work on a registration").await?;
    world.sandbox.release(&held).await?;
    gone(&world, "atlas").await?;
    let left = sides(&world, &number).await?;
    ensure!(left["meta"]["registered"] == false, "given back and connected: {left}");
    ensure!(world.sandbox.calls("meta.deregister").await? == 1, "not deregistered once");
    ensure!(entries(&world, "rent_stop").await? == [number], "{:?}", entries(&world, "rent_stop").await?);
    Ok(())
}

/// Meta refuses to deregister in a way that a person must settle: that is shown for as long as it stands, also while the next
/// attempt is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_to_deregister_is_not_hidden() -> Result<()> {
    let limit = |spec: &mut Value| spec["limits"] = json!({"registrations": {"per72h": 2}});
    let mut world = begun_with(world("refused").await?, limit).await?;
    let number = ready(&mut world, "atlas", "Retain").await?;
    let no =
        json!({"error": {"message": "(#10) no permission", "type": "OAuthException", "code": 10, "fbtrace_id": "A"}});
    let refuse = json!({
        "operation": "meta.deregister", "nth": 1, "count": 100, "when": "before", "action": "status", "status": 403, "body": no,
    });
    world.sandbox.fault(refuse).await?;
    begin_delete(&world, "atlas").await?;
    world.wait_line("atlas", "False", "CredentialsInvalid", LONG).await?;
    let said = message(&says(&world, "atlas", "Meta refuses to deregister the line").await?);
    // Passes that only read and wait, within the time of its effect and after it.
    let looks = world.sandbox.calls("meta.list_numbers").await?;
    called(&world, "meta.list_numbers", looks + 6).await?;
    let line = world.lines().get("atlas").await?;
    let status = line.status.clone().unwrap_or_default();
    ensure!(status.retry.is_none_or(|retry| retry.last_error.is_none()), "no pass but the one that was refused");
    ensure!(message(&line) == said, "hidden: {}", message(&line));
    ensure!(status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True"), "{:?}", status.conditions);
    ensure!(world.sandbox.calls("meta.deregister").await? == 1, "asked again before its time");

    world.sandbox.post(&format!("/numbers/{number}"), json!({"meta": {"status": "DISCONNECTED"}})).await?;
    annotate(&world, "atlas", "clientnumber.dev/retry-requested-at", "now").await?;
    gone(&world, "atlas").await
}
