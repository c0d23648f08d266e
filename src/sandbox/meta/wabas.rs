//! WABAs, their subscribed apps and the business above them.
//!
//! Meta: POST subscribed_apps is idempotent and also removes an override when it comes without one; a WABA without a
//! subscribed app delivers nothing, without an error.

use serde_json::{Value, json};

use super::analytics;
use super::errors;
use super::fields::select;
use super::{success, text};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

/// A WABA.
#[derive(Debug, Clone, Default)]
pub struct Waba {
    /// The app gets its webhooks.
    pub subscribed: bool,
    /// override_callback_uri.
    pub override_uri: Option<String>,
}

/// The business that owns a WABA.
pub fn business_of<'w>(world: &'w World, waba: &str) -> &'w str {
    world.settings.meta.wabas.get(waba).unwrap_or(&world.settings.meta.business_id)
}

/// Whether a WABA is known: it stands in the settings, or something was set up on it.
pub fn is_known(world: &World, id: &str) -> bool {
    world.settings.meta.wabas.contains_key(id) || world.meta.wabas.contains_key(id)
}

/// Whether a business is known: the one of the settings, or one that owns a WABA.
pub fn is_business(world: &World, id: &str) -> bool {
    world.settings.meta.business_id == id || world.settings.meta.wabas.values().any(|business| business == id)
}

/// The WABA of this id, which exists from now on.
pub fn named<'w>(world: &'w mut World, id: &str) -> &'w mut Waba {
    world.meta.wabas.entry(id.to_owned()).or_default()
}

/// Refuses to treat a number as a WABA.
pub fn not_a_number(world: &World, id: &str) -> Result<(), Response> {
    match world.meta.line(id) {
        Some(_) => Err(errors::invalid("Tried accessing nonexisting field on node type (WhatsAppBusinessPhoneNumber)")),
        None => Ok(()),
    }
}

/// GET /{waba}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let id = ctx.param(0).to_owned();
    let business = business_of(world, &id).to_owned();
    let verification = world.settings.meta.business_verification.clone();
    let node = json!({
        "id": id, "name": format!("WABA {id}"), "currency": "USD", "timezone_id": "51", "country": "MA",
        "message_template_namespace": world.dice.uuid("namespace", &id), "status": "ACTIVE",
        "account_review_status": world.settings.meta.account_review, "business_verification_status": verification,
        "ownership_type": "SELF_OWNED", "primary_business_location": "MA",
        "owner_business_info": {"id": business, "name": "Sandbox business"},
        "on_behalf_of_business_info": null, "marketing_messages_lite_api_status": null,
        "marketing_messages_onboarding_status": null, "disable_marketing_messages_on_cloud_api": null, "purchase_order_number": null, "is_enabled_for_insights": true,
        "health_status": {"can_send_message": "AVAILABLE", "entities": []},
        "subscribed_apps": null,
    });
    let mut node = node.as_object().cloned().unwrap_or_default();
    let analytics = analytics::of(world, &id, ctx.req.query("fields").unwrap_or(""), ctx.now)?;
    node.insert("pricing_analytics".to_owned(), analytics.unwrap_or_default());
    let default = ["id", "name", "currency", "timezone_id", "message_template_namespace"];
    let shown = select(
        &node,
        ctx.req.query("fields"),
        &default,
        &world.settings.meta.absent_fields,
        "WhatsAppBusinessAccount",
    )?;
    Ok(Response::json(200, &shown))
}

/// GET /{business}
pub fn get_business(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let node = json!({
        "id": ctx.param(0), "name": "Sandbox business", "timezone_id": 51,
        "verification_status": world.settings.meta.business_verification,
    });
    let node = node.as_object().cloned().unwrap_or_default();
    let shown =
        select(&node, ctx.req.query("fields"), &["id", "name"], &world.settings.meta.absent_fields, "Business")?;
    Ok(Response::json(200, &shown))
}

fn subscribed(world: &World, waba: &Waba) -> Value {
    if !waba.subscribed {
        return json!([]);
    }
    let app = &world.settings.meta.app_id;
    let mut item = json!({
        "whatsapp_business_api_data": {"id": app, "name": "Sandbox", "link": "https://www.facebook.com/games/?app_id=sandbox"},
    });
    if let Some(uri) = &waba.override_uri {
        item["override_callback_uri"] = Value::from(uri.as_str());
    }
    json!([item])
}

/// GET /{waba}/subscribed_apps
pub fn get_subscribed(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    not_a_number(world, ctx.param(0))?;
    let waba = named(world, ctx.param(0)).clone();
    Ok(Response::json(200, &json!({"data": subscribed(world, &waba)})))
}

/// POST /{waba}/subscribed_apps
pub fn subscribe(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    not_a_number(world, ctx.param(0))?;
    let uri = text(&ctx.req.params(), "override_callback_uri").filter(|uri| !uri.is_empty());
    if uri.as_ref().is_some_and(|uri| uri.len() > 200) {
        return Err(errors::invalid("Param override_callback_uri must be at most 200 characters long"));
    }
    let waba = named(world, ctx.param(0));
    waba.subscribed = true;
    waba.override_uri = uri;
    success()
}

/// DELETE /{waba}/subscribed_apps
pub fn unsubscribe(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    not_a_number(world, ctx.param(0))?;
    let waba = named(world, ctx.param(0));
    waba.subscribed = false;
    waba.override_uri = None;
    success()
}
