//! Running the controller: watches, the two reconcilers, shutdown. What a pass does is `line`'s and `portfolio`'s; what
//! both work with is `context`. Must never decide anything about a line or a Portfolio.

pub mod away;
mod concerned;
pub mod context;
pub mod events;
pub mod handed_in;
pub mod leadership;
mod lease;
mod reconnect;
pub mod slots;
mod start;
pub mod views;
pub mod wakes;

pub use lease::{Lease, while_leading};

use std::sync::{Arc, Mutex};
use std::time::Duration;

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

use crate::controller::away::Away;
use crate::controller::context::Context;
use crate::controller::handed_in::HandedIn;
use crate::controller::leadership::Leadership;
use crate::controller::slots::Slots;
use crate::controller::views::Views;
use crate::controller::wakes::Wakes;
use crate::domain::{ClusterId, PolicyTime, SharedClock};
use crate::portfolio::accounts::Accounts;
use crate::portfolio::audits::Audits;
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
    /// The right to write.
    pub lead: Leadership,
    /// How long what is in hand may still take once the program is to end.
    pub grace: Duration,
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
    /// Somebody deleted it.
    #[error(
        "the Lease clientnumber-controller was deleted: this process ends, and makes it anew when it is started again"
    )]
    LeaseGone,
}

/// Runs until `stop`. Work in hand is finished, within the grace.
pub async fn run(settings: Settings, parts: Parts, stop: CancellationToken) -> Result<(), ControllerError> {
    let scopes: Vec<Option<String>> = if settings.namespaces.is_empty() {
        vec![None]
    } else {
        settings.namespaces.iter().cloned().map(Some).collect()
    };
    let Some(cluster) = ask_first(&parts.requests, &scopes, &stop).await? else { return Ok(()) };
    let lines: Vec<_> = scopes
        .iter()
        .map(|scope| Controller::new(api::<ClientNumber>(&parts.watches, scope), watcher::Config::default()))
        .collect();
    let portfolios: Vec<_> = scopes
        .iter()
        .map(|scope| Controller::new(api::<Portfolio>(&parts.watches, scope), watcher::Config::default()))
        .collect();
    let reporter = Reporter { controller: names::CONTROLLER.into(), instance: None };
    let wakes = Arc::new(Wakes::default());
    let context = Arc::new(Context {
        recorder: Recorder::new(parts.requests.clone(), reporter),
        client: parts.requests,
        accounts: Accounts::new(parts.http, settings.clock.clone(), settings.policy, wakes.clone()),
        wakes,
        clock: settings.clock,
        lead: settings.lead,
        policy: settings.policy,
        store: parts.store,
        lines: Views::watch(scopes.iter().map(|scope| api(&parts.watches, scope)).collect(), &stop),
        portfolios: Views::watch(scopes.iter().map(|scope| api(&parts.watches, scope)).collect(), &stop),
        rng: Mutex::new(StdRng::from_rng(&mut rand::rng())),
        read_only: settings.read_only,
        cluster,
        rounds: Rounds::new(settings.policy.round_floor()),
        observations: Observations::default(),
        audits: Audits::default(),
        namespaces: settings.namespaces,
        metrics: parts.metrics,
        ledgers: LedgerTurns::default(),
        away: Away::default(),
        handed_in: HandedIn::default(),
        slots: Slots::new(usize::from(settings.concurrency), stop.clone()),
    });
    let (ready, views) = (parts.ready, context.clone());
    tokio::spawn(async move {
        if views.told().await {
            ready.ready();
        }
    });
    tokio::spawn(handed_in::watch(context.clone(), stop.clone()));
    // Bounded by `slots`, which know what a pass would wait for; a Portfolio is in one pass at a time in any case.
    let config = || Config::default().concurrency(0);
    let mut running = Vec::new();
    for (controller, scope) in lines.into_iter().zip(scopes.iter()) {
        let controller = controller.reconcile_on(context.wakes.of(scope.clone()));
        let portfolios = scopes.iter().map(|scope| api(&parts.watches, scope)).collect();
        let run = run_lines(controller.with_config(config()), portfolios, context.clone(), stop.clone());
        running.push(tokio::spawn(run));
    }
    for controller in portfolios {
        let lines = scopes.iter().map(|scope| api(&parts.watches, scope)).collect();
        let run = run_portfolios(controller.with_config(config()), lines, context.clone(), stop.clone());
        running.push(tokio::spawn(run));
    }
    finish(running, &stop, settings.grace).await;
    Ok(())
}

/// Waits for the reconcilers. A provider that hangs would keep a pass, and with it the lease, longer than the supervisor
/// waits before it kills: after the grace what is in hand is given up, as if the process had been killed there. Each
/// effect has its record before it, so whoever leads next looks up what became of it.
async fn finish(running: Vec<tokio::task::JoinHandle<()>>, stop: &CancellationToken, grace: Duration) {
    let aborts: Vec<_> = running.iter().map(tokio::task::JoinHandle::abort_handle).collect();
    let mut all = std::pin::pin!(futures::future::join_all(running));
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    // A task that panicked has been reported by the panic itself.
    tokio::select! {
        _ = &mut all => return,
        () = over => {}
    }
    tracing::warn!(
        grace_s = grace.as_secs_f64(),
        "what is in hand did not end within the grace: it is given up, and looked up by whoever leads next"
    );
    aborts.iter().for_each(tokio::task::AbortHandle::abort);
    all.await;
}

/// What must be known, and allowed, before anything is watched. None: the program ends before the API server answers.
async fn ask_first(
    client: &Client,
    scopes: &[Option<String>],
    stop: &CancellationToken,
) -> Result<Option<ClusterId>, ControllerError> {
    let asked = start::answered(
        "the cluster's identity",
        stop,
        async || identity(client).await,
        |error| match error {
            ControllerError::Identity(source) => start::is_answer(source),
            _ => true,
        },
    );
    let Some(cluster) = asked.await? else { return Ok(None) };
    let is_answer = |error: &ControllerError| match error {
        ControllerError::NotInstalled { source, .. } => start::is_answer(source),
        _ => true,
    };
    for scope in scopes {
        let (lines, portfolios) = (api::<ClientNumber>(client, scope), api::<Portfolio>(client, scope));
        let checks = async || {
            check(&lines, "ClientNumbers").await?;
            check(&portfolios, "Portfolios").await
        };
        if start::answered("the two kinds", stop, checks, is_answer).await?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(cluster))
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
    controller = controller.trigger_backoff(reconnect::backoff());
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
                if let Some(rest) = crate::line::waits_for_return(&line, &ctx) {
                    return Ok(Action::requeue(ctx.jitter(rest)));
                }
                let Some((line, _slot)) = crate::line::enter(&line, &ctx).await? else {
                    ctx.away.forget(&line.uid().unwrap_or_default(), ctx.clock.monotonic());
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
    controller = controller.trigger_backoff(reconnect::backoff());
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
