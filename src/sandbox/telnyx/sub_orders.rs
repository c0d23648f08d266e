//! Sub-orders and what an order needs before it takes effect: documents, values, a requirement group.
//!
//! Telnyx: an order without its documents stays pending; only the sub-order of a pending order can be cancelled, there
//! is no cancel on the order itself; values for satisfied requirements are refused with 85003.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fulfilment::due;
use super::orders::{Order, position};
use super::{data, errors, object, page};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

/// Takes values for open requirements; with the last one the order goes on.
///
/// # Errors
/// 85003 when nothing is open.
pub fn give_values(
    world: &mut World,
    place: usize,
    body: &serde_json::Map<String, Value>,
    now: Timestamp,
) -> Result<(), Response> {
    let Some(values) = body.get("regulatory_requirements").and_then(Value::as_array) else { return Ok(()) };
    let order = &mut world.telnyx.orders[place];
    if order.met {
        return Err(errors::refuse(
            422,
            "85003",
            "Requirements already satisfied",
            "The order has no open requirements.",
        ));
    }
    for given in values {
        if let Some(known) =
            order.requirements.iter_mut().find(|known| known["requirement_id"] == given["requirement_id"])
        {
            known["field_value"] = given["field_value"].clone();
        }
    }
    if order.requirements.iter().all(|known| known["field_value"].is_string()) {
        satisfied(world, place, now);
    }
    Ok(())
}

fn satisfied(world: &mut World, place: usize, now: Timestamp) {
    let when = due(world, now);
    let order = &mut world.telnyx.orders[place];
    order.met = true;
    order.due = Some(when);
    order.updated = now;
}

/// GET /sub_number_orders
pub fn list_sub(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let found: Vec<Value> = world
        .telnyx
        .orders
        .iter()
        .rev()
        .filter(|order| ctx.req.filter("order_request_id").is_none_or(|id| order.id == id))
        .filter(|order| ctx.req.filter("status").is_none_or(|status| order.status == status))
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
    give_values(world, place, &body, ctx.now)?;
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
    if !body.get("requirement_group_id").is_some_and(Value::is_string) {
        return Err(errors::missing("requirement_group_id"));
    }
    let place = position(world, |order| order.sub_id == ctx.param(0))?;
    if !world.telnyx.orders[place].met {
        satisfied(world, place, ctx.now);
    }
    data(200, &world.telnyx.orders[place].sub())
}

/// GET /regulatory_requirements
pub fn requirements(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let (country, kind) = (ctx.req.filter("country_code").unwrap_or("MA"), ctx.req.filter("phone_number_type"));
    let found: Vec<Value> = world
        .settings
        .telnyx
        .requirements
        .iter()
        .filter_map(|(key, needed)| {
            let (of, kind_of) = key.split_once('/')?;
            (of == country && kind.is_none_or(|kind| kind == kind_of)).then(|| {
                let list: Vec<Value> = needed
                    .iter()
                    .map(|one| {
                        let name = one["name"].as_str().unwrap_or("Proof of identity");
                        json!({"id": one["requirement_id"], "field_type": one["field_type"], "name": name})
                    })
                    .collect();
                json!({"country_code": of, "phone_number_type": kind_of, "action": "ordering", "regulatory_requirements": list})
            })
        })
        .collect();
    // Not paged, says the file.
    data(200, &Value::from(found))
}
