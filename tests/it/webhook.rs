//! The webhook on a real store: from a signed POST to the companies' logs, and what never gets there.

use crate::store::bed::*;
use crate::support::wait::{self, Seen, seen};
use crate::support::{Mongo, MongoOptions, run_dir};
use anyhow::Result;
use clientnumber::domain::{ManualClock, PhoneNumberId, SharedClock, WabaId};
use clientnumber::router::keeper::Keeper;
use clientnumber::router::metrics::Metrics;
use clientnumber::router::portfolios::Portfolios;
use clientnumber::router::signature::sign;
use clientnumber::router::{self, RouteTable, Settings};
use clientnumber::store::account_events::AccountEvent;
use clientnumber::store::{CompanyDb, FenceAction, LogEntry, QuarantineKeys, Route, RouteState, Store, StoreClock};
use clientnumber::telemetry::{Readiness, Registry};
use jiff::{Timestamp, ToSpan};
use mongodb::bson::{Document, doc};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const SECRET: &str = "test_app_secret";

/// A router in this process.
pub struct Router {
    pub url: String,
    /// With its Portfolios' files.
    folder: PathBuf,
    readiness: Readiness,
    _stop: DropGuard,
}

impl Router {
    pub async fn start(mongo: &Mongo) -> Result<Self> {
        Self::start_with(connect(mongo).await?, clock()).await
    }

    pub async fn start_with(store: Store, clock: SharedClock) -> Result<Self> {
        let folder = run_dir("portfolios")?;
        std::fs::write(folder.join("main.yaml"), portfolio("104", "secret"))?;
        std::fs::write(folder.join("secret"), SECRET)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let readiness = Readiness::default();
        let settings = Settings {
            verify_token: "verify".into(),
            portfolios: Portfolios::from_folder(&folder)?,
            quarantine_keys: keys(),
            routes: RouteTable::new(Some(store.clone())),
            store: Some(store),
            clock,
            linger: Duration::ZERO,
            on_append: Arc::new(|_, _| {}),
        };
        tokio::spawn(router::serve(settings, listener, &mut Registry::default(), &readiness, stop.clone()));
        let router = Self { url, folder, readiness, _stop: stop.drop_guard() };
        wait::until(SOON, "the router to be ready", async || {
            let (ready, report) = router.readiness.report();
            seen(ready, report)
        })
        .await?;
        Ok(router)
    }

    pub async fn post(&self, body: &str) -> Result<reqwest::Response> {
        self.post_signed(SECRET, body.as_bytes()).await
    }

    pub async fn post_signed(&self, secret: &str, body: &[u8]) -> Result<reqwest::Response> {
        let request = reqwest::Client::new()
            .post(format!("{}/webhook", self.url))
            .header("x-hub-signature-256", sign(&secret.into(), body))
            .header("content-type", "application/json")
            .body(body.to_owned());
        Ok(request.send().await?)
    }

    pub async fn taken(&self, body: &str) -> Result<()> {
        let answer = self.post(body).await?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.status());
        Ok(())
    }
}

/// A Portfolio's file.
pub fn portfolio(waba: &str, secrets: &str) -> String {
    format!("portfolio: platform/p{waba}\nwabaId: \"{waba}\"\nappSecretFiles: [{secrets}]\n")
}

fn keys() -> QuarantineKeys {
    QuarantineKeys::parse(&"11".repeat(32)).unwrap()
}

pub fn body(entry: &str, changes: &[String]) -> String {
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{entry}","changes":[{}]}}]}}"#,
        changes.join(",")
    )
}

pub fn change(line: &str, rest: &str) -> String {
    format!(r#"{{"field":"messages","value":{{"metadata":{{"phone_number_id":"{line}"}},{rest}}}}}"#)
}

/// A moment a little before now, the same for the whole process: what is sent twice must be the same text, and what is
/// older than a week goes to quarantine.
pub fn lately() -> i64 {
    static AT: LazyLock<i64> = LazyLock::new(|| Timestamp::now().as_second() - 1000);
    *AT
}

pub fn text(wamid: &str, timestamp: i64) -> String {
    format!(
        r#"{{"from_user_id":"MA.1","id":"{wamid}","timestamp":"{timestamp}","type":"text","text":{{"body":"Salam {wamid}"}}}}"#
    )
}

pub fn texts(line: &str, wamids: &[&str]) -> String {
    let all: Vec<String> = wamids.iter().map(|wamid| text(wamid, lately())).collect();
    change(line, &format!(r#""messages":[{}]"#, all.join(",")))
}

pub fn ids(entries: &[LogEntry]) -> Vec<&str> {
    entries.iter().filter(|e| !e.ours).filter_map(|e| e.meta_id.as_ref()).map(|id| id.expose().as_str()).collect()
}

pub async fn quarantined(bed: &Bed) -> Result<Vec<String>> {
    use futures::TryStreamExt;
    let records = bed.mongo.client().await?.database("clientnumber").collection::<Document>("quarantine");
    let all: Vec<Document> = records.find(doc! {}).await?.try_collect().await?;
    let mut reasons: Vec<String> = all.iter().map(|r| r.get_str("reason").unwrap_or("").to_owned()).collect();
    reasons.sort();
    Ok(reasons)
}

/// A company with a route and a log that holds its line.
pub async fn sold(bed: &Bed, company: &str, line: &str) -> Result<CompanyDb> {
    let db = bed.company(company, line).await?;
    bed.store.routes().put(&route(company, line), None).await?;
    Ok(db)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_over_companies_reaches_each_company_and_no_other() -> Result<()> {
    let bed = Bed::start("webhook-batch").await?;
    let (atlas, rif) = (sold(&bed, "atlas", "1").await?, sold(&bed, "rif", "2").await?);
    let router = Router::start(&bed.mongo).await?;
    let odd = r#"{"id":"odd","from":"212611","type":"text","text":{"body":"x\ud83d \/ é"},"n":1e999, "k" :[[]]}"#;
    let post = body(
        "104",
        &[
            texts("1", &["a1", "a2"]),
            texts("2", &["r1"]),
            texts("3", &["unknown1"]),
            "42".into(),
            change("1", &format!(r#""messages":[{odd}]"#)),
            r#"{"field":"account_update","value":{"event":"X"}}"#.into(),
            change("2", r#""statuses":[{"id":"r1","status":"read","timestamp":"soon","recipient_user_id":"MA.1"}]"#),
        ],
    );
    for _ in 0..2 {
        // The second time it is Meta's repeat, and changes nothing.
        router.taken(&post).await?;
        let (a, r) = (whole(&atlas).await?, whole(&rif).await?);
        assert_eq!((ids(&a), ids(&r)), (vec!["a1", "a2", "odd"], vec!["r1", "r1 read MA.1"]));
        assert_eq!(a[3].raw.as_ref().map(|raw| raw.expose().as_str()), Some(odd), "byte for byte");
        assert!(r.iter().chain(&a).all(|e| e.line.is_some()));
        assert_ne!(a[1].contact_id, r[1].contact_id, "the same candidate is two contacts");
        assert_eq!(r[2].message_id, r[1].message_id);
        assert_eq!(quarantined(&bed).await?, ["malformed", "unknown_number"]);
        assert_eq!(bed.store.account_events().since("104", Timestamp::UNIX_EPOCH, 9).await?.len(), 1);
    }
    let line = PhoneNumberId::parse("1")?;
    wait::until(SOON, "the line's activity", async || {
        seen(bed.store.line_activity().last(&line).await.is_ok_and(|at| at.is_some()), "none")
    })
    .await?;

    // The third line is sold: its message comes out of the quarantine by itself.
    let sahara = sold(&bed, "sahara", "3").await?;
    let began = Instant::now();
    wait::until(SOON, "the message to come out of quarantine", async || match whole(&sahara).await {
        Ok(entries) => seen(ids(&entries) == ["unknown1"], format!("{:?}", ids(&entries))),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    wait::until(SOON, "the quarantine to be rid of it", async || match quarantined(&bed).await {
        Ok(reasons) => seen(reasons == ["malformed"], format!("{reasons:?}")),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_go_to_a_company() -> Result<()> {
    let bed = Bed::start("webhook-refused").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let router = Router::start(&bed.mongo).await?;
    // Another account than the Portfolio's, though well signed and with a line that exists.
    router.taken(&body("105", &[texts("1", &["foreign"])])).await?;
    assert_eq!(quarantined(&bed).await?, ["foreign_account"]);

    // A route without a fence in the log: the controller has not got so far, or somebody wrote it by hand.
    bed.store.routes().put(&Route { company_id: atlas.company().clone(), ..route("rif", "2") }, None).await?;
    router.taken(&body("104", &[texts("2", &["not held"])])).await?;
    assert_eq!(quarantined(&bed).await?, ["foreign_account", "not_held"]);

    // The line goes to another company at a moment; what was written before is neither's.
    let moved = bed.company("rif", "9").await?;
    atlas.log().appender(clock()).append_fence(&line_ref("1"), FenceAction::Taken, 1, soon()).await?;
    moved.log().appender(clock()).append_fence(&line_ref("1"), FenceAction::Given, 2, soon()).await?;
    // Meanwhile the router still has the old route: the fence holds.
    router.taken(&body("104", &[texts("1", &["between"])])).await?;
    assert_eq!(ids(&whole(&atlas).await?), [""; 0]);
    let epoch_at = Some(Timestamp::from_second(lately())?);
    let next = Route { epoch: 2, epoch_at, waba_id: WabaId::parse("104")?, ..route("rif", "1") };
    bed.store.routes().put(&next, Some(1)).await?;
    wait::until(SOON, "the new route to be used", async || match whole(&moved).await {
        // What came between fence and route was written late enough, and comes out of quarantine.
        Ok(entries) => seen(ids(&entries) == ["between"], format!("{:?}", ids(&entries))),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    let mixed = format!(r#""messages":[{},{}]"#, text("before", lately() - 1), text("after", lately() + 1));
    let status = |wamid| format!(r#""statuses":[{{"id":"{wamid}","status":"read","recipient_user_id":"MA.1"}}]"#);
    router
        .taken(&body("104", &[change("1", &mixed), change("1", &status("elsewhere")), change("1", &status("after"))]))
        .await?;
    assert_eq!(ids(&whole(&moved).await?), ["between", "after", "after read MA.1"]);
    assert_eq!(ids(&whole(&atlas).await?), [""; 0], "the former owner gets nothing more");
    let expected = ["before_epoch", "foreign_account", "not_held", "unknown_message"];
    wait::until(SOON, "the reasons", async || match quarantined(&bed).await {
        Ok(reasons) => seen(reasons == expected, format!("{reasons:?}")),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;

    bed.store.routes().set_state(&line_ref("1").phone_number_id, 2, RouteState::Disabled, Timestamp::now()).await?;
    wait::until(SOON, "the disabled route to be used", async || {
        match router.taken(&body("104", &[texts("1", &["disabled"])])).await {
            Ok(()) => seen(quarantined(&bed).await.is_ok_and(|r| r.contains(&"disabled".into())), "not yet"),
            Err(error) => Seen::Never(error.to_string()),
        }
    })
    .await
}

/// A line that belongs to another account than the one whose secret signed: naming it is not enough to write to its company.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_opens_its_own_account_s_lines_only() -> Result<()> {
    let bed = Bed::start("webhook-accounts").await?;
    let (atlas, rif) = (sold(&bed, "atlas", "1").await?, bed.company("rif", "2").await?);
    bed.store.routes().put(&Route { waba_id: WabaId::parse("105")?, ..route("rif", "2") }, None).await?;
    let router = Router::start(&bed.mongo).await?;
    router.taken(&body("104", &[texts("1", &["a1"]), texts("2", &["foreign"])])).await?;
    assert_eq!((ids(&whole(&atlas).await?), ids(&whole(&rif).await?)), (vec!["a1"], vec![]));
    assert_eq!(quarantined(&bed).await?, ["foreign_account"]);

    // Nor by naming it before it has a route.
    let sahara = bed.company("sahara", "3").await?;
    router.taken(&body("104", &[texts("3", &["early"])])).await?;
    bed.store.routes().put(&Route { waba_id: WabaId::parse("105")?, ..route("sahara", "3") }, None).await?;
    wait::until(SOON, "it to be judged again", async || match quarantined(&bed).await {
        Ok(reasons) => seen(reasons == ["foreign_account", "foreign_account"], format!("{reasons:?}")),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    assert_eq!(ids(&whole(&sahara).await?), [""; 0]);
    Ok(())
}

/// What came before its Portfolio's file did comes back by itself, though not what another secret signed in its name; and a
/// file that is bad keeps none of it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portfolio_s_file_that_comes_after_its_webhooks() -> Result<()> {
    let bed = Bed::start("webhook-late-file").await?;
    let (atlas, rif) = (sold(&bed, "atlas", "1").await?, bed.company("rif", "2").await?);
    bed.store.routes().put(&Route { waba_id: WabaId::parse("105")?, ..route("rif", "2") }, None).await?;
    let router = Router::start(&bed.mongo).await?;
    let write = |name: &str, text: &str| std::fs::write(router.folder.join(name), text);
    // A company of its own, with an app of its own.
    write("other secret", "another app's secret")?;
    write("other.yaml", &portfolio("106", "other secret"))?;
    let by_other = body("105", &[texts("2", &["theirs"]), texts("1", &["theirs too"])]);
    wait::until(SOON, "the other file to be read", async || {
        match router.post_signed("another app's secret", by_other.as_bytes()).await {
            Ok(answer) => seen(answer.status() == 200, answer.status().to_string()),
            Err(error) => Seen::Never(error.to_string()),
        }
    })
    .await?;
    let account = r#"{"field":"account_update","value":{"event":"X"}}"#.to_owned();
    router.taken(&body("105", &[texts("2", &["a", "b"]), texts("1", &["of the other account"]), account])).await?;
    assert_eq!(quarantined(&bed).await?, ["foreign_account"; 5]);

    write("bad.yaml", &portfolio("107", "missing"))?;
    write("late.yaml", &portfolio("105", "secret"))?;
    let began = Instant::now();
    wait::until(SOON, "the messages to come back", async || match whole(&rif).await {
        Ok(entries) => seen(ids(&entries) == ["a", "b"], format!("{:?}", ids(&entries))),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // By what its secret speaks for now, also the line of its other account: as it would be taken today.
    wait::until(SOON, "the rest to come back", async || match quarantined(&bed).await {
        Ok(reasons) => seen(reasons == ["foreign_account"; 2], format!("{reasons:?}")),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    assert_eq!(ids(&whole(&atlas).await?), ["of the other account"]);
    assert_eq!(bed.store.account_events().since("105", Timestamp::UNIX_EPOCH, 9).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_that_cannot_be_written_holds_up_nobody() -> Result<()> {
    let bed = Bed::start("webhook-broken").await?;
    let (atlas, rif) = (sold(&bed, "atlas", "1").await?, sold(&bed, "rif", "2").await?);
    raw_log(&bed, &atlas).await?.drop_index("meta_id_unique").await?;
    let router = Router::start(&bed.mongo).await?;
    let began = Instant::now();
    router.taken(&body("104", &[texts("1", &["a1"]), texts("2", &["r1"])])).await?;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(ids(&whole(&rif).await?), ["r1"]);
    assert_eq!(ids(&whole(&atlas).await?), [""; 0]);
    assert_eq!(quarantined(&bed).await?, ["not_writable"]);
    // Repaired: it goes on by itself.
    bed.store.companies().ensure(atlas.company(), 730, Timestamp::now(), &mut rand::rng()).await?;
    wait::until(SOON, "the message to come out of quarantine", async || match whole(&atlas).await {
        Ok(entries) => seen(ids(&entries) == ["a1"], format!("{:?}", ids(&entries))),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away_means_503_and_a_repeat_is_stored_once() -> Result<()> {
    let options = MongoOptions { sync_on_commit: true, ..MongoOptions::default() };
    let mongo = Mongo::start(&run_dir("webhook-away")?, options).await?;
    let store = connect(&mongo).await?;
    store.ensure_indexes().await?;
    let mut bed = Bed { mongo, store };
    let atlas = sold(&bed, "atlas", "1").await?;
    let router = Router::start(&bed.mongo).await?;
    router.taken(&body("104", &[texts("1", &["before"])])).await?;
    bed.mongo.stop().await?;
    let post = body("104", &[texts("1", &["during", "during2"])]);
    let began = Instant::now();
    let answer = router.post(&post).await?;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    wait::until(SOON, "readiness to tell the truth", async || seen(!router.readiness.report().0, "ready")).await?;
    bed.mongo.restart().await?;
    // Meta comes again and again.
    wait::until(SOON, "the repeat to be taken", async || router.taken(&post).await).await?;
    router.taken(&post).await?;
    assert_eq!(ids(&whole(&atlas).await?), ["before", "during", "during2"]);
    wait::until(SOON, "the router to be ready again", async || {
        let (ready, report) = router.readiness.report();
        seen(ready, report)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_on_one_busy_company() -> Result<()> {
    let bed = Bed::start("webhook-busy").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let (one, two) = (Arc::new(Router::start(&bed.mongo).await?), Arc::new(Router::start(&bed.mongo).await?));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..6 {
        let routers = [Arc::clone(&one), Arc::clone(&two)];
        senders.spawn(async move {
            let mut slowest = Duration::ZERO;
            for n in 0..25 {
                // Every message is sent by two senders, to either replica.
                let wamid = format!("w{}-{n}", sender / 2);
                let began = Instant::now();
                routers[(sender + n) % 2].taken(&body("104", &[texts("1", &[&wamid])])).await?;
                slowest = slowest.max(began.elapsed());
            }
            anyhow::Ok(slowest)
        });
    }
    let mut slowest = Duration::ZERO;
    while let Some(sender) = senders.join_next().await {
        slowest = slowest.max(sender??);
    }
    assert_eq!(ids(&whole(&atlas).await?).len(), 75);
    println!("slowest answer of 150 POSTs by 6 senders to 2 replicas: {slowest:?}");
    Ok(())
}

/// What Meta says of an account and can't be written goes to quarantine too, and on from there once it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_accounts_comes_out_of_quarantine_by_itself() -> Result<()> {
    let bed = Bed::start("webhook-accounts").await?;
    let router = Router::start(&bed.mongo).await?;
    let events = bed.mongo.client().await?.database("clientnumber").collection::<Document>("account_events");
    // The same twice, at two times.
    let times = [1_793_000_000, 1_793_000_060];
    let of = |time| AccountEvent::new("104", "account_update", Some(time), r#"{"event":"X"}"#, Timestamp::now());
    for time in times {
        events.insert_one(doc! { "_id": of(time).id, "by": "hand" }).await?;
        let id = format!(r#""id":"104","time":{time},"#);
        let post = body("104", &[r#"{"field":"account_update","value":{"event":"X"}}"#.to_owned()]);
        router.taken(&post.replace(r#""id":"104","#, &id)).await?;
    }
    assert_eq!(quarantined(&bed).await?, ["not_writable", "not_writable"]);
    events.delete_many(doc! {}).await?;
    wait::until(SOON, "the events to be where they belong", async || {
        match bed.store.account_events().since("104", Timestamp::UNIX_EPOCH, 9).await {
            Ok(mut found) => {
                found.sort_by_key(|event| event.time);
                let told: Vec<_> = found.iter().map(|event| (event.time, &event.id)).collect();
                let want = times.map(|time| (Some(time), of(time).id));
                seen(told.iter().map(|(time, id)| (*time, (*id).clone())).eq(want), format!("{told:?}"))
            }
            Err(error) => Seen::NotYet(error.to_string()),
        }
    })
    .await?;
    wait::until(SOON, "the quarantine to be empty", async || match quarantined(&bed).await {
        Ok(reasons) => seen(reasons.is_empty(), format!("{reasons:?}")),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await
}

/// What comes is stamped and judged by the store's clock, not by that of a machine which has lost its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_clock_is_wrong() -> Result<()> {
    let bed = Bed::start("webhook-clock").await?;
    let db = sold(&bed, "atlas", "1").await?;
    let year = (365 * 24).hours();
    for (wamid, wrong) in [("ahead", Timestamp::now() + year), ("behind", Timestamp::now() - year)] {
        let router = Router::start_with(connect(&bed.mongo).await?, Arc::new(ManualClock::new(wrong))).await?;
        let (before, timestamp) = (Timestamp::now(), Timestamp::now().as_second());
        router.taken(&body("104", &[change("1", &format!(r#""messages":[{}]"#, text(wamid, timestamp)))])).await?;
        let entries = whole(&db).await?;
        let entry = entries.iter().find(|entry| ids(std::slice::from_ref(entry)) == [wamid]);
        let Some(entry) = entry else { anyhow::bail!("{wamid}: {:?}", quarantined(&bed).await?) };
        let away = entry.at.duration_since(before).abs().as_secs();
        anyhow::ensure!(away < 60, "{wamid}: stamped {}", entry.at);
    }
    Ok(())
}

/// What is so old that it could be a repeat of something that retention has removed waits for a person.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_old_to_be_known_for_a_repeat() -> Result<()> {
    let bed = Bed::start("webhook-old").await?;
    let db = sold(&bed, "atlas", "1").await?;
    bed.store.companies().ensure(db.company(), 8, Timestamp::now(), &mut rand::rng()).await?;
    let router = Router::start(&bed.mongo).await?;
    // What came more than eight days ago ...
    let past = Timestamp::now() - (8 * 24).hours() - 1.second();
    let old = |wamid: &str| text(wamid, past.as_second());
    let post = body("104", &[change("1", &format!(r#""messages":[{},{}]"#, old("first"), old("second")))]);
    let then: SharedClock = Arc::new(ManualClock::new(past));
    db.log().appender(then).append(vec![message("1", "first", "MA.1"), message("1", "second", "MA.1")], soon()).await?;
    let young = text("young", Timestamp::now().as_second());
    router.taken(&body("104", &[change("1", &format!(r#""messages":[{young}]"#))])).await?;
    assert_eq!(ids(&whole(&db).await?), ["first", "second", "young"]);

    // ... is removed, and Meta sends it once more.
    let agreed = StoreClock::new(clock());
    agreed.compare(agreed.own(), agreed.own(), agreed.own());
    Keeper::new(bed.store.clone(), Arc::new(agreed), Metrics::register(&mut Registry::default())).round().await;
    let left = || async { anyhow::Ok(db.log().read_after(1, 100, usize::MAX).await?.entries) };
    assert_eq!(ids(&left().await?), ["young"]);
    router.taken(&post).await?;
    assert_eq!(ids(&left().await?), ["young"], "nothing twice");
    assert_eq!(quarantined(&bed).await?, ["too_old"]);
    // Beside something young the young one is stored.
    let mixed = format!(r#""messages":[{},{}]"#, old("old"), text("new", Timestamp::now().as_second()));
    router.taken(&body("104", &[change("1", &mixed)])).await?;
    assert_eq!(ids(&left().await?), ["young", "new"]);
    assert_eq!(quarantined(&bed).await?, ["too_old", "too_old"]);
    Ok(())
}
