//! The append-only log: no gap, no double, nobody held up, fences respected.

use super::bed::*;
use crate::support::wait;
use anyhow::Result;
use clientnumber::domain::Pii;
use clientnumber::store::{ContactHint, Cursor, FenceAction, NewEntry, Outcome, Refused, Start, StoreError};
use jiff::{Timestamp, ToSpan};
use mongodb::bson::doc;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

fn wamids(entries: &[clientnumber::store::LogEntry]) -> BTreeSet<String> {
    entries.iter().filter(|e| !e.ours).filter_map(|e| e.meta_id.clone()).map(|id| id.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_writers_with_the_same_items_leave_no_gap_and_no_double() -> Result<()> {
    let bed = Bed::start("log-writers").await?;
    let db = bed.company("atlas", "1").await?;
    let total = 200u32;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4u64 {
        // Each is a replica of its own.
        let store = connect(&bed.mongo).await?;
        let db = store.companies().open(db.company()).await?.unwrap();
        writers.spawn(async move {
            let mut rng = SmallRng::seed_from_u64(writer);
            let mut appender = db.log().appender(clock());
            let (mut stored, mut at) = (0, 0);
            while at < total {
                let size = rng.random_range(1..20).min(total - at);
                // Four senders repeat everything, as Meta does to four replicas.
                let batch: Vec<NewEntry> =
                    (at..at + size).map(|n| message("1", &format!("w{n}"), &format!("MA.{}", n % 7))).collect();
                let outcomes = appender.append(batch, soon()).await?;
                assert_eq!(outcomes.len(), size as usize);
                stored += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored(_))).count();
                assert!(outcomes.iter().all(|o| matches!(o, Outcome::Stored(_) | Outcome::Duplicate)), "{outcomes:?}");
                at += size;
            }
            Ok::<usize, anyhow::Error>(stored)
        });
    }
    let mut stored = 0;
    while let Some(writer) = writers.join_next().await {
        stored += writer??;
    }
    let entries = whole(&db).await?;
    assert_eq!(wamids(&entries).len(), total as usize);
    assert_eq!(stored, total as usize, "each item was stored by exactly one writer");
    // Whoever wrote first gave a candidate its id, and all others used it.
    let mut ids: Vec<_> =
        entries.iter().filter_map(|e| Some((e.contact.clone()?.user_id?, e.contact_id.clone()?))).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7, "one id for each candidate");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_vanish_half_way_hold_nobody_up() -> Result<()> {
    let bed = Bed::start("log-vanish").await?;
    let db = bed.company("atlas", "1").await?;
    let total = 150;
    let mut rng = SmallRng::seed_from_u64(7);
    let (mut vanished, mut at) = (0, 0);
    let mut steady = db.log().appender(clock());
    while at < total {
        let batch = || (at..at + 5).map(|n| message("1", &format!("w{n}"), "MA.1")).collect::<Vec<_>>();
        // A new writer each time, cut off at some moment; what it has sent may still land afterwards.
        let mut doomed = db.log().appender(clock());
        let life = Duration::from_micros(rng.random_range(0..15_000));
        if tokio::time::timeout(life, doomed.append(batch(), soon())).await.is_err() {
            vanished += 1;
        }
        drop(doomed);
        let began = Instant::now();
        steady.append(batch(), soon()).await?;
        assert!(began.elapsed() < Duration::from_secs(2), "held up for {:?}", began.elapsed());
        at += 5;
    }
    assert!(vanished > 3, "only {vanished} writers were cut off: the test shows nothing");
    // An insert that is still on its way when the test ends would be a repeat and change nothing.
    assert_eq!(wamids(&whole(&db).await?).len(), total as usize);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_past_a_fence() -> Result<()> {
    let bed = Bed::start("log-fence").await?;
    let db = bed.company("atlas", "1").await?;
    let store = connect(&bed.mongo).await?;
    let other = store.companies().open(db.company()).await?.unwrap();
    // A replica that goes on with its old route.
    let stale = tokio::spawn(async move {
        let mut appender = other.log().appender(clock());
        for n in 0.. {
            match appender.append(vec![message("1", &format!("w{n}"), "MA.1")], soon()).await?.remove(0) {
                Outcome::Stored(_) => {}
                outcome => return Ok::<_, anyhow::Error>(outcome),
            }
        }
        anyhow::bail!("never refused")
    });
    let log = db.log();
    wait::until(SOON, "some messages", async || wait::seen(log.head().await.is_ok_and(|head| head > 20), "too few"))
        .await?;
    let mut controller = log.appender(clock());
    assert!(controller.append_fence(&line_ref("1"), FenceAction::Taken, 1, soon()).await?);
    assert_eq!(stale.await??, Outcome::Refused(Refused::NotHeld));
    let entries = whole(&db).await?;
    assert_eq!(entries.last().map(|e| e.action), Some(Some(FenceAction::Taken)), "the fence is the last entry");

    // Written again, nothing changes; another writer that starts now knows it.
    assert!(!controller.append_fence(&line_ref("1"), FenceAction::Taken, 1, soon()).await?);
    let mut fresh = log.appender(clock());
    assert!(!fresh.append_fence(&line_ref("1"), FenceAction::Given, 1, soon()).await?, "given once, long ago");
    assert_eq!(
        fresh.append(vec![message("1", "late", "MA.1")], soon()).await?,
        [Outcome::Refused(Refused::NotHeld)],
        "a repeated fence of the past gives nothing back"
    );
    // It comes back as epoch 3; whoever holds a route of epoch 1 is stale then.
    assert!(controller.append_fence(&line_ref("1"), FenceAction::Given, 3, soon()).await?);
    let old = message("1", "old", "MA.1");
    let new = NewEntry { epoch: 3, ..message("1", "new", "MA.1") };
    let foreign = message("2", "foreign", "MA.1");
    assert_eq!(
        fresh.append(vec![old, new, foreign], soon()).await?,
        [
            Outcome::Refused(Refused::StaleEpoch),
            Outcome::Stored(entries.len() as i64 + 2),
            Outcome::Refused(Refused::NotHeld)
        ]
    );
    let head = log.head().await?;
    assert_eq!(log.fences().await?.line(&line_ref("1").phone_number_id), Some((3, FenceAction::Given)));
    assert_eq!(whole(&db).await?.len() as i64, head);
    Ok(())
}

#[tokio::test]
async fn ids_of_ours_and_what_they_refer_to() -> Result<()> {
    let bed = Bed::start("log-ids").await?;
    let db = bed.company("atlas", "1").await?;
    let mut appender = db.log().appender(clock());
    let both = ContactHint {
        user_id: Some(Pii("MA.1".into())),
        wa_id: Some(Pii("212611".into())),
        name: Some(Pii("Amina".into())),
        username: None,
    };
    let by_phone = ContactHint { wa_id: Some(Pii("212611".into())), ..ContactHint::default() };
    let batch = vec![
        NewEntry { contact: Some(both), ..message("1", "a", "") },
        NewEntry { reply_to: Some(Pii("a".into())), contact: Some(by_phone), ..message("1", "b", "") },
        NewEntry { refers_to: Some(Pii("unknown".into())), ..message("1", "c", "MA.2") },
        status("1", "a", "read"),
        status("1", "elsewhere", "read"),
        NewEntry { about_required: true, ..status("1", "elsewhere", "delivered") },
        message("1", "a", "MA.1"),
    ];
    let outcomes = appender.append(batch.clone(), soon()).await?;
    assert_eq!(
        outcomes,
        [
            Outcome::Stored(2),
            Outcome::Stored(3),
            Outcome::Stored(4),
            Outcome::Stored(5),
            Outcome::Stored(6),
            Outcome::Refused(Refused::UnknownMessage),
            Outcome::Duplicate
        ]
    );
    let entries = whole(&db).await?;
    let [_, a, b, c, read, elsewhere] = entries.as_slice() else { panic!("{}", entries.len()) };
    assert!(a.message_id.is_some() && a.message_id != b.message_id);
    assert_eq!(b.reply_to, a.message_id);
    assert_eq!((&b.contact_id, b.contact.clone().unwrap().name), (&a.contact_id, Some(Pii("Amina".into()))));
    assert_eq!(c.refers_to, None);
    assert_ne!(c.contact_id, a.contact_id);
    assert_eq!((&read.message_id, &read.contact_id), (&a.message_id, &a.contact_id), "a status speaks of its message");
    assert_eq!(elsewhere.message_id, None);
    assert!(elsewhere.contact_id.is_some());

    // Another replica, later: the same candidate keeps its id, everything else is a repeat.
    let mut other = db.log().appender(clock());
    assert!(other.append(batch, soon()).await?.iter().all(|outcome| !matches!(outcome, Outcome::Stored(_))));
    other.append(vec![message("1", "d", "MA.1")], soon()).await?;
    assert_eq!(db.log().entry(7).await?.unwrap().contact_id, a.contact_id);
    // The same candidate at another company is somebody else.
    let rif = bed.company("rif", "2").await?;
    rif.log().appender(clock()).append(vec![message("2", "a", "MA.1")], soon()).await?;
    assert_ne!(rif.log().entry(2).await?.unwrap().contact_id, a.contact_id);
    Ok(())
}

#[tokio::test]
async fn one_bad_item_does_not_hold_up_the_others() -> Result<()> {
    let bed = Bed::start("log-bad").await?;
    let db = bed.company("atlas", "1").await?;
    // The server refuses what names itself "refuse me".
    let rule = doc! { "collMod": "log", "validator": { "type": { "$ne": "refuse me" } } };
    bed.mongo.client().await?.database(db.name()).run_command(rule).await?;
    let bad = NewEntry { kind_of_message: Some("refuse me".into()), ..message("1", "bad", "MA.1") };
    let outcomes = db
        .log()
        .appender(clock())
        .append(vec![message("1", "a", "MA.1"), bad, message("1", "b", "MA.1")], soon())
        .await?;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Stored(2), &Outcome::Stored(3)), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Unwritable(_)), "{outcomes:?}");
    whole(&db).await?;

    Ok(())
}

#[tokio::test]
async fn a_log_that_lacks_an_index_is_not_written() -> Result<()> {
    let bed = Bed::start("log-indexes").await?;
    let db = bed.company("atlas", "1").await?;
    for index in ["meta_id_unique", "contact", "contact_merged", "contact_user", "contact_phone"] {
        db.log().check_indexes().await?;
        raw_log(&bed, &db).await?.drop_index(index).await?;
        let error = db.log().check_indexes().await.unwrap_err();
        let told = matches!(&error, StoreError::IndexMissing { index: missing, .. } if *missing == index);
        assert!(told && !error.is_transient(), "{index}: {error}");
        bed.store.companies().ensure(db.company(), 730, Timestamp::now(), &mut rand::rng()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn pages_and_cursors() -> Result<()> {
    let bed = Bed::start("log-pages").await?;
    let db = bed.company("atlas", "1").await?;
    let log = db.log();
    let empty: Cursor = "0.".parse()?;
    let mut appender = log.appender(clock());
    let batch = (0..20).map(|n| message("1", &format!("w{n}"), &format!("MA.{}", n % 2))).collect();
    appender.append(batch, soon()).await?;

    let page = log.read_after(5, 10, usize::MAX).await?;
    assert_eq!((page.entries.len(), page.entries[0].seq, page.more), (10, 6, true));
    assert!(!log.read_after(11, 10, usize::MAX).await?.more);
    assert_eq!(log.read_after(0, 10, 1).await?.entries.len(), 1, "at least one, however large");
    assert_eq!(log.read_after(21, 10, usize::MAX).await?.entries.len(), 0);
    let contact = page.entries[0].contact_id.clone().unwrap();
    let before = log.read_before(Some(10), Some(&contact), 3, usize::MAX).await?;
    assert_eq!(before.entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [4, 6, 8]);
    assert!(before.more && before.entries.iter().all(|e| e.contact_id.as_ref() == Some(&contact)));
    assert_eq!((log.head().await?, log.oldest().await?), (21, Some(2)));

    let now = Timestamp::now();
    assert_eq!(log.start_for_new(5, now - 1.hour()).await?, 16);
    assert_eq!(log.start_for_new(500, now - 1.hour()).await?, 0);
    assert_eq!(log.start_for_new(500, now + 1.hour()).await?, 21, "nothing is that young");

    assert_eq!(log.judge(&empty, log.head().await?).await?, Start::After(0));
    let here = log.cursor_at(7).await?;
    assert_eq!(log.judge(&here.to_string().parse()?, log.head().await?).await?, Start::After(7));
    // A restored backup: the tail is cut off and written anew, and the seq exists again.
    let raw = raw_log(&bed, &db).await?;
    raw.delete_many(doc! { "_id": { "$gte": 7_i64 } }).await?;
    assert_eq!(log.judge(&here, log.head().await?).await?, Start::Reset, "ahead of the log");
    log.appender(clock()).append((0..5).map(|n| message("1", &format!("x{n}"), "MA.9")).collect(), soon()).await?;
    assert_eq!(log.judge(&here, log.head().await?).await?, Start::Reset, "another entry at its place");
    // Removed by retention: it goes on at the oldest.
    let old = log.cursor_at(2).await?;
    raw.delete_many(doc! { "_id": { "$lt": 4_i64 } }).await?;
    assert_eq!(log.judge(&old, log.head().await?).await?, Start::After(3));
    Ok(())
}
