//! Running the controller: watches, the two reconcilers, shutdown. What a pass does is `line`'s and `portfolio`'s; what
//! both work with is `context`. Must never decide anything about a line or a Portfolio.

mod concerned;
pub mod context;
pub mod events;
mod lease;
pub mod slots;
pub mod views;

pub use lease::{Lease, while_leading};

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::controller::context::Context;
use crate::controller::slots::Slots;
use crate::controller::views::Views;
use crate::domain::{ClusterId, PolicyTime, SharedClock};
use crate::portfolio::accounts::Accounts;
use crate::portfolio::ledger_write::LedgerTurns;
use crate::portfolio::observed::Observations;
use crate::portfolio::rounds::Rounds;
use crate::providers::Http;
use crate::resources::{ClientNumber, Portfolio, names};
use crate::store::Store;
use crate::telemetry::Part;
use crate::telemetry::controller_metrics::ControllerMetrics;

/// How the controller runs.
pub struct Settings {
    /// Namespaces that are watched; empty: all.
    pub namespaces: Vec<String>,
    /// Passes at the same time, at most: for each step of each Portfolio.
    pub concurrency: u16,
    /// Policy times.
    pub policy: PolicyTime,
    /// Write nothing outside Kubernetes status.
    pub read_only: bool,
    /// Time.
    pub clock: SharedClock,
}

/// What the controller needs from outside.
pub struct Parts {
    /// For watches: without a limit on how long nothing may be said.
    pub watches: Client,
    /// For single requests: bounded in time.
    pub requests: Client,
    /// MongoDB.
    pub store: Store,
    /// HTTP to providers.
    pub http: Http,
    /// Measurements.
    pub metrics: Arc<ControllerMetrics>,
    /// Ready once both watches have told what there is.
    pub ready: Part,
}

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The CRDs or the rights are missing.
    #[error("{what} can't be listed ({source}): apply crds/ and the role of the chart")]
    NotInstalled {
        /// What.
        what: &'static str,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The cluster's identity can't be read.
    #[error(
        "the namespace kube-system can't be read ({0}): its uid is the cluster's identity, grant get on namespaces"
    )]
    Identity(Box<kube::Error>),
    /// kube-system has no usable uid.
    #[error("the namespace kube-system has no uid: is this a Kubernetes API server?")]
    NoIdentity,
    /// The lease.
    #[error(
        "the lease can't be used ({0}): grant get, create, update and patch on leases, or use --no-leader-election"
    )]
    Lease(String),
    /// Another process leads now.
    #[error("the lease was lost to another replica: this process ends, it is started again by its supervisor")]
    LeaseLost,
}

/// Runs until `stop`. Work in hand is finished.
pub async fn run(settings: Settings, parts: Parts, stop: CancellationToken) -> Result<(), ControllerError> {
    let scopes: Vec<Option<String>> = if settings.namespaces.is_empty() {
        vec![None]
    } else {
        settings.namespaces.iter().cloned().map(Some).collect()
    };
    let cluster = identity(&parts.requests).await?;
    let lines: Vec<_> = scopes
        .iter()
        .map(|scope| Controller::new(api::<ClientNumber>(&parts.watches, scope), watcher::Config::default()))
        .collect();
    let portfolios: Vec<_> = scopes
        .iter()
        .map(|scope| Controller::new(api::<Portfolio>(&parts.watches, scope), watcher::Config::default()))
        .collect();
    for scope in &scopes {
        check(&api::<ClientNumber>(&parts.requests, scope), "ClientNumbers").await?;
        check(&api::<Portfolio>(&parts.requests, scope), "Portfolios").await?;
    }
    let reporter = Reporter { controller: names::CONTROLLER.into(), instance: None };
    let context = Arc::new(Context {
        recorder: Recorder::new(parts.requests.clone(), reporter),
        client: parts.requests,
        accounts: Accounts::new(parts.http, settings.clock.clone()),
        clock: settings.clock,
        policy: settings.policy,
        store: parts.store,
        lines: Views::watch(scopes.iter().map(|scope| api(&parts.watches, scope)).collect(), &stop),
        portfolios: Views::watch(scopes.iter().map(|scope| api(&parts.watches, scope)).collect(), &stop),
        rng: Mutex::new(StdRng::from_rng(&mut rand::rng())),
        read_only: settings.read_only,
        cluster,
        rounds: Rounds::default(),
        observations: Observations::default(),
        metrics: parts.metrics,
        ledgers: LedgerTurns::default(),
        slots: Slots::new(usize::from(settings.concurrency), stop.clone()),
    });
    let (ready, views) = (parts.ready, context.clone());
    tokio::spawn(async move {
        if views.told().await {
            ready.ready();
        }
    });
    // Bounded by `slots`, which know what a pass would wait for; a Portfolio is in one pass at a time in any case.
    let config = || Config::default().concurrency(0);
    let mut running = Vec::new();
    for controller in lines {
        let portfolios = scopes.iter().map(|scope| api(&parts.watches, scope)).collect();
        let run = run_lines(controller.with_config(config()), portfolios, context.clone(), stop.clone());
        running.push(tokio::spawn(run));
    }
    for controller in portfolios {
        let lines = scopes.iter().map(|scope| api(&parts.watches, scope)).collect();
        let run = run_portfolios(controller.with_config(config()), lines, context.clone(), stop.clone());
        running.push(tokio::spawn(run));
    }
    for task in running {
        // A task that panicked has been reported by the panic itself.
        let _ = task.await;
    }
    Ok(())
}

/// `portfolios`: those of all namespaces that are watched, since a line's Portfolio may be in another than its own. What a
/// controller is told of objects outside its namespace it passes over.
async fn run_lines(
    mut controller: Controller<ClientNumber>,
    portfolios: Vec<Api<Portfolio>>,
    ctx: Arc<Context>,
    stop: CancellationToken,
) {
    let told = Arc::new(concerned::Told::default());
    for portfolios in portfolios {
        let (mapper, told) = (ctx.clone(), told.clone());
        controller = controller.watches(portfolios, watcher::Config::default(), move |portfolio| {
            concerned::by(&mapper, &portfolio, &told)
        });
    }
    controller
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(
            |line, ctx| async move {
                if !ctx.told().await {
                    return Ok(Action::await_change());
                }
                let Some((line, _slot)) = crate::line::enter(&line, &ctx).await? else {
                    return Ok(Action::await_change());
                };
                let started = ctx.clock.monotonic();
                let result = crate::line::reconcile(line, ctx.clone()).await;
                ctx.metrics.reconcile("ClientNumber", result.is_ok(), ctx.clock.monotonic().duration_since(started));
                result
            },
            crate::line::on_error,
            ctx,
        )
        .for_each(|result| async move {
            if let Err(error) = result {
                report("ClientNumber", &error);
            }
        })
        .await;
}

async fn run_portfolios(
    mut controller: Controller<Portfolio>,
    lines: Vec<Api<ClientNumber>>,
    ctx: Arc<Context>,
    stop: CancellationToken,
) {
    for lines in lines {
        controller = controller.watches(lines, watcher::Config::default(), |line| {
            let reference = &line.spec.portfolio_ref;
            let namespace = reference.namespace.clone().or_else(|| line.namespace());
            namespace.map(|namespace| ObjectRef::new(&reference.name).within(&namespace))
        });
    }
    controller
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(
            |portfolio, ctx| async move {
                if !ctx.told().await {
                    return Ok(Action::await_change());
                }
                let started = ctx.clock.monotonic();
                let result = crate::portfolio::reconcile(portfolio, ctx.clone()).await;
                ctx.metrics.reconcile("Portfolio", result.is_ok(), ctx.clock.monotonic().duration_since(started));
                result
            },
            crate::portfolio::on_error,
            ctx,
        )
        .for_each(|result| async move {
            if let Err(error) = result {
                report("Portfolio", &error);
            }
        })
        .await;
}

fn report<E: std::error::Error, W: std::error::Error>(
    kind: &'static str,
    error: &kube::runtime::controller::Error<E, W>,
) {
    use kube::runtime::controller::Error;
    match error {
        // Gone before its turn came.
        Error::ObjectNotFound(_) => {}
        Error::ReconcilerFailed(error, object) => {
            tracing::info!(kind, object = %object, error = %error, "a pass did not finish; it is tried again");
        }
        other => tracing::warn!(kind, error = %other, "a watch or queue reports trouble; it goes on by itself"),
    }
}

fn api<K>(client: &Client, scope: &Option<String>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }
}

async fn check<K>(api: &Api<K>, what: &'static str) -> Result<(), ControllerError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let one = kube::api::ListParams::default().limit(1);
    api.list(&one).await.map(|_| ()).map_err(|source| ControllerError::NotInstalled { what, source: Box::new(source) })
}

async fn identity(client: &Client) -> Result<ClusterId, ControllerError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get("kube-system").await.map_err(|e| ControllerError::Identity(Box::new(e)))?;
    system.uid().and_then(|uid| ClusterId::parse(uid).ok()).ok_or(ControllerError::NoIdentity)
}
