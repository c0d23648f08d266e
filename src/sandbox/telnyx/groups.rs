//! Requirement groups: values handed in once, approved by a person, used by many orders.
//!
//! Telnyx: answers come without `data`, the list is a bare array; a new group is unapproved until it is submitted and
//! looked at; a change makes it unapproved again; some countries know no approval before an order.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{errors, object, requirements, set_only, time};
use crate::sandbox::delays;
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

/// A group.
#[derive(Debug, Clone)]
pub struct Group {
    /// UUID.
    pub id: String,
    /// Country.
    pub country: String,
    /// Type of number.
    pub kind: String,
    /// ordering or porting.
    pub action: String,
    /// As the client named it.
    pub reference: Option<String>,
    /// unapproved, pending-approval, approved.
    pub status: String,
    /// What is asked for, with the values given.
    pub requirements: Vec<Value>,
    /// When a submitted group is approved.
    pub due: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed.
    pub updated: Timestamp,
}

impl Group {
    fn view(&self) -> Value {
        let values: Vec<Value> = self
            .requirements
            .iter()
            .map(|one| {
                set_only(json!({
                    "requirement_id": one["requirement_id"], "field_type": one["field_type"],
                    "field_value": one["field_value"], "status": self.status,
                    "created_at": time(self.created), "updated_at": time(self.updated),
                }))
            })
            .collect();
        set_only(json!({
            "id": self.id, "record_type": "requirement_group", "status": self.status, "country_code": self.country,
            "phone_number_type": self.kind, "action": self.action, "customer_reference": self.reference,
            "regulatory_requirements": values, "created_at": time(self.created), "updated_at": time(self.updated),
        }))
    }
}

fn values(body: &Map<String, Value>) -> Vec<Value> {
    body.get("regulatory_requirements").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// POST /requirement_groups
pub fn create(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let needed = |name: &str| text(name).ok_or_else(|| errors::missing(name));
    let (country, kind, action) = (needed("country_code")?, needed("phone_number_type")?, needed("action")?);
    if !["ordering", "porting"].contains(&action.as_str()) {
        return Err(errors::at(422, "10032", "Invalid enum value", "Must be one of ordering, porting.", "/action"));
    }
    let mut requirements = requirements::needed(world, &country, &kind);
    requirements::fill(&mut requirements, &values(&body));
    let group = Group {
        id: world.uuid_of("requirement_group", &text("customer_reference").unwrap_or_default()),
        country,
        kind,
        action,
        reference: text("customer_reference"),
        status: "unapproved".to_owned(),
        requirements,
        due: None,
        created: ctx.now,
        updated: ctx.now,
    };
    let answer = group.view();
    world.telnyx.groups.push(group);
    Ok(Response::json(200, &answer))
}

/// GET /requirement_groups: a bare array, not paged.
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let is = |name: &str, value: &str| ctx.req.filter(name).is_none_or(|wanted| wanted == value);
    let found: Vec<Value> = world
        .telnyx
        .groups
        .iter()
        .filter(|group| is("country_code", &group.country) && is("phone_number_type", &group.kind))
        .filter(|group| is("action", &group.action) && is("status", &group.status))
        .filter(|group| is("customer_reference", group.reference.as_deref().unwrap_or("")))
        .map(Group::view)
        .collect();
    Ok(Response::json(200, &Value::from(found)))
}

fn position(world: &World, id: &str) -> Result<usize, Response> {
    let found = world.telnyx.groups.iter().position(|group| group.id == id);
    found.ok_or_else(|| errors::not_found("The requirement group does not exist."))
}

/// GET /requirement_groups/{id}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    Ok(Response::json(200, &world.telnyx.groups[place].view()))
}

/// PATCH /requirement_groups/{id}
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let place = position(world, ctx.param(0))?;
    let group = &mut world.telnyx.groups[place];
    if let Some(reference) = body.get("customer_reference").and_then(Value::as_str) {
        group.reference = Some(reference.to_owned());
    }
    let values = values(&body);
    if !values.is_empty() {
        requirements::fill(&mut group.requirements, &values);
        (group.status, group.due) = ("unapproved".to_owned(), None);
    }
    group.updated = ctx.now;
    Ok(Response::json(200, &group.view()))
}

/// DELETE /requirement_groups/{id}
pub fn delete(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    let gone = world.telnyx.groups.remove(place);
    Ok(Response::json(200, &gone.view()))
}

/// POST /requirement_groups/{id}/submit_for_approval
pub fn submit(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    let group = &world.telnyx.groups[place];
    if group.country == "IT" {
        return Err(unprocessable("Requirement groups of this country are not approved before an order."));
    }
    if !requirements::complete(&group.requirements) {
        return Err(unprocessable("All requirements need a value before the group is submitted."));
    }
    let set = world.settings.telnyx.order_delay_ms;
    let due = world.later_of(ctx.now, set, delays::APPROVAL, ctx.param(0));
    let group = &mut world.telnyx.groups[place];
    (group.status, group.due, group.updated) = ("pending-approval".to_owned(), Some(due), ctx.now);
    Ok(Response::json(200, &group.view()))
}

fn unprocessable(detail: &str) -> Response {
    errors::refuse(422, "10027", "Unprocessable entity", detail)
}

/// Approves what was submitted and whose time has come.
pub fn advance(world: &mut World, now: Timestamp) {
    for group in &mut world.telnyx.groups {
        if group.due.is_some_and(|due| due <= now) {
            (group.status, group.due, group.updated) = ("approved".to_owned(), None, now);
        }
    }
}
