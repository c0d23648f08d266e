//! Deletions while MongoDB or Meta is away: they are delayed and say why, other lines go on, and they end by themselves when it
//! is back. Telnyx is `giving_back.rs`'s.

use anyhow::{Result, ensure};
use clientnumber::resources::conditions::{ConditionType, get};
use kube::ResourceExt;
use serde_json::json;

use super::onboarding::wait_portfolio;
use super::release::{begin_delete, entries, has_pin, ready, retained, route_state};
use super::steps::{LONG, gone, world};
use crate::support::gateway::{Gateway, Mode};
use crate::support::wait::{self, Seen};
use crate::support::{MongoProxy, World};

/// Two lines, one of each policy, with their numbers.
struct Lines {
    given: String,
    kept: String,
}

impl Lines {
    async fn ready(world: &mut World) -> Result<Lines> {
        Ok(Lines { given: ready(world, "given", "Release").await?, kept: ready(world, "kept", "Retain").await? })
    }

    /// Both are being deleted and wait, with this reason; nothing of what ends them was done.
    async fn wait(&self, world: &mut World, reason: &str) -> Result<()> {
        for name in ["given", "kept"] {
            begin_delete(world, name).await?;
        }
        for (name, number) in [("given", &self.given), ("kept", &self.kept)] {
            let line = world.wait_line(name, "False", reason, LONG).await?;
            ensure!(line.finalizers().iter().any(|f| f == "clientnumber.dev/line"), "{name}: the finalizer is gone");
            ensure!(has_pin(world, number).await?, "{name}: the PIN is gone");
        }
        ensure!(world.sandbox.calls("telnyx.delete_number").await? == 0, "given back while it is not out of service");
        Ok(())
    }

    /// Both have ended by themselves.
    async fn ended(&self, world: &mut World) -> Result<()> {
        for (name, number) in [("given", &self.given), ("kept", &self.kept)] {
            gone(world, name).await?;
            ensure!(route_state(world, number).await? == "disabled", "{name}: still routed");
        }
        ensure!(entries(world, "rent_stop").await? == [self.given.clone()], "{:?}", entries(world, "rent_stop").await?);
        ensure!(retained(world).await? == [self.kept.clone()], "{:?}", retained(world).await?);
        ensure!(!has_pin(world, &self.given).await? && has_pin(world, &self.kept).await?, "the wrong PINs are left");
        ensure!(world.sandbox.calls("meta.deregister").await? == 2, "not deregistered once each");
        Ok(())
    }
}

/// The line gets as far as this step.
async fn gets_to(world: &World, name: &str, step: ConditionType) -> Result<()> {
    wait::until(LONG, &format!("{name} to pass {step:?}"), async || match world.lines().get(name).await {
        Ok(line) => {
            let conditions = line.status.map(|s| s.conditions).unwrap_or_default();
            match get(&conditions, step) {
                Some(c) if c.status == "True" => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_delays_deletions_and_nothing_else() -> Result<()> {
    let mut world = world("store-away").await?;
    let mongo = MongoProxy::start(&world.mongo).await?;
    world.control(None, Some(&mongo.uri())).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let lines = Lines::ready(&mut world).await?;
    mongo.refuse(true);
    lines.wait(&mut world, "StoreUnavailable").await?;
    world.apply(world.line("rif", "rif-co", |_| ())).await?;
    gets_to(&world, "rif", ConditionType::OwnershipVerified).await?;
    ensure!(route_state(&world, &lines.given).await? == "active", "the route changed while the store was away");
    mongo.refuse(false);
    lines.ended(&mut world).await?;
    world.wait_line("rif", "True", "Ready", LONG).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meta_that_is_away_delays_deletions_and_nothing_else() -> Result<()> {
    let mut world = world("meta-away").await?;
    world.sandbox.post("/settings", json!({"meta": {"wabas": {"104": "1020", "105": "1020"}}})).await?;
    let meta = Gateway::start(&world.sandbox.meta).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|spec| spec["meta"]["baseUrl"] = meta.url("").into())).await?;
    let mut other = world.portfolio(|spec| {
        spec["ownerId"] = "neighbour".into();
        spec["meta"]["wabaId"] = "105".into();
    });
    other["metadata"]["name"] = "other".into();
    world.apply(other).await?;
    wait_portfolio(&world).await?;
    let lines = Lines::ready(&mut world).await?;
    meta.set(Mode::Reset);
    lines.wait(&mut world, "ProviderUnavailable").await?;
    world.apply(world.line("rif", "rif-co", |spec| spec["portfolioRef"]["name"] = "other".into())).await?;
    world.wait_line("rif", "True", "Ready", LONG).await?;
    meta.set(Mode::Open);
    lines.ended(&mut world).await?;
    Ok(())
}
