//! A number's voice settings: what happens to a call before the TeXML application gets it.
//!
//! Telnyx: forwarding sends the call elsewhere, screening may reject it; with either on, a spoken code never reaches the
//! recording. Recording by the number itself neither answers nor transcribes, so it does not help.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::words::{Forwarding, Screening};
use super::{Client, ProviderError};
use crate::domain::E164;
use crate::providers::lenient;
use crate::providers::request::{Operation, Request};

/// Voice settings of a number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VoiceSettings {
    /// Telnyx's id of the number.
    pub id: String,
    /// The number.
    #[serde(rename = "phone_number", default, deserialize_with = "lenient::number")]
    pub number: Option<E164>,
    /// The TeXML application it is attached to.
    #[serde(default, deserialize_with = "lenient::text")]
    pub connection_id: Option<String>,
    /// Forwarding.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub call_forwarding: Option<CallForwarding>,
    /// Recording by the number.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub call_recording: Option<CallRecording>,
    /// Screening of callers.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub inbound_call_screening: Option<Screening>,
    /// Another number that calls are passed on to, if any.
    #[serde(default, deserialize_with = "lenient::text")]
    pub translated_number: Option<String>,
}

/// Where calls are forwarded to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CallForwarding {
    /// Whether they are.
    #[serde(rename = "call_forwarding_enabled", default, deserialize_with = "lenient::flag")]
    pub enabled: Option<bool>,
    /// When.
    #[serde(rename = "forwarding_type", default, deserialize_with = "lenient::maybe")]
    pub kind: Option<Forwarding>,
    /// To which number, as it is stored.
    #[serde(default, deserialize_with = "lenient::text")]
    pub forwards_to: Option<String>,
}

/// Recording of all incoming calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CallRecording {
    /// Whether they are recorded.
    #[serde(rename = "inbound_call_recording_enabled", default, deserialize_with = "lenient::flag")]
    pub enabled: Option<bool>,
    /// `wav` or `mp3`.
    #[serde(rename = "inbound_call_recording_format", default, deserialize_with = "lenient::text")]
    pub format: Option<String>,
    /// `single` or `dual`.
    #[serde(rename = "inbound_call_recording_channels", default, deserialize_with = "lenient::text")]
    pub channels: Option<String>,
}

/// Why a call would not reach the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Diversion {
    /// Forwarded, always or when nobody answers.
    Forwarded,
    /// Passed on to another number.
    Translated,
    /// Callers may be rejected.
    Screened,
}

impl VoiceSettings {
    /// What keeps calls from the application; None if nothing that is known does.
    pub fn diversion(&self) -> Option<Diversion> {
        if self.call_forwarding.as_ref().is_some_and(|forwarding| forwarding.enabled == Some(true)) {
            Some(Diversion::Forwarded)
        } else if self.translated_number.is_some() {
            Some(Diversion::Translated)
        } else if self.inbound_call_screening == Some(Screening::RejectCalls) {
            Some(Diversion::Screened)
        } else {
            None
        }
    }
}

impl Client {
    /// `GET /phone_numbers/voice`, all pages: the settings of all numbers in a few calls.
    pub async fn all_voice_settings(&self) -> Result<Vec<VoiceSettings>, ProviderError> {
        self.all(Operation::list("list_voice_settings"), &["phone_numbers", "voice"], &[]).await
    }

    /// `GET /phone_numbers/{id}/voice`. None if the number is gone.
    pub async fn voice_settings(&self, id: &str) -> Result<Option<VoiceSettings>, ProviderError> {
        self.data_if_there(Request::get(Operation::read("voice_settings"), &["phone_numbers", id, "voice"])).await
    }

    /// `PATCH /phone_numbers/{id}/voice`: forwarding and screening off, so that calls reach the application. Repeatable.
    pub async fn let_calls_through(&self, id: &str) -> Result<VoiceSettings, ProviderError> {
        const CALL: Operation = Operation::set("let_calls_through");
        let body = json!({
            "call_forwarding": {"call_forwarding_enabled": false},
            "inbound_call_screening": Screening::Disabled.as_str(), "translated_number": "",
        });
        self.data(Request::new(CALL, Method::PATCH, &["phone_numbers", id, "voice"]).json(body)).await
    }
}
