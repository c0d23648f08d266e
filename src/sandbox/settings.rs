//! How the two providers behave today: what a test or a person can change at the control port.
//!
//! Every field has a default that is the common case of the fact sheets; where sources differ the default is the form a
//! client must not rely on the less. Delays left out follow `--speed`; delays given are taken as they are.

mod meta;
mod telnyx;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use meta::Meta;
pub use telnyx::{Price, Telnyx};

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Latency of each answer in milliseconds; left out: drawn and multiplied by `--speed`.
    pub latency_ms: Option<u64>,
    /// Factor on the providers' own windows: budgets of 72 hours, the life of a code, names' 30 and 14 days, the hour of
    /// a rate limit. Left out: 1, but the life of a code follows `--speed`.
    pub policy_time_scale: Option<f64>,
    /// Telnyx.
    pub telnyx: Telnyx,
    /// Meta.
    pub meta: Meta,
    /// Calls and what becomes of them.
    pub voice: Voice,
    /// Webhooks that the sandbox sends.
    pub webhooks: Webhooks,
}

/// Settings of calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Voice {
    /// From request_code to the ring.
    pub ring_delay_ms: Option<u64>,
    /// From the hang-up to the recording.
    pub recording_delay_ms: Option<u64>,
    /// From the recording to its transcription.
    pub transcription_delay_ms: Option<u64>,
    /// Until a call is in the detail records.
    pub detail_record_delay_ms: Option<u64>,
    /// `ok`, `empty`, or `never`: no transcription although it was asked for.
    pub transcription: String,
    /// `ok` or `empty`: what /ai/audio/transcriptions hears.
    pub speech_to_text: String,
    /// Meta's call never comes.
    pub no_call: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            ring_delay_ms: None,
            recording_delay_ms: None,
            transcription_delay_ms: None,
            detail_record_delay_ms: None,
            transcription: "ok".to_owned(),
            speech_to_text: "ok".to_owned(),
            no_call: false,
        }
    }
}

/// Settings of the webhooks that the sandbox sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Non-ASCII characters as `\u00e4` on the wire, as Meta signs them.
    pub escape: bool,
    /// Time for one attempt in milliseconds.
    pub timeout_ms: u64,
    /// Attempts before a webhook is given up.
    pub attempts: u32,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { escape: true, timeout_ms: 10_000, attempts: 400 }
    }
}

impl Settings {
    /// These settings with `change` merged in, object by object.
    ///
    /// # Errors
    /// What is wrong with the change: an unknown field, a wrong type.
    pub fn changed(&self, change: &Value) -> Result<Self, String> {
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        merge(&mut merged, change);
        serde_json::from_value(merged).map_err(|error| format!("{error}: GET /settings shows all fields"))
    }
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Usd;
    use serde_json::json;

    #[test]
    fn a_change_touches_what_it_names_only() {
        let settings = Settings::default();
        let changed = settings.changed(&json!({"meta": {"number_cap": 2}, "telnyx": {"balance": "1.00"}})).unwrap();
        assert_eq!(changed.meta.number_cap, 2);
        assert_eq!(changed.telnyx.balance, Usd::parse("1").unwrap());
        assert_eq!(changed.telnyx.pool, settings.telnyx.pool);
        let uncovered = settings.changed(&json!({"telnyx": {"coverage": {"MA": []}}})).unwrap();
        assert!(uncovered.telnyx.coverage["MA"].is_empty());
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = Settings::default().changed(&json!({"meta": {"nubmer_cap": 2}})).unwrap_err();
        assert!(error.contains("nubmer_cap") && error.contains("GET /settings"), "{error}");
    }
}
