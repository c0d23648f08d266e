//! The run itself: everything is started, broken, mended, and then judged.
//!
//! The small form is for every change, the whole one (`make chaos`) for what is promised. Must never judge before all that
//! was sent is answered, nor by what the store says is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clientnumber::store::{LineRef, QuarantineKeys};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, Company, SECRET};
use super::book::{Entry, HandOver, Lines};
use super::devices::Devices;
use super::hand_over::hand_over;
use super::misfortune::{self, Outage, Span};
use super::plan::{Plan, Size};
use super::sender::{Attempt, Sender};
use super::verdict;
use crate::support::router::{QUARANTINE_KEY, RouterOptions};
use crate::support::{Balancer, Router, report, run_dir, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_clientnumber");
const COMPANIES: usize = 20;
/// When all is over, every device has all of it: a lost ack costs ten seconds, a client's longest pause is thirty.
const CATCH_UP: Duration = Duration::from_secs(90);

/// The double is started anew so often.
const FRESH: Duration = Duration::from_secs(45);

/// How much, how fast, and when the store goes away.
struct Form {
    name: &'static str,
    size: Size,
    pause: Duration,
    /// Until all is answered.
    limit: Duration,
    outages: [(f64, Outage); 3],
}

const SMALL: Form = Form {
    name: "small",
    size: Size { companies: COMPANIES, posts: 1000, messages: 2000 },
    pause: Duration::from_millis(42),
    limit: Duration::from_secs(240),
    outages: [(0.1, Outage::Frozen), (0.6, Outage::Stopped), (0.9, Outage::Frozen)],
};
const WHOLE: Form = Form {
    name: "whole",
    size: Size { companies: COMPANIES, posts: 10_000, messages: 20_000 },
    pause: Duration::from_millis(20),
    limit: Duration::from_secs(1800),
    outages: [(0.2, Outage::Frozen), (0.65, Outage::Stopped), (0.85, Outage::Frozen)],
};

/// What everything happens to.
pub struct Scene {
    pub dir: PathBuf,
    pub bed: Bed,
    pub plan: Arc<Plan>,
    pub companies: Vec<Company>,
    /// The line that moves.
    pub moves: LineRef,
    pub lines: Lines,
    seed: u64,
    form: Form,
}

/// What there is when everything has ended.
pub struct Ended {
    pub book: Vec<Entry>,
    pub hand_over: HandOver,
    pub attempts: Vec<Attempt>,
    /// When the store was away, and how long it took by itself.
    pub away: Vec<Span>,
    pub pulse: Vec<Span>,
    /// What the replicas' metrics said, each before it was killed and at the end.
    pub metrics: Vec<String>,
    /// When a replica was killed, the first one first, then in turn.
    pub killed: Vec<Instant>,
    /// Connections cut: of recruiters, of Meta's.
    pub cut: Vec<usize>,
    /// What each device says of itself, what it has stored, and its company.
    pub counts: Vec<Value>,
    pub stored: Vec<Vec<Value>>,
    pub whose: Vec<usize>,
    /// From the last answer until every device had all of it.
    pub caught_up: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_has_its_companys_set() -> Result<()> {
    let whole = std::env::var("CHAOS").is_ok_and(|which| which == "all");
    let seed = match std::env::var("CHAOS_SEED") {
        Ok(seed) => seed.parse().context("CHAOS_SEED is not a number")?,
        Err(_) => rand::random::<u32>().into(),
    };
    println!("chaos: CHAOS_SEED={seed}");
    let began = Instant::now();
    let mut form = if whole { WHOLE } else { SMALL };
    // Anything between the two forms.
    if let Ok(posts) = std::env::var("CHAOS_POSTS") {
        form.size.posts = posts.parse().context("CHAOS_POSTS is not a number")?;
        form.size.messages = 2 * form.size.posts;
    }
    let mut scene = Scene::set(form, seed).await?;
    let ended = scene.play().await?;
    let told = verdict::judged(&scene, &ended).await?;
    let (name, took) = (scene.form.name, began.elapsed().as_secs_f64());
    let text = format!("chaos: passed ({name} form, CHAOS_SEED={seed})\n\n{told}| in all | {took:.0} s |\n");
    report::publish("chaos", name, &text)
}

impl Scene {
    async fn set(form: Form, seed: u64) -> Result<Scene> {
        let dir = run_dir("chaos")?;
        let bed = Bed::start(&dir).await?;
        let plan = Arc::new(Plan::draw(seed, form.size));
        let mut companies = Vec::new();
        for n in 0..COMPANIES {
            companies.push(bed.company(&format!("company-{n:02}"), 101 + u32::try_from(n)?).await?);
        }
        // Two lines more: one that moves, and one that nobody has.
        let (from, to) = (3, 7);
        let moves = bed.company(companies[from].id.as_str(), 901).await?.line;
        let mut ids: Vec<String> = companies.iter().map(|company| company.line.phone_number_id.to_string()).collect();
        ids.extend([moves.phone_number_id.to_string(), "902".to_owned()]);
        Ok(Scene { dir, bed, plan, companies, moves, lines: Lines { ids, from, to }, seed, form })
    }

    async fn replica(&self, name: &str) -> Result<Router> {
        let (binary, mongo) = (Path::new(BINARY), &self.bed.mongo.uri());
        let options = RouterOptions { binary, mongo, jwt_secret: SECRET, log: "trace", before: &[] };
        Router::start(name, &self.dir, options).await
    }

    /// Everything is sent and broken, then mended.
    async fn play(&mut self) -> Result<Ended> {
        let mut replicas = [self.replica("router-1").await?, self.replica("router-2").await?];
        let sockets = Balancer::start(&[replicas[0].sockets, replicas[1].sockets]).await?;
        let hooks = [Balancer::start(&[replicas[0].webhook]).await?, Balancer::start(&[replicas[1].webhook]).await?];
        let mut devices = Devices::new(&self.companies, &sockets.url(), self.seed).await?;
        devices.come().await?;

        let urls = hooks.iter().map(|hook| format!("{}/webhook", hook.url())).collect();
        let sender = Sender::new(self.plan.clone(), self.lines.clone(), urls, self.seed)?;
        let (posts, stop) = (self.plan.posts.len(), CancellationToken::new());
        let pulse = misfortune::pulse(self.bed.mongo.client().await?, &stop);
        let Bed { mongo, store, .. } = &mut self.bed;
        let (from, to) = (&self.companies[self.lines.from], &self.companies[self.lines.to]);
        let sent = async {
            let sent = sender.clone().run(self.form.pause).await;
            stop.cancel();
            sent.map(|()| Instant::now())
        };
        let half = async {
            misfortune::begun(&sender, 0.5).await?;
            devices.come_late().await?;
            hand_over(store, from, to, &self.moves).await
        };
        let cut = async {
            let switches = [(&sockets, 1000), (&hooks[0], 1500), (&hooks[1], 1500)];
            Ok(misfortune::cuts(&switches, StdRng::seed_from_u64(self.seed), &stop).await)
        };
        let kills = misfortune::kills(&mut replicas, &stop);
        let away = misfortune::outages(mongo, &sender, &self.form.outages, FRESH, &stop);
        let all = async { tokio::try_join!(sent, half, kills, away, pulse, cut, progress(&sender, posts, &stop)) };
        let ended = tokio::time::timeout(self.form.limit, all).await.with_context(|| {
            let (begun, answered) = sender.progress();
            format!("after {:?} {begun} of {posts} POSTs were begun and {answered} answered", self.form.limit)
        });
        let (answered, hand_over, (mut metrics, killed), away, pulse, cut, ()) = ended??;

        devices.calm().await?;
        for replica in &mut replicas {
            replica.wait_ready(Duration::from_secs(60)).await?;
        }
        self.settled(&mut devices).await?;
        let caught_up = answered.elapsed();
        for replica in &replicas {
            metrics.push(replica.metrics().await?);
        }
        let (counts, stored) = (devices.counts().await?, devices.stored(&self.dir.join("devices")).await?);
        let (book, attempts) = (sender.book()?, sender.attempts());
        let whose = devices.companies;
        Ok(Ended { book, hand_over, attempts, away, pulse, metrics, killed, cut, counts, stored, whose, caught_up })
    }

    /// Waits until nothing waits in quarantine any more but what nobody has, and until every device stands at its log's end.
    async fn settled(&self, devices: &mut Devices) -> Result<()> {
        let quarantine = self.bed.store.quarantine(QuarantineKeys::parse(QUARANTINE_KEY)?);
        wait::until(CATCH_UP, "the quarantine to be replayed", async || match quarantine.waiting_lines(&[]).await {
            Ok(lines) => wait::seen(lines.iter().all(|line| line.as_str() == "902"), format!("{lines:?}")),
            Err(error) => wait::Seen::NotYet(error.to_string()),
        })
        .await?;
        let mut heads = Vec::new();
        for company in &self.companies {
            heads.push(company.db.log().head().await?);
        }
        ensure!(heads.iter().all(|head| *head > 1), "a company's log has nothing but its fence: {heads:?}");
        let whose = devices.companies.clone();
        devices
            .until(CATCH_UP, "every device to be at its log's end", |counts| {
                let behind: Vec<String> = counts
                    .iter()
                    .zip(&whose)
                    .filter(|(device, company)| device["seq"].as_i64() < Some(heads[**company]))
                    .map(|(device, company)| format!("{device}, the head is {}", heads[*company]))
                    .collect();
                if behind.is_empty() { Ok(()) } else { Err(behind.join("; ")) }
            })
            .await
    }
}

/// Tells how far it is, now and then.
async fn progress(sender: &Sender, posts: usize, stop: &CancellationToken) -> Result<()> {
    let since = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(15))).await.is_some() {
        let (begun, answered) = sender.progress();
        println!("chaos: {:.0?}, {begun} of {posts} POSTs begun, {answered} answered", since.elapsed());
    }
    Ok(())
}
