//! A look at everything that can be seen of a line and of its world: the object, both providers, the routing table, the
//! company's log, the PIN, and the Portfolio after a round that did read its accounts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::ground::{Ground, LONG, Line, Staff, State};
use super::verdict::Snapshot;
use crate::support::wait::{self, Seen};
use crate::support::{ApiRule, Point};

impl Ground {
    /// Calls of the operation to one of Meta's ids, by the sandbox's journal.
    async fn calls(&self, operation: &str, ids: &[&str]) -> Result<Vec<Timestamp>> {
        let journal = self.world.sandbox.get(&format!("/journal?operation={operation}")).await?;
        let all = journal["entries"].as_array().context("no journal")?;
        let to = |call: &&Value| call["path"].as_str().is_some_and(|p| p.split('/').any(|part| ids.contains(&part)));
        all.iter().filter(to).map(|call| Ok(call["time"].as_str().context("a call without a time")?.parse()?)).collect()
    }

    /// When the line's number was given the rejecting application.
    async fn rejected(&self, numbers: &[Value], line: &Line, portfolio: &Value) -> Result<Vec<Timestamp>> {
        let number = numbers.iter().find(|n| n["phone_number"] == line.number.as_str());
        let Some(id) = number.and_then(|n| n["telnyx"]["id"].as_str()) else { return Ok(Vec::new()) };
        let journal = self.world.sandbox.get("/journal?operation=telnyx.update_number").await?;
        let changes = journal["entries"].as_array().context("no journal")?.iter().filter(|call| {
            call["path"].as_str().is_some_and(|path| path.ends_with(&format!("/{id}")))
                && call["status"] == 200
                && call["body"]["connection_id"] == portfolio["applications"]["reject"]
        });
        changes.map(|call| Ok(call["time"].as_str().context("a call without a time")?.parse()?)).collect()
    }

    pub(super) async fn last_call(&self) -> Result<u64> {
        let journal = self.world.sandbox.get("/journal?after=1000000000").await?;
        journal["last"].as_u64().context("the journal does not tell its last call")
    }

    /// Whether both lists of numbers were read since that call, by the sandbox's word: a round that could not read them
    /// ends as well, with the counts of the last one.
    async fn lists_read(&self, since: u64) -> Result<bool> {
        for operation in ["telnyx.list_numbers", "meta.list_numbers"] {
            let calls = self.world.sandbox.get(&format!("/journal?after={since}&operation={operation}")).await?;
            if !calls["entries"].as_array().into_iter().flatten().any(|call| call["status"] == 200) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A fresh round over the accounts: the Portfolio's status after it.
    pub async fn round(&self) -> Result<Value> {
        let api = self.world.portfolios();
        let calls = self.last_call().await?;
        let last = api.get("main").await?.status.and_then(|s| s.last_round_at).map(|t| t.0);
        let mut asked: Option<Timestamp> = None;
        wait::until(LONG, "a round of the Portfolio", async || {
            let now = Timestamp::now();
            // A round's time is whole seconds: one in the same second as the last can't be told from it.
            let fresh = last.is_none_or(|last| now.as_second() > last.as_second());
            if fresh && asked.is_none_or(|at| now.duration_since(at).as_secs() >= 5) {
                asked = Some(now);
                let annotation = json!({"clientnumber.dev/retry-requested-at": now.to_string()});
                let patch = kube::api::Patch::Merge(json!({"metadata": {"annotations": annotation}}));
                if let Err(error) = api.patch("main", &Default::default(), &patch).await {
                    return Seen::NotYet(error.to_string());
                }
            }
            match api.get("main").await {
                Ok(portfolio) => match portfolio.status {
                    Some(status) if status.last_round_at.as_ref().map(|t| t.0) > last => {
                        match self.lists_read(calls).await {
                            Ok(true) => Seen::from(serde_json::to_value(status)),
                            other => Seen::NotYet(format!("both lists read: {other:?}")),
                        }
                    }
                    _ => Seen::NotYet("no new round".to_owned()),
                },
                Err(error) => Seen::NotYet(error.to_string()),
            }
        })
        .await
    }

    /// What a round tells of a line is noted at once after it, and what it finds wrong is set right: the line is woken when
    /// the round has ended, which the Portfolio shows first. What is not there within this time is judged.
    async fn set_right(&self, line: &Line) {
        let waited = wait::until(Duration::from_secs(15), "the line to follow the round", async || {
            let all = self.world.sandbox.get("/numbers").await.unwrap_or_default();
            let mut all = all["numbers"].as_array().into_iter().flatten();
            let mine = all.find(|n| n["phone_number"] == line.number.as_str());
            let through = mine.and_then(|n| n["telnyx"]["application"].as_str()).unwrap_or_default().to_owned();
            let object = self.world.lines().get_opt(&line.name).await.ok().flatten();
            let gone = object.is_none();
            let status = object.and_then(|o| o.status).unwrap_or_default();
            let armed = status.verification.is_some_and(|v| v.armed_at.is_some());
            let told = gone || status.line.is_some_and(|line| line.carrier_status.is_some());
            let right = told && !armed && !through.ends_with("/capture");
            wait::seen(right, format!("told: {told}, armed: {armed}, {through}"))
        });
        drop(waited.await);
    }

    /// Looks at everything.
    pub async fn snapshot(&self, line: &Line) -> Result<Snapshot> {
        let sandbox = &self.world.sandbox;
        let list = |value: Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let portfolio = self.round().await?;
        self.set_right(line).await;
        let object = self.world.lines().get_opt(&line.name).await?;
        let secrets: Api<Secret> = Api::namespaced(self.world.client.clone(), &self.world.platform);
        let digits = line.number.trim_start_matches('+');
        let platform = self.store.database("clientnumber");
        let mine = doc! {"$or": [
            {"phone_number": &line.number}, {"object": format!("{}/{}", self.world.clients, line.name)},
        ]};
        let routes = documents(platform.collection("routes"), mine).await?;
        let company = platform.collection::<Document>("companies").find_one(doc! {"_id": &line.company}).await?;
        let log = match company.as_ref().and_then(|c| c.get_str("database").ok()) {
            Some(database) => documents(self.store.database(database).collection("log"), doc! {}).await?,
            None => Vec::new(),
        };
        let ids: Vec<&str> = routes.iter().filter_map(|route| route["_id"].as_str()).collect();
        let deregisters = self.calls("meta.deregister", &ids).await?.len();
        let (codes_at, registers_at) =
            (self.calls("meta.request_code", &ids).await?, self.calls("meta.register", &ids).await?);
        let numbers = list(sandbox.get("/numbers").await?, "numbers");
        let rejected_at = self.rejected(&numbers, line, &portfolio).await?;
        Ok(Snapshot {
            namespace: self.world.clients.clone(),
            name: line.name.clone(),
            company: line.company.clone(),
            uid: line.uid.clone(),
            number: line.number.clone(),
            line: object.map(serde_json::to_value).transpose()?,
            ledger: list(sandbox.get("/ledger").await?, "entries"),
            numbers,
            recordings: list(sandbox.get("/recordings").await?, "recordings"),
            pin: secrets.get_opt(&format!("pin-{digits}")).await?.is_some(),
            portfolio,
            portfolio_name: format!("{}/main", self.world.platform),
            deregisters,
            codes_at,
            rejected_at,
            registers_at,
            made: self.made.clone(),
            by_hand: self.by_hand.clone(),
            codes_lost: self.codes_lost,
            routes,
            log,
        })
    }
}

async fn documents(collection: mongodb::Collection<Document>, filter: Document) -> Result<Vec<Value>> {
    let found: Vec<Document> = collection.find(filter).sort(doc! {"_id": 1}).await?.try_collect().await?;
    found.into_iter().map(|document| Ok(serde_json::to_value(document)?)).collect()
}

/// A round has told of a line before the line has noted it: the look must not take that for something that was lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_round_tells_of_a_line_is_waited_for() -> Result<()> {
    let mut ground = Ground::start("look", Staff::One, &[]).await?;
    let (mut line, object) = ground.line("Retain");
    ground.world.apply(object).await?;
    ground.reaches(&line, State::Ready).await?;
    ground.learn(&mut line).await?;
    let notes = ApiRule::put()
        .path_ends(&format!("/clientnumbers/{}/status", line.name))
        .body(|body| body["status"]["line"]["carrierStatus"].is_string());
    let held = ground.api.hold(notes, Point::BeforeEffect);
    let mut look = std::pin::pin!(ground.snapshot(&line));
    // Long enough for a look that does not wait; one that waits is let go on after it.
    let early = tokio::time::timeout(Duration::from_secs(5), &mut look).await;
    held.release();
    let seen = match early {
        Ok(seen) => seen?,
        Err(_) => look.await?,
    };
    let status = &seen.line.context("no line")?["status"]["line"]["carrierStatus"];
    ensure!(*status == "active", "the look has missed what the round told: {status}");
    Ok(())
}
