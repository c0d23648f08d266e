//! What may be done next about a purchase, from what is recorded and what was looked up. Pure.
//!
//! A phone number has no idempotency key, so the outcome of an order is never guessed: owned means that an order of our
//! reference holds the number AND the account lists it, active. The same candidate is ordered again, or another one is
//! chosen, only after the time in which an old POST could still be on its way; another one only after proof that the old
//! one is not ours. Must never answer `Choose` while the candidate could become ours.

use jiff::Timestamp;

use crate::domain::{E164, PolicyTime};
use crate::resources::client_number::{PurchasePhase, PurchaseStatus};

/// How an order of ours that holds the candidate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    /// Not delivered yet.
    Pending,
    /// Waits for documents, which are named.
    WaitingRequirements(String),
    /// Delivered.
    Success,
    /// Failed, cancelled or deleted.
    Ended,
}

/// What the carrier knows of the candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookUp {
    /// The order of our reference that holds the candidate: id and state.
    pub order: Option<(String, OrderState)>,
    /// The account's entry of the candidate: numeric id, and whether it is active.
    pub listed: Option<(String, bool)>,
}

/// What may be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The number is ours.
    Own {
        /// The order.
        order_id: String,
        /// The number's id at the carrier.
        number_id: String,
    },
    /// Nothing but looking again; the phase that describes the wait.
    Wait {
        /// Phase to record.
        phase: PurchasePhase,
        /// The order, if there is one.
        order_id: Option<String>,
        /// Documents that are missing.
        requirements: Option<String>,
    },
    /// The candidate is proven absent and no POST can be on its way: order exactly it again.
    OrderAgain,
    /// The candidate is proven not ours: choose another.
    Choose,
}

/// Decides for a purchase that is recorded and not owned.
pub fn decide(purchase: &PurchaseStatus, look: &LookUp, now: Timestamp, policy: PolicyTime) -> Decision {
    let quiet_at = purchase.started_at.as_ref().map_or(now, |t| t.0 + policy.order_grace());
    let quiet = now >= quiet_at;
    let wait = |phase, order_id, requirements| Decision::Wait { phase, order_id, requirements };
    match (&look.order, &look.listed) {
        (Some((order_id, OrderState::Success)), Some((number_id, true))) => {
            Decision::Own { order_id: order_id.clone(), number_id: number_id.clone() }
        }
        // Delivered, but not listed or not active yet: the list may lag.
        (Some((order_id, OrderState::Success | OrderState::Pending)), _) => {
            wait(PurchasePhase::Ordered, Some(order_id.clone()), None)
        }
        (Some((order_id, OrderState::WaitingRequirements(what))), _) => {
            wait(PurchasePhase::WaitingRequirements, Some(order_id.clone()), Some(what.clone()))
        }
        (Some((_, OrderState::Ended)), _) | (None, _) if purchase.phase == PurchasePhase::Rejected => {
            if quiet {
                Decision::Choose
            } else {
                wait(PurchasePhase::Rejected, None, None)
            }
        }
        (Some((order_id, OrderState::Ended)), _) => {
            if quiet {
                Decision::Choose
            } else {
                wait(PurchasePhase::Rejected, Some(order_id.clone()), None)
            }
        }
        (None, _) => {
            if quiet {
                Decision::OrderAgain
            } else {
                wait(PurchasePhase::Unknown, None, None)
            }
        }
    }
}

/// The candidate that is recorded.
pub fn candidate(purchase: &PurchaseStatus) -> Option<E164> {
    purchase.candidate.as_deref().and_then(|text| E164::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    const T0: &str = "2026-11-01T10:00:00Z";

    fn purchase(phase: PurchasePhase) -> PurchaseStatus {
        PurchaseStatus {
            phase,
            candidate: Some("+212612345678".into()),
            attempt: 1,
            reference: Some("prod/clients/atlas".into()),
            order_id: None,
            number_id: None,
            price: None,
            started_at: Some(Time(T0.parse().unwrap())),
            owned_at: None,
        }
    }

    fn look(order: Option<OrderState>, listed: Option<bool>) -> LookUp {
        LookUp { order: order.map(|o| ("o1".to_owned(), o)), listed: listed.map(|a| ("77".to_owned(), a)) }
    }

    #[test]
    fn table() {
        use OrderState::{Ended, Pending, Success};
        use PurchasePhase::{Intended, Ordered, Rejected, Unknown, WaitingRequirements};
        let early: Timestamp = "2026-11-01T10:01:59Z".parse().unwrap();
        let late: Timestamp = "2026-11-01T10:02:00Z".parse().unwrap();
        let own = "own";
        let cases = [
            // phase, order, listed, at, expected
            (Intended, None, None, early, "wait Unknown"),
            (Intended, None, None, late, "order again"),
            (Unknown, None, None, early, "wait Unknown"),
            (Unknown, None, None, late, "order again"),
            // Listed without an order of ours: another line of ours, or a person, bought it. Not proof of ownership.
            (Unknown, None, Some(true), late, "order again"),
            (Intended, Some(Pending), None, early, "wait Ordered"),
            (Ordered, Some(Pending), None, late, "wait Ordered"),
            (Ordered, Some(Success), None, late, "wait Ordered"),
            (Ordered, Some(Success), Some(false), late, "wait Ordered"),
            (Ordered, Some(Success), Some(true), early, own),
            (Intended, Some(Success), Some(true), early, own),
            (Unknown, Some(Success), Some(true), early, own),
            (Rejected, Some(Success), Some(true), early, own),
            (Rejected, None, None, early, "wait Rejected"),
            (Rejected, None, None, late, "choose"),
            (Ordered, Some(Ended), None, early, "wait Rejected"),
            (Ordered, Some(Ended), None, late, "choose"),
            (
                WaitingRequirements,
                Some(OrderState::WaitingRequirements("address".into())),
                None,
                late,
                "wait WaitingRequirements",
            ),
        ];
        for (phase, order, listed, at, expected) in cases {
            let name = format!("{phase:?} {order:?} {listed:?} {at}");
            let got = match decide(&purchase(phase), &look(order, listed), at, PolicyTime::default()) {
                Decision::Own { .. } => own.to_owned(),
                Decision::Wait { phase, .. } => format!("wait {phase:?}"),
                Decision::OrderAgain => "order again".into(),
                Decision::Choose => "choose".into(),
            };
            assert_eq!(got, expected, "{name}");
        }
    }
}
