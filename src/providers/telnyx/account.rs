//! The account: what it may spend, what is sold where.

use serde::Deserialize;
use serde_json::Value;

use super::types::{Balance, Coverage};
use super::words::NumberKind;
use super::{Client, ProviderError};
use crate::domain::{Country, Usd};
use crate::providers::lenient;
use crate::providers::reason::Reason;
use crate::providers::request::{Operation, Request};

impl Client {
    /// `GET /balance`. Negative amounts become 0: nothing can be bought either way.
    pub async fn balance(&self) -> Result<Balance, ProviderError> {
        const CALL: Operation = Operation::read("balance");
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "lenient::text")]
            available_credit: Option<String>,
            #[serde(default, deserialize_with = "lenient::text")]
            balance: Option<String>,
            #[serde(default, deserialize_with = "lenient::text")]
            currency: Option<String>,
        }
        let answer: Answer = self.data(Request::get(CALL, &["balance"])).await?;
        let amount = answer.available_credit.or(answer.balance);
        let available = amount
            .as_deref()
            .and_then(amount_or_zero)
            .ok_or_else(|| self.transport.unreadable(CALL, "the balance has no amount".to_owned()))?;
        Ok(Balance { available, currency: answer.currency.unwrap_or_else(|| "USD".to_owned()) })
    }

    /// `GET /country_coverage/countries/{code}`. A country that Telnyx does not know is one without numbers.
    pub async fn coverage(&self, country: &Country) -> Result<Coverage, ProviderError> {
        const CALL: Operation = Operation::read("coverage");
        let none = Coverage { numbers: false, types: Vec::new(), features: Vec::new() };
        let path = ["country_coverage", "countries", country.as_str()];
        match self.data_if_there::<Value>(Request::get(CALL, &path)).await {
            Ok(data) => Ok(data.map_or(none, |data| coverage(&data))),
            Err(error) if error.is(Reason::NoCoverage) => Ok(none),
            Err(error) => Err(error),
        }
    }
}

fn amount_or_zero(text: &str) -> Option<Usd> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) => Usd::parse(rest).ok().map(|_| Usd::default()),
        None => Usd::parse(text).ok(),
    }
}

/// A type is sold if it is named in `phone_number_type`, or if its own object is not empty.
fn coverage(data: &Value) -> Coverage {
    let words = |name: &str| lenient::items::<String>(data.get(name).cloned().unwrap_or(Value::Null));
    let mut types: Vec<NumberKind> =
        words("phone_number_type").iter().map(|word| NumberKind::from_word(word)).collect();
    for word in ["mobile", "national", "local", "toll_free", "shared_cost"] {
        let kind = NumberKind::from_word(word);
        let sold = data.get(word).and_then(Value::as_object).is_some_and(|object| !object.is_empty());
        if sold && !types.contains(&kind) {
            types.push(kind);
        }
    }
    let numbers = data.get("numbers").and_then(Value::as_bool).unwrap_or(!types.is_empty());
    Coverage { numbers, types, features: words("features") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, want) in
            [("12.50", Some("12.50")), ("-3.20", Some("0")), ("0", Some("0")), ("x", None), ("-x", None)]
        {
            assert_eq!(amount_or_zero(text), want.map(|w| Usd::parse(w).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_sold() {
        let sold = serde_json::json!({"code": "MA", "numbers": true, "features": ["voice"], "phone_number_type": ["local"],
            "local": {"features": ["voice"]}, "national": {"features": ["voice"]}, "mobile": {}});
        assert_eq!(coverage(&sold).types, [NumberKind::Local, NumberKind::National]);
        assert!(coverage(&sold).numbers);
        let none = serde_json::json!({"code": "MA", "numbers": false, "phone_number_type": [], "mobile": {}});
        assert_eq!(coverage(&none), Coverage { numbers: false, types: vec![], features: vec![] });
    }
}
