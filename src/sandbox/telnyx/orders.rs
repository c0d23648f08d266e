//! Number orders as they are kept and shown: whole by id, in brief in the list, and each as its one sub-order.
//!
//! How an order comes to be is in `ordering`, what becomes of it with time in `fulfilment`. Telnyx: list entries carry of
//! the numbers only id and number.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::search::Offer;
use super::{data, errors, object, page, requirements, set_only, time};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

/// One number of an order.
#[derive(Debug, Clone)]
pub struct Item {
    /// Id of the order item, not of the number.
    pub id: String,
    /// The number.
    pub e164: String,
    /// What was offered.
    pub offer: Offer,
}

/// An order with its one sub-order.
#[derive(Debug, Clone)]
pub struct Order {
    /// UUID.
    pub id: String,
    /// UUID of the sub-order.
    pub sub_id: String,
    /// What was ordered.
    pub items: Vec<Item>,
    /// As the client named it.
    pub reference: Option<String>,
    /// Application for the numbers.
    pub connection: Option<String>,
    /// pending, success, failure, cancelled.
    pub status: String,
    /// What is asked for, with the values given.
    pub requirements: Vec<Value>,
    /// A group was attached, or all values are there.
    pub met: bool,
    /// When it is cancelled for want of documents; None once they are there.
    pub deadline: Option<Timestamp>,
    /// When it takes effect; None while it waits for documents.
    pub due: Option<Timestamp>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it changed.
    pub updated: Timestamp,
    /// From when on it is in the list; by its id it is there at once.
    pub visible: Timestamp,
}

impl Order {
    /// Still pending.
    pub fn is_open(&self) -> bool {
        self.status == "pending"
    }

    /// Contains the number.
    pub fn contains(&self, e164: &str) -> bool {
        self.items.iter().any(|item| item.e164 == e164)
    }

    fn requirements_status(&self) -> &'static str {
        match self.status.as_str() {
            "cancelled" => "cancelled",
            "pending" if !self.met => "requirement-info-pending",
            "pending" if !self.requirements.is_empty() => "requirement-info-under-review",
            _ => "approved",
        }
    }

    fn head(&self) -> Value {
        set_only(json!({
            "id": self.id, "record_type": "number_order", "status": self.status, "requirements_met": self.met,
            "phone_numbers_count": self.items.len(), "customer_reference": self.reference,
            "connection_id": self.connection,
            "sub_number_orders_ids": [self.sub_id], "created_at": time(self.created), "updated_at": time(self.updated),
        }))
    }

    /// As GET by id shows it.
    pub fn full(&self) -> Value {
        let mut all = self.head();
        all["phone_numbers"] = self.items.iter().map(|item| self.item(item)).collect();
        all
    }

    /// One of its numbers.
    pub fn item(&self, item: &Item) -> Value {
        json!({
            "id": item.id, "record_type": "number_order_phone_number", "phone_number": item.e164,
            "phone_number_type": item.offer.kind, "country_code": item.offer.country,
            "country_iso_alpha2": item.offer.country, "requirements_met": self.met,
            "requirements_status": self.requirements_status(), "status": self.status,
            "regulatory_requirements": self.requirements,
        })
    }

    /// As the list shows it: of the numbers only id and number.
    fn brief(&self) -> Value {
        let mut all = self.head();
        all["phone_numbers"] =
            self.items.iter().map(|item| json!({"id": item.id, "phone_number": item.e164})).collect();
        all
    }

    /// Its sub-order.
    pub fn sub(&self) -> Value {
        let first = self.items.first().map(|item| &item.offer);
        // What is needed, says the file; the values stand at the numbers.
        let needed: Vec<Value> = self
            .requirements
            .iter()
            .map(|one| json!({"requirement_id": one["requirement_id"], "field_type": one["field_type"]}))
            .collect();
        set_only(json!({
            "id": self.sub_id, "order_request_id": self.id, "record_type": "sub_number_order", "status": self.status,
            "country_code": first.map(|offer| offer.country.as_str()),
            "phone_number_type": first.map(|offer| offer.kind.as_str()), "phone_numbers_count": self.items.len(),
            "requirements_met": self.met, "regulatory_requirements": needed,
            "customer_reference": self.reference, "is_block_sub_number_order": false,
            "user_id": "d70873cd-7c98-401a-81b6-b1ae08246995",
            "created_at": time(self.created), "updated_at": time(self.updated),
        }))
    }
}

/// GET /number_orders
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let exact = world.settings.telnyx.exact_reference;
    let found: Vec<Value> = world
        .telnyx
        .orders
        .iter()
        .rev()
        .filter(|order| order.visible <= ctx.now)
        .filter(|order| {
            ctx.req.filter("status").is_none_or(|status| order.status == status)
                && ctx
                    .req
                    .filter("customer_reference")
                    .is_none_or(|wanted| same_reference(order.reference.as_deref(), wanted, exact))
                && ctx.req.filter("phone_numbers_count").is_none_or(|count| order.items.len().to_string() == count)
                && ctx.req.filter("requirements_met").is_none_or(|met| order.met.to_string() == met)
                && super::calls::in_range(ctx.req, "created_at", order.created)
        })
        .map(Order::brief)
        .collect();
    page(ctx.req, &found, 250)
}

/// Whether a reference fits the filter: whole or in part, as the account is set.
pub fn same_reference(reference: Option<&str>, wanted: &str, exact: bool) -> bool {
    reference.is_some_and(|reference| if exact { reference == wanted } else { reference.contains(wanted) })
}

/// Where an order is, or 404.
///
/// # Errors
/// 10005.
pub fn position(world: &World, find: impl Fn(&Order) -> bool) -> Result<usize, Response> {
    world.telnyx.orders.iter().position(find).ok_or_else(|| errors::not_found("The order does not exist."))
}

/// GET /number_orders/{id}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, |order| order.id == ctx.param(0))?;
    data(200, &world.telnyx.orders[place].full())
}

/// PATCH /number_orders/{id}
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let place = position(world, |order| order.id == ctx.param(0))?;
    if let Some(reference) = body.get("customer_reference").and_then(Value::as_str) {
        world.telnyx.orders[place].reference = Some(reference.to_owned());
    }
    requirements::give_values(world, place, &body, ctx.now)?;
    data(200, &world.telnyx.orders[place].full())
}
