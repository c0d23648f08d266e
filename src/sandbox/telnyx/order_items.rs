//! The numbers of orders one by one: the only place where an order's deadline is shown.
//!
//! Telnyx: an item's id is not the number's id; values and groups can be given to an item as to its sub-order.

use serde_json::Value;

use super::orders::{Item, Order};
use super::{data, errors, object, page, requirements, set_only, time};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

fn view(order: &Order, item: &Item) -> Value {
    let mut all = order.item(item);
    all["order_request_id"] = Value::from(order.id.as_str());
    all["sub_number_order_id"] = Value::from(order.sub_id.as_str());
    all["deadline"] = order.deadline.map_or(Value::Null, time);
    all["is_block_number"] = Value::from(false);
    without(set_only(all), "country_iso_alpha2")
}

/// An object without one of its fields: the file gives an item fewer fields here than in its order.
pub fn without(mut item: Value, field: &str) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.remove(field);
    }
    item
}

/// Where an item is: its order and its place in that, or 404.
fn position(world: &World, id: &str) -> Result<(usize, usize), Response> {
    let found = world.telnyx.orders.iter().enumerate().find_map(|(place, order)| {
        let item = order.items.iter().position(|item| item.id == id)?;
        Some((place, item))
    });
    found.ok_or_else(|| errors::not_found("The number order phone number does not exist."))
}

fn shown(world: &World, (order, item): (usize, usize)) -> Answer {
    let order = &world.telnyx.orders[order];
    data(200, &view(order, &order.items[item]))
}

/// GET /number_order_phone_numbers
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let country = ctx.req.filter("country_code");
    let items = world.telnyx.orders.iter().rev().flat_map(|order| order.items.iter().map(move |item| (order, item)));
    let found: Vec<Value> = items
        .filter(|(_, item)| country.is_none_or(|country| item.offer.country == country))
        .map(|(order, item)| view(order, item))
        .collect();
    page(ctx.req, &found, 250)
}

/// GET /number_order_phone_numbers/{id}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    shown(world, place)
}

/// PATCH /number_order_phone_numbers/{id}
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let place = position(world, ctx.param(0))?;
    requirements::give_values(world, place.0, &body, ctx.now)?;
    shown(world, place)
}

/// POST /number_order_phone_numbers/{id}/requirement_group
pub fn attach_group(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let Some(group) = body.get("requirement_group_id").and_then(Value::as_str) else {
        return Err(errors::missing("requirement_group_id"));
    };
    let place = position(world, ctx.param(0))?;
    requirements::take_group(world, place.0, group, ctx.now);
    shown(world, place)
}
