//! No number goes on recording: one that records because of a hand in the portal is told once to reject calls again, not
//! once a pass, and one that awaits a code when Meta refuses the token rejects them at the code's end. Witnesses are the
//! sandbox's journal and its applications.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use kube::api::Patch;
use serde_json::{Value, json};

use super::steps::{LONG, answered_by, begun_with, number_of, portfolio_shows, world, writes};
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

/// Meta refuses the token while a number records, and the account is closed to all lines: at the code's end the number
/// rejects calls again all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_leaves_no_number_recording() -> Result<()> {
    let mut world = begun_with(world("refused-token").await?, |spec| spec["checkInterval"] = json!("24h")).await?;
    world.sandbox.post("/settings", json!({"voice": {"no_call": true}})).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let asked = async || match world.sandbox.calls("meta.request_code").await {
        Ok(calls) => wait::seen(calls == 1, calls),
        Err(error) => Seen::NotYet(error.to_string()),
    };
    wait::until(LONG, "a code to be asked for", asked).await?;
    let number = number_of(&world.lines().get("atlas").await?)?;
    world.sandbox.post("/settings", json!({"meta": {"token_valid": false}})).await?;
    // The first meets the refusal, the next one asks Meta what is wrong with the token.
    round(&world).await?;
    round(&world).await?;
    portfolio_shows(&world, &["Ready=False/CredentialsInvalid"]).await?;
    world.wait_line("atlas", "False", "PortfolioNotReady", LONG).await?;
    answered_by(&world, &number, "/reject", LONG).await?;
    world.sandbox.post("/settings", json!({"meta": {"token_valid": true}})).await?;
    round(&world).await?;
    let line = world.wait_line("atlas", "False", "CodeRateLimited", LONG).await?;
    let verification = line.status.and_then(|s| s.verification).context("no verification")?;
    ensure!(verification.armed_at.is_none(), "still armed: {verification:?}");
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
