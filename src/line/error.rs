//! What a step can end with besides its outcome, and what each means for the line: one `match`.

use std::time::Duration;

use super::plan::Step;
use super::status::Progress;
use crate::domain::{OwnerId, PolicyTime};
use crate::providers::{ErrorClass, ProviderError, Reason as Outcome};
use crate::resources::reasons::Reason;
use crate::store::StoreError;

/// Why a step did not come to an outcome.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Somebody else wrote the object: plan anew.
    #[error("the object was changed meanwhile")]
    Moved,
    /// Only time is missing: plan anew after it.
    #[error("something is waited for that comes in moments")]
    Soon(Duration),
    /// Another replica leads: nothing more is written by this one.
    #[error("this replica does not lead any more")]
    NotLeading,
    /// Another cluster has taken the owner id over: nothing of it is touched.
    #[error("ownerId {owner} belongs to the cluster {by} by now")]
    OwnerIdInUse {
        /// The owner id.
        owner: OwnerId,
        /// The identity of that cluster.
        by: String,
    },
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

impl StepError {
    /// When to plan anew, for what has no verdict.
    pub fn again(&self) -> Duration {
        match self {
            Self::Soon(after) => *after,
            _ => Duration::from_millis(200),
        }
    }
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
        StepError::Moved
        | StepError::Soon(_)
        | StepError::NotLeading
        | StepError::Store(StoreError::RevisionConflict { .. }) => {
            return None;
        }
        StepError::Store(error) if error.is_transient() => working(
            Reason::StoreUnavailable,
            "MongoDB can't be reached; tried again by itself, what was bought stays known".into(),
        ),
        StepError::Store(error) => Verdict {
            progress: Progress::stalled(step, Reason::StoreUnavailable, error.to_string()),
            failure: true,
            wait: None,
        },
        StepError::OwnerIdInUse { by, .. } => Verdict {
            progress: Progress::stalled(
                step,
                Reason::OwnerIdInUse,
                format!(
                    "{error}, so nothing was done to the number: see to it in that cluster, or set takeOverFrom of the Portfolio to {by} if that cluster is gone"
                ),
            ),
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
    let message = format!("{}: {}", error.provider_text(), error.what_to_do);
    let reason = condition(error.operation, error.class, error.reason);
    // What the provider says is real time; what its rule says is policy.
    let asked = error.retry_after.or(error.policy_wait.map(|wait| policy.scaled(wait)));
    match error.class {
        ErrorClass::Throttled { retry_after } => {
            Verdict { progress: Progress::working(step, reason, message), failure: false, wait: retry_after.or(asked) }
        }
        ErrorClass::NeedsHuman | ErrorClass::Refused => {
            Verdict { progress: Progress::stalled(step, reason, message), failure: true, wait: asked }
        }
        ErrorClass::Transient | ErrorClass::Unknown => {
            Verdict { progress: Progress::working(step, reason, message), failure: true, wait: asked }
        }
    }
}

/// The condition's reason for an outcome of a call; docs/errors.md is made from it. Some outcomes are the step's own
/// business, which shows the reason named here for them.
pub fn condition(operation: &str, class: ErrorClass, outcome: Outcome) -> Reason {
    settled(operation, class, outcome).unwrap_or(match class {
        ErrorClass::Throttled { .. } => Reason::RateLimited,
        ErrorClass::Transient | ErrorClass::Unknown => Reason::ProviderUnavailable,
        ErrorClass::NeedsHuman | ErrorClass::Refused => match outcome {
            Outcome::TokenInvalid | Outcome::PermissionDenied => Reason::CredentialsInvalid,
            Outcome::InsufficientFunds | Outcome::PaymentNeeded => Reason::InsufficientFunds,
            Outcome::NoCoverage => Reason::NoCoverage,
            Outcome::RequirementsNeeded => Reason::RequirementsMissing,
            Outcome::NumberCapReached => Reason::CapacityFull,
            Outcome::NumberBurnt => Reason::NumberBurnt,
            Outcome::PinMismatch | Outcome::PinBlocked => Reason::PinMismatch,
            _ if operation == "create_phone_number" => Reason::LinkRefused,
            Outcome::NameRefused => Reason::NameDeclined,
            _ => Reason::RefusedByProvider,
        },
    })
}

/// What a step settles itself: it looks the outcome up, or goes another way.
fn settled(operation: &str, class: ErrorClass, outcome: Outcome) -> Option<Reason> {
    use ErrorClass::{NeedsHuman, Refused, Transient, Unknown};
    Some(match (operation, class, outcome) {
        ("create_order", Unknown, _) => Reason::PurchaseOutcomeUnknown,
        ("create_order", Refused, _) => Reason::OrderRejected,
        ("create_phone_number", Unknown, _) | ("create_phone_number", _, Outcome::AlreadyAdded) => Reason::LinkPending,
        ("request_code", _, Outcome::AlreadyVerified) => Reason::InProgress,
        ("request_code", Unknown | Transient, _) | ("verify_code", Unknown, _) => Reason::CodeRequested,
        ("request_code", class, Outcome::CodeVolumeLimit) if class != NeedsHuman => Reason::CodeRateLimited,
        ("request_code", class, _) if class != NeedsHuman => Reason::CodeUnavailable,
        ("verify_code", _, Outcome::WrongCode) | ("verify_code", Refused, _) => Reason::CodeWrong,
        ("register", _, Outcome::NameNotReady) => Reason::NamePending,
        ("register", _, Outcome::NeedsVerification) => Reason::InProgress,
        ("register", _, Outcome::NumberBurnt) => Reason::NumberBurnt,
        ("register", _, Outcome::RegisterLimit) => Reason::RegistrationLimited,
        ("register", Unknown, _) => Reason::Registering,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step's own reasons come first; what they leave goes by class.
    #[test]
    fn what_a_line_shows() {
        use ErrorClass::{NeedsHuman, Refused, Transient, Unknown};
        let slow = ErrorClass::Throttled { retry_after: None };
        for (operation, class, outcome, want) in [
            ("create_order", Unknown, Outcome::ProviderUnavailable, Reason::PurchaseOutcomeUnknown),
            ("create_order", Refused, Outcome::NumberTaken, Reason::OrderRejected),
            ("create_order", NeedsHuman, Outcome::InsufficientFunds, Reason::InsufficientFunds),
            ("create_order", NeedsHuman, Outcome::AccountRestricted, Reason::RefusedByProvider),
            ("create_phone_number", Refused, Outcome::AlreadyAdded, Reason::LinkPending),
            ("create_phone_number", NeedsHuman, Outcome::NumberCapReached, Reason::CapacityFull),
            ("create_phone_number", NeedsHuman, Outcome::NameRefused, Reason::LinkRefused),
            ("create_phone_number", Unknown, Outcome::Unclassified, Reason::LinkPending),
            ("set_display_name", NeedsHuman, Outcome::NameRefused, Reason::NameDeclined),
            ("request_code", slow, Outcome::CodeVolumeLimit, Reason::CodeRateLimited),
            ("request_code", Refused, Outcome::CodeRequestRefused, Reason::CodeUnavailable),
            ("request_code", NeedsHuman, Outcome::TokenInvalid, Reason::CredentialsInvalid),
            ("verify_code", Refused, Outcome::WrongCode, Reason::CodeWrong),
            ("register", slow, Outcome::RegisterLimit, Reason::RegistrationLimited),
            ("register", slow, Outcome::RateLimited, Reason::RateLimited),
            ("register", NeedsHuman, Outcome::PinMismatch, Reason::PinMismatch),
            ("register", Unknown, Outcome::NoAnswer, Reason::Registering),
            ("balance", Transient, Outcome::Unreachable, Reason::ProviderUnavailable),
            ("balance", NeedsHuman, Outcome::PermissionDenied, Reason::CredentialsInvalid),
        ] {
            assert_eq!(condition(operation, class, outcome), want, "{operation} {outcome}");
        }
    }
}
