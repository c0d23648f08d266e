//! A candidate is erased: nothing of theirs is left in the company's database, and nothing of anybody else's is missing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::bed::*;
use crate::support::{MongoProxy, MongoRule, Point};
use anyhow::{Context, Result, ensure};
use clientnumber::domain::{ManualClock, Pii, SharedClock};
use clientnumber::store::closing::{CloseError, Closing, Step, Waits};
use clientnumber::store::erasure::{EraseError, Whom};
use clientnumber::store::{
    Appender, CompanyDb, ContactHint, IdentityChange, Kind, NewEntry, Outcome, RouteState, State, StoreError,
};
use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::bson::{Document, doc};

/// What must be nowhere afterwards: names, texts, ids, old and new.
const MARKERS: [&str; 9] = [
    "MA.7770001",
    "MA.7770002",
    "212677700011",
    "212677700022",
    "Zoubida Erased",
    "zoubi_erased",
    "a text to be erased",
    "wamid.ERASED",
    "media-777-erased",
];

fn hint(user: &str, phone: &str, name: &str) -> Option<ContactHint> {
    let some = |text: &str| (!text.is_empty()).then(|| Pii(text.to_owned()));
    let username = some(if name.starts_with("Zoubida") { "zoubi_erased" } else { "" });
    Some(ContactHint { user_id: some(user), wa_id: some(phone), name: some(name), username })
}

fn said(wamid: &str, contact: Option<ContactHint>, text: &str) -> NewEntry {
    let raw = format!(r#"{{"id":"{wamid}","text":{{"body":"{text}"}}}}"#);
    NewEntry { contact, raw: Some(Pii(raw)), ..message("1", wamid, "") }
}

fn event(id: &str, raw: &str) -> NewEntry {
    NewEntry {
        meta_id: Some(Pii(id.into())),
        field: Some("calls".into()),
        raw: Some(Pii(raw.into())),
        ..NewEntry::new(Kind::Event, line_ref("1"), 1)
    }
}

/// Everything that the company's database holds, as it is in MongoDB, without indexes.
async fn everything(bed: &Bed, db: &CompanyDb) -> Result<Vec<(String, Document)>> {
    let database = bed.mongo.client().await?.database(db.name());
    let mut all = Vec::new();
    for name in database.list_collection_names().await? {
        let documents: Vec<Document> = database.collection(&name).find(doc! {}).await?.try_collect().await?;
        all.extend(documents.into_iter().map(|document| (name.clone(), document)));
    }
    Ok(all)
}

/// Where a marker is in the BSON itself. Longer ids, which others have, are not meant.
fn found(all: &[(String, Document)]) -> Result<Vec<String>> {
    let mut hits = Vec::new();
    for (collection, document) in all {
        let bytes = mongodb::bson::serialize_to_vec(document)?;
        for marker in MARKERS {
            let is_id = marker.ends_with(|c: char| c.is_ascii_digit());
            let longer = |end: usize| is_id && bytes.get(end).is_some_and(u8::is_ascii_digit);
            let starts = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(marker.as_bytes()));
            if starts.map(|at| at + marker.len()).any(|end| !longer(end)) {
                hits.push(format!("{marker} in {collection} {:?}", document.get("_id")));
            }
        }
    }
    Ok(hits)
}

/// A company with two candidates, of whom Zoubida is told to be two people before they turn out to be one.
async fn filled(appender: &mut Appender) -> Result<()> {
    let zoubida = |user: &str, phone: &str| hint(user, phone, "Zoubida Erased");
    let moved = IdentityChange {
        before: ContactHint { user_id: Some(Pii("MA.7770001".into())), ..ContactHint::default() },
        now: ContactHint {
            user_id: Some(Pii("MA.7770002".into())),
            wa_id: Some(Pii("212677700022".into())),
            ..ContactHint::default()
        },
    };
    let items = vec![
        said("wamid.ERASED1", zoubida("", "212677700011"), "a text to be erased"),
        said("wamid.ERASED2", zoubida("MA.7770001", ""), "a text to be erased, media-777-erased"),
        said("wamid.KEPT1", hint("MA.77700012", "2126777000110", "Brahim"), "kept"),
        // Both ids at once: they are one.
        said("wamid.ERASED3", zoubida("MA.7770001", "212677700011"), "a text to be erased"),
        NewEntry {
            changes: vec![moved],
            ..said("wamid.ERASED4", zoubida("MA.7770002", "212677700022"), "a text to be erased")
        },
        NewEntry {
            reply_to: Some(Pii("wamid.ERASED1".into())),
            ..said("wamid.KEPT2", hint("MA.77700012", "", "Brahim"), "an answer")
        },
        NewEntry { contact: hint("MA.7770002", "", ""), ..status("1", "wamid.ERASED-OUT", "sent") },
        NewEntry { contact: hint("MA.77700012", "", ""), ..status("1", "wamid.KEPT-OUT", "read") },
        event("e1", r#"{"calls":[{"from":"212677700022","id":"x"}]}"#),
        event("e2", r#"{"calls":[{"from":"2126777000220","id":"MA.77700012"}]}"#),
        event("e3", r#"{"user_preferences":[{"user_id":"MA.7770001"}]}"#),
    ];
    let outcomes = appender.append(items, soon()).await?;
    ensure!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))), "{outcomes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_is_erased_and_nobody_else() -> Result<()> {
    let bed = Bed::start("erase").await?;
    let db = bed.company("atlas", "1").await?;
    // Two replicas' writers, which know everybody.
    let (mut one, mut two) = (db.log().appender(clock()), db.log().appender(clock()));
    filled(&mut one).await?;
    two.append(vec![said("wamid.ERASED5", hint("MA.7770002", "", "Zoubida Erased"), "a text to be erased")], soon())
        .await?;
    db.states().follow(Timestamp::now()).await?;
    let before = db.log().read_after(0, 1000, usize::MAX).await?.entries;
    let head = db.log().head().await?;
    for marker in MARKERS {
        let raw = everything(&bed, &db).await?;
        ensure!(
            found(&raw)?.iter().any(|hit| hit.starts_with(marker)),
            "{marker} was never there: the test shows nothing"
        );
    }
    assert!(db.states().get("wamid.ERASED-OUT").await?.is_some());

    let erasure = db.erasure(clock());
    for nobody in
        [Whom::Contact("c00".into()), Whom::User(Pii("MA.777".into())), Whom::Phone(Pii("21267770001".into()))]
    {
        assert!(matches!(erasure.find(&nobody).await, Err(EraseError::Nobody)), "{nobody:?}");
    }
    let whom = erasure.find(&Whom::Phone(Pii("212677700022".into()))).await?;
    assert_eq!(whom.contact_ids.len(), 2, "also the one that was merged");
    let done = erasure.erase(&whom, &BTreeSet::new()).await?;
    assert_eq!(done.events, 2);
    assert_eq!(done.items, whom.items);
    let all = everything(&bed, &db).await?;
    assert_eq!(found(&all)?, [""; 0]);

    // Seq, kind, time, fingerprint and contact are all that is left, and all else is as it was.
    let after = db.log().read_after(0, 1000, usize::MAX).await?.entries;
    let mut stubs = 0;
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((old.seq, old.at, &old.fp, &old.contact_id), (new.seq, new.at, &new.fp, &new.contact_id));
        if new.kind != Kind::Erased {
            assert_eq!(
                format!("{:?}", mongodb::bson::serialize_to_document(old)?),
                format!("{:?}", mongodb::bson::serialize_to_document(new)?)
            );
            continue;
        }
        stubs += 1;
        let kept: Vec<String> = mongodb::bson::serialize_to_document(new)?.keys().cloned().collect();
        let rest: Vec<&str> = kept.iter().map(String::as_str).filter(|key| *key != "contact_id").collect();
        assert_eq!(rest, ["_id", "kind", "at", "fp"]);
    }
    assert_eq!(stubs, done.items + done.events);
    let told: Vec<_> = after.iter().filter(|entry| entry.kind == Kind::Erasure).collect();
    assert_eq!(
        told.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [head + 1, head + 2],
        "before and after the stubs"
    );
    assert!(told.iter().all(|entry| entry.erased == whom.contact_ids && entry.contact.is_none()));
    assert!(db.states().get("wamid.ERASED-OUT").await?.is_none() && db.states().get("wamid.KEPT-OUT").await?.is_some());
    for entry in &before {
        // A cursor that stands on a stub goes on.
        assert_eq!(
            db.log().judge(&entry.cursor(), db.log().head().await?).await?,
            clientnumber::store::Start::After(entry.seq)
        );
    }

    // Meta sends all again, to a writer that knew her, to one that did not, and to one that opens the log anew.
    let mut three = db.log().appender(clock());
    for appender in [&mut one, &mut two, &mut three] {
        let again = vec![
            said("wamid.ERASED1", hint("", "212677700011", "Zoubida Erased"), "a text to be erased"),
            said("wamid.ERASED5", hint("MA.7770002", "", "Zoubida Erased"), "a text to be erased"),
            NewEntry { contact: hint("MA.7770002", "", ""), ..status("1", "wamid.ERASED-OUT", "sent") },
            // A status that is new, of a message that is gone.
            NewEntry { contact: hint("MA.7770002", "", ""), ..status("1", "wamid.ERASED-OUT", "delivered") },
            NewEntry { contact: hint("MA.7770002", "", ""), ..status("1", "wamid.ERASED3", "read") },
        ];
        assert_eq!(appender.append(again, soon()).await?, vec![Outcome::Duplicate; 5]);
    }
    assert_eq!(found(&everything(&bed, &db).await?)?, [""; 0]);
    // She writes anew: somebody new, of whom no writer remembers anything.
    for (appender, wamid) in [(&mut two, "n1"), (&mut one, "n2"), (&mut three, "n3")] {
        appender.append(vec![said(wamid, hint("MA.7770002", "", ""), "hello again")], soon()).await?;
    }
    let new = db.log().read_after(head + 2, 10, usize::MAX).await?.entries;
    let ids: Vec<_> = new.iter().filter_map(|entry| entry.contact_id.clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0] && !whom.contact_ids.contains(id)), "{ids:?}");
    assert!(
        new.iter().all(|entry| entry
            .contact
            .as_ref()
            .is_some_and(|contact| contact.name.is_none() && contact.wa_id.is_none()))
    );
    Ok(())
}

/// Killed half-way, the same command goes on; and what comes in while it runs is erased too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_goes_on_after_a_crash_and_beside_writers() -> Result<()> {
    let bed = Bed::start("erase-crash").await?;
    let db = bed.company("atlas", "1").await?;
    let mut appender = db.log().appender(clock());
    filled(&mut appender).await?;
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let store = connect_to(&proxy.uri()).await?;
    let behind = store.companies().open(db.company()).await?.context("no company")?;
    let whom = db.erasure(clock()).find(&Whom::User(Pii("MA.7770001".into()))).await?;
    // The third stub is not written any more.
    let hit = proxy.hold(MongoRule::command("update").collection("log").nth(3), Point::BeforeEffect);
    let doomed = tokio::spawn({
        let whom = whom.clone();
        async move { behind.erasure(clock()).erase(&whom, &BTreeSet::new()).await.map(|_| ()) }
    });
    hit.wait(SOON).await?;
    // She writes meanwhile, to a replica that has known her all the time.
    appender
        .append(vec![said("wamid.ERASED9", hint("MA.7770002", "", "Zoubida Erased"), "a text to be erased")], soon())
        .await?;
    doomed.abort();
    hit.cut();
    let left = found(&everything(&bed, &db).await?)?;
    ensure!(left.len() > 3, "too little is left: the test shows nothing");

    let again = db.erasure(clock());
    let whom = again.find(&Whom::Contact(whom.contact_ids[0].clone())).await?;
    again.erase(&whom, &BTreeSet::new()).await?;
    // Who came back as somebody new is found as that.
    match again.find(&Whom::User(Pii("MA.7770002".into()))).await {
        Ok(new) => drop(again.erase(&new, &BTreeSet::new()).await?),
        Err(EraseError::Nobody) => {}
        Err(error) => return Err(error.into()),
    }
    assert_eq!(found(&everything(&bed, &db).await?)?, [""; 0]);
    let seqs: Vec<i64> =
        db.log().read_after(0, 1000, usize::MAX).await?.entries.iter().map(|entry| entry.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{seqs:?}");
    assert!(again.erase(&whom, &BTreeSet::new()).await?.items == 0, "again it finds nothing");
    Ok(())
}

/// A message to a group has statuses of several people, and one who is erased takes none of the others'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_of_a_group_keep_what_they_are_told() -> Result<()> {
    let bed = Bed::start("erase-group").await?;
    let db = bed.company("atlas", "1").await?;
    let mut appender = db.log().appender(clock());
    let told = |word: &str, to: &str| NewEntry {
        meta_id: Some(Pii(format!("wamid.G {word} {to}"))),
        contact: hint("", to, ""),
        ..status("1", "wamid.G", word)
    };
    appender.append(vec![told("sent", "12036300"), told("delivered", "212611")], soon()).await?;
    let erasure = db.erasure(clock());
    let whom = erasure.find(&Whom::Phone(Pii("212611".into()))).await?;
    assert_eq!(erasure.erase(&whom, &BTreeSet::new()).await?.items, 1);

    let later = vec![told("delivered", "212611"), told("read", "212611"), told("delivered", "212622")];
    let outcomes = appender.append(later, soon()).await?;
    assert!(matches!(outcomes[..], [Outcome::Duplicate, Outcome::Duplicate, Outcome::Stored(_)]), "{outcomes:?}");
    db.states().follow(Timestamp::now()).await?;
    let state = db.states().get("wamid.G").await?.context("the message has no state")?;
    assert_eq!(state.state, State::Delivered);
    Ok(())
}

/// A phone number that went from one person to another names neither.
#[tokio::test]
async fn an_id_that_was_two_people_s_erases_nobody() -> Result<()> {
    let bed = Bed::start("erase-two").await?;
    let db = bed.company("atlas", "1").await?;
    let items =
        vec![said("a", hint("MA.1", "212600", "Amina"), "one"), said("b", hint("MA.2", "212600", "Brahim"), "two")];
    db.log().appender(clock()).append(items, soon()).await?;
    let erasure = db.erasure(clock());
    let Err(EraseError::Several(ids)) = erasure.find(&Whom::Phone(Pii("212600".into()))).await else {
        anyhow::bail!("one of two was chosen")
    };
    assert_eq!(ids.len(), 2);
    assert_eq!(erasure.find(&Whom::User(Pii("MA.1".into()))).await?.items, 1);
    Ok(())
}

const SHORT: Waits =
    Waits { writers: Duration::from_secs(2), readers: Duration::from_millis(200), settled: Duration::from_millis(200) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_is_erased_once_its_lines_are_out() -> Result<()> {
    let bed = Bed::start("erase-company").await?;
    let (db, other) = (bed.company("atlas", "1").await?, bed.company("rif", "2").await?);
    let used = bed.store.routes().put(&route("atlas", "1"), None).await?;
    let mut writer = db.log().appender(clock());
    filled(&mut writer).await?;
    other.log().appender(clock()).append(vec![message("2", "r1", "MA.1")], soon()).await?;
    db.cursors().reset("fatima", "pc", &"0.".parse()?, Timestamp::now()).await?;
    let begin = |id: &'static str| {
        let store = bed.store.clone();
        async move { Closing::of(store, &id.parse().unwrap(), clock(), SHORT).await }
    };
    assert!(matches!(begin("nobody").await, Err(CloseError::Unknown(_))));
    assert!(matches!(begin("atlas").await, Err(CloseError::InUse(lines)) if lines.len() == 1));
    bed.store.routes().set_state(&used.phone_number_id, 1, RouteState::Disabled, Timestamp::now()).await?;

    let closing = begin("atlas").await?;
    let extent = closing.extent().await?;
    assert!(!extent.erased && extent.entries > 10);
    // Dropped while it waits: the same command finds the log closed, and waits for the rest of the time only.
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let doomed = tokio::spawn(closing.run(move |step| {
        if let (Step::Closed(_), Some(tell)) = (step, tell.take()) {
            let _ = tell.send(());
        }
    }));
    told.await?;
    doomed.abort();
    let late = writer.append(vec![message("1", "late", "MA.1")], soon()).await?;
    assert_eq!(late, [Outcome::Refused(clientnumber::store::Refused::Closed)], "nothing is written behind it");
    let mut steps = Vec::new();
    begin("atlas").await?.run(|step| steps.push(step)).await?;
    let Step::Closed(left) = steps[0] else { anyhow::bail!("{steps:?}") };
    assert!(left <= SHORT.writers, "{left:?}");
    assert_eq!(steps[1..], [Step::Marked(SHORT.readers), Step::Quarantine(0), Step::Dropped]);

    let client = bed.mongo.client().await?;
    assert_eq!(client.database(db.name()).list_collection_names().await?, [""; 0]);
    let record =
        client.database("clientnumber").collection::<Document>("companies").find_one(doc! { "_id": "atlas" }).await?;
    let record = record.context("the record is gone")?;
    assert_eq!(record.get_str("state")?, "erased");
    assert!(record.get_datetime("erased_at").is_ok());
    let opened = bed.store.companies().open(db.company()).await;
    assert!(matches!(opened, Err(StoreError::CompanyErased(_))));
    assert_eq!(other.log().head().await?, 2, "nobody else lost anything");

    // Once more, after somebody's late write: it is dropped again.
    db.cursors().reset("fatima", "pc", &"0.".parse()?, Timestamp::now()).await?;
    begin("atlas").await?.run(|_| {}).await?;
    assert_eq!(client.database(db.name()).list_collection_names().await?, [""; 0]);
    Ok(())
}

/// The wait is counted from the entry in the log, by the injected clock.
#[tokio::test]
async fn the_wait_after_closed_is_not_begun_anew() -> Result<()> {
    let bed = Bed::start("erase-wait").await?;
    let db = bed.company("atlas", "1").await?;
    let time = Arc::new(ManualClock::new(Timestamp::now()));
    let shared: SharedClock = Arc::<ManualClock>::clone(&time);
    assert!(db.log().appender(Arc::clone(&shared)).append_closed(soon()).await?);
    assert!(!db.log().appender(Arc::clone(&shared)).append_closed(soon()).await?);
    time.advance(Duration::from_secs(3600));
    let waits = Waits { writers: Duration::from_secs(3600), ..SHORT };
    let closing = Closing::of(bed.store.clone(), db.company(), shared, waits).await?;
    let mut first = None;
    let run = closing.run(|step| {
        first.get_or_insert(step);
    });
    tokio::time::timeout(SOON, run).await.context("it waits for another hour")??;
    assert_eq!(first, Some(Step::Closed(Duration::ZERO)));
    Ok(())
}
