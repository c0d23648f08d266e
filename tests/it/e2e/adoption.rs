//! Numbers that are there already: found again after a restore, taken over from another cluster, never another company's,
//! never on the word of an annotation, and refused with its reason where somebody else uses them. Nothing is bought for any.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::conditions::{ConditionType, get};
use jiff::Timestamp;
use kube::api::{Patch, PostParams};
use serde_json::{Value, json};

use super::onboarding::wait_portfolio;
use super::steps::{
    LONG, begun, binary, bought, delete, existing, gone, number_of, patch_portfolio, portfolio_shows, sides, world_at,
    writes,
};
use crate::support::mongo::{Mongo, MongoOptions};
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const ANNOTATION: &str = "clientnumber.dev/phone-number";

async fn ready(world: &mut World, name: &str) -> Result<String> {
    number_of(&world.wait_line(name, "True", "Ready", LONG).await?)
}

/// How often Meta was asked for a code of each number.
async fn code_requests(world: &World, number: &str) -> Result<u64> {
    sides(world, number).await?["meta"]["code_requests"].as_u64().context("no line at Meta")
}

/// A namesake of another company gets neither the number that the old line left, nor one of its own under that reference;
/// under another name it buys its own. The old company takes its number again.
#[tokio::test(flavor = "multi_thread")]
async fn a_namesake_of_another_company_never_gets_its_number() -> Result<()> {
    let mut world = begun("namesake").await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = ready(&mut world, "atlas").await?;
    delete(&world, "atlas").await?;
    let before = sides(&world, &number).await?;

    world.apply(world.line("atlas", "rif-foods", |_| ())).await?;
    let mismatch = world.wait_line("atlas", "False", "CompanyMismatch", LONG).await?;
    ensure!(number_of(&mismatch).is_err(), "the namesake has {:?}", number_of(&mismatch));
    ensure!(sides(&world, &number).await? == before, "the namesake changed {}", sides(&world, &number).await?);
    bought(&world, 1).await?;
    delete(&world, "atlas").await?;

    world.apply(world.line("rif", "rif-foods", |_| ())).await?;
    world.apply(world.line("atlas-2", "atlas-logistics", |_| ())).await?;
    ensure!(ready(&mut world, "rif").await? != number, "another company has the number");
    ensure!(ready(&mut world, "atlas-2").await? == number, "the company did not get its number again");
    bought(&world, 2).await?;
    ensure!(code_requests(&world, &number).await? == 1, "a verified number was verified again");
    Ok(())
}

/// The annotation is a mirror for people. Alone it proves nothing: neither another company's number nor one that was never
/// bought is taken on its word.
#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_alone_proves_nothing() -> Result<()> {
    let mut world = begun("annotation").await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = ready(&mut world, "atlas").await?;
    let before = sides(&world, &number).await?;
    let claims = [("rif", number.as_str()), ("sahara", "+212699999999")];
    for (name, claimed) in claims {
        let mut line = world.line(name, &format!("{name}-co"), |_| ());
        line["metadata"]["annotations"] = json!({ANNOTATION: claimed});
        world.apply(line).await?;
    }
    for (name, claimed) in claims {
        let line = world.wait_line(name, "True", "Ready", LONG).await?;
        let own = number_of(&line)?;
        ensure!(own != claimed, "{name} lives on {own} by its annotation");
        let mirror = line.metadata.annotations.as_ref().and_then(|a| a.get(ANNOTATION));
        ensure!(mirror == Some(&own), "the annotation of {name} says {mirror:?}, the line has {own}");
    }
    ensure!(sides(&world, &number).await? == before, "the other company's number was changed");
    bought(&world, 3).await?;
    Ok(())
}

/// A number that the spec names is used only if nobody else uses it. What was refused is at the carrier as it was.
#[tokio::test(flavor = "multi_thread")]
async fn existing_numbers_with_another_use_are_refused_and_left_alone() -> Result<()> {
    let mut world = begun("existing").await?;
    let numbers = [
        ("tagged", "+212612340001", "NumberInUse"),
        ("forwards", "+212612340002", "NumberInUse"),
        ("connected", "+212612340003", "NumberInUse"),
        ("blocked", "+212612340004", "NumberNotActive"),
        ("nobodys", "+212612340005", "NumberNotFound"),
    ];
    let telnyx = Carrier { url: world.sandbox.telnyx.clone() };
    for (kind, number, _) in numbers.iter().filter(|(kind, ..)| *kind != "nobodys") {
        let tags = if *kind == "tagged" { json!(["clientnumber:owner=neighbour"]) } else { json!(["mine"]) };
        let made = world.sandbox.post("/existing-numbers", json!({"phone_number": number, "tags": tags})).await?;
        let id = made["id"].as_str().context("no id")?;
        match *kind {
            "forwards" => {
                let forwarding = json!({"call_forwarding": {
                    "call_forwarding_enabled": true, "forwarding_type": "always", "forwards_to": "+33123456789",
                }});
                telnyx.send(reqwest::Method::PATCH, &format!("/phone_numbers/{id}/voice"), forwarding).await?;
            }
            "connected" => {
                let application = json!({"friendly_name": "switchboard", "voice_url": "https://other.example/a.xml"});
                let made = telnyx.send(reqwest::Method::POST, "/texml_applications", application).await?;
                let connection = json!({"telnyx": {"connection_id": made["data"]["id"]}});
                world.sandbox.post(&format!("/numbers/{number}"), connection).await?;
            }
            "blocked" => {
                let status = json!({"telnyx": {"status": "emergency-only"}});
                world.sandbox.post(&format!("/numbers/{number}"), status).await?;
            }
            _ => {}
        }
    }
    let before = (world.sandbox.get("/numbers").await?, writes(&world).await?);
    for (kind, number, _) in numbers {
        world.apply(world.line(kind, &format!("{kind}-co"), |spec| spec["number"] = existing(number))).await?;
    }
    for (kind, number, reason) in numbers {
        let line = world.wait_line(kind, "False", reason, LONG).await?;
        let conditions = line.status.map(|s| s.conditions).unwrap_or_default();
        let ready = get(&conditions, ConditionType::Ready).context("no Ready")?;
        ensure!(ready.message.contains(number), "{kind}: {}", ready.message);
        ensure!(get(&conditions, ConditionType::Stalled).is_some(), "{kind} does not call for a person");
    }
    ensure!(world.sandbox.get("/numbers").await? == before.0, "a refused number was changed");
    let after = writes(&world).await?;
    ensure!(after == before.1, "wrote: {:?}", &after[before.1.len()..]);

    // Once nobody else uses it, it is taken by itself.
    world.sandbox.post("/numbers/+212612340001", json!({"telnyx": {"tags": ["mine"]}})).await?;
    world.wait_line("tagged", "True", "Ready", LONG).await?;
    bought(&world, 0).await?;
    Ok(())
}

/// Telnyx as its customer uses it besides.
pub(super) struct Carrier {
    pub(super) url: String,
}

impl Carrier {
    pub(super) async fn send(&self, method: reqwest::Method, path: &str, body: Value) -> Result<Value> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let request = http.request(method, format!("{}{path}", self.url)).bearer_auth("key").json(&body);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}

/// Status is lost, by a write to it or because the object comes from a backup without it: numbers, ids and routes are found
/// again, nothing is bought, asked for or registered twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_status_finds_everything() -> Result<()> {
    let mut world = begun("restore").await?;
    let names = ["wiped", "restored"];
    let mut numbers = Vec::new();
    for name in names {
        world.apply(world.line(name, &format!("{name}-co"), |_| ())).await?;
    }
    for name in names {
        numbers.push(ready(&mut world, name).await?);
    }
    let before = calls(&world).await?;
    world.controller()?.stop().await?;
    let lines = world.lines();
    let mut wiped = lines.get("wiped").await?;
    let known = wiped.status.take().context("no status")?;
    wiped.status = Some(serde_json::from_value(json!({"observedGeneration": -1}))?);
    lines.replace_status("wiped", &PostParams::default(), &wiped).await?;
    let backup = lines.get("restored").await?;
    let mirror = backup.metadata.annotations.clone().unwrap_or_default();
    ensure!(mirror.get(ANNOTATION) == Some(&numbers[1]), "the backup has the annotations {mirror:?}");
    let no_finalizer = json!({"metadata": {"finalizers": null}});
    lines.patch("restored", &Default::default(), &Patch::Merge(&no_finalizer)).await?;
    lines.delete("restored", &Default::default()).await?;
    gone(&world, "restored").await?;
    let mut again = world.line("restored", "restored-co", |_| ());
    again["metadata"]["annotations"] = json!({ANNOTATION: numbers[1]});
    again["metadata"]["finalizers"] = json!(["clientnumber.dev/line"]);
    world.apply(again).await?;

    world.controller()?.restart().await?;
    for (name, number) in names.iter().zip(&numbers) {
        ensure!(ready(&mut world, name).await? == *number, "{name} has another number");
    }
    let found = lines.get("wiped").await?.status.unwrap_or_default();
    ensure!(found.phone_number_id == known.phone_number_id, "another id at Meta: {:?}", found.phone_number_id);
    let epoch = |route: Option<clientnumber::resources::client_number::RouteStatus>| route.map(|r| (r.state, r.epoch));
    ensure!(epoch(found.route.clone()) == epoch(known.route), "the route is {:?}", found.route);
    bought(&world, 2).await?;
    ensure!(calls(&world).await? == before, "asked again: {:?} instead of {before:?}", calls(&world).await?);
    Ok(())
}

/// How often was called what must not be repeated.
async fn calls(world: &World) -> Result<Vec<(&'static str, usize)>> {
    let mut calls = Vec::new();
    for operation in
        ["telnyx.create_number_order", "meta.create_number", "meta.request_code", "meta.register", "meta.deregister"]
    {
        calls.push((operation, world.sandbox.calls(operation).await?));
    }
    Ok(calls)
}

/// What was asked of Meta before status was lost is not known: one whole gap passes before the next code.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_a_whole_gap_passes_before_the_next_code() -> Result<()> {
    // An hour is 36 seconds, a code's life six.
    const SCALE: f64 = 0.01;
    let mut world = world_at("restore-gap", SCALE).await?;
    world.sandbox.post("/settings", json!({"voice": {"no_call": true}})).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = number_of(&world.wait_line("atlas", "False", "CodeRequested", LONG).await?)?;
    // Counted in status first; then Meta is asked.
    wait::until(LONG, "Meta to be asked for a code", async || match code_requests(&world, &number).await {
        Ok(requests) => wait::seen(requests == 1, requests),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    world.controller()?.kill().await?;
    let mut line = world.lines().get("atlas").await?;
    line.status = Some(serde_json::from_value(json!({"observedGeneration": -1}))?);
    let restored = Timestamp::now();
    world.lines().replace_status("atlas", &PostParams::default(), &line).await?;
    world.sandbox.post("/settings", json!({"voice": {"no_call": false}})).await?;

    world.controller()?.restart().await?;
    let waits = world.wait_line("atlas", "False", "CodeRateLimited", LONG).await?;
    let not_before = waits.status.and_then(|s| s.verification?.not_before).context("no time is named")?.0;
    let gap = Duration::from_secs(3600).mul_f64(SCALE);
    ensure!(not_before >= restored + gap, "the gap ends at {not_before}, the restore was at {restored}");
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    let journal = world.sandbox.get("/journal?operation=meta.request_code").await?;
    let times: Vec<Timestamp> =
        journal["entries"].as_array().into_iter().flatten().filter_map(|e| e["time"].as_str()?.parse().ok()).collect();
    ensure!(times.len() == 2, "{} requests for a code: {journal}", times.len());
    ensure!(times[1] >= not_before, "a code was asked for at {}, before {not_before}", times[1]);
    bought(&world, 1).await?;
    Ok(())
}

/// Another cluster with the same names and accounts, and a controller that runs. It ends with its control plane.
pub(super) async fn another_cluster(
    world: &World,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<(ControlPlane, World)> {
    let plane = ControlPlane::start(&run_dir(&format!("control-plane-of-{name}"))?).await?;
    let dir = run_dir(name)?;
    let options = WorldOptions {
        speed: 0.02,
        scale: 0.02,
        namespaces: Some([world.platform.clone(), world.clients.clone()]),
        ..WorldOptions::default()
    };
    let mongo = Mongo::start(&dir, MongoOptions::default()).await?;
    let mut other = World::start_at(plane.kubeconfig_path(), mongo, binary(), &dir, options).await?;
    other.control(None, None).await?;
    let portfolio = other.portfolio(|spec| {
        spec["telnyx"]["baseUrl"] = world.sandbox.telnyx.clone().into();
        spec["meta"]["baseUrl"] = world.sandbox.meta.clone().into();
        change(spec);
    });
    other.apply(portfolio).await?;
    Ok((plane, other))
}

/// Two clusters with one ownerId: the second says so, with tokens that are good all the same, and touches nothing, not even
/// for a line of the same name. When a person says that the first is gone, the second takes its numbers, and the first one,
/// should it come back, touches nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_owner_id_is_used_only_once_it_is_taken_over() -> Result<()> {
    let mut world = begun("cluster-1").await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let number = ready(&mut world, "atlas").await?;
    let first = world.portfolios().get("main").await?.status.and_then(|s| s.cluster_id).context("no clusterId")?;

    let before = (world.sandbox.get("/numbers").await?, writes(&world).await?);
    let (_plane, mut other) = another_cluster(&world, "cluster-2", |_| ()).await?;
    other.apply(other.line("atlas", "atlas-logistics", |_| ())).await?;
    let wanted = ["Ready=False/OwnerIdInUse", "TokensValid=True/CredentialsValid", "Stalled=True/OwnerIdInUse"];
    portfolio_shows(&other, &wanted).await?;
    other.wait_line("atlas", "False", "PortfolioNotReady", LONG).await?;
    ensure!(world.sandbox.get("/numbers").await? == before.0, "the second cluster changed a number");
    let after = writes(&world).await?;
    ensure!(after == before.1, "the second cluster wrote: {:?}", &after[before.1.len()..]);

    world.controller()?.stop().await?;
    patch_portfolio(&other, json!({"takeOverFrom": first})).await?;
    wait_portfolio(&other).await?;
    ensure!(ready(&mut other, "atlas").await? == number, "the number was not found again");
    bought(&world, 1).await?;
    ensure!(code_requests(&world, &number).await? == 1, "a verified number was verified again");

    let before = writes(&world).await?;
    world.controller()?.restart().await?;
    portfolio_shows(&world, &["Ready=False/OwnerIdInUse"]).await?;
    let after = writes(&world).await?;
    ensure!(after == before, "the first cluster wrote: {:?}", &after[before.len()..]);
    bought(&world, 1).await?;
    Ok(())
}
