//! `make demo`: the whole product on this machine, from `kubectl apply` to two recruiters' screens.
//!
//! Starts an API server, a MongoDB double, the sandbox that plays Telnyx and Meta, the router and the controller; shows
//! two lines as they come to life; lets candidates write; checks that nothing crossed. Then it stays up for playing, or
//! with `--once` ends with 0 or 1.
//! Must never leave a process behind, and never end with 0 when something that it shows did not happen.

#[path = "../support/mod.rs"]
mod support;

mod ground;
mod lines;
mod recruiters;
mod screen;
mod stay;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use ground::{Ground, NAMESPACES, shown};
use recruiters::Recruiter;
use screen::{heading, say};
use support::{Mongo, World, WorldOptions, root, run_dir};

/// Delays of the sandbox, as a part of the providers': slow enough to watch.
const SPEED: f64 = 0.2;
/// The controller's gaps, grace times and code life, as a part of the real ones.
const SCALE: f64 = 0.1;

/// A company's line from kubectl apply to the recruiter's screen, on this machine.
#[derive(Parser)]
#[command(name = "make demo ARGS=")]
struct Args {
    /// Check everything and end with 0 or 1, instead of staying up.
    #[arg(long)]
    once: bool,
    /// The clientnumber program; scripts/demo builds it and gives its path.
    #[arg(long, env = "CLIENTNUMBER_BIN")]
    bin: Option<PathBuf>,
    /// `mine`: use KUBECONFIG and MONGODB_URI instead of programs of its own.
    #[arg(long, env = "CLUSTER", default_value = "", value_parser = ["", "own", "mine"])]
    cluster: String,
}

/// What was told until the checks were done, alive.
struct Told {
    world: World,
    number: String,
    recruiters: Vec<Recruiter>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let dir = match run_dir("demo") {
        Ok(dir) => dir,
        Err(error) => return failed(&error, None),
    };
    match run(&args, &dir).await {
        Ok(code) => code,
        Err(error) => failed(&error, Some(&dir)),
    }
}

fn failed(error: &anyhow::Error, logs: Option<&Path>) -> ExitCode {
    eprintln!("\n{} {error:#}", screen::red("The demo failed:"));
    if let Some(logs) = logs {
        eprintln!("The logs of all programs are in {}.", shown(logs));
    }
    ExitCode::FAILURE
}

/// Ends at INT and TERM by itself, so that what it started is stopped in order.
fn on_signal() -> Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

async fn run(args: &Args, dir: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    let stop = on_signal()?;
    let path = args.bin.clone().unwrap_or_else(|| root().join("target/debug/clientnumber"));
    let binary = path
        .canonicalize()
        .with_context(|| format!("{} is not there: run make demo, which builds it", path.display()))?;
    heading("Starting everything on this machine");
    let (ground, mongo) = tokio::select! {
        prepared = Ground::prepare(args.cluster == "mine", dir.to_owned()) => prepared?,
        () = stop.cancelled() => return Ok(stopped(130)),
    };
    let what = if ground.theirs() { "your API server and MongoDB" } else { "Kubernetes API server and MongoDB double" };
    say(&format!("{what}: ready after {}", lines::seconds(started.elapsed())));
    // Dropping the future drops the world, and with it every program.
    let told = tokio::select! {
        told = tell(&ground, mongo, &binary, started) => told.map(Some),
        () = stop.cancelled() => Ok(None),
    };
    let code = match told {
        Ok(Some(told)) => go_on(args, &ground, told, &stop).await.map(|()| ExitCode::SUCCESS),
        Ok(None) => Ok(stopped(130)),
        Err(error) => Err(error),
    };
    ground.cleaning().await?;
    code
}

fn stopped(code: u8) -> ExitCode {
    println!("\nStopped; nothing of the demo runs any more.");
    ExitCode::from(code)
}

/// Everything up to the checks.
async fn tell(ground: &Ground, mongo: Mongo, binary: &Path, started: Instant) -> Result<Told> {
    let options = WorldOptions {
        speed: SPEED,
        scale: SCALE,
        // Another seed, other numbers and codes.
        seed: rand::random_range(1..1_000_000),
        log: "info".into(),
        namespaces: Some(NAMESPACES.map(str::to_owned)),
        ..WorldOptions::default()
    };
    let mut world = World::start_at(&ground.kubeconfig, mongo, binary, &ground.dir, options).await?;
    world.control(None, None).await?;
    say(&format!("sandbox (Telnyx and Meta), router, controller: ready after {}", lines::seconds(started.elapsed())));
    say(&format!("logs: {}", shown(&ground.dir)));

    heading("The platform's accounts");
    story::portfolio(&world, ground).await?;

    heading("Two companies' lines: atlas buys a number, rif brings one of another operator");
    let (ready, mut shown_ready) = tokio::sync::watch::channel(0);
    tokio::spawn(lines::follow(world.lines(), ready));
    let number = story::two_lines(&mut world, ground).await?;
    shown_ready.wait_for(|count| *count >= 2).await?;

    heading("Messages: one recruiter of each company, with the official Socket.IO client");
    let recruiters = recruiters::connect(&world).await?;
    for recruiter in &recruiters {
        say(&format!("{} of {} is connected", recruiter.name, recruiter.company));
    }
    story::messages(&world, &number, &recruiters).await?;

    heading("What was checked");
    story::checks(&mut world, &number).await?;
    say(&format!("all of it in {}", lines::seconds(started.elapsed())));
    Ok(Told { world, number, recruiters })
}

/// Stays up until Ctrl-C, if asked to, and stops everything.
async fn go_on(args: &Args, ground: &Ground, mut told: Told, stop: &CancellationToken) -> Result<()> {
    if !args.once {
        stay::how_to_go_on(&told.world, ground, &told.number)?;
        stay::until_stopped(&mut told.world, &mut told.recruiters, stop).await?;
    }
    if ground.theirs() {
        // What they wrote stays, so they may finish; else all data goes with them.
        told.world.controller()?.stop().await?;
        told.world.router.stop().await?;
    }
    drop(told);
    stopped(0);
    Ok(())
}
