//! Dated prices, as management enters them. What they mean in money is `crate::money`'s.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Prices of one period, in the WABA's time zone.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.validTo) || self.validTo > self.validFrom").message("validTo is the first day on which the card no longer holds: write a day after validFrom"))]
pub struct RateCard {
    /// First day on which the card holds.
    #[schemars(length(max = 40))]
    #[x_kube(validation = Rule::new(rules::DATE).message(rules::DATE_MESSAGE))]
    pub valid_from: String,
    /// First day on which it no longer holds; left out: open-ended, for the last card only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    #[x_kube(validation = Rule::new(rules::DATE).message(rules::DATE_MESSAGE))]
    pub valid_to: Option<String>,
    /// Price of one USD in MAD.
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::POSITIVE).message(rules::POSITIVE_MESSAGE))]
    pub usd_mad: String,
    /// Rent of a number whose real price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rent_usd: Option<RentUsd>,
    /// Prices of messages, one entry per category and country.
    #[schemars(length(max = 30))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, b.category == a.category && b.country == a.country))").message("write one price per category and country"))]
    pub messages: Vec<MessagePrice>,
}

/// Rent a month in USD.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RentUsd {
    /// The number itself.
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    pub number: String,
    /// Its voice capability.
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    pub capability: String,
}

/// Price of one delivered message.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessagePrice {
    /// Meta's category.
    pub category: MessageCategory,
    /// The candidate's country.
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new(rules::COUNTRY).message(rules::COUNTRY_MESSAGE))]
    pub country: String,
    /// Price of one message.
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    pub price: String,
    /// Currency: ISO 4217.
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Z]{3}$')").message("write the currency as three capitals (ISO 4217), for example MAD"))]
    pub currency: String,
    /// Messages of this category that are free for each number in each month.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self >= 0").message("use 0 or more"))]
    pub free_per_number_and_month: i32,
}

/// Meta's message categories.
#[allow(missing_docs)] // Meta's own words
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageCategory {
    Marketing,
    Utility,
    Authentication,
    AuthenticationInternational,
    Service,
}
