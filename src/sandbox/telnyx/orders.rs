//! Number orders: accepted at once, effective later, and only for what a recent search has returned.
//!
//! Telnyx: 200 with status pending; 85000 without a search; 409/85001 when the number is gone, also when we ourselves
//! just bought it; 20100 without money; 85004 for an unknown connection. An order that needs documents stays pending
//! until they are there. The ledger is written when an order takes effect, not when it is accepted.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::numbers::Number;
use super::search::Offer;
use super::{account, data, errors, object, page, set_only, sub_orders, time};
use crate::domain::{E164, Usd};
use crate::sandbox::http::{Response, digits};
use crate::sandbox::ledger;
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
    /// When it takes effect; None while it waits for documents.
    pub due: Option<Timestamp>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it changed.
    pub updated: Timestamp,
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
        all["phone_numbers"] = self
            .items
            .iter()
            .map(|item| {
                json!({
                    "id": item.id, "record_type": "number_order_phone_number", "phone_number": item.e164,
                    "phone_number_type": item.offer.kind, "country_code": item.offer.country,
                    "country_iso_alpha2": item.offer.country, "requirements_met": self.met,
                    "requirements_status": self.requirements_status(), "status": self.status,
                    "regulatory_requirements": self.requirements,
                })
            })
            .collect();
        all
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
        set_only(json!({
            "id": self.sub_id, "order_request_id": self.id, "record_type": "sub_number_order", "status": self.status,
            "country_code": first.map(|offer| offer.country.as_str()),
            "phone_number_type": first.map(|offer| offer.kind.as_str()), "phone_numbers_count": self.items.len(),
            "requirements_met": self.met, "regulatory_requirements": self.requirements,
            "customer_reference": self.reference, "is_block_sub_number_order": false,
            "user_id": "d70873cd-7c98-401a-81b6-b1ae08246995",
            "created_at": time(self.created), "updated_at": time(self.updated),
        }))
    }
}

/// POST /number_orders
pub fn create(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let wanted = body.get("phone_numbers").and_then(Value::as_array).cloned().unwrap_or_default();
    if wanted.is_empty() {
        return Err(errors::missing("phone_numbers"));
    }
    let connection = text("connection_id");
    if let Some(id) = &connection
        && !world.telnyx.applications.iter().any(|app| app.id == *id)
    {
        return Err(errors::refuse(422, "85004", "Invalid connection id", "The connection does not exist."));
    }
    let mut items = Vec::new();
    for (place, wish) in wanted.iter().enumerate() {
        let e164 = wish.get("phone_number").and_then(Value::as_str).unwrap_or("");
        let offer = orderable(world, ctx.now, e164, &format!("/phone_numbers/{place}"))?;
        if items.iter().any(|item: &Item| item.e164 == e164) {
            return Err(errors::at(
                422,
                "10012",
                "Duplicate resource",
                "The number is in the order twice.",
                "/phone_numbers",
            ));
        }
        items.push(Item { id: String::new(), e164: e164.to_owned(), offer });
    }
    let price =
        items.iter().fold(Usd::default(), |sum, item| sum + item.offer.price.upfront + item.offer.price.monthly);
    if account::available(world) < price {
        let status = world.settings.telnyx.no_funds_status;
        return Err(errors::refuse(
            status,
            "20100",
            "Insufficient funds",
            "You do not have enough funds for this order.",
        ));
    }
    for item in &mut items {
        item.id = world.uuid("order.item");
    }
    let requirements = needed(world, &items[0].offer);
    let grouped = wanted.iter().all(|wish| wish.get("requirement_group_id").is_some_and(Value::is_string));
    let met = requirements.is_empty() || grouped;
    let due = if met { Some(due(world, ctx.now)) } else { None };
    let (id, sub_id) = (world.uuid("order"), world.uuid("suborder"));
    let order = Order {
        id,
        sub_id,
        items,
        reference: text("customer_reference"),
        connection,
        status: "pending".to_owned(),
        requirements,
        met,
        due,
        created: ctx.now,
        updated: ctx.now,
    };
    let answer = order.full();
    world.telnyx.orders.push(order);
    data(200, &answer)
}

/// When an order that is accepted now takes effect.
pub fn due(world: &mut World, now: Timestamp) -> Timestamp {
    let set = world.settings.telnyx.order_delay_ms;
    world.later(now, set, 3_000, "order.delay")
}

fn orderable(world: &World, now: Timestamp, e164: &str, pointer: &str) -> Result<Offer, Response> {
    if E164::parse(e164).is_err() {
        return Err(errors::at(
            422,
            "10016",
            "Phone number must be in +E164 format",
            "The phone number is not valid.",
            pointer,
        ));
    }
    let gone = world.settings.telnyx.taken.iter().any(|taken| digits(taken) == digits(e164))
        || world.telnyx.numbers.iter().any(|number| number.e164 == e164 && number.deleted_at.is_none())
        || world.telnyx.orders.iter().any(|order| order.is_open() && order.contains(e164));
    let window = jiff::SignedDuration::from_secs(world.settings.telnyx.search_window_s);
    let offer = world.telnyx.offers.get(e164).filter(|offer| now.duration_since(offer.at) <= window);
    match offer {
        _ if gone => Err(errors::at(
            409,
            "85001",
            "Numbers no longer available",
            "The phone number is no longer available.",
            pointer,
        )),
        None => Err(errors::at(
            400,
            "85000",
            "You must search for numbers first",
            "Order a number that a recent search returned.",
            pointer,
        )),
        Some(offer) => Ok(offer.clone()),
    }
}

fn needed(world: &World, offer: &Offer) -> Vec<Value> {
    let key = format!("{}/{}", offer.country, offer.kind);
    world.settings.telnyx.requirements.get(&key).cloned().unwrap_or_default()
}

/// Lets orders whose time has come take effect.
pub fn advance(world: &mut World, now: Timestamp) {
    let result = world.settings.telnyx.order_result.clone();
    if result == "pending" {
        return;
    }
    for place in 0..world.telnyx.orders.len() {
        let order = &mut world.telnyx.orders[place];
        if !order.is_open() || order.due.is_none_or(|due| due > now) {
            continue;
        }
        order.status.clone_from(&result);
        order.updated = now;
        if result == "success" {
            let order = order.clone();
            deliver(world, &order, now);
        }
    }
}

/// Decides a pending order by hand, as Telnyx's staff would.
pub fn decide(world: &mut World, id: &str, status: &str, now: Timestamp) -> bool {
    let Some(order) = world.telnyx.orders.iter_mut().find(|order| order.id == id && order.is_open()) else {
        return false;
    };
    order.status = status.to_owned();
    order.updated = now;
    order.met |= status == "success";
    if status == "success" {
        let order = order.clone();
        deliver(world, &order, now);
    }
    true
}

fn deliver(world: &mut World, order: &Order, now: Timestamp) {
    for item in &order.items {
        let lag = world.settings.telnyx.list_lag_ms;
        let visible = world.later(now, lag, 2_000, "number.lag");
        let reference = order.reference.clone().filter(|_| world.settings.telnyx.copy_reference);
        let id = world.numeric(19, "number");
        let price = item.offer.price;
        world.telnyx.numbers.push(Number {
            connection: order.connection.clone(),
            reference,
            ..Number::new(id, &item.e164, &item.offer, now, visible)
        });
        for (kind, usd) in [(ledger::Kind::Order, price.upfront), (ledger::Kind::RentStart, price.monthly)] {
            world.ledger.enter(ledger::Entry {
                n: 0,
                time: now,
                kind,
                phone_number: item.e164.clone(),
                customer_reference: order.reference.clone(),
                order_id: Some(order.id.clone()),
                usd,
            });
        }
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
    sub_orders::give_values(world, place, &body, ctx.now)?;
    data(200, &world.telnyx.orders[place].full())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::ledger::Kind;
    use crate::sandbox::testing::Asked;

    const SEARCH: &str =
        "/v2/available_phone_numbers?filter[country_code]=MA&filter[phone_number_type]=mobile&filter[limit]=3";

    fn offered(asked: &mut Asked) -> String {
        let (status, answer) = asked.telnyx("GET", SEARCH, json!(null));
        assert_eq!(status, 200);
        answer["data"][0]["phone_number"].as_str().expect("a number").to_owned()
    }

    fn order(number: &str) -> serde_json::Value {
        json!({"phone_numbers": [{"phone_number": number}], "customer_reference": "prod/clients/atlas"})
    }

    #[test]
    fn an_order_is_pending_first_and_costs_when_it_takes_effect() {
        let mut asked = Asked::new();
        let number = offered(&mut asked);
        let (status, answer) = asked.telnyx("POST", "/number_orders", order(&number));
        assert_eq!((status, answer["data"]["status"].as_str()), (200, Some("pending")));
        assert!(asked.world.ledger.entries().is_empty());
        let id = answer["data"]["id"].as_str().expect("an id").to_owned();
        let (_, answer) = asked.telnyx("GET", &format!("/v2/number_orders/{id}"), json!(null));
        assert_eq!(answer["data"]["status"], "success");
        let kinds: Vec<Kind> = asked.world.ledger.entries().iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Order, Kind::RentStart]);
        assert_eq!(asked.world.ledger.entries()[0].customer_reference.as_deref(), Some("prod/clients/atlas"));
        let path = format!("/v2/phone_numbers?filter[phone_number]={}", &number[1..]);
        let (_, answer) = asked.telnyx("GET", &path, json!(null));
        assert_eq!(answer["data"][0]["phone_number"].as_str(), Some(number.as_str()));
        // The reference is on the order, not on the number, unless the account copies it.
        assert!(answer["data"][0]["customer_reference"].is_null());
        let (_, answer) =
            asked.telnyx("GET", "/v2/number_orders?filter[customer_reference]=prod/clients/atlas", json!(null));
        assert_eq!(answer["meta"]["total_results"], 1);
        let (_, answer) = asked.telnyx("GET", "/v2/balance", json!(null));
        assert_eq!(answer["data"]["available_credit"], "97.90");
    }

    #[test]
    fn what_cant_be_ordered_is_refused_by_its_code() {
        let mut asked = Asked::new();
        let number = offered(&mut asked);
        let unsearched = super::super::search::number(&asked.world.dice, "MA", "local", 5).expect("a number");
        let with_connection = json!({"phone_numbers": [{"phone_number": number}], "connection_id": "1"});
        let cases = [
            (order(&unsearched), 400, "85000"),
            (order("0612345678"), 422, "10016"),
            (json!({"phone_numbers": []}), 400, "10004"),
            (json!([]), 400, "10015"),
            (with_connection, 422, "85004"),
        ];
        for (body, status, code) in cases {
            assert_eq!(
                asked.telnyx_error("POST", "/v2/number_orders", body.clone()),
                (status, code.to_owned()),
                "{body}"
            );
        }
        // Too late: an offer is good for a day.
        asked.later(86_401);
        assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (400, "85000".to_owned()));
        offered(&mut asked);
        asked.change(json!({"telnyx": {"taken": [number]}}));
        assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (409, "85001".to_owned()));
        asked.change(json!({"telnyx": {"taken": [], "balance": "1.00"}}));
        assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (402, "20100".to_owned()));
        assert!(asked.world.telnyx.orders.is_empty());
    }

    #[test]
    fn a_number_is_sold_once_also_to_ourselves() {
        let mut asked = Asked::new();
        let number = offered(&mut asked);
        assert_eq!(asked.telnyx("POST", "/number_orders", order(&number)).0, 200);
        assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (409, "85001".to_owned()));
        asked.later(1);
        assert_eq!(asked.telnyx_error("POST", "/number_orders", order(&number)), (409, "85001".to_owned()));
        assert_ne!(offered(&mut asked), number);
    }

    #[test]
    fn the_same_seed_offers_the_same_numbers_and_no_coverage_is_told() {
        let (mut one, mut other) = (Asked::new(), Asked::new());
        assert_eq!(one.telnyx("GET", SEARCH, json!(null)), other.telnyx("GET", SEARCH, json!(null)));
        let (_, answer) = one.telnyx("GET", "/country_coverage/countries/MA", json!(null));
        assert_eq!(answer["data"]["numbers"], true);
        one.change(json!({"telnyx": {"coverage": {"MA": []}, "no_coverage_status": 404}}));
        assert_eq!(one.telnyx_error("GET", SEARCH, json!(null)), (404, "10015".to_owned()));
        let (_, answer) = one.telnyx("GET", "/country_coverage/countries/MA", json!(null));
        assert_eq!((&answer["data"]["numbers"], &answer["data"]["mobile"]), (&json!(false), &json!({})));
    }

    #[test]
    fn all_made_up_numbers_are_good_ones() {
        let asked = Asked::new();
        for kind in ["mobile", "national", "local"] {
            for place in 0..100 {
                let number = super::super::search::number(&asked.world.dice, "MA", kind, place).expect("a number");
                assert!(crate::domain::E164::parse(&number).is_ok(), "{number}");
                let parsed = phonenumber::parse(None, &number).expect("parsed");
                assert!(parsed.is_valid(), "{kind} {number}");
            }
        }
    }

    #[test]
    fn an_order_with_requirements_waits_for_them_and_can_be_cancelled() {
        let mut asked = Asked::new();
        asked.change(
            json!({"telnyx": {"requirements": {"MA/mobile": [{"requirement_id": "r1", "field_type": "document"}]}}}),
        );
        let number = offered(&mut asked);
        let (_, answer) = asked.telnyx("POST", "/number_orders", order(&number));
        assert_eq!(answer["data"]["requirements_met"], false);
        assert_eq!(answer["data"]["phone_numbers"][0]["requirements_status"], "requirement-info-pending");
        let id = answer["data"]["id"].as_str().expect("an id").to_owned();
        let sub = answer["data"]["sub_number_orders_ids"][0].as_str().expect("an id").to_owned();
        asked.later(3_600);
        assert_eq!(asked.telnyx("GET", &format!("/number_orders/{id}"), json!(null)).1["data"]["status"], "pending");
        let values = json!({"regulatory_requirements": [{"requirement_id": "r1", "field_value": "doc"}]});
        assert_eq!(asked.telnyx("PATCH", &format!("/number_orders/{id}"), values).0, 200);
        assert_eq!(asked.telnyx("GET", &format!("/number_orders/{id}"), json!(null)).1["data"]["status"], "success");
        assert_eq!(asked.telnyx_error("PATCH", &format!("/sub_number_orders/{sub}/cancel"), json!({})).0, 422);

        let second = offered(&mut asked);
        let (_, answer) = asked.telnyx("POST", "/number_orders", order(&second));
        let sub = answer["data"]["sub_number_orders_ids"][0].as_str().expect("an id").to_owned();
        let (status, answer) = asked.telnyx("PATCH", &format!("/sub_number_orders/{sub}/cancel"), json!({}));
        assert_eq!((status, answer["data"]["status"].as_str()), (200, Some("cancelled")));
        assert_eq!(offered(&mut asked), second);
    }
}
