//! People whose ids change, and contacts that turn out to be one: what stands in the log, whoever writes it and however
//! often Meta tells it.

use super::bed::*;
use anyhow::{Context, Result};
use clientnumber::domain::Pii;
use clientnumber::store::{CompanyDb, ContactHint, IdentityChange, Kind, LogEntry, NewEntry, Outcome};
use mongodb::bson::doc;

fn hint(user: &str, phone: &str) -> ContactHint {
    let text = |text: &str| (!text.is_empty()).then(|| Pii(text.to_owned()));
    ContactHint { user_id: text(user), wa_id: text(phone), ..ContactHint::default() }
}

fn from(wamid: &str, user: &str, phone: &str) -> NewEntry {
    NewEntry { contact: Some(hint(user, phone)), ..message("1", wamid, "") }
}

/// The system message by which Meta tells of new ids.
fn changed(wamid: &str, before: ContactHint, now: ContactHint) -> NewEntry {
    let changes = vec![IdentityChange { before, now: now.clone() }];
    NewEntry { contact: Some(now), changes, ..message("1", wamid, "") }
}

async fn append(db: &CompanyDb, items: Vec<NewEntry>) -> Result<Vec<Outcome>> {
    // Each time as if by a process that knows nothing yet.
    Ok(db.log().appender(clock()).append(items, soon()).await?)
}

/// Entries about contacts.
fn notes(entries: &[LogEntry]) -> Vec<&LogEntry> {
    entries.iter().filter(|entry| entry.kind == Kind::Contact).collect()
}

fn of<'a>(entries: &'a [LogEntry], wamid: &str) -> Result<&'a LogEntry> {
    let found = entries.iter().find(|e| e.meta_id.as_ref().is_some_and(|id| id.expose() == wamid));
    found.with_context(|| format!("no {wamid}"))
}

#[tokio::test]
async fn a_contact_keeps_its_id_when_all_of_meta_s_change() -> Result<()> {
    let bed = Bed::start("people-change").await?;
    let db = bed.company("atlas", "1").await?;
    append(&db, vec![from("a", "MA.1", "211")]).await?;
    let change = || changed("system", hint("MA.1", "211"), hint("MA.2", "212"));
    assert_eq!(append(&db, vec![change()]).await?, [Outcome::Stored(4)]);
    assert_eq!(append(&db, vec![change()]).await?, [Outcome::Duplicate], "told twice");
    append(&db, vec![from("b", "MA.2", ""), from("late", "MA.1", "211"), from("c", "", "212")]).await?;
    let entries = whole(&db).await?;
    let [note] = notes(&entries)[..] else { panic!("{}", notes(&entries).len()) };
    let id = of(&entries, "a")?.contact_id.clone();
    assert_eq!((note.seq, &note.contact_id, note.meta_id.is_none()), (3, &id, true));
    assert_eq!(
        note.contact.as_ref().map(|c| (c.user_id.clone(), c.wa_id.clone())),
        Some((Some(Pii("MA.2".into())), Some(Pii("212".into()))))
    );
    for wamid in ["system", "b", "late", "c"] {
        let entry = of(&entries, wamid)?;
        assert_eq!((&entry.contact_id, &entry.contact), (&id, &note.contact), "{wamid}");
    }
    // Whoever has the old number now is somebody else.
    append(&db, vec![from("d", "MA.9", "211")]).await?;
    assert_ne!(of(&whole(&db).await?, "d")?.contact_id, id);
    Ok(())
}

#[tokio::test]
async fn two_contacts_become_one_and_their_history_with_them() -> Result<()> {
    let bed = Bed::start("people-merge").await?;
    let db = bed.company("atlas", "1").await?;
    append(&db, vec![from("a", "", "212"), from("b", "MA.1", ""), from("x", "MA.7", "")]).await?;
    let before = whole(&db).await?;
    let (older, newer) = (of(&before, "a")?.contact_id.clone(), of(&before, "b")?.contact_id.clone());
    assert_ne!(older, newer);
    append(&db, vec![from("c", "MA.1", "212")]).await?;
    // Her ids change, and a status of a message from before comes.
    append(&db, vec![changed("system", hint("MA.1", ""), hint("MA.2", "212")), status("1", "b", "read")]).await?;
    let entries = whole(&db).await?;
    let merges: Vec<_> = notes(&entries).into_iter().filter(|note| !note.merged.is_empty()).collect();
    let [merge] = merges[..] else { panic!("{}", merges.len()) };
    assert_eq!((&merge.contact_id, merge.merged.clone()), (&older, newer.iter().cloned().collect()));
    for wamid in ["c", "system"] {
        assert_eq!(of(&entries, wamid)?.contact_id, older, "{wamid}");
    }
    let read = entries.last().context("empty")?;
    assert_eq!((read.kind, &read.contact_id), (Kind::Status, &older), "a status of a message from before");
    for id in [&older, &newer] {
        let page = db.log().read_before(None, id.as_deref(), 100, usize::MAX).await?;
        let seqs: Vec<i64> = page.entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, [2, 3, 5, 6, 7, 8, 9], "asked for by either id");
    }
    let other = of(&entries, "x")?.contact_id.clone();
    assert_eq!(db.log().read_before(None, other.as_deref(), 100, usize::MAX).await?.entries.len(), 1);
    Ok(())
}

/// Killed after the entry about the contact and before the item that made it necessary; Meta tells it again.
#[tokio::test]
async fn killed_between_the_contact_and_its_item() -> Result<()> {
    let bed = Bed::start("people-killed").await?;
    let db = bed.company("atlas", "1").await?;
    append(&db, vec![from("a", "", "212"), from("b", "MA.1", "")]).await?;
    let item = || vec![from("c", "MA.1", "212")];
    assert_eq!(append(&db, item()).await?, [Outcome::Stored(5)]);
    raw_log(&bed, &db).await?.delete_one(doc! { "_id": 5_i64 }).await?;
    assert_eq!(append(&db, item()).await?, [Outcome::Stored(5)]);
    let entries = whole(&db).await?;
    assert_eq!((entries.len(), notes(&entries).len()), (5, 1));
    assert_eq!(entries[4].contact_id, entries[3].contact_id);
    Ok(())
}

/// An old webhook that comes again after something newer was learnt is a repeat, and undoes nothing.
#[tokio::test]
async fn a_repeat_takes_nothing_back() -> Result<()> {
    let bed = Bed::start("people-repeat").await?;
    let db = bed.company("atlas", "1").await?;
    let named = |wamid: &str, name: &str| {
        let contact = ContactHint { name: Some(Pii(name.to_owned())), ..hint("MA.1", "") };
        NewEntry { contact: Some(contact), ..message("1", wamid, "") }
    };
    append(&db, vec![named("a", "Amina")]).await?;
    append(&db, vec![named("b", "Amina B")]).await?;
    assert_eq!(append(&db, vec![named("a", "Amina")]).await?, [Outcome::Duplicate]);
    let outcomes = append(&db, vec![named("a", "Amina"), named("c", "Amina B")]).await?;
    assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Stored(5)]);
    let entries = whole(&db).await?;
    let names: Vec<_> = notes(&entries).iter().filter_map(|note| note.contact.clone()?.name).collect();
    assert_eq!(names, [Pii("Amina B".to_owned())], "a changed name is told once");
    Ok(())
}

/// Two replicas find at the same moment that two contacts are one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_race_merge_once() -> Result<()> {
    let bed = Bed::start("people-race").await?;
    let db = bed.company("atlas", "1").await?;
    for turn in 0..8 {
        let (user, phone) = (format!("MA.{turn}"), format!("21261100000{turn}"));
        append(&db, vec![from(&format!("a{turn}"), "", &phone), from(&format!("b{turn}"), &user, "")]).await?;
        let append_one = |wamid: String| append(&db, vec![from(&wamid, &user, &phone)]);
        let (one, other) = (format!("c{turn}"), format!("d{turn}"));
        let (one, other) = tokio::join!(append_one(one), append_one(other));
        assert!(matches!((&one?[0], &other?[0]), (Outcome::Stored(_), Outcome::Stored(_))));
    }
    let entries = whole(&db).await?;
    assert_eq!(notes(&entries).len(), 8, "each merge once");
    for turn in 0..8 {
        let ids: Vec<_> = ["a", "c", "d"]
            .iter()
            .map(|w| of(&entries, &format!("{w}{turn}")).map(|e| e.contact_id.clone()))
            .collect::<Result<_>>()?;
        assert!(ids[0] == ids[1] && ids[1] == ids[2], "{turn}");
    }
    Ok(())
}

/// Of many contacts at once the newest entry counts, and where that was erased the newest that still tells.
#[tokio::test]
async fn of_many_contacts_the_newest_that_is_known_counts() -> Result<()> {
    let bed = Bed::start("people-many").await?;
    let db = bed.company("atlas", "1").await?;
    let (count, name) = (20, |n: usize| format!("MA.{n}"));
    append(&db, (0..count).map(|n| from(&format!("a{n}"), &name(n), "")).collect()).await?;
    append(&db, (0..count).map(|n| from(&format!("b{n}"), &name(n), &format!("21261100{n:02}"))).collect()).await?;
    let stub = doc! { "$unset": { "contact": "" } };
    raw_log(&bed, &db).await?.update_one(doc! { "meta_id": "b7" }, stub).await?;
    append(&db, (0..count).map(|n| status("1", &format!("a{n}"), "read")).collect()).await?;
    let entries = whole(&db).await?;
    for n in 0..count {
        let first = of(&entries, &format!("a{n}"))?;
        let read = of(&entries, &format!("a{n} read "))?;
        let known = if n == 7 { first } else { of(&entries, &format!("b{n}"))? };
        assert_eq!((&read.contact_id, &read.contact), (&first.contact_id, &known.contact), "{n}");
    }
    Ok(())
}
