//! The matrix can fail: with one of its rules broken on purpose, the point that the rule is for is judged, by the same
//! judgement, to be wrong. Shown on every run.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::event::{Channel, What};
use super::frozen::{frozen, judged};
use super::ground::{Ground, LONG, Staff, State};
use super::points::{Moment, Nth, Point};
use super::series::{How, Outcome, Phase, phase};
use super::verdict::{End, faults};

const ORDER: &str = "telnyx.create_number_order";

fn must_say(wrong: &[String], what: &str) -> Result<()> {
    ensure!(cfg!(feature = "test-switches"), "build the tests with --features test-switches");
    ensure!(!wrong.is_empty(), "a rule was broken and nobody noticed");
    ensure!(wrong.iter().any(|fault| fault.starts_with(what)), "another fault than {what:?}: {wrong:?}");
    Ok(())
}

/// The order is held, the controller killed, and the order arrives when the restarted one has bought.
async fn late_order(env: &[(&str, &str)]) -> Result<Vec<String>> {
    let what = What { channel: Channel::Telnyx, name: ORDER.to_owned(), write: true };
    let target = Nth { what, nth: 1 };
    let point = Point { target, after: None, moment: Moment::Late, label: ORDER.to_owned() };
    let mut ground = Ground::start("matrix-late-order", Staff::One, env).await?;
    let (mut line, object) = ground.line("Retain");
    let blow = Some((&point, How::Kill));
    match phase(&mut ground, Phase::Onboarding, &mut line, Some(object), blow, &BTreeSet::new()).await? {
        Outcome::Row(row) => Ok(row.wrong),
        Outcome::Missed => bail!("the order was never made"),
    }
}

/// The order is lost, and before the restart somebody buys that very number by hand for the same account.
async fn bought_by_hand(env: &[(&str, &str)]) -> Result<Vec<String>> {
    let mut ground = Ground::start("matrix-by-hand", Staff::One, env).await?;
    let (mut line, object) = ground.line("Retain");
    let sandbox = &ground.world.sandbox;
    let fault = sandbox.fault(json!({"operation": ORDER, "when": "before", "action": "hang"})).await?;
    ground.world.apply(object).await?;
    sandbox.holding(&fault, LONG).await?;
    ground.replicas[0].kill().await?;
    ground.world.sandbox.release(&fault).await?;
    let status = ground.world.lines().get(&line.name).await?.status.context("no status")?;
    let candidate = status.purchase.and_then(|p| p.candidate).context("no candidate")?;
    ground.buy_by_hand(&candidate).await?;
    ground.replicas[0].restart().await?;
    ground.reaches(&line, State::Ready).await?;
    ground.learn(&mut line).await?;
    Ok(faults(End::Ready, &ground.snapshot(&line).await?, &BTreeSet::new()))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_saved_candidate_two_numbers_are_bought() -> Result<()> {
    must_say(&late_order(&[("CLIENTNUMBER_TEST_SKIP_WRITE_AHEAD", "1")]).await?, "2 purchases")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ten_seconds_a_stopped_controller_buys_too() -> Result<()> {
    let env = [("CLIENTNUMBER_TEST_SKIP_ORDER_WINDOW", "1")];
    must_say(&judged(&frozen("matrix-no-window", false, &env).await?), "2 purchases")
}

#[tokio::test(flavor = "multi_thread")]
async fn looked_up_by_number_only_somebody_elses_is_taken() -> Result<()> {
    let wrong = bought_by_hand(&[]).await?;
    ensure!(wrong.is_empty(), "with the look-up as it is: {wrong:?}");
    let env = [("CLIENTNUMBER_TEST_LOOK_UP_BY_NUMBER_ONLY", "1")];
    must_say(&bought_by_hand(&env).await?, "0 purchases")
}
