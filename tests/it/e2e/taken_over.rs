//! Another cluster takes the owner id over while the controller runs: at the next call that orders, marks, takes out of
//! service or gives back, not only at its next round, it finds out, and the number stays as the other cluster has it.
//! Witness is the sandbox's journal.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::adoption::{Carrier, another_cluster};
use super::onboarding::wait_portfolio;
use super::release::{begin_delete, ready};
use super::steps::{LONG, begun_with, bought, existing, gone, number_of, portfolio_shows, sides, world, writes};
use crate::support::World;

/// No round falls into the test, but for those that something asks for.
async fn unlooked(name: &str) -> Result<World> {
    begun_with(world(name).await?, |spec| spec["checkInterval"] = json!("24h")).await
}

/// A migration in its ordinary order: the new cluster has taken over, and then the old objects are deleted in the old one,
/// whose controller still runs.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_deleted_in_the_old_cluster_stay_in_service_in_the_new_one() -> Result<()> {
    let mut world = unlooked("migrated").await?;
    let mut numbers = Vec::new();
    for (name, policy) in [("kept", "Retain"), ("given", "Release")] {
        numbers.push((name, ready(&mut world, name, policy).await?));
    }
    let first = world.portfolios().get("main").await?.status.and_then(|s| s.cluster_id).context("no clusterId")?;
    let (_plane, mut other) =
        another_cluster(&world, "migrated-to", |spec| spec["takeOverFrom"] = json!(first)).await?;
    wait_portfolio(&other).await?;
    for (name, number) in &numbers {
        other.apply(other.line(name, &format!("{name}-co"), |_| ())).await?;
        ensure!(
            number_of(&other.wait_line(name, "True", "Ready", LONG).await?)? == *number,
            "{name} has another number"
        );
    }
    portfolio_shows(&world, &["Ready=True/Ready"]).await?;
    let before = writes(&world).await?;
    for (name, _) in &numbers {
        begin_delete(&world, name).await?;
    }
    portfolio_shows(&world, &["Ready=False/OwnerIdInUse"]).await?;
    for (name, _) in &numbers {
        world.wait_line(name, "False", "PortfolioNotReady", LONG).await?;
    }
    let after = writes(&world).await?;
    ensure!(after == before, "the old cluster wrote: {:?}", &after[before.len()..]);
    for (name, number) in &numbers {
        other.wait_line(name, "True", "Ready", LONG).await?;
        let seen = sides(&world, number).await?;
        ensure!(seen["meta"]["registered"] == true && seen["telnyx"]["status"] == "active", "{name}: {seen}");
    }
    bought(&world, 2).await?;
    Ok(())
}

/// Gives the applications of the owner id to another cluster, as its controller does; `from` and `to` are identities.
async fn hand_over(world: &World, from: &str, to: &str) -> Result<()> {
    let telnyx = Carrier { url: world.sandbox.telnyx.clone() };
    let listed = telnyx.send(Method::GET, "/texml_applications", Value::Null).await?;
    for application in listed["data"].as_array().into_iter().flatten() {
        let (id, name) = (application["id"].as_str().context("no id")?, application["friendly_name"].as_str());
        let renamed = name.context("no name")?.replace(&format!("/{from}/"), &format!("/{to}/"));
        telnyx
            .send(
                Method::PATCH,
                &format!("/texml_applications/{id}"),
                json!({"friendly_name": renamed, "voice_url": application["voice_url"]}),
            )
            .await?;
    }
    Ok(())
}

/// Does `act` when the owner id is another cluster's by now: nothing is written, and the Portfolio says so. When it is this
/// cluster's again, the work goes on by itself.
async fn refused(world: &mut World, act: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    let own = world.portfolios().get("main").await?.status.and_then(|s| s.cluster_id).context("no clusterId")?;
    hand_over(world, &own, "another").await?;
    let before = writes(world).await?;
    act(world).await?;
    portfolio_shows(world, &["Ready=False/OwnerIdInUse"]).await?;
    let after = writes(world).await?;
    ensure!(after == before, "wrote to another cluster's account: {:?}", &after[before.len()..]);
    hand_over(world, "another", &own).await?;
    wait_portfolio(world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ordered_once_another_cluster_has_taken_over() -> Result<()> {
    let mut world = unlooked("over-order").await?;
    refused(&mut world, async |world| world.apply(world.line("atlas", "atlas-co", |_| ())).await).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    bought(&world, 1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_is_marked_once_another_cluster_has_taken_over() -> Result<()> {
    const NUMBER: &str = "+212612340001";
    let mut world = unlooked("over-mark").await?;
    world.sandbox.post("/existing-numbers", json!({"phone_number": NUMBER, "tags": ["mine"]})).await?;
    let names = |world: &World| world.line("atlas", "atlas-co", |spec| spec["number"] = existing(NUMBER));
    refused(&mut world, async |world| world.apply(names(world)).await).await?;
    ensure!(number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)? == NUMBER, "another number");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_deregistered_once_another_cluster_has_taken_over() -> Result<()> {
    let mut world = unlooked("over-deregister").await?;
    let number = ready(&mut world, "atlas", "Retain").await?;
    refused(&mut world, async |world| begin_delete(world, "atlas").await).await?;
    gone(&world, "atlas").await?;
    ensure!(sides(&world, &number).await?["meta"]["registered"] == false, "still registered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_is_given_back_once_another_cluster_has_taken_over() -> Result<()> {
    let mut world = unlooked("over-delete").await?;
    let number = ready(&mut world, "atlas", "Release").await?;
    // Nothing is left to do at Meta.
    world.sandbox.post(&format!("/numbers/{number}"), json!({"meta": {"status": "DISCONNECTED"}})).await?;
    refused(&mut world, async |world| begin_delete(world, "atlas").await).await?;
    gone(&world, "atlas").await?;
    ensure!(world.sandbox.calls("telnyx.delete_number").await? == 1, "not given back once");
    ensure!(world.sandbox.calls("meta.deregister").await? == 0, "deregistered although it is out of service");
    Ok(())
}
