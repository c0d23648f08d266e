//! A test call before Meta's: it passes and then one code is asked for; it fails and none is; killed while it rings there is
//! no second one; without the setting there is none at all.

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use kube::api::Patch;
use serde_json::{Value, json};

use super::steps::{LONG, begun, begun_with, existing, message_of, number_of, patch_portfolio, sides, world_at};
use crate::support::World;
use crate::support::wait::{self, Seen};

const FROM: &str = "+212522000001";

/// A world in which a test call may be made: the number that calls, and an application that may call out; its id.
async fn prepared(name: &str) -> Result<(World, String)> {
    // A test call is listened for 18 s; the sandbox takes two at most.
    let world = world_at(name, 0.1).await?;
    world.sandbox.post("/existing-numbers", json!({"phone_number": FROM})).await?;
    let application = json!({"friendly_name": "test calls", "voice_url": "https://calls.example/none.xml",
        "outbound": {"outbound_voice_profile_id": "1293384261075731501"}});
    let made = reqwest::Client::new()
        .post(format!("{}/texml_applications", world.sandbox.telnyx))
        .bearer_auth("KEYtest")
        .json(&application);
    let made: Value = made.send().await?.error_for_status()?.json().await?;
    let id = made["data"]["id"].as_str().context("no application was made")?.to_owned();
    Ok((world, id))
}

/// With a controller, and a Portfolio that wants test calls through this application.
async fn rehearsing(world: World, application: &str) -> Result<World> {
    let wish = json!({"fromNumber": FROM, "connectionId": application});
    begun_with(world, |spec| spec["telnyx"]["rehearsal"] = wish).await
}

/// What was seen and what to do, without the time of the next call.
fn told(line: &ClientNumber) -> Result<String> {
    let message = message_of(line);
    let (told, next) = message.split_once("; the next test call follows by itself at ").context(message.clone())?;
    let name = line.metadata.name.as_deref().unwrap_or_default();
    ensure!(next.ends_with(&format!(" UTC, or sooner with kubectl clientnumber retry {name}")), "{message}");
    Ok(told.to_owned())
}

async fn spent(world: &World) -> Result<(usize, usize)> {
    Ok((world.sandbox.calls("telnyx.create_call").await?, world.sandbox.calls("meta.request_code").await?))
}

/// The number rejects calls, and nothing that was said in one is left at the carrier.
async fn quiet(world: &World, line: &ClientNumber) -> Result<()> {
    let number = number_of(line)?;
    let recordings = world.sandbox.get("/recordings").await?;
    let left: Vec<&Value> = recordings["recordings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["to"] == number.as_str() && one["deleted"] != json!(true))
        .collect();
    ensure!(left.is_empty(), "left at the carrier: {left:?}");
    let side = sides(world, &number).await?;
    ensure!(side["telnyx"]["application"].as_str().is_some_and(|a| a.ends_with("/reject")), "takes calls: {side}");
    let armed = line.status.as_ref().and_then(|s| s.verification.as_ref()?.armed_at.clone());
    ensure!(armed.is_none(), "still recording since {armed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_is_proven_before_one_code_is_asked_for() -> Result<()> {
    let (world, application) = prepared("rehearsal-passes").await?;
    let mut world = rehearsing(world, &application).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(spent(&world).await? == (1, 1), "{:?}", spent(&world).await?);
    let journal = world.sandbox.get("/journal").await?;
    let first = |operation: &str| {
        journal["entries"].as_array().into_iter().flatten().position(|entry| entry["operation"] == operation)
    };
    ensure!(first("telnyx.create_call") < first("meta.request_code"), "the code was asked for first");
    let verification = line.status.as_ref().and_then(|s| s.verification.clone()).context("no verification")?;
    let rehearsal = verification.rehearsal.context("no rehearsal in status")?;
    ensure!(rehearsal.passed_at.is_some() && rehearsal.started_at.is_none(), "{rehearsal:?}");
    quiet(&world, &line).await
}

/// Speech-to-text does not answer the first time: it is asked again, and the test call still counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_fails_once_fails_no_test_call() -> Result<()> {
    let (world, application) = prepared("rehearsal-slow-reader").await?;
    world.sandbox.post("/settings", json!({"voice": {"transcription": "never"}})).await?;
    let away =
        json!({"operation": "telnyx.speech_to_text", "nth": 1, "when": "before", "action": "status", "status": 503});
    let away = world.sandbox.fault(away).await?;
    let mut world = rehearsing(world, &application).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.sandbox.met(&away, LONG).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(spent(&world).await? == (1, 1), "{:?}", spent(&world).await?);
    Ok(())
}

/// The capture is broken: nothing of Meta's is spent, and when it works again the line goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_capture_costs_no_code_and_is_named() -> Result<()> {
    let (world, application) = prepared("rehearsal-fails").await?;
    let deaf = json!({"voice": {"transcription": "never"}});
    world.sandbox.post("/settings", deaf).await?;
    let stt = json!({"operation": "telnyx.speech_to_text", "nth": 1, "count": 1_000, "when": "before",
        "action": "status", "status": 422, "body": {"errors": [{"code": "10015", "title": "Bad Request",
        "detail": "The recording can't be transcribed.", "source": {"pointer": "/file_url"}}]}});
    let stt = world.sandbox.fault(stt).await?;
    let mut world = rehearsing(world, &application).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let line = world.wait_line("atlas", "False", "RehearsalFailed", LONG).await?;
    let seen = told(&line)?;
    ensure!(
        seen.starts_with("no code was asked for: the test call was recorded, but its digits could not be read (")
            && seen.ends_with("): set telnyx.transcriber of the Portfolio to a service that reads it, or ask Telnyx support why its transcriptions don't"),
        "{seen}"
    );
    ensure!(spent(&world).await? == (1, 0), "{:?}", spent(&world).await?);
    wait::until(LONG, "the number to reject calls again", async || match world.lines().get("atlas").await {
        Ok(line) if quiet(&world, &line).await.is_ok() => Seen::Done(()),
        Ok(line) => Seen::NotYet(message_of(&line)),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;

    world.sandbox.post("/settings", json!({"voice": {"transcription": "ok"}})).await?;
    world.sandbox.delete(&format!("/faults/{stt}")).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(spent(&world).await? == (2, 1), "{:?}", spent(&world).await?);
    quiet(&world, &line).await
}

/// The call never rings: said so, while other lines get their turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_fails_its_rehearsal_holds_up_nobody() -> Result<()> {
    let (world, application) = prepared("rehearsal-turn").await?;
    let bad = "+212612000555";
    world.sandbox.post("/existing-numbers", json!({"phone_number": bad})).await?;
    let lost = json!({"operation": "sandbox.call", "nth": 1, "count": 1_000, "when": "before", "action": "drop",
        "contains": &bad[1..]});
    world.sandbox.fault(lost).await?;
    let wish = json!({"fromNumber": FROM, "connectionId": application});
    let mut world = begun_with(world, |spec| {
        spec["telnyx"]["rehearsal"] = wish;
        spec["limits"] = json!({"concurrentOnboardings": 1});
    })
    .await?;
    world.apply(world.line("rif", "rif-foods", |spec| spec["number"] = existing(bad))).await?;
    let line = world.wait_line("rif", "False", "RehearsalFailed", LONG).await?;
    let expected = format!(
        "no code was asked for: the test call from {FROM} did not ring: look for it in the Telnyx portal (Reporting, Debugging), and see there that the outbound voice profile of the application {application} allows calls to this number"
    );
    ensure!(told(&line)? == expected, "{}", message_of(&line));
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(world.sandbox.calls("meta.request_code").await? == 1, "a code was asked for a line that was not proven");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_rings_there_is_no_second_call() -> Result<()> {
    let (world, application) = prepared("rehearsal-killed").await?;
    let rings = json!({"operation": "sandbox.call", "nth": 1, "when": "before", "action": "hold"});
    let rings = world.sandbox.fault(rings).await?;
    // Telnyx has taken the call, and its answer is on its way for ever.
    let answer = json!({"operation": "telnyx.create_call", "nth": 1, "when": "after", "action": "hold"});
    let answer = world.sandbox.fault(answer).await?;
    let mut world = rehearsing(world, &application).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.sandbox.holding(&answer, LONG).await?;
    world.sandbox.holding(&rings, LONG).await?;
    world.controller()?.kill().await?;
    let line = world.lines().get("atlas").await?;
    let verification = line.status.and_then(|s| s.verification).unwrap_or_default();
    ensure!(verification.requests.is_empty(), "a code request was counted for a test call");
    ensure!(verification.rehearsal.is_some_and(|r| r.started_at.is_some()), "the call is not in status");
    world.controller()?.restart().await?;
    world.sandbox.release(&rings).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(spent(&world).await? == (1, 1), "{:?}", spent(&world).await?);
    quiet(&world, &line).await
}

/// What the number that makes test calls says while Meta's code is awaited is not taken for that code.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_that_comes_late_is_not_taken_for_metas() -> Result<()> {
    let (world, application) = prepared("rehearsal-late").await?;
    let metas = json!({"operation": "sandbox.call", "nth": 2, "when": "before", "action": "hold"});
    let metas = world.sandbox.fault(metas).await?;
    let mut world = rehearsing(world, &application).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.sandbox.holding(&metas, LONG).await?;
    let number = number_of(&world.lines().get("atlas").await?)?;
    let late = json!({"to": number, "from": FROM, "text": "Verification code is one two three four five seven"});
    let report = world.sandbox.post("/calls", late).await?;
    ensure!(report["outcome"] == "recorded", "{report}");
    wait::until(LONG, "its transcription", async || match world.sandbox.get("/recordings").await {
        Ok(all) => {
            let ours = |one: &&Value| one["id"] == report["recording_id"];
            let one = all["recordings"].as_array().into_iter().flatten().find(ours).cloned().unwrap_or_default();
            wait::seen(one["transcription"]["completed"] == json!(true), one.to_string())
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    let looks = world.sandbox.calls("telnyx.list_transcriptions").await?;
    wait::until(LONG, "it to be listed twice", async || {
        match world.sandbox.calls("telnyx.list_transcriptions").await {
            Ok(now) => wait::seen(now >= looks + 3, format!("{now} lists after {looks}")),
            Err(error) => Seen::NotYet(error.to_string()),
        }
    })
    .await?;
    world.sandbox.release(&metas).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(world.sandbox.calls("meta.verify_code").await? == 1, "a test call's digits were handed in");
    quiet(&world, &line).await
}

/// What is set wrongly is named by its field; the line's own number can't call itself.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_named_and_nothing_rings() -> Result<()> {
    let (world, _) = prepared("rehearsal-settings").await?;
    let mut world = rehearsing(world, "12").await?;
    world.apply(world.line("own", "own-goals", |spec| spec["number"] = existing(FROM))).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let line = world.wait_line("own", "False", "RehearsalFailed", LONG).await?;
    ensure!(
        told(&line)?
            == "no code was asked for: telnyx.rehearsal.fromNumber of the Portfolio is this line's own number, which can't call itself: name another number of the Telnyx account there",
        "{}",
        message_of(&line)
    );
    let line = world.wait_line("atlas", "False", "RehearsalFailed", LONG).await?;
    ensure!(
        told(&line)?
            == "no code was asked for: the test call was refused: Telnyx: Resource not found: The requested resource or URL could not be found. (10005): let telnyx.rehearsal.connectionId of the Portfolio be the id of a TeXML application of this Telnyx account",
        "{}",
        message_of(&line)
    );
    ensure!(world.sandbox.calls("sandbox.call").await? == 0, "something rang");
    ensure!(world.sandbox.calls("meta.request_code").await? == 0, "a code was asked for");
    Ok(())
}

/// After many failures the gap is longer than this test may last; a person's retry ends it.
#[tokio::test(flavor = "multi_thread")]
async fn retry_makes_the_next_test_call_at_once() -> Result<()> {
    let (world, application) = prepared("rehearsal-retry").await?;
    let mut world = rehearsing(world, "12").await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.wait_line("atlas", "False", "RehearsalFailed", LONG).await?;
    let many = json!({"status": {"verification": {"rehearsal": {"failures": 9,
        "failedAt": k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now())}}}});
    world.lines().patch_status("atlas", &Default::default(), &Patch::Merge(&many)).await?;
    patch_portfolio(&world, json!({"telnyx": {"rehearsal": {"connectionId": application}}})).await?;
    // Two hours are 720 s here.
    let far = jiff::Timestamp::now() + std::time::Duration::from_secs(300);
    wait::until(LONG, "the next test call to be far away", async || match world.lines().get("atlas").await {
        Ok(line) => {
            let said = message_of(&line);
            let at = said.split(" by itself at ").nth(1).and_then(|at| at.split(" UTC").next());
            let at = at.and_then(|at| format!("{}Z", at.replace(' ', "T")).parse::<jiff::Timestamp>().ok());
            wait::seen(at.is_some_and(|at| at > far), said)
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    ensure!(world.sandbox.calls("sandbox.call").await? == 0, "something rang");
    let retry = json!({"metadata": {"annotations": {"clientnumber.dev/retry-requested-at": "now"}}});
    world.lines().patch("atlas", &Default::default(), &Patch::Merge(&retry)).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(world.sandbox.calls("meta.request_code").await? == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_there_is_no_test_call() -> Result<()> {
    let mut world = begun("rehearsal-none").await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(spent(&world).await? == (0, 1), "{:?}", spent(&world).await?);
    ensure!(world.sandbox.calls("telnyx.get_organization").await? == 0);
    let verification = line.status.and_then(|s| s.verification).unwrap_or_default();
    ensure!(verification.rehearsal.is_none(), "{verification:?}");
    Ok(())
}
