//! `clientnumber controller`: the reconcilers, their admin port and the lease.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::settings::StoreArgs;
use super::{Failure, block_on, shutdown};
use crate::controller::{self, Lease, Parts, Settings};
use crate::domain::{PolicyTime, SystemClock};
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
    let counted = metrics.clone();
    let http = Http::new().map_err(Failure::failed)?.with_hook(Arc::new(move |call| counted.provider_call(call)));
    let (watches, requests) = clients().await?;
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
        clock: Arc::new(SystemClock),
    };
    let parts = Parts { watches, requests: requests.clone(), store, http, metrics: metrics.clone(), ready };
    let result = if args.no_leader_election {
        metrics.leads(true);
        controller::run(settings, parts, stop.clone()).await
    } else {
        let lease = Lease {
            namespace: args.lease_namespace.unwrap_or_else(|| requests.default_namespace().to_owned()),
            identity: identity(),
            duration: policy.scaled(Duration::from_secs(15)),
            renew_before: policy.scaled(Duration::from_secs(5)),
        };
        controller::while_leading(requests, lease, metrics, stop.clone(), |stop| controller::run(settings, parts, stop))
            .await
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

/// Two clients from one configuration: a limit on reading would cut watches on which nothing happens. Neither repeats by
/// itself: a repeated PUT answers with a conflict, and a slot would be held for minutes.
async fn clients() -> Result<(Client, Client), Failure> {
    let mut config = kube::Config::infer().await.map_err(|e| {
        Failure::Usage(format!("no Kubernetes API server is configured ({e}): set KUBECONFIG, or run in a cluster"))
    })?;
    config.default_retry = false;
    let watches = Client::try_from(config.clone()).map_err(Failure::failed)?;
    config.read_timeout = Some(Duration::from_secs(30));
    let requests = Client::try_from(config).map_err(Failure::failed)?;
    Ok((watches, requests))
}

fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "local".into());
    format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}
