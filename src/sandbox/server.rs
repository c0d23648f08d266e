//! The three ports, and the way of one request: route, journal, fault before, effect, fault after, answer.
//!
//! A request runs in a task of its own: a client that goes away does not take back what it sent, as in the real world.
//! Only here and in `call` and `webhooks` is anything awaited; the lock is never held across an await.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::faults::{Strike, When};
use super::http::{self, Request, Response, pairs};
use super::settings::Settings;
use super::strike::{Carried, carry_out};
use super::wire::{Dropped, Paced};
use super::world::{Effect, World};
use super::{call, control, delays, journal, kept, meta, telnyx, webhooks, wire};

const BODY_LIMIT: usize = 128 * 1024 * 1024;

/// What the sandbox is started with.
pub struct Config {
    /// Where Telnyx is played; port 0 takes a free one.
    pub telnyx_addr: SocketAddr,
    /// Where Meta is played.
    pub meta_addr: SocketAddr,
    /// Where the control port is.
    pub control_addr: SocketAddr,
    /// Where Meta's webhooks go.
    pub webhook_url: Option<String>,
    /// The app's secret: signs webhooks, checks proofs.
    pub app_secret: Option<SecretString>,
    /// Factor on delays: 1 as in reality, 0 none.
    pub speed: f64,
    /// Seed of all chance.
    pub seed: u64,
    /// Where each call is written down besides.
    pub journal: Option<std::fs::File>,
    /// How the providers behave at first.
    pub settings: Settings,
}

/// What all tasks share.
pub struct Shared {
    world: Mutex<World>,
    /// Fetches TeXML, sends webhooks.
    pub http: reqwest::Client,
}

impl Shared {
    /// The world, brought up to this moment.
    pub fn world(&self) -> (MutexGuard<'_, World>, Timestamp) {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let now = world.now();
        world.advance(now);
        (world, now)
    }
}

/// A running sandbox; it ends when this is dropped.
pub struct Running {
    /// Base URL of Telnyx, with `/v2`.
    pub telnyx: String,
    /// Base URL of Meta.
    pub meta: String,
    /// Base URL of the control port.
    pub control: String,
    _stop: tokio_util::sync::DropGuard,
}

/// Which provider a port plays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    Telnyx,
    Meta,
}

/// Opens the three ports and begins to answer.
///
/// # Errors
/// A port that can't be opened, or no HTTP client.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    use anyhow::Context as _;
    let client = reqwest::Client::builder().no_proxy().build().context("building the HTTP client failed")?;
    let bind = async |addr: SocketAddr, what: &str| {
        TcpListener::bind(addr)
            .await
            .with_context(|| format!("can't listen on {addr} for {what}: choose another --{what}-addr"))
    };
    let telnyx = bind(config.telnyx_addr, "telnyx").await?;
    let meta = bind(config.meta_addr, "meta").await?;
    let control_listener = bind(config.control_addr, "control").await?;
    let origin = |listener: &TcpListener| listener.local_addr().map(|addr| format!("http://{addr}"));

    let mut world = World::new(config.seed, config.speed);
    world.settings = config.settings;
    world.app_secret = config.app_secret;
    world.webhook_url = config.webhook_url;
    world.telnyx_origin = origin(&telnyx)?;
    if let Some(file) = config.journal {
        world.journal.write_to(file);
    }
    let stop = CancellationToken::new();
    let running = Running {
        telnyx: format!("{}/v2", world.telnyx_origin),
        meta: origin(&meta)?,
        control: origin(&control_listener)?,
        _stop: stop.clone().drop_guard(),
    };
    let shared = Arc::new(Shared { world: Mutex::new(world), http: client });
    tokio::spawn(listen(telnyx, Provider::Telnyx, shared.clone(), stop.clone()));
    tokio::spawn(listen(meta, Provider::Meta, shared.clone(), stop.clone()));
    tokio::spawn(tick(shared.clone(), stop.clone()));
    tokio::spawn(async move {
        let served =
            axum::serve(control_listener, control::router(shared)).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the control port ended");
        }
    });
    Ok(running)
}

/// Lets time pass when nobody asks: orders take effect, names are decided.
async fn tick(shared: Arc<Shared>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(200)) => run_effects(&shared),
            () = stop.cancelled() => {}
        }
    }
}

async fn listen(listener: TcpListener, provider: Provider, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(converse(stream, provider, shared.clone(), stop.clone()));
    }
}

/// One connection, until it ends by itself, by a fault or with the sandbox.
async fn converse(stream: TcpStream, provider: Provider, shared: Arc<Shared>, stop: CancellationToken) {
    let rate = Arc::new(AtomicU32::new(0));
    let io = TokioIo::new(Paced::new(stream, rate.clone()));
    let service = service_fn(move |req| serve(shared.clone(), provider, rate.clone(), req));
    let mut connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => return,
    };
    // Any other error is a client that went away.
    if ended.err().as_ref().and_then(fault_of) == Some(Dropped::Reset) {
        // Zero linger: closing sends a reset instead of the usual goodbye.
        if let Err(error) = connection.into_parts().io.into_inner().inner.set_zero_linger() {
            tracing::warn!(%error, "a connection could not be reset and is closed instead");
        }
    }
}

fn fault_of(error: &hyper::Error) -> Option<Dropped> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref::<Dropped>()).copied()
}

async fn serve(
    shared: Arc<Shared>,
    provider: Provider,
    rate: Arc<AtomicU32>,
    req: hyper::Request<Incoming>,
) -> Result<hyper::Response<wire::Body>, Dropped> {
    let (parts, body) = req.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else { return Err(Dropped::Closed) };
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: pairs(parts.uri.query().unwrap_or("")),
        headers,
        body: body.to_bytes(),
    };
    let answered = tokio::spawn(process(shared, provider, request)).await;
    let response = answered.unwrap_or(Err(Dropped::Closed))?;
    rate.store(response.wire.rate(), Ordering::Relaxed);
    let mut builder =
        hyper::Response::builder().status(response.status).header("content-type", response.content_type.as_str());
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    if let Some(length) = response.wire.content_length(response.body.len()) {
        builder = builder.header("content-length", length);
    }
    builder.body(response.wire.body(response.body)).map_err(|_| Dropped::Closed)
}

/// The way of one request; without an answer the connection is closed.
async fn process(shared: Arc<Shared>, provider: Provider, req: Request) -> Result<Response, Dropped> {
    let (n, strike, latency, operation) = arrive(&shared, provider, &req);
    if let Some(strike) = strike.as_ref().filter(|strike| strike.plan.side() == When::Before) {
        match carry_out(&shared, strike, None).await {
            Carried::GoOn => {}
            Carried::Answer(response) => return finish(&shared, n, Ok(response), true),
            Carried::Drop(how) => return finish(&shared, n, Err(how), true),
        }
    }
    tokio::time::sleep(latency).await;
    let response = {
        let (mut world, now) = shared.world();
        match provider {
            Provider::Telnyx => telnyx::answer(&mut world, &req, now),
            Provider::Meta => meta::answer(&mut world, &req, now),
        }
    };
    run_effects(&shared);
    if operation == "meta.register" {
        // Over 15 s were seen; the effect is there before the answer.
        let slow = {
            let (mut world, _) = shared.world();
            let set = world.settings.meta.register_delay_ms;
            world.delay_of(set, delays::REGISTER, &req.path)
        };
        tokio::time::sleep(slow).await;
    }
    if let Some(strike) = strike.as_ref().filter(|strike| strike.plan.side() == When::After) {
        match carry_out(&shared, strike, Some(&response)).await {
            Carried::GoOn => {}
            Carried::Answer(response) => return finish(&shared, n, Ok(response), true),
            Carried::Drop(how) => return finish(&shared, n, Err(how), true),
        }
    }
    finish(&shared, n, Ok(response), false)
}

fn arrive(shared: &Shared, provider: Provider, req: &Request) -> (u64, Option<Strike>, Duration, &'static str) {
    let (mut world, now) = shared.world();
    let (operation, name) = match provider {
        Provider::Telnyx => (telnyx::route(req).0, "telnyx"),
        Provider::Meta => (meta::route(&world, req).0, "meta"),
    };
    let strike = world.faults.arrive(operation, |part| {
        req.path.contains(part)
            || req.query.iter().any(|(key, value)| key.contains(part) || value.contains(part))
            || http::find(&req.body, part.as_bytes()).is_some()
    });
    let n = world.journal.begin(journal::Entry {
        n: 0,
        time: now,
        provider: name,
        operation: operation.to_owned(),
        method: req.method.clone(),
        path: req.path.clone(),
        query: kept::query(&req.query),
        headers: kept::headers(req),
        status: None,
        fault: strike.as_ref().map(Strike::label),
        body: kept::request_body(req),
        ended: journal::Ended::default(),
    });
    let set = world.settings.latency_ms;
    let latency = world.delay_of(set, delays::LATENCY, &format!("{} {}", req.method, req.path));
    (n, strike, latency, operation)
}

fn finish(shared: &Shared, n: u64, answer: Result<Response, Dropped>, planted: bool) -> Result<Response, Dropped> {
    // Before the lock: a list of a thousand numbers takes its time.
    let ended = match &answer {
        Ok(response) => journal::Ended::answered(response, planted),
        Err(_) => journal::Ended { planted, ..journal::Ended::default() },
    };
    shared.world().0.journal.end(n, answer.as_ref().ok().map(|response| response.status), ended);
    answer
}

/// Starts what handlers have put into the outbox.
pub fn run_effects(shared: &Arc<Shared>) {
    let effects = std::mem::take(&mut shared.world().0.outbox);
    for effect in effects {
        let shared = shared.clone();
        match effect {
            Effect::Ring(ring) => drop(tokio::spawn(async move {
                tokio::time::sleep(ring.after).await;
                call::place(&shared, &ring.to, &ring.from, &ring.speech).await;
            })),
            Effect::Webhook(body) => drop(tokio::spawn(async move {
                webhooks::send(&shared, &webhooks::Post::of(&body), None).await;
            })),
        }
    }
}
