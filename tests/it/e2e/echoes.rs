//! Each call that the controller makes from purchase to release is answered with errors that quote its token, signature,
//! code and PIN: none of them gets into logs at trace, status, events or metrics, and the line gets to its end all the
//! same, with one purchase.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::leaks::places;
use super::onboarding::wait_portfolio;
use crate::support::echo::Echo;
use crate::support::leaks::{search, secrets};
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const LONG: Duration = Duration::from_secs(240);

/// Calls that are counted by Meta or can't be repeated soon are quoted once, all others in each form.
fn most(kind: &str) -> usize {
    let scarce = ["request_code", "verify_code", "register", "deregister", "number_orders"];
    if kind.starts_with("POST") && scarce.iter().any(|word| kind.ends_with(word)) { 1 } else { 6 }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_quote_the_request_leak_nothing() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let options = WorldOptions { speed: 0.01, scale: 0.01, log: "trace".into(), ..WorldOptions::default() };
    let mut world = World::start(plane, binary, &run_dir("echoes")?, options).await?;
    let telnyx = Echo::start(&world.sandbox.telnyx, most).await?;
    let meta = Echo::start(&world.sandbox.meta, most).await?;
    world.control(None, None).await?;
    world
        .apply(world.portfolio(|spec| {
            spec["telnyx"]["baseUrl"] = telnyx.url("/v2").into();
            spec["meta"]["baseUrl"] = meta.url("").into();
        }))
        .await?;
    wait_portfolio(&world).await?;
    world.apply(world.line("atlas", "atlas", |spec| spec["deletionPolicy"] = json!("Release"))).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    let markers = secrets(&world).await?;
    for kind in ["a code", "a PIN"] {
        ensure!(markers.keys().any(|k| k.starts_with(kind)), "no marker for {kind}: {:?}", markers.keys());
    }
    world.lines().delete("atlas", &Default::default()).await?;
    let lines = world.lines();
    wait::until(LONG, "the line to be gone", async || match lines.get_opt("atlas").await {
        Ok(None) => Seen::Done(()),
        Ok(Some(line)) => Seen::NotYet(format!("{:?}", line.status.map(|s| s.conditions))),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;

    let purchases = world.sandbox.purchases().await?;
    ensure!(purchases.len() == 1, "{} purchases: {purchases:?}", purchases.len());
    let (telnyx, meta) = (telnyx.quoted(), meta.quoted());
    for call in
        ["POST /{}/number_orders", "PATCH /{}/phone_numbers/{}", "DELETE /{}/phone_numbers/{}", "GET /{}/recordings"]
    {
        ensure!(telnyx.contains_key(call), "no {call}: {telnyx:?}");
    }
    for call in ["request_code", "verify_code", "register", "deregister", "phone_numbers", "debug_token"] {
        ensure!(meta.keys().any(|kind| kind.ends_with(call)), "no {call}: {meta:?}");
    }
    let places = places(plane, &world).await?;
    let log = places.get("controller.log").context("no log of the controller")?;
    // What was quoted did get as far as the log: its form is there, without the secrets.
    ensure!(log.contains("You sent:"), "no quoting answer was reported");
    let found = search(&places, &markers);
    ensure!(found.is_empty(), "leaks: {found:#?}");
    Ok(())
}
