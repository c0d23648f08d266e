//! WABAs, their subscribed apps, the business above them and the app's own webhook subscription.
//!
//! Meta: POST subscribed_apps is idempotent and also removes an override when it comes without one; a WABA without a
//! subscribed app delivers nothing, without an error.

use serde_json::{Value, json};

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
    // Reading creates nothing: the id may be a business's.
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
    let node = node.as_object().cloned().unwrap_or_default();
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

const FIELDS: [&str; 11] = [
    "messages",
    "account_update",
    "account_alerts",
    "account_review_update",
    "business_capability_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "message_template_status_update",
    "template_category_update",
    "user_preferences",
];

/// GET /{app}/subscriptions
pub fn get_subscriptions(world: &mut World, _: &Ctx<'_>) -> Answer {
    let data = match &world.webhook_url {
        None => json!([]),
        Some(url) => {
            let fields: Vec<Value> = FIELDS.iter().map(|name| json!({"name": name, "version": "v25.0"})).collect();
            json!([{"object": "whatsapp_business_account", "callback_url": url, "active": true, "fields": fields}])
        }
    };
    Ok(Response::json(200, &json!({ "data": data })))
}

/// POST /{app}/subscriptions
pub fn set_subscriptions(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let params = ctx.req.params();
    if text(&params, "object").as_deref() != Some("whatsapp_business_account") {
        return Err(errors::invalid("Param object must be one of {WHATSAPP_BUSINESS_ACCOUNT}"));
    }
    let Some(url) = text(&params, "callback_url").filter(|url| !url.is_empty()) else {
        return Err(errors::invalid("The parameter callback_url is required"));
    };
    world.webhook_url = Some(url);
    success()
}
