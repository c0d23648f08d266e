//! Sub-orders: the part of an order that is of one country and type, and the only thing that can be cancelled.
//!
//! Telnyx: only the sub-order of a pending order can be cancelled, there is no cancel on the order itself; its numbers are
//! shown on request only, with the values given.

use serde_json::Value;

use super::order_items::without;
use super::orders::{Order, position};
use super::{data, errors, object, page, requirements};
use crate::sandbox::world::{Answer, Ctx, World};

/// GET /sub_number_orders
pub fn list_sub(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let found: Vec<Value> = world
        .telnyx
        .orders
        .iter()
        .rev()
        .filter(|order| ctx.req.filter("order_request_id").is_none_or(|id| order.id == id))
        .filter(|order| ctx.req.filter("status").is_none_or(|status| order.status == status))
        .filter(|order| {
            order.items.iter().any(|item| {
                ctx.req.filter("country_code").is_none_or(|country| item.offer.country == country)
                    && ctx.req.filter("phone_number_type").is_none_or(|kind| item.offer.kind == kind)
            })
        })
        .map(Order::sub)
        .collect();
    page(ctx.req, &found, 250)
}

/// GET /sub_number_orders/{id}
pub fn get_sub(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, |order| order.sub_id == ctx.param(0))?;
    let order = &world.telnyx.orders[place];
    let mut answer = order.sub();
    if ctx.req.filter("include_phone_numbers") == Some("true") {
        answer["phone_numbers"] = order.full()["phone_numbers"].clone();
    }
    data(200, &answer)
}

/// PATCH /sub_number_orders/{id}
pub fn update_sub(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let place = position(world, |order| order.sub_id == ctx.param(0))?;
    requirements::give_values(world, place, &body, ctx.now)?;
    data(200, &world.telnyx.orders[place].sub())
}

/// PATCH /sub_number_orders/{id}/cancel
pub fn cancel_sub(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, |order| order.sub_id == ctx.param(0))?;
    let order = &mut world.telnyx.orders[place];
    if !order.is_open() {
        return Err(errors::refuse(
            422,
            "10027",
            "Unprocessable entity",
            "Only a pending sub number order can be cancelled.",
        ));
    }
    order.status = "cancelled".to_owned();
    order.updated = ctx.now;
    data(200, &order.sub())
}

/// POST /sub_number_orders/{id}/requirement_group
pub fn attach_group(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let Some(group) = body.get("requirement_group_id").and_then(Value::as_str) else {
        return Err(errors::missing("requirement_group_id"));
    };
    let place = position(world, |order| order.sub_id == ctx.param(0))?;
    requirements::take_group(world, place, group, ctx.now);
    let order = &world.telnyx.orders[place];
    let mut answer = without(order.sub(), "user_id");
    let items = order.items.iter().map(|item| without(order.item(item), "country_iso_alpha2"));
    answer["phone_numbers"] = items.collect();
    data(200, &answer)
}
