//! How the two providers behave today: what a test or a person can change at the control port.
//!
//! Every field has a default that is the common case of the fact sheets; where sources differ the default is the form a
//! client must not rely on the less. Delays left out follow `--speed`; delays given are taken as they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::Usd;

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Latency of each answer in milliseconds; left out: 150 times `--speed`.
    pub latency_ms: Option<u64>,
    /// Telnyx.
    pub telnyx: Telnyx,
    /// Meta.
    pub meta: Meta,
    /// Calls and what becomes of them.
    pub voice: Voice,
    /// Webhooks that the sandbox sends.
    pub webhooks: Webhooks,
}

/// What a number costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Once.
    pub upfront: Usd,
    /// A month.
    pub monthly: Usd,
}

impl Default for Price {
    fn default() -> Self {
        cents(100, 110)
    }
}

fn cents(upfront: i64, monthly: i64) -> Price {
    Price { upfront: Usd(rust_decimal::Decimal::new(upfront, 2)), monthly: Usd(rust_decimal::Decimal::new(monthly, 2)) }
}

/// Settings of the Telnyx side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telnyx {
    /// Country to the types sold there; a country that is not here has no coverage.
    pub coverage: BTreeMap<String, Vec<String>>,
    /// HTTP status of a search without coverage (400, 404 and 422 are all reported).
    pub no_coverage_status: u16,
    /// Numbers on sale per country and type.
    pub pool: u64,
    /// Price by type.
    pub prices: BTreeMap<String, Price>,
    /// Numbers that a stranger has bought since they were offered.
    pub taken: Vec<String>,
    /// How long an offer can be ordered, in seconds.
    pub search_window_s: i64,
    /// Money in the account.
    pub balance: Usd,
    /// HTTP status of 20100 (402, 403 and 422 are all plausible).
    pub no_funds_status: u16,
    /// Until an order takes effect.
    pub order_delay_ms: Option<u64>,
    /// `success`, `failure`, or `pending` for ever.
    pub order_result: String,
    /// Until a bought number is in the list.
    pub list_lag_ms: Option<u64>,
    /// Numbers of pending orders are listed as purchase-pending.
    pub pending_listed: bool,
    /// The order's customer_reference is copied to the number.
    pub copy_reference: bool,
    /// filter[customer_reference] matches the whole reference, not a part.
    pub exact_reference: bool,
    /// filter[phone_number] with a plus sign finds something.
    pub plus_filter: bool,
    /// `MA/mobile` to the requirements of an order: `{requirement_id, field_type}`.
    pub requirements: BTreeMap<String, Vec<Value>>,
    /// API keys that are refused.
    pub bad_keys: Vec<String>,
    /// A deleted number answers with its final state instead of 404.
    pub deleted_answers: bool,
    /// Requests a second before 429; 0 = no limit.
    pub requests_per_second: u32,
}

impl Default for Telnyx {
    fn default() -> Self {
        let types = ["mobile", "national", "local"].map(str::to_owned).to_vec();
        Self {
            coverage: BTreeMap::from([("MA".to_owned(), types)]),
            no_coverage_status: 400,
            pool: 200,
            prices: BTreeMap::from([
                ("mobile".to_owned(), cents(100, 110)),
                ("national".to_owned(), cents(100, 150)),
                ("local".to_owned(), cents(50, 200)),
            ]),
            taken: Vec::new(),
            search_window_s: 86_400,
            balance: cents(10_000, 0).upfront,
            no_funds_status: 402,
            order_delay_ms: None,
            order_result: "success".to_owned(),
            list_lag_ms: None,
            pending_listed: false,
            copy_reference: false,
            exact_reference: true,
            plus_filter: false,
            requirements: BTreeMap::new(),
            bad_keys: Vec::new(),
            deleted_answers: false,
            requests_per_second: 0,
        }
    }
}

/// Settings of the Meta side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Meta {
    /// Numbers a business may have.
    pub number_cap: usize,
    /// WABA to the business that owns it; a WABA that is not here belongs to `business_id`.
    pub wabas: BTreeMap<String, String>,
    /// The business of all other WABAs.
    pub business_id: String,
    /// The app that the token belongs to.
    pub app_id: String,
    /// Ids that the token can't see (100, subcode 33).
    pub unknown_ids: Vec<String>,
    /// verification_status of the business.
    pub business_verification: String,
    /// account_review_status of the WABA.
    pub account_review: String,
    /// name_status of new numbers; `ABSENT` leaves the field out.
    pub name_status: String,
    /// What becomes of a changed name: `APPROVED`, `DECLINED` or `PENDING` for ever.
    pub name_decision: String,
    /// Until the decision.
    pub name_decision_delay_ms: Option<u64>,
    /// register works while the name is PENDING_REVIEW.
    pub register_while_pending_review: bool,
    /// The token is valid.
    pub token_valid: bool,
    /// error_subcode of 190 while it is not: 463 expired, 467 invalidated.
    pub token_subcode: u32,
    /// Unix seconds; 0 = never.
    pub token_expires_at: i64,
    /// Scopes of the token.
    pub token_scopes: Vec<String>,
    /// WABAs that debug_token names as the token's; none: the scopes come without targets.
    pub token_wabas: Vec<String>,
    /// Tokens that are refused while others work.
    pub bad_tokens: Vec<String>,
    /// Calls without appsecret_proof are refused; left out: whenever an app secret is configured.
    pub require_proof: Option<bool>,
    /// Until a new number is in the WABA's list.
    pub list_lag_ms: Option<u64>,
    /// A number that is there already: `conflict`, `same_id` or `second_id`.
    pub duplicate_add: String,
    /// Numbers that still have a WhatsApp account elsewhere: register answers 100/2388001.
    pub burnt: Vec<String>,
    /// Fields that this account does not have (beta).
    pub absent_fields: Vec<String>,
    /// request_code calls per number and window.
    pub code_budget: usize,
    /// register calls per number and window; deregister has the same of its own.
    pub register_budget: usize,
    /// The window, in seconds.
    pub budget_window_s: i64,
    /// Life of a code in seconds; left out: 600 times `--speed`, or 600 at speed 0.
    pub code_life_s: Option<i64>,
    /// Duration of a register call.
    pub register_delay_ms: Option<u64>,
    /// The business profile comes as `business_profile{...}` (the OpenAPI file) instead of flat (the SDKs).
    pub profile_nested: bool,
    /// Requests a second before 80008; 0 = no limit.
    pub requests_per_second: u32,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            number_cap: 20,
            wabas: BTreeMap::new(),
            business_id: "1020".to_owned(),
            app_id: "7700".to_owned(),
            unknown_ids: Vec::new(),
            business_verification: "verified".to_owned(),
            account_review: "APPROVED".to_owned(),
            name_status: "AVAILABLE_WITHOUT_REVIEW".to_owned(),
            name_decision: "APPROVED".to_owned(),
            name_decision_delay_ms: None,
            register_while_pending_review: false,
            token_valid: true,
            token_subcode: 467,
            token_expires_at: 0,
            token_scopes: ["whatsapp_business_management", "whatsapp_business_messaging", "business_management"]
                .map(str::to_owned)
                .to_vec(),
            token_wabas: Vec::new(),
            bad_tokens: Vec::new(),
            require_proof: None,
            list_lag_ms: None,
            duplicate_add: "conflict".to_owned(),
            burnt: Vec::new(),
            absent_fields: Vec::new(),
            code_budget: 10,
            register_budget: 10,
            budget_window_s: 72 * 3_600,
            code_life_s: None,
            register_delay_ms: None,
            profile_nested: false,
            requests_per_second: 0,
        }
    }
}

/// Settings of calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Voice {
    /// From request_code to the ring.
    pub ring_delay_ms: Option<u64>,
    /// From the hang-up to the recording.
    pub recording_delay_ms: Option<u64>,
    /// From the recording to its transcription.
    pub transcription_delay_ms: Option<u64>,
    /// Until a call is in the detail records.
    pub detail_record_delay_ms: Option<u64>,
    /// `ok`, `empty`, or `never`: no transcription although it was asked for.
    pub transcription: String,
    /// `ok` or `empty`: what /ai/audio/transcriptions hears.
    pub speech_to_text: String,
    /// Meta's call never comes.
    pub no_call: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            ring_delay_ms: None,
            recording_delay_ms: None,
            transcription_delay_ms: None,
            detail_record_delay_ms: None,
            transcription: "ok".to_owned(),
            speech_to_text: "ok".to_owned(),
            no_call: false,
        }
    }
}

/// Settings of the webhooks that the sandbox sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Non-ASCII characters as `\u00e4` on the wire, as Meta signs them.
    pub escape: bool,
    /// Time for one attempt in milliseconds.
    pub timeout_ms: u64,
    /// Attempts before a webhook is given up.
    pub attempts: u32,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { escape: true, timeout_ms: 10_000, attempts: 400 }
    }
}

impl Settings {
    /// These settings with `change` merged in, object by object.
    ///
    /// # Errors
    /// What is wrong with the change: an unknown field, a wrong type.
    pub fn changed(&self, change: &Value) -> Result<Self, String> {
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        merge(&mut merged, change);
        serde_json::from_value(merged).map_err(|error| format!("{error}: GET /settings shows all fields"))
    }
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_touches_what_it_names_only() {
        let settings = Settings::default();
        let changed = settings.changed(&json!({"meta": {"number_cap": 2}, "telnyx": {"balance": "1.00"}})).unwrap();
        assert_eq!(changed.meta.number_cap, 2);
        assert_eq!(changed.telnyx.balance, Usd::parse("1").unwrap());
        assert_eq!(changed.telnyx.pool, settings.telnyx.pool);
        let uncovered = settings.changed(&json!({"telnyx": {"coverage": {"MA": []}}})).unwrap();
        assert!(uncovered.telnyx.coverage["MA"].is_empty());
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = Settings::default().changed(&json!({"meta": {"nubmer_cap": 2}})).unwrap_err();
        assert!(error.contains("nubmer_cap") && error.contains("GET /settings"), "{error}");
    }
}
