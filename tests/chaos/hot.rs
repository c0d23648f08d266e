//! One company whose candidates all write at once, over both replicas: their writers meet at its log's end all the time.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::bed::Bed;
use super::process;
use crate::support::flock::{Flock, quantile, timed_text};
use crate::support::load::{self, Body};
use crate::support::router::text_message;
use crate::support::run_dir;

const PER_SECOND: u32 = 100;
const TIME: Duration = Duration::from_secs(15);
const CANDIDATES: u64 = 40;
const RECRUITERS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_on_one_busy_company() -> Result<()> {
    let dir = run_dir("delivery-hot")?;
    let bed = Bed::start(&dir).await?;
    let atlas = bed.company("atlas", 101).await?;
    let (one, other) = (process("one", &dir, &bed.mongo.uri()).await?, process("other", &dir, &bed.mongo.uri()).await?);
    let mut flocks = Vec::new();
    for (n, router) in [&one, &other].into_iter().enumerate() {
        let recruiters = (0..RECRUITERS)
            .map(|m| Ok(json!({"token": atlas.token(&format!("recruiter-{n}-{m}"), json!({}))?, "cursor": "0."})))
            .collect::<Result<Vec<_>>>()?;
        let flock = Flock::start(&router.url(), recruiters, None).await?;
        flock.connected(LIMIT).await?;
        flocks.push(flock);
    }
    let line = (atlas.line.phone_number_id.to_string(), atlas.line.phone_number.digits().to_owned());
    let body: Body = Arc::new(move |n| {
        let candidate = u32::try_from(n % CANDIDATES).unwrap_or(0);
        text_message((&line.0, &line.1), &format!("wamid.hot.{n}"), candidate, &timed_text(), json!({}))
    });
    let load =
        load::steady(&[one.webhook, other.webhook], PER_SECOND, TIME, &Arc::new(AtomicU64::new(0)), &body).await?;
    let sent = u64::from(PER_SECOND) * TIME.as_secs();
    ensure!(
        (load.taken, load.refused) == (sent, 0),
        "{} of {sent} POSTs were taken, {} refused",
        load.taken,
        load.refused
    );

    // Behind the fence that gave the company its line.
    let newest = i64::try_from(sent)? + 1;
    let mut delays = Vec::new();
    for flock in &mut flocks {
        flock.reached(newest, LIMIT).await?;
        let report = flock.report().await?;
        ensure!((report.gaps, report.foreign, report.lost) == (0, 0, 0), "{report:?}");
        delays.extend(report.delays);
    }
    delays.sort_by(f64::total_cmp);
    let entries = atlas.db.log().read_after(0, 100_000, usize::MAX).await?.entries;
    ensure!(entries.iter().map(|entry| entry.seq).eq(1..=newest), "a gap in {} entries", entries.len());
    let messages = entries.iter().filter(|entry| !entry.ours);
    let ids: HashSet<&str> = messages.filter_map(|entry| Some(entry.meta_id.as_ref()?.expose().as_str())).collect();
    ensure!(ids.len() as u64 == sent, "{} of {sent} messages", ids.len());
    println!(
        "{PER_SECOND} POSTs a second to one company over two replicas for {TIME:?}: no 503; POST to answer p50 {:.0} ms, \
         p99 {:.0} ms, latest {:.0} ms; POST to socket p50 {:.0} ms, p99 {:.0} ms, latest {:.0} ms",
        quantile(&load.answers, 0.5),
        quantile(&load.answers, 0.99),
        quantile(&load.answers, 1.0),
        quantile(&delays, 0.5),
        quantile(&delays, 0.99),
        quantile(&delays, 1.0),
    );
    Ok(())
}
