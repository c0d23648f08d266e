//! Which of the kinds that Meta documents a body holds. Read with a parser of its own, so that what the router makes of a
//! body decides nothing here.

use std::collections::BTreeSet;

use serde_json::Value;

/// Every kind that Meta documents and the table must hold: fields, types of messages and what stands beside them, statuses,
/// forms of prices.
pub const DOCUMENTED: &[&str] = &[
    "account_alerts",
    "account_review_update",
    "account_settings_update phone_number_settings",
    "account_update ACCOUNT_DELETED",
    "account_update ACCOUNT_OFFBOARDED",
    "account_update ACCOUNT_RECONNECTED",
    "account_update ACCOUNT_RESTRICTION",
    "account_update ACCOUNT_VIOLATION",
    "account_update AD_ACCOUNT_LINKED",
    "account_update AUTH_INTL_PRICE_ELIGIBILITY_UPDATE",
    "account_update BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE",
    "account_update DISABLED_UPDATE",
    "account_update MM_LITE_TERMS_SIGNED",
    "account_update PARTNER_ADDED",
    "account_update PARTNER_APP_INSTALLED",
    "account_update PARTNER_APP_UNINSTALLED",
    "account_update PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE",
    "account_update PARTNER_REMOVED",
    "account_update VOLUME_BASED_PRICING_TIER_UPDATE",
    "automatic_events",
    "business_capability_update",
    "business_status_update APPROVED",
    "business_username_update",
    "calls",
    "calls connect",
    "calls terminate",
    "context forwarded",
    "context frequently_forwarded",
    "context from",
    "context id",
    "context referred_product",
    "errors",
    "group_lifecycle_update",
    "group_lifecycle_update group_create",
    "group_lifecycle_update group_delete",
    "group_participants_update",
    "group_participants_update group_join_request_created",
    "group_participants_update group_participants_add",
    "group_participants_update group_participants_remove",
    "group_settings_update",
    "group_settings_update group_settings_update",
    "group_status_update",
    "group_status_update group_suspend",
    "history",
    "message audio",
    "message audio, voice",
    "message button",
    "message contacts",
    "message document",
    "message edit",
    "message image",
    "message interactive button_reply",
    "message interactive call_permission_reply",
    "message interactive list_reply",
    "message interactive nfm_reply",
    "message location",
    "message media_placeholder",
    "message order",
    "message reaction",
    "message reaction, removed",
    "message request_welcome",
    "message revoke",
    "message sticker",
    "message system customer_identity_changed",
    "message system user_changed_number",
    "message system user_changed_user_id",
    "message text",
    "message unsupported",
    "message video",
    "message with context",
    "message with errors",
    "message with from",
    "message with from_parent_user_id",
    "message with from_user_id",
    "message with group_id",
    "message with identity",
    "message with referral",
    "message without from",
    "message without from_user_id",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update APPROVED",
    "message_template_status_update FLAGGED",
    "message_template_status_update PAUSED",
    "message_template_status_update REJECTED",
    "partner_solutions SOLUTION_CREATED",
    "payment_configuration_update",
    "person with a username",
    "phone_number_name_update",
    "phone_number_quality_update ONBOARDING",
    "phone_number_quality_update THROUGHPUT_UPGRADE",
    "pricing CBP",
    "pricing PMP free_customer_service",
    "pricing PMP free_entry_point",
    "pricing PMP regular",
    "security PIN_CHANGED",
    "security PIN_REQUEST_SUCCESS",
    "security PIN_RESET_REQUEST",
    "smb_app_state_sync",
    "smb_message_echoes",
    "smb_message_echoes revoke",
    "smb_message_echoes text",
    "status delivered",
    "status failed",
    "status played",
    "status read",
    "status sent",
    "status with biz_opaque_callback_data",
    "status with conversation",
    "status with errors",
    "status with pricing",
    "status with recipient_id",
    "status with recipient_identity_key_hash",
    "status with recipient_parent_user_id",
    "status with recipient_participant_id",
    "status with recipient_type",
    "status with recipient_user_id",
    "status without recipient_id",
    "template_category_update",
    "template_correct_category_detection",
    "user_id_update",
    "user_preferences",
    "user_preferences resume",
    "user_preferences stop",
];

/// The kinds in a body; none in what is no JSON.
pub fn of(body: &str) -> BTreeSet<String> {
    let root: Value = serde_json::from_str(body).unwrap_or_default();
    let mut kinds = BTreeSet::new();
    for change in list(&root, "entry").flat_map(|entry| list(entry, "changes")) {
        let (field, value) = (text(change, "field"), &change["value"]);
        if field == "messages" {
            list(value, "messages").for_each(|message| of_message(message, &mut kinds));
            list(value, "statuses").for_each(|status| of_status(status, &mut kinds));
            let named = |person: &Value| person["profile"]["username"].is_string();
            kinds.extend(list(value, "contacts").any(named).then(|| "person with a username".to_owned()));
            kinds.extend(value["errors"].is_array().then(|| "errors".to_owned()));
            continue;
        }
        let sort = if value["event"].is_string() { text(value, "event") } else { text(value, "type") };
        kinds.insert(format!("{field} {sort}").trim_end().to_owned());
        for (name, word) in
            [("calls", "event"), ("groups", "type"), ("message_echoes", "type"), ("user_preferences", "value")]
        {
            kinds.extend(list(value, name).map(|part| format!("{field} {}", text(part, word))));
        }
    }
    kinds
}

fn of_message(message: &Value, kinds: &mut BTreeSet<String>) {
    let kind = text(message, "type");
    let content = &message[kind];
    kinds.insert(match kind {
        "interactive" | "system" => format!("message {kind} {}", text(content, "type")),
        "audio" if content["voice"] == true => "message audio, voice".to_owned(),
        "reaction" if content["emoji"].is_null() => "message reaction, removed".to_owned(),
        _ => format!("message {kind}"),
    });
    let besides = names(message).filter(|name| ![kind, "id", "type", "timestamp", "unsupported"].contains(name));
    kinds.extend(besides.map(|name| format!("message with {name}")));
    let absent = ["from", "from_user_id"].into_iter().filter(|name| message[*name].is_null());
    kinds.extend(absent.map(|name| format!("message without {name}")));
    kinds.extend(names(&message["context"]).map(|name| format!("context {name}")));
}

fn of_status(status: &Value, kinds: &mut BTreeSet<String>) {
    kinds.insert(format!("status {}", text(status, "status")));
    let besides = names(status).filter(|name| !["id", "status", "timestamp"].contains(name));
    kinds.extend(besides.map(|name| format!("status with {name}")));
    kinds.extend(status["recipient_id"].is_null().then(|| "status without recipient_id".to_owned()));
    if let Some(price) = status.get("pricing") {
        let word = format!("pricing {} {}", text(price, "pricing_model"), text(price, "type"));
        kinds.insert(word.trim_end().to_owned());
    }
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn names(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flat_map(|object| object.keys().map(String::as_str))
}
