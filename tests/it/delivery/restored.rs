//! A restored backup: the log's tail is cut off and new items are written. A client that stood in what is gone is told so,
//! and then has exactly what the company has.

use anyhow::Result;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::bed::{Bed, Company, Replica};
use crate::support::client::{Client, SOON};
use crate::support::{run_dir, wait};

/// More than a device without a cursor gets the first time.
const KEPT: i64 = 900;

/// What the restored backup lacks is gone. No router runs meanwhile.
async fn cut_off(bed: &Bed, company: &Company, last: i64) -> Result<()> {
    let log = bed.mongo.client().await?.database(company.db.name()).collection::<Document>("log");
    log.delete_many(doc! {"_id": {"$gt": last}}).await?;
    Ok(())
}

async fn write(company: &Company, what: &str, count: usize) -> Result<i64> {
    let texts: Vec<String> = (0..count).map(|n| format!("{what} {n}")).collect();
    company.candidate_writes("Amina", &texts).await
}

/// Each seq and text of the log, from the store itself.
async fn of_log(bed: &Bed, company: &Company) -> Result<Vec<(i64, String)>> {
    let head = company.db.log().head().await?;
    let log = bed.mongo.client().await?.database(company.db.name()).collection::<Document>("log");
    let mut all = Vec::new();
    for seq in 1..=head {
        let entry = log.find_one(doc! {"_id": seq}).await?.unwrap_or_default();
        let raw: Value = serde_json::from_str(entry.get_str("raw").unwrap_or("null"))?;
        all.push((seq, raw["text"]["body"].as_str().unwrap_or_default().to_owned()));
    }
    Ok(all)
}

/// Routers are stopped before a backup is restored: what they still knew of the old log is written by then.
async fn all_gone(replica: &Replica) -> Result<()> {
    wait::until(SOON, "all sessions to end", async || match replica.metric("router_sockets ") {
        Ok(0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

/// A client that comes back with this cursor is told to clear its store; what it has at the end.
async fn after_the_reset(url: &str, company: &Company, cursor: &str, head: i64) -> Result<Vec<(i64, String)>> {
    let seq: i64 = cursor.split('.').next().unwrap_or_default().parse()?;
    let auth = company.auth("fatima", json!({"url": url, "cursor": cursor, "seq": seq}))?;
    let mut client = Client::helper(auth).await?;
    client.after(0, "clearing", |v| v["event"] == "cleared").await?;
    client.has(head).await?;
    client.after(0, "being live", |v| v["state"] == "live").await?;
    client.tell(json!({"cmd": "store"})).await?;
    let store = client.after(0, "the store", |v| v["event"] == "store").await?;
    let items = store["items"].as_array().cloned().unwrap_or_default();
    let text = |item: &Value| item["content"]["text"]["body"].as_str().unwrap_or_default().to_owned();
    Ok(items.iter().map(|item| (item["seq"].as_i64().unwrap_or(0), text(item))).collect())
}

#[tokio::test]
async fn a_client_has_exactly_what_the_restored_log_has() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-restored")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let before = write(&atlas, "before", 1_000).await?;
    let cursor = atlas.db.log().cursor_at(before).await?.to_string();
    {
        // She has all of it.
        let replica = bed.replica(|_| {}).await?;
        let auth = atlas.auth("fatima", json!({"url": replica.url, "cursor": "0.", "seq": 0}))?;
        Client::helper(auth).await?.has(before).await?;
        all_gone(&replica).await?;
    }

    // Restored: the cursor lies ahead.
    cut_off(&bed, &atlas, KEPT).await?;
    {
        let replica = bed.replica(|_| {}).await?;
        let has = after_the_reset(&replica.url, &atlas, &cursor, KEPT).await?;
        assert!(has == of_log(&bed, &atlas).await?, "{} items", has.len());
        all_gone(&replica).await?;
    }

    // Restored and written to until the cursor is ahead no more: only the fingerprint tells.
    let cursor = atlas.db.log().cursor_at(KEPT).await?.to_string();
    cut_off(&bed, &atlas, KEPT - 50).await?;
    let head = write(&atlas, "after", 120).await?;
    assert!(head > KEPT);
    let replica = bed.replica(|_| {}).await?;
    let has = after_the_reset(&replica.url, &atlas, &cursor, head).await?;
    assert!(has == of_log(&bed, &atlas).await?, "{} items", has.len());
    // And it goes on live.
    let back = atlas.auth("fatima", json!({}))?;
    let client = Client::raw(&replica.url, back).await?;
    client.got(0, "caught_up").await?;
    let live = atlas.hears("live").await?;
    client.has(live).await?;
    assert_eq!(client.seqs(), [live]);
    Ok(())
}
