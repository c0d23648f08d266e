//! Two lines with one number: applied at once, or after a restore. One of them is in service with it, whatever becomes of the
//! other; when that one goes, the other goes on with it. Witnesses are the sandbox's journal and the routing table.

use anyhow::{Context, Result, ensure};
use clientnumber::resources::{ClientNumber, ClientNumberStatus};
use kube::ResourceExt;
use kube::api::PostParams;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use super::release::{begin_delete, entries, ready, retained, route, routes};
use super::steps::{LONG, begun, bought, delete, gone, number_of, reason_of, sides, world};
use crate::support::wait::{self, Seen};
use crate::support::{ApiProxy, ApiRule, ControlPlane, Point, World};

/// An object as a backup brings it back: with a finalizer and this status. The controller does not run.
async fn restored(world: &World, line: Value, status: &ClientNumberStatus) -> Result<()> {
    let mut line = line;
    line["metadata"]["finalizers"] = json!(["clientnumber.dev/line"]);
    let name = line["metadata"]["name"].as_str().context("no name")?.to_owned();
    world.apply(line).await?;
    let mut line = world.lines().get(&name).await?;
    line.status = Some(status.clone());
    world.lines().replace_status(&name, &PostParams::default(), &line).await?;
    Ok(())
}

/// The number is in service for this line.
async fn serves(world: &World, number: &str, line: &str) -> Result<Document> {
    let route = route(world, number).await?;
    let object = format!("{}/{line}", world.clients);
    ensure!(route.get_str("state")? == "active" && route.get_str("object")? == object, "not {line}'s: {route}");
    let at_meta = sides(world, number).await?["meta"].clone();
    ensure!(at_meta["registered"] == true, "not registered: {at_meta}");
    Ok(route)
}

/// Portfolios of one WhatsApp Business Account whose lines name the same number at once: while the first has claimed it and
/// has not recorded it yet, the second is told. Deleting that one changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_two_portfolios_name_goes_to_one_line() -> Result<()> {
    const NUMBER: &str = "+212661000001";
    let mut world = world("two-portfolios").await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?).await?;
    world.control(Some(proxy.kubeconfig_path()), None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    let mut second = world.portfolio(|spec| spec["ownerId"] = json!("second"));
    second["metadata"]["name"] = json!("second");
    world.apply(second).await?;
    wait_portfolio(&world).await?;
    let records = |body: &Value| body["status"]["phoneNumber"] == NUMBER;
    let recording =
        proxy.hold(ApiRule::put().path_ends("/clientnumbers/atlas/status").body(records), Point::BeforeEffect);
    let line = |name: &str, portfolio: &str| {
        world.line(name, &format!("{name}-co"), |spec| {
            spec["number"] = json!({"existing": {"phoneNumber": NUMBER, "carrier": "External"}});
            spec["portfolioRef"]["name"] = json!(portfolio);
        })
    };
    world.apply(line("atlas", "main")).await?;
    recording.wait(LONG).await?;
    world.apply(line("rif", "second")).await?;
    let lines = world.lines();
    let told = async |name: &str| {
        wait::until(LONG, &format!("{name} to be told that the number is claimed"), async || {
            match lines.get(name).await {
                Ok(line) if number_of(&line).is_ok() => Seen::Never("it has the number too".into()),
                Ok(line) => wait::seen(reason_of(&line) == "DuplicateNumber", reason_of(&line)),
                Err(error) => Seen::NotYet(error.to_string()),
            }
        })
        .await
    };
    told("rif").await?;
    recording.release();
    world.wait_line("atlas", "False", "CodeNeeded", LONG).await?;
    delete(&world, "rif").await?;
    ensure!(number_of(&lines.get("atlas").await?)? == NUMBER, "atlas has lost the number");
    ensure!(world.sandbox.calls("meta.create_number").await? == 1, "handed to Meta more than once");
    Ok(())
}

/// Objects come back from a backup with a number that a successor has taken since, one of its company and one of another.
/// They are deleted again: the successor stays in service, and its number is neither kept nor given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_object_that_is_deleted_leaves_its_successor_in_service() -> Result<()> {
    let mut world = begun("stale").await?;
    let number = ready(&mut world, "atlas", "Retain").await?;
    let before = serves(&world, &number, "atlas").await?;
    let status = world.lines().get("atlas").await?.status.context("no status")?;
    world.controller()?.stop().await?;
    for (name, company, policy) in [("kept", "atlas-co", "Retain"), ("given", "former-co", "Release")] {
        let line = world.line(name, company, |spec| spec["deletionPolicy"] = json!(policy));
        restored(&world, line, &status).await?;
        begin_delete(&world, name).await?;
    }
    world.controller()?.restart().await?;
    for name in ["kept", "given"] {
        gone(&world, name).await?;
    }
    ensure!(serves(&world, &number, "atlas").await? == before, "the route was changed");
    ensure!(world.sandbox.calls("meta.deregister").await? == 0, "a line in service was deregistered");
    ensure!(entries(&world, "rent_stop").await?.is_empty(), "a number in use was given back");
    ensure!(retained(&world).await?.is_empty(), "a number in use is listed as kept: {:?}", retained(&world).await?);
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    bought(&world, 1).await?;
    Ok(())
}

/// Two objects of one company have recorded one number. The second does not take the route of the first, which is there;
/// when the first is deleted, the second goes on with the number. The route of an object that is gone it does take.
#[tokio::test(flavor = "multi_thread")]
async fn the_route_of_an_object_that_is_there_is_not_taken() -> Result<()> {
    let mut world = begun("not-taken").await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    let mut status = world.lines().get("atlas").await?.status.context("no status")?;
    (status.route, status.registration) = (None, None);
    world.controller()?.stop().await?;
    restored(&world, world.line("casa", "atlas-co", |_| ()), &status).await?;
    world.controller()?.restart().await?;
    world.wait_line("casa", "False", "DuplicateNumber", LONG).await?;
    serves(&world, &number, "atlas").await?;

    delete(&world, "atlas").await?;
    world.wait_line("casa", "True", "Ready", LONG).await?;
    serves(&world, &number, "casa").await?;
    ensure!(world.sandbox.calls("meta.deregister").await? == 1, "the line in service was not deregistered once");
    ensure!(entries(&world, "rent_stop").await?.is_empty(), "the number of a line that stays was given back");
    ensure!(retained(&world).await?.is_empty(), "a number in use is listed as kept: {:?}", retained(&world).await?);

    world.controller()?.stop().await?;
    let gone = doc! {"$set": {"uid": "of-one-that-is-gone", "object": format!("{}/gone", world.clients)}};
    routes(&world).await?.update_one(doc! {"phone_number": &number}, gone).await?;
    let mut line: ClientNumber = world.lines().get("casa").await?;
    line.status = Some(status);
    world.lines().replace_status("casa", &PostParams::default(), &line).await?;
    world.controller()?.restart().await?;
    // Its status says Ready from before.
    let taken = wait::until(LONG, "casa to take the route", async || serves(&world, &number, "casa").await).await?;
    ensure!(taken.get_str("uid").ok() == line.uid().as_deref(), "{taken}");
    world.wait_line("casa", "True", "Ready", LONG).await?;
    bought(&world, 1).await?;
    Ok(())
}
