//! What happens in the demo: a Portfolio, two lines, a person at a telephone, two recruiters, two candidates, and the
//! checks that it went as promised.
//!
//! Must never prove less than it prints: each claim on the screen is an `ensure!` here.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clientnumber::resources::conditions::{ConditionType, get};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::ground::{Ground, shown};
use crate::lines::seconds;
use crate::recruiters::Recruiter;
use crate::screen::{self, say};
use crate::support::World;
use crate::support::wait::{self, Seen};

/// A step takes seconds; this long means that it does not happen.
const LONG: Duration = Duration::from_secs(120);
/// The line of another operator: a number that the person has, not one that is bought.
pub const EXTERNAL: &str = "+212661000001";

/// Writes a manifest where it can be read and applied; its path.
pub fn manifest(ground: &Ground, name: &str, object: &Value) -> Result<PathBuf> {
    let path = ground.dir.join(format!("{name}.yaml"));
    fs::write(&path, serde_yaml::to_string(object)?)?;
    Ok(path)
}

async fn apply(world: &World, ground: &Ground, name: &str, object: Value) -> Result<()> {
    let path = manifest(ground, name, &object)?;
    world.apply(object).await?;
    say(&format!("applied {}", shown(&path)));
    Ok(())
}

/// The platform's accounts, checked.
pub async fn portfolio(world: &World, ground: &Ground) -> Result<()> {
    let started = Instant::now();
    apply(world, ground, "portfolio", world.portfolio(|_| ())).await?;
    wait::until(LONG, "the Portfolio to be Ready", async || {
        let portfolio = match world.portfolios().get("main").await {
            Ok(portfolio) => portfolio,
            Err(error) => return Seen::NotYet(error.to_string()),
        };
        let conditions = portfolio.status.map(|status| status.conditions).unwrap_or_default();
        match get(&conditions, ConditionType::Ready) {
            Some(ready) if ready.status == "True" => Seen::Done(()),
            Some(ready) => Seen::NotYet(format!("{}: {}", ready.reason, ready.message)),
            None => Seen::NotYet("no condition".into()),
        }
    })
    .await?;
    say(&format!("Portfolio main is {} after {}", screen::green("Ready"), seconds(started.elapsed())));
    Ok(())
}

/// Both lines, from apply to Ready; the number that was bought.
pub async fn two_lines(world: &mut World, ground: &Ground) -> Result<String> {
    apply(world, ground, "atlas", world.line("atlas", "atlas-logistics", |_| ())).await?;
    let rif = world.line("rif", "rif-foods", |spec| {
        spec["number"] = json!({"existing": {"phoneNumber": EXTERNAL, "carrier": "External"}});
    });
    apply(world, ground, "rif", rif).await?;
    crate::lines::head();
    person(world).await?;
    world.wait_line("rif", "True", "Ready", LONG).await?;
    let atlas = world.wait_line("atlas", "True", "Ready", LONG).await?;
    atlas.status.and_then(|status| status.phone_number).context("atlas is Ready without a number")
}

/// What the person with rif's telephone does: asks for the call, hears the code, hands it in.
async fn person(world: &mut World) -> Result<()> {
    world.wait_line("rif", "False", "CodeNeeded", LONG).await?;
    say(&screen::dim("          a person lets Meta call: annotates rif with clientnumber.dev/call-requested-at"));
    let asked = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {"clientnumber.dev/call-requested-at": asked}}});
    world.lines().patch("rif", &PatchParams::default(), &Patch::Merge(&patch)).await?;
    let digits = EXTERNAL.trim_start_matches('+');
    let code = wait::until(LONG, "the person to hear the code", async || {
        match world.sandbox.get(&format!("/codes?to={digits}")).await {
            Ok(codes) => match codes["codes"][0]["code"].as_str() {
                Some(code) => Seen::Done(code.to_owned()),
                None => Seen::NotYet("no call came yet".into()),
            },
            Err(error) => Seen::NotYet(format!("{error:#}")),
        }
    })
    .await?;
    say(&screen::dim("          a person heard the code and types it: Secret rif-code of type clientnumber.dev/code"));
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.clients);
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "rif-code", "namespace": world.clients},
        "type": "clientnumber.dev/code", "stringData": {"code": code},
    }))?;
    secrets.create(&Default::default(), &secret).await?;
    Ok(())
}

/// A candidate writes to each line, twice; each recruiter must get its own company's messages, once and in order, and
/// nothing else. The second round is the fence: whatever of the first had gone astray would have arrived before it.
pub async fn messages(world: &World, atlas_number: &str, recruiters: &[Recruiter]) -> Result<()> {
    let [sara, omar] = recruiters else { bail!("two recruiters are needed, {} are connected", recruiters.len()) };
    let amina = json!({"name": "Amina", "user_id": "MA.13491208655302741918", "phone": "+212677001122"});
    let karim = json!({"name": "Karim", "user_id": "MA.99887766554433221100"});
    let to_atlas = ["Salam, is the driver's job in Tanger still open?", "I can start on Monday."];
    let to_rif = ["Bonjour, j'ai vu votre annonce.", "Je suis disponible demain."];
    for (one, other) in to_atlas.iter().zip(to_rif) {
        write(world, atlas_number, &amina, one).await?;
        write(world, EXTERNAL, &karim, other).await?;
        sara.got(one).await?;
        omar.got(other).await?;
    }
    for (recruiter, wanted) in [(sara, to_atlas), (omar, to_rif)] {
        let got = recruiter.texts();
        ensure!(got == wanted, "{} of {} got {got:?} instead of {wanted:?}", recruiter.name, recruiter.company);
    }
    Ok(())
}

async fn write(world: &World, to: &str, candidate: &Value, text: &str) -> Result<()> {
    say(&format!("{} writes to {to}", candidate["name"].as_str().unwrap_or_default()));
    let answer = world.sandbox.write(to, candidate, text).await?;
    ensure!(answer["delivered"] == true, "the sandbox did not deliver a message to {to}: {}", answer["reason"]);
    Ok(())
}

/// What must hold now, each with its line on the screen.
pub async fn checks(world: &mut World, atlas_number: &str) -> Result<()> {
    let ok = |text: &str| say(&format!("{} {text}", screen::green("ok")));
    ok("each recruiter got its own company's two messages, once and in order, and none of the other's");
    let purchases = world.sandbox.purchases().await?;
    ensure!(purchases.len() == 1, "{} numbers were bought, 1 is right: {purchases:?}", purchases.len());
    ok("exactly one number was bought, for atlas; rif brought its own");
    let atlas = world.lines().get("atlas").await?;
    let cost = atlas.status.and_then(|status| status.cost).map(|cost| cost.display).unwrap_or_default();
    ensure!(cost == "11.55 MAD", "atlas costs {cost:?}, 11.55 MAD is right");
    ok("atlas costs 11.55 MAD a month by the Portfolio's rate card");
    let call = world.sandbox.post("/calls", json!({"to": atlas_number, "from": "+33123456789"})).await?;
    ensure!(call["outcome"] == "rejected", "an ordinary call to atlas was not rejected: {call}");
    let recordings = world.sandbox.get("/recordings").await?;
    let left = recordings["recordings"].as_array().into_iter().flatten().filter(|r| r["deleted"] != true).count();
    ensure!(left == 0, "{left} recordings are left at the carrier");
    ok("an ordinary call to atlas is rejected, and no recording is left at the carrier");
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.clients);
    ensure!(secrets.get_opt("rif-code").await?.is_none(), "the Secret with rif's code is still there");
    ok("the Secret with rif's code was deleted after use");
    running(world)
}

/// All programs must still run.
pub fn running(world: &mut World) -> Result<()> {
    let ended = [world.controller()?.ended(), world.router.ended(), world.sandbox.program().ended()];
    match ended.into_iter().flatten().next() {
        Some(end) => bail!("{end}"),
        None => Ok(()),
    }
}
