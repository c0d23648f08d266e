//! What an order needs before it takes effect: which values, who gives them, what happens at the deadline.
//!
//! Telnyx: an order without its documents stays pending and is cancelled at its deadline, which is erased once all is
//! there; values for satisfied requirements are refused with 85003; a group gives all its values at once, if approved.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fulfilment::due;
use super::{data, errors};
use crate::sandbox::http::{Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

/// What numbers of this country and type need, as orders show it.
pub fn needed(world: &World, country: &str, kind: &str) -> Vec<Value> {
    world.settings.telnyx.requirements.get(&format!("{country}/{kind}")).cloned().unwrap_or_default()
}

/// Fills in the values of `given` whose requirement is among `known`.
pub fn fill(known: &mut [Value], given: &[Value]) {
    for value in given.iter().filter(|value| value["field_value"].is_string()) {
        if let Some(known) = known.iter_mut().find(|known| known["requirement_id"] == value["requirement_id"]) {
            known["field_value"] = value["field_value"].clone();
        }
    }
}

/// Whether each has its value.
pub fn complete(known: &[Value]) -> bool {
    known.iter().all(|known| known["field_value"].is_string())
}

/// Takes values for open requirements of an order; with the last one the order goes on.
///
/// # Errors
/// 85003 when nothing is open.
pub fn give_values(world: &mut World, place: usize, body: &Map<String, Value>, now: Timestamp) -> Result<(), Response> {
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
    fill(&mut order.requirements, values);
    if complete(&order.requirements) {
        satisfied(world, place, now);
    }
    Ok(())
}

/// Attaches a group to an order. A group that the sandbox does not know is one that somebody made in the portal and that
/// was approved there; a known one counts by its own status.
pub fn take_group(world: &mut World, place: usize, group: &str, now: Timestamp) {
    let known = world.telnyx.groups.iter().find(|known| known.id == group);
    let approved = known.is_none_or(|known| known.status == "approved");
    let values = known.map(|known| known.requirements.clone()).unwrap_or_default();
    let order = &mut world.telnyx.orders[place];
    fill(&mut order.requirements, &values);
    if approved && order.is_open() && !order.met {
        satisfied(world, place, now);
    }
}

fn satisfied(world: &mut World, place: usize, now: Timestamp) {
    let first = world.telnyx.orders[place].items.first().map(|item| item.e164.clone()).unwrap_or_default();
    let when = due(world, now, &first);
    let order = &mut world.telnyx.orders[place];
    order.met = true;
    order.deadline = None;
    order.due = Some(when);
    order.updated = now;
}

/// GET /regulatory_requirements: not paged, says the file.
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let req = ctx.req;
    let mut country = req.filter("country_code").map(str::to_owned);
    let mut kind = req.filter("phone_number_type").map(str::to_owned);
    if let Some(number) = req.filter("phone_number").map(digits) {
        let offer = world.telnyx.offers.iter().find(|(e164, _)| digits(e164) == number).map(|(_, offer)| offer);
        let owned = world.telnyx.numbers.iter().find(|owned| digits(&owned.e164) == number);
        let of = owned.map(|n| (&n.country, &n.kind)).or(offer.map(|offer| (&offer.country, &offer.kind)));
        let Some((of, is)) = of else { return data(200, &json!([])) };
        (country, kind) = (Some(of.clone()), Some(is.clone()));
    }
    if let Some(id) = req.filter("requirement_group_id") {
        let Some(group) = world.telnyx.groups.iter().find(|group| group.id == id) else {
            return data(200, &json!([]));
        };
        (country, kind) = (Some(group.country.clone()), Some(group.kind.clone()));
    }
    if req.filter("action").is_some_and(|action| action != "ordering") {
        return data(200, &json!([]));
    }
    let found = world.settings.telnyx.requirements.iter().filter_map(|(key, needed)| {
        let (of, is) = key.split_once('/')?;
        let fits =
            country.as_deref().is_none_or(|wanted| wanted == of) && kind.as_deref().is_none_or(|wanted| wanted == is);
        fits.then(|| {
            let list: Vec<Value> = needed.iter().map(rule).collect();
            json!({"country_code": of, "phone_number_type": is, "action": "ordering", "regulatory_requirements": list})
        })
    });
    data(200, &found.collect())
}

/// One requirement as it is described; the setting may name and describe it.
fn rule(one: &Value) -> Value {
    let text = |name: &str, else_: &str| one[name].as_str().unwrap_or(else_).to_owned();
    let kind = text("field_type", "textual");
    let criteria = match kind.as_str() {
        "textual" => json!({"min_length": "2", "max_length": "100"}),
        _ => json!({"time_limit": "Less than 3 months old"}),
    };
    json!({
        "id": one["requirement_id"], "field_type": kind, "name": text("name", "Proof of identity"),
        "description": text("description", "Copy of an identity card or of the commercial register"),
        "example": text("example", "a PDF file"), "acceptance_criteria": criteria,
    })
}
