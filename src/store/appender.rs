//! Appends to a company's log: an ordered insert at head + 1, where head is known only by having read the log up to it.
//!
//! Whoever is late gets a duplicate key, reads the tail, drops what is already there and tries again at the new head.
//! After an unclear answer it is read again where the log ends. So seq has no gaps, a repeat is dropped by its `meta_id`,
//! a writer killed at any moment holds nobody up, and a writer has read every fence before its own entry.
//! There is no counter and no transaction, and there must not be one (docs: the log).

use std::collections::HashSet;
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use crate::domain::{Pii, SharedClock};

use super::append_job::{Job, tell_stored};
use super::connect::{Running, Within};
use super::contacts::{ages, gather};
use super::courtesy::Streak;
use super::drafts::{Basis, Draft, Drafted, draft_all};
use super::erasure::gone;
use super::error::StoreError;
use super::fences::{FenceAction, Refused};
use super::insert_answer::{DUPLICATE_KEY, Insert, sort};
use super::log::Log;
use super::log_entry::{Kind, LineRef, LogEntry, NewEntry, Seq};
use super::log_view::{View, catch_up, find_by_meta_id, open};

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log, durable on a majority.
    Stored(Seq),
    /// It was there already.
    Duplicate,
    /// The log does not take it.
    Refused(Refused),
    /// The store will not take it, for a reason that lies in the item or in this company's database.
    Unwritable(String),
}

/// How far an append came.
#[derive(Debug)]
pub struct Appended {
    /// One an item, in their order; None of those that could not be settled.
    pub outcomes: Vec<Option<Outcome>>,
    /// Why not all were. Some of the others may be in the log all the same: a repeat of the same items finds them there.
    pub error: Option<StoreError>,
}

/// What one round of appending led to.
enum Round {
    /// Some or all were settled; go on with the rest at once.
    Progress,
    /// Another writer was faster; go on after a little while.
    Late,
    /// It is not known what happened.
    Unclear(StoreError),
}

/// A writer of one company's log.
pub struct Appender {
    log: Log,
    clock: SharedClock,
    view: Option<View>,
    /// Whether nothing failed since the view was made: it need not be asked whether the log still goes on from there.
    sure: bool,
    retries: u64,
    streak: Streak,
    running: Running,
}

impl Appender {
    pub(super) fn new(log: Log, clock: SharedClock) -> Self {
        let (streak, running) = (Streak::default(), Running::default());
        Self { log, clock, view: None, sure: false, retries: 0, streak, running }
    }

    /// How often an insert had to be tried again since this writer was made.
    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// Appends all that the log takes; one outcome an item, in their order. An error means that not all could be settled
    /// before the deadline: some may be in the log, and a repeat of the same items finds them there.
    pub async fn append(&mut self, items: Vec<NewEntry>, deadline: Instant) -> Result<Vec<Outcome>, StoreError> {
        let Appended { outcomes, error } = self.append_some(items, deadline).await;
        // What is left open has an error.
        error.map_or_else(|| outcomes.into_iter().collect::<Option<_>>().ok_or(StoreError::TimedOut), Err)
    }

    /// The same, and tells what was settled when not all could be.
    pub async fn append_some(&mut self, items: Vec<NewEntry>, deadline: Instant) -> Appended {
        self.streak.stand_aside().await;
        let started = Instant::now();
        let within = self.running.until(deadline);
        let mut job = Job::new(items);
        let mut refreshed = false;
        let mut attempt = 0u32;
        while job.is_open() {
            match self.round(&mut job, &mut refreshed, &within).await {
                Ok(Round::Progress) => {}
                Ok(Round::Late) => {
                    self.retries += 1;
                    attempt += 1;
                    if Instant::now() >= deadline {
                        return Appended { outcomes: job.into_outcomes(), error: Some(StoreError::TimedOut) };
                    }
                    // Short, whatever the attempt: who waits longer and longer meets a busy writer ever more rarely.
                    pause(attempt.min(5)).await;
                }
                Ok(Round::Unclear(error)) | Err(error) => {
                    self.retries += 1;
                    attempt += 1;
                    self.sure = false;
                    job.look_up = true;
                    if !error.is_transient() {
                        self.view = None;
                    }
                    if !error.is_transient() || Instant::now() >= deadline {
                        return Appended { outcomes: job.into_outcomes(), error: Some(error) };
                    }
                    pause(20u32.saturating_mul(attempt).min(200)).await;
                }
            }
        }
        self.streak.appended(started);
        Appended { outcomes: job.into_outcomes(), error: None }
    }

    /// Appends a fence, once for line, epoch and action; true if it was not there before.
    pub async fn append_fence(
        &mut self,
        line: &LineRef,
        action: FenceAction,
        epoch: i64,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let mut fence = NewEntry::new(Kind::Fence, line.clone(), epoch);
        fence.meta_id = Some(Pii(format!("fence/{}/{epoch}/{}", line.phone_number_id, action.as_str())));
        self.append_ours(fence, deadline).await
    }

    /// Appends what ends a log: nothing follows it. True if it was not there before.
    pub async fn append_closed(&mut self, deadline: Instant) -> Result<bool, StoreError> {
        let closed = NewEntry { meta_id: Some(Pii("closed".into())), ..NewEntry::of(Kind::Closed) };
        self.append_ours(closed, deadline).await
    }

    pub(super) async fn append_ours(&mut self, entry: NewEntry, deadline: Instant) -> Result<bool, StoreError> {
        match self.append(vec![entry], deadline).await?.pop() {
            Some(Outcome::Stored(_)) => Ok(true),
            Some(Outcome::Duplicate) => Ok(false),
            Some(Outcome::Refused(reason)) => Err(reason.into()),
            Some(Outcome::Unwritable(name)) => Err(StoreError::Refused { what: "a fence", code: 0, name }),
            None => Err(StoreError::TimedOut),
        }
    }

    async fn round(&mut self, job: &mut Job, refreshed: &mut bool, within: &Within) -> Result<Round, StoreError> {
        if !self.sure {
            let (log, known) = (self.log.clone(), self.view.as_ref().map(View::mark));
            match within.run(async move { open(&log, known).await }).await? {
                // All that was learnt still holds, up to there.
                None => job.behind = true,
                Some(view) => {
                    self.view = Some(view);
                    job.forget();
                    (*refreshed, job.behind) = (true, false);
                }
            }
            self.sure = true;
        }
        let Some(view) = self.view.as_mut() else { return Ok(Round::Late) };
        if job.behind {
            // A tail without news after a duplicate key: the item is there already, somewhere before.
            job.look_up |= catch_up(&self.log, view, job, within).await? == 0;
            (*refreshed, job.behind) = (true, false);
        }
        if job.look_up {
            self.drop_present(job, within).await?;
            job.look_up = false;
        }
        if job.hopeless.is_some() {
            job.give_up();
            return Ok(Round::Progress);
        }
        let Some(view) = self.view.as_mut() else { return Ok(Round::Late) };
        if !view.gone.is_empty() {
            let company = self.log.company();
            job.drop_gone(|id| view.gone.contains(&gone(company, id)));
        }
        if job.refuse_by_fences(&view.fences, *refreshed) {
            // Refused by what this writer knows, which may be old: the controller appends fences too.
            job.behind = true;
            return Ok(Round::Progress);
        }
        let drafts = self.prepare(job, within).await?;
        if drafts.is_empty() {
            return Ok(Round::Progress);
        }
        let documents: Vec<LogEntry> = drafts.iter().map(|draft| draft.entry.clone()).collect();
        job.sent.extend(documents.iter().map(|entry| entry.fp.clone()));
        let collection = self.log.collection().clone();
        let insert = async move { Ok(collection.insert_many(documents).ordered(true).await.map(|_| ())) };
        let inserted = within.run(insert).await;
        let Some(view) = self.view.as_mut() else { return Ok(Round::Late) };
        match inserted {
            Err(error) => Ok(Round::Unclear(error)),
            Ok(Ok(())) => {
                job.portion.stored();
                for Draft { item, note, entry } in &drafts {
                    view.fold(entry);
                    job.learn(entry);
                    tell_stored(entry);
                    if !note {
                        job.settle(*item, Outcome::Stored(entry.seq));
                    }
                }
                Ok(Round::Progress)
            }
            Ok(Err(error)) => match sort(error) {
                Insert::Stopped { at, code } => {
                    // What stood before it should be in the log; the tail tells, and whose the place is.
                    job.behind = at > 0 || code == DUPLICATE_KEY;
                    if code == DUPLICATE_KEY {
                        return Ok(Round::Late);
                    }
                    if at > 0 {
                        job.portion.stored();
                    }
                    if let Some(draft) = drafts.get(at) {
                        job.refuse(draft.item, format!("code {code}"));
                    }
                    Ok(Round::Progress)
                }
                Insert::Refused(why) => {
                    let count = drafts.iter().filter(|draft| !draft.note).count();
                    if count > 1 {
                        // One of them is at fault, or all: fewer tell which.
                        job.portion.refused(count);
                    } else {
                        job.refuse(drafts[0].item, why);
                    }
                    Ok(Round::Progress)
                }
                Insert::Unclear(error) => Ok(Round::Unclear(error)),
            },
        }
    }

    /// Settles the items that are in the log already.
    async fn drop_present(&mut self, job: &mut Job, within: &Within) -> Result<(), StoreError> {
        let wanted: Vec<Pii<String>> = job.open().filter_map(|(_, item)| item.meta_id.clone()).collect();
        let present = find_by_meta_id(&self.log, wanted, within).await?;
        job.settle_present(present.into_values());
        job.all_new = true;
        Ok(())
    }

    /// Gives the next items their places, ids and contacts. None: something is to be read first.
    async fn prepare(&mut self, job: &mut Job, within: &Within) -> Result<Vec<Draft>, StoreError> {
        let Some(view) = self.view.as_mut() else { return Ok(Vec::new()) };
        let chosen = job.next_items();
        // Asked for once: what is appended meanwhile is learnt from the tail. Nothing may stand between reading the
        // tail and the insert, or a busy writer would leave no one else a chance.
        let unasked: HashSet<Pii<String>> = chosen
            .iter()
            .flat_map(|(_, item)| [&item.about, &item.reply_to, &item.refers_to])
            .filter_map(|id| id.clone().filter(|id| !job.asked.contains(id)))
            .collect();
        let found = find_by_meta_id(&self.log, unasked.iter().cloned().collect(), within).await?;
        job.asked.extend(unasked);
        job.messages.extend(found);
        let collection = self.log.collection();
        // For these alone, so that each insert goes on from there; kept, so that whoever comes again need not ask again.
        let wanted = job.unmet(&chosen);
        if !wanted.is_empty() {
            let gathered = gather(&view.people, collection, wanted.clone(), within).await?;
            view.people.add(gathered.clone());
            job.people.add(gathered);
            job.met.merge(wanted);
        }
        let at = self.clock.now();
        loop {
            let people = &job.people;
            let basis = Basis { head: view.head, at, messages: &job.messages, people, all_new: job.all_new };
            match draft_all(&chosen, &basis) {
                Drafted::Ready { drafts, unknown } => {
                    for index in unknown {
                        job.settle(index, Outcome::Refused(Refused::UnknownMessage));
                    }
                    return Ok(drafts);
                }
                Drafted::Ages(ids) => {
                    for (id, seq) in ages(collection, ids, within).await? {
                        view.people.is_since(id.clone(), seq);
                        job.people.is_since(id, seq);
                    }
                }
                Drafted::Presence => {
                    job.look_up = true;
                    return Ok(Vec::new());
                }
            }
        }
    }
}

/// Full jitter of at most so many milliseconds, so that writers who met once do not meet again.
async fn pause(most: u32) {
    let wait = rand::rng().random_range(0..=u64::from(most) * 1000);
    tokio::time::sleep(Duration::from_micros(wait)).await;
}
