//! Lines that want the same thing at the same moment: one number, the last slot, more purchases than the limits allow.
//! Who loses waits with its reason, has spent nothing, and goes on by itself. The sandbox's ledger is the witness.

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use super::release::annotate;
use super::steps::{LONG, begun, bought, delete, gone, number_of, patch_portfolio, reason_of, sides, world, world_at};
use crate::support::wait::{self, Seen};
use crate::support::{ApiProxy, ApiRule, ControlPlane, Hit, Point, World};

/// One number is on sale.
async fn sells(world: &World, numbers: usize) -> Result<()> {
    world.sandbox.post("/settings", json!({"telnyx": {"pool": numbers}})).await.map(|_| ())
}

/// A line that takes a mobile number only, so that there is no other kind to turn to.
fn mobile(world: &World, name: &str) -> Value {
    world.line(name, &format!("{name}-co"), |spec| spec["number"] = json!({"acquire": {"types": ["mobile"]}}))
}

/// The two lines, the one that has a number first; waits until the other one waits for `reason`.
async fn winner_and_loser(world: &World, names: [&str; 2], reason: &str) -> Result<[ClientNumber; 2]> {
    let lines = world.lines();
    wait::until(LONG, &format!("one of {names:?} to have the number and the other to say {reason}"), async || {
        let one = match (lines.get(names[0]).await, lines.get(names[1]).await) {
            (Ok(a), Ok(b)) => [a, b],
            (Err(error), _) | (_, Err(error)) => return Seen::NotYet(error.to_string()),
        };
        let [a, b] = &one;
        let has = |line: &ClientNumber| number_of(line).is_ok();
        match (has(a), has(b)) {
            (true, true) => Seen::Never("both have a number".into()),
            (true, false) if reason_of(b) == reason => Seen::Done(one),
            (false, true) if reason_of(a) == reason => {
                let [a, b] = one;
                Seen::Done([b, a])
            }
            _ => Seen::NotYet(format!("{} and {}", reason_of(a), reason_of(b))),
        }
    })
    .await
}

/// Whoever lost has ordered nothing and records no candidate.
fn spent_nothing(line: &ClientNumber) -> Result<()> {
    let purchase = line.status.as_ref().and_then(|s| s.purchase.as_ref());
    let candidate = purchase.and_then(|p| p.candidate.as_ref());
    ensure!(candidate.is_none(), "the line that lost records the candidate {candidate:?}");
    Ok(())
}

fn name(line: &ClientNumber) -> &str {
    line.metadata.name.as_deref().unwrap_or_default()
}

/// One number is on sale and two lines of one process want it.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_number_goes_to_one_line() -> Result<()> {
    let mut world = world("only-number").await?;
    sells(&world, 1).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    for name in ["atlas", "rif"] {
        world.apply(mobile(&world, name)).await?;
    }
    let [winner, loser] = winner_and_loser(&world, ["atlas", "rif"], "NoInventory").await?;
    spent_nothing(&loser)?;
    let numbers = bought(&world, 1).await?;
    ensure!(numbers[0] == number_of(&winner)?, "{numbers:?} was bought");

    sells(&world, 2).await?;
    for line in [&winner, &loser] {
        world.wait_line(name(line), "True", "Ready", LONG).await?;
    }
    bought(&world, 2).await?;
    Ok(())
}

/// Two replicas that both take themselves for the leader claim the same number for two lines: their writes to the ledger
/// are held until both are on their way, and the API server takes one of them.
#[tokio::test(flavor = "multi_thread")]
async fn two_claims_of_one_number_are_written_at_the_same_moment() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let mut world = world("two-claims").await?;
    sells(&world, 1).await?;
    let (first, second) = (ApiProxy::start(plane).await?, ApiProxy::start(plane).await?);
    // Each replica gets to one of the lines only.
    first.hold(ApiRule::get().path_ends("/clientnumbers/rif").each(), Point::BeforeEffect);
    second.hold(ApiRule::get().path_ends("/clientnumbers/atlas").each(), Point::BeforeEffect);
    world.control(Some(first.kubeconfig_path()), None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let mut other = world.replica("controller-2", Some(second.kubeconfig_path()))?;
    let claims = [claim_of(&first, "atlas"), claim_of(&second, "rif")];
    for name in ["atlas", "rif"] {
        world.apply(mobile(&world, name)).await?;
    }
    let mut numbers = Vec::new();
    for claim in &claims {
        let body = claim.wait(LONG).await?.body.context("a PUT without a body")?;
        numbers.push(body["status"]["ledger"][0]["phoneNumber"].clone());
    }
    ensure!(numbers[0] == numbers[1] && numbers[0].is_string(), "the lines claim different numbers: {numbers:?}");
    for claim in &claims {
        claim.release();
    }
    let [winner, loser] = winner_and_loser(&world, ["atlas", "rif"], "NoInventory").await?;
    spent_nothing(&loser)?;
    bought(&world, 1).await?;
    let proxy = if name(&loser) == "atlas" { &first } else { &second };
    let refused = proxy
        .journal()
        .iter()
        .any(|e| e.path.ends_with("/portfolios/main/status") && e.status.is_some_and(|s| s.as_u16() == 409));
    ensure!(refused, "the claim of {} was not refused by the API server", name(&loser));

    other.kill().await?;
    first.clear();
    sells(&world, 2).await?;
    for line in [&winner, &loser] {
        world.wait_line(name(line), "True", "Ready", LONG).await?;
    }
    bought(&world, 2).await?;
    Ok(())
}

/// Holds the write that claims a number for this line.
fn claim_of(proxy: &ApiProxy, line: &str) -> Hit<crate::support::api_proxy::ApiRequest> {
    let end = format!("/{line}");
    let claims = move |body: &Value| {
        let ledger = body["status"]["ledger"].as_array();
        ledger.into_iter().flatten().any(|entry| entry["line"].as_str().is_some_and(|l| l.ends_with(&end)))
    };
    proxy.hold(ApiRule::put().path_ends("/portfolios/main/status").body(claims), Point::BeforeEffect)
}

/// Two lines, one slot: who loses buys nothing and goes on by itself when a person deletes a number at Meta, and a third
/// one when the limit is raised.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_slot_goes_to_one_line() -> Result<()> {
    let mut world = world("last-slot").await?;
    world.control(None, None).await?;
    let limit = |slots: usize| json!({"limits": {"maxNumbers": slots}, "checkInterval": "1m"});
    world.apply(world.portfolio(|_| ())).await?;
    patch_portfolio(&world, limit(1)).await?;
    wait_portfolio(&world).await?;
    for name in ["atlas", "rif"] {
        world.apply(world.line(name, &format!("{name}-co"), |spec| spec["deletionPolicy"] = json!("Release"))).await?;
    }
    let [winner, loser] = winner_and_loser(&world, ["atlas", "rif"], "CapacityFull").await?;
    spent_nothing(&loser)?;
    let (winner, loser) = (name(&winner).to_owned(), name(&loser).to_owned());
    let number = number_of(&world.wait_line(&winner, "True", "Ready", LONG).await?)?;
    bought(&world, 1).await?;

    // The number goes, its slot at Meta does not: only a person can free that.
    delete(&world, &winner).await?;
    let at_meta = sides(&world, &number).await?;
    let at_carrier = &at_meta["telnyx"];
    ensure!(at_carrier.is_null() || at_carrier["status"] == "deleted", "after the release: {at_meta}");
    ensure!(at_meta["meta"].is_object(), "after the release: {at_meta}");
    round(&world).await?;
    spent_nothing(&world.wait_line(&loser, "False", "CapacityFull", LONG).await?)?;
    bought(&world, 1).await?;
    world.sandbox.post(&format!("/numbers/{number}"), json!({"meta": {"remove": true}})).await?;
    world.wait_line(&loser, "True", "Ready", LONG).await?;
    bought(&world, 2).await?;

    world.apply(world.line("sahara", "sahara-co", |_| ())).await?;
    spent_nothing(&world.wait_line("sahara", "False", "CapacityFull", LONG).await?)?;
    patch_portfolio(&world, limit(2)).await?;
    world.wait_line("sahara", "True", "Ready", LONG).await?;
    bought(&world, 3).await?;
    Ok(())
}

/// Two Portfolios of one business, with one slot left between them: two lines that begin at once don't both take it. Meta
/// counts for the business, whatever account a number is in.
#[tokio::test(flavor = "multi_thread")]
async fn portfolios_of_one_business_share_its_slots() -> Result<()> {
    one_slot_between_two("shared-business", "105").await
}

/// The same with one WhatsApp Business Account, whose numbers count once although both Portfolios list them.
#[tokio::test(flavor = "multi_thread")]
async fn portfolios_of_one_account_share_its_slots() -> Result<()> {
    one_slot_between_two("shared-account", "104").await
}

async fn one_slot_between_two(dir: &str, waba: &str) -> Result<()> {
    let mut world = world(dir).await?;
    world.control(None, None).await?;
    let slots = |slots: usize| json!({"maxNumbers": slots});
    world.apply(world.portfolio(|spec| spec["limits"] = slots(2))).await?;
    let mut second = world.portfolio(|spec| {
        spec["limits"] = slots(2);
        spec["ownerId"] = json!("second");
        spec["meta"]["wabaId"] = json!(waba);
    });
    second["metadata"]["name"] = json!("second");
    world.apply(second).await?;
    wait_portfolio(&world).await?;
    // The first slot: one Portfolio's number counts for both.
    world.apply(world.line("first", "first-co", |_| ())).await?;
    world.wait_line("first", "True", "Ready", LONG).await?;

    for (name, portfolio) in [("atlas", "main"), ("rif", "second")] {
        let of = |spec: &mut Value| spec["portfolioRef"]["name"] = json!(portfolio);
        world.apply(world.line(name, &format!("{name}-co"), of)).await?;
    }
    let [winner, loser] = winner_and_loser(&world, ["atlas", "rif"], "CapacityFull").await?;
    spent_nothing(&loser)?;
    world.wait_line(name(&winner), "True", "Ready", LONG).await?;
    let waits = world.wait_line(name(&loser), "False", "CapacityFull", LONG).await?;
    let said = format!("{:?}", waits.status.map(|s| s.conditions));
    ensure!(said.contains("all 2 slots") && said.contains("all Portfolios of the business together"), "{said}");
    bought(&world, 2).await?;

    // More slots go to whoever waits.
    for portfolio in ["main", "second"] {
        let more = json!({"spec": {"limits": slots(3)}});
        world.portfolios().patch(portfolio, &Default::default(), &kube::api::Patch::Merge(&more)).await?;
    }
    world.wait_line(name(&loser), "True", "Ready", LONG).await?;
    bought(&world, 3).await?;
    Ok(())
}

/// Waits until the Portfolio has read its accounts once more.
async fn round(world: &World) -> Result<()> {
    let last = async || anyhow::Ok(world.portfolios().get("main").await?.status.and_then(|s| s.last_round_at));
    let before = last().await?;
    wait::until(LONG, "the next round", async || match last().await {
        Ok(now) => wait::seen(now > before, format!("{now:?}")),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

/// Whoever creates and deletes objects in a loop spends no more than the limits allow, although each number is given back
/// and its object is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_creations_and_deletions_keeps_the_hourly_limit() -> Result<()> {
    const LIMIT: usize = 2;
    // An hour is three minutes: longer than the loop.
    let mut world = world_at("purchase-loop", 0.05).await?;
    world.control(None, None).await?;
    let limits = json!({"purchasesPerHour": LIMIT, "purchasesPerDay": 20});
    world.apply(world.portfolio(|spec| spec["limits"] = limits)).await?;
    wait_portfolio(&world).await?;
    let lines = world.lines();
    for turn in 0..LIMIT + 3 {
        let name = format!("turn-{turn}");
        world.apply(world.line(&name, "atlas-logistics", |spec| spec["deletionPolicy"] = json!("Release"))).await?;
        let met = wait::until(LONG, &format!("{name} to have a number or meet the limit"), async || {
            match lines.get(&name).await {
                Ok(line) if number_of(&line).is_ok() => Seen::Done("a number".to_owned()),
                Ok(line) if reason_of(&line) == "PurchaseLimitReached" => Seen::Done(reason_of(&line)),
                Ok(line) => Seen::NotYet(reason_of(&line)),
                Err(error) => Seen::NotYet(error.to_string()),
            }
        })
        .await?;
        let expected = if turn < LIMIT { "a number" } else { "PurchaseLimitReached" };
        ensure!(met == expected, "turn {turn} met {met}");
        lines.delete(&name, &Default::default()).await?;
        gone(&world, &name).await?;
    }
    bought(&world, LIMIT).await?;
    Ok(())
}

/// A number that was given back stays in hold at Telnyx for a while and may be seen in a search. It is left out there: nobody
/// else's line gets what its former company's candidates still write to.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_in_hold_is_not_ordered() -> Result<()> {
    let mut world = begun("in-hold").await?;
    sells(&world, 1).await?;
    let mut line = mobile(&world, "atlas");
    line["spec"]["deletionPolicy"] = json!("Release");
    world.apply(line).await?;
    let number = number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)?;
    delete(&world, "atlas").await?;
    let line = mobile(&world, "rif");
    world.apply(line).await?;
    world.wait_line("rif", "False", "NoInventory", LONG).await?;
    sells(&world, 2).await?;
    annotate(&world, "rif", "clientnumber.dev/retry-requested-at", "now").await?;
    let other = number_of(&world.wait_line("rif", "True", "Ready", LONG).await?)?;
    ensure!(bought(&world, 2).await? == [number, other], "a number in hold was ordered");
    Ok(())
}
