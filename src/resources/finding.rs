//! What the audit of a Portfolio finds: what is paid for, registered or routed and does not fit together. Shown in the
//! Portfolio's status; docs/audit.md says what each kind means. Never holds what candidates wrote or who they are.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reasons::Reason;

/// What does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FindingKind {
    /// Given up by clientnumber.dev/abandon, and still paid for.
    Abandoned,
    /// Paid for at the carrier, and no object or company accounts for it.
    Orphaned,
    /// A line has the number, and the carrier's account does not.
    NumberLost,
    /// Registered at Meta, and routed to no company.
    NotRouted,
    /// Routed to a company, and not registered at Meta.
    NotRegistered,
    /// Routed to a company by an object that is gone.
    RouteWithoutLine,
    /// In the WhatsApp Business Account, where it holds a slot that only a person can free, and no line uses it.
    AwaitingManualDeletion,
}

impl FindingKind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: [Self; 7] = [
        Self::Abandoned,
        Self::Orphaned,
        Self::NumberLost,
        Self::NotRouted,
        Self::NotRegistered,
        Self::RouteWithoutLine,
        Self::AwaitingManualDeletion,
    ];

    /// The word in status and metrics.
    pub fn as_str(self) -> &'static str {
        self.reason().as_str()
    }

    /// The reason of its event: the same word.
    pub fn reason(self) -> Reason {
        match self {
            Self::Abandoned => Reason::Abandoned,
            Self::Orphaned => Reason::Orphaned,
            Self::NumberLost => Reason::NumberLost,
            Self::NotRouted => Reason::NotRouted,
            Self::NotRegistered => Reason::NotRegistered,
            Self::RouteWithoutLine => Reason::RouteWithoutLine,
            Self::AwaitingManualDeletion => Reason::AwaitingManualDeletion,
        }
    }

    /// Whether the number is paid for and nobody's.
    pub fn is_orphan(self) -> bool {
        matches!(self, Self::Abandoned | Self::Orphaned)
    }
}

/// Something that does not fit together; nothing is changed because of it. It goes by itself within a round when it is
/// put right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What does not fit together.
    pub kind: FindingKind,
    /// The number.
    pub phone_number: String,
    /// Meta's id of the number, where Meta knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The company that it is, or was, for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company_id: Option<String>,
    /// What stands on its order at the carrier: ownerId/namespace/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Since when it was found, without a break.
    pub since: Time,
    /// What it means and what to do.
    pub message: String,
}
