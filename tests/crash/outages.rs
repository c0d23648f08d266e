//! The API server, MongoDB, Telnyx or Meta goes away in the middle of twenty onboardings: nothing is lost, nothing doubled,
//! and within half a minute of its return every line goes on without anybody's help. Once in real time too, where the
//! growing gaps between attempts are as long as they get.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clientnumber::resources::ClientNumber;
use serde_json::Value;

use super::after::{self, ready};
use super::report;
use crate::support::gateway::{Gateway, Mode};
use crate::support::wait::{self, Seen};
use crate::support::{ApiProxy, ControlPlane, MongoProxy, World, WorldOptions, run_dir};

const LINES: usize = 20;
/// So many numbers are bought when it begins.
const UNDER_WAY: usize = 6;
const SCALE: f64 = 0.02;
/// Half a minute after its return every line goes on.
const RECOVERY: Duration = Duration::from_secs(30);
/// A code that was lost costs a whole gap of its own: 72 s at this scale.
const LONG: Duration = Duration::from_secs(300);

/// Of the table of each outage; times are since the first line was applied, then since its return.
const HEAD: &str = "| away | for | struck after | lines on their way | all went on after | all Ready after | purchases |\n\
    | --- | --- | --- | --- | --- | --- | --- |\n";

/// How long it is away: 10 s, a minute in the long run.
fn away() -> Duration {
    Duration::from_secs(if crate::everything() { 60 } else { 10 })
}

/// What goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    ApiServer,
    MongoDb,
    Telnyx,
    Meta,
}

struct Scene {
    world: World,
    api: ApiProxy,
    mongo: MongoProxy,
    telnyx: Gateway,
    meta: Gateway,
}

impl Scene {
    async fn start(name: &str, speed: f64, scale: f64) -> Result<Scene> {
        let plane = ControlPlane::shared().await?;
        let options = WorldOptions { speed, scale, ..WorldOptions::default() };
        let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
        let mut world = World::start(plane, binary, &run_dir(name)?, options).await?;
        after::wide_providers(&world).await?;
        let (api, mongo) = (ApiProxy::start(plane).await?, MongoProxy::start(&world.mongo).await?);
        let (telnyx, meta) = (Gateway::start(&world.sandbox.telnyx).await?, Gateway::start(&world.sandbox.meta).await?);
        world.control(Some(api.kubeconfig_path()), Some(&mongo.uri())).await?;
        world
            .apply(world.portfolio(|spec| {
                spec["telnyx"]["baseUrl"] = telnyx.url("/v2").into();
                spec["meta"]["baseUrl"] = meta.url("").into();
                spec["limits"] = after::wide_limits();
            }))
            .await?;
        after::portfolio_ready(&world).await?;
        Ok(Scene { world, api, mongo, telnyx, meta })
    }

    fn set(&self, service: Service, away: bool) {
        let mode = if away { Mode::Away } else { Mode::Open };
        match service {
            Service::ApiServer => self.api.refuse(away),
            Service::MongoDb => self.mongo.refuse(away),
            Service::Telnyx => self.telnyx.set(mode),
            Service::Meta => self.meta.set(mode),
        }
    }
}

/// What a line has achieved: all of its status but what is said about it.
fn facts(line: &ClientNumber) -> Value {
    let mut status = serde_json::to_value(&line.status).unwrap_or_default();
    for said in ["conditions", "step", "retry", "observedGeneration"] {
        status.as_object_mut().map(|status| status.remove(said));
    }
    status
}

/// Waits until every line that was on its way has gone on: it has achieved something, or waits for a time that a rule
/// names and no longer for what was away.
async fn all_go_on(world: &World, before: &BTreeMap<String, ClientNumber>, since: Instant) -> Result<()> {
    let by_rule = ["CodeRateLimited", "RegistrationLimited"];
    let deadline = RECOVERY.saturating_sub(since.elapsed());
    wait::until(deadline, "every line to go on", async || {
        let now = match after::lines(world).await {
            Ok(lines) => lines,
            Err(error) => return Seen::NotYet(error.to_string()),
        };
        let stuck: Vec<String> = before
            .iter()
            .filter(|(_, line)| !ready(line).0)
            .filter_map(|(name, was)| {
                let (is_ready, reason) = ready(now.get(name)?);
                let goes_on = is_ready || by_rule.contains(&reason.as_str()) || facts(now.get(name)?) != facts(was);
                (!goes_on).then(|| format!("{name} {reason}"))
            })
            .collect();
        wait::seen(stuck.is_empty(), stuck.join(", "))
    })
    .await
}

async fn twenty_onboardings(service: Service) -> Result<()> {
    let _turn = after::alone().await;
    let name = format!("outage-{service:?}").to_lowercase();
    let mut scene = Scene::start(&name, 0.1, SCALE).await?;
    let begun = Instant::now();
    for n in 1..=LINES {
        let name = format!("line-{n:02}");
        scene.world.apply(scene.world.line(&name, &format!("company-{n:02}"), |_| ())).await?;
    }
    let sandbox = &scene.world.sandbox;
    wait::until(LONG, &format!("{UNDER_WAY} numbers to be bought"), async || match sandbox.purchases().await {
        Ok(bought) => wait::seen(bought.len() >= UNDER_WAY, bought.len()),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    scene.set(service, true);
    let struck = begun.elapsed();
    // Nothing is hoped for: this is how long it is away.
    tokio::time::sleep(away()).await;
    // The controller sees none of it; what it could save, it has saved.
    let before = after::lines(&scene.world).await?;
    let under_way = before.values().filter(|line| !ready(line).0).count();
    ensure!(under_way >= LINES / 2, "only {under_way} lines were on their way: {service:?} was away too late");
    scene.set(service, false);
    let back = Instant::now();
    all_go_on(&scene.world, &before, back).await?;
    let recovered = back.elapsed();
    after::all_ready(&mut scene.world, LINES, LONG).await?;
    let all_ready = back.elapsed();
    after::check(&scene.world, LINES, SCALE).await?;
    let purchases = scene.world.sandbox.purchases().await?.len();
    let row = format!(
        "| {service:?} | {:?} | {struck:.1?} | {under_way} of {LINES} | {recovered:.1?} | {all_ready:.1?} | {purchases} |",
        away()
    );
    report::publish(&name, &format!("{HEAD}{row}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_away_during_twenty_onboardings() -> Result<()> {
    twenty_onboardings(Service::ApiServer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mongodb_is_away_during_twenty_onboardings() -> Result<()> {
    twenty_onboardings(Service::MongoDb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn telnyx_is_away_during_twenty_onboardings() -> Result<()> {
    twenty_onboardings(Service::Telnyx).await
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_is_away_during_twenty_onboardings() -> Result<()> {
    twenty_onboardings(Service::Meta).await
}

/// In real time, where a line alone would wait twice as long with each attempt. Three lines meet the outage, one of them
/// is applied in its midst; meanwhile hardly anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn in_real_time_a_line_goes_on_half_a_minute_after_metas_return() -> Result<()> {
    let _turn = after::alone().await;
    let mut scene = Scene::start("outage-real-time", 0.0, 1.0).await?;
    scene.set(Service::Meta, true);
    let (struck, names) = (Instant::now(), ["one", "two", "three"]);
    for name in names {
        scene.world.apply(scene.world.line(name, &format!("{name}-co"), |_| ())).await?;
    }
    for name in names {
        scene.world.wait_line(name, "False", "ProviderUnavailable", away()).await?;
    }
    tokio::time::sleep(away().saturating_sub(struck.elapsed())).await;
    let (met, before) = (scene.meta.met(), after::lines(&scene.world).await?);
    scene.set(Service::Meta, false);
    let back = Instant::now();
    all_go_on(&scene.world, &before, back).await?;
    let recovered = back.elapsed();
    for name in names {
        scene.world.wait_line(name, "True", "Ready", LONG).await?;
    }
    let (all_ready, lines) = (back.elapsed(), names.len());
    after::check(&scene.world, lines, 1.0).await?;
    let purchases = scene.world.sandbox.purchases().await?.len();
    let row = format!(
        "| Meta, real time, {met} connections tried meanwhile | {:?} | 0s | {lines} of {lines} | {recovered:.1?} | \
         {all_ready:.1?} | {purchases} |",
        away()
    );
    report::publish("outage-real-time", &format!("{HEAD}{row}\n"))
}
