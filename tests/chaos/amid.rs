//! A replica is killed in the middle of an append, at the two moments that matter: its insert has not reached the store, or
//! is done and the answer is on its way. The other replica's answers wait for none of it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::bed::{Bed, Company};
use super::figures::ANSWER;
use super::process;
use crate::support::router::{self, Router};
use crate::support::{MongoProxy, MongoRule, Point, run_dir};

/// A POST that the replica must answer in time.
async fn in_time(http: &reqwest::Client, replica: &Router, body: String) -> Result<()> {
    let began = Instant::now();
    let status = router::post(http, &replica.webhook_url(), body).await?;
    println!("amid: {status} after {:?}", began.elapsed());
    ensure!(status == 200 && began.elapsed() < ANSWER, "{status} after {:?}", began.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_killed_amid_an_append_holds_nobody_up() -> Result<()> {
    let dir = run_dir("chaos-amid")?;
    let bed = Bed::start(&dir).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let mut dies = process("router-1", &dir, &proxy.uri()).await?;
    let lives = process("router-2", &dir, &bed.mongo.uri()).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let message = |company: &Company, id: &str| {
        let line = (company.line.phone_number_id.as_str(), company.line.phone_number.digits());
        router::text_message(line, &format!("wamid.{id}"), 1, id, json!({}))
    };
    for replica in [&dies, &lives] {
        // Both have opened the log.
        for company in [&atlas, &rif] {
            let body = message(company, &format!("first {} {}", company.id, replica.webhook));
            ensure!(router::post(&http, &replica.webhook_url(), body).await? == 200);
        }
    }
    let mut wanted = 2;
    for (n, point) in [Point::BeforeEffect, Point::AfterEffect].into_iter().enumerate() {
        let insert = MongoRule::command("insert").database(atlas.db.name()).collection("log");
        let hit = proxy.hold(insert, point);
        let body = message(&atlas, &format!("held {n}"));
        let (url, held, client) = (dies.webhook_url(), body.clone(), http.clone());
        let unanswered = tokio::spawn(async move { router::post(&client, &url, held).await });
        hit.wait(Duration::from_secs(20)).await?;
        dies.program.kill().await?;
        in_time(&http, &lives, message(&atlas, &format!("while {n}"))).await?;
        in_time(&http, &lives, message(&rif, &format!("while {n}"))).await?;
        ensure!(unanswered.await?.is_err(), "the killed replica has answered");
        // As Meta does.
        in_time(&http, &lives, body).await?;
        hit.cut();
        proxy.clear();
        dies.program.restart().await?;
        dies.wait_ready(Duration::from_secs(30)).await?;
        wanted += 2;
    }
    let log = atlas.db.log().read_after(0, 100, 1_000_000).await?.entries;
    let mut ids: Vec<_> = log.iter().filter_map(|entry| entry.raw.as_ref()).map(|raw| raw.expose().clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((log.len() - 1, ids.len()), (wanted, wanted), "each once beside the fence");
    assert!(log.iter().zip(1..).all(|(entry, seq)| entry.seq == seq), "without a gap");
    Ok(())
}
