//! `clientnumber controller`: the reconcilers, their admin port and the lease.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use super::settings::StoreArgs;
use super::{Failure, block_on, shutdown};
use crate::controller::leadership::Leadership;
use crate::controller::{self, Lease, Parts, Settings};
use crate::domain::{PolicyTime, SharedClock, SystemClock};
use crate::listen;
use crate::providers::Http;
use crate::store::{Store, StoreOptions};
use crate::telemetry::controller_metrics::ControllerMetrics;
use crate::telemetry::{Readiness, admin, metrics};

/// Arguments of `clientnumber controller`.
#[derive(clap::Args)]
pub struct Args {
    /// Namespace to watch; repeat it for several. Default: all.
    #[arg(long = "namespace", env = "NAMESPACE", value_name = "NAME", value_delimiter = ',')]
    namespaces: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Address of /metrics, /livez and /readyz.
    #[arg(long, env = "ADMIN_ADDR", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    admin_addr: SocketAddr,
    /// Passes at the same time, for each step of each Portfolio: what hangs in one holds up no other.
    #[arg(long, env = "CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Namespace of the lease among replicas. Default: the pod's own, else "default".
    #[arg(long, env = "LEASE_NAMESPACE", value_name = "NAME")]
    lease_namespace: Option<String>,
    /// Run without a lease: for a single replica.
    #[arg(long, env = "NO_LEADER_ELECTION")]
    no_leader_election: bool,
    /// Write nothing to providers, MongoDB or Secrets; status says what would be done.
    #[arg(long, env = "READ_ONLY")]
    read_only: bool,
    /// Factor on policy times (gaps, grace times, code life, back-off, poll and lease intervals), never on HTTP
    /// time-outs. For tests: 1 is the real world.
    #[arg(long, env = "POLICY_TIME_SCALE", default_value_t = 1.0, value_name = "FACTOR")]
    policy_time_scale: f64,
    /// Seconds that what is in hand may still take after SIGTERM, before it is given up and the lease handed over. Keep
    /// it some seconds below the pod's terminationGracePeriodSeconds.
    #[arg(
        long,
        env = "SHUTDOWN_GRACE",
        default_value_t = 20,
        value_parser = clap::value_parser!(u16).range(1..=600),
        value_name = "SECONDS"
    )]
    shutdown_grace: u16,
}

/// Runs until SIGTERM or SIGINT, or until the lease is lost.
pub fn run(args: Args) -> Result<(), Failure> {
    block_on(async move { Ok(start(args).await) })?
}

async fn start(args: Args) -> Result<(), Failure> {
    let policy = PolicyTime::new(args.policy_time_scale).ok_or_else(|| {
        Failure::Usage(format!(
            "--policy-time-scale {} is not usable: give a factor above 0 and at most 1000",
            args.policy_time_scale
        ))
    })?;
    let uri = args.store.required()?;
    let store = connect(&uri).await?;
    let mut registry = metrics::registry("controller");
    let metrics = Arc::new(ControllerMetrics::new(&mut registry));
    let clock: SharedClock = Arc::new(SystemClock);
    let lead = if args.no_leader_election { Leadership::alone() } else { Leadership::unproven() };
    let counted = metrics.clone();
    let (may, time) = (lead.clone(), clock.clone());
    let http = Http::new()
        .map_err(Failure::failed)?
        .with_hook(Arc::new(move |call| counted.provider_call(call)))
        .writing_while(Arc::new(move || may.holds(time.monotonic())));
    let clients = Clients::new(&lead, &clock).await?;
    let readiness = Readiness::default();
    let ready = readiness.part("watches");
    let stop = CancellationToken::new();
    let listener = listen::bind("admin", args.admin_addr).await.map_err(Failure::failed)?;
    tracing::info!(address = %args.admin_addr, "the controller starts");
    let admin = tokio::spawn(admin::serve(listener, registry, readiness, stop.clone()));
    shutdown::on_signal(stop.clone());
    let settings = Settings {
        namespaces: args.namespaces,
        concurrency: args.concurrency,
        policy,
        read_only: args.read_only,
        clock: clock.clone(),
        lead: lead.clone(),
        grace: Duration::from_secs(args.shutdown_grace.into()),
    };
    let Clients { watches, requests, lease } = clients;
    let parts = Parts { watches, requests, store, http, metrics: metrics.clone(), ready };
    let result = if args.no_leader_election {
        metrics.leads(true);
        controller::run(settings, parts, stop.clone()).await
    } else {
        let terms = lease_terms(policy, args.lease_namespace.unwrap_or_else(|| lease.default_namespace().to_owned()));
        let work = |stop| controller::run(settings, parts, stop);
        controller::while_leading(lease, terms, lead, clock, metrics, stop.clone(), work).await
    };
    stop.cancel();
    let _ = admin.await;
    result.map_err(Failure::failed)
}

/// Prepares the store; a server that is away is waited for later, by the lines themselves.
async fn connect(uri: &SecretString) -> Result<Store, Failure> {
    let options = StoreOptions { app_name: "clientnumber-controller".into(), ..StoreOptions::default() };
    Store::connect(uri, options).await.map_err(|e| Failure::Usage(e.to_string()))
}

/// The terms of the lease, in whole seconds, since that is what a Lease holds: good for 15 s, renewed 5 s before.
fn lease_terms(policy: PolicyTime, namespace: String) -> Lease {
    let seconds = |n| policy.scaled(Duration::from_secs(n)).as_secs();
    let duration = seconds(15).max(2);
    let renew_before = seconds(5).clamp(1, duration - 1);
    let (duration, renew_before) = (Duration::from_secs(duration), Duration::from_secs(renew_before));
    Lease { namespace, identity: identity(), duration, renew_before }
}

fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".into());
    format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}
