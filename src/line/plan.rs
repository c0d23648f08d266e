//! The pipeline as a switch on what is recorded: which step a line is at. Pure.
//!
//! acquire number -> link to WhatsApp -> verify ownership -> route -> register -> keep. Routing comes before registering,
//! so that not one early message meets an unknown number. The plan looks at facts in status, never at
//! conditions: those are for people, and others may write them. Each step reads for itself what the providers say.

use crate::resources::ClientNumberStatus;
use crate::resources::client_number::{LinkPhase, PurchasePhase};

/// The steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Get the number.
    Acquire,
    /// Add it to the WhatsApp Business Account.
    Link,
    /// Hand Meta's code in.
    Verify,
    /// Write it to the routing table.
    Route,
    /// Register it at the Cloud API.
    Register,
    /// Keep it as it should be.
    Keep,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Step; 6] = [Step::Acquire, Step::Link, Step::Verify, Step::Route, Step::Register, Step::Keep];

    /// One word, for `status.step` and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Link => "link",
            Self::Verify => "verify",
            Self::Route => "route",
            Self::Register => "register",
            Self::Keep => "keep",
        }
    }
}

/// Whether a step is finished, by what is recorded.
pub fn done(step: Step, status: &ClientNumberStatus) -> bool {
    match step {
        Step::Acquire => status.purchase.as_ref().is_some_and(|p| p.phase == PurchasePhase::Owned),
        Step::Link => {
            status.phone_number_id.is_some() && status.link.as_ref().is_some_and(|l| l.phase == LinkPhase::Linked)
        }
        Step::Verify => {
            let verification = status.verification.as_ref();
            let armed = verification.is_some_and(|v| v.armed_at.is_some());
            let recorded = verification.is_some_and(|v| v.verified_at.is_some());
            // Not finished while the number still records calls.
            !armed && recorded
        }
        Step::Route => status.route.as_ref().is_some_and(|r| r.state == "pending" || r.state == "active"),
        Step::Register => {
            status.registration.as_ref().is_some_and(|r| r.registered_at.is_some())
                && status.route.as_ref().is_some_and(|r| r.state == "active")
        }
        Step::Keep => false,
    }
}

/// The first step that is not finished.
pub fn plan(status: &ClientNumberStatus) -> Step {
    Step::ALL.into_iter().find(|step| !done(*step, status)).unwrap_or(Step::Keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::client_number::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn the_steps_follow_from_what_is_recorded() {
        let now = Time("2026-11-01T10:00:00Z".parse().unwrap());
        let mut status = ClientNumberStatus::default();
        assert_eq!(plan(&status), Step::Acquire);
        status.purchase = Some(PurchaseStatus { attempt: 1, ..PurchaseStatus::new(PurchasePhase::Ordered) });
        assert_eq!(plan(&status), Step::Acquire, "ordered is not owned");
        if let Some(purchase) = status.purchase.as_mut() {
            purchase.phase = PurchasePhase::Owned;
        }
        assert_eq!(plan(&status), Step::Link);
        status.phone_number_id = Some("1".into());
        status.link =
            Some(LinkStatus { phase: LinkPhase::Intended, started_at: now.clone(), attempt: 1, already_added: false });
        assert_eq!(plan(&status), Step::Link, "an intent is not a link");
        status.link =
            Some(LinkStatus { phase: LinkPhase::Linked, started_at: now.clone(), attempt: 1, already_added: false });
        assert_eq!(plan(&status), Step::Verify);
        status.verification = Some(VerificationStatus {
            verified_at: Some(now.clone()),
            armed_at: Some(now.clone()),
            ..VerificationStatus::default()
        });
        assert_eq!(plan(&status), Step::Verify, "not while calls are recorded");
        status.verification =
            Some(VerificationStatus { verified_at: Some(now.clone()), ..VerificationStatus::default() });
        assert_eq!(plan(&status), Step::Route);
        let route = |state: &str| RouteStatus { state: state.into(), epoch: 1, revision: 1, updated_at: now.clone() };
        status.route = Some(route("pending"));
        assert_eq!(plan(&status), Step::Register);
        status.registration =
            Some(RegistrationStatus { registered_at: Some(now.clone()), ..RegistrationStatus::default() });
        assert_eq!(plan(&status), Step::Register, "not while the route is pending");
        status.route = Some(route("active"));
        assert_eq!(plan(&status), Step::Keep);
    }
}
