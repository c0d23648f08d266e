//! The router while everything around it breaks: replicas are killed, the store goes away, connections are cut, answers and
//! acks get lost, a line changes hands. At the end every recruiter's device has its company's set, and nobody else's.
//!
//! A binary of its own, since it takes long and needs the machine for itself. `plan` draws what is sent, `sender` sends it
//! and keeps the book, `misfortune` breaks things, `devices` are the recruiters; `verdict` says what became of it. `fair`, `hot`
//! and `latency` measure what is promised in seconds.

// A test may fail where it stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

// Of its replicas in this process there are none here.
#[allow(dead_code)]
#[path = "../it/delivery/bed.rs"]
mod bed;

mod amid;
mod book;
mod devices;
mod fair;
mod figures;
mod finder;
mod hand_over;
mod hot;
mod judge;
mod latency;
mod leaks;
mod misfortune;
mod plan;
mod run;
mod searched;
mod sender;
mod verdict;
mod walk;

use std::path::Path;

use support::router::{Router, RouterOptions};

/// The router as a process, on this store.
async fn process(name: &str, dir: &Path, mongo: &str) -> anyhow::Result<Router> {
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    Router::start(name, dir, RouterOptions { binary, mongo, jwt_secret: bed::SECRET, log: "info", before: &[] }).await
}
