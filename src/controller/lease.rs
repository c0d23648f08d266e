//! Leadership among replicas. The lease is an optimisation; what keeps money safe is the saved intent. Losing the lease
//! ends the process, so that no work goes on beside a new leader's.
//!
//! kube-lease-manager takes and renews it. It is driven here, not by its own loop, for three things that the loop does not
//! do: to notice within a second that the lease was given back (the loop sleeps until the expiry that it knows), to try
//! again soon after an API server's bad moment (the loop's pauses grow to 30 s and stay there), and to say until when the
//! lease is proven (the loop goes on saying "leader" while renewals fail).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio_util::sync::CancellationToken;

use super::ControllerError;
use super::leadership::{Holder, Leadership, holder};
use super::start;
use crate::domain::SharedClock;
use crate::resources::names;
use crate::telemetry::controller_metrics::ControllerMetrics;

/// The lease among replicas.
pub struct Lease {
    /// Namespace of the lease.
    pub namespace: String,
    /// This replica's name.
    pub identity: String,
    /// How long the lease is good for, in whole seconds, at least 2.
    pub duration: Duration,
    /// How long before its end it is renewed, in whole seconds, at least 1 and less than the duration.
    pub renew_before: Duration,
}

impl Lease {
    /// How often it is looked at: often enough that one that was given back is taken within a second, and that a proof
    /// never runs out between two looks.
    fn look(&self) -> Duration {
        (self.duration / 10).clamp(Duration::from_millis(200), Duration::from_secs(1))
    }
}

/// A lease that is taken, held and given back.
struct Held<'a> {
    lease: &'a Lease,
    api: Api<v1::Lease>,
    manager: LeaseManager,
    lead: &'a Leadership,
    clock: SharedClock,
}

/// Runs `work` while this process holds the lease; its loss ends it. `client` is for the lease alone: it may write
/// whoever leads, and must give up a request well before a lease runs out.
pub async fn while_leading<F>(
    client: Client,
    lease: Lease,
    lead: Leadership,
    clock: SharedClock,
    metrics: Arc<ControllerMetrics>,
    stop: CancellationToken,
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<(), ControllerError>
where
    F: Future<Output = Result<(), ControllerError>>,
{
    let build = async || {
        LeaseManagerBuilder::new(client.clone(), names::CONTROLLER)
            .with_namespace(&lease.namespace)
            .with_identity(&lease.identity)
            .with_duration(lease.duration.as_secs())
            .with_grace(lease.renew_before.as_secs())
            .build()
            .await
    };
    let is_answer = |error: &LeaseManagerError| match error {
        LeaseManagerError::KubeError(error) => start::is_answer(error),
        // Another replica made it at the same moment.
        LeaseManagerError::LeaseAlreadyExists(_) => false,
        _ => true,
    };
    let Some(manager) = start::answered("the lease", &stop, build, is_answer).await.map_err(failed)? else {
        return Ok(());
    };
    let api = Api::namespaced(client, &lease.namespace);
    let held = Held { lease: &lease, api, manager, lead: &lead, clock };
    tracing::info!(identity = %lease.identity, "waiting for the lease");
    let won = tokio::select! {
        () = stop.cancelled() => false,
        taken = held.taken() => { taken?; true }
    };
    if !won {
        held.give_back().await;
        return Ok(());
    }
    metrics.leads(true);
    tracing::info!(identity = %lease.identity, "this process leads");
    let inner = stop.child_token();
    let mut working = pin!(work(inner.clone()));
    // Renewed to the end of the work, also while the program stops: what is in hand is finished as the leader.
    let result = tokio::select! {
        result = &mut working => {
            held.give_back().await;
            result
        }
        () = held.lost() => {
            lead.lost();
            tracing::warn!(identity = %lease.identity, "the lease is not this replica's any more: nothing is written from now on");
            inner.cancel();
            let _ = (&mut working).await;
            Err(ControllerError::LeaseLost)
        }
    };
    lead.lost();
    metrics.leads(false);
    result
}

fn failed(error: LeaseManagerError) -> ControllerError {
    ControllerError::Lease(error.to_string())
}

impl Held<'_> {
    /// Waits until the lease is this replica's, and proven.
    async fn taken(&self) -> Result<(), ControllerError> {
        let mut changed = pin!(self.manager.changed());
        let mut taken = false;
        loop {
            tokio::select! {
                state = &mut changed => {
                    match state {
                        Ok(leads) => taken = leads,
                        Err(error) => self.pause(&error).await,
                    }
                    changed.set(self.manager.changed());
                }
                () = tokio::time::sleep(if taken { Duration::ZERO } else { self.lease.look() }) => match self.look().await {
                    Ok(Holder::Ours(_)) if taken => return Ok(()),
                    Ok(Holder::Nobody | Holder::Ours(_)) => {
                        // The manager sleeps until the expiry that it knows. To give back what it does not hold, it reads.
                        taken = false;
                        // It may be in the middle of a request, and then holds the lock that giving back waits for.
                        changed.set(self.manager.changed());
                        let _ = self.manager.release().await;
                    }
                    Ok(Holder::Another) => taken = false,
                    Err(error) if is_missing(&error) => return Err(ControllerError::LeaseGone),
                    Err(error) => tracing::debug!(error = %error, "the lease can't be read; read again"),
                },
            }
        }
    }

    /// Renews the lease and proves it, until it is another's.
    async fn lost(&self) {
        let mut changed = pin!(self.manager.changed());
        loop {
            tokio::select! {
                state = &mut changed => {
                    match state {
                        Ok(true) => {}
                        Ok(false) => return,
                        // The proof runs out by itself if this goes on.
                        Err(error) => self.pause(&error).await,
                    }
                    changed.set(self.manager.changed());
                }
                () = tokio::time::sleep(self.lease.look()) => match self.look().await {
                    Ok(Holder::Ours(_)) => {}
                    Ok(Holder::Another | Holder::Nobody) => return,
                    Err(error) if is_missing(&error) => return,
                    Err(error) => tracing::debug!(error = %error, "the lease can't be read; its last proof runs out by itself"),
                },
            }
        }
    }

    /// Reads the lease, and proves it if it is ours.
    async fn look(&self) -> Result<Holder, kube::Error> {
        let (asked, started) = (self.clock.now(), self.clock.monotonic());
        let lease = self.api.get(names::CONTROLLER).await?;
        let whose = holder(lease.spec.as_ref(), &self.lease.identity, asked, self.lease.duration);
        if let Holder::Ours(left) = whose {
            self.lead.proven(started + left);
        }
        Ok(whose)
    }

    /// After an error of the manager, which would pause for longer and longer.
    async fn pause(&self, error: &LeaseManagerError) {
        tracing::info!(error = %error, "the lease could not be taken or renewed; tried again");
        tokio::time::sleep(self.lease.look()).await;
    }

    /// Lets another replica lead at once. One that can't be given back runs out.
    async fn give_back(&self) {
        // From here on nothing may be written: another may lead.
        self.lead.lost();
        match tokio::time::timeout(self.lease.renew_before, self.manager.release()).await {
            Ok(Ok(())) => tracing::info!(identity = %self.lease.identity, "the lease is given back"),
            Ok(Err(error)) => tracing::info!(error = %error, "the lease is not given back; it runs out"),
            Err(_) => tracing::info!("the lease is not given back in time; it runs out"),
        }
    }
}

fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
