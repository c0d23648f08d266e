//! What recruiters see when entries go: by retention between two pages, by erasure as stubs and news.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::domain::{ManualClock, Pii, SharedClock, SystemClock};
use clientnumber::store::closing::{Closing, Waits};
use clientnumber::store::erasure::Whom;
use clientnumber::store::{Appender, RouteState};
use clientnumber::store::{ContactHint, Kind, NewEntry, Outcome};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::bed::{Bed, Company};
use crate::support::client::Client;
use crate::support::{run_dir, wait};

async fn append(
    company: &Company,
    appender: &mut Appender,
    who: &str,
    texts: impl Iterator<Item = String>,
) -> Result<i64> {
    let entries = texts.map(|text| NewEntry {
        meta_id: Some(Pii(format!("wamid.{text}"))),
        contact: Some(ContactHint {
            user_id: Some(Pii(format!("MA.{who}"))),
            name: Some(Pii(who.into())),
            ..ContactHint::default()
        }),
        kind_of_message: Some("text".into()),
        raw: Some(Pii(json!({"text": {"body": text}}).to_string())),
        ..NewEntry::new(Kind::Message, company.line.clone(), 1)
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    match appender.append(entries.collect(), deadline).await?.pop() {
        Some(Outcome::Stored(seq)) => Ok(seq),
        other => anyhow::bail!("{other:?}"),
    }
}

/// The seqs of each page that arrived, a page that came again once.
fn pages(client: &Client) -> Vec<Vec<i64>> {
    let of =
        |v: &Value| v["args"][0]["items"].as_array().into_iter().flatten().filter_map(|i| i["seq"].as_i64()).collect();
    let got = client.said().into_iter().filter(|v| v["event"] == "got" && v["name"] == "messages");
    let mut pages: Vec<Vec<i64>> = got.map(|v| of(&v)).collect();
    pages.dedup();
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_shows_between_pages_only() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-retention")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let clock = Arc::new(ManualClock::new(Timestamp::now() - (40 * 24).hours()));
    let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
    let mut appender = atlas.db.log().appender(shared);
    append(&atlas, &mut appender, "Amina", (0..900).map(|n| format!("old {n}"))).await?;
    clock.advance(Duration::from_secs(40 * 24 * 3600));
    let head = append(&atlas, &mut appender, "Amina", (0..130).map(|n| format!("young {n}"))).await?;
    assert_eq!(head, 1031);
    let old = atlas.db.log().cursor_at(50).await?.to_string();
    let replica = bed.replica(|settings| settings.ack_timeout = Duration::from_secs(6)).await?;

    // In the midst of old items when they go.
    let slow = json!({"url": replica.url, "auth": atlas.auth("slow", json!({"cursor": "0."}))?, "ack": false});
    let mut slow = Client::raw_with(slow).await?;
    slow.has(100).await?;
    while atlas.db.log().remove_before(Timestamp::now() - (30 * 24).hours()).await? > 0 {}
    slow.tell(json!({"cmd": "ack", "ack": true})).await?;
    slow.got(0, "caught_up").await?;
    // To the end of the block that was read for it, which a router gives out for a while.
    let all: Vec<i64> = (1..=500).chain(902..=1031).collect();
    assert_eq!(pages(&slow).concat(), all);

    // From the beginning, and from a place that is gone, where nothing was read before.
    let replica = bed.replica(|_| {}).await?;
    let anew = Client::raw(&replica.url, atlas.auth("anew", json!({"cursor": "0."}))?).await?;
    anew.got(0, "caught_up").await?;
    assert_eq!(pages(&anew), [vec![1], (902..=1001).collect(), (1002..=1031).collect()]);
    let back = Client::raw(&replica.url, atlas.auth("back", json!({"cursor": old}))?).await?;
    back.got(0, "caught_up").await?;
    assert_eq!(back.got(0, "welcome").await?["cursor"], "901.");
    assert_eq!(pages(&back).concat(), (902..=1031).collect::<Vec<_>>());
    for client in [&slow, &anew, &back] {
        for page in pages(client) {
            ensure!(page.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a gap within a page: {page:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_candidate_goes_from_clients_and_replicas() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-erasure")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|_| {}).await?;
    let mut helper = Client::helper(atlas.auth("fatima", json!({"url": replica.url, "device": "pc"}))?).await?;
    let live = Client::raw(&replica.url, atlas.auth("omar", json!({}))?).await?;
    live.got(0, "caught_up").await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let mut appender = atlas.db.log().appender(Arc::clone(&clock));
    append(&atlas, &mut appender, "Amina", (0..3).map(|n| format!("to be erased {n}"))).await?;
    let head = append(&atlas, &mut appender, "Brahim", (0..3).map(|n| format!("to be kept {n}"))).await?;
    live.has(head).await?;
    helper.has(head).await?;
    let amina = live.items()[1]["contact"]["id"].as_str().context("no contact")?.to_owned();

    let erasure = atlas.db.erasure(clock);
    let found = erasure.find(&Whom::Contact(amina.clone())).await?;
    let done = erasure.erase(&found, &BTreeSet::new()).await?;
    assert_eq!((done.items, done.told_at), (3, head + 2));

    // Who is there is told, with what to remove.
    for client in [&live, &helper] {
        client.has(done.told_at).await?;
        let told = client.items().into_iter().find(|item| item["seq"] == done.told_at).context("not told")?;
        assert_eq!((told["kind"].as_str(), told["field"].as_str()), (Some("event"), Some("contact")));
        assert_eq!(told["content"], json!({"action": "erased", "contact_ids": [amina]}));
        assert!(told.get("contact").is_none() && told.get("line").is_none(), "{told}");
    }
    let mark = helper.mark();
    helper.tell(json!({"cmd": "store"})).await?;
    let stored = helper.after(mark, "the store", |v| v["event"] == "store").await?["items"].to_string();
    ensure!(stored.contains("to be kept 2") && !stored.contains("to be erased"), "{stored}");

    // Who comes later, to the same replica, or asks for what was.
    let mut late = Client::raw(&replica.url, atlas.auth("late", json!({"cursor": "0."}))?).await?;
    late.got(0, "caught_up").await?;
    let history = late.ask("history", json!([{"contact_id": amina}])).await?;
    assert_eq!(history["items"].as_array().map(Vec::len), Some(3));
    assert_eq!(late.seqs(), (1..=done.told_at).collect::<Vec<_>>());
    let stubs: Vec<Value> = late.items().into_iter().filter(|item| item["kind"] == "erased").collect();
    assert_eq!(stubs.len(), 3);
    for stub in &stubs {
        assert_eq!(stub["contact"], json!({"id": amina}));
        let keys: Vec<&String> = stub.as_object().context("no item")?.keys().collect();
        assert_eq!(keys.len(), 4, "{stub}");
    }
    let all = json!([late.items(), history]).to_string();
    ensure!(!all.contains("to be erased") && !all.contains("Amina") && !all.contains("wamid.to be erased"), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_company_s_recruiters_leave_and_bring_nothing_back() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-company")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.poll = Duration::from_millis(200)).await?;
    let client = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    client.got(0, "caught_up").await?;
    let seq = atlas.hears("salam").await?;
    client.has(seq).await?;
    // The log is closed before somebody comes to a replica that has not read it yet; with a stop that is written at the end.
    let mut appender = atlas.db.log().appender(Arc::new(SystemClock));
    appender.append_closed(tokio::time::Instant::now() + Duration::from_secs(20)).await?;
    let second_replica = bed.replica(|settings| settings.poll = Duration::from_millis(200)).await?;
    let late = Client::raw(&second_replica.url, atlas.auth("late", json!({"cursor": "0."}))?).await?;
    late.has(seq + 1).await?;
    bed.store.routes().set_state(&atlas.line.phone_number_id, 1, RouteState::Disabled, Timestamp::now()).await?;
    let second = Duration::from_secs(1);
    let waits = Waits { writers: second, readers: 5 * second, settled: 3 * second };
    let closing = Closing::of(bed.store.clone(), &atlas.id, Arc::new(SystemClock), waits).await?;
    closing.run(|_| {}).await?;
    for client in [&client, &late] {
        assert_eq!(client.got(0, "goodbye").await?["reason"], "revoked");
    }
    assert_eq!(client.items().last().map(|item| item["field"].clone()), Some("company".into()));
    let mongo = bed.mongo.client().await?;
    let sessions = mongo.database("clientnumber").collection::<mongodb::bson::Document>("sessions");
    assert_eq!(sessions.count_documents(mongodb::bson::doc! {}).await?, 0);
    wait::until(Duration::from_secs(20), "the database to stay away", async || {
        let names = mongo.database(atlas.db.name()).list_collection_names().await;
        wait::seen(names.is_ok_and(|names| names.is_empty()), "something is there")
    })
    .await
}
