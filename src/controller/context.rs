//! Everything that a reconcile depends on, in one place: clients, clock, randomness, shared views. No globals.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::events::Recorder;
use rand::RngExt;
use rand::rngs::StdRng;

use super::away::Away;
use super::handed_in::HandedIn;
use super::leadership::Leadership;
use super::slots::Slots;
use super::views::Views;
use super::wakes::Wakes;
use crate::domain::{ClusterId, E164, NamespacedName, PolicyTime, SharedClock};
use crate::portfolio::accounts::Accounts;
use crate::portfolio::audits::Audits;
use crate::portfolio::ledger_write::LedgerTurns;
use crate::portfolio::observed::Observations;
use crate::portfolio::rounds::Rounds;
use crate::resources::{ClientNumber, Portfolio};
use crate::store::Store;
use crate::telemetry::controller_metrics::ControllerMetrics;

/// What the controllers work with.
pub struct Context {
    /// Kubernetes, for single requests (bounded in time).
    pub client: kube::Client,
    /// Writes events; shared, since it holds the cache that joins repeats.
    pub recorder: Recorder,
    /// Time.
    pub clock: SharedClock,
    /// Policy times.
    pub policy: PolicyTime,
    /// The right to write. Clients of providers and of Kubernetes ask by themselves; who writes to MongoDB asks here.
    pub lead: Leadership,
    /// MongoDB.
    pub store: Store,
    /// Provider clients by Portfolio.
    pub accounts: Accounts,
    /// Codes that people handed in as Secrets.
    pub handed_in: HandedIn,
    /// Wakes lines.
    pub wakes: Arc<Wakes>,
    /// All lines, as last seen. May be a moment old: good for looking around, never for deciding to spend.
    pub lines: Views<ClientNumber>,
    /// All Portfolios, as last seen.
    pub portfolios: Views<Portfolio>,
    /// Randomness.
    pub rng: Mutex<StdRng>,
    /// Write nothing to providers, MongoDB or Secrets.
    pub read_only: bool,
    /// Identity of this cluster: the uid of the namespace kube-system.
    pub cluster: ClusterId,
    /// When each Portfolio's accounts are read next.
    pub rounds: Rounds,
    /// What each Portfolio's last round saw.
    pub observations: Observations,
    /// What audits remember.
    pub audits: Audits,
    /// The namespaces that are watched; empty: all.
    pub namespaces: Vec<String>,
    /// Measurements.
    pub metrics: Arc<ControllerMetrics>,
    /// How many passes run at the same time.
    pub slots: Slots,
    /// Who writes a Portfolio's ledger.
    pub ledgers: LedgerTurns,
    /// What is away, and who waits for it.
    pub away: Away,
}

impl Context {
    /// A duration with 15 % jitter either way, so that many lines don't move in step.
    pub fn jitter(&self, duration: Duration) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        duration.mul_f64(rng.random_range(0.85..1.15))
    }

    /// Whether this process may still write.
    pub fn leads(&self) -> bool {
        self.lead.holds(self.clock.monotonic())
    }

    /// Waits until both kinds have been listed once: whoever asks whether another line has a number needs them all.
    /// False: the program ends before they were.
    pub async fn told(&self) -> bool {
        self.lines.told().await && self.portfolios.told().await
    }

    /// Another line that has the number or is about to buy it, by its status.
    pub fn other_line_with(&self, number: &E164, uid: &str) -> Option<NamespacedName> {
        self.lines
            .state()
            .iter()
            .find(|other| {
                let status = other.status.as_ref();
                let owned = status.and_then(|s| s.phone_number.as_deref());
                let candidate = status.and_then(|s| s.purchase.as_ref()).and_then(|p| p.candidate.as_deref());
                other.metadata.uid.as_deref() != Some(uid) && [owned, candidate].contains(&Some(number.as_str()))
            })
            .map(|other| name_of(&other.metadata))
    }

    /// Another line whose spec names the number and that stays: it waits for it, whatever its status says.
    pub fn other_line_naming(&self, number: &E164, uid: &str) -> Option<NamespacedName> {
        self.lines
            .state()
            .iter()
            .filter(|other| other.metadata.uid.as_deref() != Some(uid) && other.metadata.deletion_timestamp.is_none())
            .find(|other| other.spec.number.existing.as_ref().is_some_and(|e| e.phone_number == number.as_str()))
            .map(|other| name_of(&other.metadata))
    }

    /// Whether an object of this name and company exists (another than `uid`).
    pub fn line_exists(&self, name: &NamespacedName, uid: &str, company: &str) -> bool {
        self.lines.state().iter().any(|other| {
            other.metadata.uid.as_deref() != Some(uid)
                && name_of(&other.metadata) == *name
                && other.spec.company_id == company
        })
    }
}

/// Namespace and name of an object.
pub fn name_of(metadata: &kube::api::ObjectMeta) -> NamespacedName {
    NamespacedName::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}
