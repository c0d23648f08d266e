//! `make bench`: what depends on the machine and is therefore no part of `make test`. `lines`: fifty lines at once under
//! rate limits. `router`: the router against a plain one for Node.js.
//!
//! Must never leave a process behind.

#[path = "../it/delivery/bed.rs"]
#[allow(dead_code)]
mod bed;
mod lines;
mod process;
mod stub;
#[path = "../support/mod.rs"]
mod support;
mod versus;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let what = std::env::args().nth(1).unwrap_or_default();
    let result = match what.as_str() {
        "lines" => lines::run().await,
        "router" => versus::run().await.map(|()| true),
        _ => Err(anyhow::anyhow!("say what to measure: lines or router")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
