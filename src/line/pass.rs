//! One pass over one line: the object as it was last read or written, and the only way to write its status.
//!
//! Status is written whole, by PUT with resourceVersion. A 409 is treated the same whatever caused it (another writer, or
//! the echo of our own PUT behind a gateway): read live, and write again only if uid, generation and the purchase are as
//! this pass knew them. Whoever needs to know that nobody else has acted meanwhile relies on that.
//! Must never write status by patch: server-side apply drops what it does not name, and a purchase must not be dropped.

use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::error::StepError;
use super::plan::Step;
use super::spec::LineSpec;
use super::status::{Declared, Overlay, Progress, apply, standing};
use crate::controller::context::Context;
use crate::controller::events;
use crate::domain::{E164, PolicyTime};
use crate::portfolio::accounts::Account;
use crate::resources::{ClientNumber, ClientNumberStatus, Portfolio};
use std::sync::Arc;
use std::time::Instant;

/// How often a PUT is repeated after a conflict that changed nothing that matters.
const CONFLICTS: usize = 5;

/// One pass.
pub struct Pass<'a> {
    /// What it works with.
    pub ctx: &'a Context,
    /// The object as last read or written.
    pub line: ClientNumber,
    /// Its spec, parsed.
    pub spec: LineSpec,
    /// Its Portfolio, as last seen.
    pub portfolio: Arc<Portfolio>,
    /// The Portfolio's accounts.
    pub account: Arc<Account>,
    /// What stands over the pipeline.
    pub overlay: Overlay,
}

impl Pass<'_> {
    /// The status as last read or written.
    pub fn status(&self) -> ClientNumberStatus {
        self.line.status.clone().unwrap_or_default()
    }

    /// Whether so much time passed since `started`, when the intent was about to be written, that its call may not be made
    /// any more: this process was frozen, and another may have acted meanwhile. The outcome is looked up as if it was made.
    pub fn too_late(&self, started: Instant) -> bool {
        let late = self.ctx.clock.monotonic() >= self.good_until(started);
        if late {
            tracing::warn!(line = %self.spec.name, "more than 10 s passed since the intent was recorded: its call is not made, the outcome is looked up first");
        }
        late
    }

    /// Until when the call of an intent may be made that was about to be written at `started`.
    pub fn good_until(&self, started: Instant) -> Instant {
        if crate::test_switches::skip_order_window() {
            return started + PolicyTime::ORDER_WINDOW * 1000;
        }
        started + PolicyTime::ORDER_WINDOW
    }

    /// What a person was told to do about this step, as long as nothing was tried since.
    pub fn standing(&self, step: Step) -> Option<Progress> {
        standing(&self.status(), step, &self.overlay)
    }

    /// The line's number, once recorded.
    pub fn number(&self) -> Option<E164> {
        self.line.status.as_ref()?.phone_number.as_deref().and_then(|text| E164::parse(text).ok())
    }

    /// Writes what changed, with the conditions that follow from it. Ends earlier failures: something was achieved.
    pub async fn save(
        &mut self,
        progress: &Progress,
        change: impl FnOnce(&mut ClientNumberStatus),
    ) -> Result<(), StepError> {
        let overlay = self.overlay.clone();
        self.line = save(self.ctx, &self.line, progress, &overlay, |status| {
            if let Some(retry) = status.retry.as_mut() {
                retry.attempts = 0;
                retry.next_retry_at = None;
                retry.last_error = None;
            }
            change(status);
        })
        .await?;
        Ok(())
    }

    /// The same, without the events: what they would tell is returned, and told by [`Untold::tell`]. For what must not wait.
    pub async fn save_untold(
        &mut self,
        progress: &Progress,
        change: impl FnOnce(&mut ClientNumberStatus),
    ) -> Result<Untold, StepError> {
        let before = self.status();
        let overlay = self.overlay.clone();
        self.line = write(self.ctx, &self.line, progress, &overlay, change).await?;
        Ok(Untold { line: self.line.clone(), before })
    }

    /// Writes what is about to be done. Nothing is achieved by that, so earlier failures go on counting.
    pub async fn intend(
        &mut self,
        progress: &Progress,
        change: impl FnOnce(&mut ClientNumberStatus),
    ) -> Result<(), StepError> {
        let overlay = self.overlay.clone();
        self.line = save(self.ctx, &self.line, progress, &overlay, change).await?;
        Ok(())
    }
}

/// What events would tell.
pub struct Untold {
    line: ClientNumber,
    before: ClientNumberStatus,
}

impl Untold {
    /// Writes the events.
    pub async fn tell(self, ctx: &Context) {
        let after = self.line.status.clone().unwrap_or_default();
        events::publish(ctx, &self.line, &self.before, &after).await;
    }
}

/// Writes a line's status if it differs, and the events for what flipped. Returns the object as the server has it.
pub async fn save(
    ctx: &Context,
    line: &ClientNumber,
    progress: &Progress,
    overlay: &Overlay,
    change: impl FnOnce(&mut ClientNumberStatus),
) -> Result<ClientNumber, StepError> {
    let before = line.status.clone().unwrap_or_default();
    let written = write(ctx, line, progress, overlay, change).await?;
    Untold { line: written.clone(), before }.tell(ctx).await;
    Ok(written)
}

async fn write(
    ctx: &Context,
    line: &ClientNumber,
    progress: &Progress,
    overlay: &Overlay,
    change: impl FnOnce(&mut ClientNumberStatus),
) -> Result<ClientNumber, StepError> {
    let before = line.status.clone().unwrap_or_default();
    let mut status = before.clone();
    change(&mut status);
    apply(&mut status, progress, overlay, declared(line), ctx.clock.now());
    if status == before { Ok(line.clone()) } else { put(ctx, line, status).await }
}

/// What of the spec conditions speak of.
pub fn declared(line: &ClientNumber) -> Declared<'_> {
    Declared { generation: line.metadata.generation.unwrap_or_default(), display_name: &line.spec.display_name }
}

async fn put(ctx: &Context, line: &ClientNumber, status: ClientNumberStatus) -> Result<ClientNumber, StepError> {
    let api: Api<ClientNumber> = Api::namespaced(ctx.client.clone(), &line.namespace().unwrap_or_default());
    let name = line.name_any();
    let mut wanted = line.clone();
    wanted.status = Some(status);
    for _ in 0..=CONFLICTS {
        match api.replace_status(&name, &PostParams::default(), &wanted).await {
            Ok(written) => return Ok(written),
            Err(kube::Error::Api(error)) if error.is_conflict() => {
                let live = api.get(&name).await.map_err(StepError::Kube)?;
                if !as_known(line, &live) {
                    return Err(StepError::Moved);
                }
                wanted.metadata = live.metadata;
            }
            Err(error) => return Err(StepError::Kube(error)),
        }
    }
    Err(StepError::Moved)
}

/// Whether the live object is the one that was planned on, as far as money and what is counted are concerned: a process
/// that was frozen and wakes up must neither buy nor overwrite the attempts that another one has recorded since.
pub fn as_known(known: &ClientNumber, live: &ClientNumber) -> bool {
    let recorded = |line: &ClientNumber| {
        line.status.clone().map(|s| (s.purchase, s.link, s.verification, s.registration.map(|r| r.attempts)))
    };
    known.metadata.uid == live.metadata.uid
        && known.metadata.generation == live.metadata.generation
        && known.metadata.deletion_timestamp == live.metadata.deletion_timestamp
        && recorded(known) == recorded(live)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::client_number::VerificationStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn another_writers_attempts_are_not_overwritten() {
        let known: ClientNumber = serde_json::from_value(serde_json::json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
            "metadata": {"name": "atlas", "uid": "u1", "generation": 1},
            "spec": {"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"},
                "number": {"acquire": {}}},
            "status": {"observedGeneration": 1, "conditions": []}
        }))
        .unwrap();
        let mut live = known.clone();
        live.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        live.status.as_mut().unwrap().observed_generation = 7;
        assert!(as_known(&known, &live), "annotations and conditions are nobody's memory");
        let asked = Time("2026-11-01T10:00:00Z".parse().unwrap());
        live.status.as_mut().unwrap().verification =
            Some(VerificationStatus { requests: vec![asked], ..VerificationStatus::default() });
        assert!(!as_known(&known, &live), "a code was asked for meanwhile");
    }
}
