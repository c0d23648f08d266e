//! The controller's metrics. Names are a contract; labels are a few words each and the Portfolio, of which there are few:
//! never a line, a number or a company.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::metrics::SECONDS;
use crate::domain::NamespacedName;
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
    portfolio: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPortfolio {
    portfolio: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lines {
    portfolio: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stalled {
    portfolio: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Capacity {
    portfolio: String,
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finding {
    portfolio: String,
    finding: &'static str,
}

/// What is shown of one Portfolio.
#[derive(Debug, Clone, PartialEq)]
pub struct PortfolioGauges {
    /// Lines by state.
    pub lines: [(&'static str, i32); 3],
    /// Stalled lines by reason.
    pub stalled: BTreeMap<String, i64>,
    /// Numbers that are paid for and nobody's.
    pub orphaned: i32,
    /// Slots in use.
    pub used: i32,
    /// Slots that there are.
    pub limit: i32,
    /// Balance at the carrier; None: not read yet.
    pub balance_usd: Option<f64>,
}

/// The gauges of all Portfolios.
#[derive(Default)]
struct Portfolios {
    lines: Family<Lines, Gauge>,
    stalled: Family<Stalled, Gauge>,
    orphaned: Family<OfPortfolio, Gauge>,
    findings: Family<Finding, Gauge>,
    capacity: Family<Capacity, Gauge>,
    balance: Family<OfPortfolio, Gauge<f64, AtomicU64>>,
    /// The reasons that each shows: what no line has any more goes.
    reasons: Mutex<HashMap<String, BTreeMap<String, i64>>>,
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
    portfolios: Portfolios,
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
            portfolios: Portfolios::default(),
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
        let of = &metrics.portfolios;
        registry.register("lines", "Lines by state: ready, onboarding, stalled", of.lines.clone());
        registry.register("lines_stalled", "Lines that wait for a person, by reason", of.stalled.clone());
        registry.register("orphaned_numbers", "Numbers that are paid for and nobody's", of.orphaned.clone());
        registry.register("audit_findings", "What the audit found, by kind", of.findings.clone());
        registry.register("portfolio_capacity", "Slots at Meta: used, limit", of.capacity.clone());
        registry.register("portfolio_balance_usd", "Balance at the carrier in USD", of.balance.clone());
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

    /// An order's result, by its line's Portfolio.
    pub fn purchase(&self, portfolio: &NamespacedName, result: &'static str) {
        self.purchases.get_or_create(&ResultOf { portfolio: portfolio.to_string(), result }).inc();
    }

    /// A code's result, by its line's Portfolio.
    pub fn code_request(&self, portfolio: &NamespacedName, result: &'static str) {
        self.code_requests.get_or_create(&ResultOf { portfolio: portfolio.to_string(), result }).inc();
    }

    /// What the last round of a Portfolio found, by kind.
    pub fn findings(&self, portfolio: &str, counts: impl Iterator<Item = (&'static str, usize)>) {
        for (finding, count) in counts {
            let label = Finding { portfolio: portfolio.to_owned(), finding };
            self.portfolios.findings.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// What a Portfolio's status says.
    pub fn portfolio(&self, name: &str, now: &PortfolioGauges) {
        let (of, portfolio) = (&self.portfolios, name.to_owned());
        for (state, count) in now.lines {
            of.lines.get_or_create(&Lines { portfolio: portfolio.clone(), state }).set(count.into());
        }
        for (what, count) in [("used", now.used), ("limit", now.limit)] {
            of.capacity.get_or_create(&Capacity { portfolio: portfolio.clone(), what }).set(count.into());
        }
        let label = OfPortfolio { portfolio: portfolio.clone() };
        of.orphaned.get_or_create(&label).set(now.orphaned.into());
        if let Some(balance) = now.balance_usd {
            of.balance.get_or_create(&label).set(balance);
        }
        let mut reasons = of.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reasons.insert(portfolio.clone(), now.stalled.clone()).unwrap_or_default();
        for reason in before.into_keys().filter(|reason| !now.stalled.contains_key(reason)) {
            of.stalled.remove(&Stalled { portfolio: portfolio.clone(), reason });
        }
        for (reason, count) in &now.stalled {
            let label = Stalled { portfolio: portfolio.clone(), reason: reason.clone() };
            of.stalled.get_or_create(&label).set(*count);
        }
    }

    /// A Portfolio is gone, and with it all that was shown of it.
    pub fn forget_portfolio(&self, name: &str, findings: impl Iterator<Item = &'static str>) {
        let (of, portfolio) = (&self.portfolios, name.to_owned());
        for state in ["ready", "onboarding", "stalled"] {
            of.lines.remove(&Lines { portfolio: portfolio.clone(), state });
        }
        for what in ["used", "limit"] {
            of.capacity.remove(&Capacity { portfolio: portfolio.clone(), what });
        }
        for finding in findings {
            of.findings.remove(&Finding { portfolio: portfolio.clone(), finding });
        }
        let gone = of.reasons.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        for reason in gone.unwrap_or_default().into_keys() {
            of.stalled.remove(&Stalled { portfolio: portfolio.clone(), reason });
        }
        let label = OfPortfolio { portfolio };
        of.orphaned.remove(&label);
        of.balance.remove(&label);
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_portfolio_goes_with_it() {
        let mut registry = Registry::default();
        let metrics = ControllerMetrics::new(&mut registry);
        let text = |registry: &Registry| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
            text
        };
        let gauges = |reason: &str| PortfolioGauges {
            lines: [("ready", 2), ("onboarding", 1), ("stalled", 1)],
            stalled: BTreeMap::from([(reason.to_owned(), 1)]),
            orphaned: 3,
            used: 4,
            limit: 20,
            balance_usd: Some(12.5),
        };
        metrics.portfolio("platform/main", &gauges("NoCoverage"));
        metrics.portfolio("platform/main", &gauges("NumberLost"));
        metrics.findings("platform/main", [("Orphaned", 3)].into_iter());
        let shown = text(&registry);
        for line in [
            "clientnumber_lines{portfolio=\"platform/main\",state=\"ready\"} 2",
            "clientnumber_lines_stalled{portfolio=\"platform/main\",reason=\"NumberLost\"} 1",
            "clientnumber_orphaned_numbers{portfolio=\"platform/main\"} 3",
            "clientnumber_audit_findings{portfolio=\"platform/main\",finding=\"Orphaned\"} 3",
            "clientnumber_portfolio_capacity{portfolio=\"platform/main\",what=\"limit\"} 20",
            "clientnumber_portfolio_balance_usd{portfolio=\"platform/main\"} 12.5",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
        assert!(!shown.contains("NoCoverage"), "a reason that no line has any more: {shown}");
        metrics.forget_portfolio("platform/main", ["Orphaned"].into_iter());
        assert!(!text(&registry).contains("platform/main"), "{}", text(&registry));
    }
}
