//! Condition types and the one way to set a condition.
//!
//! Rules (Gateway API, Cluster API, kstatus): Ready first, then the steps in the order of the pipeline; Reconciling,
//! Stalled, Suspended, Deleting and Degraded are present only while True; lastTransitionTime moves only when the status flips and
//! is whole seconds; observedGeneration stands on each. Messages must be stable: no request ids, no counters.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reasons::Reason;

/// All condition types of both kinds, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Line: it sends and receives. Portfolio: lines can be made.
    Ready,
    /// The number is ours.
    NumberAcquired,
    /// The WABA lists the number.
    LinkedToWhatsApp,
    /// Meta's code was handed in.
    OwnershipVerified,
    /// The routing table holds the line.
    Routed,
    /// The line is registered at the Cloud API.
    Registered,
    /// Meta approved the display name.
    DisplayNameApproved,
    /// Portfolio: keys and tokens work.
    TokensValid,
    /// Portfolio: Meta verified the business.
    BusinessVerified,
    /// Portfolio: a slot is free.
    CapacityAvailable,
    /// Portfolio: the carrier's balance suffices.
    CarrierFunded,
    /// Portfolio: the WABA is subscribed.
    WebhookSubscribed,
    /// Only when True: work is under way.
    Reconciling,
    /// Only when True: a person must act.
    Stalled,
    /// Only when True: work is stopped by suspend.
    Suspended,
    /// Only when True: being released.
    Deleting,
    /// Only when True, on a line: it works, but not as it should; what is wrong stands in the message.
    Degraded,
}

impl ConditionType {
    /// As it stands in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NumberAcquired => "NumberAcquired",
            Self::LinkedToWhatsApp => "LinkedToWhatsApp",
            Self::OwnershipVerified => "OwnershipVerified",
            Self::Routed => "Routed",
            Self::Registered => "Registered",
            Self::DisplayNameApproved => "DisplayNameApproved",
            Self::TokensValid => "TokensValid",
            Self::BusinessVerified => "BusinessVerified",
            Self::CapacityAvailable => "CapacityAvailable",
            Self::CarrierFunded => "CarrierFunded",
            Self::WebhookSubscribed => "WebhookSubscribed",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Suspended => "Suspended",
            Self::Deleting => "Deleting",
            Self::Degraded => "Degraded",
        }
    }

    const ALL: [Self; 17] = [
        Self::Ready,
        Self::NumberAcquired,
        Self::LinkedToWhatsApp,
        Self::OwnershipVerified,
        Self::Routed,
        Self::Registered,
        Self::DisplayNameApproved,
        Self::TokensValid,
        Self::BusinessVerified,
        Self::CapacityAvailable,
        Self::CarrierFunded,
        Self::WebhookSubscribed,
        Self::Reconciling,
        Self::Stalled,
        Self::Suspended,
        Self::Deleting,
        Self::Degraded,
    ];

    fn rank(type_: &str) -> usize {
        Self::ALL.iter().position(|t| t.as_str() == type_).unwrap_or(usize::MAX)
    }
}

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// True.
    True,
    /// False.
    False,
    /// Not known, or not reached yet.
    Unknown,
}

impl Truth {
    /// As it stands in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Type.
    pub type_: ConditionType,
    /// Status.
    pub truth: Truth,
    /// Reason.
    pub reason: Reason,
    /// What happens next, or who must do what.
    pub message: String,
}

impl Wanted {
    /// A condition.
    pub fn new(type_: ConditionType, truth: Truth, reason: Reason, message: impl Into<String>) -> Self {
        Self { type_, truth, reason, message: message.into() }
    }
}

/// Whole seconds: what Kubernetes keeps.
pub fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The conditions as wanted, with the transition times of those that did not flip. What is not wanted is gone, so that
/// nobody's word but this one's stands under a name of ours. Types that are qualified by a domain ("example.com/Checked")
/// are somebody else's and stay as they are: removing them would be a fight without end.
pub fn fold(current: &[Condition], wanted: Vec<Wanted>, generation: i64, now: Timestamp) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = wanted
        .into_iter()
        .map(|want| {
            let old = current.iter().find(|c| c.type_ == want.type_.as_str() && c.status == want.truth.as_str());
            Condition {
                type_: want.type_.as_str().into(),
                status: want.truth.as_str().into(),
                reason: want.reason.as_str().into(),
                message: want.message,
                observed_generation: Some(generation),
                last_transition_time: old.map_or_else(|| seconds(now), |c| c.last_transition_time.clone()),
            }
        })
        .collect();
    conditions.extend(current.iter().filter(|c| c.type_.contains('/')).cloned());
    conditions.sort_by_key(|c| ConditionType::rank(&c.type_));
    conditions
}

/// The condition of a type.
pub fn get(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == type_.as_str())
}

/// A condition as it stands, when it is True or False.
pub fn known(conditions: &[Condition], type_: ConditionType) -> Option<Wanted> {
    let condition = get(conditions, type_)?;
    let truth = [Truth::True, Truth::False].into_iter().find(|truth| truth.as_str() == condition.status)?;
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == condition.reason)?;
    Some(Wanted::new(type_, truth, *reason, &condition.message))
}

/// Whether a condition is True.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    get(conditions, type_).is_some_and(|c| c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_on_flips_only() {
        let t0: Timestamp = "2026-11-01T10:00:00.5Z".parse().unwrap();
        let t1: Timestamp = "2026-11-01T11:00:00Z".parse().unwrap();
        let want = |truth, reason| vec![Wanted::new(ConditionType::Ready, truth, reason, "m")];
        let first = fold(&[], want(Truth::False, Reason::OrderPending), 1, t0);
        assert_eq!(first[0].last_transition_time.0.to_string(), "2026-11-01T10:00:00Z");
        let same = fold(&first, want(Truth::False, Reason::CodeRequested), 1, t1);
        assert_eq!(same[0].last_transition_time, first[0].last_transition_time);
        let flipped = fold(&same, want(Truth::True, Reason::Ready), 1, t1);
        assert_eq!(flipped[0].last_transition_time.0, t1);
    }

    #[test]
    fn ready_stands_first_and_only_qualified_conditions_of_others_stay() {
        let now: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        let mut current =
            fold(&[], vec![Wanted::new(ConditionType::Stalled, Truth::True, Reason::OrderPending, "")], 1, now);
        current[0].type_ = "Foreign".into();
        let own = Condition { type_: "example.com/Checked".into(), ..current[0].clone() };
        current.insert(0, own.clone());
        let wanted = vec![
            Wanted::new(ConditionType::Stalled, Truth::True, Reason::NameDeclined, ""),
            Wanted::new(ConditionType::NumberAcquired, Truth::True, Reason::Acquired, ""),
            Wanted::new(ConditionType::Ready, Truth::False, Reason::NameDeclined, ""),
        ];
        let folded = fold(&current, wanted, 2, now);
        let types: Vec<&str> = folded.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ["Ready", "NumberAcquired", "Stalled", "example.com/Checked"]);
        assert_eq!(folded.last(), Some(&own), "as its owner wrote it");
    }
}
