//! What Meta answers, as types. Vocabularies are open; fields that Meta calls beta or leaves out are None, which means
//! "not known", never "no".

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::words::*;
use crate::domain::{AppId, BusinessId, E164, PhoneNumberId, WabaId};
use crate::providers::lenient;

/// A number of a WhatsApp account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PhoneNumber {
    /// Meta's id.
    pub id: PhoneNumberId,
    /// As Meta shows it, e.g. `+212 612-345678`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub display_phone_number: Option<String>,
    /// The name that candidates see.
    #[serde(default, deserialize_with = "lenient::text")]
    pub verified_name: Option<String>,
    /// Review of that name.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub name_status: Option<NameStatus>,
    /// The name that was asked for instead.
    #[serde(default, deserialize_with = "lenient::text")]
    pub new_display_name: Option<String>,
    /// Review of the new name.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub new_name_status: Option<NameStatus>,
    /// Whether ownership was proven.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub code_verification_status: Option<CodeVerificationStatus>,
    /// State.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<NumberStatus>,
    /// Quality.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub quality_rating: Option<QualityRating>,
    /// Where it lives.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub platform_type: Option<PlatformType>,
    /// The same, as the list calls it in the official file; an answer may hold both.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub host_platform: Option<PlatformType>,
    /// Of the whole portfolio, e.g. `TIER_250`.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub whatsapp_business_manager_messaging_limit: Option<MessagingLimit>,
    /// The older field of the same meaning.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub messaging_limit_tier: Option<MessagingLimit>,
    /// `{level}`.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub throughput: Option<Throughput>,
    /// LIVE or SANDBOX.
    #[serde(default, deserialize_with = "lenient::text")]
    pub account_mode: Option<String>,
    /// Lives in the WhatsApp Business app as well.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub is_on_biz_app: Option<bool>,
    /// A two-step PIN is set.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub is_pin_enabled: Option<bool>,
    /// Last registration.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_onboarded_time: Option<Timestamp>,
    /// Effective webhook URLs; an override on number or account is drift.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub webhook_configuration: Option<WebhookConfiguration>,
    /// Whether messages can be sent.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub health_status: Option<HealthStatus>,
}

impl PhoneNumber {
    /// The number, compared by digits; None if Meta shows it in a form that is no number.
    pub fn number(&self) -> Option<E164> {
        E164::parse_loose(self.display_phone_number.as_deref()?).ok()
    }

    /// The portfolio's messaging limit, from either field.
    pub fn messaging_limit(&self) -> Option<&str> {
        let limit = self.whatsapp_business_manager_messaging_limit.as_ref().or(self.messaging_limit_tier.as_ref());
        limit.map(MessagingLimit::as_str)
    }

    /// Connected on Cloud API.
    pub fn is_connected(&self) -> bool {
        let platform = self.platform_type.as_ref().or(self.host_platform.as_ref());
        self.status == Some(NumberStatus::Connected) && platform == Some(&PlatformType::CloudApi)
    }

    /// An override that is not the app's own URL, if there is one.
    pub fn webhook_override(&self) -> Option<&str> {
        let urls = self.webhook_configuration.as_ref()?;
        urls.phone_number.as_deref().or(urls.whatsapp_business_account.as_deref())
    }
}

/// `{level: STANDARD | HIGH | NOT_APPLICABLE}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Throughput {
    /// The level.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub level: Option<ThroughputLevel>,
}

/// Which URLs webhooks of a number go to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookConfiguration {
    /// Override of the number.
    #[serde(default, deserialize_with = "lenient::text")]
    pub phone_number: Option<String>,
    /// Override of the account.
    #[serde(default, deserialize_with = "lenient::text")]
    pub whatsapp_business_account: Option<String>,
    /// The app's own.
    #[serde(default, deserialize_with = "lenient::text")]
    pub application: Option<String>,
}

/// The best single answer to "can it send?".
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HealthStatus {
    /// All in all.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub can_send_message: Option<CanSend>,
    /// Part by part.
    #[serde(default, deserialize_with = "lenient::list")]
    pub entities: Vec<HealthEntity>,
}

/// One part of the chain: number, account, business, app.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HealthEntity {
    /// Which part.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub entity_type: Option<HealthEntityKind>,
    /// Its id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: Option<String>,
    /// Whether it lets messages pass.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub can_send_message: Option<CanSend>,
    /// Why not.
    #[serde(default, deserialize_with = "lenient::list")]
    pub errors: Vec<HealthError>,
    /// Hints in words.
    #[serde(default, deserialize_with = "lenient::list")]
    pub additional_info: Vec<String>,
}

/// Why a part is limited or blocked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HealthError {
    /// E.g. `141006`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub error_code: Option<String>,
    /// In words.
    #[serde(default, deserialize_with = "lenient::text")]
    pub error_description: Option<String>,
    /// What to do.
    #[serde(default, deserialize_with = "lenient::text")]
    pub possible_solution: Option<String>,
}

/// A WhatsApp account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Waba {
    /// Its id.
    pub id: WabaId,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// Currency of its invoices.
    #[serde(default, deserialize_with = "lenient::text")]
    pub currency: Option<String>,
    /// Its time zone, by Meta's number.
    #[serde(default, deserialize_with = "lenient::text")]
    pub timezone_id: Option<String>,
    /// Meta's review.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub account_review_status: Option<AccountReviewStatus>,
    /// Verification of the business behind it.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub business_verification_status: Option<VerificationStatus>,
    /// E.g. `ACTIVE`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
}

/// A business portfolio.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Business {
    /// Its id.
    pub id: BusinessId,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// Verification.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub verification_status: Option<VerificationStatus>,
}

/// An app that gets an account's webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribedApp {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: Option<String>,
    /// The account's override for it; it should have none.
    pub override_callback_uri: Option<String>,
}

impl SubscribedApp {
    /// From an entry of `data`: `{whatsapp_business_api_data: {id, name, link}, override_callback_uri?}`.
    pub(super) fn from_entry(entry: &Value) -> Option<Self> {
        let app = entry.get("whatsapp_business_api_data").unwrap_or(entry);
        let text = |value: &Value, name: &str| lenient::text(value.get(name)?.clone()).ok().flatten();
        Some(Self {
            id: AppId::parse(text(app, "id")?).ok()?,
            name: text(app, "name"),
            override_callback_uri: text(entry, "override_callback_uri"),
        })
    }
}

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenInfo {
    /// False: it is not accepted.
    #[serde(default)]
    pub is_valid: bool,
    /// The app it was made for.
    #[serde(default, deserialize_with = "lenient::text")]
    pub app_id: Option<String>,
    /// E.g. `SYSTEM_USER`.
    #[serde(rename = "type", default, deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// What it may do.
    #[serde(default, deserialize_with = "lenient::list")]
    pub scopes: Vec<String>,
    /// Unix seconds; 0 = never.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub expires_at: Option<i64>,
}

/// A business profile, as read and as written (None = leave as it is).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Profile {
    /// Short text below the name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub about: Option<String>,
    /// Longer text.
    #[serde(default, deserialize_with = "lenient::text")]
    pub description: Option<String>,
    /// E-mail.
    #[serde(default, deserialize_with = "lenient::text")]
    pub email: Option<String>,
    /// Web sites, at most two.
    #[serde(default, deserialize_with = "lenient::list")]
    pub websites: Vec<String>,
    /// Trade, e.g. `PROF_SERVICES`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub vertical: Option<String>,
    /// Address.
    #[serde(default, deserialize_with = "lenient::text")]
    pub address: Option<String>,
    /// The photo's URL, as read.
    #[serde(default, deserialize_with = "lenient::text")]
    pub profile_picture_url: Option<String>,
    /// Handle of an uploaded photo, as written; never in an answer.
    #[serde(skip)]
    pub photo_handle: Option<String>,
}
