//! The helper of docs/recruiter-client when the page around it fails: what it was given is stored, and it comes back.

use anyhow::Result;
use serde_json::json;

use super::bed::Bed;
use crate::support::client::{Client, SOON};
use crate::support::{run_dir, wait};

#[tokio::test]
async fn what_the_page_throws_ends_nothing() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-page")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|_| {}).await?;
    let mut page = Client::helper(atlas.auth("fatima", json!({"url": replica.url}))?).await?;
    page.after(0, "being live", |v| v["state"] == "live").await?;

    // Each callback throws, now or a moment later: the page is told, and items go on being stored.
    page.tell(json!({"cmd": "broken", "what": ["items", "state"]})).await?;
    let thrown = atlas.hears("the page fails on it").await?;
    page.after(0, "the item in the store", |v| v["event"] == "stored" && v["seqs"] == json!([thrown])).await?;
    let next = atlas.hears("it fails on this too").await?;
    page.after(0, "the next one", |v| v["event"] == "stored" && v["seqs"] == json!([next])).await?;
    page.after(0, "the error", |v| v["event"] == "error" && v["message"] == "items is broken").await?;

    // The connection breaks while the store can't be read: it is tried again until it can.
    page.tell(json!({"cmd": "broken", "what": ["load", "items", "state"]})).await?;
    let mark = page.mark();
    page.tell(json!({"cmd": "cut"})).await?;
    page.after(mark, "the store's failure", |v| v["event"] == "error" && v["message"] == "load is broken").await?;
    page.after(mark, "waiting for it", |v| v["state"] == "waiting" && v["reason"] == "store").await?;
    page.tell(json!({"cmd": "broken", "what": []})).await?;
    page.after(mark, "being live again", |v| v["state"] == "live").await?;
    let last = atlas.hears("mended").await?;
    page.has(last).await?;
    let stored: Vec<_> = page.said().into_iter().filter(|v| v["event"] == "stored").collect();
    let seqs = stored.iter().flat_map(|v| v["seqs"].as_array().into_iter().flatten().filter_map(|seq| seq.as_i64()));
    assert_eq!(seqs.collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>(), "each once");
    Ok(())
}

#[tokio::test]
async fn a_store_that_can_not_be_cleared_is_cleared_later() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-clear")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|_| {}).await?;
    // A cursor that lies ahead of the log.
    let arguments =
        atlas.auth("fatima", json!({"url": replica.url, "cursor": "99.00", "seq": 99, "broken": ["clear"]}))?;
    let mut page = Client::helper(arguments).await?;
    page.after(0, "the store's failure", |v| v["event"] == "error" && v["message"] == "clear is broken").await?;
    page.tell(json!({"cmd": "broken", "what": []})).await?;
    page.after(0, "clearing", |v| v["event"] == "cleared").await?;
    page.has(1).await
}

/// A page opens several conversations at once; the server answers one question at a time.
#[tokio::test]
async fn questions_of_one_moment_are_all_answered() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-questions")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let newest = atlas.hears("an old message").await?;
    let replica = bed.replica(|_| {}).await?;
    let mut page = Client::helper(atlas.auth("fatima", json!({"url": replica.url}))?).await?;
    page.after(0, "being live", |v| v["state"] == "live").await?;
    for _ in 0..5 {
        page.tell(json!({"cmd": "history", "query": {"limit": 1}})).await?;
    }
    let answers = || page.said().into_iter().filter(|v| v["event"] == "history").collect::<Vec<_>>();
    wait::until(SOON, "all answers", async || wait::seen(answers().len() == 5, format!("{:?}", answers()))).await?;
    for said in answers() {
        assert_eq!(said["answer"]["items"][0]["seq"], newest, "{said}");
    }
    Ok(())
}
