//! The line controller: one ClientNumber from apply to Ready, and back.
//!
//! One pass: finalizer -> spec -> suspended? -> Portfolio ready? -> retry gate -> `plan` -> ONE step -> save status ->
//! events -> requeue. The steps are the files of this folder: acquire, link, verify, route, register, keep, release.
//! Nothing here sleeps: a step that waits for a provider says when to look again.

mod acquire;
pub mod budget;
pub mod drift;
pub mod error;
mod gate;
mod give_back;
pub mod keep;
mod link;
mod number_use;
mod owner;
pub mod pass;
mod pin;
pub mod plan;
pub mod purchase;
mod register;
mod release;
mod route;
pub mod spec;
pub mod status;
pub mod turn;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use tokio::sync::OwnedSemaphorePermit;

use crate::controller::away::Service;
use crate::controller::context::Context;
use crate::controller::slots::Lane;
use crate::domain::NamespacedName;
use crate::resources::ClientNumber;
use crate::resources::client_number::RetryStatus;
use crate::resources::names::{ANNOTATION_ABANDON, ANNOTATION_RETRY, LINE_FINALIZER};
use crate::resources::reasons::Reason;
use error::{StepError, Verdict, verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use pass::Pass;
use plan::{Step, plan};
use spec::LineSpec;
use status::{Overlay, Progress, State};

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: the next step can follow.
    Now,
    /// After a time.
    After(Duration),
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the line is.
    pub progress: Progress,
    /// When to look again.
    pub next: Next,
}

impl Outcome {
    /// The step is finished; the next one follows at once.
    pub fn advanced(step: Step) -> Self {
        Self { progress: Progress::working(step, Reason::InProgress, "goes on with the next step"), next: Next::Now }
    }

    /// Waiting.
    pub fn wait(progress: Progress, after: Duration) -> Self {
        Self { progress, next: Next::After(after) }
    }
}

/// What a step comes to.
pub type StepResult = Result<Outcome, StepError>;

/// How long a line waits for its Portfolio's accounts to be read by this process, or for a provider or a store that is
/// away, before anybody is asked anything. A new spec, a deletion that begins and a person's wish are looked at all the same.
pub fn waits_for_return(seen: &ClientNumber, ctx: &Context) -> Option<Duration> {
    let same_spec = seen.status.as_ref().map(|s| s.observed_generation) == seen.metadata.generation;
    if let Some(rest) = gate::not_read_yet(seen, ctx) {
        return Some(rest);
    }
    // Whoever gives a line up needs no provider.
    let given_up = seen.metadata.deletion_timestamp.is_some() && seen.annotations().contains_key(ANNOTATION_ABANDON);
    let uid = seen.metadata.uid.as_deref()?;
    if !same_spec || given_up || asked_anew(seen) || ctx.handed_in.is_waking(uid) || wishes_call(seen, ctx) {
        return None;
    }
    let recording = recording(seen, ctx.clock.now());
    if recording == Recording::TooLong {
        return None;
    }
    Some(recording.at_most(ctx.away.rest(uid, ctx.clock.monotonic(), ctx.policy)?))
}

/// Whether a line's number records calls, and for how long it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recording {
    /// It does not, or is about to ask for a code.
    No,
    /// A code is awaited for so long.
    Awaits(Duration),
    /// The code's time is over: whatever else is waited for, the number must reject calls again.
    TooLong,
}

fn recording(line: &ClientNumber, now: jiff::Timestamp) -> Recording {
    let verification = line.status.as_ref().and_then(|s| s.verification.as_ref()).filter(|v| v.armed_at.is_some());
    match verification.and_then(|v| v.code_expires_at.as_ref()) {
        None => Recording::No,
        Some(expires) => match Duration::try_from(expires.0.duration_since(now)) {
            Ok(left) if !left.is_zero() => Recording::Awaits(left),
            _ => Recording::TooLong,
        },
    }
}

impl Recording {
    /// A wait, which must not reach beyond the code's time.
    fn at_most(self, wait: Duration) -> Duration {
        match self {
            Self::Awaits(left) => wait.min(left),
            _ => wait,
        }
    }
}

/// Waits for a slot and reads the line: the copy that woke us may be older than our own last write. None: it is gone, or
/// the program ends.
pub async fn enter(
    seen: &ClientNumber,
    ctx: &Context,
) -> Result<Option<(ClientNumber, OwnedSemaphorePermit)>, StepError> {
    let api: Api<ClientNumber> = Api::namespaced(ctx.client.clone(), &seen.namespace().unwrap_or_default());
    let mut wanted = lane(seen);
    loop {
        let Some(slot) = ctx.slots.take(&wanted).await else { return Ok(None) };
        let Some(line) = api.get_opt(&seen.name_any()).await? else { return Ok(None) };
        let actual = lane(&line);
        if actual == wanted {
            return Ok(Some((line, slot)));
        }
        // It has gone on meanwhile, and must not hold up those whose step it has left.
        wanted = actual;
    }
}

/// What a line shares its slots with.
fn lane(line: &ClientNumber) -> Lane {
    let reference = &line.spec.portfolio_ref;
    let namespace = reference.namespace.clone().or_else(|| line.namespace()).unwrap_or_default();
    let step = if line.metadata.deletion_timestamp.is_some() { "release" } else { current(line).as_str() };
    Lane { portfolio: NamespacedName::new(namespace, &reference.name), step }
}

/// One pass over one line, as it was just read.
pub async fn reconcile(line: ClientNumber, ctx: Arc<Context>) -> Result<Action, StepError> {
    let api: Api<ClientNumber> = Api::namespaced(ctx.client.clone(), &line.namespace().unwrap_or_default());
    let uid = line.uid().unwrap_or_default();
    if line.metadata.deletion_timestamp.is_some() {
        return release::reconcile(line, &ctx).await;
    }
    let line =
        if line.finalizers().iter().any(|f| f == LINE_FINALIZER) { line } else { add_finalizer(&api, &line).await? };
    let spec = match LineSpec::of(&line) {
        Ok(spec) => spec,
        Err(invalid) => {
            let progress = Progress::stalled(current(&line), Reason::InvalidSpec, invalid.to_string());
            pass::save(&ctx, &line, &progress, &Overlay::None, |_| ()).await?;
            return Ok(Action::await_change());
        }
    };
    let entry = match gate::admit(&line, &spec, &ctx).await? {
        gate::Admission::Entered(portfolio, account) => (portfolio, account),
        gate::Admission::Waits { progress, overlay, after } => {
            ctx.away.forget(&uid, ctx.clock.monotonic());
            let line = pass::save(&ctx, &line, &progress, &overlay, |_| ()).await?;
            let recording = recording(&line, ctx.clock.now());
            stop_recording(&ctx, line, spec, &progress, overlay).await?;
            return Ok(requeue(&ctx, recording.at_most(after)));
        }
    };
    if !ctx.handed_in.looks(&uid)
        && !wishes_call(&line, &ctx)
        && !ctx.away.goes(&uid)
        && let Some(rest) = gate::retry_gate(&line, ctx.clock.now())
    {
        return Ok(Action::requeue(rest));
    }
    let line = if line.status.as_ref().is_none_or(|s| s.conditions.is_empty()) {
        let first = match spec.source {
            spec::Source::Acquire { .. } => acquire::words::progress(None, acquire::words::Told::default()),
            _ => {
                Progress::working(Step::Acquire, Reason::InProgress, "the number that spec.number names is taken next")
            }
        };
        pass::save(&ctx, &line, &first, &Overlay::None, |_| ()).await?
    } else {
        line
    };
    let mut pass = Pass { ctx: &ctx, line, spec, portfolio: entry.0, account: entry.1, overlay: Overlay::None };
    run_step(&mut pass).await
}

/// A line that may not be worked on must not go on recording calls either. What only lasts a moment leaves the number
/// armed while a code is awaited; a suspension or deletion does not. True: it was ended, and `progress` shown.
async fn stop_recording(
    ctx: &Context,
    line: ClientNumber,
    spec: LineSpec,
    progress: &Progress,
    overlay: Overlay,
) -> Result<bool, StepError> {
    let verification = line.status.as_ref().and_then(|s| s.verification.clone()).unwrap_or_default();
    let awaited = verification.code_expires_at.is_some_and(|expires| ctx.clock.now() < expires.0);
    let armed = verification.armed_at.is_some();
    if !armed || ctx.read_only || (awaited && overlay == Overlay::None) {
        return Ok(false);
    }
    let portfolio = ctx.portfolios.get(&spec.portfolio.namespace, &spec.portfolio.name);
    let Some((portfolio, account)) = portfolio.and_then(|p| ctx.accounts.for_ending(&p).map(|a| (p, a))) else {
        return Ok(false);
    };
    let name = spec.name.clone();
    let mut pass = Pass { ctx, line, spec, portfolio, account, overlay };
    if awaited && verification.stopped_at.is_none() {
        // Recorded first: whoever lets the work go on meanwhile must not listen to a number that rejects calls.
        let now = Time(ctx.clock.now());
        pass.save(progress, |status| status.verification.get_or_insert_default().stopped_at = Some(now)).await?;
    }
    match verify::disarm(&mut pass, progress).await {
        Ok(()) => Ok(true),
        // The carrier may be what is wrong with the Portfolio, which says so and asks it in its own time.
        Err(StepError::Provider(error)) => {
            tracing::info!(line = %name, error = %error, "whether the number records calls can't be changed now; tried again by itself");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn run_step(pass: &mut Pass<'_>) -> Result<Action, StepError> {
    let step = plan(&pass.status());
    if pass.ctx.read_only && step != Step::Keep {
        let progress = Progress::stalled(
            step,
            Reason::ReadOnly,
            format!("would go on with the step {}; start the controller without --read-only to let it", step.as_str()),
        );
        pass.save(&progress, |_| ()).await?;
        return Ok(Action::await_change());
    }
    acquire::mirror(pass).await;
    let started = pass.ctx.clock.monotonic();
    // Each on the heap: together their states are larger than a worker's stack takes without optimization.
    let result = match step {
        Step::Acquire => Box::pin(acquire::run(pass)).await,
        Step::Link => Box::pin(link::run(pass)).await,
        Step::Verify => Box::pin(verify::run(pass)).await,
        Step::Route => Box::pin(route::run(pass)).await,
        Step::Register => Box::pin(register::run(pass)).await,
        Step::Keep => Box::pin(keep::run(pass)).await,
    };
    pass.ctx.metrics.step(step.as_str(), pass.ctx.clock.monotonic().duration_since(started));
    match result {
        Ok(outcome) => {
            came_back(pass);
            let retry = retry_token(&pass.line);
            // A step that is finished says nothing of its own: the next one will.
            if outcome.next != Next::Now || outcome.progress.state == State::Stalled {
                pass.save(&outcome.progress, |status| handled(&mut status.retry, retry)).await?;
            }
            Ok(match outcome.next {
                Next::Now => Action::requeue(Duration::ZERO),
                Next::After(after) => requeue(pass.ctx, after),
            })
        }
        Err(error) => failed(pass, step, &error).await,
    }
}

/// What the line waited for is back, if it waited and was the one that tried.
fn came_back(pass: &Pass<'_>) {
    if pass.ctx.away.succeeded(&pass.spec.uid)
        && let Some(uid) = pass.portfolio.uid()
    {
        pass.ctx.rounds.is_back(&uid, pass.ctx.clock.monotonic());
    }
}

/// Shows an error and says when the step is tried again.
async fn failed(pass: &mut Pass<'_>, step: Step, error: &StepError) -> Result<Action, StepError> {
    let Some(verdict) = verdict(step, error, pass.ctx.policy) else {
        return Ok(requeue(pass.ctx, error.again()));
    };
    tracing::info!(line = %pass.spec.name, step = step.as_str(), error = %error, "a step did not succeed; it is tried again");
    let ctx = pass.ctx;
    let attempts = pass.status().retry.map_or(0, |r| r.attempts) + i32::from(verdict.failure);
    let wait = match away(&pass.spec, error, &verdict) {
        Some((service, answered)) => {
            let rest = ctx.away.failed(&pass.spec.uid, service, answered, ctx.clock.monotonic(), ctx.policy);
            ctx.jitter(rest)
        }
        None => {
            // It was answered, or is about something else.
            ctx.away.forget(&pass.spec.uid, ctx.clock.monotonic());
            let backoff = ctx.policy.backoff(u32::try_from(attempts.saturating_sub(1)).unwrap_or(0));
            ctx.jitter(verdict.wait.map_or(backoff, |asked| asked.max(backoff)))
        }
    };
    // Listening costs no call, and what is heard must not wait for what failed.
    let wait = match recording(&pass.line, ctx.clock.now()) {
        Recording::Awaits(left) => wait.min(left).min(ctx.policy.code_poll() * 2),
        _ => wait,
    };
    let next = Time(ctx.clock.now() + wait);
    if verdict.progress.reason == Reason::CredentialsInvalid
        && let Some(uid) = pass.portfolio.uid()
    {
        // Perhaps the Secret holds a new one already: the Portfolio reads it before long, not only at its next round.
        ctx.rounds.not_after(&uid, ctx.clock.monotonic() + ctx.policy.backoff(4));
    }
    let retry = retry_token(&pass.line);
    let message = verdict.progress.message.clone();
    let wished = pass.line.clone();
    pass.line = pass::save(ctx, &pass.line, &verdict.progress, &pass.overlay.clone(), |status| {
        let state = status.retry.get_or_insert_with(RetryStatus::default);
        state.attempts = attempts;
        state.next_retry_at = Some(next);
        state.last_error = Some(message);
        handled(&mut status.retry, retry);
        verify::wish::failed(&wished, status);
    })
    .await?;
    Ok(Action::requeue(wait))
}

/// What an error says is away, and whether it gave an answer all the same. Who names a time is not away: it is honoured.
fn away(spec: &LineSpec, error: &StepError, verdict: &Verdict) -> Option<(Service, bool)> {
    if verdict.wait.is_some() {
        return None;
    }
    match (verdict.progress.reason, error) {
        (Reason::ProviderUnavailable, StepError::Provider(error)) => {
            Some((Service::Provider(spec.portfolio.clone(), error.provider), error.http_status.is_some()))
        }
        (Reason::StoreUnavailable, StepError::Store(error)) if error.is_transient() => Some((Service::Store, false)),
        _ => None,
    }
}

fn requeue(ctx: &Context, after: Duration) -> Action {
    Action::requeue(ctx.jitter(after))
}

/// The step that the line is at, for what is shown before any step runs.
fn current(line: &ClientNumber) -> Step {
    plan(&line.status.clone().unwrap_or_default())
}

fn retry_token(line: &ClientNumber) -> Option<String> {
    line.annotations().get(ANNOTATION_RETRY).cloned()
}

/// Whether a person wants the line looked at now, and that was not granted yet.
fn asked_anew(line: &ClientNumber) -> bool {
    let asked = line.annotations().get(ANNOTATION_RETRY);
    let handled = line.status.as_ref().and_then(|s| s.retry.as_ref()?.handled_request.as_ref());
    asked.is_some() && asked != handled
}

/// Whether somebody waits at the phone for Meta's call.
fn wishes_call(line: &ClientNumber, ctx: &Context) -> bool {
    verify::wish::is_urgent(line, ctx.clock.now(), ctx.policy.wish_life())
}

/// Notes that a wish to look again now was granted.
fn handled(retry: &mut Option<RetryStatus>, token: Option<String>) {
    if token.is_some() {
        retry.get_or_insert_with(RetryStatus::default).handled_request = token;
    }
}

async fn add_finalizer(api: &Api<ClientNumber>, line: &ClientNumber) -> Result<ClientNumber, StepError> {
    let mut finalizers = line.finalizers().to_vec();
    finalizers.push(LINE_FINALIZER.into());
    // With resourceVersion, so that another writer's finalizer can't be lost.
    let patch = serde_json::json!({"metadata": {"resourceVersion": line.resource_version(), "finalizers": finalizers}});
    match api.patch(&line.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.is_conflict() => Err(StepError::Moved),
        other => Ok(other?),
    }
}

/// When a pass that failed on its own writes is tried again.
pub fn on_error(_: Arc<ClientNumber>, error: &StepError, ctx: Arc<Context>) -> Action {
    let wait = match error {
        StepError::Moved | StepError::Soon(_) => error.again(),
        _ => ctx.policy.backoff(1),
    };
    Action::requeue(ctx.jitter(wait))
}
