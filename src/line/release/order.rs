//! What a release says while an order keeps the object: the order may still bring a number, which would be paid for by nobody.
//! What it came to is looked up elsewhere.

use super::super::pass::Pass;
use super::super::plan::plan;
use super::super::purchase::overdue;
use super::super::status::Progress;
use super::{Release, releasing};
use crate::resources::client_number::{PurchasePhase, PurchaseStatus};
use crate::resources::names::ANNOTATION_ABANDON;
use crate::resources::reasons::Reason;

/// An order that may still deliver keeps the object: its number would be paid for by nobody.
pub fn awaits(pass: &Pass<'_>) -> Release {
    let policy = pass.ctx.policy;
    let Some(purchase) = pass.status().purchase else {
        return Release::Waits(releasing(pass, "an order is looked up; goes on by itself"), policy.order_poll());
    };
    let number = purchase.candidate.as_deref().unwrap_or("the number");
    let stalled = |reason, message| Progress::stalled(plan(&pass.status()), reason, message);
    if purchase.phase == PurchasePhase::WaitingRequirements {
        let message = format!(
            "the carrier waits for documents before it delivers {number}: cancel the order in the Telnyx portal or hand them in; the release goes on by itself, or set {ANNOTATION_ABANDON} to the phone number"
        );
        return Release::Waits(releasing(pass, &message), policy.backoff(5));
    }
    if overdue(&purchase, pass.ctx.clock.now(), policy) {
        let message = format!(
            "Telnyx neither delivers nor refuses {number}: cancel its order in the Telnyx portal (Numbers: Orders), and the release goes on by itself; or set {ANNOTATION_ABANDON} to the phone number"
        );
        return Release::Waits(stalled(Reason::OrderOverdue, message), policy.backoff(5));
    }
    let message = "an order's outcome is being looked up; the release goes on when it is known";
    Release::Waits(releasing(pass, message), policy.order_poll())
}

/// An order that was confirmed exists somewhere, and its number would be paid for by nobody.
pub fn vanished(pass: &Pass<'_>, purchase: &PurchaseStatus) -> Release {
    let number = purchase.candidate.as_deref().unwrap_or("the number");
    let message = format!(
        "Telnyx confirmed an order for {number} and does not show it any more: check in the Telnyx portal that the key of telnyx.apiKeySecretRef belongs to the account that ordered it; the release goes on by itself, or set {ANNOTATION_ABANDON} to the phone number if the order is gone for certain"
    );
    let progress = Progress::stalled(plan(&pass.status()), Reason::OrderVanished, message);
    Release::Waits(progress, pass.ctx.policy.backoff(5))
}
