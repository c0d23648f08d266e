//! The Portfolio's limits: what lines may spend and at which pace. Every limit has a default, so a Portfolio without a
//! `limits` block is bounded too.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Bounds on spending and pace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.purchasesPerDay >= self.purchasesPerHour").message("purchasesPerDay must be at least purchasesPerHour"))]
pub struct Limits {
    /// Slots that Meta grants the business: 2 at first, 20 once it is verified, more on request. Portfolios of one
    /// businessId share the count, as far as one controller watches them.
    #[x_kube(validation = Rule::new("self >= 1").message("use at least 1; to stop buying, set suspend"))]
    #[serde(default = "defaults::twenty")]
    pub max_numbers: i32,
    /// Numbers bought in an hour, at most.
    #[x_kube(validation = Rule::new("self >= 1").message("use at least 1; to stop buying, set suspend"))]
    #[serde(default = "defaults::five")]
    pub purchases_per_hour: i32,
    /// Numbers bought in 24 hours, at most.
    #[x_kube(validation = Rule::new("self >= 1").message("use at least 1; to stop buying, set suspend"))]
    #[serde(default = "defaults::twenty")]
    pub purchases_per_day: i32,
    /// Lines that await a code at the same time, at most.
    #[x_kube(validation = Rule::new("self >= 1").message("use at least 1; to stop onboarding, set suspend"))]
    #[serde(default = "defaults::four")]
    pub concurrent_onboardings: i32,
    /// No number is bought when less than this would be left at the carrier, in USD.
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    #[serde(default = "defaults::five_usd")]
    pub min_balance_usd: String,
    /// A number with a higher rent a month is not bought, in USD.
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    #[serde(default = "defaults::five_usd")]
    pub max_monthly_usd_per_number: String,
    /// A number with a higher price at the purchase is not bought, in USD.
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    #[serde(default = "defaults::five_usd")]
    pub max_upfront_usd_per_number: String,
    /// Codes asked of Meta for one number.
    #[serde(default)]
    pub code_requests: CodeRequests,
    /// Registrations of one number.
    #[serde(default)]
    pub registrations: Registrations,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_numbers: 20,
            purchases_per_hour: 5,
            purchases_per_day: 20,
            concurrent_onboardings: 4,
            min_balance_usd: "5.00".into(),
            max_monthly_usd_per_number: "5.00".into(),
            max_upfront_usd_per_number: "5.00".into(),
            code_requests: CodeRequests::default(),
            registrations: Registrations::default(),
        }
    }
}

/// Codes asked of Meta for one number. Meta's own budget is not documented; about 10 in 72 hours were seen, and asking
/// while blocked may prolong the block.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.perHour <= self.perDay && self.perDay <= self.per72h").message("perHour must not exceed perDay, nor perDay per72h"))]
pub struct CodeRequests {
    /// In an hour: 1 or 2.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 2").message("use 1 or 2: Meta asks to wait an hour between codes"))]
    #[serde(default = "defaults::one")]
    pub per_hour: i32,
    /// In 24 hours: 1 to 5.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 5").message("use 1 to 5"))]
    #[serde(default = "defaults::three")]
    pub per_day: i32,
    /// In 72 hours: 1 to 10.
    #[serde(rename = "per72h", default = "defaults::eight")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 10").message("use 1 to 10: Meta blocks after about 10"))]
    pub per_72h: i32,
}

impl Default for CodeRequests {
    fn default() -> Self {
        Self { per_hour: 1, per_day: 3, per_72h: 8 }
    }
}

/// Registrations of one number.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrations {
    /// In 72 hours: 1 to 10. Meta blocks a number for 72 hours after 10.
    #[serde(rename = "per72h", default = "defaults::eight")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 10").message("use 1 to 10: Meta blocks after 10"))]
    pub per_72h: i32,
}

impl Default for Registrations {
    fn default() -> Self {
        Self { per_72h: 8 }
    }
}

/// The defaults one by one: with a default on the whole struct the API server would not fill a block that is written
/// in part.
mod defaults {
    macro_rules! defaults {
        ($($name:ident: $type:ty = $value:expr;)*) => {
            $(pub(super) fn $name() -> $type { $value })*
        };
    }
    defaults! {
        one: i32 = 1;
        three: i32 = 3;
        four: i32 = 4;
        five: i32 = 5;
        eight: i32 = 8;
        twenty: i32 = 20;
        five_usd: String = "5.00".into();
    }
}
