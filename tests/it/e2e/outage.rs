//! One provider of one Portfolio hangs, resets, or answers with bodies that do not end: what needs it waits and says so,
//! everything else goes on, memory stays flat, and when it is back each number is bought once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::providers::Provider;
use clientnumber::resources::conditions::{ConditionType, get};
use serde_json::json;

use super::onboarding::{person, wait_portfolio};
use crate::support::gateway::{Gateway, Mode};
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

/// Slots of each step; more lines than that meet the outage. One, so that sharing slots with what hangs would keep the
/// others for many time-outs.
const SLOTS: usize = 1;
const LINES: usize = 2;
/// Two turns of hanging take a minute.
const LONG: Duration = Duration::from_secs(180);
/// The client's bound of a list is 8 MiB, and each slot may hold one while it is read.
const GROWTH_KIB: u64 = 64 * 1024;

/// A world with two Portfolios on one account each; `main` reaches `bad` through the gateway.
struct Scene {
    world: World,
    gateway: Gateway,
    /// Numbers that were bought, as far as the scene knows.
    bought: usize,
    people: u32,
}

impl Scene {
    async fn start(name: &str, bad: Provider) -> Result<Scene> {
        let plane = ControlPlane::shared().await?;
        let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
        let options = WorldOptions {
            speed: 0.02,
            scale: 0.02,
            controller_env: vec![("CONCURRENCY".into(), SLOTS.to_string())],
            ..WorldOptions::default()
        };
        let mut world = World::start(plane, binary, &run_dir(name)?, options).await?;
        let wabas = json!({"meta": {"wabas": {"104": "1020", "105": "1020"}, "number_cap": 100}});
        world.sandbox.post("/settings", wabas).await?;
        let url = if bad == Provider::Telnyx { &world.sandbox.telnyx } else { &world.sandbox.meta };
        let gateway = Gateway::start(url).await?;
        world.control(None, None).await?;
        let limits = json!({
            "maxNumbers": 100, "purchasesPerHour": 50, "purchasesPerDay": 100, "concurrentOnboardings": 20,
        });
        let main = world.portfolio(|spec| {
            match bad {
                Provider::Telnyx => spec["telnyx"]["baseUrl"] = gateway.url("/v2").into(),
                Provider::Meta | Provider::Transcriber => spec["meta"]["baseUrl"] = gateway.url("").into(),
            }
            spec["limits"] = limits.clone();
        });
        world.apply(main).await?;
        let mut other = world.portfolio(|spec| {
            spec["ownerId"] = "neighbour".into();
            spec["meta"]["wabaId"] = "105".into();
            spec["limits"] = limits.clone();
        });
        other["metadata"]["name"] = "other".into();
        world.apply(other).await?;
        wait_portfolio(&world).await?;
        world.apply(world.line("first", "first", |_| ())).await?;
        world.wait_line("first", "True", "Ready", LONG).await?;
        Ok(Scene { world, gateway, bought: 1, people: 0 })
    }

    /// The provider goes bad while `LINES` lines begin; they have met it when this returns.
    async fn strike(&mut self, mode: Mode) -> Result<Vec<String>> {
        self.gateway.set(mode);
        let stuck: Vec<String> = (1..=LINES).map(|n| format!("{mode:?}-{n}").to_lowercase()).collect();
        for line in &stuck {
            self.world.apply(self.world.line(line, line, |_| ())).await?;
        }
        let gateway = &self.gateway;
        wait::until(LONG, "all slots of the step to meet the outage", async || match gateway.met() {
            met if met >= SLOTS => Seen::Done(()),
            met => Seen::NotYet(format!("{met} requests")),
        })
        .await?;
        Ok(stuck)
    }

    /// Another Portfolio buys and registers.
    async fn neighbour(&mut self, mode: Mode) -> Result<()> {
        let name = format!("{mode:?}-neighbour").to_lowercase();
        let line = self.world.line(&name, &name, |spec| spec["portfolioRef"]["name"] = "other".into());
        self.world.apply(line).await?;
        self.world.wait_line(&name, "True", "Ready", LONG).await?;
        self.bought += 1;
        Ok(())
    }

    /// A line of the same Portfolio that needs Meta only.
    async fn external(&mut self, mode: Mode) -> Result<()> {
        let name = format!("{mode:?}-person").to_lowercase();
        self.people += 1;
        let number = format!("+2126610001{:02}", self.people);
        let line = self.world.line(&name, &name, |spec| {
            spec["number"] = json!({"existing": {"phoneNumber": number, "carrier": "External"}});
        });
        self.world.apply(line).await?;
        person(&mut self.world, &name, &number).await
    }

    /// Each line has its turn although all of them meet the outage, and says what it waits for.
    async fn all_say_so(&mut self, stuck: &[String]) -> Result<()> {
        for line in stuck {
            let waits = self.world.wait_line(line, "False", "ProviderUnavailable", LONG).await?;
            let conditions = waits.status.map(|s| s.conditions).unwrap_or_default();
            let ready = get(&conditions, ConditionType::Ready).context("no Ready")?;
            ensure!(ready.message.contains("by itself"), "{}", ready.message);
        }
        Ok(())
    }

    /// The provider is back: the lines get to their end, and no number was bought twice.
    async fn heal(&mut self, stuck: &[String]) -> Result<()> {
        self.gateway.set(Mode::Open);
        for line in stuck {
            self.world.wait_line(line, "True", "Ready", LONG).await?;
        }
        self.bought += stuck.len();
        let ledger = self.world.sandbox.purchases().await?;
        ensure!(ledger.len() == self.bought, "{} purchases instead of {}: {ledger:?}", ledger.len(), self.bought);
        Ok(())
    }

    /// The most memory that the controller ever had, in KiB.
    async fn memory(&mut self) -> Result<u64> {
        let pid = self.world.controller()?.pid().await?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_telnyx_holds_up_neither_what_needs_meta_nor_the_neighbour() -> Result<()> {
    let mut scene = Scene::start("bad-telnyx", Provider::Telnyx).await?;
    for mode in [Mode::Flood, Mode::Reset, Mode::Hang] {
        let memory = scene.memory().await?;
        let stuck = scene.strike(mode).await?;
        scene.neighbour(mode).await?;
        scene.external(mode).await?;
        scene.all_say_so(&stuck).await?;
        // The step's slots, and the Portfolio's own round.
        let most = scene.gateway.most();
        ensure!(most <= SLOTS + 1, "{most} requests at once with {SLOTS} slots");
        let grown = scene.memory().await?.saturating_sub(memory);
        ensure!(grown < GROWTH_KIB, "the controller has grown by {grown} KiB while the provider answered {mode:?}");
        scene.heal(&stuck).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_meta_holds_up_neither_what_needs_telnyx_nor_the_neighbour() -> Result<()> {
    let mut scene = Scene::start("bad-meta", Provider::Meta).await?;
    for mode in [Mode::Flood, Mode::Hang] {
        let stuck = scene.strike(mode).await?;
        scene.neighbour(mode).await?;
        let lines = scene.world.lines();
        for line in &stuck {
            let what = format!("{line} to have its number while Meta is away");
            wait::until(LONG, &what, async || match lines.get(line).await {
                Ok(line) => {
                    let conditions = line.status.map(|s| s.conditions).unwrap_or_default();
                    match get(&conditions, ConditionType::NumberAcquired) {
                        Some(c) if c.status == "True" => Seen::Done(()),
                        other => Seen::NotYet(format!("{other:?}")),
                    }
                }
                Err(error) => Seen::NotYet(error.to_string()),
            })
            .await?;
        }
        scene.all_say_so(&stuck).await?;
        scene.heal(&stuck).await?;
    }
    Ok(())
}
