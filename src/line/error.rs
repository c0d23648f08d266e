//! What a step can end with besides its outcome, and what each means for the line: one `match`.

use std::time::Duration;

use super::plan::Step;
use super::status::Progress;
use crate::domain::PolicyTime;
use crate::providers::{ErrorClass, ProviderError};
use crate::resources::reasons::Reason;
use crate::store::StoreError;

/// Why a step did not come to an outcome.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Somebody else wrote the object: plan anew.
    #[error("the object was changed meanwhile")]
    Moved,
    /// A provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// MongoDB.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Kubernetes.
    #[error("Kubernetes: {0}")]
    Kube(#[from] kube::Error),
}

/// What an error means: what to show, whether it counts as a failure, and a waiting time that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What to show.
    pub progress: Progress,
    /// Whether it counts for the growing gaps.
    pub failure: bool,
    /// A waiting time that the provider asked for.
    pub wait: Option<Duration>,
}

/// The verdict on an error of a step; None: plan anew at once.
pub fn verdict(step: Step, error: &StepError, policy: PolicyTime) -> Option<Verdict> {
    let working = |reason, message: String| Verdict {
        progress: Progress::working(step, reason, message),
        failure: true,
        wait: None,
    };
    Some(match error {
        StepError::Moved | StepError::Store(StoreError::RevisionConflict { .. }) => return None,
        StepError::Store(error) if error.is_transient() => working(
            Reason::StoreUnavailable,
            "MongoDB can't be reached; tried again by itself, what was bought stays known".into(),
        ),
        StepError::Store(error) => Verdict {
            progress: Progress::stalled(step, Reason::StoreUnavailable, error.to_string()),
            failure: true,
            wait: None,
        },
        // The API server is where this would be shown: it can only be waited for.
        StepError::Kube(_) => {
            working(Reason::InProgress, "the Kubernetes API refused or did not answer; tried again by itself".into())
        }
        StepError::Provider(error) => provider(step, error, policy),
    })
}

fn provider(step: Step, error: &ProviderError, policy: PolicyTime) -> Verdict {
    let text = error.provider_text();
    // What the provider says is real time; what its rule says is policy.
    let asked = error.retry_after.or(error.policy_wait.map(|wait| policy.scaled(wait)));
    match error.class {
        ErrorClass::Throttled { retry_after } => Verdict {
            progress: Progress::working(
                step,
                Reason::RateLimited,
                format!("{text}; tried again after the time the provider asks for"),
            ),
            failure: false,
            wait: retry_after.or(asked),
        },
        ErrorClass::NeedsHuman | ErrorClass::Refused => Verdict {
            progress: Progress::stalled(step, refusal(error), format!("{text}: {}", error.what_to_do)),
            failure: true,
            wait: asked,
        },
        ErrorClass::Transient | ErrorClass::Unknown => Verdict {
            progress: Progress::working(
                step,
                Reason::ProviderUnavailable,
                format!("{text}; tried again by itself with growing gaps"),
            ),
            failure: true,
            wait: asked,
        },
    }
}

/// The condition's reason for a refusal that no step has treated itself.
fn refusal(error: &ProviderError) -> Reason {
    use crate::providers::Reason as Outcome;
    match error.reason {
        Outcome::TokenInvalid | Outcome::PermissionDenied => Reason::CredentialsInvalid,
        Outcome::InsufficientFunds | Outcome::PaymentNeeded => Reason::InsufficientFunds,
        Outcome::NoCoverage => Reason::NoCoverage,
        Outcome::RequirementsNeeded => Reason::RequirementsMissing,
        Outcome::NumberCapReached => Reason::CapacityFull,
        Outcome::NumberBurnt => Reason::NumberBurnt,
        Outcome::PinMismatch | Outcome::PinBlocked => Reason::PinMismatch,
        Outcome::NameRefused => Reason::NameDeclined,
        _ => Reason::RefusedByProvider,
    }
}
