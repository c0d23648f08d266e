//! A store of its own for a test, with a company or two in it.

use crate::support::*;
use anyhow::{Context, Result};
use clientnumber::domain::{CompanyId, E164, PhoneNumberId, Pii, SharedClock, SystemClock, WabaId};
use clientnumber::store::{
    CompanyDb, ContactHint, FenceAction, Kind, LineRef, LogEntry, NewEntry, Route, RouteState, Store, StoreOptions,
};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub const SOON: Duration = Duration::from_secs(30);

/// A server and a way to it.
pub struct Bed {
    pub mongo: Mongo,
    pub store: Store,
}

impl Bed {
    pub async fn start(name: &str) -> Result<Self> {
        let mongo = Mongo::start(&run_dir(name)?, MongoOptions::default()).await?;
        let store = connect(&mongo).await?;
        store.ensure_indexes().await?;
        Ok(Self { mongo, store })
    }

    /// A company with a line that its log holds since epoch 1.
    pub async fn company(&self, id: &str, line: &str) -> Result<CompanyDb> {
        let id = CompanyId::parse(id)?;
        let (_, db) = self.store.companies().ensure(&id, 730, Timestamp::now(), &mut rand::rng()).await?;
        db.log().appender(clock()).append_fence(&line_ref(line), FenceAction::Given, 1, soon()).await?;
        Ok(db)
    }
}

pub async fn connect(mongo: &Mongo) -> Result<Store> {
    connect_to(&mongo.uri()).await
}

pub async fn connect_to(uri: &str) -> Result<Store> {
    clientnumber::install_crypto_provider();
    Ok(Store::connect(&uri.into(), StoreOptions::default()).await?)
}

pub fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

pub fn soon() -> Instant {
    Instant::now() + SOON
}

/// A line whose number is made from its id's last digit.
pub fn line_ref(id: &str) -> LineRef {
    let last = id.chars().last().unwrap_or('0');
    LineRef {
        phone_number_id: PhoneNumberId::parse(id).unwrap(),
        phone_number: E164::parse(&format!("+21261234567{last}")).unwrap(),
    }
}

pub fn route(company: &str, line: &str) -> Route {
    let LineRef { phone_number_id, phone_number } = line_ref(line);
    Route {
        phone_number_id,
        phone_number,
        display_name: format!("{company} by Recruto"),
        company_id: CompanyId::parse(company).unwrap(),
        waba_id: WabaId::parse("104").unwrap(),
        portfolio: "platform/main".into(),
        object: format!("clients/{company}"),
        uid: format!("uid-{company}"),
        epoch: 1,
        epoch_at: None,
        state: RouteState::Active,
        revision: 0,
        updated_at: Timestamp::from_second(1_790_000_000).unwrap(),
    }
}

/// A message of a candidate.
pub fn message(line: &str, wamid: &str, user: &str) -> NewEntry {
    NewEntry {
        meta_id: Some(Pii(wamid.into())),
        contact: Some(ContactHint { user_id: Some(Pii(user.into())), ..ContactHint::default() }),
        kind_of_message: Some("text".into()),
        timestamp: Some(1_790_000_000),
        raw: Some(Pii(format!(r#"{{"id":"{wamid}"}}"#))),
        ..NewEntry::new(Kind::Message, line_ref(line), 1)
    }
}

/// A status of a message.
pub fn status(line: &str, wamid: &str, word: &str) -> NewEntry {
    NewEntry {
        meta_id: Some(Pii(format!("{wamid} {word} "))),
        contact: Some(ContactHint::default()),
        about: Some(Pii(wamid.into())),
        status: Some(word.into()),
        raw: Some(Pii(r#"{"status":"x"}"#.into())),
        ..NewEntry::new(Kind::Status, line_ref(line), 1)
    }
}

/// Everything in a log, after checking that its numbers are 1, 2, 3 ... and that nothing is there twice.
pub async fn whole(db: &CompanyDb) -> Result<Vec<LogEntry>> {
    let entries = db.log().read_after(0, 100_000, usize::MAX).await?.entries;
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.seq, i64::try_from(index)? + 1, "a gap or a double number");
    }
    let mut ids: Vec<&Pii<String>> = entries.iter().filter_map(|entry| entry.meta_id.as_ref()).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "an item is there twice");
    Ok(entries)
}

/// The log's own collection, as nobody in the program can reach it.
pub async fn raw_log(bed: &Bed, db: &CompanyDb) -> Result<mongodb::Collection<mongodb::bson::Document>> {
    let client = bed.mongo.client().await.context("a client of the test's own")?;
    Ok(client.database(db.name()).collection("log"))
}
