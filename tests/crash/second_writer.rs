//! Somebody else writes to every line all the time: labels, annotations, conditions of its own and conditions of ours, with
//! and without resourceVersion, from a line's first moment to its last. One purchase a line all the same, and progress; and
//! when it ends, every condition says the truth again and nothing that is its own was lost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use futures::future::try_join_all;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::after;
use crate::support::wait::{self, Seen};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const SCALE: f64 = 0.02;
/// Undisturbed it is some ten seconds.
const PROGRESS: Duration = Duration::from_secs(180);
/// Its own condition, label and annotation.
const OWN: &str = "example.com/checked";

/// What the second writer did to one line.
#[derive(Debug, Default)]
struct Meddled {
    /// Writes that the server took.
    written: u64,
    /// Writes that came too late after somebody else's.
    conflicts: u64,
}

fn condition(type_: &str, n: u64) -> Value {
    json!({
        "type": type_, "status": if n.is_multiple_of(2) { "True" } else { "False" }, "reason": "Meddled", "message": n.to_string(),
        "lastTransitionTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}

/// One write, each time of the next kind.
async fn write(api: &Api<ClientNumber>, name: &str, n: u64) -> kube::Result<ClientNumber> {
    let merge = PatchParams::default();
    let apply = PatchParams::apply("second-writer").force();
    let (lie, own) = (condition("Ready", n), condition(OWN, n));
    match n % 6 {
        0 => api.patch(name, &merge, &Patch::Merge(json!({"metadata": {"labels": {OWN: n.to_string()}}}))).await,
        1 => api.patch(name, &merge, &Patch::Merge(json!({"metadata": {"annotations": {OWN: n.to_string()}}}))).await,
        // All others' gone, and a lie in their place.
        2 => api.patch_status(name, &merge, &Patch::Merge(json!({"status": {"conditions": [lie, own]}}))).await,
        // As a controller of a type of its own would.
        3 => {
            let own = json!({
                "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber", "status": {"conditions": [own]},
            });
            api.patch_status(name, &apply, &Patch::Apply(own)).await
        }
        // By PUT of what it has read.
        4 => {
            let mut read = api.get(name).await?;
            let status = read.status.get_or_insert_default();
            status.conditions.retain(|c| c.type_ != OWN);
            status.conditions.push(serde_json::from_value(own).map_err(kube::Error::SerdeError)?);
            api.replace_status(name, &PostParams::default(), &read).await
        }
        _ => api.patch_status(name, &merge, &Patch::Merge(json!({"status": {"conditions": null}}))).await,
    }
}

/// Writes until told to end, or until the object is gone. One write at a time and then `pause`.
async fn meddle(api: Api<ClientNumber>, name: String, pause: Duration, stop: CancellationToken) -> Result<Meddled> {
    let mut done = Meddled::default();
    let mut n = 0;
    while !stop.is_cancelled() {
        match write(&api, &name, n).await {
            Ok(_) => done.written += 1,
            Err(kube::Error::Api(error)) if error.is_conflict() => done.conflicts += 1,
            Err(kube::Error::Api(error)) if error.is_not_found() => return Ok(done),
            Err(error) => return Err(error).with_context(|| format!("write {n} to {name}")),
        }
        n += 1;
        tokio::time::sleep(pause).await;
    }
    Ok(done)
}

/// Whether a line has all that makes it work, whatever its conditions say.
fn works(line: &ClientNumber) -> bool {
    let status = line.status.as_ref();
    status.and_then(|s| s.registration.as_ref()).is_some_and(|r| r.registered_at.is_some())
        && status.and_then(|s| s.route.as_ref()).is_some_and(|r| r.state == "active")
}

/// The lines and how long their second writers wait after each write: none at all, and as often as some do in practice.
const PAUSES: [(&str, u64); 5] = [("fast", 0), ("often-a", 20), ("often-b", 50), ("often-c", 100), ("often-d", 200)];

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_all_the_time() -> Result<()> {
    let _turn = after::alone().await;
    let plane = ControlPlane::shared().await?;
    let options = WorldOptions { speed: 0.02, scale: SCALE, ..WorldOptions::default() };
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let mut world = World::start(plane, binary, &run_dir("second-writer")?, options).await?;
    after::wide_providers(&world).await?;
    world.control(None, None).await?;
    world.apply(world.portfolio(|spec| spec["limits"] = after::wide_limits())).await?;
    after::portfolio_ready(&world).await?;

    onboarding(&world).await?;
    after::all_ready(&mut world, PAUSES.len(), PROGRESS).await?;
    for (name, line) in after::lines(&world).await? {
        let conditions = line.status.iter().flat_map(|s| &s.conditions);
        let meddled: Vec<_> = conditions.filter(|c| c.reason == "Meddled").map(|c| c.type_.as_str()).collect();
        ensure!(meddled.iter().all(|type_| *type_ == OWN), "{name}: nobody corrected {meddled:?}");
        ensure!(line.labels().contains_key(OWN) && line.annotations().contains_key(OWN), "{name}: its labels are lost");
    }
    after::check(&world, PAUSES.len(), SCALE).await?;
    deletion(&world).await
}

/// From the first moment until every line works.
async fn onboarding(world: &World) -> Result<()> {
    let (stop, begun) = (CancellationToken::new(), Instant::now());
    let mut meddlers = Vec::new();
    for (name, pause) in PAUSES {
        let policy = if name == "fast" { "Release" } else { "Retain" };
        world.apply(world.line(name, &format!("{name}-co"), |spec| spec["deletionPolicy"] = json!(policy))).await?;
        let pause = Duration::from_millis(pause);
        meddlers.push(tokio::spawn(meddle(world.lines(), name.to_owned(), pause, stop.clone())));
    }
    for (name, _) in PAUSES {
        wait::until(PROGRESS.saturating_sub(begun.elapsed()), &format!("{name} to work"), async || {
            match world.lines().get(name).await {
                Ok(line) => wait::seen(works(&line), format!("{:?}", line.status.and_then(|s| s.step))),
                Err(error) => Seen::NotYet(error.to_string()),
            }
        })
        .await?;
        println!("second writer: {name} works after {:.1?}", begun.elapsed());
    }
    stop.cancel();
    for ((name, _), meddled) in PAUSES.iter().zip(try_join_all(meddlers).await?) {
        let Meddled { written, conflicts } = meddled?;
        println!("second writer: {name} written {written} times, {conflicts} times too late");
        // Each kind of write twice at least.
        ensure!(written >= 12, "the second writer of {name} hardly wrote: {written} times");
    }
    Ok(())
}

/// Until the objects are gone: one number given back, one kept, and nothing bought.
async fn deletion(world: &World) -> Result<()> {
    let api = world.lines();
    let mut numbers = Vec::new();
    let mut meddlers = Vec::new();
    for (name, pause) in &PAUSES[..2] {
        numbers.push(api.get(name).await?.status.and_then(|s| s.phone_number).context("no number")?);
        let meddling = meddle(api.clone(), (*name).to_owned(), Duration::from_millis(*pause), CancellationToken::new());
        meddlers.push(tokio::spawn(tokio::time::timeout(PROGRESS, meddling)));
        api.delete(name, &Default::default()).await?;
    }
    for ((name, _), meddled) in PAUSES.iter().zip(try_join_all(meddlers).await?) {
        let Meddled { written, conflicts } =
            meddled.with_context(|| format!("{name} is not gone after {PROGRESS:?}"))??;
        println!("second writer: {name} gone, written {written} times, {conflicts} times too late");
        ensure!(written >= 5, "the second writer of {name} hardly wrote: {written} times");
    }
    let all = world.sandbox.get("/numbers").await?;
    let all = all["numbers"].as_array().context("no numbers")?;
    let status = |number: &str| {
        let found = all.iter().find(|n| n["phone_number"] == number);
        found.and_then(|n| n["telnyx"]["status"].as_str()).unwrap_or("gone").to_owned()
    };
    ensure!(status(&numbers[1]) == "active", "the kept number is {}", status(&numbers[1]));
    ensure!(status(&numbers[0]) != "active", "the released number is {}", status(&numbers[0]));
    ensure!(world.sandbox.purchases().await?.len() == PAUSES.len(), "something was bought");
    Ok(())
}
