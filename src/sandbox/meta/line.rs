//! A number of a WABA: what Meta keeps of it, and the node that a read shows of that.
//!
//! Only the state and its view. Fields that are null here are known to Meta but not shown (empty, or in beta).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{names, wabas};
use crate::sandbox::world::World;

/// A number of a WABA.
#[derive(Clone)]
pub struct Line {
    /// PHONE_NUMBER_ID.
    pub id: String,
    /// Its WABA.
    pub waba: String,
    /// All digits.
    pub digits: String,
    /// Country code.
    pub cc: String,
    /// Current display name.
    pub name: String,
    /// name_status; `ABSENT` is not shown.
    pub name_status: String,
    /// Requested name.
    pub new_name: Option<names::NewName>,
    /// When names were requested, for the limit of 10 in 30 days.
    pub name_changes: Vec<Timestamp>,
    /// code_verification_status.
    pub code_status: String,
    /// status.
    pub status: String,
    /// Registered on the Cloud API.
    pub cloud: bool,
    /// Two-step PIN.
    pub pin: Option<String>,
    /// PINs guessed wrong in a row.
    pub pin_failures: u32,
    /// The living code.
    pub code: Option<super::verification::Code>,
    /// Codes made so far: the next one depends on nothing that other lines do.
    pub codes: u64,
    /// request_code calls in the window.
    pub requests: Vec<Timestamp>,
    /// register calls.
    pub registers: Vec<Timestamp>,
    /// deregister calls.
    pub deregisters: Vec<Timestamp>,
    /// When it was registered last.
    pub onboarded: Option<Timestamp>,
    /// quality_rating.
    pub quality: String,
    /// Messaging limit.
    pub limit: String,
    /// Override of the callback.
    pub override_uri: Option<String>,
    /// Business profile.
    pub profile: Map<String, Value>,
    /// From when on it is listed.
    pub visible: Timestamp,
}

impl Line {
    /// A number as it is right after it was added.
    pub fn new(id: String, waba: String, digits: String, cc: String, name: String, visible: Timestamp) -> Self {
        Self {
            id,
            waba,
            digits,
            cc,
            name,
            name_status: "AVAILABLE_WITHOUT_REVIEW".to_owned(),
            new_name: None,
            name_changes: Vec::new(),
            code_status: "NOT_VERIFIED".to_owned(),
            status: "UNVERIFIED".to_owned(),
            cloud: false,
            pin: None,
            pin_failures: 0,
            code: None,
            codes: 0,
            requests: Vec::new(),
            registers: Vec::new(),
            deregisters: Vec::new(),
            onboarded: None,
            quality: "NA".to_owned(),
            limit: "TIER_250".to_owned(),
            override_uri: None,
            profile: Map::new(),
            visible,
        }
    }

    /// As lists and people write it: `+212 612-345678`.
    pub fn display(&self) -> String {
        let rest = self.digits.strip_prefix(self.cc.as_str()).unwrap_or("");
        let cut = rest.len().min(3);
        format!("+{} {}-{}", self.cc, &rest[..cut], &rest[cut..])
    }

    /// All fields that can be asked for.
    pub fn node(&self, world: &World) -> Map<String, Value> {
        let new_name = self.new_name.as_ref();
        let waba_override = world.meta.wabas.get(&self.waba).and_then(|waba| waba.override_uri.clone());
        let mut hooks = json!({});
        if let Some(url) = &world.webhook_url {
            hooks["application"] = Value::from(url.as_str());
        }
        if let Some(uri) = waba_override {
            hooks["whatsapp_business_account"] = Value::from(uri);
        }
        if let Some(uri) = &self.override_uri {
            hooks["phone_number"] = Value::from(uri.as_str());
        }
        let can_send = if self.status == "CONNECTED" { "AVAILABLE" } else { "BLOCKED" };
        let node = json!({
            "id": self.id, "display_phone_number": self.display(), "verified_name": self.name,
            "status": self.status, "code_verification_status": self.code_status, "quality_rating": self.quality,
            "quality_score": {"score": self.quality}, "country_code": "MA", "country_dial_code": self.cc,
            "name_status": if self.name_status == "ABSENT" { Value::Null } else { json!(self.name_status) },
            "new_display_name": new_name.map(|name| &name.name), "new_name_status": new_name.map(|name| &name.status),
            "platform_type": if self.cloud { "CLOUD_API" } else { "NOT_APPLICABLE" },
            "host_platform": if self.cloud { "CLOUD_API" } else { "NOT_APPLICABLE" },
            "throughput": {"level": if self.cloud { "STANDARD" } else { "NOT_APPLICABLE" }},
            "account_mode": "LIVE", "is_official_business_account": false, "is_on_biz_app": false,
            "is_pin_enabled": self.pin.is_some(), "is_preverified_number": false, "search_visibility": "VISIBLE",
            "last_onboarded_time": self.onboarded.map(|at| format!("{}+0000", at.strftime("%Y-%m-%dT%H:%M:%S"))),
            "whatsapp_business_manager_messaging_limit": self.limit, "messaging_limit_tier": self.limit,
            "certificate": null, "new_certificate": null, "unified_cert_status": null, "username": null,
            "conversational_automation": null, "eligibility_for_api_business_global_search": null,
            "webhook_configuration": hooks,
            "health_status": {"can_send_message": can_send, "entities": [
                {"entity_type": "PHONE_NUMBER", "id": self.id, "can_send_message": can_send},
                {"entity_type": "WABA", "id": self.waba, "can_send_message": "AVAILABLE"},
                {"entity_type": "BUSINESS", "id": wabas::business_of(world, &self.waba), "can_send_message": "AVAILABLE"},
                {"entity_type": "APP", "id": world.settings.meta.app_id, "can_send_message": "AVAILABLE"},
            ]},
        });
        node.as_object().cloned().unwrap_or_default()
    }
}
