//! Whether this process may still act: until when its lease is proven, on the monotonic clock.
//!
//! A replica that was frozen past its lease and wakes up believes that it leads; so does one whose API server is away. The
//! lease's manager would say so late or not at all, so the lease itself is read again and again, and each proof is good
//! only until the lease that was read runs out. Whoever writes anywhere outside this process asks here first.
//! Must never prolong a proof by anything but a lease that was read after it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;

/// The right to write. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Leadership(Arc<Mutex<Right>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// There are no other replicas.
    Alone,
    /// Proven until then.
    Until(Instant),
    /// Not proven yet, or lost. What is lost is not won again: the process ends.
    No,
}

impl Leadership {
    /// A process that has no lease to lose.
    pub fn alone() -> Self {
        Self(Arc::new(Mutex::new(Right::Alone)))
    }

    /// A replica that has proven nothing yet.
    pub fn unproven() -> Self {
        Self(Arc::new(Mutex::new(Right::No)))
    }

    /// The lease was read and is this replica's until then.
    pub fn proven(&self, until: Instant) {
        *self.right() = Right::Until(until);
    }

    /// The lease is another's.
    pub fn lost(&self) {
        *self.right() = Right::No;
    }

    /// Whether a write may begin now.
    pub fn holds(&self, now: Instant) -> bool {
        match *self.right() {
            Right::Alone => true,
            Right::Until(until) => now < until || crate::test_switches::skip_lease_check(),
            Right::No => crate::test_switches::skip_lease_check(),
        }
    }

    fn right(&self) -> std::sync::MutexGuard<'_, Right> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// This replica's, for so long after the moment at which it was asked for.
    Ours(Duration),
    /// Another replica's.
    Another,
    /// Nobody's: given back, or taken away by one that found it expired.
    Nobody,
}

/// Reads a lease that was asked for at `asked` (wall clock). `duration` is what this replica asks for, and bounds what a
/// clock that was set back could make of it.
pub fn holder(lease: Option<&LeaseSpec>, identity: &str, asked: Timestamp, duration: Duration) -> Holder {
    let Some(lease) = lease else { return Holder::Nobody };
    match lease.holder_identity.as_deref() {
        None | Some("") => Holder::Nobody,
        Some(other) if other != identity => Holder::Another,
        Some(_) => {
            let written = lease.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
            let length = written.unwrap_or_default().min(duration);
            let age = lease.renew_time.as_ref().map(|renewed| asked.duration_since(renewed.0));
            // Without a time of renewal nothing is proven; one from the future proves no more than a whole lease.
            let left =
                age.map_or(Duration::ZERO, |age| length.saturating_sub(Duration::try_from(age).unwrap_or_default()));
            Holder::Ours(left)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    #[test]
    fn a_proof_runs_out_by_itself_and_a_loss_is_final() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert!(Leadership::alone().holds(now));
        let lead = Leadership::unproven();
        assert!(!lead.holds(now));
        lead.proven(now + second);
        assert!(lead.clone().holds(now) && !lead.holds(now + second));
        lead.lost();
        assert!(!lead.holds(now));
    }

    #[test]
    fn whose_a_lease_is() {
        let asked: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        let lease = |who: Option<&str>, renewed: Option<i64>, seconds: Option<i32>| LeaseSpec {
            holder_identity: who.map(str::to_owned),
            renew_time: renewed.map(|ago| MicroTime(asked - jiff::SignedDuration::from_secs(ago))),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        let ours = |seconds| Holder::Ours(Duration::from_secs(seconds));
        for (spec, want) in [
            (None, Holder::Nobody),
            (Some(lease(None, None, None)), Holder::Nobody),
            (Some(lease(Some(""), Some(1), Some(15))), Holder::Nobody),
            (Some(lease(Some("other"), Some(1), Some(15))), Holder::Another),
            (Some(lease(Some("other"), Some(99), Some(15))), Holder::Another),
            (Some(lease(Some("me"), Some(4), Some(15))), ours(11)),
            (Some(lease(Some("me"), Some(15), Some(15))), ours(0)),
            (Some(lease(Some("me"), Some(99), Some(15))), ours(0)),
            (Some(lease(Some("me"), None, Some(15))), ours(0)),
            (Some(lease(Some("me"), Some(4), None)), ours(0)),
            // Another one's idea of a lease, and a clock that was set back.
            (Some(lease(Some("me"), Some(4), Some(3600))), ours(11)),
            (Some(lease(Some("me"), Some(-500), Some(15))), ours(15)),
        ] {
            assert_eq!(holder(spec.as_ref(), "me", asked, Duration::from_secs(15)), want, "{spec:?}");
        }
    }
}
