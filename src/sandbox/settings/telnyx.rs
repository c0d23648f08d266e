//! How Telnyx behaves: what is sold at which price, how orders go, what lists show, what is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::Usd;

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
    /// Until an accepted order is in the list of orders.
    pub order_list_lag_ms: Option<u64>,
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
    /// Until an order whose documents are missing is cancelled, in seconds.
    pub requirement_deadline_s: i64,
    /// API keys that are refused.
    pub bad_keys: Vec<String>,
    /// A deleted number answers with its final state instead of 404.
    pub deleted_answers: bool,
    /// Requests a second of one API key before 429 with 10011; 0 = no limit.
    pub requests_per_second: u32,
    /// A refusal by that limit carries Retry-After.
    pub retry_after: bool,
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
            order_list_lag_ms: None,
            pending_listed: false,
            copy_reference: false,
            exact_reference: true,
            plus_filter: false,
            requirements: BTreeMap::new(),
            requirement_deadline_s: 30 * 86_400,
            bad_keys: Vec::new(),
            deleted_answers: false,
            requests_per_second: 0,
            retry_after: false,
        }
    }
}
