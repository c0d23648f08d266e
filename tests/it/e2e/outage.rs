//! One provider of one Portfolio hangs, resets, or answers with bodies that do not end: what needs it waits and says so,
//! everything else goes on, memory stays flat, and when it is back each number is bought once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_goes_bad_holds_up_only_what_needs_it() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let options = WorldOptions {
        speed: 0.02,
        scale: 0.02,
        controller_env: vec![("CONCURRENCY".into(), SLOTS.to_string())],
        ..WorldOptions::default()
    };
    let mut world = World::start(plane, binary, &run_dir("outage")?, options).await?;
    world
        .sandbox
        .post("/settings", json!({"meta": {"wabas": {"104": "1020", "105": "1020"}, "number_cap": 100}}))
        .await?;
    let gateway = Gateway::start(&world.sandbox.telnyx).await?;
    world.control(None, None).await?;
    let limits =
        json!({"maxNumbers": 100, "purchasesPerHour": 50, "purchasesPerDay": 100, "concurrentOnboardings": 20});
    world
        .apply(world.portfolio(|spec| {
            spec["telnyx"]["baseUrl"] = gateway.url("/v2").into();
            spec["limits"] = limits.clone();
        }))
        .await?;
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

    let mut bought = 1;
    for mode in [Mode::Flood, Mode::Reset, Mode::Hang] {
        let name = format!("{mode:?}").to_lowercase();
        let memory = memory(&mut world).await?;
        gateway.set(mode);
        let stuck: Vec<String> = (1..=LINES).map(|n| format!("{name}-{n}")).collect();
        for line in &stuck {
            world.apply(world.line(line, line, |_| ())).await?;
        }
        wait::until(LONG, "all slots of the step to meet the outage", async || match gateway.met() {
            met if met >= SLOTS => Seen::Done(()),
            met => Seen::NotYet(format!("{met} requests")),
        })
        .await?;

        // Another Portfolio buys and registers; a line of this one that needs Meta only does, too.
        let (neighbour, external) = (format!("{name}-neighbour"), format!("{name}-person"));
        let in_other = world.line(&neighbour, &neighbour, |spec| spec["portfolioRef"]["name"] = "other".into());
        world.apply(in_other).await?;
        let number = format!("+2126610001{:02}", bought);
        let by_hand = world.line(&external, &external, |spec| {
            spec["number"] = json!({"existing": {"phoneNumber": number, "carrier": "External"}});
        });
        world.apply(by_hand).await?;
        world.wait_line(&neighbour, "True", "Ready", LONG).await?;
        person(&mut world, &external, &number).await?;
        bought += 1;

        // Each line had its turn although it hangs in all of them, and says what it waits for.
        for line in &stuck {
            let waits = world.wait_line(line, "False", "ProviderUnavailable", LONG).await?;
            let conditions = waits.status.map(|s| s.conditions).unwrap_or_default();
            let ready = get(&conditions, ConditionType::Ready).context("no Ready")?;
            ensure!(ready.message.contains("again by itself"), "{}", ready.message);
        }
        // The step's slots, and the Portfolio's own round with one call to Telnyx at a time.
        ensure!(gateway.most() <= SLOTS + 1, "{} requests at once with {SLOTS} slots", gateway.most());
        let grown = self::memory(&mut world).await?.saturating_sub(memory);
        ensure!(grown < GROWTH_KIB, "the controller has grown by {grown} KiB while the provider answered {mode:?}");

        gateway.set(Mode::Open);
        for line in &stuck {
            world.wait_line(line, "True", "Ready", LONG).await?;
            bought += 1;
        }
        let ledger = world.sandbox.purchases().await?;
        ensure!(ledger.len() == bought, "{} purchases instead of {bought} after {mode:?}: {ledger:?}", ledger.len());
    }
    Ok(())
}

/// The most memory that the controller ever had, in KiB.
async fn memory(world: &mut World) -> Result<u64> {
    let pid = world.controller()?.pid().await?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
