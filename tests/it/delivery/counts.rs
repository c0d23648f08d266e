//! What the numbers say of connections that end: each once, and nothing is left behind.

use anyhow::Result;
use serde_json::json;

use super::bed::{Bed, Replica};
use crate::support::client::{Client, SOON};
use crate::support::{run_dir, wait};

/// Waits until a metric has this value.
async fn shows(replica: &Replica, metric: &str, wanted: f64) -> Result<()> {
    wait::until(SOON, metric, async || match replica.metric(metric) {
        Ok(now) => wait::seen(now == wanted, now),
        Err(error) => wait::Seen::NotYet(error.to_string()),
    })
    .await
}

#[tokio::test]
async fn a_connection_that_ends_amid_a_page_leaves_no_lag() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-lag")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|_| {}).await?;
    let auth = atlas.auth("silent", json!({}))?;
    let silent = Client::raw_with(json!({"url": replica.url, "auth": auth, "ack": false})).await?;
    silent.got(0, "messages").await?;
    shows(&replica, "router_cursor_lag_messages ", 1.0).await?;
    drop(silent);
    shows(&replica, "router_sockets ", 0.0).await?;
    assert_eq!(replica.metric("router_cursor_lag_messages ")?, 0.0);
    Ok(())
}

#[tokio::test]
async fn a_flood_is_counted_once() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-flood")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|_| {}).await?;
    let frames = vec!["42[\"x\"]"; 600];
    let auth = atlas.auth("mallory", json!({}))?;
    let arguments = json!({"url": replica.url, "auth": auth, "frames": frames, "wait": 15_000});
    let mallory = Client::start("hostile.mjs", arguments).await?;
    mallory.after(0, "being cut", |v| v["event"] == "closed").await?;
    shows(&replica, "router_sockets ", 0.0).await?;
    assert_eq!(replica.metric("router_socket_disconnects_total{reason=\"flood\"} ")?, 1.0);
    let closed = replica.metric("router_socket_disconnects_total{reason=\"closed\"} ");
    assert!(closed.is_err(), "counted as {closed:?} closed ones too");
    Ok(())
}
