//! Many recruiters in one Node process, each with the official client (tests/clients/flock.mjs): what they got, and how
//! long it took to come.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::Client;

/// Recruiters of one company in a process of their own.
pub struct Flock(Client);

/// What a flock has seen.
#[derive(Debug)]
pub struct Report {
    pub items: u64,
    pub gaps: u64,
    pub foreign: u64,
    pub lost: u64,
    /// The newest seq of each client.
    pub lasts: Vec<i64>,
    /// Milliseconds from the time in the text to its arrival, ascending.
    pub delays: Vec<f64>,
    /// What the process itself used.
    pub cpu: Duration,
    /// Refused handshakes by their code.
    pub codes: Value,
}

impl Flock {
    /// Starts a process whose clients connect; each is `{token, device?, cursor?, line?}`.
    pub async fn start(url: &str, clients: Vec<Value>, per_second: Option<u32>) -> Result<Flock> {
        let mut client = Client::start("flock.mjs", json!({})).await?;
        let mut order = json!({"url": url, "clients": clients});
        if let Some(rate) = per_second {
            order["perSecond"] = json!(rate);
        }
        client.tell(order).await?;
        Ok(Flock(client))
    }

    /// Waits until all have been welcomed; how long that took.
    pub async fn connected(&self, limit: Duration) -> Result<Duration> {
        let said = self.0.within(limit, 0, "all to be connected", |v| v["event"] == "connected").await?;
        milliseconds(&said["ms"])
    }

    /// Waits until each has this item; how long that took from their start.
    pub async fn reached(&mut self, seq: i64, limit: Duration) -> Result<Duration> {
        let mark = self.0.mark();
        self.0.tell(json!({"cmd": "until", "seq": seq})).await?;
        let said = self.0.within(limit, mark, "all to have it", |v| v["event"] == "reached").await?;
        milliseconds(&said["ms"])
    }

    /// Forgets the delays so far.
    pub async fn reset(&mut self) -> Result<()> {
        self.0.tell(json!({"cmd": "reset"})).await
    }

    /// What was seen up to now.
    pub async fn report(&mut self) -> Result<Report> {
        let mark = self.0.mark();
        self.0.tell(json!({"cmd": "report"})).await?;
        let said = self.0.after(mark, "the report", |v| v["event"] == "report").await?;
        let numbers = |name: &str| said[name].as_array().into_iter().flatten();
        let mut delays: Vec<f64> = numbers("delays").filter_map(Value::as_f64).collect();
        delays.sort_by(f64::total_cmp);
        let count = |name: &str| said[name].as_u64().with_context(|| format!("no {name} in {said}"));
        Ok(Report {
            items: count("items")?,
            gaps: count("gaps")?,
            foreign: count("foreign")?,
            lost: count("lost")?,
            lasts: numbers("lasts").filter_map(Value::as_i64).collect(),
            delays,
            cpu: milliseconds(&said["cpuMs"])?,
            codes: said["codes"].clone(),
        })
    }
}

fn milliseconds(value: &Value) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(value.as_f64().context("no time")? / 1_000.0)?)
}

/// A text from which a flock tells how long it was on its way.
pub fn timed_text() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("t={:.3}", now.as_secs_f64() * 1_000.0)
}

/// The value below which this share of an ascending list lies; 0 for an empty one.
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    let index = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(index.clamp(1, ascending.len().max(1)) - 1).copied().unwrap_or(0.0)
}
