//! Where a run lives: folders, ports and the pinned tools.
//!
//! Each test process has `.run/test/<pid>`, each use of [`run_dir`] a folder in it. Folders of processes that are gone
//! are removed by the next process, but for the newest three, so that the logs of a failure can still be read.
//! Must never write outside `.run`.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

/// Folders of past processes that are kept for reading their logs.
const KEPT_RUNS: usize = 3;

/// The root of the source tree.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A new, empty folder `.run/test/<pid>/<name>` (with a number behind when the name is taken). It stays after the
/// test, for its logs.
pub fn run_dir(name: &str) -> Result<PathBuf> {
    static BASE: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let all = root().join(".run/test");
        let mine = all.join(std::process::id().to_string());
        prune(&all);
        // A process number can come again.
        let _ = fs::remove_dir_all(&mine);
        fs::create_dir_all(&mine).map_err(|error| format!("cannot make {}: {error}", mine.display()))?;
        Ok(mine)
    });
    let base = BASE.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    for number in 1.. {
        let dir = base.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
        }
    }
    bail!("no free name for the run folder {name}")
}

/// Removes the folders of processes that are gone, but for the newest.
fn prune(all: &Path) {
    let Ok(entries) = fs::read_dir(all) else { return };
    let mut gone: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter(|entry| !Path::new("/proc").join(entry.file_name()).exists())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    gone.sort();
    gone.reverse();
    for (_, path) in gone.into_iter().skip(KEPT_RUNS) {
        let _ = fs::remove_dir_all(path);
    }
}

/// A TCP port on 127.0.0.1 that nobody listens on and that this process was not given before. Taken from below the
/// range that the kernel uses for outgoing connections, so that none of those can take it before its user binds it.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let port = rand::random_range(15_000..32_000);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("found no free port between 15000 and 32000; end what listens there")
}

/// The path of a pinned tool that `scripts/setup` installed, for example `controlplane/kubectl`.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = root().join(".run/tools").join(name);
    if !path.exists() {
        bail!("{} is not there; run scripts/setup", path.display());
    }
    Ok(path)
}

/// The last lines of a log, for an error message.
pub fn tail(log: &Path, lines: usize) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
