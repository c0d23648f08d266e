//! TeXML applications: the document that answers the numbers attached to one.
//!
//! Telnyx: created with 201 (all else answers 200); voice_method is post unless said otherwise.

use serde_json::{Value, json};

use super::{data, errors, object, page, time};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

/// An application.
#[derive(Debug, Clone)]
pub struct Application {
    /// Numeric id, the numbers' connection_id.
    pub id: String,
    /// All fields as they are shown.
    pub fields: Value,
}

impl Application {
    /// Where its document is, and how it is fetched.
    pub fn voice(&self) -> (&str, &str, Option<&str>) {
        let text = |name: &str| self.fields[name].as_str().unwrap_or("");
        let fallback = Some(text("voice_fallback_url")).filter(|url| !url.is_empty());
        (text("voice_url"), text("voice_method"), fallback)
    }
}

const CHANGEABLE: [&str; 14] = [
    "friendly_name",
    "voice_url",
    "voice_method",
    "voice_fallback_url",
    "status_callback",
    "status_callback_method",
    "active",
    "tags",
    "inbound",
    "outbound",
    "anchorsite_override",
    "dtmf_type",
    "first_command_timeout",
    "first_command_timeout_secs",
];

fn check(body: &serde_json::Map<String, Value>) -> Result<(), Response> {
    for name in ["voice_method", "status_callback_method"] {
        if body.get(name).is_some_and(|value| !matches!(value.as_str(), Some("get" | "post"))) {
            return Err(errors::at(
                422,
                "10032",
                "Invalid enum value",
                "Must be one of get, post.",
                &format!("/{name}"),
            ));
        }
    }
    let url = body.get("voice_url").and_then(Value::as_str);
    if url.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(errors::at(422, "10015", "Bad Request", "voice_url must be a URL.", "/voice_url"));
    }
    Ok(())
}

/// POST /texml_applications
pub fn create(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    for name in ["friendly_name", "voice_url"] {
        if body.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(errors::at(
                422,
                "10004",
                "Missing required parameter",
                &format!("{name} is required."),
                &format!("/{name}"),
            ));
        }
    }
    check(&body)?;
    let name = body.get("friendly_name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = world.numeric_of(19, "application", &name);
    let mut fields = json!({
        "id": id, "record_type": "texml_application", "active": true, "friendly_name": "", "voice_url": "",
        "voice_method": "post", "status_callback_method": "post",
        "anchorsite_override": "Latency", "dtmf_type": "RFC 2833", "first_command_timeout": false,
        "first_command_timeout_secs": 30, "call_cost_in_webhooks": false, "tags": [], "inbound": {}, "outbound": {},
        "created_at": time(ctx.now), "updated_at": time(ctx.now),
    });
    change(&mut fields, body);
    world.telnyx.applications.push(Application { id, fields: fields.clone() });
    data(201, &fields)
}

fn change(fields: &mut Value, body: serde_json::Map<String, Value>) {
    for (key, value) in body {
        if CHANGEABLE.contains(&key.as_str()) {
            fields[key] = value;
        }
    }
}

/// GET /texml_applications
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let part = ctx.req.filter_op("friendly_name", "contains").or(ctx.req.filter("friendly_name"));
    let found: Vec<Value> = world
        .telnyx
        .applications
        .iter()
        .rev()
        .filter(|app| part.is_none_or(|part| app.fields["friendly_name"].as_str().unwrap_or("").contains(part)))
        .map(|app| app.fields.clone())
        .collect();
    page(ctx.req, &found, 250)
}

fn position(world: &World, id: &str) -> Result<usize, Response> {
    let found = world.telnyx.applications.iter().position(|app| app.id == id);
    found.ok_or_else(|| errors::not_found("The application does not exist."))
}

/// GET /texml_applications/{id}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    data(200, &world.telnyx.applications[place].fields)
}

/// PATCH /texml_applications/{id}
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    check(&body)?;
    let place = position(world, ctx.param(0))?;
    let fields = &mut world.telnyx.applications[place].fields;
    change(fields, body);
    fields["updated_at"] = time(ctx.now);
    data(200, fields)
}

/// DELETE /texml_applications/{id}
pub fn delete(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    let gone = world.telnyx.applications.remove(place);
    data(200, &gone.fields)
}
