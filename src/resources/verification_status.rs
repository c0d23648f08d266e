//! `status.verification` of a ClientNumber: codes that were asked for, the call that speaks one, test calls. Never a code.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Codes that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// When codes were asked for, each counted before its call; of the last 72 hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Time>,
    /// Since when the number records calls; absent: it rejects them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_at: Option<Time>,
    /// No code is asked for before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// The last clientnumber.dev/call-requested-at that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_call_request: Option<String>,
    /// Until when the code that was asked for last may still be handed in; absent: none is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_expires_at: Option<Time>,
    /// When work was stopped while a code was awaited: it is listened for no more; absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Time>,
    /// When Meta accepted the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// Recordings that were there before the code was asked for: the carrier's ids. They don't count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_recordings: Vec<String>,
    /// Test calls to the number; absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalStatus>,
    /// Codes that were handed in, each recorded before it was: those that were read since one was asked for last, and the
    /// last one of a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed_in: Vec<HandedInStatus>,
    /// What is known of the call that was asked for last; kept until the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallStatus>,
}

/// Test calls to a line's number, before one of Meta's is spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalStatus {
    /// When test calls were made, each recorded before it; of the last hour, and the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Time>,
    /// When the test call began that is listened for now; absent: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the digits that were said last came back out of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_at: Option<Time>,
    /// Test calls that failed since one passed; the gaps between them grow.
    #[serde(default)]
    pub failures: i32,
    /// When the last one failed; absent also after a person asked to look again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
    /// What was seen of the one that failed last, and what to do; absent: it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

/// The call that speaks the code, from the carrier's call log, its recordings and their transcriptions. Absent is what is
/// not known: the call log may lag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallStatus {
    /// When Meta was asked to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// When Meta said that it calls or texts; kept for carrier External only, where somebody waits for this word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Time>,
    /// When it rang.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rang_at: Option<Time>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The carrier's word for why it ended, like normal_clearing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hangup_cause: Option<String>,
    /// When its recording was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Time>,
    /// When the carrier's transcription of it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcribed_at: Option<Time>,
    /// When a code was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Time>,
    /// What the code was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_from: Option<CodeSource>,
    /// Meta's word for why it does not call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_called: Option<String>,
    /// Why no code could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// A code that was handed in; not the code itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandedInStatus {
    /// Where it comes from: recording/<the carrier's id>, or secret/<uid>/<resourceVersion> of the Secret in which a person
    /// handed it in.
    pub source: String,
    /// When it was handed in last.
    pub at: Time,
    /// How often: once, unless Meta's answer was unclear and Meta does not show the number as verified.
    pub times: i32,
    /// Whether Meta refused it: it is not handed in again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

/// What a code is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CodeSource {
    /// The carrier's transcription of the recording.
    Transcription,
    /// The carrier's speech-to-text, asked for the recording.
    SpeechToText,
    /// The Portfolio's telnyx.transcriber.
    Transcriber,
}
