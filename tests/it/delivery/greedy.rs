//! Recruiters whose clients are broken or greedy, with good tokens: they get their own share, and others notice nothing.

use std::time::Duration;

use anyhow::Result;
use clientnumber::store::{Store, StoreOptions};
use mongodb::bson::Bson;
use serde_json::{Value, json};

use super::bed::Bed;
use crate::support::client::{Client, SOON};
use crate::support::flock::Flock;
use crate::support::{MongoProxy, MongoRule, Point, run_dir, wait};

fn answered(v: &Value) -> bool {
    v["name"] == "welcome" || v["event"] == "connect_error"
}

#[tokio::test]
async fn one_who_connects_all_the_time_takes_nothing_from_others() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-greedy")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    // Bursts of two, and of one for each recruiter.
    let replica = bed
        .replica(|settings| {
            settings.connects_per_second = 1.0;
            settings.recruiter_connects_per_second = 0.1;
        })
        .await?;
    let mut omar = atlas.auth("omar", json!({}))?;
    omar = json!({"url": replica.url, "auth": omar, "options": {"autoConnect": false}});
    let mut omar = Client::raw_with(omar).await?;

    let devices = (0..20).map(|n| atlas.auth("fatima", json!({"device": format!("d{n}")}))).collect::<Result<_>>()?;
    let mut fatima = Flock::start(&replica.url, devices, None).await?;
    wait::until(SOON, "most of them to be refused", async || match fatima.report().await {
        Ok(report) => wait::seen(report.codes["retry_later"].as_u64() >= Some(18), report.codes),
        Err(error) => wait::Seen::Never(error.to_string()),
    })
    .await?;
    omar.tell(json!({"cmd": "connect"})).await?;
    let first = omar.after(0, "an answer", answered).await?;
    assert_eq!(first["name"], "welcome", "{first}");
    assert!(replica.metric("router_auth_failures_total{reason=\"too_many_connects\"} ")? >= 18.0);

    let once_more = Client::raw(&replica.url, atlas.auth("fatima", json!({"device": "d0"}))?).await?;
    let refused = once_more.after(0, "the refusal", answered).await?;
    assert_eq!(refused["data"]["code"], "retry_later", "{refused}");
    assert!(refused["data"]["retry_after_s"].as_u64().is_some_and(|s| (1..=120).contains(&s)), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_device_has_so_many_connections() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-connections")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.connections_per_device = 1).await?;
    let first = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    first.got(0, "welcome").await?;
    let second = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    let refused = second.after(0, "the refusal", answered).await?;
    assert_eq!(refused["data"]["code"], "retry_later", "{refused}");
    assert_eq!(replica.metric("router_auth_failures_total{reason=\"too_many_connections\"} ")?, 1.0);
    let tablet = Client::raw(&replica.url, atlas.auth("fatima", json!({"device": "tablet"}))?).await?;
    tablet.got(0, "welcome").await?;
    Ok(())
}

/// What is old is read in its own time. Whoever comes back does not wait for it, and who has gone leaves nothing behind.
#[tokio::test]
async fn history_keeps_nobody_out() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-history")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    atlas.hears("an old message").await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let slow = Store::connect(&proxy.uri().into(), StoreOptions::default()).await?;
    let replica = bed
        .replica_at(&slow, |settings| {
            settings.devices_per_recruiter = 1;
            settings.handshake_store_limit = Duration::from_secs(3);
        })
        .await?;
    let connect = async |recruiter: &str, device: &str| {
        Client::raw(&replica.url, atlas.auth(recruiter, json!({ "device": device }))?).await
    };
    let (mut fatima, mut omar) = (connect("fatima", "a").await?, connect("omar", "a").await?);
    for client in [&fatima, &omar] {
        client.got(0, "caught_up").await?;
    }
    // All that a company may read for `history` at once.
    let one_more = |limit: &Bson| matches!(limit, Bson::Int32(38) | Bson::Int64(38));
    let reads = MongoRule::command("find").collection("log").body(move |find| find.get("limit").is_some_and(one_more));
    let held = proxy.hold(reads.each(), Point::BeforeEffect);
    for client in [&mut fatima, &mut omar] {
        client.tell(json!({"cmd": "emit", "name": "history", "args": [{"limit": 37}], "id": "held"})).await?;
    }
    wait::until(SOON, "both reads", async || wait::seen(held.count() == 2, held.count())).await?;
    let answer = fatima.ask("history", json!([{"limit": 1}])).await?;
    assert_eq!(answer["error"]["code"], "rate_limited", "{answer}");

    // Karima comes in meanwhile, asks too, and goes before it is her turn.
    let mut karima = connect("karima", "a").await?;
    let first = karima.after(0, "an answer", answered).await?;
    assert_eq!(first["name"], "welcome", "{first}");
    karima.tell(json!({"cmd": "emit", "name": "history", "args": [{"limit": 37}], "id": "waits"})).await?;
    let answer = karima.ask("history", json!([{"limit": 1}])).await?;
    assert_eq!(answer["error"]["code"], "rate_limited", "{answer}");
    karima.tell(json!({"cmd": "close"})).await?;
    karima.after(0, "the end", |v| v["event"] == "disconnect").await?;
    wait::until(Duration::from_secs(5), "her place", async || {
        let again = connect("karima", "b").await?;
        let first = again.after(0, "an answer", answered).await?;
        anyhow::ensure!(first["name"] == "welcome", "{first}");
        Ok(())
    })
    .await?;
    Ok(())
}

/// What waits for a client that reads nothing is little, however much it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_client_fills_no_memory() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-deaf")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let texts: Vec<String> = (0..200).map(|n| format!("{n} {}", "x".repeat(2_300))).collect();
    atlas.candidate_writes("Amina", &texts).await?;
    let replica = bed.replica(|settings| settings.first_time_items = 1).await?;
    let auth = atlas.auth("deaf", json!({}))?;
    let deaf = Client::start("deaf.mjs", json!({"url": replica.url, "auth": auth, "asks": 80, "every": 100})).await?;
    let end = deaf.within(Duration::from_secs(40), 0, "the end", |v| v["event"] == "read").await?;
    // Sixteen wait for it in the process, and some megabytes in the kernel on their way.
    let pages = end["pages"].as_u64().unwrap_or_default();
    assert!((5..45).contains(&pages), "{end}");
    Ok(())
}

/// Who leaves without reading what waits, or was never let in, keeps nothing: neither memory nor a place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_deaf_leaves_nothing() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-leaver")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let texts: Vec<String> = (0..200).map(|n| format!("{n} {}", "x".repeat(4_000))).collect();
    atlas.candidate_writes("Amina", &texts).await?;
    let replica = bed
        .replica(|settings| {
            settings.first_time_items = 1;
            // Not what ends a stranger here.
            settings.connect_timeout = Duration::from_secs(60);
        })
        .await?;
    let auth = atlas.auth("deaf", json!({}))?;
    for about in [json!({"auth": auth, "asks": 60}), json!({"stranger": true})] {
        let mut given = about.clone();
        given["url"] = json!(replica.url);
        let client = Client::start("leaver.mjs", given).await?;
        client.within(SOON, 0, "all it says", |v| v["event"] == "deaf" || v["event"] == "closed").await?;
        // Sooner than a write that stands still is given up on.
        wait::until(Duration::from_secs(15), "its connection to be gone", async || {
            let open = replica.delivery.door().connections();
            wait::seen(open == 0, format!("{about}: {open} are open"))
        })
        .await?;
    }
    Ok(())
}

/// Those who don't wait for a slow store any longer leave its connections whole: none is opened in their place, and all others
/// are for what else is to be done.
#[tokio::test]
async fn who_gives_up_costs_no_connection() -> Result<()> {
    // What looks for the company at once: eight handshakes, and the company's reader.
    const LOOKS: usize = 9;
    let bed = Bed::start(&run_dir("delivery-impatient")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let slow = Store::connect(&proxy.uri().into(), StoreOptions::default()).await?;
    let replica = bed.replica_at(&slow, |settings| settings.handshake_store_limit = Duration::from_millis(300)).await?;
    let reads = MongoRule::command("find").collection("companies");
    let held = proxy.hold(reads.each(), Point::BeforeEffect);
    let device = |n: u32| atlas.auth(&format!("recruiter-{}", n % 4), json!({"device": format!("d{n}")}));
    let mut flock = Flock::start(&replica.url, (0..40).map(device).collect::<Result<_>>()?, Some(15)).await?;
    wait::until(SOON, "all of them to be refused", async || match flock.report().await {
        Ok(report) => wait::seen(report.codes["retry_later"].as_u64() >= Some(40), report.codes),
        Err(error) => wait::Seen::Never(error.to_string()),
    })
    .await?;
    let asked = held.count();
    assert!((1..=LOOKS).contains(&asked), "{asked} reads wait");
    Ok(())
}
