//! Meta's side: signed POSTs to either replica, repeated with growing pauses on anything but 200; an answer that got lost
//! counts as none.
//!
//! It keeps its own book and a journal of every attempt. Must never give up on a POST, nor look at the store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::book::{self, Entry, Lines};
use super::plan::{Plan, Repeat};
use crate::support::router;

/// Attempts on their way at once: more would only measure how long they wait for each other.
const AT_ONCE: usize = 6;
/// Meta hangs up.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Of the answers so many never reach the sender.
const ANSWERS_LOST: f64 = 0.02;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Status(u16),
    /// 200, which the sender did not get to know.
    Lost,
    /// No connection, or one that broke.
    Broken,
}

/// One attempt at one replica.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub replica: usize,
    pub began: Instant,
    pub took: Duration,
    pub end: End,
}

struct Shared {
    plan: Arc<Plan>,
    lines: Lines,
    urls: Vec<String>,
    http: reqwest::Client,
    seed: u64,
    turn: AtomicUsize,
    room: Semaphore,
    entries: Mutex<Vec<Option<Entry>>>,
    attempts: Mutex<Vec<Attempt>>,
}

/// The sender. Cheap to clone.
#[derive(Clone)]
pub struct Sender(Arc<Shared>);

impl Sender {
    /// One that posts to these replicas in turn.
    pub fn new(plan: Arc<Plan>, lines: Lines, urls: Vec<String>, seed: u64) -> Result<Sender> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let entries = Mutex::new(vec![None; plan.posts.len()]);
        Ok(Sender(Arc::new(Shared {
            plan,
            lines,
            urls,
            http,
            seed,
            turn: AtomicUsize::new(0),
            room: Semaphore::new(AT_ONCE),
            entries,
            attempts: Mutex::default(),
        })))
    }

    /// Sends everything, one POST more in every `pause`, and comes back when each is answered.
    pub async fn run(self, pause: Duration) -> Result<()> {
        let mut all = JoinSet::new();
        for post in 0..self.0.plan.posts.len() {
            sleep(pause).await;
            // So much may wait at Meta; more would only be a heap of tasks.
            while all.len() > 40 * AT_ONCE {
                all.join_next().await.context("no task")??;
            }
            let sender = self.clone();
            all.spawn(async move { sender.post(post).await });
        }
        while let Some(done) = all.join_next().await {
            done?;
        }
        Ok(())
    }

    async fn post(&self, post: usize) {
        let Shared { plan, lines, .. } = &*self.0;
        let mut rng = StdRng::seed_from_u64(self.0.seed ^ (post as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let timestamp = jiff::Timestamp::now().as_second();
        let body = book::body(plan, lines, post, timestamp);
        self.lock()[post] = Some(Entry { timestamp, answered: None });
        match plan.posts[post].repeated {
            None => self.until_answered(post, &body, &mut rng).await,
            Some(Repeat::AtOnce) => {
                let mut twin = StdRng::seed_from_u64(rng.random());
                tokio::join!(self.until_answered(post, &body, &mut rng), self.until_answered(post, &body, &mut twin));
            }
            Some(Repeat::Later) => {
                self.until_answered(post, &body, &mut rng).await;
                sleep(Duration::from_millis(rng.random_range(0..4000))).await;
                self.until_answered(post, &body, &mut rng).await;
            }
        }
    }

    async fn until_answered(&self, post: usize, body: &str, rng: &mut StdRng) {
        let mut pause = FIRST_PAUSE;
        loop {
            let lost = rng.random_bool(ANSWERS_LOST);
            if self.attempt(body, lost).await == End::Status(200) {
                if let Some(entry) = &mut self.lock()[post] {
                    entry.answered.get_or_insert_with(Instant::now);
                }
                return;
            }
            sleep(pause.mul_f64(rng.random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, body: &str, lost: bool) -> End {
        let Shared { urls, http, .. } = &*self.0;
        let _room = self.0.room.acquire().await;
        let replica = self.0.turn.fetch_add(1, Ordering::Relaxed) % urls.len();
        let began = Instant::now();
        let end = match router::post(http, &urls[replica], body.to_owned()).await {
            Ok(200) if lost => End::Lost,
            Ok(status) => End::Status(status),
            Err(_) => End::Broken,
        };
        let attempt = Attempt { replica, began, took: began.elapsed(), end };
        self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
        end
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Entry>>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many POSTs were begun, and how many answered.
    pub fn progress(&self) -> (usize, usize) {
        let entries = self.lock();
        let begun = entries.iter().flatten().count();
        (begun, entries.iter().flatten().filter(|entry| entry.answered.is_some()).count())
    }

    /// Which part of all POSTs was begun.
    pub fn part_begun(&self) -> f64 {
        self.progress().0 as f64 / self.0.plan.posts.len() as f64
    }

    /// The book, once everything was sent.
    pub fn book(&self) -> Result<Vec<Entry>> {
        self.lock().iter().cloned().collect::<Option<Vec<_>>>().context("something was never sent")
    }

    /// All attempts so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
