//! `clientnumber sandbox` as a program, and its control port: write as a candidate, read ledger and journal, inject faults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::program::Program;
use super::wait::{self, Seen};

/// A running sandbox.
pub struct Sandbox {
    program: Program,
    /// Base URL for `telnyx.baseUrl`.
    pub telnyx: String,
    /// Base URL for `meta.baseUrl`.
    pub meta: String,
    control: Control,
}

/// A sandbox's control port.
#[derive(Clone)]
pub struct Control {
    http: reqwest::Client,
    url: String,
}

impl Control {
    /// GET.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "GET {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// POST.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let answer = self.http.post(format!("{}{path}", self.url)).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "POST {path}: {status} {text}");
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }
}

impl Sandbox {
    /// Starts one on free ports; webhooks go to `webhook_url`, signed with `app_secret`.
    pub async fn start(
        binary: impl Into<PathBuf>,
        dir: &Path,
        webhook_url: &str,
        app_secret: &str,
        speed: f64,
        seed: u64,
    ) -> Result<Sandbox> {
        let args = [
            "sandbox".to_owned(),
            "--telnyx-addr=127.0.0.1:0".to_owned(),
            "--meta-addr=127.0.0.1:0".to_owned(),
            "--control-addr=127.0.0.1:0".to_owned(),
            format!("--webhook-url={webhook_url}"),
            format!("--speed={speed}"),
            format!("--seed={seed}"),
        ];
        let mut program = Program::start("sandbox", binary, dir, args, [("APP_SECRET", app_secret)])?;
        let line = program.wait_for_log("\"control\"", Duration::from_secs(30)).await?;
        let line = &line[line.find('{').context("the sandbox printed no JSON")?..];
        let told: Value = serde_json::from_str(line).with_context(|| format!("the sandbox said {line}"))?;
        let address =
            |name: &str| told[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {told}"));
        Ok(Sandbox {
            telnyx: address("telnyx")?,
            meta: address("meta")?,
            control: Control { http: reqwest::Client::builder().no_proxy().build()?, url: address("control")? },
            program,
        })
    }

    /// Address of the control port.
    pub fn control(&self) -> &str {
        &self.control.url
    }

    /// Its control port, for somebody beside whoever uses this one.
    pub fn beside(&self) -> Control {
        self.control.clone()
    }

    /// The program, to kill or stop.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// GET on the control port.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.control.get(path).await
    }

    /// POST on the control port.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.control.post(path, body).await
    }

    /// DELETE on the control port.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let status = self.control.http.delete(format!("{}{path}", self.control.url)).send().await?.status();
        ensure!(status.is_success(), "DELETE {path}: {status}");
        Ok(())
    }

    /// A candidate writes to a line; true when the router answered 200.
    pub async fn write(&self, to: &str, candidate: &Value, text: &str) -> Result<Value> {
        self.post("/messages", json!({"to": to, "from": candidate, "text": text})).await
    }

    /// Numbers that were bought, in order: entries of the ledger of kind `order`.
    pub async fn purchases(&self) -> Result<Vec<Value>> {
        let ledger = self.get("/ledger").await?;
        let entries = ledger["entries"].as_array().cloned().unwrap_or_default();
        Ok(entries.into_iter().filter(|e| e["kind"] == "order").collect())
    }

    /// How often an operation was called.
    pub async fn calls(&self, operation: &str) -> Result<usize> {
        let journal = self.get(&format!("/journal?operation={operation}")).await?;
        Ok(journal["entries"].as_array().or(journal["calls"].as_array()).map_or(0, Vec::len))
    }

    /// Injects a fault and returns its id.
    pub async fn fault(&self, fault: Value) -> Result<String> {
        let made = self.post("/faults", fault).await?;
        let id = &made["id"];
        Ok(id.as_str().map_or_else(|| id.to_string(), str::to_owned))
    }

    /// Waits until a fault holds a request.
    pub async fn holding(&self, fault: &str, deadline: Duration) -> Result<()> {
        wait::until(deadline, &format!("fault {fault} to hold a request"), async || {
            match self.get(&format!("/faults/{fault}")).await {
                Ok(state) if state["holding"].as_u64().unwrap_or(0) > 0 || state["holding"] == true => Seen::Done(()),
                Ok(state) => Seen::NotYet(state.to_string()),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            }
        })
        .await
    }

    /// Waits until a fault was met.
    pub async fn met(&self, fault: &str, deadline: Duration) -> Result<()> {
        wait::until(deadline, &format!("fault {fault} to be met"), async || {
            match self.get(&format!("/faults/{fault}")).await {
                Ok(state) if state["hits"].as_u64().unwrap_or(0) > 0 => Seen::Done(()),
                Ok(state) => Seen::NotYet(state.to_string()),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            }
        })
        .await
    }

    /// Lets held requests go.
    pub async fn release(&self, fault: &str) -> Result<()> {
        self.post(&format!("/faults/{fault}/release"), json!({})).await.map(|_| ())
    }
}
