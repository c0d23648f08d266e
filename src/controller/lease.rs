//! Leadership among replicas. The lease is an optimisation; what keeps money safe is the saved intent. Losing the lease
//! ends the process, so that no work goes on beside a new leader's.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio_util::sync::CancellationToken;

use super::ControllerError;
use crate::resources::names;
use crate::telemetry::controller_metrics::ControllerMetrics;

/// The lease among replicas.
pub struct Lease {
    /// Namespace of the lease.
    pub namespace: String,
    /// This replica's name.
    pub identity: String,
    /// How long the lease is good for, unscaled.
    pub duration: Duration,
    /// How long before its end it is renewed, unscaled.
    pub renew_before: Duration,
}

/// Runs `work` while this process holds the lease; its loss ends it.
pub async fn while_leading<F>(
    client: Client,
    lease: Lease,
    metrics: Arc<ControllerMetrics>,
    stop: CancellationToken,
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<(), ControllerError>
where
    F: Future<Output = Result<(), ControllerError>>,
{
    let failed = |e: kube_lease_manager::LeaseManagerError| ControllerError::Lease(e.to_string());
    let manager = LeaseManagerBuilder::new(client, names::CONTROLLER)
        .with_namespace(&lease.namespace)
        .with_identity(&lease.identity)
        .with_duration(lease.duration.as_secs().max(2))
        .with_grace(lease.renew_before.as_secs().clamp(1, lease.duration.as_secs().max(2) - 1))
        .build()
        .await
        .map_err(failed)?;
    let (mut leads, task) = manager.watch().await;
    tracing::info!(identity = %lease.identity, "waiting for the lease");
    let won = tokio::select! {
        () = stop.cancelled() => None,
        led = leads.wait_for(|leads| *leads) => Some(led.is_ok()),
    };
    match won {
        Some(true) => {}
        Some(false) => return Err(ControllerError::Lease("its task ended".into())),
        None => {
            // Dropping the receiver ends the task, which gives the lease back.
            drop(leads);
            let _ = task.await;
            return Ok(());
        }
    }
    metrics.leads(true);
    tracing::info!("this process leads");
    let inner = stop.child_token();
    let mut working = std::pin::pin!(work(inner.clone()));
    let result = tokio::select! {
        result = &mut working => result,
        _ = leads.wait_for(|leads| !*leads) => {
            metrics.leads(false);
            inner.cancel();
            let _ = (&mut working).await;
            Err(ControllerError::LeaseLost)
        }
    };
    drop(leads);
    let _ = task.await;
    result
}
