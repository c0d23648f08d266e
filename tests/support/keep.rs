//! A program that ends with us: started under `scripts/keep`, which holds the other end of a pipe of ours.
//!
//! Whatever ends this process (a return, a panic, Ctrl-C, SIGKILL) closes the pipe, and keep stops the program and all
//! that it started. Both output streams go to one log file, appended to over restarts.
//! Must never be bypassed: nothing in the test bed starts a lasting program in another way.

use super::run::{root, tail};
use super::wait::{self, Seen};
use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What to start.
#[derive(Clone)]
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: PathBuf,
    grace: f64,
}

impl Launch {
    /// `program`, called `name` in messages, its log in `dir`.
    pub fn new(name: &str, program: impl Into<PathBuf>, dir: &Path) -> Self {
        Launch {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: dir.to_owned(),
            grace: 5.0,
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds variables to the environment, which is otherwise ours.
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(mut self, env: impl IntoIterator<Item = (K, V)>) -> Self {
        self.env.extend(env.into_iter().map(|(key, value)| (key.as_ref().to_owned(), value.as_ref().to_owned())));
        self
    }

    /// Seconds between TERM and KILL when it is stopped; 0 = KILL at once, for programs whose data is thrown away.
    pub fn grace(mut self, seconds: f64) -> Self {
        self.grace = seconds;
        self
    }

    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// Starts it. It may not be ready yet, nor even exist: a wrong path shows as an early end.
    pub fn start(&self) -> Result<Kept> {
        let log = self.log();
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let log_start = out.metadata()?.len();
        let pid_file = self.dir.join(format!("{}.pid", self.name));
        let _ = fs::remove_file(&pid_file);
        let mut keeper = Command::new(root().join("scripts/keep"))
            .args(["--grace", &self.grace.to_string(), "--pid-file"])
            .arg(&pid_file)
            .arg("--")
            .arg(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start scripts/keep for {}", self.name))?;
        let pipe = keeper.stdin.take();
        Ok(Kept { name: self.name.clone(), log, log_start, pid_file, keeper, pipe })
    }
}

/// A running program; killed when dropped.
pub struct Kept {
    name: String,
    log: PathBuf,
    log_start: u64,
    pid_file: PathBuf,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

impl Kept {
    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The length of the log file when this start of the program began.
    pub fn log_start(&self) -> u64 {
        self.log_start
    }

    /// Its process number; waits until it has been started.
    pub async fn pid(&mut self) -> Result<u32> {
        let what = format!("the process number of {}", self.name);
        wait::until(Duration::from_secs(10), &what, async || self.read_pid()).await
    }

    fn read_pid(&mut self) -> Seen<u32> {
        match fs::read_to_string(&self.pid_file).ok().and_then(|text| text.trim().parse().ok()) {
            Some(pid) => Seen::Done(pid),
            None => match self.ended() {
                Some(end) => Seen::Never(end),
                None => Seen::NotYet("no process number yet".to_owned()),
            },
        }
    }

    /// None while it runs; else how it ended, its log and the log's last lines.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.status().ok()??;
        Some(format!(
            "{} ended with {}; its log is {}, the end of it:\n{}",
            self.name,
            status.code().map_or_else(|| "a signal".to_owned(), |code| format!("code {code}")),
            self.log.display(),
            tail(&self.log, 15)
        ))
    }

    /// How it ended; None while it runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.keeper.try_wait()?)
    }

    /// Sends a signal (`TERM`, `KILL`, `STOP`, `CONT`) to the program and all in its process group.
    pub async fn signal(&mut self, signal: &str) -> Result<()> {
        let pid = self.pid().await?;
        send(signal, pid)
    }

    /// Waits until it has ended by itself or by a signal; its exit code, 128 + n after signal n.
    pub async fn wait_end(&mut self, deadline: Duration) -> Result<i32> {
        let what = format!("the end of {}", self.name);
        let log = self.log.clone();
        let status = wait::until(deadline, &what, async || match self.keeper.try_wait() {
            Ok(Some(status)) => Seen::Done(status),
            Ok(None) => Seen::NotYet(format!("it runs; its log is {}", log.display())),
            Err(error) => Seen::Never(error.to_string()),
        })
        .await?;
        status.code().with_context(|| format!("the keeper of {} was killed", self.name))
    }

    /// TERM, then KILL after the grace time; its exit code.
    pub async fn stop(&mut self, deadline: Duration) -> Result<i32> {
        self.pipe = None;
        self.wait_end(deadline).await
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        if self.status()?.is_none() {
            self.signal("KILL").await?;
            self.wait_end(Duration::from_secs(10)).await?;
        }
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.keeper.try_wait() {
            return;
        }
        // No grace here: dropping happens on failure, or when the data is thrown away anyway.
        if let Some(pid) = fs::read_to_string(&self.pid_file).ok().and_then(|text| text.trim().parse().ok()) {
            let _ = send("KILL", pid);
        }
        self.pipe = None;
        let _ = self.keeper.wait();
    }
}

/// Sends a signal to the process group `pid`. By the shell's own kill, because this crate forbids unsafe code.
pub fn send(signal: &str, pid: u32) -> Result<()> {
    let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} -- -{pid}")]).output()?;
    if !sent.status.success() {
        bail!("cannot send {signal} to {pid}: {}", String::from_utf8_lossy(&sent.stderr).trim());
    }
    Ok(())
}

/// Does the process exist (and is not merely waiting to be collected by its parent)?
pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit(')').next().map(|rest| !rest.trim_start().starts_with(['Z', 'X'])))
        .unwrap_or(false)
}
