//! The business profile of a number.
//!
//! Meta: about at most 139 characters, description and address 512 and 256, email 128, two websites; sources differ on
//! the answer's shape (flat in the SDKs, nested in the OpenAPI file), so both can be set.

use serde_json::{Value, json};

use super::{errors, success, text};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

const LIMITS: [(&str, usize); 4] = [("about", 139), ("address", 256), ("description", 512), ("email", 128)];

const VERTICALS: [&str; 22] = [
    "UNDEFINED",
    "OTHER",
    "AUTO",
    "BEAUTY",
    "APPAREL",
    "EDU",
    "ENTERTAIN",
    "EVENT_PLAN",
    "FINANCE",
    "GROCERY",
    "GOVT",
    "HOTEL",
    "HEALTH",
    "NONPROFIT",
    "PROF_SERVICES",
    "RETAIL",
    "TRAVEL",
    "RESTAURANT",
    "ALCOHOL",
    "ONLINE_GAMBLING",
    "PHYSICAL_GAMBLING",
    "OTC_DRUGS",
];

/// GET /{number}/whatsapp_business_profile
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let mut profile = json!({"messaging_product": "whatsapp", "vertical": "UNDEFINED"});
    let fields = ctx.req.query("fields").map(super::fields::names);
    for (key, value) in &world.meta.lines[place].profile {
        if fields.as_ref().is_none_or(|fields| fields.contains(key)) {
            profile[key] = value.clone();
        }
    }
    let item = if world.settings.meta.profile_nested { json!({ "business_profile": profile }) } else { profile };
    Ok(Response::json(200, &json!({"data": [item]})))
}

/// POST /{number}/whatsapp_business_profile
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let params = ctx.req.params();
    if text(&params, "messaging_product").as_deref() != Some("whatsapp") {
        return Err(errors::invalid("Param messaging_product must be one of {WHATSAPP}"));
    }
    for (name, limit) in LIMITS {
        if text(&params, name).is_some_and(|value| value.chars().count() > limit) {
            return Err(errors::invalid(&format!("Param {name} must be at most {limit} characters long.")));
        }
    }
    if text(&params, "about").is_some_and(|about| about.is_empty()) {
        return Err(errors::invalid("Param about must not be empty"));
    }
    if text(&params, "vertical").is_some_and(|vertical| !VERTICALS.contains(&vertical.as_str())) {
        return Err(errors::invalid(&format!("Param vertical must be one of {{{}}}", VERTICALS.join(", "))));
    }
    if params.get("websites").and_then(Value::as_array).is_some_and(|sites| sites.len() > 2) {
        return Err(errors::invalid("Param websites must have at most 2 elements."));
    }
    let handle = text(&params, "profile_picture_handle");
    let uploaded = |handle: &str| world.meta.uploads.iter().any(|upload| upload.handle.as_deref() == Some(handle));
    if handle.as_deref().is_some_and(|handle| !uploaded(handle)) {
        return Err(errors::invalid("Param profile_picture_handle is not a valid handle"));
    }
    let profile = &mut world.meta.lines[place].profile;
    for name in ["about", "address", "description", "email", "vertical", "websites"] {
        if let Some(value) = params.get(name) {
            profile.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(handle) = handle {
        profile.insert("profile_picture_url".to_owned(), Value::from(format!("https://pps.whatsapp.net/v/{handle}")));
    }
    success()
}
