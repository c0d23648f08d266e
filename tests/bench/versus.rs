//! The router against a plain one for Node.js (tests/bench/node), with the same webhooks, the same store and the same
//! official clients, one after the other, each alone on one core; clients, store and load share the other one.
//!
//! Prints a table and judges nothing. How busy the core of the load was stands in it: near 100 % it was the limit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bed::{Bed, Company, SECRET, token};
use crate::process;
use crate::stub::Stub;
use crate::support::flock::{Flock, quantile, timed_text};
use crate::support::load::{self, Body, Load};
use crate::support::router::{APP_SECRET, Router, RouterOptions, text_message};
use crate::support::{Program, free_port, root, run_dir};

const COMPANIES: u32 = 20;
const CANDIDATES: u64 = 50;
const CONNECTIONS: u32 = 64;
const PER_SECOND: u32 = 150;
const RECRUITERS: u32 = 10;
/// Handshakes offered each second: what a replica of ours admits, less a little.
const CONNECTS: u32 = 180;
/// Of so many; the others come at a pace that the double bears (ours asks the store for more than the other does), since
/// they are counted when they are there.
const CONNECTING: usize = 1000;
const PACE: u32 = 25;
const LIMIT: Duration = Duration::from_secs(1200);
/// The router's core, and that of everything else.
const ROUTER_CORE: &str = "0";
const OTHER_CORE: u32 = 1;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ours,
    Node,
}

/// One of the two, running.
struct Side {
    program: Program,
    pid: u32,
    webhook: u16,
    url: String,
}

/// What was measured of one.
#[derive(Default)]
struct Figures {
    stubbed: Flood,
    stored: Flood,
    p50_ms: f64,
    p99_ms: f64,
    cpu_message_us: f64,
    idle_kib: f64,
    connects: f64,
    cpu_connect_us: f64,
    busy_steady: f64,
    busy_connects: f64,
}

#[derive(Default)]
struct Flood {
    per_second: f64,
    cpu_us: f64,
    router_busy: f64,
    other_busy: f64,
    refused: u64,
}

/// Seconds of each measurement and sockets that idle, from BENCH_SECONDS and BENCH_SOCKETS.
struct Size {
    time: Duration,
    sockets: u32,
}

pub async fn run() -> Result<()> {
    let number = |name: &str, usual: u32| -> Result<u32> {
        std::env::var(name).map_or(Ok(usual), |text| text.parse().with_context(|| format!("{name} is no number")))
    };
    let size = Size {
        time: Duration::from_secs(number("BENCH_SECONDS", 15)?.into()),
        sockets: number("BENCH_SOCKETS", 10_000)?,
    };
    let ours = measure(Kind::Ours, &size).await?;
    let node = measure(Kind::Node, &size).await?;
    show(&ours, &node, &size);
    Ok(())
}

async fn measure(kind: Kind, size: &Size) -> Result<Figures> {
    let name = if kind == Kind::Ours { "bench-ours" } else { "bench-node" };
    let mut figures = Figures::default();
    {
        // A fresh store each time: it slows down with what it has gone through.
        let (bed, companies) = store(&format!("{name}-stubbed")).await?;
        let stub = Stub::start(&bed.mongo).await?;
        let side = start(kind, name, &stub.uri).await?;
        figures.stubbed = flood(&side, &companies, size.time).await?;
        end(side).await?;
    }
    let (bed, companies) = store(&format!("{name}-stored")).await?;
    let side = start(kind, name, &bed.mongo.uri()).await?;
    steady(&side, &companies, size.time, &mut figures).await?;
    figures.stored = flood(&side, &companies, size.time).await?;
    end(side).await?;
    let (bed, companies) = store(&format!("{name}-idle")).await?;
    let side = start(kind, name, &bed.mongo.uri()).await?;
    let pace = if kind == Kind::Ours { PACE } else { CONNECTS };
    idle(&side, &companies, (size.sockets, pace), &mut figures).await?;
    end(side).await?;
    Ok(figures)
}

async fn store(name: &str) -> Result<(Bed, Vec<Company>)> {
    let bed = Bed::start(&run_dir(name)?).await?;
    let mut companies = Vec::new();
    for n in 1..=COMPANIES {
        companies.push(bed.company(&format!("company-{n}"), 100 + n).await?);
    }
    Ok((bed, companies))
}

async fn start(kind: Kind, name: &str, mongo: &str) -> Result<Side> {
    let dir = run_dir(name)?;
    match kind {
        Kind::Ours => {
            let own = std::env::current_exe()?;
            let binary = own.ancestors().nth(2).context("the example has no folder")?.join("clientnumber");
            let before = &["taskset", "-c", ROUTER_CORE];
            let options = RouterOptions { binary: &binary, mongo, jwt_secret: SECRET, log: "info", before };
            let router = Router::start("router", &dir, options).await?;
            let (url, Router { mut program, webhook, .. }) = (router.url(), router);
            let pid = program.pid().await?;
            Ok(Side { program, pid, webhook, url })
        }
        Kind::Node => {
            let (webhook, sockets) = (free_port()?, free_port()?);
            let script = root().join("tests/bench/node/router.mjs").display().to_string();
            let env = [
                ("MONGODB_URI", mongo.to_owned()),
                ("META_APP_SECRET", APP_SECRET.to_owned()),
                ("JWT_HS256_SECRET", SECRET.to_owned()),
                ("WEBHOOK_PORT", webhook.to_string()),
                ("SOCKET_PORT", sockets.to_string()),
                // What frameworks for Node.js do less work with.
                ("NODE_ENV", "production".to_owned()),
            ];
            let args = ["-c", ROUTER_CORE, "node", &script];
            let mut program = Program::start("node", PathBuf::from("taskset"), &dir, args, env)?;
            program.wait_for_log("ready", Duration::from_secs(30)).await?;
            let pid = program.pid().await?;
            Ok(Side { program, pid, webhook, url: format!("http://127.0.0.1:{sockets}") })
        }
    }
}

async fn end(mut side: Side) -> Result<()> {
    side.program.stop().await?;
    Ok(())
}

/// A text to one of the companies, in turn.
fn body(companies: &[Company], text: fn() -> String) -> Body {
    let line =
        |company: &Company| (company.line.phone_number_id.to_string(), company.line.phone_number.digits().to_owned());
    let lines: Vec<(String, String)> = companies.iter().map(line).collect();
    Arc::new(move |n| {
        let (id, number) = &lines[usize::try_from(n).unwrap_or(0) % lines.len()];
        let candidate = u32::try_from(n / 7 % CANDIDATES).unwrap_or(0);
        text_message((id, number), &format!("wamid.HBgMbench{n:020}"), candidate, &text(), json!({}))
    })
}

async fn flood(side: &Side, companies: &[Company], time: Duration) -> Result<Flood> {
    let next = Arc::new(AtomicU64::new(1_000_000));
    let body = body(companies, || "Salam, is the job still free? I could come on Monday.".to_owned());
    load::flood(side.webhook, CONNECTIONS, time / 4, &next, &body).await?;
    let (cpu, core) = (process::cpu(side.pid)?, process::core(OTHER_CORE)?);
    let Load { taken, refused, took, .. } = load::flood(side.webhook, CONNECTIONS, time, &next, &body).await?;
    let used = process::cpu(side.pid)? - cpu;
    ensure!(taken > 0, "no POST was taken");
    Ok(Flood {
        per_second: taken as f64 / took.as_secs_f64(),
        cpu_us: used.as_secs_f64() * 1e6 / taken as f64,
        router_busy: used.as_secs_f64() / took.as_secs_f64(),
        other_busy: busy_since(core)?,
        refused,
    })
}

fn busy_since(before: (u64, u64)) -> Result<f64> {
    let (busy, whole) = process::core(OTHER_CORE)?;
    Ok((busy - before.0) as f64 / (whole - before.1).max(1) as f64)
}

/// Messages of one company at a steady pace, to its recruiters.
async fn steady(side: &Side, companies: &[Company], time: Duration, figures: &mut Figures) -> Result<()> {
    let company = companies.get(..1).context("no company")?;
    let clients = (0..RECRUITERS).map(|n| recruiter(&company[0], n)).collect::<Result<Vec<_>>>()?;
    let mut flock = Flock::start(&side.url, clients, None).await?;
    flock.connected(LIMIT).await?;
    let next = Arc::new(AtomicU64::new(1));
    let body = body(company, timed_text);
    load::steady(&[side.webhook], PER_SECOND, time / 4, &next, &body).await?;
    flock.reset().await?;
    let (cpu, core) = (process::cpu(side.pid)?, process::core(OTHER_CORE)?);
    let load = load::steady(&[side.webhook], PER_SECOND, time, &next, &body).await?;
    let used = process::cpu(side.pid)? - cpu;
    figures.busy_steady = busy_since(core)?;
    ensure!(load.refused == 0, "{} POSTs were refused", load.refused);
    // The fence that made the line the company's is the log's first entry.
    let newest = i64::try_from(next.load(Ordering::Relaxed))?;
    flock.reached(newest, LIMIT).await?;
    let report = flock.report().await?;
    ensure!((report.foreign, report.lost) == (0, 0), "{report:?}");
    figures.p50_ms = quantile(&report.delays, 0.5);
    figures.p99_ms = quantile(&report.delays, 0.99);
    figures.cpu_message_us = used.as_secs_f64() * 1e6 / load.taken as f64;
    Ok(())
}

fn recruiter(company: &Company, n: u32) -> Result<Value> {
    // Ten devices each: a recruiter may have twenty.
    let token = token(company.id.as_str(), &format!("recruiter-{}", n / 10), json!({}))?;
    Ok(json!({"token": token, "device": format!("device-{}", n % 10), "cursor": "0."}))
}

/// Sockets that have nothing to hear.
async fn idle(side: &Side, companies: &[Company], (sockets, pace): (u32, u32), figures: &mut Figures) -> Result<()> {
    let every = usize::try_from(sockets)?.div_ceil(companies.len());
    let clients =
        companies.iter().flat_map(|company| (0..u32::try_from(every).unwrap_or(0)).map(|n| recruiter(company, n)));
    let mut clients = clients.collect::<Result<Vec<_>>>()?;
    let count = clients.len() as f64;
    let rest = clients.split_off(CONNECTING.min(clients.len()));
    let first = clients.len() as f64;
    let (memory, cpu, core) = (process::memory_kib(side.pid)?, process::cpu(side.pid)?, process::core(OTHER_CORE)?);
    let mut flock = Flock::start(&side.url, clients, Some(CONNECTS)).await?;
    let took = flock.connected(LIMIT).await?;
    figures.busy_connects = busy_since(core)?;
    figures.connects = first / took.as_secs_f64();
    figures.cpu_connect_us = (process::cpu(side.pid)? - cpu).as_secs_f64() * 1e6 / first;
    let mut others = Flock::start(&side.url, rest, Some(pace)).await?;
    others.connected(LIMIT).await?;
    // One ping period, so that everything a connection needs has been made.
    tokio::time::sleep(Duration::from_secs(30)).await;
    for flock in [&mut flock, &mut others] {
        let report = flock.report().await?;
        ensure!(report.lost == 0, "{} connections were lost", report.lost);
    }
    figures.idle_kib = process::memory_kib(side.pid)?.saturating_sub(memory) as f64 / count;
    Ok(())
}

fn show(ours: &Figures, node: &Figures, size: &Size) {
    let row = |what: &str, ours: f64, node: f64, ratio: f64, aim: &str| {
        println!("{what:<44} {ours:>12.1} {node:>12.1} {ratio:>8.2}  {aim}");
    };
    println!("{:<44} {:>12} {:>12} {:>8}", "", "clientnumber", "Node.js", "ratio");
    row(
        "POST/s, store stubbed",
        ours.stubbed.per_second,
        node.stubbed.per_second,
        ours.stubbed.per_second / node.stubbed.per_second,
        "4 at least, 8 aimed at",
    );
    row("  CPU per POST, us", ours.stubbed.cpu_us, node.stubbed.cpu_us, node.stubbed.cpu_us / ours.stubbed.cpu_us, "");
    row(
        "POST/s, store real",
        ours.stored.per_second,
        node.stored.per_second,
        ours.stored.per_second / node.stored.per_second,
        "",
    );
    row("  CPU per POST, us", ours.stored.cpu_us, node.stored.cpu_us, node.stored.cpu_us / ours.stored.cpu_us, "");
    row(&format!("POST to socket at {PER_SECOND}/s, p50, ms"), ours.p50_ms, node.p50_ms, node.p50_ms / ours.p50_ms, "");
    row(&format!("POST to socket at {PER_SECOND}/s, p99, ms"), ours.p99_ms, node.p99_ms, node.p99_ms / ours.p99_ms, "");
    row(
        &format!("CPU per message to {RECRUITERS} sockets, us"),
        ours.cpu_message_us,
        node.cpu_message_us,
        node.cpu_message_us / ours.cpu_message_us,
        "3 at least",
    );
    row(
        &format!("memory per idle socket of {}, KiB", size.sockets),
        ours.idle_kib,
        node.idle_kib,
        node.idle_kib / ours.idle_kib,
        "1 aimed at",
    );
    row(&format!("connects/s of {CONNECTS} offered"), ours.connects, node.connects, ours.connects / node.connects, "");
    row(
        "  CPU per connect, us",
        ours.cpu_connect_us,
        node.cpu_connect_us,
        node.cpu_connect_us / ours.cpu_connect_us,
        "",
    );
    println!("How busy, in %: the router's core, and the other one (load, clients, store, and whatever else ran here)");
    for (what, ours, node) in
        [("POST/s, stubbed", &ours.stubbed, &node.stubbed), ("POST/s, real", &ours.stored, &node.stored)]
    {
        println!(
            "  {what:<42} {:>5.0} {:>6.0} {:>6.0} {:>5.0}   refused: {}, {}",
            ours.router_busy * 100.0,
            ours.other_busy * 100.0,
            node.router_busy * 100.0,
            node.other_busy * 100.0,
            ours.refused,
            node.refused
        );
    }
    println!(
        "  {:<42} {:>12.0} {:>12.0}",
        "steady pace, the other core",
        ours.busy_steady * 100.0,
        node.busy_steady * 100.0
    );
    println!(
        "  {:<42} {:>12.0} {:>12.0}",
        "connects, the other core",
        ours.busy_connects * 100.0,
        node.busy_connects * 100.0
    );
}
