//! The registry of metrics and the process's own. Names and labels are a contract (docs): no phone number, no company,
//! nothing of a candidate is ever a label.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use tokio::runtime::Handle;

pub use prometheus_client::registry::Registry;

/// Buckets for durations in seconds, from a millisecond to half a minute.
pub const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A registry with `<program>_build_info` and the process's own numbers.
pub fn registry(program: &'static str) -> Registry {
    let mut registry = Registry::default();
    let labels = vec![("version", env!("CARGO_PKG_VERSION")), ("program", program)];
    registry.register("clientnumber_build", "The program and its version", Info::new(labels));
    registry.register_collector(Box::new(Process));
    if let Ok(runtime) = Handle::try_current() {
        registry.register_collector(Box::new(Runtime(runtime)));
    }
    registry
}

/// The runtime's workers: a queue that grows, or workers that are busy all the time, are a process that is too small.
#[derive(Debug)]
struct Runtime(Handle);

impl Collector for Runtime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let metrics = self.0.metrics();
        let workers = metrics.num_workers();
        let busy: f64 = (0..workers).map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64()).sum();
        let count = |value: usize| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let gauge = MetricType::Gauge;
        count(workers).encode(encoder.encode_descriptor("tokio_workers", "Worker threads", None, gauge)?)?;
        let help = "Tasks that have not ended";
        let tasks = encoder.encode_descriptor("tokio_alive_tasks", help, None, gauge)?;
        count(metrics.num_alive_tasks()).encode(tasks)?;
        let help = "Tasks that wait for a worker";
        let queue = encoder.encode_descriptor("tokio_global_queue_depth", help, None, gauge)?;
        count(metrics.global_queue_depth()).encode(queue)?;
        let help = "Time that all workers were busy";
        ConstCounter::new(busy).encode(encoder.encode_descriptor(
            "tokio_busy_seconds",
            help,
            None,
            MetricType::Counter,
        )?)
    }
}

/// Memory, CPU and file descriptors, read from /proc when asked; nothing where there is no /proc.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let gauge = ConstGauge::new(bytes);
            let text =
                encoder.encode_descriptor("process_resident_memory_bytes", "Memory in use", None, MetricType::Gauge)?;
            gauge.encode(text)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let text = encoder.encode_descriptor(
                "process_cpu_seconds",
                "CPU time used, user and system",
                None,
                MetricType::Counter,
            )?;
            counter.encode(text)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            let gauge = ConstGauge::new(i64::try_from(open.count()).unwrap_or(i64::MAX));
            let text =
                encoder.encode_descriptor("process_open_fds", "Open file descriptors", None, MetricType::Gauge)?;
            gauge.encode(text)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok().map(|kib| kib * 1024)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it, in ticks of
    // 10 ms on every Linux that this runs on.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shown_with_the_process_numbers() {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry("test")).unwrap();
        assert!(text.contains("clientnumber_build_info{version="), "{text}");
        assert!(text.contains("process_cpu_seconds_total "), "{text}");
        assert!(text.contains("process_open_fds "), "{text}");
        assert!(text.contains("tokio_workers 1\n") && text.contains("tokio_busy_seconds_total "), "{text}");
    }
}
