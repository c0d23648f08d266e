//! Listening for spoken codes: one sequence of list calls, at most one per 3 s, for all numbers of a Portfolio that await
//! one, those that are about to and those that just did. Nothing is listed when none does.
//!
//! Decides which list is read when (`schedule`) and which lines have news; what a recording says and what follows is the
//! lines' (`line::verify`). Telnyx: a transcription names its recording only, a recording names the called number.
//! Must never keep what was said: transcriptions stand in the last list only.

mod memory;
pub mod schedule;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::controller::wakes::Wakes;
use crate::domain::{E164, NamespacedName, PolicyTime, SharedClock};
use crate::providers::telnyx::Listed;
use crate::providers::{ProviderError, telnyx};
pub use memory::{Ear, Heard, HeardRecording, Source};
use memory::{Memory, News};
use schedule::Kind;

/// How far back lists reach: wide, since the carrier's clock decides. What was there before is told by id.
const REACH: SignedDuration = SignedDuration::from_hours(2);

/// How much longer ago a recording may have begun by the carrier's clock.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// Transcriptions of recordings that no list has shown yet, which are looked up after one look, at most.
const LOOK_UPS: usize = 5;

/// The time between two list calls grows so many times, while the carrier fails.
const SLOWEST: u32 = 8;

/// Listens for a Portfolio.
pub struct Listener {
    telnyx: telnyx::Client,
    clock: SharedClock,
    poll: Duration,
    wakes: Arc<Wakes>,
    inner: Mutex<Inner>,
    /// Counts the looks that ended.
    looks: watch::Sender<u64>,
}

struct Inner {
    memory: Memory,
    running: bool,
    /// When the last call began.
    began: Option<Instant>,
    failures: u32,
    /// The last failure of each list that was not read since.
    failed: [Option<(Instant, ProviderError)>; 3],
    /// From when on recordings are listed, where that is longer ago than usual.
    reach: Option<Timestamp>,
    /// Whether to look for what was left at the carrier.
    sweep_due: bool,
}

impl Listener {
    /// Listens to nothing yet.
    pub fn new(telnyx: telnyx::Client, clock: SharedClock, policy: PolicyTime, wakes: Arc<Wakes>) -> Arc<Self> {
        let (looks, _) = watch::channel(0);
        let poll = policy.code_poll();
        let inner = Inner {
            memory: Memory::new(poll),
            running: false,
            began: None,
            failures: 0,
            failed: Default::default(),
            reach: None,
            sweep_due: true,
        };
        Arc::new(Self { telnyx, clock, poll, wakes, inner: Mutex::new(inner), looks })
    }

    /// A line awaits a code, at least until it says so again: it is woken when there is news of its number. What is known
    /// of it now; the carrier's refusal or silence, if the last look met one.
    pub fn listen(self: &Arc<Self>, uid: &str, ear: Ear) -> Result<Heard, ProviderError> {
        let now = self.clock.monotonic();
        let mut inner = self.inner();
        let heard = inner.memory.heard(&ear.number, now);
        // The call log only tells a person what happened: a code can be caught without it.
        let failed =
            [Kind::Recordings, Kind::Transcriptions].into_iter().filter_map(|kind| inner.failed[kind.index()].clone());
        let failed = failed.into_iter().find(|(at, _)| now.saturating_duration_since(*at) < self.poll);
        let failed = failed.map(|(_, error)| error);
        inner.memory.listen(uid, ear, now);
        self.start(&mut inner);
        drop(inner);
        failed.map_or(Ok(heard), Err)
    }

    /// A line awaits no code any more.
    pub fn stop(&self, uid: &str) {
        self.inner().memory.stop(uid);
    }

    /// What the last lists show of a number, without asking.
    pub fn known(&self, number: &E164) -> Heard {
        self.inner().memory.heard(number, self.clock.monotonic())
    }

    /// What the lists show of a number once each of `kinds` was read by a call that began after this one: nothing that was
    /// there before is missing, back to `since` where that is longer ago than lists reach. Waits for its turn, a few seconds
    /// for each list.
    pub async fn read(
        self: &Arc<Self>,
        number: &E164,
        since: Option<Timestamp>,
        kinds: &[Kind],
    ) -> Result<Heard, ProviderError> {
        self.reach_back(since);
        let entered = self.clock.monotonic();
        for kind in kinds {
            self.fresh(*kind, entered).await?;
        }
        Ok(self.known(number))
    }

    fn reach_back(&self, since: Option<Timestamp>) {
        let since = since.and_then(|since| since.checked_sub(SKEW).ok());
        let mut inner = self.inner();
        inner.reach = match (inner.reach, since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Every recording since then, read as by [`Self::read`].
    pub async fn all_recordings(
        self: &Arc<Self>,
        since: Option<Timestamp>,
    ) -> Result<Vec<HeardRecording>, ProviderError> {
        self.reach_back(since);
        self.inner().sweep_due = false;
        let entered = self.clock.monotonic();
        self.fresh(Kind::Recordings, entered).await?;
        self.fresh(Kind::Transcriptions, entered).await?;
        Ok(self.inner().memory.all(self.clock.monotonic()))
    }

    /// Whether a source may be asked what a recording says: a few times at most, since it is charged for. Notes the try.
    pub fn may_ask(&self, source: Source, recording: &str) -> bool {
        self.inner().memory.may_ask(source, recording, self.clock.monotonic())
    }

    /// A source has said what it makes of a recording: it is not asked again.
    pub fn has_answered(&self, source: Source, recording: &str) {
        self.inner().memory.has_answered(source, recording);
    }

    /// Whether something may have been left at the carrier that no line knows of: after a start, and after numbers recorded.
    pub fn sweep_is_due(&self) -> bool {
        self.inner().sweep_due
    }

    /// A number records from now on.
    pub fn armed(&self) {
        self.inner().sweep_due = true;
    }

    /// What was left behind is cleaned up, but for what `left` says.
    pub fn swept(&self, left: bool) {
        let mut inner = self.inner();
        // What was armed meanwhile counts.
        inner.sweep_due |= left || inner.memory.awaits_transcriptions();
        // The next sweep says again how far back it looks: long lists would be of no use to those who listen.
        inner.reach = None;
    }

    /// Transcriptions that came after their recordings were deleted.
    pub fn orphans(&self) -> Vec<String> {
        self.inner().memory.orphans()
    }

    /// Such a transcription is gone at the carrier too.
    pub fn orphan_deleted(&self, transcription: &str) {
        self.inner().memory.orphan_deleted(transcription);
    }

    /// A recording and its transcriptions are gone at the carrier.
    pub fn deleted(&self, recording: &str) {
        self.inner().memory.deleted(recording);
    }

    async fn fresh(self: &Arc<Self>, kind: Kind, entered: Instant) -> Result<(), ProviderError> {
        let mut looks = self.looks.subscribe();
        loop {
            {
                let mut inner = self.inner();
                if inner.memory.read_since(kind, entered) {
                    return Ok(());
                }
                if let Some((at, error)) = &inner.failed[kind.index()]
                    && *at >= entered
                {
                    return Err(error.clone());
                }
                inner.memory.want(kind);
                self.start(&mut inner);
            }
            // The sender lives as long as this.
            let _ended = looks.changed().await;
        }
    }

    fn start(self: &Arc<Self>, inner: &mut Inner) {
        if !std::mem::replace(&mut inner.running, true) {
            tokio::spawn(self.clone().run());
        }
    }

    /// Looks, one list at a time, until nothing is awaited.
    async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.rest()).await;
            let now = self.clock.monotonic();
            let kind = {
                let mut inner = self.inner();
                let needs = inner.memory.needs(now);
                let Some(kind) = schedule::next(&needs, self.poll) else {
                    inner.running = false;
                    inner.memory.forget_said();
                    return;
                };
                inner.began = Some(now);
                kind
            };
            let news = self.look(kind, now).await;
            for line in news {
                self.wakes.wake(&line);
            }
            self.looks.send_modify(|looks| *looks += 1);
        }
    }

    /// The time until the next call may begin; a little more than a look's, since a call that is quick to connect arrives
    /// sooner after one that was slow.
    fn rest(&self) -> Duration {
        let inner = self.inner();
        let gap = self.poll.mul_f64(1.02) * 2u32.saturating_pow(inner.failures).min(SLOWEST);
        let since = inner.began.map_or(gap, |began| self.clock.monotonic().saturating_duration_since(began));
        gap.saturating_sub(since)
    }

    /// Reads one list. Returns the lines that it has news for.
    async fn look(&self, kind: Kind, began: Instant) -> Vec<NamespacedName> {
        let usual = self.clock.now().checked_sub(REACH).unwrap_or(Timestamp::MIN);
        let since = self.inner().reach.map_or(usual, |reach| reach.min(usual));
        let read = match kind {
            Kind::Calls => {
                let page = move |telnyx: telnyx::Client, page| {
                    async move { telnyx.call_events_since(since, page).await }.boxed()
                };
                self.whole(page).await.map(News::Calls)
            }
            Kind::Recordings => {
                let page = move |telnyx: telnyx::Client, page| {
                    async move { telnyx.recordings_since(since, page).await }.boxed()
                };
                self.whole(page).await.map(News::Recordings)
            }
            Kind::Transcriptions => self.telnyx.transcriptions_since(since).await.map(News::Transcriptions),
        };
        let news = match read {
            Ok(news) => news,
            Err(error) => {
                tracing::info!(error = %error, "a list that may hold a code could not be read; it is read again by itself");
                let mut inner = self.inner();
                inner.failed[kind.index()] = Some((self.clock.monotonic(), error));
                inner.memory.could_not(kind, began);
                if kind == Kind::Calls {
                    return Vec::new();
                }
                inner.failures = inner.failures.saturating_add(1);
                return inner.memory.lines();
            }
        };
        let unknown = {
            let mut inner = self.inner();
            inner.failures = if kind == Kind::Calls { inner.failures } else { 0 };
            inner.failed[kind.index()] = None;
            inner.memory.note(kind, news, began);
            inner.memory.unknown(LOOK_UPS)
        };
        for id in unknown {
            // By its id, which is no list call: a list of recordings would come seconds later.
            match self.telnyx.recording(&id).await {
                Ok(recording) => self.inner().memory.looked_up(&id, recording, self.clock.monotonic()),
                Err(error) => {
                    tracing::info!(error = %error, "a recording could not be read by its id; its list tells of it")
                }
            }
        }
        self.inner().memory.news()
    }

    /// All pages of a list, each in its own time: a page is a list call.
    async fn whole<T>(
        &self,
        read: impl Fn(telnyx::Client, usize) -> BoxFuture<'static, Result<Listed<T>, ProviderError>>,
    ) -> Result<Vec<T>, ProviderError> {
        let (mut all, mut before): (Vec<T>, Option<Listed<T>>) = (Vec::new(), None);
        for number in 1.. {
            if number > 1 {
                tokio::time::sleep(self.rest()).await;
                self.inner().began = Some(self.clock.monotonic());
            }
            let mut page = read(self.telnyx.clone(), number).await?;
            if page.repeats(&before) {
                break;
            }
            all.append(&mut page.entries);
            if !page.more {
                break;
            }
            before = Some(page);
        }
        Ok(all)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
