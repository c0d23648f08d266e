//! SIGKILL of the controller at named points of an onboarding, then a restart: Ready, one purchase, one code request, no
//! orphan. Each point is forced by the proxy before the API server or by the sandbox, never by timing. With the saved
//! candidate left out on purpose, the same check fails.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use crate::support::wait::{self, Seen};
use crate::support::{ApiProxy, ApiRule, ControlPlane, Point, World, WorldOptions, run_dir};

const LONG: Duration = Duration::from_secs(120);

/// Where the controller is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The Portfolio's ledger holds the claim, the line's status does not hold the candidate.
    AfterLedgerClaim,
    /// The candidate is saved; the order is on its way and arrives later than the restart.
    BeforeOrder,
    /// The order took effect, its answer is lost.
    AfterOrder,
    /// Meta was asked to call and has not called yet.
    BeforeCall,
    /// The line is registered, its answer is lost.
    AfterRegister,
}

fn phase_is(body: &Value, phase: &str) -> bool {
    body["status"]["purchase"]["phase"] == phase
}

/// Runs an onboarding with a kill at this point and a restart. The controller goes on talking through the proxy.
async fn crash(at: At, env: &[(&str, &str)]) -> Result<(World, ApiProxy)> {
    let plane = ControlPlane::shared().await?;
    let proxy = ApiProxy::start(plane).await?;
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let options = WorldOptions { controller_env: env, ..WorldOptions::default() };
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let name = format!("crash-{at:?}").to_lowercase();
    let mut world = World::start(plane, binary, &run_dir(&name)?, options).await?;
    world.control(Some(proxy.kubeconfig_path()), None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let line = world.line("atlas", "atlas-logistics", |_| ());
    let fault = |operation: &str, when: &str| json!({"operation": operation, "nth": 1, "when": when, "action": "hold"});
    match at {
        At::AfterLedgerClaim => {
            let intent = ApiRule::put().path_ends("/clientnumbers/atlas/status").body(|b| phase_is(b, "Intended"));
            let held = proxy.hold(intent, Point::BeforeEffect);
            world.apply(line).await?;
            held.wait(LONG).await?;
            world.controller()?.kill().await?;
            held.cut();
            ensure!(!ledger(&world).await?.is_empty(), "the ledger holds no claim at the point of the kill");
        }
        At::BeforeOrder => {
            let id = world.sandbox.fault(fault("telnyx.create_number_order", "before")).await?;
            world.apply(line).await?;
            world.sandbox.holding(&id, LONG).await?;
            world.controller()?.kill().await?;
            // Prices change meanwhile: whoever chooses anew chooses another number.
            let dear = json!({"mobile": {"upfront": "6.00", "monthly": "6.00"}});
            world.sandbox.post("/settings", json!({"telnyx": {"prices": dear}})).await?;
            world.controller()?.restart().await?;
            world.wait_line("atlas", "True", "Ready", LONG).await?;
            world.sandbox.release(&id).await?;
            answered(&world, &id).await?;
            return Ok((world, proxy));
        }
        At::AfterOrder => kill_at(&mut world, line, fault("telnyx.create_number_order", "after")).await?,
        At::BeforeCall => kill_at(&mut world, line, fault("sandbox.call", "before")).await?,
        At::AfterRegister => kill_at(&mut world, line, fault("meta.register", "after")).await?,
    }
    proxy.clear();
    world.controller()?.restart().await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    Ok((world, proxy))
}

/// Applies the line, waits until the sandbox holds the request, kills the controller and lets the request go.
async fn kill_at(world: &mut World, line: Value, fault: Value) -> Result<()> {
    let id = world.sandbox.fault(fault).await?;
    world.apply(line).await?;
    world.sandbox.holding(&id, LONG).await?;
    world.controller()?.kill().await?;
    world.sandbox.release(&id).await
}

/// Waits until the order that was held has come to its end: refused, or delivered and in the ledger.
async fn answered(world: &World, fault: &str) -> Result<()> {
    wait::until(LONG, "the held order to end", async || {
        let state = world.sandbox.get(&format!("/faults/{fault}")).await.unwrap_or_default();
        let journal = world.sandbox.get("/journal?operation=telnyx.create_number_order").await.unwrap_or_default();
        let bought = world.sandbox.purchases().await.unwrap_or_default().len();
        let calls = journal["entries"].as_array().cloned().unwrap_or_default();
        let open = calls.iter().filter(|e| e["status"].is_null()).count();
        let accepted = calls.iter().filter(|e| e["status"] == 200).count();
        let ended = state["holding"] == 0 && open == 0 && accepted == bought;
        if ended { Seen::Done(()) } else { Seen::NotYet(format!("{accepted} accepted, {bought} bought, {state}")) }
    })
    .await
}

async fn ledger(world: &World) -> Result<Vec<String>> {
    let portfolio = world.portfolios().get("main").await?;
    Ok(portfolio.status.map(|s| s.ledger).unwrap_or_default().into_iter().map(|e| e.phone_number).collect())
}

/// What must hold after any crash.
async fn check(world: &World) -> Result<()> {
    let purchases = world.sandbox.purchases().await?;
    ensure!(purchases.len() == 1, "{} purchases: {purchases:?}", purchases.len());
    let line = world.lines().get("atlas").await?;
    let status = line.status.context("no status")?;
    ensure!(
        purchases[0]["phone_number"].as_str() == status.phone_number.as_deref(),
        "bought {} but the line has {:?}",
        purchases[0],
        status.phone_number
    );
    let codes = world.sandbox.get("/numbers").await?;
    let at_meta: Vec<&Value> =
        codes["numbers"].as_array().into_iter().flatten().filter(|n| !n["meta"].is_null()).collect();
    ensure!(at_meta.len() == 1, "{} numbers at Meta: {codes}", at_meta.len());
    ensure!(at_meta[0]["meta"]["code_requests"] == 1, "code requests: {}", at_meta[0]);
    ensure!(at_meta[0]["meta"]["registers"] == 1, "registers: {}", at_meta[0]);
    let application = at_meta[0]["telnyx"]["application"].as_str().unwrap_or_default();
    ensure!(application.ends_with("/reject"), "calls still run through {application}");
    no_orphan(world).await
}

/// A fresh round over the accounts finds nothing that belongs to no object.
async fn no_orphan(world: &World) -> Result<()> {
    let last = world.portfolios().get("main").await?.status.and_then(|s| s.last_round_at);
    let mut asked: Option<jiff::Timestamp> = None;
    wait::until(LONG, "a round without orphans", async || {
        let now = jiff::Timestamp::now();
        // A round's time is whole seconds: one that fell into the same second as the last is asked for again.
        if asked.is_none_or(|at| now.duration_since(at).as_secs() >= 3) {
            asked = Some(now);
            let patch = json!({"metadata": {"annotations": {"clientnumber.dev/retry-requested-at": now.to_string()}}});
            let patch = kube::api::Patch::Merge(&patch);
            if let Err(error) = world.portfolios().patch("main", &Default::default(), &patch).await {
                return Seen::NotYet(error.to_string());
            }
        }
        let status = match world.portfolios().get("main").await {
            Ok(portfolio) => portfolio.status.unwrap_or_default(),
            Err(error) => return Seen::NotYet(error.to_string()),
        };
        let numbers = status.numbers.clone().unwrap_or_default();
        match status.last_round_at > last {
            false => Seen::NotYet("no new round".to_owned()),
            true if numbers.orphaned == 0 && numbers.retained == 0 && numbers.used == 1 => Seen::Done(()),
            true => Seen::Never(format!("{numbers:?} {:?}", status.retained)),
        }
    })
    .await
}

macro_rules! crash_tests {
    ($($name:ident: $at:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() -> Result<()> {
                let (world, _proxy) = crash(At::$at, &[]).await?;
                check(&world).await
            }
        )*
    };
}

crash_tests! {
    killed_after_the_ledger_claim: AfterLedgerClaim;
    killed_between_the_saved_candidate_and_the_order: BeforeOrder;
    killed_after_the_order_with_its_answer_lost: AfterOrder;
    killed_between_request_code_and_the_call: BeforeCall;
    killed_between_register_and_its_status_write: AfterRegister;
}

/// Without the saved candidate the restarted controller orders a second number: the check sees it.
#[tokio::test(flavor = "multi_thread")]
async fn the_check_fails_without_the_saved_candidate() -> Result<()> {
    ensure!(cfg!(feature = "test-switches"), "build the tests with --features test-switches");
    let (world, _proxy) = crash(At::BeforeOrder, &[("CLIENTNUMBER_TEST_SKIP_WRITE_AHEAD", "1")]).await?;
    let Err(error) = check(&world).await else {
        anyhow::bail!("the saved candidate was skipped and nobody noticed");
    };
    ensure!(error.to_string().starts_with("2 purchases"), "another failure than a second purchase: {error:#}");
    Ok(())
}
