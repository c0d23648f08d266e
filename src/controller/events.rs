//! Events for what flipped: one when Ready's status or reason changes, one when a step is reached or undone, one when the
//! name or what makes a working line worse changes. The choice is pure.
//!
//! Kubernetes joins events of the same reason and keeps the first note, so notes must not carry what changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::runtime::events::{Event, EventType};

use super::context::Context;
use crate::resources::client_number::CallStatus;
use crate::resources::conditions::{ConditionType, get, is_true};
use crate::resources::reasons::Reason;
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
    drafts.extend(undone(before, after, stalled));
    drafts
}

/// What a working line has lost or got back: steps undone by somebody, its name, what makes it worse.
fn undone(before: &[Condition], after: &[Condition], stalled: bool) -> Vec<Draft> {
    let draft = |condition: &Condition, warning: bool| Draft {
        warning,
        reason: condition.reason.clone(),
        action: condition.type_.clone(),
        note: condition.message.clone(),
    };
    let status = |conditions: &[Condition], type_| get(conditions, type_).map(|c| c.status.clone());
    let mut drafts = Vec::new();
    for type_ in [ConditionType::NumberAcquired, ConditionType::LinkedToWhatsApp] {
        if is_true(before, type_) && status(after, type_).as_deref() == Some("False") {
            drafts.extend(get(after, type_).map(|condition| draft(condition, stalled)));
        }
    }
    let name = ConditionType::DisplayNameApproved;
    // The first word about a new line's name is no news; that it is wrong, is.
    let told = status(after, name).filter(|now| *now != "Unknown" && status(before, name).as_deref() != Some(now));
    if told.is_some_and(|now| now == "False" || status(before, name).as_deref() == Some("False")) {
        let wrong = |c: &Condition| c.status == "False" && c.reason != Reason::NamePending.as_str();
        drafts.extend(get(after, name).map(|condition| draft(condition, wrong(condition))));
    }
    let worse = |conditions: &[Condition]| get(conditions, ConditionType::Degraded).map(|c| c.reason.clone());
    match (worse(before), get(after, ConditionType::Degraded)) {
        (before, Some(now)) if before.as_ref() != Some(&now.reason) => drafts.push(draft(now, true)),
        (Some(_), None) if !is_true(after, ConditionType::Deleting) => drafts.push(Draft {
            warning: false,
            reason: Reason::Recovered.as_str().into(),
            action: ConditionType::Degraded.as_str().into(),
            note: "the line is again as it should be".into(),
        }),
        _ => {}
    }
    drafts
}

/// What of the call that speaks the code has become known, in its order.
fn call_drafts(before: &ClientNumberStatus, after: &ClientNumberStatus) -> Vec<Draft> {
    let call =
        |status: &ClientNumberStatus| status.verification.as_ref().and_then(|v| v.call.clone()).unwrap_or_default();
    let (before, after) = (call(before), call(after));
    if before.requested_at != after.requested_at {
        return Vec::new();
    }
    let flags = |call: &CallStatus| {
        [
            (Reason::CallRang, call.rang_at.is_some()),
            (Reason::CallAnswered, call.answered_at.is_some()),
            (Reason::CallRecorded, call.recorded_at.is_some()),
            (Reason::CallTranscribed, call.transcribed_at.is_some()),
            (Reason::CodeUnread, call.unread.is_some()),
            (Reason::CodeRead, call.read_at.is_some()),
        ]
    };
    let pairs = flags(&before).into_iter().zip(flags(&after));
    pairs
        .filter(|((_, was), (_, is))| *is && !was)
        .map(|(_, (reason, _))| Draft {
            warning: false,
            reason: reason.as_str().into(),
            action: ConditionType::OwnershipVerified.as_str().into(),
            note: reason.meaning().trim_end_matches("; an event only").into(),
        })
        .collect()
}

/// Writes the events. An event that can't be written is logged and forgotten: status has the truth.
pub async fn publish(ctx: &Context, line: &ClientNumber, before: &ClientNumberStatus, after: &ClientNumberStatus) {
    let mut drafts = call_drafts(before, after);
    drafts.extend(self::drafts(&before.conditions, &after.conditions));
    write(ctx, &line.object_ref(&()), drafts).await;
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
        let works = state(Truth::True, Reason::Ready, Truth::True);
        let lost = state(Truth::False, Reason::NumberLost, Truth::False);
        assert_eq!(reasons(&works, &lost), ["NumberLost", "Acquired"], "the reason of the test's condition");
        assert_eq!(reasons(&lost, &works), ["Acquired", "Ready"]);
    }

    #[test]
    fn a_call_is_told_as_it_goes_on() {
        let at = || Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time("2026-11-01T10:00:00Z".parse().unwrap()));
        let status = |call: CallStatus| ClientNumberStatus {
            verification: Some(crate::resources::client_number::VerificationStatus {
                call: Some(call),
                ..Default::default()
            }),
            ..Default::default()
        };
        let asked = status(CallStatus { requested_at: at(), ..CallStatus::default() });
        let rang = status(CallStatus { requested_at: at(), rang_at: at(), answered_at: at(), ..CallStatus::default() });
        let reasons = |before: &ClientNumberStatus, after: &ClientNumberStatus| -> Vec<String> {
            call_drafts(before, after).into_iter().map(|d| d.reason).collect()
        };
        assert_eq!(reasons(&ClientNumberStatus::default(), &asked), [""; 0]);
        assert_eq!(reasons(&asked, &rang), ["CallRang", "CallAnswered"]);
        assert_eq!(reasons(&rang, &rang), [""; 0]);
        assert_eq!(call_drafts(&asked, &rang)[0].note, "Meta's call rang");
    }

    #[test]
    fn what_makes_a_working_line_worse() {
        let now = "2026-11-01T10:00:00Z".parse().unwrap();
        let state = |name: (Truth, Reason), worse: Option<Reason>| {
            let mut wanted = vec![
                Wanted::new(ConditionType::Ready, Truth::True, Reason::Ready, "m"),
                Wanted::new(ConditionType::DisplayNameApproved, name.0, name.1, "n"),
            ];
            wanted.extend(worse.map(|reason| Wanted::new(ConditionType::Degraded, Truth::True, reason, "d")));
            fold(&[], wanted, 1, now)
        };
        let unknown = state((Truth::Unknown, Reason::NotRead), None);
        let well = state((Truth::True, Reason::NameApproved), None);
        let renamed = state((Truth::False, Reason::NameDiffers), None);
        let low = state((Truth::True, Reason::NameApproved), Some(Reason::QualityLow));
        let restricted = state((Truth::True, Reason::NameApproved), Some(Reason::LineRestricted));
        let told = |before: &[Condition], after: &[Condition]| -> Vec<(String, bool)> {
            drafts(before, after).into_iter().map(|d| (d.reason, d.warning)).collect()
        };
        let one = |reason: &str, warning| vec![(reason.to_owned(), warning)];
        assert_eq!(told(&unknown, &well), []);
        assert_eq!(told(&unknown, &renamed), one("NameDiffers", true));
        assert_eq!(told(&well, &renamed), one("NameDiffers", true));
        assert_eq!(told(&renamed, &well), one("NameApproved", false));
        assert_eq!(told(&well, &low), one("QualityLow", true));
        assert_eq!(told(&low, &low), []);
        assert_eq!(told(&low, &restricted), one("LineRestricted", true));
        assert_eq!(told(&restricted, &well), one("Recovered", false));
    }
}
