//! The providers' clients of each Portfolio, made from its Secrets, and what its lines share: one list of the WABA's
//! numbers, one of the account's numbers, one of recordings. A call per line would use up Meta's 200 calls an hour.
//!
//! Made and replaced by the Portfolio's own reconcile only; lines take what is there.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use super::shared::Shared;
use crate::domain::{AppId, BusinessId, ClusterId, E164, Invalid, OwnerId, SharedClock, WabaId};
use crate::providers::telnyx::{OwnedNumber, Recording, Transcription};
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
}

impl Credentials {
    fn fingerprint(&self, portfolio: &Portfolio) -> u64 {
        let mut hasher = DefaultHasher::new();
        for secret in [&self.telnyx_key, &self.access_token, &self.app_secret] {
            secret.expose_secret().hash(&mut hasher);
        }
        let spec = &portfolio.spec;
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
    turns: Mutex<HashSet<String>>,
    heard: Mutex<HashMap<String, Heard>>,
    wrong: Mutex<HashSet<String>>,
    looked_at: Mutex<HashMap<E164, (String, Instant)>>,
    waba_numbers: Shared<Vec<meta::PhoneNumber>, ProviderError>,
    owned_numbers: Shared<Vec<OwnedNumber>, ProviderError>,
    recordings: Shared<Vec<Recording>, ProviderError>,
    transcriptions: Shared<Vec<Transcription>, ProviderError>,
}

/// What this process remembers of a recording that is being read.
struct Heard {
    first_seen: Instant,
    speech_to_text: bool,
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

    /// Recordings since `since`, shared by all numbers that await a code.
    pub async fn recordings(
        &self,
        since: jiff::Timestamp,
        max_age: Duration,
    ) -> Result<Arc<Vec<Recording>>, ProviderError> {
        self.recordings.get(max_age, || self.telnyx.recordings_since(since)).await
    }

    /// Takes one of the turns in which numbers await a code, unless others hold them all or older lines wait. `armed` are
    /// the lines that hold one by their status: turns taken before this process began.
    pub fn take_turn(&self, uid: &str, armed: &[String], older_waiting: usize, limit: usize) -> bool {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.contains(uid) {
            return true;
        }
        let held = turns.iter().chain(armed).collect::<HashSet<_>>().len();
        let free = held + older_waiting < limit;
        if free {
            turns.insert(uid.to_owned());
        }
        free
    }

    /// Gives the turn back.
    pub fn end_turn(&self, uid: &str) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Whether another line of this process has just chosen the number, so that a line looks at the next one instead of
    /// finding out by the ledger, which decides. Notes the choice if not.
    pub fn choose(&self, number: &E164, uid: &str, now: Instant) -> bool {
        let mut chosen = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.retain(|_, (_, at)| now.saturating_duration_since(*at) < Duration::from_secs(60));
        chosen.entry(number.clone()).or_insert_with(|| (uid.to_owned(), now)).0 == uid
    }

    /// When this process first saw a recording.
    pub fn first_seen(&self, recording: &str, now: Instant) -> Instant {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.entry(recording.to_owned()).or_insert(Heard { first_seen: now, speech_to_text: false }).first_seen
    }

    /// Whether speech-to-text may be asked for a recording: once, since it is charged for.
    pub fn try_speech_to_text(&self, recording: &str) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get_mut(recording).is_some_and(|h| !std::mem::replace(&mut h.speech_to_text, true))
    }

    /// Notes that Meta refused the code that was read from a recording.
    pub fn was_wrong(&self, recording: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(recording);
    }

    /// Whether Meta refused the code that was read from a recording. A restart forgets it: it is then tried once more.
    pub fn is_wrong(&self, recording: &str) -> bool {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).contains(recording)
    }

    /// Transcriptions since `since`, shared likewise.
    pub async fn transcriptions(
        &self,
        since: jiff::Timestamp,
        max_age: Duration,
    ) -> Result<Arc<Vec<Transcription>>, ProviderError> {
        self.transcriptions.get(max_age, || self.telnyx.transcriptions_since(since)).await
    }
}

/// All accounts, by the Portfolio's uid.
pub struct Accounts {
    http: Http,
    clock: SharedClock,
    by_uid: RwLock<HashMap<String, Arc<Account>>>,
}

impl Accounts {
    /// None yet.
    pub fn new(http: Http, clock: SharedClock) -> Self {
        Self { http, clock, by_uid: RwLock::default() }
    }

    /// The account of a Portfolio, once its reconcile has made it.
    pub fn get(&self, portfolio: &Portfolio) -> Option<Arc<Account>> {
        let uid = portfolio.metadata.uid.as_deref()?;
        self.by_uid.read().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// Whether lines have an account that was made with other Secrets or URLs than these.
    pub fn differs(&self, portfolio: &Portfolio, fingerprint: u64) -> bool {
        self.get(portfolio).is_some_and(|account| account.fingerprint != fingerprint)
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
        if let Some(current) = self.get(portfolio)
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
        Ok(Arc::new(Account {
            owner: OwnerId::parse(spec.owner_id.clone())?,
            cluster: cluster.clone(),
            waba: WabaId::parse(spec.meta.waba_id.clone())?,
            business: BusinessId::parse(spec.meta.business_id.clone())?,
            telnyx: telnyx::Client::new(&spec.telnyx.base_url, credentials.telnyx_key.clone(), &self.http)?,
            meta,
            applications,
            fingerprint,
            turns: Mutex::default(),
            heard: Mutex::default(),
            wrong: Mutex::default(),
            looked_at: Mutex::default(),
            waba_numbers: Shared::new(self.clock.clone()),
            owned_numbers: Shared::new(self.clock.clone()),
            recordings: Shared::new(self.clock.clone()),
            transcriptions: Shared::new(self.clock.clone()),
        }))
    }

    /// Hands the account to the lines.
    pub fn publish(&self, portfolio: &Portfolio, account: Arc<Account>) {
        if let Some(uid) = portfolio.metadata.uid.clone() {
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
            self.by_uid.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
        }
    }
}
