//! Two companies, one bought number and one External: conditions as they turn, messages to the right recruiters only,
//! a router killed in between, and no secret anywhere.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::conditions::{ConditionType, get};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const LONG: Duration = Duration::from_secs(90);

/// What `kubectl get -w` shows while a normal line comes to life: READY and REASON, each change once.
const GOLDEN: [(&str, &str); 8] = [
    ("False", "InProgress"),
    ("False", "OrderPending"),
    ("False", "LinkPending"),
    ("False", "InProgress"),
    ("False", "CodeRequested"),
    ("False", "Verified"),
    ("False", "Registering"),
    ("True", "Ready"),
];

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_clientnumber"))
}

fn transition(line: &ClientNumber) -> Option<(String, String)> {
    let conditions = &line.status.as_ref()?.conditions;
    get(conditions, ConditionType::Ready).map(|c| (c.status.clone(), c.reason.clone()))
}

/// Follows (READY, REASON) of a line.
fn follow(api: Api<ClientNumber>, name: &str) -> Arc<Mutex<Vec<(String, String)>>> {
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let into = seen.clone();
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
        while let Ok(Some(line)) = stream.try_next().await {
            let Some(now) = transition(&line) else { continue };
            let mut seen = into.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
    });
    seen
}

/// A person at the phone of an External line: asks for the call, hears the code, hands it in.
pub async fn person(world: &mut World, name: &str, number: &str) -> Result<()> {
    world.wait_line(name, "False", "CodeNeeded", LONG).await?;
    plugin(world, &["verify", name, "-n", &world.clients, "--call-now"]).await?;
    let digits = number.trim_start_matches('+').to_owned();
    let code = wait::until(LONG, "the person to hear the code", async || {
        let codes = world.sandbox.get(&format!("/codes?to={digits}")).await.unwrap_or_default();
        match codes["codes"][0]["code"].as_str() {
            Some(code) => Seen::Done(code.to_owned()),
            None => Seen::NotYet(codes.to_string()),
        }
    })
    .await?;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.clients);
    ensure!(
        plugin(world, &["verify", name, "-n", &world.clients, "--code", "12345"]).await.is_err(),
        "five digits were taken for a code"
    );
    plugin(world, &["verify", name, "-n", &world.clients, "--code", &code]).await?;
    world.wait_line(name, "True", "Ready", LONG).await?;
    ensure!(secrets.get_opt(&format!("{name}-code")).await?.is_none(), "the code's Secret is still there");
    Ok(())
}

/// The binary as kubectl's plugin.
async fn plugin(world: &World, args: &[&str]) -> Result<()> {
    let mut command = tokio::process::Command::new(binary());
    let done = command.args(args).env("KUBECONFIG", world.kubeconfig()).output().await?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.success(), "{} {}: {said}", args[0], args[1]);
    Ok(())
}

fn texts(client: &Client) -> Vec<String> {
    let of = |item: &Value| item["content"]["text"]["body"].as_str().map(str::to_owned);
    client.items().iter().filter_map(of).collect()
}

async fn got(client: &Client, text: &str) -> Result<()> {
    client
        .within(Duration::from_secs(30), 0, &format!("the message {text:?}"), |_| {
            texts(client).iter().any(|t| t == text)
        })
        .await
        .map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_companies_from_apply_to_the_recruiters_screen() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let options = WorldOptions { log: "trace".into(), ..WorldOptions::default() };
    let mut world = World::start(plane, binary(), &run_dir("e2e")?, options).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    let transitions = follow(world.lines(), "atlas");
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let external = "+212661000001";
    let rif = world.line("rif", "rif-foods", |spec| {
        spec["number"] = json!({"existing": {"phoneNumber": external, "carrier": "External"}});
    });
    world.apply(rif).await?;
    let atlas = world.wait_line("atlas", "True", "Ready", LONG).await?;
    person(&mut world, "rif", external).await?;
    let number = atlas.status.as_ref().and_then(|s| s.phone_number.clone()).context("no number")?;

    golden(&transitions).await?;
    kubectl_shows(plane, &world).await?;
    calls_are_rejected(&world, &number).await?;
    let status = atlas.status.clone().unwrap_or_default();
    ensure!(status.cost.as_ref().is_some_and(|c| c.display == "11.55 MAD"), "the cost is {:?}", status.cost);
    let wamids = messages(&mut world, &number, external).await?;
    metrics_are_documented(plane, &world).await?;
    super::leaks::nothing_leaks(plane, &world, &wamids).await
}

/// Waits until lines can be made.
pub async fn wait_portfolio(world: &World) -> Result<()> {
    wait::until(LONG, "the Portfolio to be Ready", async || {
        let portfolio = match world.portfolios().get("main").await {
            Ok(portfolio) => portfolio,
            Err(error) => return Seen::NotYet(error.to_string()),
        };
        let conditions = portfolio.status.map(|s| s.conditions).unwrap_or_default();
        match get(&conditions, ConditionType::Ready) {
            Some(c) if c.status == "True" => Seen::Done(()),
            other => Seen::NotYet(format!("{other:?}")),
        }
    })
    .await
}

async fn golden(transitions: &Mutex<Vec<(String, String)>>) -> Result<()> {
    let golden: Vec<(String, String)> = GOLDEN.iter().map(|(r, w)| ((*r).to_owned(), (*w).to_owned())).collect();
    wait::until(Duration::from_secs(10), "the golden transitions", async || {
        let seen = transitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if seen == golden { Seen::Done(()) } else { Seen::NotYet(format!("{seen:?}")) }
    })
    .await
}

async fn kubectl_shows(plane: &ControlPlane, world: &World) -> Result<()> {
    plane.kubectl(["wait", "--for=condition=Ready", "cn/atlas", "-n", &world.clients, "--timeout=10s"]).await?;
    let described = plane.kubectl(["describe", "cn", "atlas", "-n", &world.clients]).await?;
    for reason in ["Acquired", "Linked", "CodeRequested", "Verified", "Routed", "Registered", "Ready"] {
        ensure!(described.contains(reason), "kubectl describe shows no {reason}:\n{described}");
    }
    let events = described.split("Events:").nth(1).unwrap_or_default();
    ensure!(
        events.contains("Acquired") && events.contains("Registered"),
        "no events in kubectl describe:\n{described}"
    );
    let list = plane.kubectl(["get", "messaging", "-n", &world.clients]).await?;
    ensure!(list.contains("11.55 MAD") && list.contains("atlas-logistics"), "kubectl get messaging:\n{list}");
    Ok(())
}

/// Voice capture is on only between arming and verification.
async fn calls_are_rejected(world: &World, number: &str) -> Result<()> {
    let outcome = world.sandbox.post("/calls", json!({"to": number, "from": "+33123456789"})).await?;
    ensure!(outcome["outcome"] == "rejected", "a call to a Ready line: {outcome}");
    let recordings = world.sandbox.get("/recordings").await?;
    let kept: Vec<&Value> =
        recordings["recordings"].as_array().into_iter().flatten().filter(|r| r["deleted"] != true).collect();
    ensure!(kept.is_empty(), "recordings are left: {kept:?}");
    Ok(())
}

/// What both programs show after a run in which everything happened is what docs/metrics.md tells of.
async fn metrics_are_documented(plane: &ControlPlane, world: &World) -> Result<()> {
    let places = super::leaks::places(plane, world).await?;
    for program in ["router", "controller"] {
        let shown = places.get(&format!("metrics of the {program}")).context("no metrics")?;
        let wrong = crate::documented::undocumented(shown)?;
        ensure!(wrong.is_empty(), "the {program} shows what docs/metrics.md does not tell of: {wrong:#?}");
    }
    Ok(())
}

/// Each recruiter gets its own company's messages, once and in order, also those sent while it and the router were away.
/// The ids of those messages.
async fn messages(world: &mut World, atlas_number: &str, rif_number: &str) -> Result<Vec<String>> {
    let amina = json!({"name": "Amina Zahraoui", "user_id": "MA.13491208655302741918", "phone": "+212677001122"});
    let karim = json!({"name": "Karim Bennani", "user_id": "MA.99887766554433221100"});
    let arguments = |world: &World, company: &str, recruiter: &str| -> Result<Value> {
        Ok(json!({"url": world.socket_url, "device": "laptop", "token": world.token(company, recruiter)?}))
    };
    let mut sara = Client::helper(arguments(world, "atlas-logistics", "sara")?).await?;
    let omar = Client::helper(arguments(world, "rif-foods", "omar")?).await?;
    sara.after(0, "sara's welcome", |v| v["event"] == "welcome").await?;
    omar.after(0, "omar's welcome", |v| v["event"] == "welcome").await?;
    let mut written = vec![
        world.sandbox.write(atlas_number, &amina, "Salam, marker-body-atlas-1").await?,
        world.sandbox.write(rif_number, &karim, "Bonjour, marker-body-rif-1").await?,
    ];
    got(&sara, "Salam, marker-body-atlas-1").await?;
    got(&omar, "Bonjour, marker-body-rif-1").await?;
    sara.after(0, "sara's store", |v| v["event"] == "stored").await?;

    sara.tell(json!({"cmd": "store"})).await?;
    let stored = sara.after(0, "what sara stored", |v| v["event"] == "store").await?;
    sara.tell(json!({"cmd": "stop"})).await?;
    for n in 2..=4 {
        written.push(world.sandbox.write(atlas_number, &amina, &format!("marker-body-atlas-{n}")).await?);
    }
    world.replace_router().await?;
    let mut again = arguments(world, "atlas-logistics", "sara")?;
    again["cursor"] = stored["cursor"].clone();
    again["seq"] = stored["seq"].clone();
    let sara_again = Client::helper(again).await?;
    written.push(world.sandbox.write(atlas_number, &amina, "marker-body-atlas-5").await?);
    got(&sara_again, "marker-body-atlas-5").await?;
    let wanted: Vec<String> = (2..=5).map(|n| format!("marker-body-atlas-{n}")).collect();
    ensure!(texts(&sara_again) == wanted, "sara missed or reordered: {:?}", texts(&sara_again));
    let seqs = sara_again.seqs();
    ensure!(seqs.is_sorted(), "not in order: {seqs:?}");
    ensure!(texts(&sara) == ["Salam, marker-body-atlas-1"], "sara got {:?}", texts(&sara));
    ensure!(texts(&omar) == ["Bonjour, marker-body-rif-1"], "omar got {:?}", texts(&omar));
    let id = |answer: &Value| answer["wamid"].as_str().map(str::to_owned).context("a message without an id");
    written.iter().map(id).collect()
}
