//! What becomes of the call that speaks the code, and what the line says about it, word for word. Each world's hour is 72
//! seconds and a code lives for 12. The witness is the sandbox's journal: how often Meta was asked, what was handed in.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::client_number::{CallStatus, CodeSource};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::steps::{
    LONG, answered_by, begun, begun_with, message_of, number_of, patch_portfolio, sides, world, world_at,
};
use crate::support::World;
use crate::support::wait::{self, Seen};

/// What it says is exactly this.
fn says(line: &ClientNumber, expected: &str) -> Result<()> {
    let said = message_of(line);
    ensure!(said == expected, "{said}\ninstead of\n{expected}");
    Ok(())
}

fn call_of(line: &ClientNumber) -> Result<CallStatus> {
    line.status.as_ref().and_then(|s| s.verification.as_ref()?.call.clone()).context("no call in status")
}

fn clock(at: Option<&Time>) -> String {
    at.map(|at| at.0.strftime("%H:%M:%S").to_string()).unwrap_or_default()
}

/// What follows when the hour's only code is used up: the time is the request's, an hour of this world later.
fn held(line: &ClientNumber) -> Result<String> {
    let verification = line.status.as_ref().and_then(|s| s.verification.as_ref()).context("no verification")?;
    let until = verification.requests.last().context("no request")?.0 + Duration::from_secs(72);
    Ok(format!(
        "1 code was asked for within an hour, which is limits.codeRequests.perHour: the next attempt follows by itself at {}, or hand a code in with kubectl clientnumber verify atlas --code 123456",
        until.strftime("%Y-%m-%d %H:%M:%S UTC")
    ))
}

/// The line says that its call was recorded, and why nothing could be read from it.
fn unreadable(line: &ClientNumber, why: &str) -> Result<()> {
    let at = clock(call_of(line)?.recorded_at.as_ref());
    let held = held(line)?;
    says(line, &format!("the call was recorded at {at}, but no code could be read from it ({why}); {held}"))
}

/// Settings of the sandbox's calls, then a line that asks for a code.
async fn with_voice(name: &str, voice: Value) -> Result<World> {
    let world = begun(name).await?;
    world.sandbox.post("/settings", json!({"voice": voice})).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    Ok(world)
}

/// The attempt that found no code is over: the number rejects calls, nothing is left at the carrier, one code was asked for
/// and nothing handed in. Returns the line.
async fn over(world: &mut World) -> Result<ClientNumber> {
    let line = world.wait_line("atlas", "False", "CodeRateLimited", LONG).await?;
    let number = number_of(&line)?;
    let side = sides(world, &number).await?;
    ensure!(side["telnyx"]["application"].as_str().is_some_and(|a| a.ends_with("/reject")), "still records: {side}");
    ensure!(world.sandbox.calls("meta.request_code").await? == 1, "asked more than once");
    ensure!(world.sandbox.calls("meta.verify_code").await? == 0, "something was handed in");
    ensure!(line.status.as_ref().and_then(|s| s.verification.as_ref()?.armed_at.as_ref()).is_none(), "still armed");
    Ok(line)
}

/// An ordinary call to the line's number, once it records. Returns what became of it.
async fn ring(world: &World, text: &str) -> Result<Value> {
    let what = "the line to have a number";
    let number = wait::until(LONG, what, async || match world.lines().get("atlas").await {
        Ok(line) => number_of(&line).map_err(|error| error.to_string()).into(),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    answered_by(world, &number, "/capture", LONG).await?;
    world.sandbox.post("/calls", json!({"to": number, "from": "+212661000000", "text": text})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_never_rang() -> Result<()> {
    let mut world = with_voice("never-rang", json!({"no_call": true})).await?;
    let line = over(&mut world).await?;
    let expected = format!("Meta's call never rang: Telnyx's call log shows no call to the number; {}", held(&line)?);
    says(&line, &expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_rang_and_the_recording_is_empty() -> Result<()> {
    let mut world = with_voice("empty-recording", json!({"transcription": "empty", "speech_to_text": "empty"})).await?;
    let line = over(&mut world).await?;
    unreadable(&line, "nothing was heard in it")
}

/// The document that records can't be fetched: no code is asked for, the line says who must do what, and goes on by itself
/// once it can.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_not_reachable() -> Result<()> {
    let world = world("no-document").await?;
    let mut world =
        begun_with(world, |spec| spec["telnyx"]["voiceUrl"] = json!("http://127.0.0.1:9/telnyx/capture.xml")).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let line = world.wait_line("atlas", "False", "CaptureNotReachable", LONG).await?;
    let said = message_of(&line);
    let (begin, end) = (
        "http://127.0.0.1:9/telnyx/capture.xml can't be fetched (",
        "): let it lead to the router, reachable from the Internet and from here",
    );
    ensure!(said.starts_with(begin) && said.ends_with(end), "{said}");
    ensure!(world.sandbox.calls("meta.request_code").await? == 0, "a code was spent");
    // An address may have a query.
    let address = format!("{}/telnyx/capture.xml?v=2", world.webhook_url);
    patch_portfolio(&world, json!({"telnyx": {"voiceUrl": address}})).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(world.sandbox.calls("meta.request_code").await? == 1, "not one code");
    Ok(())
}

/// Three minutes of this world after the recording, long after speech-to-text was asked in vain.
#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_is_late_by_three_minutes() -> Result<()> {
    let late = json!({"transcription_delay_ms": 3_600, "speech_to_text": "empty"});
    let mut world = with_voice("late-transcript", late).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(call_of(&line)?.read_from == Some(CodeSource::Transcription), "{:?}", call_of(&line)?);
    ensure!(world.sandbox.calls("telnyx.speech_to_text").await? == 1, "speech-to-text was not asked once");
    ensure!(world.sandbox.calls("meta.request_code").await? == 1, "not one code");
    ensure!(world.sandbox.calls("meta.verify_code").await? == 1, "not handed in once");
    Ok(())
}

/// No transcription at all: Telnyx's speech-to-text reads the recording. Events tell each stage, and nobody the code.
#[tokio::test(flavor = "multi_thread")]
async fn no_transcription_at_all() -> Result<()> {
    let mut world = with_voice("no-transcription", json!({"transcription": "never"})).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    let call = call_of(&line)?;
    ensure!(call.read_from == Some(CodeSource::SpeechToText) && call.recorded_at.is_some(), "{call:?}");
    ensure!(call.transcribed_at.is_none(), "{call:?}");
    ensure!(world.sandbox.calls("telnyx.speech_to_text").await? == 1, "asked more than once");
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.clients);
    let told: Vec<String> =
        events.list(&ListParams::default()).await?.items.into_iter().filter_map(|e| e.reason).collect();
    for stage in ["CallRecorded", "CodeRead", "Verified"] {
        ensure!(told.iter().any(|reason| reason == stage), "no event {stage}: {told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_read() -> Result<()> {
    let mut world = with_voice("nothing-readable", json!({"no_call": true})).await?;
    let report = ring(&world, "hello I call about the position of a driver").await?;
    ensure!(report["outcome"] == "recorded", "{report}");
    let line = over(&mut world).await?;
    unreadable(&line, "no digits were heard")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_codes_in_one_recording() -> Result<()> {
    let mut world = with_voice("two-codes", json!({"no_call": true})).await?;
    let said = "Your verification code is 1 2 3 4 5 6. Your verification code is 6 5 4 3 2 1.";
    let report = ring(&world, said).await?;
    ensure!(report["outcome"] == "recorded", "{report}");
    let line = over(&mut world).await?;
    unreadable(&line, "what was heard can be read in more than one way")
}

/// A call that speaks a code comes after the number began to record and before Meta was asked: its recording is deleted,
/// and nothing of it is handed in.
#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_an_older_call() -> Result<()> {
    let mut world = begun("older-call").await?;
    // The number is read again after it was told to record: its answer is kept back.
    let fault = json!({"operation": "telnyx.get_number", "nth": 2, "when": "after", "action": "hold"});
    let fault = world.sandbox.fault(fault).await?;
    world.sandbox.post("/settings", json!({"voice": {"recording_delay_ms": 0}})).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let report = ring(&world, "Your verification code is 1 1 1 2 2 2. I repeat 1 1 1 2 2 2.").await?;
    ensure!(report["outcome"] == "recorded", "{report}");
    ensure!(world.sandbox.calls("meta.request_code").await? == 0, "a code was asked for before the number was proven");
    world.sandbox.holding(&fault, LONG).await?;
    world.sandbox.release(&fault).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(world.sandbox.calls("meta.verify_code").await? == 1, "something else was handed in too");
    ensure!(world.sandbox.calls("meta.request_code").await? == 1, "not one code");
    Ok(())
}

/// A number that was given another use while it waited is not changed, and no code is spent; the line says what differs.
#[tokio::test(flavor = "multi_thread")]
async fn the_number_cannot_take_calls() -> Result<()> {
    let mut world = begun("no-calls").await?;
    let hold = json!({"operation": "meta.create_number", "nth": 1, "when": "after", "action": "hold"});
    let hold = world.sandbox.fault(hold).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.sandbox.holding(&hold, LONG).await?;
    let number = number_of(&world.lines().get("atlas").await?)?;
    let ours = sides(&world, &number).await?["telnyx"]["connection_id"].clone();
    let change = |telnyx: Value| json!({"telnyx": telnyx});
    let path = format!("/numbers/{number}");
    world.sandbox.post(&path, change(json!({"connection_id": "4711"}))).await?;
    world.sandbox.release(&hold).await?;
    let line = world.wait_line("atlas", "False", "NumberInUse", LONG).await?;
    let expected = format!(
        "{number} is connected to the application 4711 instead of {}, so that Meta's call would not be recorded, and that is not changed by itself: connect it to that one, or to none, at Telnyx; goes on by itself",
        ours.as_str().unwrap_or_default()
    );
    says(&line, &expected)?;
    world.sandbox.post(&path, change(json!({"connection_id": ours, "status": "port-pending"}))).await?;
    let line = world.wait_line("atlas", "False", "NumberNotActive", LONG).await?;
    let expected = format!(
        "Telnyx says that {number} is port-pending, so it can't take Meta's call: have it activated there; goes on by itself"
    );
    says(&line, &expected)?;
    ensure!(world.sandbox.calls("meta.request_code").await? == 0, "a code was spent");
    world.sandbox.post(&path, change(json!({"status": "active"}))).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    Ok(())
}

/// The day's budget is used up: the message names the limit and the time, and nothing is asked for meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_budget_is_used_up() -> Result<()> {
    let world = world("code-budget").await?;
    let mut world = begun_with(world, |spec| {
        spec["limits"]["codeRequests"] = json!({"perHour": 1, "perDay": 1, "per72h": 2});
    })
    .await?;
    world.sandbox.post("/settings", json!({"voice": {"no_call": true}})).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let line = over(&mut world).await?;
    let asked = line.status.as_ref().and_then(|s| s.verification.as_ref()?.requests.last().cloned());
    let until = asked.context("no request")?.0 + Duration::from_secs(24 * 72);
    let expected = format!(
        "Meta's call never rang: Telnyx's call log shows no call to the number; 1 code was asked for within 24 hours, which is limits.codeRequests.perDay: the next attempt follows by itself at {}, or hand a code in with kubectl clientnumber verify atlas --code 123456",
        until.strftime("%Y-%m-%d %H:%M:%S UTC")
    );
    says(&line, &expected)
}

/// Whether the carrier still keeps a recording or a transcription of a call to one of our numbers.
async fn left(world: &World) -> Result<Vec<Value>> {
    let all = world.sandbox.get("/recordings").await?["recordings"].as_array().cloned().unwrap_or_default();
    let kept =
        |r: &Value| r["deleted"] != true || (r["transcription"].is_object() && r["transcription"]["deleted"] != true);
    Ok(all.into_iter().filter(kept).collect())
}

/// A code that was handed in and whose answer is unclear is looked up before it is handed in again, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_whose_answer_is_unclear() -> Result<()> {
    for (name, when, calls) in [("unclear-lost", "after", 1), ("unclear-undone", "before", 2)] {
        let mut world = begun(name).await?;
        let fault = json!({"operation": "meta.verify_code", "nth": 1, "when": when, "action": "status", "status": 500});
        world.sandbox.fault(fault).await?;
        world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
        world.wait_line("atlas", "True", "Ready", LONG).await?;
        let got = world.sandbox.calls("meta.verify_code").await?;
        ensure!(got == calls, "{name}: handed in {got} times instead of {calls}");
        ensure!(world.sandbox.calls("meta.request_code").await? == 1, "{name}: not one code");
    }
    Ok(())
}

/// Two calls speak a code while Meta fails at each: either code is handed in twice, whatever became of the other one.
#[tokio::test(flavor = "multi_thread")]
async fn two_codes_whose_answers_are_unclear() -> Result<()> {
    let mut world = begun_with(world_at("unclear-two", 0.05).await?, |_| ()).await?;
    let fault =
        json!({"operation": "meta.verify_code", "when": "before", "action": "status", "status": 500, "count": 1000});
    world.sandbox.fault(fault).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let handed_in = async |times: usize| {
        wait::until(LONG, &format!("codes to be handed in {times} times"), async || {
            match world.sandbox.calls("meta.verify_code").await {
                Ok(calls) => wait::seen(calls >= times, calls),
                Err(error) => Seen::Never(error.to_string()),
            }
        })
        .await
    };
    handed_in(2).await?;
    ring(&world, "Your verification code is 1 1 1 2 2 2. I repeat 1 1 1 2 2 2.").await?;
    handed_in(4).await?;
    world.wait_line("atlas", "False", "CodeRateLimited", LONG).await?;
    let got = world.sandbox.calls("meta.verify_code").await?;
    ensure!(got == 4, "handed in {got} times instead of twice each");
    Ok(())
}

/// Speech-to-text was quicker: the transcription that comes long after its recording was deleted goes as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcription_that_comes_too_late_is_deleted_too() -> Result<()> {
    let world = world("orphan-transcription").await?;
    let mut world = begun_with(world, |spec| spec["checkInterval"] = json!("3m")).await?;
    world.sandbox.post("/settings", json!({"voice": {"transcription_delay_ms": 6_000}})).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let line = world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(call_of(&line)?.read_from == Some(CodeSource::SpeechToText), "{:?}", call_of(&line)?);
    wait::until(LONG, "nothing to be left at the carrier", async || match left(&world).await {
        Ok(left) => wait::seen(left.is_empty(), format!("{left:?}")),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}
