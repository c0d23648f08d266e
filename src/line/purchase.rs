//! What may be done next about a purchase, from what is recorded and what was looked up. Pure.
//!
//! A phone number has no idempotency key, so the outcome of an order is never guessed: owned means that an order of our
//! reference holds the number AND the account lists it, active. The same candidate is ordered again, or another one is
//! chosen, only after the time in which an old POST could still be on its way; another one only after proof that the old
//! one is not ours. An order whose id was answered exists: where it is not shown, the key may be another account's, and
//! that proves nothing. Must never answer `Choose` or `OrderAgain` while the candidate could become ours.

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
    /// The carrier confirmed an order and shows it no more: nothing but looking again, and a person should look too.
    Vanished,
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
        (None, _) if !quiet => wait(PurchasePhase::Unknown, None, None),
        (None, _) if purchase.order_id.is_some() => Decision::Vanished,
        (None, _) => Decision::OrderAgain,
    }
}

/// Whether an order has been without an end for so long that a person should look. One that waits for documents says so
/// by itself.
pub fn overdue(purchase: &PurchaseStatus, now: Timestamp, policy: PolicyTime) -> bool {
    use PurchasePhase::{Intended, Ordered, Unknown};
    let since = purchase.chosen_at.as_ref().or(purchase.started_at.as_ref());
    matches!(purchase.phase, Intended | Ordered | Unknown)
        && since.is_some_and(|since| now >= since.0 + policy.order_patience())
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
            candidate: Some("+212612345678".into()),
            attempt: 1,
            reference: Some("prod/clients/atlas".into()),
            started_at: Some(Time(T0.parse().unwrap())),
            ..PurchaseStatus::new(phase)
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
            assert_eq!(decided(&purchase(phase), order, listed, at), expected, "{name}");
        }
    }

    fn decided(purchase: &PurchaseStatus, order: Option<OrderState>, listed: Option<bool>, at: Timestamp) -> String {
        match decide(purchase, &look(order, listed), at, PolicyTime::default()) {
            Decision::Own { .. } => "own".into(),
            Decision::Wait { phase, .. } => format!("wait {phase:?}"),
            Decision::Vanished => "vanished".into(),
            Decision::OrderAgain => "order again".into(),
            Decision::Choose => "choose".into(),
        }
    }

    /// A key of another account shows neither order nor number.
    #[test]
    fn an_order_that_was_confirmed_is_not_disproven_by_its_absence() {
        use OrderState::{Ended, Pending, Success};
        use PurchasePhase::{Intended, Ordered, Rejected, Unknown, WaitingRequirements};
        let early: Timestamp = "2026-11-01T10:01:59Z".parse().unwrap();
        let late: Timestamp = "2026-11-01T10:02:00Z".parse().unwrap();
        for (phase, order, listed, at, expected) in [
            (Ordered, None, None, early, "wait Unknown"),
            (Ordered, None, None, late, "vanished"),
            (WaitingRequirements, None, None, late, "vanished"),
            (Unknown, None, None, late, "vanished"),
            (Intended, None, None, late, "vanished"),
            (Ordered, None, Some(true), late, "vanished"),
            // It comes back with the right key.
            (Unknown, Some(Pending), None, late, "wait Ordered"),
            (Unknown, Some(Success), Some(true), late, "own"),
            (Unknown, Some(Ended), None, late, "choose"),
            // It was seen to have failed before it went.
            (Rejected, None, None, late, "choose"),
        ] {
            let known = PurchaseStatus { order_id: Some("o1".into()), ..purchase(phase) };
            assert_eq!(decided(&known, order.clone(), listed, at), expected, "{phase:?} {order:?} {listed:?} {at}");
        }
    }

    #[test]
    fn an_order_without_news_for_an_hour_is_a_persons_business() {
        use PurchasePhase::{Burnt, Intended, Ordered, Owned, Rejected, Unknown, WaitingRequirements};
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-11-01T10:59:59Z"), at("2026-11-01T11:00:00Z"));
        let policy = PolicyTime::default();
        for phase in [Intended, Ordered, Unknown] {
            assert!(!overdue(&purchase(phase), early, policy), "{phase:?}");
            assert!(overdue(&purchase(phase), late, policy), "{phase:?}");
            let again =
                PurchaseStatus { started_at: Some(Time(late)), chosen_at: Some(Time(at(T0))), ..purchase(phase) };
            assert!(overdue(&again, late, policy), "{phase:?} ordered again: the candidate is as old");
        }
        for phase in [WaitingRequirements, Rejected, Owned, Burnt] {
            assert!(!overdue(&purchase(phase), late, policy), "{phase:?}");
        }
    }
}
