//! Events for what flipped: one when Ready's status or reason changes, one when a step is reached. The choice is pure.
//!
//! Kubernetes joins events of the same reason and keeps the first note, so notes must not carry what changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::runtime::events::{Event, EventType};

use super::context::Context;
use crate::resources::conditions::{ConditionType, get, is_true};
use crate::resources::{ClientNumber, ClientNumberStatus};

/// An event to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Whether a person must act.
    pub warning: bool,
    /// The condition's reason.
    pub reason: String,
    /// The condition's type.
    pub action: String,
    /// The condition's message.
    pub note: String,
}

/// The events that the change of conditions calls for.
pub fn drafts(before: &[Condition], after: &[Condition]) -> Vec<Draft> {
    let stalled = is_true(after, ConditionType::Stalled);
    let draft = |condition: &Condition, warning: bool| Draft {
        warning,
        reason: condition.reason.clone(),
        action: condition.type_.clone(),
        note: condition.message.clone(),
    };
    let mut drafts: Vec<Draft> = [
        ConditionType::NumberAcquired,
        ConditionType::LinkedToWhatsApp,
        ConditionType::OwnershipVerified,
        ConditionType::Routed,
        ConditionType::Registered,
        ConditionType::Suspended,
        ConditionType::TokensValid,
    ]
    .into_iter()
    .filter(|type_| is_true(after, *type_) && !is_true(before, *type_))
    .filter_map(|type_| get(after, type_).map(|condition| draft(condition, false)))
    .collect();
    let ready =
        |conditions: &[Condition]| get(conditions, ConditionType::Ready).map(|c| (c.status.clone(), c.reason.clone()));
    if ready(before) != ready(after) {
        drafts.extend(get(after, ConditionType::Ready).map(|condition| draft(condition, stalled)));
    }
    drafts
}

/// Writes the events. An event that can't be written is logged and forgotten: status has the truth.
pub async fn publish(ctx: &Context, line: &ClientNumber, before: &ClientNumberStatus, after: &ClientNumberStatus) {
    write(ctx, &line.object_ref(&()), drafts(&before.conditions, &after.conditions)).await;
}

/// Writes events on any object.
pub async fn write(ctx: &Context, reference: &k8s_openapi::api::core::v1::ObjectReference, drafts: Vec<Draft>) {
    for draft in drafts {
        let event = Event {
            type_: if draft.warning { EventType::Warning } else { EventType::Normal },
            reason: draft.reason,
            note: Some(draft.note),
            action: draft.action,
            secondary: None,
        };
        if let Err(error) = ctx.recorder.publish(&event, reference).await {
            tracing::warn!(error = %error, "an event could not be written; status has what it would have said");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::conditions::{Truth, Wanted, fold};
    use crate::resources::reasons::Reason;

    #[test]
    fn one_event_a_transition() {
        let now = "2026-11-01T10:00:00Z".parse().unwrap();
        let state = |ready: Truth, reason, acquired: Truth| {
            let wanted = vec![
                Wanted::new(ConditionType::Ready, ready, reason, "m"),
                Wanted::new(ConditionType::NumberAcquired, acquired, Reason::Acquired, "n"),
            ];
            fold(&[], wanted, 1, now)
        };
        let reasons = |before: &[Condition], after: &[Condition]| -> Vec<String> {
            drafts(before, after).into_iter().map(|d| d.reason).collect()
        };
        let pending = state(Truth::False, Reason::OrderPending, Truth::False);
        let linked = state(Truth::False, Reason::LinkPending, Truth::True);
        assert_eq!(reasons(&[], &pending), ["OrderPending"]);
        assert_eq!(reasons(&pending, &pending), [""; 0]);
        assert_eq!(reasons(&pending, &linked), ["Acquired", "LinkPending"]);
    }
}
