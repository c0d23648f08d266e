//! The providers' clients of each Portfolio, made from its Secrets, and what its lines share: one list of the WABA's
//! numbers, one of the account's numbers, one listener for codes. A call per line would use up Meta's 200 calls an hour.
//!
//! Made and replaced by the Portfolio's own reconcile only; lines take what is there.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use super::listener::{HeardRecording, Listener};
use super::operator::{Operator, TranscriberToken};
use super::shared::Shared;
use super::turns::Turns;
use crate::controller::wakes::Wakes;
use crate::domain::{AppId, BusinessId, ClusterId, E164, Invalid, OwnerId, PolicyTime, SharedClock, WabaId};
use crate::providers::telnyx::{Order, OwnedNumber};
use crate::providers::{DocumentError, Http, ProviderError, meta, telnyx};
use crate::resources::Portfolio;
use crate::resources::names;

/// The secrets that a Portfolio names.
#[derive(Clone)]
pub struct Credentials {
    /// Telnyx API key.
    pub telnyx_key: SecretString,
    /// Meta access token.
    pub access_token: SecretString,
    /// Meta app secret.
    pub app_secret: SecretString,
    /// The token of the operator's transcriber.
    pub transcriber_token: TranscriberToken,
}

impl Credentials {
    fn at_carrier(&self, portfolio: &Portfolio) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.telnyx_key.expose_secret(), &portfolio.spec.telnyx.base_url).hash(&mut hasher);
        hasher.finish()
    }

    fn fingerprint(&self, portfolio: &Portfolio) -> u64 {
        let mut hasher = DefaultHasher::new();
        for secret in [&self.telnyx_key, &self.access_token, &self.app_secret] {
            secret.expose_secret().hash(&mut hasher);
        }
        let spec = &portfolio.spec;
        self.transcriber_token.hash_into(&mut hasher);
        let transcriber = spec.telnyx.transcriber.as_ref().map(|t| (&t.url, &t.model));
        transcriber.hash(&mut hasher);
        (&spec.telnyx.base_url, &spec.meta.base_url, &spec.meta.graph_version, &spec.meta.app_id).hash(&mut hasher);
        hasher.finish()
    }
}

/// A Portfolio's clients and shared lists.
pub struct Account {
    /// First part of every reference.
    pub owner: OwnerId,
    /// This cluster.
    pub cluster: ClusterId,
    /// The WABA that numbers are added to.
    pub waba: WabaId,
    /// The business portfolio.
    pub business: BusinessId,
    /// The carrier.
    pub telnyx: telnyx::Client,
    /// Meta.
    pub meta: meta::Client,
    /// The TeXML applications.
    pub applications: Applications,
    fingerprint: u64,
    /// The carrier's URL and key: who has the same listens in the same sequence.
    at_carrier: u64,
    /// Who awaits a code.
    pub turns: Arc<Turns>,
    looked_at: Mutex<HashMap<E164, (String, Instant)>>,
    mirrored: Mutex<HashMap<(String, String), Instant>>,
    waba_numbers: Shared<Vec<meta::PhoneNumber>, ProviderError>,
    owned_numbers: Shared<Vec<OwnedNumber>, ProviderError>,
    orders: Shared<Vec<Order>, ProviderError>,
    /// Where spoken codes are listened for.
    pub listener: Arc<Listener>,
    /// The operator's transcriber.
    pub(super) operator: Option<Operator>,
}

/// Ids of the TeXML applications that calls run through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applications {
    /// Records.
    pub capture: String,
    /// Rejects.
    pub reject: String,
}

impl Applications {
    /// The rejecting application, if there is one: none can be made while no address of the router is configured.
    pub fn reject_id(&self) -> Option<&str> {
        Some(self.reject.as_str()).filter(|id| !id.is_empty())
    }
}

impl Account {
    /// Of what it was made: other Secrets, other URLs, another fingerprint. For comparing only.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The WABA's numbers, from a list call not older than `max_age`.
    pub async fn waba_numbers(&self, max_age: Duration) -> Result<Arc<Vec<meta::PhoneNumber>>, ProviderError> {
        self.waba_numbers.get(max_age, || self.meta.phone_numbers(&self.waba)).await
    }

    /// The WABA's numbers as they were read last, without asking.
    pub fn last_waba_numbers(&self) -> Option<Arc<Vec<meta::PhoneNumber>>> {
        self.waba_numbers.peek()
    }

    /// The same for somebody who can do without: None when they could not be read less than `max_age` ago either.
    pub async fn waba_numbers_if_well(&self, max_age: Duration) -> Option<Result<(), ProviderError>> {
        if self.waba_numbers_failed_within(max_age) {
            return None;
        }
        Some(self.waba_numbers(max_age).await.map(|_| ()))
    }

    /// Whether they could not be read less than `age` ago.
    pub fn waba_numbers_failed_within(&self, age: Duration) -> bool {
        self.waba_numbers.failed_within(age)
    }

    /// The next reader of the WABA's numbers asks Meta: something was changed there.
    pub fn forget_waba_numbers(&self) {
        self.waba_numbers.forget();
    }

    /// The carrier's numbers that carry this installation's tag, from a list call not older than `max_age`.
    pub async fn owned_numbers(&self, max_age: Duration) -> Result<Arc<Vec<OwnedNumber>>, ProviderError> {
        self.owned_numbers
            .get(max_age, || async { self.telnyx.numbers_by_tag(&names::owner_tag(&self.owner)).await })
            .await
    }

    /// The next reader of the carrier's numbers asks Telnyx.
    pub fn forget_owned_numbers(&self) {
        self.owned_numbers.forget();
    }

    /// What the references of this owner id begin with.
    pub fn reference_prefix(&self) -> String {
        format!("{}/", self.owner)
    }

    /// The carrier's orders of this owner id since `since`, in brief, from a list call not older than `max_age`: the
    /// purchases' limits are held against it.
    pub async fn orders(&self, since: jiff::Timestamp, max_age: Duration) -> Result<Arc<Vec<Order>>, ProviderError> {
        self.orders
            .get(max_age, || async { self.telnyx.orders_since(&self.reference_prefix(), Some(since)).await })
            .await
    }

    /// The next reader of the orders asks Telnyx: one was made.
    pub fn forget_orders(&self) {
        self.orders.forget();
    }

    /// A line awaits no code any more: its turn is free, and it listens no more.
    pub fn end_turn(&self, uid: &str) {
        self.listener.stop(uid);
        self.turns.end(uid);
    }

    /// Deletes a recording and what was written down from it.
    pub async fn delete_recording(&self, recording: &HeardRecording) -> Result<(), ProviderError> {
        for transcription in &recording.transcriptions {
            self.telnyx.delete_transcription(&transcription.id).await?;
        }
        self.telnyx.delete_recording(&recording.recording.id).await?;
        self.listener.deleted(&recording.recording.id);
        Ok(())
    }

    /// Whether another line of this process has just chosen the number, so that a line looks at the next one instead of
    /// finding out by the ledger, which decides. Notes the choice if not.
    pub fn choose(&self, number: &E164, uid: &str, now: Instant) -> bool {
        let mut chosen = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.retain(|_, (_, at)| now.saturating_duration_since(*at) < Duration::from_secs(60));
        chosen.entry(number.clone()).or_insert_with(|| (uid.to_owned(), now)).0 == uid
    }

    /// Whether a line's number may be noted in its annotation: once in `gap`, so that two writers don't fight. Notes the try.
    pub fn may_mirror(&self, uid: &str, number: &str, now: Instant, gap: Duration) -> bool {
        let mut tries = self.mirrored.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, at| now.saturating_duration_since(*at) < gap);
        let key = (uid.to_owned(), number.to_owned());
        let may = !tries.contains_key(&key);
        tries.entry(key).or_insert(now);
        may
    }
}

/// All accounts, by the Portfolio's uid.
pub struct Accounts {
    http: Http,
    clock: SharedClock,
    policy: PolicyTime,
    wakes: Arc<Wakes>,
    by_uid: RwLock<HashMap<String, Arc<Account>>>,
    /// Those that a person must settle something about: good for ending what was begun.
    refused: RwLock<HashMap<String, Arc<Account>>>,
}

impl Accounts {
    /// None yet.
    pub fn new(http: Http, clock: SharedClock, policy: PolicyTime, wakes: Arc<Wakes>) -> Self {
        Self { http, clock, policy, wakes, by_uid: RwLock::default(), refused: RwLock::default() }
    }

    /// The account of a Portfolio, once its reconcile has made it.
    pub fn get(&self, portfolio: &Portfolio) -> Option<Arc<Account>> {
        let uid = portfolio.metadata.uid.as_deref()?;
        self.by_uid.read().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// The account of a Portfolio for what must end at the carrier whatever Meta says of the token: a number that records.
    pub fn for_ending(&self, portfolio: &Portfolio) -> Option<Arc<Account>> {
        let refused = || {
            let uid = portfolio.metadata.uid.as_deref()?;
            self.refused.read().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
        };
        self.get(portfolio).or_else(refused)
    }

    /// Whether lines have an account that was made with other Secrets or URLs than these.
    pub fn differs(&self, portfolio: &Portfolio, fingerprint: u64) -> bool {
        self.for_ending(portfolio).is_some_and(|account| account.fingerprint != fingerprint)
    }

    /// The clients for a Portfolio, before it is known whether the cluster may act. Kept while nothing changed.
    pub fn prepare(
        &self,
        portfolio: &Portfolio,
        credentials: &Credentials,
        cluster: &ClusterId,
        applications: Applications,
    ) -> Result<Arc<Account>, Invalid> {
        let fingerprint = credentials.fingerprint(portfolio);
        if let Some(current) = self.for_ending(portfolio)
            && current.fingerprint == fingerprint
            && current.applications == applications
        {
            return Ok(current);
        }
        let spec = &portfolio.spec;
        let meta = meta::Client::new(
            &spec.meta.base_url,
            &spec.meta.graph_version,
            credentials.access_token.clone(),
            &credentials.app_secret,
            AppId::parse(spec.meta.app_id.clone())?,
            &self.http,
        )?
        .of_waba(&WabaId::parse(spec.meta.waba_id.clone())?);
        let telnyx = telnyx::Client::new(&spec.telnyx.base_url, credentials.telnyx_key.clone(), &self.http)?;
        let at_carrier = credentials.at_carrier(portfolio);
        // A new token of Meta's must not begin a second sequence of list calls, nor free the turns of those who record.
        let (listener, turns) = match self.for_ending(portfolio).filter(|current| current.at_carrier == at_carrier) {
            Some(current) => (current.listener.clone(), current.turns.clone()),
            None => {
                let listener = Listener::new(telnyx.clone(), self.clock.clone(), self.policy, self.wakes.clone());
                (listener, Arc::default())
            }
        };
        let operator = spec.telnyx.transcriber.as_ref();
        let operator = operator.map(|t| Operator::new(t, &credentials.transcriber_token, &self.http)).transpose()?;
        Ok(Arc::new(Account {
            owner: OwnerId::parse(spec.owner_id.clone())?,
            cluster: cluster.clone(),
            waba: WabaId::parse(spec.meta.waba_id.clone())?,
            business: BusinessId::parse(spec.meta.business_id.clone())?,
            telnyx,
            meta,
            applications,
            fingerprint,
            at_carrier,
            turns,
            looked_at: Mutex::default(),
            mirrored: Mutex::default(),
            waba_numbers: Shared::new(self.clock.clone()),
            owned_numbers: Shared::new(self.clock.clone()),
            orders: Shared::new(self.clock.clone()),
            listener,
            operator,
        }))
    }

    /// Hands the account to the lines.
    pub fn publish(&self, portfolio: &Portfolio, account: Arc<Account>) {
        if let Some(uid) = portfolio.metadata.uid.clone() {
            self.refused.write().unwrap_or_else(PoisonError::into_inner).remove(&uid);
            self.by_uid.write().unwrap_or_else(PoisonError::into_inner).insert(uid, account);
        }
    }

    /// Fetches a document of the router's as a provider would, to compare it.
    pub async fn fetch_document(&self, url: &str) -> Result<String, DocumentError> {
        self.http.fetch_document(url).await
    }

    /// Takes the account away: its lines wait.
    pub fn withdraw(&self, portfolio: &Portfolio) {
        if let Some(uid) = portfolio.metadata.uid.as_deref() {
            self.refused.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
            self.by_uid.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
        }
    }

    /// The same because a person must settle something: a token is refused, a Secret is gone. What records can still be ended
    /// with `account`, or with the one that lines had.
    pub fn refuse(&self, portfolio: &Portfolio, account: Option<Arc<Account>>) {
        let Some(uid) = portfolio.metadata.uid.clone() else { return };
        let before = self.by_uid.write().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        if let Some(account) = account.or(before) {
            self.refused.write().unwrap_or_else(PoisonError::into_inner).insert(uid, account);
        }
    }
}
