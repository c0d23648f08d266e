//! The controller's metrics. Names are a contract (docs/metrics); labels are a few words each, never a name of an object,
//! a number or a company.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::metrics::SECONDS;
use crate::providers::ProviderCall;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    kind: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    provider: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    provider: &'static str,
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultOf {
    result: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// What the controller counts.
pub struct ControllerMetrics {
    reconciles: Family<Reconcile, Counter>,
    reconcile_seconds: Histograms<Kind>,
    requests: Family<Request, Counter>,
    request_seconds: Histograms<Operation>,
    request_wait_seconds: Histograms<Operation>,
    step_seconds: Histograms<Step>,
    time_to_ready: Histogram,
    purchases: Family<ResultOf, Counter>,
    code_requests: Family<ResultOf, Counter>,
    leader: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// From seconds to three days: what an onboarding takes with documents and reviews.
const TO_READY: [f64; 12] =
    [5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0];

impl ControllerMetrics {
    /// Makes and registers all of them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            request_wait_seconds: Family::new_with_constructor(seconds),
            step_seconds: Family::new_with_constructor(seconds),
            time_to_ready: Histogram::new(TO_READY),
            purchases: Family::default(),
            code_requests: Family::default(),
            leader: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("clientnumber");
        registry.register("reconcile", "Passes by kind and result", metrics.reconciles.clone());
        registry.register("reconcile_duration_seconds", "Duration of a pass", metrics.reconcile_seconds.clone());
        registry.register(
            "provider_requests",
            "Calls to providers by outcome, each attempt counted; held_back: not sent, to stay below a limit",
            metrics.requests.clone(),
        );
        registry.register(
            "provider_request_duration_seconds",
            "Duration of a call to a provider",
            metrics.request_seconds.clone(),
        );
        registry.register(
            "provider_request_wait_seconds",
            "Time that a call was held back to stay below the account's limit",
            metrics.request_wait_seconds.clone(),
        );
        registry.register("step_duration_seconds", "Duration of one pass of a step", metrics.step_seconds.clone());
        registry.register(
            "time_to_ready_seconds",
            "From a line's creation to its registration",
            metrics.time_to_ready.clone(),
        );
        registry.register(
            "purchases",
            "Orders by result: ordered, owned, rejected, unknown",
            metrics.purchases.clone(),
        );
        registry.register(
            "code_requests",
            "Codes by result: requested, verified, wrong, expired, refused",
            metrics.code_requests.clone(),
        );
        registry.register("leader", "1 while this process leads", metrics.leader.clone());
        metrics
    }

    /// A pass ended.
    pub fn reconcile(&self, kind: &'static str, ok: bool, took: Duration) {
        let result = if ok { "ok" } else { "error" };
        self.reconciles.get_or_create(&Reconcile { kind, result }).inc();
        self.reconcile_seconds.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    /// A call to a provider ended.
    pub fn provider_call(&self, call: &ProviderCall) {
        let (provider, operation) = (call.provider.as_str(), call.operation);
        self.requests.get_or_create(&Request { provider, operation, outcome: call.outcome }).inc();
        self.request_wait_seconds.get_or_create(&Operation { provider, operation }).observe(call.waited.as_secs_f64());
        if call.outcome != "held_back" {
            self.request_seconds.get_or_create(&Operation { provider, operation }).observe(call.duration.as_secs_f64());
        }
    }

    /// A step ran.
    pub fn step(&self, step: &'static str, took: Duration) {
        self.step_seconds.get_or_create(&Step { step }).observe(took.as_secs_f64());
    }

    /// A line became Ready for the first time.
    pub fn time_to_ready(&self, took: Duration) {
        self.time_to_ready.observe(took.as_secs_f64());
    }

    /// An order's result.
    pub fn purchase(&self, result: &'static str) {
        self.purchases.get_or_create(&ResultOf { result }).inc();
    }

    /// A code's result.
    pub fn code_request(&self, result: &'static str) {
        self.code_requests.get_or_create(&ResultOf { result }).inc();
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
