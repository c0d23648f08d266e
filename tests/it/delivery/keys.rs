//! A key set that is away when the router starts: nobody is turned away for good, and all is well once it is there.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::http::StatusCode;
use clientnumber::delivery::KeySource;
use clientnumber::domain::ManualClock;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::bed::Bed;
use crate::support::client::Client;
use crate::support::{run_dir, wait};

#[tokio::test]
async fn keys_that_come_late() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-keys")?).await?;
    bed.company("atlas", 101).await?;
    // Signed by another implementation, good at this time.
    let data: Value = serde_json::from_str(include_str!("../../../src/delivery/testdata/jwks_tokens.json"))?;
    let clock = Arc::new(ManualClock::new(Timestamp::from_second(1_790_000_000)?));
    let (there, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (answers, count, document) = (there.clone(), asked.clone(), data["jwks"].to_string());
    let app = axum::Router::new().fallback(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = if answers.load(Ordering::Relaxed) {
            (StatusCode::OK, document.clone())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, String::new())
        };
        std::future::ready(answer)
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let keys = KeySource::JwksUrl(format!("http://{}/jwks.json", listener.local_addr()?));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let replica = bed.replica_of(&bed.store, keys, clock, |_| {}).await?;
    let auth = json!({"token": data["tokens"]["es256"]});
    let early = Client::raw(&replica.url, auth.clone()).await?;
    let refused = early.after(0, "the refusal", |v| v["event"] == "connect_error").await?;
    assert_eq!(refused["data"]["code"], "retry_later", "{refused}");
    assert!(refused["data"]["retry_after_s"].as_u64().is_some_and(|s| (1..=120).contains(&s)), "{refused}");
    // Meta's messages need no keys.
    wait::until(Duration::from_secs(30), "being ready", async || {
        let (ready, report) = replica.readiness.report();
        wait::seen(ready && report.contains("[+] revocations ok"), report)
    })
    .await?;

    // Nobody's token makes it look again: it does by itself.
    there.store(true, Ordering::Relaxed);
    let before = asked.load(Ordering::Relaxed);
    let again = || wait::seen(asked.load(Ordering::Relaxed) > before, "not asked again");
    wait::until(Duration::from_secs(30), "another fetch", async || again()).await?;
    wait::until(Duration::from_secs(30), "the door to open", async || {
        let client = match Client::raw(&replica.url, auth.clone()).await {
            Ok(client) => client,
            Err(error) => return wait::Seen::Never(format!("{error:#}")),
        };
        match client.after(0, "an answer", |v| v["name"] == "welcome" || v["event"] == "connect_error").await {
            Ok(said) => wait::seen(said["name"] == "welcome", said),
            Err(error) => wait::Seen::Never(format!("{error:#}")),
        }
    })
    .await?;
    Ok(())
}
