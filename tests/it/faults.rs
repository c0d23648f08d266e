//! The ingest when the program itself fails, and when the store hangs or changes under it: nothing that would fail again is
//! answered with 503, and nothing is lost.

use crate::store::bed::*;
use crate::support::wait::{self, Seen, seen};
use crate::support::{MongoProxy, MongoRule, Point};
use crate::webhook::{Router, body, ids, quarantined, sold, texts};
use anyhow::Result;
use clientnumber::domain::{Clock, SystemClock};
use clientnumber::router::append::Writers;
use clientnumber::router::metrics::Metrics;
use clientnumber::store::{CompanyDb, Outcome, Store};
use clientnumber::telemetry::Registry;
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A clock at which the program fails as a fault of its own would make it.
#[derive(Default)]
struct Fault(AtomicI64);

impl Fault {
    /// The nth look from now on panics; 0: none.
    fn at(&self, nth: i64) {
        self.0.store(nth, Ordering::SeqCst);
    }
}

impl Clock for Fault {
    fn now(&self) -> Timestamp {
        assert!(self.0.fetch_sub(1, Ordering::SeqCst) != 1, "planted");
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
    let fault = Arc::new(Fault::default());
    let router = Router::start_with(connect_to(&proxy.uri()).await?, fault.clone()).await?;
    let events = async || bed.store.account_events().since("104", Timestamp::UNIX_EPOCH, 9).await;
    // The first look is for the metric of the last POST, the second for the event's time.
    let post = body("104", &[ACCOUNT_UPDATE.to_owned()]);
    fault.at(2);
    assert_eq!(router.post(&post).await?.status(), 200);
    assert_eq!(quarantined(&bed).await?, ["malformed"]);
    assert!(events().await?.is_empty());
    router.taken(&post).await?;
    assert_eq!(events().await?.len(), 1, "the fault is over");

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
