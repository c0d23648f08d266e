//! How connections end, and what the helper does then.

use std::time::{Duration, Instant};

use anyhow::Result;
use clientnumber::domain::CompanyId;
use clientnumber::store::{Revocation, Store, StoreOptions};
use jiff::Timestamp;
use mongodb::bson::{Document, doc};
use serde_json::json;

use super::bed::Bed;
use crate::support::client::{Client, SOON};
use crate::support::{MongoProxy, MongoRule, Point, run_dir, wait};

async fn goodbye(client: &Client, limit: Duration, reason: &str) -> Result<Duration> {
    let started = Instant::now();
    client.within(limit, 0, reason, |v| v["name"] == "goodbye" && v["args"][0] == json!({ "reason": reason })).await?;
    let took = started.elapsed();
    client.after(0, "the end", |v| v["event"] == "disconnect").await?;
    Ok(took)
}

#[tokio::test]
async fn revoked_replaced_and_expired() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-goodbyes")?).await?;
    let (atlas, rif) = (bed.company("atlas", 101).await?, bed.company("rif", 102).await?);
    let (one, other) = (bed.replica(|_| {}).await?, bed.replica(|_| {}).await?);

    // Revoked on every replica; others of the company, and other companies, stay.
    let here = Client::raw(&one.url, atlas.auth("leaver", json!({"device": "a"}))?).await?;
    let there = Client::raw(&other.url, atlas.auth("leaver", json!({"device": "b"}))?).await?;
    let colleague = Client::raw(&one.url, atlas.auth("fatima", json!({}))?).await?;
    let namesake = Client::raw(&one.url, rif.auth("leaver", json!({"device": "a"}))?).await?;
    for client in [&here, &there, &colleague, &namesake] {
        client.got(0, "caught_up").await?;
    }
    let company = CompanyId::parse("atlas")?;
    let revoke = Revocation::new(Some(company), Some("leaver".into()), None, Timestamp::now(), &mut rand::rng());
    bed.store.revocations().insert(&revoke.expect("it names somebody")).await?;
    let took = [
        goodbye(&here, Duration::from_secs(5), "revoked").await?,
        goodbye(&there, Duration::from_secs(5), "revoked").await?,
    ];
    println!("revoked after {took:?}");
    assert!(took.iter().all(|t| *t < Duration::from_secs(1)), "{took:?}");

    // Replaced by the same recruiter and device, on another replica.
    let again = Client::raw(&other.url, atlas.auth("fatima", json!({}))?).await?;
    again.got(0, "welcome").await?;
    let took = goodbye(&colleague, Duration::from_secs(5), "replaced").await?;
    println!("replaced after {took:?}");

    // Replaced on the same replica, with the helper: it stays away.
    let mut arguments = atlas.auth("omar", json!({"url": one.url}))?;
    let first = Client::helper(arguments.clone()).await?;
    first.after(0, "being live", |v| v["state"] == "live").await?;
    let second = Client::helper(arguments.clone()).await?;
    first.after(0, "stopping", |v| v["state"] == "stopped" && v["reason"] == "replaced").await?;
    second.after(0, "being live", |v| v["state"] == "live").await?;

    // Expired: the helper reconnects with a new token.
    let soon = Timestamp::now().as_second() + 4;
    arguments["token"] = atlas.token("karima", json!({"exp": soon}))?.into();
    let mut karima = Client::helper(arguments).await?;
    karima.after(0, "being live", |v| v["state"] == "live").await?;
    karima.after(0, "expiry", |v| v["state"] == "waiting" && v["reason"] == "token_expired").await?;
    assert!(Timestamp::now().as_second() >= soon, "too early");
    let mark = karima.mark();
    karima.tell(json!({"cmd": "token", "token": atlas.token("karima", json!({}))?})).await?;
    karima.after(mark, "being live again", |v| v["state"] == "live").await?;
    let seq = atlas.hears("still there?").await?;
    for client in [&karima, &second, &again] {
        client.has(seq).await?;
    }
    // The namesake at the other company was not touched, and heard nothing of this.
    assert!(namesake.said().iter().all(|v| v["event"] != "disconnect"));
    assert_eq!(namesake.seqs(), [1]);
    assert!(colleague.said().iter().any(|v| v["event"] == "disconnect" && v["reason"] == "io server disconnect"));
    Ok(())
}

#[tokio::test]
async fn slow_clients_slow_nobody_and_get_all_in_the_end() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-slow")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.ack_timeout = Duration::from_millis(400)).await?;
    let mut slow = atlas.auth("slow", json!({}))?;
    slow = json!({"url": replica.url, "auth": slow, "ack": false});
    let slow = Client::raw_with(slow).await?;
    let quick = Client::raw(&replica.url, atlas.auth("quick", json!({}))?).await?;
    quick.got(0, "caught_up").await?;
    let seq = atlas.hears("hello").await?;
    quick.has(seq).await?;
    goodbye(&slow, Duration::from_secs(10), "too_slow").await?;
    // The same page three times, then no more.
    let pages = slow.said().iter().filter(|v| v["name"] == "messages").count();
    assert_eq!(pages, 3);
    assert!(slow.said().iter().all(|v| v["name"] != "caught_up"));
    assert_eq!(replica.metric("router_push_pages_total{result=\"timeout\"} ")?, 3.0);

    // The helper does not ack what it could not store, and gets it again.
    let mut helper = Client::helper(atlas.auth("helper", json!({"url": replica.url}))?).await?;
    helper.has(seq).await?;
    helper.tell(json!({"cmd": "hang", "hang": true})).await?;
    let next = atlas.hears("not stored at first").await?;
    helper.after(0, "being too slow", |v| v["reason"] == "too_slow").await?;
    assert!(!helper.seqs().contains(&next));
    helper.tell(json!({"cmd": "hang", "hang": false})).await?;
    helper.has(next).await?;
    assert_eq!(helper.seqs(), (1..=next).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn drained_and_erased() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-drain")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let (one, other) = (bed.replica(|_| {}).await?, bed.replica(|_| {}).await?);
    let client = Client::raw(&one.url, atlas.auth("fatima", json!({}))?).await?;
    client.got(0, "caught_up").await?;
    let elsewhere = Client::raw(&other.url, atlas.auth("omar", json!({}))?).await?;
    elsewhere.got(0, "caught_up").await?;
    let started = Instant::now();
    one.delivery.drain(Duration::from_secs(10)).await;
    assert!(started.elapsed() < Duration::from_secs(8), "the client left by itself");
    goodbye(&client, Duration::from_secs(5), "draining").await?;
    let late = Client::raw(&one.url, atlas.auth("late", json!({}))?).await?;
    let refused = late.after(0, "the refusal", |v| v["event"] == "connect_error").await?;
    assert_eq!(refused["data"]["code"], "retry_later");
    assert_eq!(one.metric("router_sockets ")?, 0.0);
    assert!(elsewhere.said().iter().all(|v| v["event"] != "disconnect"));

    // Erased: `closed` in the log, then the record says so.
    let client = bed.mongo.client().await?;
    let platform = client.database("clientnumber");
    let log = client.database(atlas.db.name()).collection::<mongodb::bson::Document>("log");
    let head = atlas.db.log().head().await?;
    let now = mongodb::bson::DateTime::now();
    log.insert_one(doc! {"_id": head + 1, "kind": "closed", "at": now, "fp": "00", "ours": true}).await?;
    let companies = platform.collection::<mongodb::bson::Document>("companies");
    companies.update_one(doc! {"_id": "atlas"}, doc! {"$set": {"state": "erased"}}).await?;
    goodbye(&elsewhere, Duration::from_secs(15), "revoked").await?;
    assert_eq!(elsewhere.items().last().map(|item| item["field"].clone()), Some("company".into()));
    let after = Client::raw(&other.url, atlas.auth("fatima", json!({}))?).await?;
    let refused = after.after(0, "the refusal", |v| v["event"] == "connect_error").await?;
    assert_eq!(refused["data"]["code"], "unauthorized");
    Ok(())
}

/// A handshake whose client goes away while the store is slow is done when the client is connected elsewhere already. It must
/// not replace what is nobody's but its own newer connection.
#[tokio::test]
async fn a_client_that_went_amid_its_handshake_replaces_nobody() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-gone")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let slow = Store::connect(&proxy.uri().into(), StoreOptions::default()).await?;
    let (one, other) = (bed.replica_at(&slow, |_| {}).await?, bed.replica(|_| {}).await?);
    let omar = Client::raw(&other.url, atlas.auth("omar", json!({}))?).await?;
    omar.got(0, "caught_up").await?;

    let number = proxy.hold(MongoRule::command("findAndModify").collection("sessions"), Point::BeforeEffect);
    let gone = Client::raw(&one.url, atlas.auth("fatima", json!({}))?).await?;
    number.wait(SOON).await?;
    drop(gone);
    wait::until(SOON, "the end of the connection", async || {
        let connections = one.delivery.door().connections();
        wait::seen(connections == 0, connections)
    })
    .await?;
    let fatima = Client::raw(&other.url, atlas.auth("fatima", json!({}))?).await?;
    fatima.got(0, "caught_up").await?;
    number.release();
    let sessions = bed.mongo.client().await?.database("clientnumber").collection::<Document>("sessions");
    wait::until(SOON, "both numbers of the device", async || {
        match sessions.find_one(doc! {"_id.recruiter": "fatima", "number": 2_i64}).await {
            Ok(found) => wait::seen(found.is_some(), "one"),
            Err(error) => wait::Seen::NotYet(error.to_string()),
        }
    })
    .await?;
    // Omar's news comes after hers would have come.
    let again = Client::raw(&one.url, atlas.auth("omar", json!({}))?).await?;
    again.got(0, "welcome").await?;
    goodbye(&omar, SOON, "replaced").await?;
    fatima.has(atlas.hears("still there").await?).await?;
    let ended = fatima.said().into_iter().find(|v| v["name"] == "goodbye" || v["event"] == "disconnect");
    assert_eq!(ended, None);
    Ok(())
}
