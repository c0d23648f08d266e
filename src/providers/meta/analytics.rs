//! What messages cost, by number: `pricing_analytics` of a WhatsApp account.
//!
//! Meta: the query is one field with its arguments in it; cost is approximate and in the account's currency; there is no
//! cost on a partner's credit line; at most a year back. What can't be read is None, and a period that does not fit into
//! one answer is an error: a sum of a part would pass for the whole.

use std::fmt::Write as _;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::words::{PricingCategory, PricingType};
use super::{Client, ProviderError};
use crate::domain::{E164, WabaId};
use crate::providers::classify::Class;
use crate::providers::lenient;
use crate::providers::reason::Reason;
use crate::providers::request::{Operation, Request};

const CALL: Operation = Operation::list("pricing_analytics");

/// Width of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// 30 minutes.
    HalfHour,
    /// A day.
    Daily,
    /// A month.
    Monthly,
}

impl Granularity {
    fn as_str(self) -> &'static str {
        match self {
            Self::HalfHour => "HALF_HOUR",
            Self::Daily => "DAILY",
            Self::Monthly => "MONTHLY",
        }
    }
}

/// What to ask for. Points always tell number, country, type, category and tier apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricingQuery {
    /// From.
    pub start: Timestamp,
    /// To.
    pub end: Timestamp,
    /// Width of a point.
    pub granularity: Granularity,
    /// Only these numbers; empty: all of the account.
    pub numbers: Vec<E164>,
}

/// What messages of one kind cost in one period.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PricingPoint {
    /// From.
    #[serde(default, deserialize_with = "lenient::time")]
    pub start: Option<Timestamp>,
    /// To.
    #[serde(default, deserialize_with = "lenient::time")]
    pub end: Option<Timestamp>,
    /// Our number.
    #[serde(rename = "phone_number", default, deserialize_with = "lenient::number")]
    pub number: Option<E164>,
    /// Country of the recipients, two letters.
    #[serde(default, deserialize_with = "lenient::text")]
    pub country: Option<String>,
    /// Volume tier, e.g. `0:100000`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub tier: Option<String>,
    /// Charged or free.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub pricing_type: Option<PricingType>,
    /// Kind of message.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub pricing_category: Option<PricingCategory>,
    /// Messages delivered.
    #[serde(default, deserialize_with = "lenient::count")]
    pub volume: Option<u64>,
    /// In [`PricingAnalytics::currency`], exactly as it was written.
    #[serde(default, deserialize_with = "lenient::decimal")]
    pub cost: Option<Decimal>,
}

/// What an account's messages cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricingAnalytics {
    /// ISO code, e.g. `USD`; None if the answer left it out.
    pub currency: Option<String>,
    /// Point by point, in no certain order.
    pub points: Vec<PricingPoint>,
}

impl Client {
    /// `GET /{waba}?fields=pricing_analytics...`. An account without messages in the period has no points.
    pub async fn pricing_analytics(
        &self,
        waba: &WabaId,
        query: &PricingQuery,
    ) -> Result<PricingAnalytics, ProviderError> {
        let path = self.path(&[waba.as_str()]);
        let fields = format!("id,name,currency,{}", field(query));
        let answer: Value = self.transport().json(Request::get(CALL, &path).query("fields", fields)).await?;
        if answer.pointer("/pricing_analytics/paging/next").is_some_and(|next| !next.is_null()) {
            let text = "the period does not fit into one answer".to_owned();
            let what = "ask for a shorter period, fewer numbers or wider points";
            return Err(self.transport().error(CALL, Class::Refused, Reason::AnswerTooLarge, text, what));
        }
        analytics(&answer).map_err(|text| self.transport().unreadable(CALL, text))
    }
}

/// The field with its arguments. Digits and capitals only, so that nothing has to be escaped.
fn field(query: &PricingQuery) -> String {
    let mut text = format!(
        "pricing_analytics.start({}).end({}).granularity({})",
        query.start.as_second(),
        query.end.as_second(),
        query.granularity.as_str()
    );
    if !query.numbers.is_empty() {
        let digits: Vec<&str> = query.numbers.iter().map(E164::digits).collect();
        // Writing to a String does not fail.
        let _ = write!(text, ".phone_numbers({})", Value::from(digits));
    }
    text.push_str(r#".metric_types(["COST","VOLUME"])"#);
    text.push_str(r#".dimensions(["COUNTRY","PHONE","PRICING_CATEGORY","PRICING_TYPE","TIER"])"#);
    text
}

fn analytics(answer: &Value) -> Result<PricingAnalytics, String> {
    let currency = answer.get("currency").and_then(Value::as_str).map(str::to_owned);
    // Nothing to tell: Meta leaves empty fields out.
    let Some(found) = answer.get("pricing_analytics").filter(|found| !found.is_null()) else {
        return Ok(PricingAnalytics { currency, points: Vec::new() });
    };
    // Seen as {data: [{data_points}]} and with data_points one level higher.
    let groups = match (found.get("data").and_then(Value::as_array), found.get("data_points")) {
        (Some(groups), _) => groups.iter().filter_map(|group| group.get("data_points")).collect(),
        (None, Some(points)) => vec![points],
        (None, None) => return Err("the answer holds no data".to_owned()),
    };
    let mut points = Vec::new();
    for group in groups.into_iter().filter(|group| !group.is_null()) {
        let count = group.as_array().map(Vec::len).ok_or("what should be points is no list")?;
        let read: Vec<PricingPoint> = lenient::items(group.clone());
        if read.len() < count {
            return Err(format!("{} of {count} points make no sense", count - read.len()));
        }
        points.extend(read);
    }
    Ok(PricingAnalytics { currency, points })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_question_is_one_field() {
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let mut query = PricingQuery {
            start: at(1_793_491_200),
            end: at(1_796_083_200),
            granularity: Granularity::Daily,
            numbers: vec![E164::parse("+212612345678").unwrap(), E164::parse("+212522000001").unwrap()],
        };
        assert_eq!(
            field(&query),
            "pricing_analytics.start(1793491200).end(1796083200).granularity(DAILY)\
             .phone_numbers([\"212612345678\",\"212522000001\"]).metric_types([\"COST\",\"VOLUME\"])\
             .dimensions([\"COUNTRY\",\"PHONE\",\"PRICING_CATEGORY\",\"PRICING_TYPE\",\"TIER\"])"
        );
        query.numbers.clear();
        assert!(!field(&query).contains("phone_numbers"));
    }

    #[test]
    fn costs_are_exact_and_odd_forms_are_read() {
        let point = json!({"start": 1_793_491_200, "end": 1_793_577_600, "phone_number": "212612345678", "country": "MA",
            "tier": "0:1000", "pricing_type": "REGULAR", "pricing_category": "SERVICE", "volume": 41, "cost": 0.943});
        let answer = json!({"id": "104", "currency": "USD", "pricing_analytics": {"data": [{"data_points": [point]}]}});
        let read = analytics(&answer).unwrap();
        assert_eq!(read.currency.as_deref(), Some("USD"));
        let first = &read.points[0];
        assert_eq!(first.cost, Some("0.943".parse().unwrap()));
        assert_eq!((first.volume, &first.pricing_type), (Some(41), &Some(PricingType::Regular)));
        assert_eq!(first.pricing_category, Some(PricingCategory::Service));
        assert_eq!(first.number, Some(E164::parse("+212612345678").unwrap()));

        let costs = [
            (json!(55.0204), Some("55.0204")),
            (json!("0.0230"), Some("0.0230")),
            (json!(0.1), Some("0.1")),
            (json!(1e-7), Some("0.0000001")),
            (json!(3), Some("3")),
            (json!("free"), None),
            (json!(null), None),
            (json!([]), None),
        ];
        for (cost, want) in costs {
            let answer = json!({"pricing_analytics": {"data_points": [{"cost": cost, "volume": "2"}]}});
            let read = analytics(&answer).unwrap().points;
            assert_eq!(read[0].cost, want.map(|text| text.parse().unwrap()), "{cost}");
            assert_eq!((read[0].volume, &read[0].number), (Some(2), &None));
        }
        let new = json!({"pricing_analytics": {"data": [{"data_points": [{"pricing_category": "TELEPATHY"}]}, {}]}});
        let read = analytics(&new).unwrap();
        assert_eq!(read.points[0].pricing_category, Some(PricingCategory::Unknown("TELEPATHY".to_owned())));

        // No messages is no points; a part that can't be read is not left out of the sum.
        assert_eq!(analytics(&json!({"id": "104"})).unwrap().points, []);
        assert_eq!(analytics(&json!({"pricing_analytics": null})).unwrap().points, []);
        assert_eq!(analytics(&json!({"pricing_analytics": {"data": []}})).unwrap().points, []);
        for bad in [
            json!({"pricing_analytics": {}}),
            json!({"pricing_analytics": "soon"}),
            json!({"pricing_analytics": {"data": [{"data_points": [{}, 7]}]}}),
            json!({"pricing_analytics": {"data": [{"data_points": [{}]}, {"data_points": {"0": {}}}]}}),
            json!({"pricing_analytics": {"data_points": "soon"}}),
        ] {
            assert!(analytics(&bad).is_err(), "{bad}");
        }
    }
}
