//! From a company's log to its recruiters, with the official Socket.IO client: what arrives, in which order, what is
//! refused, and that nothing crosses.

mod bed;
mod chaos;
mod counts;
mod events;
mod goodbyes;
mod greedy;
mod handshakes;
mod helper;
mod hostile;
mod keeping;
mod keys;
mod killed;
mod panics;
mod polling;
mod push;
mod restored;

use std::path::Path;

use crate::support::router::{Router, RouterOptions};

/// The router as a process, on this store.
async fn process(name: &str, dir: &Path, mongo: &str) -> anyhow::Result<Router> {
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    Router::start(name, dir, RouterOptions { binary, mongo, jwt_secret: bed::SECRET, log: "info", before: &[] }).await
}
