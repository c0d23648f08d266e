//! What all connections of a replica share: the store, the keys, the tails, who is connected, what is revoked.
//!
//! Decides who may come in ([`Hub::admit`]); what an admitted connection gets is the session's business.
//! A company is named by a token only. Must never hand out another company's tail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::auth::{self, Recruiter};
use super::catch_up::Turns;
use super::keys::Keys;
use super::limits::{Bucket, Buckets, retry_after};
use super::lines::{LineView, Lines, view};
use super::metrics::Metrics;
use super::presence::{self, Full, Local, Person, Seat};
use super::refusal::Refusal;
use super::seating::{Comes, Start};
use super::settings::Settings;
use super::tail::{Databases, Tail, TailContext};
use crate::domain::{CompanyId, SharedClock};
use crate::store::{DeviceKey, LogNews, Revocation, Store, StoreError, bounded};

/// Longest name of a device.
const MAX_DEVICE: usize = 64;
/// Handshakes that look for their company's record at once: few of the store's connections.
const OPENS: usize = 8;
/// A recruiter with too many devices comes back no sooner than this: one must leave first.
const CROWDED: Duration = Duration::from_secs(10);

/// What a client says in the handshake.
#[derive(serde::Deserialize)]
pub struct Handshake {
    #[serde(default)]
    token: String,
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    cursor: Option<String>,
}

/// An admitted connection.
pub struct Admitted {
    /// Who it is.
    pub recruiter: Recruiter,
    /// The device's name.
    pub device: String,
    /// Where it starts.
    pub start: Start,
    /// The company's tail.
    pub tail: Arc<Tail>,
    /// Its place among the devices.
    pub seat: Seat,
}

/// The shared state.
pub struct Hub {
    /// The store.
    pub store: Store,
    /// Time.
    pub clock: SharedClock,
    /// Limits.
    pub settings: Arc<Settings>,
    /// Counters.
    pub metrics: Metrics,
    /// Who is connected here.
    pub presence: Arc<Local>,
    keys: Keys,
    lines: Arc<dyn Lines>,
    tails: Mutex<HashMap<CompanyId, Weak<Tail>>>,
    databases: Databases,
    turns: Turns,
    news: watch::Receiver<bool>,
    /// None until they were read once: without them nobody is let in.
    revocations: watch::Sender<Option<Arc<Vec<Revocation>>>>,
    draining: watch::Sender<bool>,
    /// Handshakes that look for their company's record at once.
    pub(super) opens: Semaphore,
    connects: Mutex<Bucket>,
    recruiters_connects: Mutex<Buckets<Person>>,
}

impl Hub {
    /// A hub; `news` says whether the change stream over the logs lives.
    pub fn new(
        store: Store,
        keys: Keys,
        lines: Arc<dyn Lines>,
        settings: Settings,
        metrics: Metrics,
        clock: SharedClock,
        news: watch::Receiver<bool>,
    ) -> Self {
        let rate = settings.connects_per_second;
        let connects = Mutex::new(Bucket::new(rate, rate * 2.0, clock.monotonic()));
        let own = settings.recruiter_connects_per_second;
        Self {
            store,
            clock,
            settings: Arc::new(settings),
            metrics,
            presence: Arc::default(),
            keys,
            lines,
            tails: Mutex::default(),
            databases: Databases::default(),
            turns: Turns::default(),
            news,
            revocations: watch::Sender::new(None),
            draining: watch::Sender::new(false),
            opens: Semaphore::new(OPENS),
            connects,
            recruiters_connects: Mutex::new(Buckets::new(own, own * 10.0)),
        }
    }

    /// Who is calling, by token alone: signature, claims, revocations.
    pub async fn authenticate(&self, token: &str) -> Result<Recruiter, Refusal> {
        let mut keys = self.keys.current();
        let unknown = auth::names_unknown_key(token, &keys);
        self.keys.refresh(unknown).await;
        if unknown {
            keys = self.keys.current();
        }
        if keys.is_empty() {
            // Nobody can say whether it is good. A client that is told `unauthorized` gives up.
            return Err(self.retry_later());
        }
        let recruiter = auth::verify(token, &keys, &self.settings.tokens, self.clock.now())?;
        let revoked = self.revocations.borrow().as_ref().map(|list| is_revoked(list, &recruiter));
        match revoked {
            None => Err(self.retry_later()),
            Some(true) => Err(Refusal::Revoked),
            Some(false) => Ok(recruiter),
        }
    }

    /// The whole handshake. `gone` is cancelled when the client's connection has ended.
    pub async fn admit(self: &Arc<Self>, handshake: Handshake, gone: &CancellationToken) -> Result<Admitted, Refusal> {
        if *self.draining.borrow() {
            return Err(self.retry_later());
        }
        let recruiter = self.authenticate(&handshake.token).await?;
        let device = handshake.device.unwrap_or_else(|| "default".into());
        if !auth::is_name(&device, MAX_DEVICE) {
            return Err(Refusal::Unauthorized("device"));
        }
        let key = DeviceKey {
            company: recruiter.company.clone(),
            recruiter: recruiter.recruiter.clone(),
            device: device.clone(),
        };
        // Before anything is asked for the whole replica: one recruiter must not use up what all share.
        let limits = (self.settings.devices_per_recruiter, self.settings.connections_per_device);
        let room = self.presence.room(&key, limits.0, limits.1).map_err(|full| match full {
            Full::Devices => limit_met("too_many_devices", CROWDED),
            Full::Connections => limit_met("too_many_connections", self.settings.farewell),
        })?;
        self.too_often(&key).map_err(|wait| limit_met("too_many_connects", wait))?;
        // After the token: what spares the store must not let strangers keep recruiters out.
        if let Some(wait) = self.too_fast() {
            return Err(Refusal::RetryLater(retry_after(wait, rand::rng().random())));
        }
        let tail = self.tail(&recruiter.company);
        let deadline = Instant::now() + self.settings.handshake_store_limit;
        let comes = Comes { key, cursor: handshake.cursor, deadline, gone: gone.clone() };
        // In a task of its own: an operation that is dropped half-way costs its connection, and a store that is slow already
        // would be asked for a new one by each who does not wait any longer.
        let seated = bounded(deadline, Arc::clone(self).seat(comes, Arc::clone(&tail)));
        let (start, claim) = match seated.await {
            Ok(seated) => seated?,
            Err(StoreError::CompanyErased(_)) => return Err(Refusal::Unauthorized("company_erased")),
            Err(StoreError::TimedOut) => return Err(self.retry_later()),
            Err(error) => {
                tracing::warn!(company = %recruiter.company, %error, "a recruiter could not be let in");
                return Err(self.retry_later());
            }
        };
        let seat = room.seat(claim.number);
        Ok(Admitted { recruiter, device, start, tail, seat })
    }

    fn tail(&self, company: &CompanyId) -> Arc<Tail> {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = tails.get(company).and_then(Weak::upgrade) {
            return tail;
        }
        tails.retain(|_, tail| tail.strong_count() > 0);
        let context = TailContext {
            store: self.store.clone(),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
            databases: self.databases.clone(),
            news: self.news.clone(),
            turns: self.turns.clone(),
        };
        let tail = Arc::new(Tail::start(company.clone(), context));
        tails.insert(company.clone(), Arc::downgrade(&tail));
        tail
    }

    /// A log grew: wakes its tail, if somebody of that company is connected here.
    pub fn log_grew(&self, news: &LogNews) {
        let company = self.databases.lock().unwrap_or_else(PoisonError::into_inner).get(&news.database).cloned();
        if let Some(company) = company {
            self.appended(&company, news.seq);
        }
    }

    /// This replica itself appended to a company's log.
    pub fn appended(&self, company: &CompanyId, seq: i64) {
        let tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = tails.get(company).and_then(Weak::upgrade) {
            tail.news(seq);
        }
    }

    /// The company's lines as clients see them, and what tells of changes.
    pub fn lines(&self, company: &CompanyId) -> Vec<LineView> {
        view(self.lines.of(company), company)
    }

    /// Changes with the routes.
    pub fn line_changes(&self) -> watch::Receiver<u64> {
        self.lines.changes()
    }

    /// The revocations as they are known now.
    pub fn set_revocations(&self, list: Vec<Revocation>) {
        self.revocations.send_if_modified(|known| {
            let changed = known.as_ref().is_none_or(|known| **known != list);
            if changed {
                *known = Some(Arc::new(list));
            }
            changed
        });
    }

    /// Resolves once the token is revoked. `token` may be exchanged meanwhile, and the new one have been revoked between
    /// its check and the exchange: each change of either is looked at.
    pub async fn revoked(&self, mut token: watch::Receiver<Recruiter>) {
        let mut revocations = self.revocations.subscribe();
        loop {
            let list = revocations.borrow_and_update().clone();
            if list.is_some_and(|list| is_revoked(&list, &token.borrow_and_update())) {
                return;
            }
            // An error is a hub or a session that is gone, and nothing changes any more.
            tokio::select! {
                Ok(()) = revocations.changed() => {}
                Ok(()) = token.changed() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// The keys for tokens.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Starts draining: nobody is let in any more, and everybody is told to go.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Resolves once draining has begun.
    pub async fn drained(&self) {
        let mut draining = self.draining.subscribe();
        // An error means that the hub is gone, which it is not while it is borrowed.
        let _ = draining.wait_for(|draining| *draining).await;
    }

    /// Come again in a while.
    pub(super) fn retry_later(&self) -> Refusal {
        Refusal::RetryLater(retry_after(Duration::from_secs(1), rand::rng().random()))
    }

    fn too_often(&self, key: &DeviceKey) -> Result<(), Duration> {
        let mut connects = self.recruiters_connects.lock().unwrap_or_else(PoisonError::into_inner);
        connects.take(presence::person(key), self.clock.monotonic())
    }

    fn too_fast(&self) -> Option<Duration> {
        let mut connects = self.connects.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = connects.take(self.clock.monotonic());
        (!granted).then(|| connects.wait())
    }
}

fn limit_met(which: &'static str, wait: Duration) -> Refusal {
    Refusal::LimitMet(which, retry_after(wait, rand::rng().random()))
}

fn is_revoked(list: &[Revocation], token: &Recruiter) -> bool {
    list.iter().any(|r| r.cuts(&token.company, &token.recruiter, token.jti.as_deref(), token.iat))
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
