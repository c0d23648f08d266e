//! One of our own binaries as a process: stop it, kill it, freeze it, wait for a line in its log, start it again.
//!
//! Must never outlive the test: it runs under `keep`.

use super::keep::{Kept, Launch};
use super::run::root;
use super::wait::{self, Seen};
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a program may take to stop after SIGTERM before it is killed.
const GRACE: f64 = 30.0;

/// A running program of ours.
pub struct Program {
    name: String,
    launch: Launch,
    kept: Kept,
}

impl Program {
    /// Starts `binary` (for the crate's own: `env!("CARGO_BIN_EXE_clientnumber")`), its log in `dir/<name>.log`.
    pub fn start<S: AsRef<OsStr>, K: AsRef<OsStr>, V: AsRef<OsStr>>(
        name: &str,
        binary: impl Into<PathBuf>,
        dir: &Path,
        args: impl IntoIterator<Item = S>,
        env: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Program> {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut launch = Launch::new(name, binary, dir).args(&args).env(env).grace(GRACE);
        if args.first().is_some_and(|first| first == "sandbox") {
            launch = launch.env([("JOURNAL", journal()?)]);
        }
        Ok(Program { name: name.to_owned(), kept: launch.start()?, launch })
    }

    /// Starts it again with the same arguments, after `kill` or `stop` (a running one is killed first). The log is
    /// appended to.
    pub async fn restart(&mut self) -> Result<()> {
        self.kept.kill().await?;
        self.kept = self.launch.start()?;
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.kept.kill().await
    }

    /// SIGTERM; waits until it has ended and returns its exit code (143 when it did not catch the signal, 137 when it
    /// had to be killed after 30 s).
    pub async fn stop(&mut self) -> Result<i32> {
        self.kept.stop(Duration::from_secs_f64(GRACE + 5.0)).await
    }

    /// Freezes it (SIGSTOP): it keeps its connections and does nothing.
    pub async fn freeze(&mut self) -> Result<()> {
        self.kept.signal("STOP").await
    }

    /// Lets a frozen one go on (SIGCONT).
    pub async fn thaw(&mut self) -> Result<()> {
        self.kept.signal("CONT").await
    }

    /// SIGSTOP for as long as `meanwhile` takes, then SIGCONT.
    pub async fn stop_cont<T>(&mut self, meanwhile: impl Future<Output = T>) -> Result<T> {
        self.freeze().await?;
        let result = meanwhile.await;
        self.thaw().await?;
        Ok(result)
    }

    /// Waits until it ends by itself; its exit code.
    pub async fn wait_end(&mut self, deadline: Duration) -> Result<i32> {
        self.kept.wait_end(deadline).await
    }

    /// Its process number.
    pub async fn pid(&mut self) -> Result<u32> {
        self.kept.pid().await
    }

    /// None while it runs; else how it ended, with the end of its log.
    pub fn ended(&mut self) -> Option<String> {
        self.kept.ended()
    }

    /// The file with its output.
    pub fn log_path(&self) -> &Path {
        self.kept.log()
    }

    /// All that it wrote since its last start.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.kept.log()).unwrap_or_default();
        let from = usize::try_from(self.kept.log_start()).unwrap_or(0).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// Waits for a text in what it wrote since its last start; the line that holds it. Fails at once when the program
    /// has ended without it.
    pub async fn wait_for_log(&mut self, text: &str, deadline: Duration) -> Result<String> {
        let what = format!("{text:?} in the log of {}", self.name);
        wait::until(deadline, &what, async || {
            let ended = self.ended();
            match self.log().lines().find(|line| line.contains(text)) {
                Some(line) => Seen::Done(line.to_owned()),
                None => match ended {
                    Some(end) => Seen::Never(end),
                    None => Seen::NotYet(format!(
                        "the log {} ends with: {}",
                        self.log_path().display(),
                        self.log().lines().last().unwrap_or("nothing")
                    )),
                },
            }
        })
        .await
    }
}

/// Where a sandbox writes down its calls: all are held against the providers' contracts after the tests (tests/contract),
/// so none is started without.
fn journal() -> Result<PathBuf> {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let dir = root().join(".run/journals");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(dir.join(format!("{started}-{}-{number}.jsonl", std::process::id())))
}
