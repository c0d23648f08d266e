//! The log's rules under drawn interleavings: writers whose inserts are held, let go or cut before or after their effect,
//! writers that are dropped and whose insert lands later or never, and a fence in between.
//!
//! Each schedule is drawn from its number, and each writer goes through a proxy of its own, so that nothing moves but what
//! the schedule lets go. A reader reads all the while. What it saw is judged by [`Rules`], which knows no store.

mod rules;

use super::bed::*;
use crate::support::wait::{self, seen};
use crate::support::{Hit, MongoProxy, MongoRule, Point, wire::MongoRequest};
use anyhow::{Context, Result, ensure};
use clientnumber::store::{Appender, CompanyDb, FenceAction, LineRef, NewEntry, Outcome, Refused, Store, StoreOptions};
use futures::future::try_join_all;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rules::{Fact, Rules};
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinHandle;

/// Schedules on one log each, one after the other.
const LANES: u64 = 4;
const SCHEDULES: u64 = 50;
/// Writers at most.
const WRITERS: usize = 4;
/// Of one schedule: a cut connection costs the driver up to half a second.
const CUTS: usize = 1;

/// What a writer was told of its items, by Meta's id.
type Told = Vec<(String, Outcome)>;

/// How often what happened.
#[derive(Default)]
struct Counts(BTreeMap<&'static str, usize>);

impl Counts {
    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

/// A replica: its own way to the store.
struct Replica {
    proxy: MongoProxy,
    db: CompanyDb,
    /// Kept from the last schedule, with what it knew then.
    appender: Option<Appender>,
}

impl Replica {
    /// Stops its next insert, before or after its effect.
    fn stop(&self, rng: &mut SmallRng) -> Hit<MongoRequest> {
        let point = if rng.random_bool(0.5) { Point::BeforeEffect } else { Point::AfterEffect };
        self.proxy.hold(MongoRule::command("insert").collection("log"), point)
    }
}

/// One log, with a reader of it and its writers.
struct Lane {
    db: CompanyDb,
    controller: Appender,
    replicas: Vec<Replica>,
    rules: Rules,
    counts: Counts,
}

/// A writer at work, or one that was dropped and whose insert is still on its way.
struct Running {
    replica: usize,
    hit: Option<Hit<MongoRequest>>,
    task: Option<JoinHandle<Result<(Appender, Told)>>>,
}

impl Running {
    fn is_held(&self) -> bool {
        self.hit.as_ref().is_some_and(Hit::is_there)
    }

    fn moves(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished()) && !self.is_held()
    }
}

async fn write(mut appender: Appender, batches: Vec<Vec<NewEntry>>) -> Result<(Appender, Told)> {
    let mut all = Vec::new();
    for batch in batches {
        let ids: Vec<String> = batch.iter().filter_map(|item| Some(item.meta_id.as_ref()?.expose().clone())).collect();
        all.extend(ids.into_iter().zip(appender.append(batch, soon()).await?));
    }
    Ok((appender, all))
}

impl Lane {
    async fn of(bed: &Bed, number: u64) -> Result<Self> {
        let db = bed.company(&format!("lane{number}"), "9000").await?;
        let mut replicas = Vec::new();
        for _ in 0..WRITERS {
            let proxy = MongoProxy::start(&bed.mongo).await?;
            let store = Store::connect(&proxy.uri().into(), StoreOptions::default()).await?;
            let db = store.companies().open(db.company()).await?.context("the company is gone")?;
            replicas.push(Replica { proxy, db, appender: None });
        }
        let controller = db.log().appender(clock());
        Ok(Self { db, controller, replicas, rules: Rules::default(), counts: Counts::default() })
    }

    /// Reads on: n before n + 1, and nothing that breaks a rule.
    async fn read(&mut self) -> Result<()> {
        for entry in self.db.log().read_after(self.rules.head, 1000, usize::MAX).await?.entries {
            let fact = Fact::of(&entry).context("an entry without an id")?;
            self.rules.take(&fact).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    async fn schedule(&mut self, seed: u64) -> Result<()> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let line = line_ref(&(seed + 1).to_string());
        self.controller.append_fence(&line, FenceAction::Given, 1, soon()).await?;
        let ids: Vec<String> = (0..rng.random_range(3..9)).map(|n| format!("{seed}/{n}")).collect();
        let mut running = self.start(&mut rng, &line, &ids);
        let fence_at = rng.random_bool(0.6).then(|| rng.random_range(0..8));
        let (mut cuts, mut epoch) = (0, 1);
        for step in 0.. {
            let stopped = wait::until(SOON, "every writer to be held or done", async || {
                let moving = running.iter().filter(|writer| writer.moves()).count();
                seen(moving == 0, format!("{moving} writers move"))
            });
            let (stopped, read) = tokio::join!(stopped, self.read());
            stopped.and(read)?;
            if fence_at == Some(step) {
                epoch = self.fence(&mut rng, &line).await?;
            }
            let held: Vec<usize> = (0..running.len()).filter(|index| running[*index].is_held()).collect();
            let Some(index) = (!held.is_empty()).then(|| held[rng.random_range(0..held.len())]) else { break };
            let cut = cuts < CUTS && rng.random_bool(0.2);
            cuts += usize::from(cut);
            self.act(&mut running[index], cut, &mut rng);
        }
        let outcomes = self.finish(running).await?;
        self.settle(&line, &ids, epoch, outcomes).await
    }

    /// Two to four writers, each with some of the items in batches: most items come to several of them.
    fn start(&mut self, rng: &mut SmallRng, line: &LineRef, ids: &[String]) -> Vec<Running> {
        let count = rng.random_range(2..=WRITERS);
        let mut running = Vec::new();
        for (index, replica) in self.replicas.iter_mut().enumerate().take(count) {
            let mut batches = Vec::new();
            for _ in 0..rng.random_range(1..4) {
                let some = (0..rng.random_range(1..4)).map(|_| ids[rng.random_range(0..ids.len())].clone());
                let user = |id: &str| format!("MA.{}", id.len() + id.bytes().map(usize::from).sum::<usize>() % 5);
                batches.push(some.map(|id| message(line.phone_number_id.as_str(), &id, &user(&id))).collect());
            }
            let hit = Some(replica.stop(rng));
            let appender = replica.appender.take().unwrap_or_else(|| replica.db.log().appender(clock()));
            running.push(Running { replica: index, hit, task: Some(tokio::spawn(write(appender, batches))) });
        }
        running
    }

    /// Lets a held insert go or cuts it, or drops its writer and leaves the insert on its way.
    fn act(&mut self, writer: &mut Running, cut: bool, rng: &mut SmallRng) {
        let Some(hit) = writer.hit.take() else { return };
        if writer.task.is_some() && rng.random_bool(0.15) {
            if let Some(task) = writer.task.take() {
                task.abort();
            }
            writer.hit = Some(hit);
            return self.counts.note("dropped");
        }
        let dropped = writer.task.is_none();
        if !dropped {
            writer.hit = Some(self.replicas[writer.replica].stop(rng));
        }
        if cut {
            hit.cut();
        } else {
            hit.release();
        }
        self.counts.note(match (cut, dropped) {
            (true, false) => "cut",
            (false, false) => "let go",
            (true, true) => "cut after their writer",
            (false, true) => "let go after their writer",
        });
    }

    /// The line is taken, and perhaps given again; the epoch of its route from now on.
    async fn fence(&mut self, rng: &mut SmallRng, line: &LineRef) -> Result<i64> {
        self.counts.note("taken");
        ensure!(self.controller.append_fence(line, FenceAction::Taken, 1, soon()).await?, "a fence was there already");
        if rng.random_bool(0.5) {
            return Ok(1);
        }
        self.counts.note("given again");
        self.controller.append_fence(line, FenceAction::Given, 2, soon()).await?;
        Ok(2)
    }

    /// What the writers that were not dropped were told of their items.
    async fn finish(&mut self, running: Vec<Running>) -> Result<Told> {
        let mut outcomes = Vec::new();
        for Running { replica, hit: _, task } in running {
            if let Some(task) = task {
                let (appender, told) = task.await??;
                self.replicas[replica].appender = Some(appender);
                outcomes.extend(told);
            }
        }
        self.replicas.iter().for_each(|replica| replica.proxy.clear());
        Ok(outcomes)
    }

    /// A last sender repeats all; then what everybody was told must be what the log holds.
    async fn settle(&mut self, line: &LineRef, ids: &[String], epoch: i64, mut outcomes: Told) -> Result<()> {
        let all = ids.iter().map(|id| NewEntry { epoch, ..message(line.phone_number_id.as_str(), id, "MA.9") });
        outcomes.extend(write(self.db.log().appender(clock()), vec![all.collect()]).await?.1);
        self.read().await?;
        let (_, held) = self.rules.lines[line.phone_number_id.as_str()];
        let mut stored = BTreeSet::new();
        for (id, outcome) in outcomes {
            let there = self.rules.ids.get(&id);
            match outcome {
                Outcome::Stored(seq) => {
                    self.counts.note("stored");
                    ensure!(there == Some(&seq), "{id} was stored at {seq}, and the log has it at {there:?}");
                    ensure!(stored.insert(id.clone()), "{id} was stored by two writers");
                }
                Outcome::Duplicate => {
                    self.counts.note("duplicate");
                    ensure!(there.is_some(), "{id} is told to be there, and is not");
                }
                Outcome::Refused(Refused::NotHeld | Refused::StaleEpoch) => {
                    self.counts.note("refused");
                    ensure!((held, epoch) != (FenceAction::Given, 1), "{id} was refused without a fence");
                }
                other => anyhow::bail!("{id}: {other:?}"),
            }
        }
        let lost = ids.iter().filter(|id| held == FenceAction::Given && !self.rules.ids.contains_key(*id)).count();
        ensure!(lost == 0, "{lost} items were lost");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_breaks_the_log() -> Result<()> {
    let bed = Bed::start("log-interleavings").await?;
    let lanes = (0..LANES).map(async |number| {
        let mut lane = Lane::of(&bed, number).await?;
        for seed in number * SCHEDULES..(number + 1) * SCHEDULES {
            lane.schedule(seed).await.with_context(|| format!("schedule {seed}"))?;
        }
        anyhow::Ok(lane.counts)
    });
    let mut counts = Counts::default();
    for lane in try_join_all(lanes).await? {
        for (what, count) in lane.0 {
            *counts.0.entry(what).or_default() += count;
        }
    }
    println!("{} schedules: {:?}", LANES * SCHEDULES, counts.0);
    for what in
        ["cut", "dropped", "let go after their writer", "taken", "given again", "stored", "duplicate", "refused"]
    {
        ensure!(counts.0.get(what).is_some_and(|count| *count > 5), "too little of {what}: the schedules show nothing");
    }
    Ok(())
}
