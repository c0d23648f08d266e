//! Connections that break at random, acks that get lost, clients that change replicas: at the end each device has its
//! company's log, once and in order.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::bed::{Bed, Company};
use crate::support::client::Client;
use crate::support::{run_dir, wait};

/// One device's life: it connects again and again, now here, now there, and is killed at any moment.
async fn device(company: &Company, name: &str, urls: &[&str], lives: u64, last: i64) -> Result<Vec<i64>> {
    let (mut seqs, mut cursor, mut seq) = (Vec::new(), None, 0);
    for life in 0..=lives {
        let url = urls[usize::try_from(life)? % urls.len()];
        let mut arguments = company.auth(name, json!({"url": url, "device": "d"}))?;
        if let Some(cursor) = &cursor {
            arguments["cursor"] = json!(cursor);
            arguments["seq"] = json!(seq);
        } else {
            arguments["cursor"] = json!("0.");
        }
        let mut client = Client::helper(arguments).await?;
        if life == lives {
            wait::until(Duration::from_secs(60), "the last item", async || {
                let got = client.seqs();
                wait::seen(got.contains(&last) || seqs.contains(&last), format!("{:?} of {last}", got.last()))
            })
            .await?;
        } else {
            client.after(0, "a welcome", |v| v["event"] == "welcome").await?;
            // None of these waits for anything: so long a life lasts. In some nothing is stored for a while, so the acks
            // of a page are missing and it must come again before any later one.
            let hangs = life % 3 == 1;
            client.tell(json!({"cmd": "hang", "hang": hangs})).await?;
            tokio::time::sleep(Duration::from_millis(150 + 130 * (life % 5))).await;
            if hangs {
                tokio::time::sleep(Duration::from_millis(700)).await;
                client.tell(json!({"cmd": "hang", "hang": false})).await?;
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
        }
        let stored: Vec<_> = client.said().into_iter().filter(|v| v["event"] == "stored").collect();
        for page in &stored {
            seqs.extend(page["seqs"].as_array().into_iter().flatten().filter_map(|s| s.as_i64()));
            cursor = page["cursor"].as_str().map(str::to_owned);
        }
        seq = seqs.last().copied().unwrap_or(0);
        drop(client);
    }
    Ok(seqs)
}

#[tokio::test]
async fn broken_connections_lose_nothing() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-chaos")?).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    let quick = |settings: &mut clientnumber::delivery::Settings| settings.ack_timeout = Duration::from_millis(500);
    let (one, other) = (bed.replica(quick).await?, bed.replica(quick).await?);
    let write = async |company: &Company| -> Result<()> {
        for n in 0..60 {
            let texts: Vec<String> = (0..5).map(|m| format!("{} {n} {m}", company.id)).collect();
            company.candidate_writes(&format!("candidate {}", n % 7), &texts).await?;
        }
        Ok(())
    };
    let urls = [one.url.as_str(), other.url.as_str()];
    let swapped = [urls[1], urls[0]];
    let last = 301;
    let (_, _, a, b, c) = tokio::try_join!(
        write(&atlas),
        write(&rif),
        device(&atlas, "fatima", &urls, 6, last),
        device(&atlas, "omar", &swapped, 5, last),
        device(&rif, "rachid", &urls, 4, last),
    )?;
    for (name, seqs) in [("fatima", a), ("omar", b), ("rachid", c)] {
        ensure!(seqs == (1..=last).collect::<Vec<_>>(), "{name} has {seqs:?}");
    }
    Ok(())
}
