//! How Meta behaves: the business and its slots, names, tokens, budgets, what lists show, what is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Requests a second of an app on one WABA before `limit_code`; 0 = no limit.
    pub requests_per_second: u32,
    /// Requests an hour of an app on one WABA that has no registered number (Meta: 200); 0 = no limit.
    pub requests_per_hour: u32,
    /// The same once a number of the WABA is registered (Meta: 5,000); counts only if `requests_per_hour` does.
    pub requests_per_hour_registered: u32,
    /// Requests a second of an app on everything before code 4; 0 = no limit.
    pub app_requests_per_second: u32,
    /// Requests an hour of an app on everything before code 4; 0 = no limit.
    pub app_requests_per_hour: u32,
    /// Code of a WABA's refusal: 80008 or 80007.
    pub limit_code: u32,
    /// HTTP status of all these refusals: 400 or 429.
    pub limit_status: u16,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            number_cap: 20,
            wabas: ["104", "105"].map(|waba| (waba.to_owned(), "1020".to_owned())).into(),
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
            requests_per_hour: 0,
            requests_per_hour_registered: 5_000,
            app_requests_per_second: 0,
            app_requests_per_hour: 0,
            limit_code: 80_008,
            limit_status: 400,
        }
    }
}
