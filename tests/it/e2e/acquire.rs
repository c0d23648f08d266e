//! Getting a number on the ways that are not the straight one: a predecessor that is not gone yet, an order that waits for
//! documents, is refused or is not shown any more, and a status that is older than what was bought. One number is paid for
//! each line, by the sandbox's ledger.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::client_number::PurchasePhase;
use clientnumber::resources::conditions::{ConditionType, get};
use kube::api::{Patch, PostParams};
use serde_json::{Value, json};

use super::steps::{LONG, begun, binary, bought, delete, gone, number_of, reason_of};
use crate::support::World;
use crate::support::wait::{self, Seen};

fn phase(line: &ClientNumber) -> Option<PurchasePhase> {
    line.status.as_ref()?.purchase.as_ref().map(|purchase| purchase.phase)
}

/// The step's own condition, as `status reason: message`.
fn acquired(line: &ClientNumber) -> String {
    let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    get(conditions, ConditionType::NumberAcquired)
        .map(|c| format!("{} {}: {}", c.status, c.reason, c.message))
        .unwrap_or_default()
}

fn stalled(line: &ClientNumber) -> bool {
    let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    get(conditions, ConditionType::Stalled).is_some_and(|c| c.status == "True")
}

/// Waits until the line's conditions hold this text; the line.
async fn says(world: &World, name: &str, text: &str) -> Result<ClientNumber> {
    wait::until(LONG, &format!("{name} to say {text:?}"), async || match world.lines().get(name).await {
        Ok(line) => {
            let said = format!("{:?}", line.status.as_ref().map(|s| &s.conditions));
            if said.contains(text) { Seen::Done(line) } else { Seen::NotYet(said) }
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

/// The line's order, once it has one.
async fn order_of(world: &World, name: &str) -> Result<String> {
    wait::until(LONG, &format!("{name} to have an order"), async || {
        let line = world.lines().get(name).await.map_err(|error| error.to_string())?;
        let order = line.status.as_ref().and_then(|s| s.purchase.as_ref()?.order_id.clone());
        order.ok_or_else(|| format!("{:?}", line.status))
    })
    .await
}

async fn decide(world: &World, order: &str, status: &str) -> Result<()> {
    world.sandbox.post(&format!("/orders/{order}"), json!({"status": status})).await.map(|_| ())
}

/// A manifest gets another name while Meta is away: the new line waits for the old one's number, whatever step the old one
/// was at, and buys nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_line_waits_for_its_predecessors_number() -> Result<()> {
    let mut world = begun("renamed").await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)?;
    let hold = json!({"operation": "meta.deregister", "nth": 1, "when": "before", "action": "hold"});
    let held = world.sandbox.fault(hold).await?;
    world.lines().delete("atlas", &Default::default()).await?;
    world.sandbox.holding(&held, LONG).await?;
    world.apply(world.line("atlas-casa", "atlas-logistics", |_| ())).await?;
    // Another company's line does not wait.
    world.apply(world.line("rif", "rif-foods", |_| ())).await?;
    let waiting = world.wait_line("atlas-casa", "False", "AwaitingRelease", LONG).await?;
    ensure!(waiting.status.as_ref().is_some_and(|s| s.purchase.is_none()), "it chose a number: {:?}", waiting.status);
    let said = acquired(&waiting);
    ensure!(said.contains("clients") && said.contains("/atlas ") && said.contains(&number), "{said}");
    ensure!(!stalled(&waiting), "nobody must act");
    world.wait_line("rif", "True", "Ready", LONG).await?;
    bought(&world, 2).await?;
    world.sandbox.release(&held).await?;
    gone(&world, "atlas").await?;
    let heir = number_of(&world.wait_line("atlas-casa", "True", "Ready", LONG).await?)?;
    ensure!(heir == number, "{heir} instead of {number}");

    // Renamed again while an order is on its way.
    world.sandbox.post("/settings", json!({"telnyx": {"order_result": "pending"}})).await?;
    world.apply(world.line("fes", "fes-textile", |_| ())).await?;
    let order = order_of(&world, "fes").await?;
    world.lines().delete("fes", &Default::default()).await?;
    world.apply(world.line("fes-new", "fes-textile", |_| ())).await?;
    world.wait_line("fes-new", "False", "AwaitingRelease", LONG).await?;
    world.sandbox.post("/settings", json!({"telnyx": {"order_result": "success"}})).await?;
    decide(&world, &order, "success").await.ok();
    gone(&world, "fes").await?;
    world.wait_line("fes-new", "True", "Ready", LONG).await?;
    bought(&world, 3).await?;
    Ok(())
}

/// Orders that wait for documents say so and what to do. One goes on by itself when they are there; the other's line is
/// deleted meanwhile, and stays until the order has ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_for_documents() -> Result<()> {
    let mut world = begun("documents").await?;
    let needed =
        json!({"MA/mobile": [{"requirement_id": "3f0c7d5e-6a52-4f0b-9d2e-0a5b1c9e7d11", "field_type": "document"}]});
    world.sandbox.post("/settings", json!({"telnyx": {"requirements": needed}})).await?;
    for (name, company) in [("atlas", "atlas-logistics"), ("rif", "rif-foods")] {
        world.apply(world.line(name, company, |_| ())).await?;
    }
    for name in ["atlas", "rif"] {
        let line = world.wait_line(name, "False", "RequirementsMissing", LONG).await?;
        ensure!(phase(&line) == Some(PurchasePhase::WaitingRequirements), "{name}: {:?}", phase(&line));
        ensure!(stalled(&line), "{name} does not call for a person");
        let said = acquired(&line);
        let starts = "False RequirementsMissing: the carrier waits for documents (information is missing)";
        ensure!(said.starts_with(starts) && said.ends_with("telnyx.requirementGroups"), "{name}: {said}");
    }
    world.lines().delete("rif", &Default::default()).await?;
    let going = says(&world, "rif", "cancel the order in the Telnyx portal or hand them in").await?;
    ensure!(reason_of(&going) == "Releasing", "{}", reason_of(&going));
    bought(&world, 0).await?;
    decide(&world, &order_of(&world, "atlas").await?, "success").await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;

    ensure!(world.lines().get_opt("rif").await?.is_some(), "the line went while its order could still deliver");
    decide(&world, &order_of(&world, "rif").await?, "cancelled").await?;
    gone(&world, "rif").await?;
    bought(&world, 1).await?;
    ensure!(world.sandbox.calls("telnyx.create_number_order").await? == 2, "ordered more than once");
    Ok(())
}

/// A refused order, and an accepted one that fails, say so; another number is bought once the first is proven not ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_is_followed_by_another_number() -> Result<()> {
    let mut world = begun("rejected").await?;
    world.sandbox.post("/settings", json!({"telnyx": {"order_result": "failure"}})).await?;
    world.apply(world.line("failed", "atlas-logistics", |_| ())).await?;
    let refused = rejected(&mut world, "failed").await?;
    world.sandbox.post("/settings", json!({"telnyx": {"order_result": "success"}})).await?;
    let other = number_of(&world.wait_line("failed", "True", "Ready", LONG).await?)?;
    ensure!(other != refused, "{refused} was ordered again");

    let (_, candidate) = held_order(&mut world, "refused").await?;
    let refused = rejected(&mut world, "refused").await?;
    ensure!(refused == candidate, "{refused} instead of {candidate}");
    let other = number_of(&world.wait_line("refused", "True", "Ready", LONG).await?)?;
    ensure!(other != refused, "{refused} was ordered again");
    bought(&world, 2).await?;
    Ok(())
}

/// Waits until an order was refused; its number.
async fn rejected(world: &mut World, name: &str) -> Result<String> {
    let line = world.wait_line(name, "False", "OrderRejected", LONG).await?;
    ensure!(phase(&line) == Some(PurchasePhase::Rejected), "{:?}", phase(&line));
    ensure!(!stalled(&line), "nobody must act");
    let said = acquired(&line);
    let text =
        "False OrderRejected: the carrier refused this number; another is chosen once the old one is proven not ours";
    ensure!(said == text, "{said}");
    line.status.and_then(|s| s.purchase?.candidate).context("no candidate")
}

/// A line whose first order is refused, since a stranger was faster; the line as it was when that order was on its way, and
/// the number.
async fn held_order(world: &mut World, name: &str) -> Result<(ClientNumber, String)> {
    let hold = json!({"operation": "telnyx.create_number_order", "nth": 1, "when": "before", "action": "hold"});
    let held = world.sandbox.fault(hold).await?;
    world.apply(world.line(name, &format!("{name}-co"), |_| ())).await?;
    world.sandbox.holding(&held, LONG).await?;
    let line = world.lines().get(name).await?;
    let candidate =
        line.status.as_ref().and_then(|s| s.purchase.as_ref()?.candidate.clone()).context("no candidate")?;
    world.sandbox.post("/settings", json!({"telnyx": {"taken": [candidate]}})).await?;
    world.sandbox.release(&held).await?;
    Ok((line, candidate))
}

/// A restored status names the candidate of before, and another number was bought since: that one is found, and the old
/// candidate is not ordered, although it could be by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_from_before_the_purchase_buys_nothing() -> Result<()> {
    let mut world = begun("old-status").await?;
    let (before, candidate) = held_order(&mut world, "atlas").await?;
    let number = number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)?;
    ensure!(number != candidate, "the refused number was bought");
    world.controller()?.stop().await?;
    let mut line = world.lines().get("atlas").await?;
    line.status = before.status;
    world.lines().replace_status("atlas", &PostParams::default(), &line).await?;
    world.sandbox.post("/settings", json!({"telnyx": {"taken": []}})).await?;
    world.controller()?.restart().await?;
    let found = number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)?;
    ensure!(found == number, "{found} instead of {number}");
    bought(&world, 1).await?;
    ensure!(world.sandbox.calls("telnyx.create_number_order").await? == 2, "the old candidate was ordered");
    Ok(())
}

/// Telnyx confirmed the orders and shows them no more, as with the key of another account. Nothing is ordered again and no
/// object goes, until they are there again.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_shown_any_more_is_not_made_again() -> Result<()> {
    let mut world = begun("vanished").await?;
    world.sandbox.post("/settings", json!({"telnyx": {"order_result": "pending"}})).await?;
    let mut orders = Vec::new();
    for (name, company) in [("atlas", "atlas-logistics"), ("rif", "rif-foods")] {
        world.apply(world.line(name, company, |_| ())).await?;
        orders.push(order_of(&world, name).await?);
    }
    let none = json!({"operation": "telnyx.list_number_orders", "nth": 1, "count": 1_000_000, "action": "alter",
        "set": {"/data": [], "/meta/total_results": 0, "/meta/total_pages": 1}});
    let missing = json!({"errors": [{"code": "10005", "title": "Resource not found"}]});
    let gone_by_id = json!({"operation": "telnyx.get_number_order", "nth": 1, "count": 1_000_000, "when": "before",
        "action": "status", "status": 404, "body": missing});
    world.sandbox.fault(none).await?;
    world.sandbox.fault(gone_by_id).await?;
    world.lines().delete("rif", &Default::default()).await?;
    for (name, way_out) in [("atlas", "create it anew"), ("rif", "set clientnumber.dev/abandon")] {
        let line = world.wait_line(name, "False", "OrderVanished", LONG).await?;
        ensure!(stalled(&line), "{name} does not call for a person");
        let conditions = format!("{:?}", line.status.as_ref().map(|s| &s.conditions));
        ensure!(conditions.contains("telnyx.apiKeySecretRef") && conditions.contains(way_out), "{name}: {conditions}");
    }
    world.sandbox.delete("/faults").await?;
    world.sandbox.post("/settings", json!({"telnyx": {"order_result": "success"}})).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    gone(&world, "rif").await?;
    bought(&world, 2).await?;
    ensure!(world.sandbox.calls("telnyx.create_number_order").await? == orders.len(), "ordered again");
    let kept = world.portfolios().get("main").await?.status.map(|s| s.retained).unwrap_or_default();
    ensure!(kept.len() == 1 && kept[0].company_id == "rif-foods", "kept: {kept:?}");
    Ok(())
}

/// What `kubectl clientnumber retained` says of a number that is kept: company, Portfolio, age, rent.
#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_lists_what_is_kept_with_company_and_age() -> Result<()> {
    let mut world = begun("retained").await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = number_of(&world.wait_line("atlas", "True", "Ready", LONG).await?)?;
    let portfolio = format!("{}/main", world.platform);
    ensure!(retained(&world, &["--portfolio", &portfolio]).await? == "no number is kept without a line\n");
    delete(&world, "atlas").await?;
    let table = retained(&world, &["--portfolio", &portfolio]).await?;
    let row = row_of(&table, &number)?;
    ensure!(
        row[..3] == [number.as_str(), "atlas-logistics", &portfolio] && row[4] == "0m" && row[5] == "1.1",
        "{row:?}"
    );

    world.controller()?.stop().await?;
    let mut status = world.portfolios().get("main").await?.status.context("no status")?;
    let since = jiff::Timestamp::now() - Duration::from_secs(3 * 86_400 + 60);
    status.retained.iter_mut().for_each(|kept| kept.since.0 = since);
    let aged = Patch::Merge(json!({"status": {"retained": status.retained}}));
    world.portfolios().patch_status("main", &Default::default(), &aged).await?;
    let table = retained(&world, &["-n", &world.platform]).await?;
    let row = row_of(&table, &number)?;
    ensure!(row[3] == since.strftime("%Y-%m-%d").to_string() && row[4] == "3d", "{row:?}");
    ensure!(table.contains("1 kept, 1.1") && table.contains("USD a month"), "{table}");
    let list: Value = serde_json::from_str(&retained(&world, &["-A", "-o", "json"]).await?)?;
    let numbers = list["numbers"].as_array().context("no numbers")?;
    let ours = numbers.iter().find(|n| n["phoneNumber"] == number).context("not listed")?;
    ensure!(ours["companyId"] == "atlas-logistics" && ours["portfolio"] == portfolio, "{ours}");
    ensure!(ours["since"].as_str().and_then(|s| s.parse::<jiff::Timestamp>().ok()).is_some(), "{ours}");
    Ok(())
}

/// The cells of the number's row.
fn row_of<'a>(table: &'a str, number: &str) -> Result<Vec<&'a str>> {
    let row = table.lines().find(|line| line.starts_with(number)).with_context(|| format!("no {number} in {table}"))?;
    Ok(row.split_whitespace().collect())
}

/// Runs the plugin; what it printed.
async fn retained(world: &World, args: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(binary());
    command.arg("retained").args(args).env("KUBECONFIG", world.kubeconfig()).stdin(std::process::Stdio::null());
    let done = command.output().await?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}
