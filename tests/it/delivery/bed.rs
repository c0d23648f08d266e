//! A store with companies, and replicas that deliver from it, in this process.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clientnumber::delivery::{AllowedOrigins, Delivery, KeySource, Keys, Metrics, Settings, TokenPolicy};
use clientnumber::domain::{CompanyId, E164, PhoneNumberId, Pii, SharedClock, SystemClock, WabaId};
use clientnumber::listen;
use clientnumber::router::RouteTable;
use clientnumber::store::{
    CompanyDb, ContactHint, FenceAction, Kind, LineRef, NewEntry, Outcome, Route, RouteState, Store, StoreOptions,
};
use clientnumber::telemetry::{Readiness, Registry};
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use mongodb::bson::doc;
use rand::SeedableRng;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Mongo, MongoOptions};

pub const SECRET: &str = "a secret for tests that is long enough";

/// A store, empty at first.
pub struct Bed {
    pub mongo: Mongo,
    pub store: Store,
    clock: SharedClock,
}

impl Bed {
    pub async fn start(dir: &Path) -> Result<Bed> {
        clientnumber::install_crypto_provider();
        let mongo = Mongo::start(dir, MongoOptions { fail_points: true, ..MongoOptions::default() }).await?;
        let store = Store::connect(&mongo.uri().into(), StoreOptions::default()).await?;
        store.ensure_indexes().await?;
        Ok(Bed { mongo, store, clock: Arc::new(SystemClock) })
    }

    /// Makes these commands fail from now on, or none any more.
    pub async fn failing(&self, commands: &[&str]) -> Result<()> {
        let admin = self.mongo.client().await?.database("admin");
        let mode = if commands.is_empty() { "off" } else { "alwaysOn" };
        let data = doc! {"failCommands": commands, "errorCode": 40573};
        admin.run_command(doc! {"configureFailPoint": "failCommand", "mode": mode, "data": data}).await?;
        Ok(())
    }

    /// Makes a company with one line, whose id is `line`.
    pub async fn company(&self, name: &str, line: u32) -> Result<Company> {
        let id = CompanyId::parse(name)?;
        let mut rng = rand::rngs::StdRng::seed_from_u64(rand::random());
        let (_, db) = self.store.companies().ensure(&id, 730, Timestamp::now(), &mut rng).await?;
        let line = line_ref(line)?;
        let company = Company { id, db, line, clock: self.clock.clone() };
        let route = self.prepare_line(&company, &company.line).await?;
        self.store.routes().put(&route, None).await?;
        Ok(company)
    }

    /// What the controller does before it writes a line's route: the fence. The route that follows.
    pub async fn prepare_line(&self, company: &Company, line: &LineRef) -> Result<Route> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        let mut appender = company.db.log().appender(self.clock.clone());
        appender.append_fence(line, FenceAction::Given, 1, deadline).await?;
        let name = &company.id;
        Ok(Route {
            phone_number_id: line.phone_number_id.clone(),
            phone_number: line.phone_number.clone(),
            display_name: format!("{name} by Recruto"),
            company_id: company.id.clone(),
            waba_id: WabaId::parse("104")?,
            portfolio: "platform/main".into(),
            object: format!("clients/{name}"),
            uid: format!("uid-{name}"),
            epoch: 1,
            epoch_at: None,
            state: RouteState::Active,
            revision: 0,
            updated_at: Timestamp::now(),
        })
    }

    /// A replica with the default limits, changed by `change`.
    pub async fn replica(&self, change: impl FnOnce(&mut Settings)) -> Result<Replica> {
        self.replica_at(&self.store, change).await
    }

    /// As [`Bed::replica`], on another way to the store.
    pub async fn replica_at(&self, store: &Store, change: impl FnOnce(&mut Settings)) -> Result<Replica> {
        let keys = KeySource::Hs256(SECRET.to_owned().into());
        self.replica_of(store, keys, self.clock.clone(), change).await
    }

    /// As [`Bed::replica`], with everything that can be another.
    pub async fn replica_of(
        &self,
        store: &Store,
        keys: KeySource,
        clock: SharedClock,
        change: impl FnOnce(&mut Settings),
    ) -> Result<Replica> {
        let policy = TokenPolicy { audience: "clientnumber".into(), issuer: None };
        let mut settings =
            Settings::new(policy, AllowedOrigins::parse("https://app.example.ma").map_err(anyhow::Error::msg)?);
        change(&mut settings);
        let stop = CancellationToken::new();
        let routes = RouteTable::new(Some(store.clone()));
        let readiness = Readiness::default();
        tokio::spawn({
            let (routes, stop, part) = (routes.clone(), stop.clone(), readiness.part("routes"));
            async move { routes.run(part, stop).await }
        });
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let keys = Keys::load(keys).await?;
        let delivery = Delivery::start(store.clone(), keys, Arc::new(routes), settings, metrics, clock, &readiness);
        let listener = listen::bind("sockets", (Ipv4Addr::LOCALHOST, 0).into()).await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(listen::serve(
            listener,
            delivery.door().router(),
            listen::Limits::new("sockets", 1000),
            stop.clone(),
        ));
        Ok(Replica { url, delivery, registry, readiness, stop })
    }
}

/// A line of this id.
pub fn line_ref(line: u32) -> Result<LineRef> {
    let phone_number = E164::parse(&format!("+2126{line:08}"))?;
    Ok(LineRef { phone_number_id: PhoneNumberId::parse(line.to_string())?, phone_number })
}

/// A company of the store.
pub struct Company {
    pub id: CompanyId,
    pub db: CompanyDb,
    pub line: LineRef,
    clock: SharedClock,
}

impl Company {
    /// Appends messages from a candidate of this name, as the ingest does; the last seq.
    pub async fn candidate_writes(&self, who: &str, texts: &[String]) -> Result<i64> {
        let entries = texts
            .iter()
            .map(|text| {
                let mut entry = NewEntry::new(Kind::Message, self.line.clone(), 1);
                let wamid = format!("wamid.{}.{text}", self.id);
                let raw = json!({"id": wamid, "type": "text", "text": {"body": text}, "company": self.id.as_str()});
                entry.meta_id = Some(Pii(wamid));
                entry.contact = Some(ContactHint {
                    user_id: Some(Pii(format!("MA.{}.{who}", self.id))),
                    name: Some(Pii(who.to_owned())),
                    ..ContactHint::default()
                });
                entry.kind_of_message = Some("text".into());
                entry.timestamp = Some(Timestamp::now().as_second());
                entry.raw = Some(Pii(raw.to_string()));
                entry
            })
            .collect();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let outcomes = self.db.log().appender(self.clock.clone()).append(entries, deadline).await?;
        ensure!(outcomes.iter().all(|o| matches!(o, Outcome::Stored(_))), "{outcomes:?}");
        match outcomes.last() {
            Some(Outcome::Stored(seq)) => Ok(*seq),
            _ => Ok(0),
        }
    }

    /// One message.
    pub async fn hears(&self, text: &str) -> Result<i64> {
        self.candidate_writes("Amina", &[text.to_owned()]).await
    }

    /// A recruiter's token with the usual claims, changed by `change`.
    pub fn token(&self, recruiter: &str, change: Value) -> Result<String> {
        token(self.id.as_str(), recruiter, change)
    }

    /// What a client hands in.
    pub fn auth(&self, recruiter: &str, more: Value) -> Result<Value> {
        let mut auth = json!({"token": self.token(recruiter, json!({}))?});
        merge(&mut auth, more);
        Ok(auth)
    }
}

/// A signed token.
pub fn token(company: &str, recruiter: &str, change: Value) -> Result<String> {
    let now = Timestamp::now().as_second();
    let mut claims =
        json!({"sub": recruiter, "company_id": company, "aud": "clientnumber", "iat": now - 1, "exp": now + 900});
    merge(&mut claims, change);
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// A replica in this process; its accept loop ends with it.
pub struct Replica {
    pub url: String,
    pub delivery: Delivery,
    pub registry: Registry,
    pub readiness: Readiness,
    stop: CancellationToken,
}

impl Replica {
    /// The value of a metric's line, as text.
    pub fn metric(&self, line: &str) -> Result<f64> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        let value = text.lines().find_map(|l| l.strip_prefix(line)).with_context(|| format!("{line} in:\n{text}"))?;
        Ok(value.trim().parse()?)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
