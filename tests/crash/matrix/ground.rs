//! One world that lines are taken through one after the other, with a proxy before the API server and before MongoDB, and
//! a record of what the controller did. What is to be seen at the end is in `look`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clientnumber::resources::ClientNumber;
use clientnumber::resources::conditions::{ConditionType, get};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use super::event::{self, What};
use super::verdict::reference;
use crate::support::leaks::{self, Markers};
use crate::support::wait::{self, Seen};
use crate::support::{ApiProxy, ApiRule, ControlPlane, MongoProxy, MongoRule, Program, World, WorldOptions, run_dir};

/// Policy times: an hour is 18 s, a code lives 3 s, an order's grace is 0.6 s.
pub const SCALE: f64 = 0.005;
/// Waits end long before this on an idle machine.
pub const LONG: Duration = Duration::from_secs(180);

/// Who runs the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staff {
    One,
    /// Two of them with a lease.
    Two,
}

/// A world and its proxies.
pub struct Ground {
    pub world: World,
    pub replicas: Vec<Program>,
    pub api: ApiProxy,
    pub mongo: MongoProxy,
    pub(super) store: mongodb::Client,
    /// Every line so far: its reference, and its number once that is known.
    pub(super) made: BTreeMap<String, String>,
    /// Numbers that the test put into the account.
    pub(super) by_hand: BTreeSet<String>,
    /// Codes of each line that the test itself lets nobody hear: so many more may be asked for.
    pub(super) codes_lost: u64,
    /// The PINs of all lines so far: their Secrets go with a Release.
    pins: Markers,
}

/// One line's way.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub company: String,
    pub uid: String,
    pub number: String,
}

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_clientnumber"))
}

impl Ground {
    /// A world without a controller. `env` is for its controllers.
    pub async fn bare(name: &str, env: &[(&str, &str)]) -> Result<Ground> {
        let plane = ControlPlane::shared().await?;
        let options = WorldOptions {
            speed: 0.0,
            scale: SCALE,
            controller_env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..WorldOptions::default()
        };
        let world = World::start(plane, binary(), &run_dir(name)?, options).await?;
        let settings = json!({
            "policy_time_scale": SCALE, "telnyx": {"balance": "100000.00", "pool": 1000},
            "meta": {"number_cap": 1000},
        });
        world.sandbox.post("/settings", settings).await?;
        let limits = json!({
            "maxNumbers": 1000, "purchasesPerHour": 1000, "purchasesPerDay": 1000, "concurrentOnboardings": 100,
        });
        let portfolio = world.portfolio(|spec| {
            spec["limits"] = limits;
            // Rounds happen when they are asked for.
            spec["checkInterval"] = json!("24h");
        });
        world.apply(portfolio).await?;
        let (api, mongo) = (ApiProxy::start(plane).await?, MongoProxy::start(&world.mongo).await?);
        let store = world.mongo.client().await?;
        let (made, by_hand, pins) = (BTreeMap::new(), BTreeSet::new(), Markers::new());
        Ok(Ground { world, replicas: Vec::new(), api, mongo, store, made, by_hand, codes_lost: 0, pins })
    }

    /// A world whose controller has read its accounts.
    pub async fn start(name: &str, staff: Staff, env: &[(&str, &str)]) -> Result<Ground> {
        let mut ground = Ground::bare(name, env).await?;
        let names: &[&str] = if staff == Staff::One { &["controller"] } else { &["controller-a", "controller-b"] };
        for name in names {
            ground.add(name, staff == Staff::Two)?;
        }
        ground.portfolio_ready().await?;
        Ok(ground)
    }

    /// One controller more, behind both proxies.
    pub fn add(&mut self, name: &str, elect: bool) -> Result<()> {
        let (kubeconfig, uri) = (self.api.kubeconfig_path().to_owned(), self.mongo.uri());
        self.replicas.push(self.world.another(name, elect, Some(&kubeconfig), Some(&uri))?);
        Ok(())
    }

    /// The controller that works: the only one, or the one that said last that it leads and has not ended.
    pub fn leader(&mut self) -> Result<&mut Program> {
        if self.replicas.len() == 1 {
            return self.replicas.first_mut().context("no controller");
        }
        let leads = |p: &mut Program| p.ended().is_none() && p.log().contains("this process leads");
        self.replicas.iter_mut().find_map(|p| leads(p).then_some(p)).context("no controller leads")
    }

    /// Waits until lines can be made.
    pub async fn portfolio_ready(&self) -> Result<()> {
        let api = self.world.portfolios();
        wait::until(LONG, "the Portfolio to be Ready", async || {
            let portfolio = match api.get("main").await {
                Ok(portfolio) => portfolio,
                Err(error) => return Seen::NotYet(error.to_string()),
            };
            let conditions = portfolio.status.map(|s| s.conditions).unwrap_or_default();
            match get(&conditions, ConditionType::Ready) {
                Some(c) if c.status == "True" => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        })
        .await
    }

    /// A new line, not applied yet.
    pub fn line(&mut self, policy: &str) -> (Line, Value) {
        let name = format!("line{}", letters(self.made.len() + 1));
        let company = event::company(&name);
        self.made.insert(reference(&self.world.clients, &name), String::new());
        let object = self.world.line(&name, &company, |spec| spec["deletionPolicy"] = json!(policy));
        (Line { name, company, uid: String::new(), number: String::new() }, object)
    }

    /// Ready, gone, or what the line is at.
    pub async fn state(&self, line: &Line) -> Result<State> {
        Ok(state(self.world.lines().get_opt(&line.name).await?.as_ref()))
    }

    /// Waits until the line is Ready, or gone. By a watch: many lines are waited for on few cores.
    pub async fn reaches(&self, line: &Line, wanted: State) -> Result<()> {
        let api = self.world.lines();
        let condition = |object: Option<&ClientNumber>| state(object) == wanted;
        let waited = await_condition(api.clone(), &line.name, condition);
        match tokio::time::timeout(LONG, waited).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => bail!("{} can't be watched: {error}", line.name),
            Err(_) => bail!("waited {LONG:?} for {} to be {wanted:?}; it is {:?}", line.name, self.state(line).await?),
        }
    }

    /// Adds what can only be known once the line has it.
    pub async fn learn(&mut self, line: &mut Line) -> Result<()> {
        let object = self.world.lines().get(&line.name).await?;
        line.uid = object.uid().context("no uid")?;
        line.number = object.status.and_then(|s| s.phone_number).unwrap_or_default();
        self.made.insert(reference(&self.world.clients, &line.name), line.number.clone());
        self.pins.extend(leaks::pins(&self.world).await?);
        Ok(())
    }

    /// No secret, code or PIN of all that happened is in a log of our programs.
    pub async fn nothing_leaked(&self) -> Result<()> {
        leaks::none_in_logs(&self.world, &self.pins).await
    }

    /// Somebody buys the number by hand for the same account.
    pub async fn buy_by_hand(&mut self, number: &str) -> Result<()> {
        self.world.sandbox.post("/existing-numbers", json!({"phone_number": number, "type": "mobile"})).await?;
        self.by_hand.insert(number.to_owned());
        Ok(())
    }

    /// Begins to write down what the controller does for this line.
    pub async fn record(&self, line: &Line) -> Result<Record> {
        let seen: Arc<Mutex<Vec<(Timestamp, What)>>> = Arc::default();
        let note = |what: Option<What>, seen: &Mutex<Vec<(Timestamp, What)>>| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.extend(what.map(|what| (Timestamp::now(), what)));
            true
        };
        let (name, into) = (line.name.clone(), seen.clone());
        self.api.count(ApiRule::write().matching(move |request| note(event::api(request, &name), &into)));
        let into = seen.clone();
        self.mongo.count(MongoRule::any().matching(move |request| note(event::mongo(request), &into)));
        Ok(Record { seen, after: self.last_call().await? })
    }

    /// Ends a record: everything in the order of its arrival.
    pub async fn recorded(&self, record: Record) -> Result<Vec<What>> {
        self.api.clear();
        self.mongo.clear();
        let mut all = record.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let journal = self.world.sandbox.get(&format!("/journal?after={}", record.after)).await?;
        for entry in journal["entries"].as_array().into_iter().flatten() {
            let at = entry["time"].as_str().context("a call without a time")?.parse()?;
            all.extend(event::provider(entry).map(|what| (at, what)));
        }
        all.sort_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, what)| what).collect())
    }
}

/// What a line has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    Gone,
    OnTheWay(String),
}

fn state(object: Option<&ClientNumber>) -> State {
    let Some(object) = object else { return State::Gone };
    let conditions = object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    match get(conditions, ConditionType::Ready) {
        Some(c) if c.status == "True" => State::Ready,
        Some(c) => State::OnTheWay(format!("{}: {}", c.reason, c.message)),
        None => State::OnTheWay("no condition".to_owned()),
    }
}

/// A record that is being written.
pub struct Record {
    seen: Arc<Mutex<Vec<(Timestamp, What)>>>,
    after: u64,
}

/// Numbers in letters: names of lines must not be told apart by digits, which messages hold too.
fn letters(mut number: usize) -> String {
    let mut text = String::new();
    while number > 0 {
        text.insert(0, char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
        number /= 26;
    }
    text
}

/// A line that is Ready is deleted.
pub async fn delete(ground: &Ground, line: &Line) -> Result<()> {
    match ground.world.lines().delete(&line.name, &Default::default()).await {
        Ok(_) => Ok(()),
        Err(error) => bail!("{} can't be deleted: {error}", line.name),
    }
}
