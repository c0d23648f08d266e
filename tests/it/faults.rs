//! The ingest when the program itself fails, and when the store hangs or changes under it: nothing that would fail again is
//! answered with 503, and nothing is lost.

use crate::commands::said;
use crate::store::bed::*;
use crate::support::wait::{self, Seen, seen};
use crate::support::{MongoProxy, MongoRule, Point};
use crate::webhook::{Router, SECRET, body, ids, quarantined, sold, texts};
use anyhow::Result;
use clientnumber::domain::{Clock, SystemClock};
use clientnumber::router::append::Writers;
use clientnumber::router::metrics::Metrics;
use clientnumber::store::{CompanyDb, Outcome, RouteState, Store};
use clientnumber::telemetry::Registry;
use jiff::Timestamp;
use std::backtrace::Backtrace;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A clock at which the program fails as a fault of its own would make it.
#[derive(Default)]
struct Fault {
    looks: AtomicI64,
    /// The task of a router's own work, which looks first and is not meant.
    beside: Option<OnceLock<Option<tokio::task::Id>>>,
}

impl Fault {
    /// In what a router does for a POST.
    fn of_posts() -> Self {
        Self { beside: Some(OnceLock::new()), ..Self::default() }
    }

    /// The nth look from now on panics; 0: none.
    fn at(&self, nth: i64) {
        self.looks.store(nth, Ordering::SeqCst);
    }
}

impl Clock for Fault {
    fn now(&self) -> Timestamp {
        let task = tokio::task::try_id();
        if self.beside.as_ref().is_none_or(|beside| *beside.get_or_init(|| task) != task) {
            assert!(self.looks.fetch_sub(1, Ordering::SeqCst) != 1, "planted");
        }
        SystemClock.now()
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }
}

const ACCOUNT_UPDATE: &str = r#"{"field":"account_update","value":{"event":"X"}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_the_program_fails_on_is_put_away() -> Result<()> {
    let bed = Bed::start("faults-panic").await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let fault = Arc::new(Fault::of_posts());
    let router = Router::start_with(connect_to(&proxy.uri()).await?, fault.clone()).await?;
    let events = async || bed.store.account_events().since("104", Timestamp::UNIX_EPOCH, 9).await;
    // The first look is for the metric of the last POST, the second for the event's time.
    let post = body("104", &[ACCOUNT_UPDATE.to_owned()]);
    fault.at(2);
    assert_eq!(router.post(&post).await?.status(), 200);
    assert_eq!(quarantined(&bed).await?, ["malformed"]);
    assert!(events().await?.is_empty());
    // The fault is over.
    let by_hand = ["replay", "--reason", "malformed", "--meta-app-secret", SECRET];
    let (back, code) = said(&bed.mongo, &by_hand).await?;
    assert_eq!((back.trim(), code), ("1 brought back", 0));
    assert_eq!((events().await?.len(), quarantined(&bed).await?.len()), (1, 0));
    router.taken(&post).await?;
    assert_eq!(events().await?.len(), 1);

    // Where it can't be kept, Meta keeps it.
    let other = body("104", &[ACCOUNT_UPDATE.replace('X', "Y")]);
    let hit = proxy.hold(MongoRule::command("insert").collection("quarantine"), Point::BeforeEffect);
    fault.at(2);
    let answer = router.post(&other).await?;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    hit.cut();
    Ok(())
}

/// A clock at which the replay fails, as often as is planted.
#[derive(Default)]
struct InReplay(AtomicI64);

impl Clock for InReplay {
    fn now(&self) -> Timestamp {
        if self.0.load(Ordering::SeqCst) > 0 && Backtrace::force_capture().to_string().contains("router::replay") {
            self.0.fetch_sub(1, Ordering::SeqCst);
            panic!("planted");
        }
        SystemClock.now()
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }
}

/// What runs beside the webhook is started again, and ends nothing but itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_beside_the_webhook() -> Result<()> {
    let bed = Bed::start("faults-beside").await?;
    let fault = Arc::new(InReplay::default());
    let router = Router::start_with(connect(&bed.mongo).await?, fault.clone()).await?;
    router.taken(&body("104", &[texts("7", &["late"])])).await?;
    fault.0.store(2, Ordering::SeqCst);
    let sahara = sold(&bed, "sahara", "7").await?;
    wait::until(SOON, "the replay to go on", async || match whole(&sahara).await {
        Ok(entries) => seen(ids(&entries) == ["late"], format!("{:?}", ids(&entries))),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    assert_eq!(fault.0.load(Ordering::SeqCst), 0, "it did not fail");
    router.taken(&body("104", &[texts("7", &["next"])])).await?;
    assert_eq!(ids(&whole(&sahara).await?), ["late", "next"]);
    Ok(())
}

fn writers(store: Store, clock: Arc<dyn Clock>, look: Duration) -> Writers {
    Writers::looking_every(look, store, clock, Metrics::register(&mut Registry::default()), Arc::new(|_, _| {}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_program_fails_on_while_writing_is_unwritable() -> Result<()> {
    let bed = Bed::start("faults-writer").await?;
    let atlas = bed.company("atlas", "1").await?;
    let fault = Arc::new(Fault::default());
    let writers = writers(bed.store.clone(), fault.clone(), Duration::from_secs(60));
    let append = async |wamid: &str| writers.append(atlas.company(), vec![message("1", wamid, "MA.1")]).await;
    assert_eq!(append("before").await?, [Outcome::Stored(2)]);
    fault.at(1);
    let outcomes = append("poison").await?;
    assert!(matches!(outcomes[..], [Outcome::Unwritable(_)]), "{outcomes:?}");
    assert_eq!(append("after").await?, [Outcome::Stored(3)]);

    // Among others that wait: they are written one by one, so that at most one pays, and none is sent away.
    fault.at(1);
    let (one, two, three) = futures::join!(append("one"), append("two"), append("three"));
    let outcomes = [one?, two?, three?].concat();
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored(_))).count();
    assert!(stored >= 2, "{outcomes:?}");
    assert_eq!(ids(&whole(&atlas).await?).len(), 2 + stored);
    Ok(())
}

/// A connection on which nothing comes and nothing breaks: a firewall that has forgotten it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_whose_news_hang_are_read_anew() -> Result<()> {
    let bed = Bed::start("faults-routes").await?;
    sold(&bed, "atlas", "1").await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let router = Router::start_with(connect_to(&proxy.uri()).await?, clock()).await?;
    let hit = proxy.hold(MongoRule::command("getMore").collection("routes"), Point::AfterEffect);
    hit.wait(SOON).await?;
    bed.store.routes().set_state(&line_ref("1").phone_number_id, 1, RouteState::Disabled, Timestamp::now()).await?;
    // Before the copy is too old to be used.
    let mut n = 0;
    wait::until(Duration::from_secs(25), "the disabled route to be known", async || {
        n += 1;
        router.taken(&body("104", &[texts("1", &[&format!("w{n}")])])).await?;
        let reasons = quarantined(&bed).await?;
        anyhow::ensure!(reasons == ["disabled"], "{reasons:?}");
        Ok(())
    })
    .await?;
    hit.cut();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_while_a_log_is_opened_holds_up_no_later_post() -> Result<()> {
    let bed = Bed::start("faults-open").await?;
    let atlas = sold(&bed, "atlas", "1").await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let router = Router::start_with(connect_to(&proxy.uri()).await?, clock()).await?;
    let hit = proxy.hold(MongoRule::command("listIndexes"), Point::BeforeEffect);
    assert_eq!(router.post(&body("104", &[texts("1", &["held"])])).await?.status(), 503);
    hit.wait(SOON).await?;
    // It still hangs, and nobody waits for it any more.
    wait::until(SOON, "the repeat to be taken", async || router.taken(&body("104", &[texts("1", &["held"])])).await)
        .await?;
    assert_eq!(ids(&whole(&atlas).await?), ["held"]);
    hit.cut();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_writer_notices_that_its_log_lost_the_index() -> Result<()> {
    let bed = Bed::start("faults-index").await?;
    let atlas: CompanyDb = bed.company("atlas", "1").await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let writers = writers(connect_to(&proxy.uri()).await?, clock(), Duration::from_millis(200));
    let mut sent = 0;
    let mut append = async || {
        sent += 1;
        writers.append(atlas.company(), vec![message("1", &format!("w{sent}"), "MA.1")]).await
    };
    assert_eq!(append().await?, [Outcome::Stored(2)]);
    // A look that hangs holds up nobody.
    let hit = proxy.hold(MongoRule::command("listIndexes"), Point::BeforeEffect);
    hit.wait(SOON).await?;
    assert_eq!(append().await?, [Outcome::Stored(3)]);
    hit.release();

    raw_log(&bed, &atlas).await?.drop_index("meta_id_unique").await?;
    wait::until(SOON, "the writer to notice", async || match append().await {
        Ok(outcomes) => seen(matches!(outcomes[..], [Outcome::Unwritable(_)]), format!("{outcomes:?}")),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    // Repaired: it goes on by itself.
    bed.store.companies().ensure(atlas.company(), 730, Timestamp::now(), &mut rand::rng()).await?;
    let outcomes = append().await?;
    assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{outcomes:?}");
    Ok(())
}
