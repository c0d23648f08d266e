//! The carrier transcribes nothing and its speech-to-text hears nothing: the operator's own reads the code. Sound and words
//! leave no trace.

use anyhow::{Result, ensure};
use clientnumber::resources::conditions::{ConditionType, get};
use serde_json::json;

use super::leaks::places;
use super::steps::{LONG, begun_with, world};
use crate::support::ControlPlane;
use crate::support::leaks::{none_in_logs, search, secrets};
use crate::support::transcriber::Transcriber;
use crate::support::wait::{self, Seen};
use crate::support::world::secret;

const TOKEN: &str = "stt-world-token-77d1";

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_reads_what_the_carrier_does_not() -> Result<()> {
    let world = world("transcriber").await?;
    let deaf = json!({"voice": {"transcription": "never", "speech_to_text": "empty"}});
    world.sandbox.post("/settings", deaf).await?;
    let transcriber = Transcriber::start(world.sandbox.control(), TOKEN).await?;
    world.apply(secret(&world.platform, "stt", json!({"token": TOKEN}))).await?;
    let url = transcriber.url.clone();
    let mut world = begun_with(world, |spec| {
        spec["telnyx"]["transcriber"] = json!({"url": url, "tokenSecretRef": {"name": "stt", "key": "token"}});
    })
    .await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    world.wait_line("atlas", "True", "Ready", LONG).await?;
    ensure!(transcriber.asked() == ["ok"], "{:?}", transcriber.asked());
    ensure!(world.sandbox.calls("telnyx.speech_to_text").await? == 1, "the carrier's own was not asked before");
    let mut markers = secrets(&world).await?;
    markers.insert("the transcriber's token".into(), TOKEN.into());
    none_in_logs(&world, &markers).await?;
    let found = search(&places(ControlPlane::shared().await?, &world).await?, &markers);
    ensure!(found.is_empty(), "leaks: {found:#?}");
    Ok(())
}

/// The Secret with its token is missing: the Portfolio is Ready, and the line that needs it says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcriber_without_its_secret_is_told_of_where_it_is_needed() -> Result<()> {
    let world = world("transcriber-secret").await?;
    let deaf = json!({"voice": {"transcription": "never", "speech_to_text": "empty"}});
    world.sandbox.post("/settings", deaf).await?;
    let transcriber = Transcriber::start(world.sandbox.control(), TOKEN).await?;
    let url = transcriber.url.clone();
    let world = begun_with(world, |spec| {
        spec["telnyx"]["transcriber"] = json!({"url": url, "tokenSecretRef": {"name": "stt", "key": "token"}});
    })
    .await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let words = format!(
        "the transcriber: the Secret stt in namespace {} has no usable key token: create it, or leave \
         telnyx.transcriber.tokenSecretRef out if the service wants no token",
        world.platform
    );
    let lines = world.lines();
    wait::until(LONG, "atlas to say what is missing", async || match lines.get("atlas").await {
        Ok(line) => {
            let conditions = line.status.map(|s| s.conditions).unwrap_or_default();
            let said = get(&conditions, ConditionType::Ready).map(|c| c.message.clone()).unwrap_or_default();
            wait::seen(said.contains(&words), said)
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    ensure!(transcriber.asked().is_empty(), "{:?}", transcriber.asked());
    Ok(())
}
