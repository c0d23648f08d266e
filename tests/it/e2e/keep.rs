//! No number goes on recording: one that records because of a hand in the portal is told once to reject calls again, not
//! once a pass, and one that awaits a code when Meta refuses the token rejects them at the code's end. Witnesses are the
//! sandbox's journal and its applications.

use anyhow::{Context, Result, ensure};
use clientnumber::domain::CompanyId;
use clientnumber::store::{Store, StoreOptions};
use jiff::Timestamp;
use kube::api::Patch;
use serde_json::{Value, json};

use super::steps::{
    LONG, answered_by, begun_with, message_of, number_of, patch, portfolio_shows, world, world_at, writes,
};
use crate::support::World;
use crate::support::wait::{self, Seen};
use crate::support::world::TELNYX_KEY;

/// A round that began after this call.
async fn round(world: &World) -> Result<()> {
    let last = world.portfolios().get("main").await?.status.and_then(|s| s.last_round_at);
    let mut asked: Option<Timestamp> = None;
    wait::until(LONG, "a round", async || {
        let now = Timestamp::now();
        // A round's time is whole seconds: one that fell into the same second as the last is asked for again.
        if asked.is_none_or(|at| now.duration_since(at).as_secs() >= 2) {
            asked = Some(now);
            let patch = json!({"metadata": {"annotations": {"clientnumber.dev/retry-requested-at": now.to_string()}}});
            if let Err(error) = world.portfolios().patch("main", &Default::default(), &Patch::Merge(&patch)).await {
                return Seen::NotYet(error.to_string());
            }
        }
        match world.portfolios().get("main").await {
            Ok(portfolio) => wait::seen(portfolio.status.and_then(|s| s.last_round_at) > last, "no new round"),
            Err(error) => Seen::NotYet(error.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_records_is_told_once_to_reject() -> Result<()> {
    // The interval of rounds is out of reach: they come when asked for.
    let mut world = begun_with(world("keep").await?, |spec| spec["checkInterval"] = json!("24h")).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)?;
    let status = world.portfolios().get("main").await?.status.context("no status")?;
    let capture = status.applications.context("no applications")?.capture;

    let before = writes(&world).await?.len();
    let change = json!({"telnyx": {"connection_id": capture}});
    world.sandbox.post(&format!("/numbers/{number}"), change).await?;
    round(&world).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    // What would go on by itself has gone on by then.
    for _ in 0..2 {
        round(&world).await?;
    }
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    let told = writes(&world).await?.split_off(before);
    ensure!(told.len() == 1 && told[0].contains("/phone_numbers/"), "told more than once: {told:?}");
    Ok(())
}

/// A line whose number records, since Meta was asked for a code that never comes. The number.
async fn recording(world: &World, line: Value) -> Result<String> {
    world.sandbox.post("/settings", json!({"voice": {"no_call": true}})).await?;
    world.apply(line).await?;
    let asked = async || match world.sandbox.calls("meta.request_code").await {
        Ok(calls) => wait::seen(calls == 1, calls),
        Err(error) => Seen::NotYet(error.to_string()),
    };
    wait::until(LONG, "a code to be asked for", asked).await?;
    number_of(&world.lines().get("atlas").await?)
}

/// Meta refuses the token, and the account is closed to all lines.
async fn refuse_the_token(world: &World) -> Result<()> {
    world.sandbox.post("/settings", json!({"meta": {"token_valid": false}})).await?;
    // The first meets the refusal, the next one asks Meta what is wrong with the token.
    round(world).await?;
    round(world).await?;
    portfolio_shows(world, &["Ready=False/CredentialsInvalid"]).await
}

/// Meta refuses the token while a number records: at the code's end the number rejects calls again all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_leaves_no_number_recording() -> Result<()> {
    let mut world = begun_with(world("refused-token").await?, |spec| spec["checkInterval"] = json!("24h")).await?;
    let number = recording(&world, world.line("atlas", "atlas-logistics", |_| ())).await?;
    refuse_the_token(&world).await?;
    world.wait_line("atlas", "False", "PortfolioNotReady", LONG).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    world.sandbox.post("/settings", json!({"meta": {"token_valid": true}})).await?;
    round(&world).await?;
    let line = world.wait_line("atlas", "False", "CodeRateLimited", LONG).await?;
    let verification = line.status.and_then(|s| s.verification).context("no verification")?;
    ensure!(verification.armed_at.is_none(), "still armed: {verification:?}");
    Ok(())
}

/// The same for a controller that began after the token was refused and has never had an account.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_one_that_was_refused_before_the_start() -> Result<()> {
    let mut world = begun_with(world("refused-before").await?, |spec| spec["checkInterval"] = json!("24h")).await?;
    let number = recording(&world, world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.controller()?.kill().await?;
    world.sandbox.post("/settings", json!({"meta": {"token_valid": false}})).await?;
    world.control(None, None).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    portfolio_shows(&world, &["Ready=False/CredentialsInvalid"]).await
}

/// The same for a line that is deleted meanwhile: at once, since nobody awaits the code any more.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_deletion_under_a_refused_token() -> Result<()> {
    // A code lives for five minutes, which is longer than this waits.
    let world = world_at("refused-deletion", 0.5).await?;
    let world = begun_with(world, |spec| spec["checkInterval"] = json!("24h")).await?;
    let number = recording(&world, world.line("atlas", "atlas-logistics", |_| ())).await?;
    refuse_the_token(&world).await?;
    world.lines().delete("atlas", &Default::default()).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    ensure!(world.lines().get_opt("atlas").await?.is_some(), "given up without its account");
    Ok(())
}

/// Meta's list is held back for an hour while a code is listened for: it ends with the code's time all the same.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_list_that_is_held_back() -> Result<()> {
    let world = begun_with(world("list-held-back").await?, |spec| spec["checkInterval"] = json!("24h")).await?;
    let number = recording(&world, world.line("atlas", "atlas-logistics", |_| ())).await?;
    let held = json!({"operation": "meta.list_numbers", "nth": 1, "count": 1_000, "when": "before",
        "action": "throttle", "retry_after_s": 3_600});
    world.sandbox.fault(held).await?;
    answered_by(&world, &number, "/reject", LONG).await
}

/// Work is stopped while a code is awaited, and goes on within its time: nothing that is said to the number by then is
/// taken for the code, and the line says when the next one follows.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_is_listened_for_no_more() -> Result<()> {
    // The same: all of it happens while the code may still arrive.
    let world = world_at("stopped-listening", 0.5).await?;
    let mut world = begun_with(world, |spec| spec["checkInterval"] = json!("24h")).await?;
    let number = recording(&world, world.line("atlas", "atlas-logistics", |_| ())).await?;
    patch(&world, "atlas", json!({"suspend": true})).await?;
    world.wait_line("atlas", "False", "Suspended", LONG).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    patch(&world, "atlas", json!({"suspend": false})).await?;
    let said = wait::until(LONG, "the line to say why it waits", async || match world.lines().get("atlas").await {
        Ok(line) if message_of(&line).starts_with("work was stopped") => Seen::Done(message_of(&line)),
        Ok(line) => Seen::NotYet(message_of(&line)),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    let begins =
        "work was stopped while a code was awaited, so that it can't be caught; the next attempt follows by itself at ";
    ensure!(
        said.starts_with(begins)
            && said.ends_with(" UTC, or hand a code in with kubectl clientnumber verify atlas --code 123456"),
        "{said}"
    );
    ensure!(world.sandbox.calls("meta.request_code").await? == 1, "asked for again while the first may arrive");
    Ok(())
}

/// Somebody leads the application that records elsewhere, and no round is due: it is put right before a code is spent.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_leads_elsewhere_is_put_right() -> Result<()> {
    let mut world = begun_with(world("led-elsewhere").await?, |spec| spec["checkInterval"] = json!("24h")).await?;
    let status = world.portfolios().get("main").await?.status.context("no status")?;
    let capture = status.applications.context("no applications")?.capture;
    let application = format!("{}/texml_applications/{capture}", world.sandbox.telnyx);
    let client = reqwest::Client::new();
    let read = async || -> Result<Value> {
        let answer = client.get(&application).bearer_auth(TELNYX_KEY).send().await?.error_for_status()?;
        Ok(answer.json::<Value>().await?["data"].clone())
    };
    let before = read().await?;
    let elsewhere = json!({"friendly_name": before["friendly_name"], "voice_url": "http://127.0.0.1:9/elsewhere.xml"});
    client.patch(&application).bearer_auth(TELNYX_KEY).json(&elsewhere).send().await?.error_for_status()?;
    ensure!(read().await?["voice_url"] == elsewhere["voice_url"], "not changed");
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(world.sandbox.calls("meta.request_code").await? == 1, "not one code");
    let after = read().await?;
    ensure!(after["voice_url"] == before["voice_url"], "{after}");
    Ok(())
}

/// Routers remove what is older than the company's record says: a changed retention gets there.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_retention_reaches_the_routers() -> Result<()> {
    let mut world = begun_with(world("retention").await?, |_| ()).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    let store = Store::connect(&world.mongo.uri().into(), StoreOptions::default()).await?;
    let company = CompanyId::parse("atlas-logistics")?;
    let days = async || anyhow::Ok(store.companies().get(&company).await?.context("no company")?.retention_days);
    ensure!(days().await? == 730, "{}", days().await?);
    patch(&world, "atlas", json!({"retentionDays": 30})).await?;
    wait::until(LONG, "the company's retention", async || match days().await {
        Ok(days) => wait::seen(days == 30, days),
        Err(error) => Seen::NotYet(format!("{error:#}")),
    })
    .await?;
    world.wait_line("atlas", "True", "Ready", LONG).await.map(|_| ())
}
