//! Searching and ordering. An order costs money and can't be undone: it is sent once per call, never repeated here.
//!
//! Telnyx: a number can only be ordered after a recent search by this account (85000). Neither does the order endpoint
//! know an idempotency key, nor is the filter on the reference known to be exact: the look-up compares on our side.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::types::{Candidate, Order};
use super::{Client, ProviderError};
use crate::domain::{Country, CustomerReference, E164, NumberType, Usd};
use crate::providers::classify::Class;
use crate::providers::lenient;
use crate::providers::reason::Reason;
use crate::providers::request::{Operation, Request};

/// More orders of one reference than any line ever needs; each costs a call to read.
const MAX_ORDERS: usize = 100;

impl Client {
    /// `GET /available_phone_numbers`, once for each type in order of preference, with at most `limit` (1 to 100) each.
    /// Sorted by type, price and number. Empty: sold there, but none now. `NoCoverage` only if no type is sold there.
    pub async fn search(
        &self,
        country: &Country,
        types: &[NumberType],
        limit: u32,
    ) -> Result<Vec<Candidate>, ProviderError> {
        let mut found = Vec::new();
        let (mut sold, mut refusal) = (false, None);
        for &kind in types {
            match self.search_type(country, kind, limit.clamp(1, 100)).await {
                Ok(candidates) => {
                    sold = true;
                    found.extend(candidates);
                }
                Err(error) if error.is(Reason::NoCoverage) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refusal {
            Some(error) if !sold => Err(error),
            _ => Ok(sorted(found, types)),
        }
    }

    async fn search_type(
        &self,
        country: &Country,
        kind: NumberType,
        limit: u32,
    ) -> Result<Vec<Candidate>, ProviderError> {
        const CALL: Operation = Operation::list("search");
        let request = Request::get(CALL, &["available_phone_numbers"])
            .query("filter[country_code]", country.as_str())
            .query("filter[phone_number_type]", kind.as_str())
            .query("filter[features]", "voice")
            // Telnyx: a number that this account gave back a moment ago is in hold, and shown to it all the same.
            .query("filter[exclude_held_numbers]", "true")
            .query("filter[limit]", limit.to_string());
        let data: Vec<Value> = self.data(request).await?;
        Ok(data.iter().filter_map(|item| candidate(item, kind)).collect())
    }

    /// `POST /number_orders` for exactly this number. Any error but a clear refusal is Unknown: look the order up.
    pub async fn create_order(
        &self,
        number: &E164,
        reference: &CustomerReference,
        connection_id: Option<&str>,
        requirement_group: Option<&str>,
    ) -> Result<Order, ProviderError> {
        const CALL: Operation = Operation::write("create_order");
        let mut item = json!({"phone_number": number.as_str()});
        if let Some(group) = requirement_group {
            item["requirement_group_id"] = group.into();
        }
        let mut body = json!({"phone_numbers": [item], "customer_reference": reference.to_string()});
        if let Some(connection) = connection_id {
            body["connection_id"] = connection.into();
        }
        self.data(Request::new(CALL, Method::POST, &["number_orders"]).json(body)).await
    }

    /// `GET /number_orders/{id}`.
    pub async fn order(&self, id: &str) -> Result<Option<Order>, ProviderError> {
        self.data_if_there(Request::get(Operation::read("order"), &["number_orders", id])).await
    }

    /// The orders with exactly this reference, complete: list entries hold neither statuses nor documents, so each is
    /// read by its id.
    pub async fn orders_by_reference(&self, reference: &CustomerReference) -> Result<Vec<Order>, ProviderError> {
        let filters = [("filter[customer_reference]", reference.to_string())];
        const CALL: Operation = Operation::list("list_orders");
        let listed: Vec<Order> = self.all(CALL, &["number_orders"], &filters).await?;
        let plausible: Vec<&Order> = listed.iter().filter(|o| o.reference.is_none() || o.is_of(reference)).collect();
        if plausible.len() > MAX_ORDERS {
            let text = format!("{} orders may bear the reference {reference}", plausible.len());
            let what =
                "look at the orders in the Telnyx portal: one line should have a handful; nothing is bought meanwhile";
            return Err(self.transport.error(CALL, Class::NeedsHuman, Reason::AnswerTooLarge, text, what));
        }
        let mut orders = Vec::new();
        for entry in plausible {
            // An order that is listed exists, whether or not it can be read already: without its status it is pending.
            let order = self.order(&entry.id).await?.unwrap_or_else(|| entry.clone());
            orders.extend(Some(order).filter(|order| order.is_of(reference)));
        }
        Ok(orders)
    }

    /// Orders made after `since`, or all, whose reference begins with `prefix`, in brief: numbers and perhaps status, no
    /// documents. The filter on the time is a help, not a proof; one on the reference would be exact or not, so none is
    /// sent.
    pub async fn orders_since(&self, prefix: &str, since: Option<Timestamp>) -> Result<Vec<Order>, ProviderError> {
        let filters: Vec<(&str, String)> = since.iter().map(|at| ("filter[created_at][gt]", at.to_string())).collect();
        let listed: Vec<Order> = self.all(Operation::list("list_orders"), &["number_orders"], &filters).await?;
        let ours = |order: &Order| order.reference.as_deref().is_some_and(|text| text.starts_with(prefix));
        let young = |order: &Order| order.created_at.is_none_or(|at| since.is_none_or(|since| at > since));
        Ok(listed.into_iter().filter(|order| ours(order) && young(order)).collect())
    }

    /// `PATCH /sub_number_orders/{id}/cancel`: for a number whose order is still pending. True if it was there.
    pub async fn cancel_sub_order(&self, id: &str) -> Result<bool, ProviderError> {
        const CALL: Operation = Operation::write("cancel_sub_order");
        let request = Request::new(CALL, Method::PATCH, &["sub_number_orders", id, "cancel"]);
        match self.transport.send(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is(Reason::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Telnyx shows redacted numbers (`+49351xxxxxxx`) to trial accounts, and an offer whose price is unknown or in another
/// currency can't be held against the budget: neither is a candidate.
fn candidate(item: &Value, kind: NumberType) -> Option<Candidate> {
    let number = E164::parse(item.get("phone_number")?.as_str()?).ok()?;
    let cost = item.get("cost_information")?;
    if cost.get("currency").and_then(Value::as_str).is_some_and(|currency| currency != "USD") {
        return None;
    }
    let amount = |name: &str| lenient::text(cost.get(name)?.clone()).ok()?.and_then(|text| Usd::parse(&text).ok());
    Some(Candidate { number, kind, upfront: amount("upfront_cost")?, monthly: amount("monthly_cost")? })
}

fn sorted(mut candidates: Vec<Candidate>, types: &[NumberType]) -> Vec<Candidate> {
    let rank = |kind: NumberType| types.iter().position(|&t| t == kind).unwrap_or(usize::MAX);
    candidates.sort_by_key(|c| (rank(c.kind), c.monthly, c.upfront, c.number.clone()));
    candidates.dedup_by(|a, b| a.number == b.number);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(number: &str, monthly: &str) -> Value {
        json!({"record_type": "available_phone_number", "phone_number": number,
            "cost_information": {"currency": "USD", "monthly_cost": monthly, "upfront_cost": "1.00"}})
    }

    #[test]
    fn only_offers_that_can_be_bought_and_priced() {
        let good = candidate(&offer("+212612345678", "1.50"), NumberType::Mobile).unwrap();
        assert_eq!((good.monthly, good.upfront), (Usd::parse("1.5").unwrap(), Usd::parse("1").unwrap()));
        for bad in [
            offer("+49351xxxxxxx", "1"),
            offer("+212612345678", "free"),
            json!({"phone_number": "+212612345678"}),
            json!({"phone_number": "+212612345678",
                "cost_information": {"currency": "EUR", "monthly_cost": "1", "upfront_cost": "1"}}),
        ] {
            assert_eq!(candidate(&bad, NumberType::Mobile), None, "{bad}");
        }
    }

    #[test]
    fn order_of_candidates_is_ours() {
        let make = |number: &str, price: &str, kind| candidate(&offer(number, price), kind).unwrap();
        let got = sorted(
            vec![
                make("+212522000002", "0.5", NumberType::Local),
                make("+212612000009", "2", NumberType::Mobile),
                make("+212612000002", "1", NumberType::Mobile),
                make("+212612000001", "1", NumberType::Mobile),
            ],
            &[NumberType::Mobile, NumberType::Local],
        );
        let numbers: Vec<&str> = got.iter().map(|c| c.number.as_str()).collect();
        assert_eq!(numbers, ["+212612000001", "+212612000002", "+212612000009", "+212522000002"]);
    }
}
