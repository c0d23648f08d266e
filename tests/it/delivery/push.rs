//! Live push and catch-up: everything once, in order, to the right company, whatever replica one is connected to.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::bed::{Bed, Company};
use crate::support::client::Client;
use crate::support::run_dir;

fn helper(url: &str, company: &Company, recruiter: &str, more: Value) -> Result<Value> {
    let mut arguments = company.auth(recruiter, json!({"url": url}))?;
    if let (Some(into), Value::Object(more)) = (arguments.as_object_mut(), more) {
        into.extend(more);
    }
    Ok(arguments)
}

/// Every item of a client is of this company, once, ascending.
fn only_of(client: &Client, company: &Company) -> Result<()> {
    let seqs = client.seqs();
    ensure!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "not ascending or twice: {seqs:?}");
    for item in client.items() {
        let line = item["line"]["phone_number_id"].as_str();
        ensure!(line == Some(company.line.phone_number_id.as_str()), "foreign: {item}");
        if item["kind"] == "message" {
            ensure!(item["content"]["company"] == company.id.as_str(), "foreign: {item}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_companies_live_and_after_an_absence() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-push")?).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    let one = bed.replica(|_| {}).await?;
    let other = bed.replica(|_| {}).await?;

    let mut fatima = Client::helper(helper(&one.url, &atlas, "fatima", json!({}))?).await?;
    let omar = Client::helper(helper(&other.url, &atlas, "omar", json!({}))?).await?;
    let rachid = Client::helper(helper(&one.url, &rif, "rachid", json!({}))?).await?;
    let welcome = fatima.after(0, "the welcome", |v| v["event"] == "welcome").await?["welcome"].clone();
    assert_eq!(welcome["company_id"], "atlas");
    assert_eq!((welcome["recruiter"].as_str(), welcome["device"].as_str()), (Some("fatima"), Some("default")));
    assert_eq!((welcome["head"].as_i64(), welcome["cursor"].as_str()), (Some(1), Some("0.")));
    fatima.after(0, "the line", |v| v["event"] == "lines" && v["lines"][0]["phone_number_id"] == "101").await?;
    for client in [&fatima, &omar, &rachid] {
        client.after(0, "being live", |v| v["event"] == "state" && v["state"] == "live").await?;
        // The fence that gave the company its line is part of the log.
        assert_eq!(client.items()[0]["field"], "line");
    }

    // Live, on both replicas, each company for itself.
    let mut last = (0, 0);
    for n in 0..20 {
        last = (atlas.hears(&format!("salam {n}")).await?, rif.hears(&format!("azul {n}")).await?);
    }
    for (client, company, seq) in [(&fatima, &atlas, last.0), (&omar, &atlas, last.0), (&rachid, &rif, last.1)] {
        client.has(seq).await?;
        only_of(client, company)?;
        assert_eq!(client.seqs(), (1..=seq).collect::<Vec<_>>());
    }
    let item = fatima.items()[1].clone();
    assert_eq!(item["content"]["text"]["body"], "salam 0");
    assert_eq!(item["contact"]["name"], "Amina");
    assert!(item["message_id"].as_str().is_some_and(|id| !id.contains("wamid")), "{item}");

    // Away, while 350 messages arrive; then back at the other replica with the own cursor.
    fatima.tell(json!({"cmd": "store"})).await?;
    let stored = fatima.after(0, "the store", |v| v["event"] == "store").await?;
    drop(fatima);
    let texts: Vec<String> = (0..350).map(|n| format!("while away {n}")).collect();
    let newest = atlas.candidate_writes("Brahim", &texts).await?;
    let back = json!({"cursor": stored["cursor"], "seq": stored["seq"]});
    let fatima = Client::helper(helper(&other.url, &atlas, "fatima", back)?).await?;
    let live = atlas.hears("one more").await?;
    fatima.has(live).await?;
    assert_eq!(live, newest + 1);
    assert_eq!(fatima.seqs(), (last.0 + 1..=live).collect::<Vec<_>>());
    only_of(&fatima, &atlas)?;
    omar.has(live).await?;
    assert_eq!(omar.seqs(), (1..=live).collect::<Vec<_>>());
    assert_eq!(rachid.seqs(), (1..=last.1).collect::<Vec<_>>());
    assert!(one.metric("router_push_pages_total{result=\"acked\"} ")? > 0.0);
    assert!(one.metric("router_commit_to_ack_seconds_count ")? > 0.0);
    Ok(())
}

#[tokio::test]
async fn where_a_device_starts() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-start")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.first_time_items = 5).await?;
    let texts: Vec<String> = (0..19).map(|n| format!("n{n}")).collect();
    assert_eq!(atlas.candidate_writes("Amina", &texts).await?, 20);

    // The first time: the newest only.
    let first = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    let caught = first.got(0, "caught_up").await?;
    assert_eq!(caught["seq"], 20);
    assert_eq!(first.seqs(), [16, 17, 18, 19, 20]);
    assert_eq!(first.got(0, "welcome").await?["head"], 20);
    drop(first);

    // The second time, without a cursor: where this device stopped.
    atlas.hears("n19").await?;
    let stop = bed_wait_for_stop(&atlas, 20).await?;
    assert_eq!(stop, 20);
    let second = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    second.got(0, "caught_up").await?;
    assert_eq!(second.seqs(), [21]);
    // Another device of the same recruiter is another one.
    let phone = Client::raw(&replica.url, atlas.auth("fatima", json!({"device": "phone"}))?).await?;
    phone.got(0, "caught_up").await?;
    assert_eq!(phone.seqs(), [17, 18, 19, 20, 21]);

    // A cursor of another log: a fingerprint that does not match, a place ahead, no cursor at all.
    for cursor in ["5.0000000000000000", "5.", "99.00", "nonsense"] {
        let lost = Client::raw(&replica.url, atlas.auth("lost", json!({"cursor": cursor}))?).await?;
        let refused = lost.after(0, "the refusal", |v| v["event"] == "connect_error").await?;
        assert_eq!(refused["data"]["code"], "cursor_reset", "{cursor}");
        assert_eq!(refused["message"], "cursor_reset");
    }
    // The helper clears its store and begins anew by itself, with the whole log: it may have had all of the other one.
    let lost = Client::helper(helper(&replica.url, &atlas, "lost", json!({"cursor": "99.00", "seq": 99}))?).await?;
    lost.after(0, "clearing", |v| v["event"] == "cleared").await?;
    lost.has(21).await?;
    assert_eq!(lost.seqs(), (1..=21).collect::<Vec<_>>());

    // From the very first item, by the cursor of an empty log.
    let all = Client::raw(&replica.url, atlas.auth("all", json!({"cursor": "0."}))?).await?;
    all.got(0, "caught_up").await?;
    assert_eq!(all.seqs(), (1..=21).collect::<Vec<_>>());
    Ok(())
}

/// Where a device began is kept at once: what comes afterwards is its own, also if it went before it had acked anything.
#[tokio::test]
async fn a_device_that_was_here_misses_nothing() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-began")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.first_time_items = 5).await?;
    let texts = |from: usize| (from..from + 9).map(|n| format!("n{n}")).collect::<Vec<_>>();
    let head = atlas.candidate_writes("Amina", &texts(0)).await?;
    let given = json!({"url": replica.url, "auth": atlas.auth("fatima", json!({}))?, "ack": false});
    let first = Client::raw_with(given).await?;
    first.got(0, "messages").await?;
    bed_wait_for_stop(&atlas, head - 5).await?;
    drop(first);

    let head = atlas.candidate_writes("Amina", &texts(9)).await?;
    let second = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    second.got(0, "caught_up").await?;
    assert_eq!(second.seqs(), (head - 13..=head).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn caught_up_means_all_that_welcome_named() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-caught-up")?).await?;
    // Without news the replica would look at this company's log again in an hour.
    let replica = bed.replica(|settings| settings.poll = std::time::Duration::from_secs(3600)).await?;
    let auth = json!({"token": super::bed::token("atlas", "early", json!({}))?});
    let early = Client::raw(&replica.url, auth).await?;
    assert_eq!(early.got(0, "caught_up").await?["seq"], 0);

    let atlas = bed.company("atlas", 101).await?;
    let head = atlas.hears("before the second came").await?;
    let late = Client::raw(&replica.url, atlas.auth("late", json!({}))?).await?;
    assert_eq!(late.got(0, "welcome").await?["head"], head);
    assert_eq!(late.got(0, "caught_up").await?["seq"], head);
    assert_eq!(late.seqs(), (1..=head).collect::<Vec<_>>());
    early.has(head).await
}

async fn bed_wait_for_stop(company: &Company, seq: i64) -> Result<i64> {
    crate::support::wait::until(crate::support::client::SOON, "the device's stop", async || {
        match company.db.cursors().get("fatima", "default").await {
            Ok(Some(cursor)) if cursor.seq >= seq => Ok(cursor.seq),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_company_without_a_record_comes_alive() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-alive")?).await?;
    let replica = bed.replica(|_| {}).await?;
    let auth = json!({"token": super::bed::token("atlas", "fatima", json!({}))?});
    let early = Client::raw(&replica.url, auth).await?;
    let welcome = early.got(0, "welcome").await?;
    assert_eq!((&welcome["lines"], &welcome["head"]), (&json!([]), &json!(0)));
    assert_eq!(early.got(0, "caught_up").await?["seq"], 0);

    let atlas = bed.company("atlas", 101).await?;
    let lines = early.got(0, "lines").await?;
    assert_eq!(lines[0]["display_name"], "atlas by Recruto");
    assert_eq!(lines[0]["state"], "active");
    let seq = atlas.hears("the first").await?;
    early.has(seq).await?;
    assert_eq!(early.seqs(), (1..=seq).collect::<Vec<_>>());
    Ok(())
}
