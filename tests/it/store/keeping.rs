//! What retention removes, what stays, and what follows from the log: the states of messages.

use std::sync::Arc;
use std::time::Duration;

use super::bed::*;
use crate::support::{MongoProxy, MongoRule, Point};
use anyhow::{Context, Result, ensure};
use clientnumber::domain::{Clock, CompanyId, ManualClock, Pii, SharedClock};
use clientnumber::router::keeper::Keeper;
use clientnumber::router::metrics::Metrics;
use clientnumber::store::{CompanyDb, ContactHint, FenceAction, NewEntry, Outcome, Start, State, StoreClock};
use clientnumber::telemetry::Registry;
use futures::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use mongodb::bson::{Document, doc};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A company whose log is written at the time that a hand sets.
struct Kept {
    db: CompanyDb,
    clock: Arc<ManualClock>,
}

impl Kept {
    async fn of(bed: &Bed, id: &str, days: i64) -> Result<Self> {
        let clock = Arc::new(ManualClock::new(Timestamp::now() - (100 * 24).hours()));
        let id = CompanyId::parse(id)?;
        let (_, db) = bed.store.companies().ensure(&id, days, Timestamp::now(), &mut rand::rng()).await?;
        let kept = Self { db, clock };
        kept.fence("1", FenceAction::Given).await?;
        Ok(kept)
    }

    fn shared(&self) -> SharedClock {
        Arc::<ManualClock>::clone(&self.clock)
    }

    async fn fence(&self, line: &str, action: FenceAction) -> Result<()> {
        self.db.log().appender(self.shared()).append_fence(&line_ref(line), action, 1, soon()).await?;
        Ok(())
    }

    async fn append(&self, items: Vec<NewEntry>) -> Result<Vec<i64>> {
        let outcomes = self.db.log().appender(self.shared()).append(items, soon()).await?;
        let seq = |outcome| match outcome {
            Outcome::Stored(seq) => Ok(seq),
            other => anyhow::bail!("{other:?}"),
        };
        outcomes.into_iter().map(seq).collect()
    }

    fn keeper(&self, bed: &Bed) -> Keeper {
        self.keeper_of(bed, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
    }

    /// Of a machine whose clock showed `own` when the store's showed `stores`.
    fn keeper_of(&self, bed: &Bed, own: Timestamp, stores: Timestamp) -> Keeper {
        let clock = StoreClock::new(self.shared());
        clock.compare(own, stores, own);
        Keeper::new(bed.store.clone(), Arc::new(clock), Metrics::register(&mut Registry::default()))
    }

    async fn seqs(&self) -> Result<Vec<i64>> {
        let entries = self.db.log().read_after(0, 100_000, usize::MAX).await?.entries;
        Ok(entries.iter().map(|entry| entry.seq).collect())
    }
}

fn messages(name: &str, count: usize, user: &str) -> Vec<NewEntry> {
    (0..count).map(|n| message("1", &format!("{name}{n}"), user)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_retention_goes_and_nothing_else() -> Result<()> {
    let bed = Bed::start("retention").await?;
    let kept = Kept::of(&bed, "atlas", 30).await?;
    let log = kept.db.log();
    // More than two batches, a fence in their midst.
    kept.append(messages("a", 700, "MA.1")).await?;
    kept.fence("2", FenceAction::Given).await?;
    kept.append(messages("b", 500, "MA.1")).await?;
    let (old, fence) = (log.cursor_at(50).await?, log.cursor_at(702).await?);
    let amina = log.entry(50).await?.unwrap().contact_id;
    kept.clock.advance(20 * DAY);
    let answer = NewEntry { reply_to: Some(Pii("b499".into())), ..message("1", "young", "MA.2") };
    let young = kept.append(vec![answer, message("1", "young2", "MA.2")]).await?;
    assert_eq!(young, [1203, 1204]);
    let referred = log.entry(1203).await?.unwrap().reply_to;
    assert!(referred.is_some());
    kept.keeper(&bed).round().await;
    assert_eq!(kept.seqs().await?.len(), 1204, "nothing is that old yet");

    kept.clock.advance(11 * DAY);
    let (now, day) = (Timestamp::now(), 24.hours());
    for (own, stores) in [(now, now - day), (now - day, now)] {
        kept.keeper_of(&bed, own, stores).round().await;
        assert_eq!(kept.seqs().await?.len(), 1204, "nobody knows what day it is");
    }
    kept.keeper(&bed).round().await;
    assert_eq!(kept.seqs().await?, [1, 702, 1203, 1204], "fences and what is young");
    assert_eq!((log.oldest().await?, log.head().await?), (Some(1203), 1204));
    assert_eq!(log.fences().await?.line(&line_ref("2").phone_number_id), Some((1, FenceAction::Given)));

    // Cursors: where something was removed it goes on at the oldest that is left, in the order of seq.
    let head = log.head().await?;
    assert_eq!(log.judge(&old, head).await?, Start::After(701));
    assert_eq!(log.judge(&fence, head).await?, Start::After(702));
    assert_eq!(log.judge(&"800.00ff".parse()?, head).await?, Start::After(1202));
    assert_eq!(log.judge(&"1203.00ff".parse()?, head).await?, Start::Reset);
    assert_eq!(log.start_for_new(500, kept_since(&kept)).await?, 1202);

    // What derives from the removed: a kept item goes on naming what it answered, new ones know of it no more, and the
    // candidate is another contact. Whoever has a kept item keeps its id.
    assert_eq!(log.entry(1203).await?.unwrap().reply_to, referred);
    let late = NewEntry { reply_to: Some(Pii("b499".into())), ..message("1", "late", "MA.1") };
    assert_eq!(kept.append(vec![late, message("1", "young3", "MA.2")]).await?, [1205, 1206]);
    let (late, known) = (log.entry(1205).await?.unwrap(), log.entry(1206).await?.unwrap());
    assert_eq!(late.reply_to, None);
    assert_ne!(late.contact_id, amina);
    assert_eq!(known.contact_id, log.entry(1203).await?.unwrap().contact_id);

    // The newest stays, however old it is.
    kept.clock.advance(90 * DAY);
    kept.keeper(&bed).round().await;
    assert_eq!(kept.seqs().await?, [1, 702, 1206]);
    assert_eq!(kept.append(messages("c", 1, "MA.1")).await?, [1207]);
    Ok(())
}

fn kept_since(kept: &Kept) -> Timestamp {
    kept.shared().now() - (30 * 24).hours()
}

/// Less than eight days can't be had, whatever a record says: repeats would be stored again.
#[tokio::test]
async fn a_record_written_by_hand_removes_no_sooner() -> Result<()> {
    let bed = Bed::start("retention-least").await?;
    let kept = Kept::of(&bed, "atlas", 1).await?;
    kept.append(messages("a", 5, "MA.1")).await?;
    kept.clock.advance(7 * DAY);
    kept.append(messages("b", 1, "MA.1")).await?;
    kept.keeper(&bed).round().await;
    assert_eq!(kept.seqs().await?, [1, 2, 3, 4, 5, 6, 7]);
    kept.clock.advance(DAY + Duration::from_secs(1));
    kept.keeper(&bed).round().await;
    assert_eq!(kept.seqs().await?, [1, 7]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_remove_while_others_write_and_read() -> Result<()> {
    let bed = Bed::start("retention-race").await?;
    let kept = Kept::of(&bed, "atlas", 30).await?;
    kept.append(messages("old", 3000, "MA.1")).await?;
    kept.clock.advance(40 * DAY);
    let keepers = [kept.keeper(&bed), kept.keeper(&bed)];
    let removing = futures::future::join_all(keepers.iter().map(Keeper::round));
    let writing = async {
        let mut appender = kept.db.log().appender(kept.shared());
        for n in 0..40 {
            let outcome = appender.append(messages(&format!("new{n}."), 2, "MA.2"), soon()).await?;
            ensure!(outcome.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))), "{outcome:?}");
        }
        Ok(())
    };
    let reading = async {
        // From the front, again and again: what is missing is missing at the front.
        let mut shortest = usize::MAX;
        for _ in 0..40 {
            let page = kept.db.log().read_after(1, 10_000, usize::MAX).await?;
            let seqs: Vec<i64> = page.entries.iter().map(|entry| entry.seq).collect();
            let kept = seqs.iter().rev().take_while(|seq| **seq > 3001).count();
            ensure!(seqs[seqs.len() - kept..].windows(2).all(|pair| pair[0] + 1 == pair[1]), "a hole in what is kept");
            shortest = shortest.min(seqs.len());
        }
        ensure!(shortest < 3000, "nothing was removed meanwhile: the test shows nothing");
        Ok(())
    };
    let ((), written, read) = tokio::join!(async { drop(removing.await) }, writing, reading);
    let _: () = written?;
    read?;
    let seqs = kept.seqs().await?;
    assert_eq!(seqs[..2], [1, 3002], "all that was old is gone");
    assert_eq!(seqs.len(), 81);
    assert!(seqs[1..].windows(2).all(|pair| pair[0] + 1 == pair[1]));
    Ok(())
}

async fn states(bed: &Bed, db: &CompanyDb) -> Result<Vec<Document>> {
    let states = bed.mongo.client().await?.database(db.name()).collection::<Document>("states");
    Ok(states.find(doc! {}).sort(doc! { "_id": 1 }).await?.try_collect().await?)
}

fn told(wamid: &str, word: &str, time: i64) -> NewEntry {
    let whom = ContactHint { user_id: Some(Pii("MA.1".into())), ..ContactHint::default() };
    NewEntry { timestamp: Some(time), contact: Some(whom), ..status("1", wamid, word) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_follow_the_log_and_can_be_made_anew() -> Result<()> {
    let bed = Bed::start("states").await?;
    let kept = Kept::of(&bed, "atlas", 30).await?;
    let now = kept.shared().now();
    // More than one batch of statuses, in a bad order.
    let mut items = messages("in", 1, "MA.1");
    for n in 0..700 {
        items.push(told(&format!("w{n}"), "read", 300));
        items.push(told(&format!("w{n}"), "sent", 100));
    }
    items.push(told("w5", "failed", 400));
    items.push(told("in0", "read", 500));
    kept.append(items).await?;
    // Several replicas at once.
    let db = &kept.db;
    let followers = (0..3).map(|_| async move { db.states().follow(now).await });
    futures::future::try_join_all(followers).await?;
    let all = states(&bed, &kept.db).await?;
    assert_eq!(all.len(), 701);
    let one = kept.db.states().get("w7").await?.unwrap();
    assert_eq!((one.state, one.times[&State::Sent], one.times[&State::Read]), (State::Read, 100, 300));
    assert_eq!(one.seq, 2 + 2 * 8);
    assert_eq!(kept.db.states().get("w5").await?.unwrap().state, State::Failed);
    let known = kept.db.states().get("in0").await?.unwrap();
    assert_eq!(known.message_id, kept.db.log().entry(2).await?.unwrap().message_id);
    assert_eq!(known.contact_id, kept.db.log().entry(2).await?.unwrap().contact_id);

    // On from where it stood.
    kept.append(vec![told("w7", "delivered", 200), told("w7", "played", 350)]).await?;
    assert_eq!(kept.db.states().follow(now).await?, 2);
    assert_eq!(kept.db.states().follow(now).await?, 0);
    let one = kept.db.states().get("w7").await?.unwrap();
    assert_eq!((one.state, one.times.len(), one.seq), (State::Played, 4, kept.db.log().head().await?));

    // Made anew it is the same.
    let before = states(&bed, &kept.db).await?;
    kept.db.states().forget().await?;
    assert_eq!(states(&bed, &kept.db).await?.len(), 0);
    kept.db.states().follow(now).await?;
    assert_eq!(states(&bed, &kept.db).await?, before);

    // With the last status of a message its state goes too.
    kept.clock.advance(31 * DAY);
    kept.append(vec![told("w9", "played", 900), told("x", "sent", 901)]).await?;
    kept.keeper(&bed).round().await;
    let left = states(&bed, &kept.db).await?;
    assert_eq!(left.iter().filter_map(|state| state.get_str("_id").ok()).collect::<Vec<_>>(), ["w9", "x"]);
    assert_eq!(kept.db.states().get("w9").await?.unwrap().times.len(), 3, "what was known before stays");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_is_overtaken_forgets_nothing() -> Result<()> {
    let bed = Bed::start("keeping-overtaken").await?;
    let kept = Kept::of(&bed, "atlas", 730).await?;
    kept.append(vec![told("w1", "sent", 10)]).await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let slow = connect_to(&proxy.uri()).await?.companies().open(kept.db.company()).await?.context("no company")?;
    // Between its two questions, how far the log goes and how far it was read, others go on.
    let held = proxy.hold(MongoRule::command("find").collection("derived"), Point::BeforeEffect);
    let forgets = proxy.count(MongoRule::command("delete"));
    let now = kept.clock.now();
    let look = tokio::spawn(async move { slow.states().follow(now).await });
    held.wait(SOON).await?;
    kept.append(vec![told("w1", "delivered", 11)]).await?;
    kept.db.states().follow(now).await?;
    held.release();
    look.await??;
    assert_eq!(forgets.count(), 0, "what is known was thrown away");
    let known = kept.db.states().get("w1").await?.context("no state")?;
    assert_eq!((known.state, known.times.len()), (State::Delivered, 2));
    Ok(())
}
