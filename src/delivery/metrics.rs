//! What the delivery counts, under the names that dashboards rely on. Labels come from fixed lists of ours; nothing of
//! a company, a recruiter or a candidate becomes a label.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// One label from a fixed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    reason: &'static str,
}

/// How a page ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByResult {
    result: &'static str,
}

/// The delivery's metrics.
#[derive(Clone)]
pub struct Metrics {
    /// Connected and admitted sockets.
    pub sockets: Gauge,
    /// Time from the log's write to the client's ack, for items that were delivered live.
    pub commit_to_ack: Histogram,
    /// Time from the log's write until this replica had read it.
    pub news_lag: Histogram,
    /// How often the change stream over the logs was opened again.
    pub news_resumes: Counter,
    /// 1 while the change stream over the logs lives, 0 while logs are polled.
    pub log_stream: Gauge,
    /// How far the sockets are behind their logs, all together.
    pub cursor_lag: Gauge,
    pages: Family<ByResult, Counter>,
    disconnects: Family<ByReason, Counter>,
    refusals: Family<ByReason, Counter>,
}

/// A share in a gauge, given back when it is dropped: a connection can end at any of its waits, and what it had added
/// must not stay behind.
#[must_use]
pub struct Share {
    gauge: Gauge,
    by: i64,
}

impl Share {
    /// Adds `by` until the value is dropped.
    pub fn of(gauge: &Gauge, by: i64) -> Self {
        gauge.inc_by(by);
        Self { gauge: gauge.clone(), by }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gauge.dec_by(self.by);
    }
}

impl Metrics {
    /// Makes the metrics and registers them; the registry's prefix is empty, names are whole.
    pub fn register(registry: &mut Registry) -> Self {
        let latency = || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]);
        let metrics = Self {
            sockets: Gauge::default(),
            commit_to_ack: latency(),
            news_lag: latency(),
            news_resumes: Counter::default(),
            log_stream: Gauge::default(),
            cursor_lag: Gauge::default(),
            pages: Family::default(),
            disconnects: Family::default(),
            refusals: Family::default(),
        };
        let m = &metrics;
        registry.register("router_sockets", "Admitted recruiters' connections", m.sockets.clone());
        registry.register("router_push_pages", "Pages sent to recruiters, by result", m.pages.clone());
        registry.register("router_socket_disconnects", "Ended connections, by reason", m.disconnects.clone());
        registry.register("router_auth_failures", "Refused handshakes, by failed check", m.refusals.clone());
        registry.register(
            "router_cursor_lag_messages",
            "Items not yet acked by connected devices",
            m.cursor_lag.clone(),
        );
        registry.register(
            "router_doorbell_resumes",
            "Change stream over the logs opened again",
            m.news_resumes.clone(),
        );
        registry.register("router_log_stream", "1: change stream over the logs, 0: polling", m.log_stream.clone());
        registry.register_with_unit(
            "router_commit_to_ack",
            "From the log's write to a live client's ack",
            Unit::Seconds,
            m.commit_to_ack.clone(),
        );
        registry.register_with_unit(
            "router_doorbell_lag",
            "From the log's write until this replica has read it",
            Unit::Seconds,
            m.news_lag.clone(),
        );
        metrics
    }

    /// Counts a page: `acked`, `timeout`, `buffer_full`.
    pub fn page(&self, result: &'static str) {
        self.pages.get_or_create(&ByResult { result }).inc();
    }

    /// Counts the end of a connection.
    pub fn disconnect(&self, reason: &'static str) {
        self.disconnects.get_or_create(&ByReason { reason }).inc();
    }

    /// Counts a refused handshake.
    pub fn refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&ByReason { reason }).inc();
    }

    /// Observes a latency; a clock that went backwards counts as none.
    pub fn observe(histogram: &Histogram, from: jiff::Timestamp, to: jiff::Timestamp) {
        histogram.observe(Duration::try_from(to.duration_since(from)).unwrap_or_default().as_secs_f64());
    }
}
