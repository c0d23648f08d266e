//! A Node process with the official Socket.IO client: what it says are JSON lines, what it is told too.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::OnceCell;

use super::run::root;
use super::wait::{self, Seen};

/// How long anything may take that should happen at once.
pub const SOON: Duration = Duration::from_secs(20);

fn clients() -> PathBuf {
    root().join("tests/clients")
}

/// Compiles the helper of docs/recruiter-client once, with its types checked.
async fn compiled() -> Result<()> {
    static DONE: OnceCell<()> = OnceCell::const_new();
    DONE.get_or_try_init(|| async {
        let tsc = clients().join("node_modules/.bin/tsc");
        ensure!(tsc.exists(), "{} is not there; run scripts/setup", tsc.display());
        let output = Command::new(tsc).args(["-p", "tsconfig.json"]).current_dir(clients()).output().await?;
        ensure!(output.status.success(), "tsc: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    })
    .await
    .map(|_| ())
}

/// A client process; it ends with this value.
pub struct Client {
    _child: Child,
    stdin: ChildStdin,
    said: Arc<Mutex<Vec<Value>>>,
}

impl Client {
    /// The official client without help.
    pub async fn raw(url: &str, auth: Value) -> Result<Client> {
        Self::start("raw.mjs", json!({"url": url, "auth": auth})).await
    }

    /// As [`Client::raw`] with all arguments of the script.
    pub async fn raw_with(arguments: Value) -> Result<Client> {
        Self::start("raw.mjs", arguments).await
    }

    /// The helper of docs/recruiter-client.
    pub async fn helper(arguments: Value) -> Result<Client> {
        compiled().await?;
        Self::start("recruiter.mjs", arguments).await
    }

    /// Many helpers in one process.
    pub async fn crowd(arguments: Value) -> Result<Client> {
        compiled().await?;
        Self::start("crowd.mjs", arguments).await
    }

    pub async fn start(script: &str, arguments: Value) -> Result<Client> {
        let mut child = Command::new("node")
            .arg(script)
            .arg(arguments.to_string())
            .current_dir(clients())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node can't be started; version 20 is needed")?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let said: Arc<Mutex<Vec<Value>>> = Arc::default();
        let into = said.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let value = serde_json::from_str(&line).unwrap_or_else(|_| json!({"event": "noise", "line": line}));
                into.lock().unwrap_or_else(PoisonError::into_inner).push(value);
            }
        });
        Ok(Client { _child: child, stdin, said })
    }

    /// Tells it something.
    pub async fn tell(&mut self, command: Value) -> Result<()> {
        self.stdin.write_all(format!("{command}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }

    /// All that it said.
    pub fn said(&self) -> Vec<Value> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much it said: for [`Client::after`].
    pub fn mark(&self) -> usize {
        self.said().len()
    }

    /// Waits for something that it says from `mark` on.
    pub async fn after(&self, mark: usize, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        self.within(SOON, mark, what, is).await
    }

    /// Waits for something that it says from `mark` on, for so long.
    pub async fn within(&self, limit: Duration, mark: usize, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(limit, what, async || {
            let said = self.said();
            match said.iter().skip(mark).find(|value| is(value)) {
                Some(value) => Seen::Done(value.clone()),
                None => Seen::NotYet(format!("{}", json!(said.iter().rev().take(6).collect::<Vec<_>>()))),
            }
        })
        .await
    }

    /// Waits for an event of the server (raw client), from `mark` on; its first argument.
    pub async fn got(&self, mark: usize, name: &str) -> Result<Value> {
        let event = self.after(mark, name, |v| v["event"] == "got" && v["name"] == name).await?;
        Ok(event["args"][0].clone())
    }

    /// Emits an event (raw client) and waits for its answer.
    pub async fn ask(&mut self, name: &str, args: Value) -> Result<Value> {
        let id = format!("{name}-{}", self.mark());
        self.tell(json!({"cmd": "emit", "name": name, "args": args, "id": id})).await?;
        let answer = self.after(0, "the answer", |v| v["event"] == "answer" && v["id"] == id).await?;
        ensure!(answer["timeout"] == false, "{name} was not answered");
        Ok(answer["args"][0].clone())
    }

    /// The seqs of all items that arrived, in their order.
    pub fn seqs(&self) -> Vec<i64> {
        self.items().iter().filter_map(|item| item["seq"].as_i64()).collect()
    }

    /// All items that arrived, in their order: raw, as they came; with the helper, as they were handed on.
    pub fn items(&self) -> Vec<Value> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        self.said()
            .iter()
            .flat_map(|v| match v["event"].as_str() {
                Some("got") if v["name"] == "messages" => list(&v["args"][0]["items"]),
                Some("items") => list(&v["items"]),
                _ => Vec::new(),
            })
            .collect()
    }

    /// Waits until the item `seq` has arrived.
    pub async fn has(&self, seq: i64) -> Result<()> {
        wait::until(SOON, &format!("item {seq}"), async || {
            let seqs = self.seqs();
            wait::seen(seqs.contains(&seq), format!("{seqs:?}"))
        })
        .await
    }
}
