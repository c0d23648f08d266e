//! POST /number_orders: accepted at once, and only for what a recent search has returned.
//!
//! Telnyx: 200 with status pending; 85000 without a search; 409/85001 when the number is gone, also when we ourselves
//! just bought it; 20100 without money; 85004 for an unknown connection.

use jiff::Timestamp;
use serde_json::Value;

use super::groups::Group;
use super::orders::{Item, Order};
use super::search::Offer;
use super::{account, data, errors, fulfilment, object, requirements};
use crate::domain::{E164, Usd};
use crate::sandbox::delays;
use crate::sandbox::http::{Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

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
        item.id = world.uuid_of("order.item", &item.e164);
    }
    let mut requirements = requirements::needed(world, &items[0].offer.country, &items[0].offer.kind);
    let groups: Vec<&str> = wanted.iter().filter_map(|wish| wish.get("requirement_group_id")?.as_str()).collect();
    let (values, approved) = grouped(world, &groups);
    requirements::fill(&mut requirements, &values);
    let met = requirements.is_empty() || (approved && groups.len() == wanted.len());
    let first = items[0].e164.clone();
    let due = if met { Some(fulfilment::due(world, ctx.now, &first)) } else { None };
    let patience = jiff::SignedDuration::from_secs(world.settings.telnyx.requirement_deadline_s);
    let deadline = if met { None } else { ctx.now.checked_add(patience).ok() };
    let (id, sub_id) = (world.uuid_of("order", &first), world.uuid_of("suborder", &first));
    let lag = world.settings.telnyx.order_list_lag_ms;
    let visible = world.later_of(ctx.now, lag, delays::ORDER_LIST, &first);
    let order = Order {
        id,
        sub_id,
        items,
        reference: text("customer_reference"),
        connection,
        status: "pending".to_owned(),
        requirements,
        met,
        deadline,
        due,
        created: ctx.now,
        updated: ctx.now,
        visible,
    };
    let answer = order.full();
    world.telnyx.orders.push(order);
    data(200, &answer)
}

/// The values of groups that an order names, and whether all are approved; a group that is not known here is one that
/// somebody made in the portal and that was approved there.
fn grouped(world: &World, ids: &[&str]) -> (Vec<Value>, bool) {
    let known: Vec<&Group> = world.telnyx.groups.iter().filter(|group| ids.contains(&group.id.as_str())).collect();
    let values = known.iter().flat_map(|group| group.requirements.clone()).collect();
    (values, known.iter().all(|group| group.status == "approved"))
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
