//! What the ingest counts. No label ever holds a number, a company or anything of a candidate.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::telemetry::Registry;
use crate::telemetry::metrics::SECONDS;

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// The word.
    pub result: &'static str,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Item {
    /// message, status or event.
    pub kind: &'static str,
    /// stored, duplicate or quarantine.
    pub result: &'static str,
}

/// Which operation of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Operation {
    /// append, quarantine or account_event.
    pub op: &'static str,
}

/// Why a change is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// The word of the reason.
    pub reason: &'static str,
}

/// The ingest's metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// POSTs by how they ended: ok, bad_signature, too_large, encoded, malformed, aborted, slow, shed, store_error.
    pub requests: Family<Outcome, Counter>,
    /// From the POST's headers to its answer.
    pub duration: Histogram,
    /// Parts of webhooks.
    pub messages: Family<Item, Counter>,
    /// Looking a line up: hit, miss (the store had to be asked), unknown, stale.
    pub lookups: Family<Outcome, Counter>,
    /// Writing.
    pub store: Family<Operation, Histogram, fn() -> Histogram>,
    /// Inserts that had to be tried again.
    pub retries: Counter,
    /// Changes in quarantine now.
    pub quarantine: Gauge,
    /// Changes that went there.
    pub quarantined: Family<Reason, Counter>,
    /// Changes that were brought back.
    pub replayed: Counter,
    /// When the last signed POST came, seconds since 1970.
    pub last_post: Gauge,
    /// Lines at work that no webhook has named for a day.
    pub silent: Gauge,
    /// Entries that retention removed.
    pub retention_removed: Counter,
    /// How far this machine's clock is ahead of the store's, in whole seconds; 0: they agree.
    pub clock_ahead: Gauge,
    /// When this replica's last round of retention ended, seconds since 1970.
    pub retention_round: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let all = Self {
            requests: Family::default(),
            duration: histogram(),
            messages: Family::default(),
            lookups: Family::default(),
            store: Family::new_with_constructor(histogram as fn() -> Histogram),
            retries: Counter::default(),
            quarantine: Gauge::default(),
            quarantined: Family::default(),
            replayed: Counter::default(),
            last_post: Gauge::default(),
            silent: Gauge::default(),
            clock_ahead: Gauge::default(),
            retention_removed: Counter::default(),
            retention_round: Gauge::default(),
        };
        registry.register("router_webhook_requests", "Webhook POSTs by result", all.requests.clone());
        registry.register("router_webhook_duration_seconds", "From a POST to its answer", all.duration.clone());
        registry.register("router_messages", "Parts of webhooks by kind and result", all.messages.clone());
        registry.register("router_route_lookups", "Lines looked up by result", all.lookups.clone());
        registry.register("router_store_duration_seconds", "Writes to the store", all.store.clone());
        registry.register("router_append_retries", "Inserts that were tried again", all.retries.clone());
        registry.register("router_quarantine_messages", "Changes in quarantine", all.quarantine.clone());
        registry.register("router_quarantined", "Changes that went to quarantine by reason", all.quarantined.clone());
        registry.register("router_replayed", "Changes that came back from quarantine", all.replayed.clone());
        registry.register("router_last_post_timestamp_seconds", "Last signed POST", all.last_post.clone());
        registry.register("router_silent_numbers", "Active lines that no webhook named for a day", all.silent.clone());
        registry.register(
            "router_clock_ahead_seconds",
            "This machine's clock against the store's",
            all.clock_ahead.clone(),
        );
        registry.register("router_retention_removed", "Entries that retention removed", all.retention_removed.clone());
        registry.register("router_retention_round_timestamp_seconds", "Last round", all.retention_round.clone());
        all
    }

    /// Counts a POST.
    pub fn request(&self, result: &'static str) {
        self.requests.get_or_create(&Outcome { result }).inc();
    }

    /// Counts an item.
    pub fn item(&self, kind: &'static str, result: &'static str) {
        self.messages.get_or_create(&Item { kind, result }).inc();
    }

    /// Counts a look-up.
    pub fn lookup(&self, result: &'static str) {
        self.lookups.get_or_create(&Outcome { result }).inc();
    }

    /// Measures a write.
    pub fn stored(&self, op: &'static str, since: std::time::Instant) {
        self.store.get_or_create(&Operation { op }).observe(since.elapsed().as_secs_f64());
    }
}
