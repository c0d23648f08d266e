//! The app's own subscription: one callback URL, and the fields that are delivered.
//!
//! Meta: asked and set with the app's own token (code 15 otherwise); a new one replaces the old one; the dashboard's is
//! what the sandbox was started with.

use serde_json::{Value, json};

use super::errors::{self, Refusal};
use super::{success, text};
use crate::sandbox::http::Response;
use crate::sandbox::world::{Answer, Ctx, World};

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

fn as_the_app(ctx: &Ctx<'_>) -> Result<(), Response> {
    let token = ctx.req.bearer().map(str::to_owned).or_else(|| text(&ctx.req.params(), "access_token"));
    match token {
        Some(token) if token.contains('|') => Ok(()),
        _ => Err(Refusal::new(15, "This method must be called with an app access_token.").answer()),
    }
}

/// GET /{app}/subscriptions
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    as_the_app(ctx)?;
    let data = match &world.webhook_url {
        None => json!([]),
        Some(url) => {
            let names = world.meta.app_fields.clone().unwrap_or_else(|| FIELDS.map(str::to_owned).to_vec());
            let fields: Vec<Value> = names.iter().map(|name| json!({"name": name, "version": "v25.0"})).collect();
            json!([{"object": "whatsapp_business_account", "callback_url": url, "active": true, "fields": fields}])
        }
    };
    Ok(Response::json(200, &json!({ "data": data })))
}

/// POST /{app}/subscriptions
pub fn set(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    as_the_app(ctx)?;
    let params = ctx.req.params();
    if text(&params, "object").as_deref() != Some("whatsapp_business_account") {
        return Err(errors::invalid("Param object must be one of {WHATSAPP_BUSINESS_ACCOUNT}"));
    }
    let given = |name: &str| text(&params, name).filter(|text| !text.is_empty());
    let Some(url) = given("callback_url") else {
        return Err(errors::invalid("The parameter callback_url is required"));
    };
    if given("verify_token").is_none() {
        return Err(errors::invalid("The parameter verify_token is required"));
    }
    let fields: Vec<String> = match params.get("fields") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(names)) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    if fields.is_empty() || fields.iter().any(|name| !FIELDS.contains(&name.as_str())) {
        return Err(errors::invalid(&format!("Param fields must be some of {{{}}}", FIELDS.join(", "))));
    }
    world.webhook_url = Some(url);
    world.meta.app_fields = Some(fields);
    success()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::testing::Asked;

    #[test]
    fn the_app_alone_sees_and_sets_its_subscription() {
        let mut asked = Asked::new();
        let path = "/v25.0/7700/subscriptions";
        assert_eq!(asked.meta_error("GET", path, json!(null)), (15, 0));
        asked.key = "7700|secret".to_owned();
        assert_eq!(asked.meta("GET", path, json!(null)).1["data"], json!([]));
        let wish = |fields: &str| json!({"object": "whatsapp_business_account", "callback_url": "https://a", "verify_token": "v", "fields": fields});
        assert_eq!(asked.meta_error("POST", path, wish("messages,colours")), (100, 0));
        assert_eq!(asked.meta_error("POST", path, wish("messages,security")), (0, 0));
        let (_, answer) = asked.meta("GET", path, json!(null));
        assert_eq!(answer["data"][0]["fields"][1]["name"], "security");
        assert_eq!(asked.meta_error("GET", "/v25.0/7701/subscriptions", json!(null)), (100, 33));
        assert!(asked.world.meta.delivers("messages") && !asked.world.meta.delivers("phone_number_name_update"));
    }

    #[test]
    fn a_decided_name_is_told_only_to_an_app_that_asked_for_it() {
        for (fields, told) in [("messages,phone_number_name_update", 1), ("messages", 0)] {
            let mut asked = Asked::new();
            let id = asked.line("612345678");
            assert_eq!(asked.meta_error("POST", "/v25.0/104/subscribed_apps", json!(null)), (0, 0));
            asked.key = "7700|secret".to_owned();
            let wish = json!({"object": "whatsapp_business_account", "callback_url": "https://a", "verify_token": "v", "fields": fields});
            assert_eq!(asked.meta_error("POST", "/v25.0/7700/subscriptions", wish), (0, 0));
            let name = format!("/v25.0/{id}?new_display_name=Atlas+Two");
            assert_eq!(asked.meta_error("POST", &name, json!(null)), (0, 0));
            asked.later(3_600);
            let (_, answer) = asked.meta("GET", &format!("/v25.0/{id}?fields=new_name_status"), json!(null));
            assert_eq!(answer["new_name_status"], "APPROVED");
            assert_eq!(asked.world.outbox.len(), told, "{fields}");
        }
    }
}
