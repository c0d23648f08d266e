//! Status of a `ClientNumber`: what the controller records of a line. Written by the controller only.
//!
//! The blocks `purchase`, `link`, `verification`, `registration` are what makes a crash harmless; the pipeline is a switch
//! on them. Never holds a code, a PIN, a token or a candidate's data.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verification_status::VerificationStatus;
use crate::domain::NumberType;

/// What the controller knows of the line. Written by the controller only; never holds a code, a PIN, a token or a
/// candidate's data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientNumberStatus {
    /// Generation of the spec that this status speaks of; -1 until the controller has seen the object.
    #[serde(default)]
    pub observed_generation: i64,
    /// The line's number, once it is owned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// Meta's id of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The step that the line is at, one word; for display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Conditions, Ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The purchase and how far it got; what makes a crash harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<PurchaseStatus>,
    /// Adding the number to the WhatsApp Business Account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkStatus>,
    /// Codes that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
    /// Attempts to register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<RegistrationStatus>,
    /// What Meta said of the line at the last look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineStatus>,
    /// The line's entry in the routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStatus>,
    /// The line's fixed cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
    /// Retry state; gates the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryStatus>,
}

/// Phases of a purchase. None is the absence of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PurchasePhase {
    /// A candidate is saved; exactly it may be ordered.
    Intended,
    /// The carrier has the order.
    Ordered,
    /// The carrier waits for documents.
    WaitingRequirements,
    /// Our order holds the number and the account lists it, active.
    Owned,
    /// The outcome of an order is being looked up.
    Unknown,
    /// This candidate is not to be had; another is chosen.
    Rejected,
    /// Paid, but Meta will not take it; a person decides.
    Burnt,
}

/// The purchase of the line's number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PurchaseStatus {
    /// How far it got.
    pub phase: PurchasePhase,
    /// The number that is, or was, being ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// Counts candidates, from 1.
    #[serde(default)]
    pub attempt: i32,
    /// What stands on the order at the carrier: ownerId/namespace/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The carrier's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The carrier's numeric id of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_id: Option<String>,
    /// The real price, from the search that it was bought by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceStatus>,
    /// When this candidate was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the number was seen to be ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned_at: Option<Time>,
    /// Kind of the number that was chosen; decides which documents go with its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_type: Option<NumberType>,
    /// When this candidate was chosen first; it may be ordered again later, if an order is proven not to have arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_at: Option<Time>,
    /// Giving the number back at the carrier, once that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_back: Option<GiveBackStatus>,
    /// Since when the carrier shows the number no more, although it never said that it takes it back: believed at a second look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Time>,
    /// Numbers that were bought for this line, could not be used and were given back. None of them is taken again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
}

impl PurchaseStatus {
    /// A purchase of which nothing but the phase is known.
    pub fn new(phase: PurchasePhase) -> Self {
        Self {
            phase,
            candidate: None,
            attempt: 0,
            reference: None,
            order_id: None,
            number_id: None,
            price: None,
            started_at: None,
            owned_at: None,
            number_type: None,
            chosen_at: None,
            give_back: None,
            missing_since: None,
            replaced: Vec::new(),
        }
    }
}

/// Giving a number back at the carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GiveBackStatus {
    /// When the carrier was asked last, saved before the call: from then on the number may be gone.
    pub asked_at: Time,
    /// When it answered that it takes the number back: from then on the number counts as gone once it is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Time>,
}

/// Prices in USD, decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceStatus {
    /// Once.
    pub upfront_usd: String,
    /// Each month.
    pub monthly_usd: String,
}

/// Phases of adding the number at Meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LinkPhase {
    /// The intent is saved; the number may or may not be there.
    Intended,
    /// The WABA lists the number.
    Linked,
}

/// Adding the number to the WhatsApp Business Account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// How far it got.
    pub phase: LinkPhase,
    /// When the intent was saved.
    pub started_at: Time,
    /// Counts attempts, from 1.
    pub attempt: i32,
    /// Meta said that the number is added already; while this account does not list it, another one does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already_added: bool,
}

/// Attempts to register.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationStatus {
    /// When register was called, each counted before its call; of the last 72 hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Time>,
    /// The name that the line was registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_name: Option<String>,
    /// When the registration was seen at Meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Time>,
    /// When Meta was asked last to deregister the line, saved before the call; counted among the attempts too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deregister_asked_at: Option<Time>,
}

/// What Meta and the carrier said of the line at the last look. What was not told stays as it was, or is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineStatus {
    /// Meta's name_status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name_status: Option<String>,
    /// The name that candidates see: Meta's verified_name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_name: Option<String>,
    /// Another name that was asked for at Meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_display_name: Option<String>,
    /// Meta's new_name_status: where the review of that name stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_name_status: Option<String>,
    /// Meta's quality_rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_rating: Option<String>,
    /// Meta's messaging limit of the business portfolio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_limit: Option<String>,
    /// The highest messaging limit that was seen, to tell a lowered one by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_messaging_limit: Option<String>,
    /// Meta's status of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Meta's account_mode: LIVE or SANDBOX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_mode: Option<String>,
    /// Where Meta sends the line's webhooks instead of to the router; without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_override: Option<String>,
    /// Since when the WhatsApp Business Account is proven not to list the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_at_meta: Option<Time>,
    /// The carrier's status of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier_status: Option<String>,
    /// Since when the carrier's account is proven not to hold the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_at_carrier: Option<Time>,
    /// True: the number does not carry this installation's tags at the carrier any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untagged: bool,
    /// When Meta last onboarded the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_onboarded_at: Option<String>,
    /// When the router last received a webhook for the line; renewed once an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_webhook_at: Option<Time>,
}

/// The line's entry in the routing table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// pending, active, draining or disabled.
    pub state: String,
    /// Counts the companies that the number has belonged to, from 1.
    pub epoch: i64,
    /// Counts writes of the entry.
    pub revision: i64,
    /// When it was last written.
    pub updated_at: Time,
}

/// The line's fixed cost a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostStatus {
    /// In USD, as the carrier charges it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_usd: Option<String>,
    /// In MAD, by the rate card in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_mad: Option<String>,
    /// validFrom of the rate card that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_card: Option<String>,
    /// For people: `11.55 MAD`, or `unknown` where no rate card covers today.
    pub display: String,
}

/// Retry state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryStatus {
    /// Failures in a row.
    #[serde(default)]
    pub attempts: i32,
    /// Nothing is tried before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Time>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The last clientnumber.dev/retry-requested-at that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_request: Option<String>,
}
