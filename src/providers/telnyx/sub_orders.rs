//! What an order still needs: its sub-orders, the requirements with their values, the deadline.
//!
//! Telnyx: an order whose documents are missing stays pending and is cancelled at its deadline; the deadline stands on the
//! order's item only. Values are handed in on the order, on a sub-order or on an item. A value may be a person's name or
//! the number of a passport, so it prints as `***` and never comes back in an error. Nothing here decides what to hand in.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::types::OrderItem;
use super::words::{FieldKind, NumberKind, OrderStatus, RequirementStatus};
use super::{Client, ProviderError};
use crate::domain::Pii;
use crate::providers::lenient;
use crate::providers::request::{Operation, Request};

/// A requirement of an order or of a group, with the value that was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RequirementValue {
    /// Which requirement: the id of [`super::Requirement`].
    pub requirement_id: String,
    /// What kind of value it wants.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub field_type: Option<FieldKind>,
    /// The text itself, or the id of an address or a document; None while it is missing.
    #[serde(rename = "field_value", default, deserialize_with = "value")]
    pub value: Option<Pii<String>>,
    /// What Telnyx says of the value; live answers only, the official file has it for groups.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<RequirementStatus>,
    /// From when on the value is not good any more.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expires_at: Option<Timestamp>,
}

fn value<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Pii<String>>, D::Error> {
    lenient::text(deserializer).map(|text| text.map(Pii))
}

/// The part of an order that is of one country and type; what is cancelled is a part.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubOrder {
    /// Its id.
    pub id: String,
    /// The order it belongs to.
    #[serde(rename = "order_request_id", default, deserialize_with = "lenient::text")]
    pub order: Option<String>,
    /// Its status.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<OrderStatus>,
    /// Two letters.
    #[serde(default, deserialize_with = "lenient::text")]
    pub country_code: Option<String>,
    /// Kind of its numbers.
    #[serde(rename = "phone_number_type", default, deserialize_with = "lenient::maybe")]
    pub kind: Option<NumberKind>,
    /// False: something must be handed in.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub requirements_met: Option<bool>,
    /// What is asked for; values stand on the items.
    #[serde(rename = "regulatory_requirements", default, deserialize_with = "lenient::list")]
    pub requirements: Vec<RequirementValue>,
    /// Its numbers, at most 50, and only if the sub-order was read by its id.
    #[serde(rename = "phone_numbers", default, deserialize_with = "lenient::list")]
    pub numbers: Vec<OrderItem>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
}

/// Where values are handed in; each holds Telnyx's id (a UUID).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderPart<'a> {
    /// The whole order.
    Order(&'a str),
    /// One sub-order: all its numbers.
    SubOrder(&'a str),
    /// One item: the id of [`OrderItem`], not of the number.
    Item(&'a str),
}

impl OrderPart<'_> {
    fn path(&self) -> [&str; 2] {
        match self {
            Self::Order(id) => ["number_orders", id],
            Self::SubOrder(id) => ["sub_number_orders", id],
            Self::Item(id) => ["number_order_phone_numbers", id],
        }
    }
}

impl Client {
    /// `GET /sub_number_orders` of one order, without the numbers. Filtered again here, since a filter may be ignored.
    pub async fn sub_orders(&self, order: &str) -> Result<Vec<SubOrder>, ProviderError> {
        const CALL: Operation = Operation::list("list_sub_orders");
        // The file declares no pages for this list, and an order of ours has one sub-order.
        let request = Request::get(CALL, &["sub_number_orders"]).query("filter[order_request_id]", order);
        let listed: Vec<Value> = self.data(request).await?;
        let found: Vec<SubOrder> = self.readable(CALL, listed)?;
        Ok(found.into_iter().filter(|sub| sub.order.as_deref() == Some(order)).collect())
    }

    /// `GET /sub_number_orders/{id}` with its numbers, their requirements and where these stand. None if there is none.
    pub async fn sub_order(&self, id: &str) -> Result<Option<SubOrder>, ProviderError> {
        let request = Request::get(Operation::read("sub_order"), &["sub_number_orders", id])
            .query("filter[include_phone_numbers]", "true");
        self.data_if_there(request).await
    }

    /// `GET /number_order_phone_numbers/{id}`: one item of an order, with its deadline. None if there is none.
    pub async fn order_item(&self, id: &str) -> Result<Option<OrderItem>, ProviderError> {
        self.data_if_there(Request::get(Operation::read("order_item"), &["number_order_phone_numbers", id])).await
    }

    /// `PATCH` with `regulatory_requirements`: hands in values, as pairs of requirement id and value. Repeatable. Refused
    /// with `AlreadyExists` if nothing is open (85003).
    pub async fn hand_in(&self, part: OrderPart<'_>, values: &[(String, Pii<String>)]) -> Result<(), ProviderError> {
        const CALL: Operation = Operation::set("hand_in");
        let listed: Vec<Value> =
            values.iter().map(|(id, value)| json!({"requirement_id": id, "field_value": value.expose()})).collect();
        let path = part.path();
        let mut request = Request::new(CALL, Method::PATCH, &path).json(json!({ "regulatory_requirements": listed }));
        for (_, value) in values {
            request = request.secret(value.expose());
        }
        self.transport.send(request).await.map(drop)
    }

    /// `POST /sub_number_orders/{id}/requirement_group`: takes the values from a group; an approved one lets the order go
    /// on within minutes. An order does not follow later changes of the group: attach it again.
    pub async fn attach_requirement_group(&self, sub_order: &str, group: &str) -> Result<SubOrder, ProviderError> {
        const CALL: Operation = Operation::set("attach_requirement_group");
        let path = ["sub_number_orders", sub_order, "requirement_group"];
        self.data(Request::new(CALL, Method::POST, &path).json(json!({ "requirement_group_id": group }))).await
    }
}
