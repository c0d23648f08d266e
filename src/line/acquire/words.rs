//! What each phase of a purchase is shown as, in words that end with what happens next or what to do. Pure; messages are
//! stable: no counters, no ids of requests.

use super::super::plan::Step;
use super::super::status::Progress;
use crate::resources::client_number::PurchasePhase;
use crate::resources::names::ANNOTATION_ABANDON;
use crate::resources::reasons::Reason;

/// What the words speak of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// Name of the line.
    pub line: &'a str,
    /// The number.
    pub number: &'a str,
    /// Documents that are missing.
    pub requirements: Option<&'a str>,
}

/// A phase in words; None: no purchase was begun.
pub fn progress(phase: Option<PurchasePhase>, told: Told<'_>) -> Progress {
    let Told { line, number, requirements } = told;
    let working = |reason, message: String| Progress::working(Step::Acquire, reason, message);
    match phase {
        None => working(
            Reason::InProgress,
            "the line has no number yet; one that is kept for the company is taken next, or one is searched and bought"
                .into(),
        ),
        Some(PurchasePhase::Intended) => {
            working(Reason::OrderPending, "a number is chosen and recorded; exactly it is ordered next".into())
        }
        Some(PurchasePhase::Ordered) => working(
            Reason::OrderPending,
            "the number is ordered; the carrier delivers in seconds, with documents in days".into(),
        ),
        Some(PurchasePhase::WaitingRequirements) => Progress::stalled(
            Step::Acquire,
            Reason::RequirementsMissing,
            format!(
                "the carrier waits for documents ({}): hand them in at Telnyx, or name an approved group in telnyx.requirementGroups",
                requirements.unwrap_or("see the order in the Telnyx portal")
            ),
        ),
        Some(PurchasePhase::Owned) => Progress::working(
            Step::Link,
            Reason::LinkPending,
            "the number belongs to this line; it is added to the WhatsApp Business Account next",
        ),
        Some(PurchasePhase::Unknown) => working(
            Reason::PurchaseOutcomeUnknown,
            "whether the order went through is being looked up; nothing else is ordered until it is known".into(),
        ),
        Some(PurchasePhase::Rejected) => working(
            Reason::OrderRejected,
            "the carrier refused this number; another is chosen once the old one is proven not ours".into(),
        ),
        Some(PurchasePhase::Burnt) => Progress::stalled(
            Step::Acquire,
            Reason::NumberBurnt,
            format!(
                "Meta will not take {number}: it belongs to an existing WhatsApp account. Have that account deleted on the phone that uses it and run kubectl clientnumber retry {line}; or give the number up and buy another: kubectl clientnumber replace {line}"
            ),
        ),
    }
}

/// An order without news for too long.
pub fn overdue(number: &str) -> Progress {
    let message = format!(
        "Telnyx neither delivers {number} nor refuses it: look at its order in the Telnyx portal (Numbers: Orders), and ask Telnyx support or cancel it there; looked up further by itself, nothing else is ordered"
    );
    Progress::stalled(Step::Acquire, Reason::OrderOverdue, message)
}

/// An order that the carrier confirmed and shows no more.
pub fn vanished(line: &str, number: &str) -> Progress {
    let message = format!(
        "Telnyx confirmed an order for {number} and does not show it any more: check in the Telnyx portal that the key of telnyx.apiKeySecretRef belongs to the account that ordered it (Numbers: Orders); looked up further by itself, nothing else is ordered. If it is certain that the order is gone, delete {line} with the annotation {ANNOTATION_ABANDON}: \"{number}\" and create it anew"
    );
    Progress::stalled(Step::Acquire, Reason::OrderVanished, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::status::State;
    use std::collections::HashSet;

    /// Each phase has words of its own, and they end in what happens next or what to do.
    #[test]
    fn each_phase_says_something_else() {
        use PurchasePhase::{Burnt, Intended, Ordered, Owned, Rejected, Unknown, WaitingRequirements};
        let told = Told { line: "atlas", number: "+212612345678", requirements: Some("an address") };
        let mut seen = HashSet::new();
        for (phase, reason, state, end) in [
            (None, Reason::InProgress, State::Working, "or one is searched and bought"),
            (Some(Intended), Reason::OrderPending, State::Working, "exactly it is ordered next"),
            (
                Some(Ordered),
                Reason::OrderPending,
                State::Working,
                "the carrier delivers in seconds, with documents in days",
            ),
            (Some(WaitingRequirements), Reason::RequirementsMissing, State::Stalled, "telnyx.requirementGroups"),
            (Some(Owned), Reason::LinkPending, State::Working, "added to the WhatsApp Business Account next"),
            (
                Some(Unknown),
                Reason::PurchaseOutcomeUnknown,
                State::Working,
                "nothing else is ordered until it is known",
            ),
            (Some(Rejected), Reason::OrderRejected, State::Working, "once the old one is proven not ours"),
            (Some(Burnt), Reason::NumberBurnt, State::Stalled, "kubectl clientnumber replace atlas"),
        ] {
            let got = progress(phase, told);
            assert_eq!((got.reason, got.state), (reason, state), "{phase:?}");
            assert!(got.message.ends_with(end), "{phase:?}: {}", got.message);
            assert_eq!(got, progress(phase, told), "{phase:?}: stable");
            assert!(seen.insert(got.message), "{phase:?} says what another phase says");
        }
        let late = overdue("+212612345678");
        assert!(seen.insert(late.message.clone()) && late.state == State::Stalled, "{}", late.message);
        let gone = vanished("atlas", "+212612345678");
        assert!(seen.insert(gone.message.clone()) && gone.state == State::Stalled, "{}", gone.message);
    }
}
