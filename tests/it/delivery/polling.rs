//! Without change streams: everything still happens, within seconds, and the streams are taken up again.

use std::time::{Duration, Instant};

use anyhow::Result;
use clientnumber::store::Revocation;
use jiff::Timestamp;
use serde_json::json;

use super::bed::Bed;
use crate::support::client::Client;
use crate::support::{run_dir, wait};

/// Polls every two seconds, and room for a busy machine.
const POLLED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn streams_may_be_away_break_and_come_back() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-polling")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    // No stream can be opened (40573: the server does not know them).
    bed.failing(&["aggregate"]).await?;
    let one = bed.replica(|_| {}).await?;
    let other = bed.replica(|_| {}).await?;
    let fatima = Client::raw(&one.url, atlas.auth("fatima", json!({}))?).await?;
    let leaver = Client::raw(&one.url, atlas.auth("leaver", json!({}))?).await?;
    fatima.got(0, "caught_up").await?;
    leaver.got(0, "caught_up").await?;

    let started = Instant::now();
    let seq = atlas.hears("without streams").await?;
    fatima.has(seq).await?;
    println!("polled after {:?}", started.elapsed());
    assert!(started.elapsed() < POLLED);

    let revoke = Revocation::new(None, Some("leaver".into()), None, Timestamp::now(), &mut rand::rng());
    bed.store.revocations().insert(&revoke.expect("it names somebody")).await?;
    leaver.within(POLLED, 0, "revoked", |v| v["args"][0]["reason"] == "revoked").await?;
    let again = Client::raw(&other.url, atlas.auth("fatima", json!({}))?).await?;
    again.got(0, "welcome").await?;
    fatima.within(POLLED, 0, "replaced", |v| v["args"][0]["reason"] == "replaced").await?;

    // They come, they break in use, they come back.
    let streams = async |wanted: f64| {
        wait::until(Duration::from_secs(20), "the stream", async || match other.metric("router_log_stream ") {
            Ok(now) if now == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    };
    bed.failing(&[]).await?;
    streams(1.0).await?;
    let started = Instant::now();
    again.has(atlas.hears("with streams").await?).await?;
    println!("pushed after {:?}", started.elapsed());
    bed.failing(&["aggregate", "getMore"]).await?;
    streams(0.0).await?;
    again.has(atlas.hears("broken").await?).await?;
    bed.failing(&[]).await?;
    streams(1.0).await?;
    let last = atlas.hears("healed").await?;
    again.has(last).await?;
    // Fatima's second connection goes on where her device stopped.
    let seqs = again.seqs();
    assert_eq!(seqs.last(), Some(&last));
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{seqs:?}");
    assert!(other.metric("router_doorbell_resumes_total ")? >= 1.0);
    Ok(())
}
