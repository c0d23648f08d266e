//! Many recruiters of one company come back at once, with thousands of messages to catch up: another company does not
//! feel it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::bed::{Bed, Company};
use super::process;
use crate::support::flock::{Flock, quantile, timed_text};
use crate::support::router::text_message;
use crate::support::run_dir;

const MISSED: i64 = 5_000;
const RECRUITERS: usize = 100;
/// No message of the other company may take longer, from the POST to the socket.
const LATEST_MS: f64 = 2_000.0;
const LIMIT: Duration = Duration::from_secs(120);

fn recruiters(
    company: &Company,
    count: usize,
    cursor: impl Fn(usize) -> Option<String>,
) -> Result<Vec<serde_json::Value>> {
    (0..count)
        .map(|n| {
            let token = company.token(&format!("recruiter-{n}"), json!({}))?;
            Ok(json!({"token": token, "cursor": cursor(n), "line": company.line.phone_number_id.as_str()}))
        })
        .collect()
}

#[tokio::test]
async fn others_do_not_wait_for_a_hundred_who_catch_up() -> Result<()> {
    let dir = run_dir("delivery-fair")?;
    let bed = Bed::start(&dir).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    for page in 0..20 {
        let texts: Vec<String> = (0..250).map(|n| format!("missed {page} {n} {}", "m".repeat(160))).collect();
        atlas.candidate_writes(&format!("candidate {page}"), &texts).await?;
    }
    let newest = atlas.db.log().head().await?;
    ensure!(newest > MISSED, "{newest}");
    let router = process("router", &dir, &bed.mongo.uri()).await?;
    let mut live = Flock::start(&router.url(), recruiters(&rif, 3, |_| None)?, None).await?;
    live.connected(LIMIT).await?;

    let mut sent = 0;
    let line = (rif.line.phone_number_id.as_str(), rif.line.phone_number.digits());
    let write = async |sent: u32| {
        let more = json!({"company": "rif"});
        let status = router.post(text_message(line, &format!("wamid.{sent}"), sent % 9, &timed_text(), more)).await?;
        ensure!(status == 200, "POST {sent} was answered with {status}");
        Ok(())
    };
    // First alone, to have something to compare with.
    for _ in 0..40 {
        write(sent).await?;
        sent += 1;
    }
    live.reached(i64::from(sent) + 1, LIMIT).await?;
    let alone = live.report().await?.delays;
    live.reset().await?;

    // Half of them have nothing, the others stopped anywhere. Several processes, as Node has one thread each.
    let mut flocks = Vec::new();
    for part in 0..2 {
        let cursors = async |n: usize| -> Result<String> {
            let seq = if n.is_multiple_of(2) { 0 } else { i64::try_from(n)? * 7 };
            Ok(atlas.db.log().cursor_at(seq).await?.to_string())
        };
        let mut given = Vec::new();
        for n in 0..RECRUITERS / 2 {
            let mut all = recruiters(&atlas, 1, |_| None)?;
            let mut one = all.remove(0);
            one["cursor"] = json!(cursors(n).await?);
            one["device"] = json!(format!("device-{part}-{}", n % 10));
            one["token"] = json!(atlas.token(&format!("recruiter-{part}-{}", n / 10), json!({}))?);
            given.push(one);
        }
        flocks.push(Flock::start(&router.url(), given, None).await?);
    }
    let caught_up = async move {
        let mut took = Vec::new();
        for flock in &mut flocks {
            took.push(flock.reached(newest, LIMIT).await?);
        }
        anyhow::Ok((flocks, took.into_iter().max().unwrap_or_default()))
    };
    tokio::pin!(caught_up);
    let (mut flocks, took) = loop {
        tokio::select! {
            done = &mut caught_up => break done?,
            wrote = write(sent) => {
                wrote?;
                sent += 1;
            }
        }
    };
    // The write that was cut off above may have been stored.
    let last = rif.db.log().head().await?;
    live.reached(last, LIMIT).await?;
    let report = live.report().await?;
    let (p50, p99) = (quantile(&report.delays, 0.5), quantile(&report.delays, 0.99));
    let latest = quantile(&report.delays, 1.0);
    println!(
        "{RECRUITERS} recruiters caught up {MISSED} messages each in {took:.1?}; meanwhile {sent} messages of another \
         company, POST to socket: p50 {p50:.0} ms, p99 {p99:.0} ms, latest {latest:.0} ms (alone: p50 {:.0} ms, p99 {:.0} ms)",
        quantile(&alone, 0.5),
        quantile(&alone, 0.99),
    );
    for flock in &mut flocks {
        let report = flock.report().await?;
        ensure!((report.gaps, report.foreign, report.lost) == (0, 0, 0), "{report:?}");
        ensure!(report.lasts.iter().all(|last| *last == newest), "{:?}", report.lasts);
    }
    ensure!((report.gaps, report.foreign, report.lost) == (0, 0, 0), "{report:?}");
    ensure!(report.delays.len() >= 20, "only {} messages meanwhile", report.delays.len());
    ensure!(latest <= LATEST_MS, "a message took {latest:.0} ms");
    Ok(())
}
