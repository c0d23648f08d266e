//! Routes, companies, quarantine and the small tables.

use super::bed::*;
use crate::support::wait::{self, Seen};
use anyhow::{Context, Result, bail};
use clientnumber::domain::{CompanyId, PhoneNumberId, WabaId};
use clientnumber::store::account_events::AccountEvent;
use clientnumber::store::{
    Accounts, Choice, Cursor, Extent, Piece, QuarantineKeys, QuarantineReason, Revocation, Route, RouteChange,
    RouteState, Signer, StoreError,
};
use jiff::Timestamp;
use mongodb::bson::{DateTime, Document, doc};
use rand::{SeedableRng, rngs::SmallRng};
use std::collections::BTreeSet;

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

#[tokio::test]
async fn routes_are_compared_on_their_revision_and_numbers_are_unique() -> Result<()> {
    let bed = Bed::start("routes").await?;
    let routes = bed.store.routes();
    let first = routes.put(&route("atlas", "1"), None).await?;
    assert_eq!(first.revision, 1);
    assert_eq!(routes.get(&first.phone_number_id).await?, Some(first.clone()));
    assert_eq!(routes.put(&route("atlas", "1"), None).await?, first, "the same write again is no conflict");

    let same_number = Route { phone_number: first.phone_number.clone(), ..route("rif", "2") };
    match routes.put(&same_number, None).await {
        Err(StoreError::DuplicateNumber { held_by: Some(held), .. }) => assert_eq!(*held, first),
        other => bail!("{other:?}"),
    }
    let changed = Route { display_name: "New".into(), ..first.clone() };
    let second = routes.put(&changed, Some(1)).await?;
    assert_eq!(second.revision, 2);
    let late = Route { display_name: "Late".into(), ..first.clone() };
    match routes.put(&late, Some(1)).await {
        Err(StoreError::RevisionConflict { current: Some(current), .. }) => assert_eq!(*current, second),
        other => bail!("{other:?}"),
    }
    assert!(routes.set_state(&first.phone_number_id, 1, RouteState::Draining, now()).await.is_err());
    let third = routes.set_state(&first.phone_number_id, 2, RouteState::Disabled, now()).await?;
    assert_eq!((third.revision, third.state), (3, RouteState::Disabled));
    assert_eq!(routes.by_phone_number(&first.phone_number).await?, Some(third.clone()));
    assert!(!routes.remove(&first.phone_number_id, 2).await? && routes.remove(&first.phone_number_id, 3).await?);
    assert_eq!(routes.put(&same_number, None).await?.revision, 1, "the number is free again");
    Ok(())
}

#[tokio::test]
async fn changes_of_routes_are_told_in_order_and_silence_is_told_too() -> Result<()> {
    let bed = Bed::start("routes-watch").await?;
    let routes = bed.store.routes();
    let mut watch = routes.watch().await?;
    let first = routes.put(&route("atlas", "1"), None).await?;
    let second = routes.set_state(&first.phone_number_id, 1, RouteState::Disabled, now()).await?;
    routes.remove(&first.phone_number_id, 2).await?;
    let mut told = Vec::new();
    let mut silences = 0;
    wait::until(SOON, "three changes and a silence", async || {
        match watch.next().await {
            Ok(Some(change)) => told.push(change),
            Ok(None) => silences += 1,
            Err(error) => return Seen::Never(error.to_string()),
        }
        wait::seen(told.len() >= 3 && silences > 0, format!("{told:?}"))
    })
    .await?;
    // The first two carry the document as it is when they are read, or say that it is gone.
    assert_eq!(told.last(), Some(&RouteChange::Removed(first.phone_number_id.clone())));
    for change in &told {
        match change {
            RouteChange::Upsert(route) => assert!([&first, &second].contains(&route.as_ref())),
            RouteChange::Removed(id) => assert_eq!(*id, first.phone_number_id),
            RouteChange::Reload => panic!("{told:?}"),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companies_created_at_once_get_one_database() -> Result<()> {
    let bed = Bed::start("companies").await?;
    let id = CompanyId::parse("atlas")?;
    let mut racers = tokio::task::JoinSet::new();
    for seed in 0..8 {
        let (store, id) = (bed.store.clone(), id.clone());
        racers.spawn(async move {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (company, db) = store.companies().ensure(&id, 30, now(), &mut rng).await?;
            anyhow::Ok((company.database().to_owned(), db.name().to_owned()))
        });
    }
    let mut names = BTreeSet::new();
    while let Some(racer) = racers.join_next().await {
        let (company, db) = racer??;
        assert_eq!(company, db);
        names.insert(company);
    }
    assert_eq!(names.len(), 1, "{names:?}");
    let name = names.pop_first().unwrap();
    assert!(name.len() == 19 && name.starts_with("co_") && name[3..].bytes().all(|c| c.is_ascii_hexdigit()), "{name}");

    // Again, with another retention: the record stays, its retention follows.
    let (company, db) = bed.store.companies().ensure(&id, 90, now(), &mut rand::rng()).await?;
    assert_eq!((company.database(), company.retention_days), (name.as_str(), 90));
    db.log().check_indexes().await?;
    assert_eq!(bed.store.companies().all().await?.len(), 1);

    // An erased company's id is not given out again.
    let records = bed.mongo.client().await?.database("clientnumber").collection::<Document>("companies");
    records.update_one(doc! { "_id": "atlas" }, doc! { "$set": { "state": "erased" } }).await?;
    let again = bed.store.companies().ensure(&id, 90, now(), &mut rand::rng()).await;
    assert!(matches!(again, Err(StoreError::CompanyErased(_))));
    assert!(matches!(bed.store.companies().open(&id).await, Err(StoreError::CompanyErased(_))));
    assert!(bed.store.companies().open(&CompanyId::parse("rif")?).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn quarantine_is_encrypted_and_deduplicated() -> Result<()> {
    let bed = Bed::start("quarantine").await?;
    let keys = QuarantineKeys::parse(&"11".repeat(32))?;
    let quarantine = bed.store.quarantine(keys.clone());
    let line = PhoneNumberId::parse("1")?;
    let put = async |text, reason, line| {
        let piece = Piece {
            extent: Extent::Change,
            entry_id: "104",
            entry_time: None,
            text,
            reason,
            line,
            signer: None,
            at: Timestamp::now(),
            place: 0,
        };
        quarantine.put(&piece).await
    };
    assert!(put("Salam MARKER", QuarantineReason::UnknownNumber, Some(&line)).await?);
    assert!(!put("Salam MARKER", QuarantineReason::Disabled, Some(&line)).await?, "a repeat is one document");
    assert!(put("too early", QuarantineReason::BeforeEpoch, Some(&line)).await?);
    assert!(put("nobody's", QuarantineReason::Malformed, None).await?);

    let records = bed.mongo.client().await?.database("clientnumber").collection::<Document>("quarantine");
    let stored = records.find_one(doc! { "reason": "unknown_number" }).await?.unwrap();
    let bytes = mongodb::bson::serialize_to_vec(&stored)?;
    assert!(!bytes.windows(6).any(|window| window == b"MARKER"), "readable without the key");

    assert_eq!(quarantine.waiting_lines(&[]).await?, std::slice::from_ref(&line));
    let waiting = quarantine.waiting_of(Some(&line), &[]).await?;
    assert_eq!(waiting.len(), 1);
    let change = quarantine.get(&waiting[0]).await?.context("no key opens it")?;
    assert_eq!((change.body.expose().as_str(), change.entry_id.as_str()), ("Salam MARKER", "104"));
    let of_line = Choice { line: Some(line.clone()), ..Choice::default() };
    assert_eq!(quarantine.chosen(&of_line).await?.len(), 2);
    quarantine.set_reason(&waiting[0], QuarantineReason::BeforeEpoch).await?;
    assert!(quarantine.waiting_lines(&[]).await?.is_empty());
    quarantine.remove(&waiting[0]).await?;
    assert_eq!(quarantine.count().await?, 2);
    // Another key opens nothing, and takes nothing away.
    let other = bed.store.quarantine(QuarantineKeys::parse(&"22".repeat(32))?);
    let left = quarantine.chosen(&of_line).await?;
    assert_eq!(left.len(), 1);
    assert!(other.get(&left[0]).await?.is_none() && quarantine.get(&left[0]).await?.is_some());
    Ok(())
}

/// What a repeat is known by, and what a replica that knows more makes of it.
#[tokio::test]
async fn a_repeat_in_quarantine_may_only_be_judged_better() -> Result<()> {
    let bed = Bed::start("quarantine-repeat").await?;
    let quarantine = bed.store.quarantine(QuarantineKeys::parse(&"11".repeat(32))?);
    let (line, ours, theirs) = (PhoneNumberId::parse("1")?, Signer::of(&"ours".into()), Signer::of(&"theirs".into()));
    let put = async |signer, reason, line| {
        let piece = Piece {
            extent: Extent::Change,
            entry_id: "104",
            entry_time: None,
            text: "x",
            reason,
            line,
            signer: Some(signer),
            at: Timestamp::now(),
            place: 0,
        };
        quarantine.put(&piece).await
    };
    let only = [(ours.clone(), Accounts::only(WabaId::parse("104")?))];
    assert!(put(&theirs, QuarantineReason::ForeignAccount, Some(&line)).await?);
    assert!(put(&ours, QuarantineReason::ForeignAccount, None).await?, "another's text keeps none back");
    // What its own secret signed waits; what another one did does not, whichever line it names.
    assert_eq!(quarantine.waiting_lines(&only).await?, []);
    assert_eq!(
        (quarantine.waiting_of(None, &only).await?.len(), quarantine.waiting_of(None, &[]).await?.len()),
        (1, 0)
    );
    assert_eq!(quarantine.waiting_of(None, &[(ours.clone(), Accounts::Any)]).await?.len(), 1);
    let other = [(ours.clone(), Accounts::only(WabaId::parse("105")?))];
    assert!(quarantine.waiting_of(None, &other).await?.is_empty());

    assert!(!put(&ours, QuarantineReason::UnknownNumber, Some(&line)).await?);
    assert_eq!(quarantine.waiting_lines(&[]).await?, std::slice::from_ref(&line));
    assert!(!put(&ours, QuarantineReason::ForeignAccount, None).await?);
    assert!(!put(&ours, QuarantineReason::TooOld, Some(&line)).await?);
    assert_eq!(quarantine.waiting_of(Some(&line), &[]).await?.len(), 1, "and never worse");
    Ok(())
}

#[tokio::test]
async fn the_small_tables() -> Result<()> {
    let bed = Bed::start("tables").await?;
    let event = AccountEvent::new("104", "account_update", Some(7), r#"{"event":"X"}"#, now());
    assert!(bed.store.account_events().insert(&event).await?);
    assert!(!bed.store.account_events().insert(&event).await?);
    assert_eq!(bed.store.account_events().since("104", now(), 10).await?, [event]);
    assert!(bed.store.account_events().since("105", now(), 10).await?.is_empty());
    // A taken key alone is no repeat: what has its place says something else, or can't be read.
    let event = AccountEvent::new("106", "account_update", Some(7), r#"{"event":"X"}"#, now());
    let events = bed.mongo.client().await?.database("clientnumber").collection::<Document>("account_events");
    for other in [
        doc! { "_id": &event.id, "waba_id": "106", "field": "account_update", "value": "{}", "at": DateTime::now() },
        doc! { "_id": &event.id, "made": "by hand" },
    ] {
        events.insert_one(other).await?;
        let refused = bed.store.account_events().insert(&event).await;
        assert!(refused.as_ref().is_err_and(|error| !error.is_transient()), "{refused:?}");
        events.delete_one(doc! { "_id": &event.id }).await?;
    }

    let (activity, line) = (bed.store.line_activity(), PhoneNumberId::parse("1")?);
    let later = now() + jiff::SignedDuration::from_secs(60);
    for at in [now(), later, now()] {
        activity.touch(&line, at).await?;
    }
    assert_eq!(activity.last(&line).await?, Some(later), "time only moves forward");

    let revocations = bed.store.revocations();
    let mut watch = revocations.watch().await?;
    let current = Timestamp::from_millisecond(Timestamp::now().as_millisecond())?;
    let revocation = Revocation::new(None, Some("r1".into()), None, current, &mut rand::rng()).unwrap();
    revocations.insert(&revocation).await?;
    let by_hand =
        doc! { "_id": "by hand", "recruiter": 5, "expireAt": mongodb::bson::DateTime::from_millis(4_000_000_000_000) };
    bed.mongo.client().await?.database("clientnumber").collection("revocations").insert_one(by_hand).await?;
    let active = revocations.active(Timestamp::now()).await?;
    assert_eq!((active.revocations.as_slice(), active.unreadable), (std::slice::from_ref(&revocation), 1));
    let (before, told) = (Timestamp::now(), bed.store.hello(SOON).await?);
    assert!((before.as_millisecond()..=Timestamp::now().as_millisecond()).contains(&told.as_millisecond()), "{told}");
    let told = wait::until(SOON, "the revocation", async || match watch.next().await {
        Ok(Some(told)) => Seen::Done(told),
        Ok(None) => Seen::NotYet("silence".into()),
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    assert_eq!(told, revocation);

    let cursors = bed.company("atlas", "1").await?.cursors();
    let cursor = |text: &str| text.parse::<Cursor>().unwrap();
    assert_eq!(cursors.get("r1", "default").await?, None);
    for text in ["5.aa", "9.bb", "7.cc"] {
        cursors.advance("r1", "default", &cursor(text), now()).await?;
    }
    assert_eq!(cursors.get("r1", "default").await?, Some(cursor("9.bb")), "an older ack changes nothing");
    assert_eq!(cursors.get("r1", "phone").await?, None);
    cursors.reset("r1", "default", &cursor("2.dd"), now()).await?;
    assert_eq!(cursors.get("r1", "default").await?, Some(cursor("2.dd")));
    Ok(())
}

#[tokio::test]
async fn news_of_all_logs_without_content() -> Result<()> {
    let bed = Bed::start("log-watch").await?;
    let (atlas, rif) = (bed.company("atlas", "1").await?, bed.company("rif", "2").await?);
    let mut watch = bed.store.watch_logs().await?;
    atlas.log().appender(clock()).append(vec![message("1", "a", "MA.1"), message("1", "b", "MA.1")], soon()).await?;
    rif.log().appender(clock()).append(vec![message("2", "a", "MA.1")], soon()).await?;
    let mut told = Vec::new();
    wait::until(SOON, "three pieces of news", async || {
        match watch.next().await {
            Ok(Some(news)) => told.push((news.database, news.seq)),
            Ok(None) => {}
            Err(error) => return Seen::Never(error.to_string()),
        }
        wait::seen(told.len() >= 3, format!("{told:?}"))
    })
    .await?;
    let of = |db: &clientnumber::store::CompanyDb, seq| (db.name().to_owned(), seq);
    assert_eq!(told, [of(&atlas, 2), of(&atlas, 3), of(&rif, 2)]);
    Ok(())
}
