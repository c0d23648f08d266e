//! Where a spoken code can be read: the call log, recordings, their transcriptions, speech-to-text.
//!
//! Telnyx: a transcription names its recording only, a recording names the called number; unknown filters are ignored
//! silently; `to` comes with or without a plus sign. So everything is compared again here.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::types::{CallEvent, Recording, Transcription};
use super::words::CallEventKind;
use super::{Client, Listed, ProviderError};
use crate::domain::{E164, Pii};
use crate::providers::classify::Class;
use crate::providers::lenient;
use crate::providers::pace::Endpoints;
use crate::providers::reason::Reason;
use crate::providers::request::{Body, Operation, Request};

const RECORDINGS: Operation = Operation::list("list_recordings").once();
const CALL_EVENTS: Operation = Operation::list("list_call_events").once();
const TRANSCRIPTIONS: Operation = Operation::list("list_transcriptions").quiet().once();

impl Client {
    /// Recordings stored at or after `since`, of all numbers. One call serves all lines that await a code; whether there is
    /// a next page is told, since each is a call of its own.
    pub async fn recordings_since(&self, since: Timestamp, page: usize) -> Result<Listed<Recording>, ProviderError> {
        let filters = [("filter[created_at][gte]", since.to_string())];
        let mut listed: Listed<Recording> = self.page(RECORDINGS, &["recordings"], &filters, page).await?;
        listed.entries.retain(|r| r.created_at.is_none_or(|at| at >= since));
        Ok(listed)
    }

    /// `GET /recordings/{id}`: with a fresh URL to its sound.
    pub async fn recording(&self, id: &str) -> Result<Option<Recording>, ProviderError> {
        self.data_if_there(Request::get(Operation::read("recording"), &["recordings", id])).await
    }

    /// Transcriptions made at or after `since`, of all recordings. The first page only: the next can't be relied
    /// on (its meta has cursors), and what is awaited is young.
    pub async fn transcriptions_since(&self, since: Timestamp) -> Result<Vec<Transcription>, ProviderError> {
        let request = Request::get(TRANSCRIPTIONS, &["recording_transcriptions"])
            .query("filter[created_at][gte]", since.to_string())
            .query("page[size]", super::PAGE_SIZE.to_string());
        let data: Value = self.data(request).await?;
        Ok(lenient::items::<Transcription>(data)
            .into_iter()
            .filter(|t| t.created_at.is_none_or(|at| at >= since))
            .collect())
    }

    /// `DELETE /recordings/{id}`; gone already is success.
    pub async fn delete_recording(&self, id: &str) -> Result<(), ProviderError> {
        self.delete(Operation::set("delete_recording"), &["recordings", id]).await
    }

    /// `DELETE /recording_transcriptions/{id}`; gone already is success.
    pub async fn delete_transcription(&self, id: &str) -> Result<(), ProviderError> {
        self.delete(Operation::set("delete_transcription"), &["recording_transcriptions", id]).await
    }

    /// The call log since then (Telnyx keeps 24 h): which calls rang, were answered, ended. Empty proves nothing: the log
    /// lags.
    pub async fn call_events_since(&self, since: Timestamp, page: usize) -> Result<Listed<CallEvent>, ProviderError> {
        let filters = [("filter[occurred_at][gte]", since.to_string()), ("filter[type]", "webhook".to_owned())];
        let Listed { entries, more, mark } = self.page::<Value>(CALL_EVENTS, &["call_events"], &filters, page).await?;
        let entries = entries.iter().filter_map(call_event).filter(|e| e.at.is_none_or(|at| at >= since)).collect();
        Ok(Listed { entries, more, mark })
    }

    /// `POST /ai/audio/transcriptions`: the words of a recording, by Telnyx's own speech-to-text. Telnyx fetches the sound
    /// itself, so that it never passes through here; take the recording from [`Self::recording`] just before, since its
    /// URL is good for about 10 minutes.
    pub async fn transcribe(&self, recording: &Recording) -> Result<SecretString, ProviderError> {
        const CALL: Operation = Operation::set("transcribe").slow().quiet().of(Endpoints::SpeechToText);
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "lenient::secret")]
            text: Option<SecretString>,
        }
        let Some(url) = recording.sound_url() else {
            let text = "the recording has no sound to download yet".to_owned();
            let what = "nothing to do now; it is tried again by itself";
            return Err(self.transport.error(CALL, Class::Transient, Reason::NotFound, text, what));
        };
        let mut request = Request::new(CALL, Method::POST, &["ai", "audio", "transcriptions"]);
        request = request.secret(url.expose_secret());
        // Unlike the default model this one knows digits of every English accent and takes a language.
        request.body = Body::Parts(vec![
            ("model", "openai/whisper-large-v3-turbo".to_owned()),
            ("language", "en".to_owned()),
            ("response_format", "json".to_owned()),
            ("file_url", url.expose_secret().to_owned()),
        ]);
        self.transport.json::<Answer>(request).await.map(|answer| answer.text.unwrap_or_default())
    }
}

/// The numbers stand in the webhook that the entry tells of: `metadata.event.payload`, seen also one level higher.
fn call_event(item: &Value) -> Option<CallEvent> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let event = item.pointer("/metadata/event");
    let payload =
        [item.pointer("/metadata/event/payload"), item.pointer("/metadata/payload"), item.pointer("/payload")]
            .into_iter()
            .flatten()
            .next()
            .unwrap_or(&Value::Null);
    let at = text(item, "event_timestamp").or_else(|| text(event?, "occurred_at"));
    Some(CallEvent {
        kind: CallEventKind::from_word(&text(item, "name").or_else(|| text(event?, "event_type"))?),
        at: at.as_deref().and_then(lenient::timestamp),
        to: text(payload, "to").and_then(|to| E164::parse_loose(&to).ok()),
        from: text(payload, "from").map(Pii),
        outgoing: text(payload, "direction").is_some_and(|direction| direction.starts_with("out")),
        call_session_id: text(item, "call_session_id").or_else(|| text(payload, "call_session_id")),
        hangup_cause: text(payload, "hangup_cause"),
    })
}
