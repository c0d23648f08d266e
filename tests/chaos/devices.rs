//! Recruiters' devices: the helper of docs/recruiter-client on the official client, all in one Node process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::bed::Company;
use crate::support::client::Client;
use crate::support::wait;

/// Of the acks so many never leave.
const ACKS_LOST: f64 = 0.05;

/// All devices.
pub struct Devices {
    client: Client,
    /// Each device's company.
    pub companies: Vec<usize>,
    late: Vec<usize>,
}

impl Devices {
    /// Three recruiters of each company, the first of them on two devices. That one's second device comes when
    /// [`Devices::come_late`] says so, and begins at the log's beginning.
    pub async fn new(companies: &[Company], url: &str, seed: u64) -> Result<Devices> {
        let (mut given, mut whose, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for (n, company) in companies.iter().enumerate() {
            for (recruiter, device) in
                [("fatima", "phone"), ("fatima", "laptop"), ("omar", "phone"), ("rachid", "phone")]
            {
                // Longer than the run; the longest that there may be.
                let exp = jiff::Timestamp::now().as_second() + 3500;
                let token = company.token(recruiter, json!({"exp": exp}))?;
                let name = format!("{} {recruiter} {device}", company.id);
                let mut one = json!({"name": name, "device": device, "token": token});
                if device == "laptop" {
                    one["cursor"] = json!("0.");
                    late.push(given.len());
                }
                given.push(one);
                whose.push(n);
            }
        }
        let arguments = json!({"url": url, "seed": seed % 1_000_000, "lost": ACKS_LOST, "devices": given});
        let client = Client::crowd(arguments).await?;
        Ok(Devices { client, companies: whose, late })
    }

    /// All but the late ones connect, and are live once.
    pub async fn come(&mut self) -> Result<()> {
        let first: Vec<usize> = (0..self.companies.len()).filter(|n| !self.late.contains(n)).collect();
        self.client.tell(json!({"cmd": "start", "devices": first})).await?;
        let wanted = first.len();
        self.until(Duration::from_secs(60), "the first devices to have been live", |all| {
            let live = all.iter().filter(|device| device["live"].as_u64() > Some(0)).count();
            (live >= wanted).then_some(()).ok_or(format!("{live} of {wanted}"))
        })
        .await
    }

    /// The late ones connect.
    pub async fn come_late(&mut self) -> Result<()> {
        self.client.tell(json!({"cmd": "start", "devices": self.late})).await
    }

    /// Nothing happens to connections and acks any more.
    pub async fn calm(&mut self) -> Result<()> {
        self.client.tell(json!({"cmd": "calm"})).await
    }

    /// What each device says of itself.
    pub async fn counts(&mut self) -> Result<Vec<Value>> {
        let mark = self.client.mark();
        self.client.tell(json!({"cmd": "counts"})).await?;
        let said = self.client.after(mark, "the devices' counts", |v| v["event"] == "counts").await?;
        Ok(said["devices"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until what the devices say is as it should be.
    pub async fn until(
        &mut self,
        deadline: Duration,
        what: &str,
        is: impl Fn(&[Value]) -> Result<(), String>,
    ) -> Result<()> {
        wait::until(deadline, what, async || match self.counts().await {
            Ok(counts) => is(&counts),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// What each device has stored, in its order.
    pub async fn stored(&mut self, dir: &Path) -> Result<Vec<Vec<Value>>> {
        std::fs::create_dir_all(dir)?;
        let mark = self.client.mark();
        self.client.tell(json!({"cmd": "dump", "dir": dir})).await?;
        self.client.after(mark, "the devices' stores", |v| v["event"] == "dumped").await?;
        let read = |n| -> Result<Vec<Value>> {
            let text = std::fs::read_to_string(dir.join(format!("{n}.jsonl"))).context("a device's store")?;
            text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
        };
        (0..self.companies.len()).map(read).collect()
    }
}
