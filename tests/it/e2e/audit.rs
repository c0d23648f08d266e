//! What does not fit together, each provoked by hand at a provider, in the routing table or in Kubernetes: one round on
//! demand shows exactly that, with event and metric, and when it is undone the next one shows nothing. Nothing is released.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::PortfolioStatus;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const LONG: Duration = Duration::from_secs(120);
/// Nobody's, by hand.
const STRANGERS: [&str; 3] = ["+212655000001", "+212655000002", "+212655000003"];

type Kinds = BTreeSet<(String, String)>;

fn kinds(status: &PortfolioStatus) -> Kinds {
    status.findings.iter().map(|f| (f.kind.as_str().to_owned(), f.phone_number.clone())).collect()
}

/// Rounds on demand until one shows exactly these. The interval of rounds is out of reach.
async fn shows(world: &World, what: &str, expected: &[(&str, &str)]) -> Result<PortfolioStatus> {
    let expected: Kinds = expected.iter().map(|(kind, number)| ((*kind).to_owned(), (*number).to_owned())).collect();
    let mut asked: Option<jiff::Timestamp> = None;
    wait::until(LONG, what, async || {
        let now = jiff::Timestamp::now();
        if asked.is_none_or(|at| now.duration_since(at).as_secs() >= 3) {
            asked = Some(now);
            let patch = json!({"metadata": {"annotations": {"clientnumber.dev/retry-requested-at": now.to_string()}}});
            if let Err(error) = world.portfolios().patch("main", &Default::default(), &Patch::Merge(&patch)).await {
                return Seen::NotYet(error.to_string());
            }
        }
        match world.portfolios().get("main").await {
            Ok(portfolio) => {
                let status = portfolio.status.unwrap_or_default();
                let found = kinds(&status);
                if found == expected { Seen::Done(status) } else { Seen::NotYet(format!("{found:?}")) }
            }
            Err(error) => Seen::NotYet(error.to_string()),
        }
    })
    .await
}

async fn change(world: &World, number: &str, change: Value) -> Result<()> {
    world.sandbox.post(&format!("/numbers/{number}"), change).await.map(|_| ())
}

/// Until the Portfolio has events of this type, each naming its number.
async fn told(world: &World, type_: &str, expected: &[(&str, &str)]) -> Result<()> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.platform);
    let of = ListParams::default().fields("involvedObject.name=main");
    for (reason, number) in expected {
        wait::until(LONG, &format!("an event {reason} of {number}"), async || {
            let list = match events.list(&of).await {
                Ok(list) => list.items,
                Err(error) => return Seen::NotYet(error.to_string()),
            };
            let matches = list.iter().filter(|event| {
                event.reason.as_deref() == Some(reason)
                    && event.type_.as_deref() == Some(type_)
                    && event.message.as_deref().is_some_and(|note| note.contains(number))
            });
            match matches.count() {
                0 => Seen::NotYet(format!("{:?}", list.iter().map(|e| &e.reason).collect::<Vec<_>>())),
                1 => Seen::Done(()),
                more => Seen::Never(format!("{more} events")),
            }
        })
        .await?;
    }
    Ok(())
}

async fn metrics(world: &World, expected: &[(&str, i64)]) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let text = http.get(format!("{}/metrics", world.controller_admin)).send().await?.text().await?;
    for (finding, count) in expected {
        let line = format!(
            "clientnumber_audit_findings{{portfolio=\"{}/main\",finding=\"{finding}\"}} {count}\n",
            world.platform
        );
        ensure!(text.contains(&line), "{line} is not in {text}");
    }
    Ok(())
}

/// Deletes a line and takes its finalizer away, as if its controller had never come back.
async fn torn_out(world: &mut World, name: &str) -> Result<()> {
    world.controller()?.stop().await?;
    world.lines().delete(name, &Default::default()).await?;
    let patch = json!({"metadata": {"finalizers": null}});
    world.lines().patch(name, &Default::default(), &Patch::Merge(&patch)).await?;
    world.control(None, None).await
}

/// A line that is given up while its order is pending; its candidate and its order.
async fn given_up(world: &mut World) -> Result<(String, String)> {
    world.sandbox.post("/settings", json!({"telnyx": {"order_delay_ms": 3_600_000}})).await?;
    world.apply(world.line("late", "late-co", |_| ())).await?;
    world.wait_line("late", "False", "OrderPending", LONG).await?;
    let api = world.lines();
    // The reason stands before the order's answer is recorded.
    let (candidate, order) =
        wait::until(LONG, "the pending order to be recorded", async || match api.get("late").await {
            Ok(line) => {
                let purchase = line.status.and_then(|s| s.purchase);
                match purchase.clone().and_then(|p| p.candidate.zip(p.order_id)) {
                    Some(both) => Seen::Done(both),
                    None => Seen::NotYet(format!("{purchase:?}")),
                }
            }
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await?;
    let patch = json!({"metadata": {"annotations": {"clientnumber.dev/abandon": candidate}}});
    world.lines().patch("late", &Default::default(), &Patch::Merge(&patch)).await?;
    world.lines().delete("late", &Default::default()).await?;
    wait::until(LONG, "the line that was given up to be gone", async || match world.lines().get_opt("late").await {
        Ok(left) => wait::seen(left.is_none(), "still there"),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    Ok((candidate, order))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_together_is_found_and_goes_when_it_is_undone() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let options = WorldOptions { speed: 0.02, scale: 0.02, ..WorldOptions::default() };
    let mut world = World::start(plane, binary, &run_dir("audit")?, options).await?;
    world.control(None, None).await?;
    let portfolio = world.portfolio(|spec| {
        spec["checkInterval"] = json!("24h");
        spec["limits"] = json!({"maxNumbers": 20, "purchasesPerHour": 20, "concurrentOnboardings": 4});
    });
    world.apply(portfolio).await?;
    wait_portfolio(&world).await?;
    let names = ["lost", "unrouted", "unregistered", "torn-out"];
    for name in names {
        world.apply(world.line(name, &format!("{name}-co"), |_| ())).await?;
    }
    let mut numbers = Vec::new();
    for name in names {
        let line = world.wait_line(name, "True", "Ready", LONG).await?;
        numbers.push(line.status.and_then(|s| s.phone_number).context("no number")?);
    }
    let [lost, unrouted, unregistered, torn] = &numbers[..] else { anyhow::bail!("{numbers:?}") };
    shows(&world, "a round that finds nothing", &[]).await?;

    let (late, order) = given_up(&mut world).await?;
    let status = world.portfolios().get("main").await?.status.context("no status")?;
    ensure!(kinds(&status) == [("Abandoned".to_owned(), late.clone())].into(), "at once: {:?}", status.findings);
    torn_out(&mut world, "torn-out").await?;
    let before = world.sandbox.get("/ledger").await?;
    let routes = world.mongo.client().await?.database("clientnumber").collection::<Document>("routes");
    let route = routes.find_one_and_delete(doc! {"phone_number": unrouted}).await?.context("no route")?;
    change(&world, lost, json!({"telnyx": {"remove": true}})).await?;
    change(&world, unregistered, json!({"meta": {"status": "DISCONNECTED"}})).await?;
    // No tag tells of it any more, only its order.
    change(&world, torn, json!({"telnyx": {"tags": []}})).await?;
    let tagged = json!({"phone_number": STRANGERS[0], "tags": ["clientnumber:owner=world"]});
    world.sandbox.post("/existing-numbers", tagged).await?;
    let by_hand = json!({"lines": [{"phone_number": STRANGERS[1]}, {"phone_number": STRANGERS[2]}]});
    world.sandbox.post("/lines", by_hand).await?;
    change(&world, STRANGERS[2], json!({"meta": {"status": "DISCONNECTED"}})).await?;

    let expected = [
        ("Abandoned", late.as_str()),
        ("Orphaned", STRANGERS[0]),
        ("Orphaned", torn),
        ("NumberLost", lost),
        ("NotRouted", STRANGERS[1]),
        ("NotRouted", unrouted),
        ("NotRegistered", unregistered),
        ("RouteWithoutLine", torn),
        ("AwaitingManualDeletion", STRANGERS[2]),
    ];
    let status = shows(&world, "a round that finds all of it", &expected).await?;
    let numbers = status.numbers.context("no numbers")?;
    ensure!((numbers.orphaned, numbers.awaiting_manual_deletion) == (3, 1), "{numbers:?}");
    let given = status.findings.iter().find(|f| f.kind.as_str() == "Abandoned").context("not listed")?;
    ensure!(given.company_id.as_deref() == Some("late-co"), "{given:?}");
    ensure!(given.reference == Some(format!("world/{}/late", world.clients)), "{given:?}");
    told(&world, "Warning", &expected).await?;
    metrics(&world, &[("Orphaned", 2), ("Abandoned", 1), ("NotRouted", 2), ("NumberLost", 1)]).await?;

    let owner = format!("world/{}/lost", world.clients);
    let back = json!({"phone_number": lost, "customer_reference": owner,
        "tags": ["clientnumber:owner=world", "clientnumber:company=lost-co"]});
    world.sandbox.post("/existing-numbers", back).await?;
    routes.insert_one(route).await?;
    routes.delete_one(doc! {"phone_number": torn}).await?;
    change(&world, unregistered, json!({"meta": {"status": "CONNECTED"}})).await?;
    change(&world, torn, json!({"telnyx": {"remove": true}, "meta": {"remove": true}})).await?;
    change(&world, STRANGERS[0], json!({"telnyx": {"remove": true}})).await?;
    for stranger in &STRANGERS[1..] {
        change(&world, stranger, json!({"telnyx": {"remove": true}, "meta": {"remove": true}})).await?;
    }
    world.sandbox.post(&format!("/orders/{order}"), json!({"status": "cancelled"})).await?;
    shows(&world, "a round that finds nothing any more", &[]).await?;
    let settled: Vec<(&str, &str)> = vec![("FindingSettled", lost), ("FindingSettled", late.as_str())];
    told(&world, "Normal", &settled).await?;
    metrics(&world, &[("Orphaned", 0), ("Abandoned", 0), ("NotRouted", 0), ("NumberLost", 0)]).await?;
    ensure!(world.sandbox.get("/ledger").await? == before, "the audit changed what is paid for");
    goes_with_its_lines(&mut world).await
}

/// A Portfolio that is to go names its lines, and a line that dies meanwhile does not look Ready.
async fn goes_with_its_lines(world: &mut World) -> Result<()> {
    for name in ["lost", "unrouted", "unregistered"] {
        world.wait_line(name, "True", "Ready", LONG).await?;
    }
    world.portfolios().delete("main", &Default::default()).await?;
    let portfolios = world.portfolios();
    let message =
        wait::until(LONG, "the Portfolio to say which lines use it", async || match portfolios.get("main").await {
            Ok(portfolio) => {
                let conditions = portfolio.status.map(|s| s.conditions).unwrap_or_default();
                match conditions.iter().find(|c| c.type_ == "Deleting" && c.reason == "LinesInUse") {
                    Some(condition) => Seen::Done(condition.message.clone()),
                    None => Seen::NotYet(format!("{conditions:?}")),
                }
            }
            Err(error) => Seen::NotYet(error.to_string()),
        })
        .await?;
    ensure!(message.contains(&format!("{}/unrouted", world.clients)), "{message}");
    let line = world.lines().get("unrouted").await?;
    let number = line.status.and_then(|s| s.phone_number).context("no number")?;
    change(world, &number, json!({"meta": {"status": "DISCONNECTED"}})).await?;
    let patch = json!({"metadata": {"annotations": {"clientnumber.dev/retry-requested-at": "again"}}});
    world.portfolios().patch("main", &Default::default(), &Patch::Merge(&patch)).await?;
    world.wait_line("unrouted", "False", "LineNotConnected", LONG).await?;
    for name in ["lost", "unrouted", "unregistered"] {
        world.lines().delete(name, &Default::default()).await?;
    }
    wait::until(LONG, "the Portfolio to be gone", async || match portfolios.get_opt("main").await {
        Ok(left) => wait::seen(left.is_none(), format!("{:?}", left.and_then(|p| p.status).map(|s| s.conditions))),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    told(world, "Warning", &[("StillPaid", number.as_str())]).await
}
