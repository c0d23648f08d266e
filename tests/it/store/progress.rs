//! What an append has done when its time runs out, and what it costs when the store takes nothing: whoever comes again goes
//! on from there, and a refusal is told before the time is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::bed::*;
use crate::support::wait::{self, seen};
use crate::support::{Hit, MongoProxy, MongoRule, Point, wire::MongoRequest};
use anyhow::{Context, Result};
use clientnumber::domain::Pii;
use clientnumber::store::{Appender, CompanyDb, LogEntry, NewEntry, Outcome, Store, StoreOptions};
use mongodb::bson::doc;
use tokio::time::Instant;

/// Longer than what goes before the held request may take.
const TIME: Duration = Duration::from_secs(5);

/// A company whose candidates are all known, and a writer that knows nothing yet and reaches its log by a proxy.
struct Known {
    bed: Bed,
    db: CompanyDb,
    proxy: MongoProxy,
    appender: Appender,
}

impl Known {
    async fn start(name: &str, candidates: usize) -> Result<Self> {
        let bed = Bed::start(name).await?;
        let db = bed.company("atlas", "1").await?;
        let outcomes = db.log().appender(clock()).append(from_each("first", candidates), soon()).await?;
        assert_eq!(stored(&outcomes), candidates);
        let proxy = MongoProxy::start(&bed.mongo).await?;
        let store = Store::connect(&proxy.uri().into(), StoreOptions::default()).await?;
        let there = store.companies().open(db.company()).await?.context("the company is gone")?;
        Ok(Self { bed, db, proxy, appender: there.log().appender(clock()) })
    }

    /// An append whose insert has no effect, whatever the driver does about it.
    async fn fail(&mut self, items: Vec<NewEntry>) -> Result<()> {
        // The driver tries once more; both are cut, and no other.
        let tries = AtomicUsize::new(0);
        let both =
            MongoRule::command("insert").collection("log").matching(move |_| tries.fetch_add(1, Ordering::SeqCst) < 2);
        let held = self.proxy.hold(both.each(), Point::BeforeEffect);
        let tried = self.appender.append(items, Instant::now() + TIME).await;
        assert!(tried.is_err_and(|error| error.is_transient()));
        held.assert_there()?;
        held.cut();
        wait::until(SOON, "the second try", async || seen(held.count() > 1, held.count())).await
    }
}

fn from_each(name: &str, candidates: usize) -> Vec<NewEntry> {
    (0..candidates).map(|n| message("1", &format!("{name}{n}"), &format!("MA.{n}"))).collect()
}

fn stored(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored(_))).count()
}

fn contacts(entries: &[LogEntry]) -> BTreeSet<&str> {
    entries.iter().filter_map(|entry| entry.contact_id.as_deref()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_time_runs_out_has_stored_a_part_and_the_repeat_stores_the_rest() -> Result<()> {
    let mut known = Known::start("progress-parts", 600).await?;
    // The store answers so many reads of the log, and then none.
    let answered = Arc::new(AtomicUsize::new(0));
    let read = |request: &MongoRequest| matches!(request.command.as_str(), "find" | "aggregate");
    let rule = MongoRule::any().collection("log").matching(read);
    let held: Hit<MongoRequest> = known
        .proxy
        .hold(rule.matching(move |_| answered.fetch_add(1, Ordering::SeqCst) >= 6).each(), Point::BeforeEffect);
    let tried = known.appender.append(from_each("second", 600), Instant::now() + TIME).await;
    assert!(tried.is_err_and(|error| error.is_transient()));
    let part = whole(&known.db).await?.len() - 601;
    assert!((1..600).contains(&part), "{part} of 600 were stored");
    held.release();
    let outcomes = known.appender.append(from_each("second", 600), soon()).await?;
    let repeats = outcomes.iter().filter(|outcome| **outcome == Outcome::Duplicate).count();
    assert_eq!((repeats, stored(&outcomes)), (part, 600 - part));
    let entries = whole(&known.db).await?;
    assert_eq!((entries.len(), contacts(&entries).len()), (1201, 600), "nobody got a second id");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_learnt_is_not_asked_for_again_after_a_failure() -> Result<()> {
    let mut known = Known::start("progress-kept", 100).await?;
    known.fail(from_each("second", 100)).await?;
    let asked = known.proxy.count(MongoRule::command("aggregate").collection("log"));
    let looked = known.proxy.count(MongoRule::command("find").collection("log"));
    let outcomes = known.appender.append(from_each("second", 100), soon()).await?;
    assert_eq!(stored(&outcomes), 100, "{outcomes:?}");
    assert_eq!(asked.count(), 0, "it was asked again who is who");
    assert!(looked.count() <= 4, "{} reads", looked.count());
    assert_eq!(contacts(&whole(&known.db).await?).len(), 100);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_log_told_is_forgotten_after_a_failure() -> Result<()> {
    let mut known = Known::start("progress-restored", 1).await?;
    assert_eq!(known.appender.append(vec![message("1", "a", "MA.0")], soon()).await?, [Outcome::Stored(3)]);
    known.fail(vec![message("1", "b", "MA.0")]).await?;
    // A backup is restored, and others go on from there.
    raw_log(&known.bed, &known.db).await?.delete_many(doc! { "_id": { "$gte": 2_i64 } }).await?;
    let others = vec![message("1", "c", "MA.0"), message("1", "d", "MA.1"), message("1", "e", "MA.2")];
    assert_eq!(stored(&known.db.log().appender(clock()).append(others, soon()).await?), 3);
    assert_eq!(known.appender.append(vec![message("1", "b", "MA.0")], soon()).await?, [Outcome::Stored(5)]);
    let entries = whole(&known.db).await?;
    assert_eq!(entries[4].contact_id, entries[1].contact_id);
    assert_eq!(contacts(&entries).len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_that_refuses_every_write_is_told_by_few_inserts() -> Result<()> {
    let mut known = Known::start("progress-refused", 3).await?;
    let before = whole(&known.db).await?.len();
    // The server refuses all messages.
    let database = known.bed.mongo.client().await?.database(known.db.name());
    let refuse = |kind: &str| doc! { "collMod": "log", "validator": { "type": { "$ne": kind } } };
    database.run_command(refuse("text")).await?;
    let inserts = known.proxy.count(MongoRule::command("insert").collection("log"));
    let mut items: Vec<NewEntry> =
        (0..600).map(|n| message("1", &format!("refused{n}"), &format!("MA.{}", n % 7))).collect();
    // Some are there already, and no matter for the quarantine but where one of them was tried.
    items.splice(300..300, from_each("first", 3));
    let outcomes = known.appender.append(items.clone(), soon()).await?;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Unwritable(_))).count();
    let repeats = outcomes.iter().filter(|outcome| **outcome == Outcome::Duplicate).count();
    assert!(refused + repeats == 603 && (2..=3).contains(&repeats), "{refused} refused, {repeats} repeats");
    assert!(inserts.count() <= 10, "{} inserts for one refusal", inserts.count());
    assert_eq!(whole(&known.db).await?.len(), before);
    // It does not any more.
    database.run_command(refuse("nothing")).await?;
    assert_eq!(stored(&known.appender.append(items, soon()).await?), 600);
    assert_eq!(whole(&known.db).await?.len(), before + 600);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_that_is_refused_as_a_whole_is_taken_apart() -> Result<()> {
    let mut known = Known::start("progress-large", 3).await?;
    let mut items: Vec<NewEntry> = from_each("second", 40);
    // No document may be as large.
    items[17].raw = Some(Pii("x".repeat(17 * 1024 * 1024)));
    let outcomes = known.appender.append(items, soon()).await?;
    assert!(matches!(outcomes[17], Outcome::Unwritable(_)), "{:?}", outcomes[17]);
    assert_eq!(stored(&outcomes), 39);
    let entries = whole(&known.db).await?;
    let ids: Vec<&str> =
        entries.iter().filter_map(|entry| Some(entry.meta_id.as_ref()?.expose().as_str())).skip(4).collect();
    let want: Vec<String> = (0..40).filter(|n| *n != 17).map(|n| format!("second{n}")).collect();
    assert_eq!(ids, want, "in their order");
    Ok(())
}
