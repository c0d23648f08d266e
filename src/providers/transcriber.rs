//! The operator's own speech-to-text service (`telnyx.transcriber` of a Portfolio), asked last about a recording.
//!
//! One form for all of them, docs/transcriber.md: the sound as multipart, the answer `{"text": "..."}`, as OpenAI's
//! `/v1/audio/transcriptions` and the servers that copy it take it. Must never quote an answer, since it may hold the
//! code; follow a redirect, since token and sound would go with it; repeat a call; or keep the sound, on disk or
//! otherwise.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderValue;
use reqwest::multipart::{Form, Part};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::base_url;
use super::bounded::{self, Answer, Failed};
use super::classify::Class;
use super::error::{Provider, ProviderError};
use super::http::Http;
use super::reason::Reason;
use super::refusal;
use super::request::Operation;
use super::sound::Sound;
use crate::domain::Invalid;

/// More than any transcript of two minutes.
const MOST_ANSWER: usize = 64 * 1024;
const CALL: Operation = Operation { max_bytes: MOST_ANSWER, ..Operation::set("operator_transcribe").slow() };

/// A speech-to-text service of the operator's. Cheap to clone.
#[derive(Clone)]
pub struct Transcriber {
    http: Http,
    url: Arc<Url>,
    plain: bool,
    token: Option<SecretString>,
    model: Option<String>,
}

impl Transcriber {
    /// A client for exactly `url`, to which nothing is added: https, or plain http inside this machine or the cluster.
    /// `token` is sent as Bearer; `model` is left out of the request when it is None.
    pub fn new(url: &str, token: Option<SecretString>, model: Option<String>, http: &Http) -> Result<Self, Invalid> {
        let (url, plain) = base_url::address(url).ok_or_else(|| {
            let way_out =
                "use an https URL without user and password; plain http only inside this machine or the cluster";
            Invalid::new("telnyx.transcriber.url", "(not such a URL)", way_out)
        })?;
        Ok(Self { http: http.clone(), url: Arc::new(url), plain, token, model })
    }

    /// The words of a recording, which may be none. One request, at most 60 s.
    ///
    /// # Errors
    /// NeedsHuman for what is wrong with address, token or model; Throttled; Transient for the rest.
    pub async fn transcribe(&self, sound: &Sound) -> Result<SecretString, ProviderError> {
        if !(self.http.may_write)() {
            let what = "nothing to do: the replica that leads goes on with it";
            return Err(error(
                Class::Transient,
                Reason::NotLeading,
                "nothing was sent: this replica does not lead any more",
                what,
            ));
        }
        let request = self.request(sound)?;
        let answer = bounded::send(&self.http, Provider::Transcriber, CALL, request).await;
        let answer = answer.map_err(|failed| lost(failed, self.url.host_str().unwrap_or("")))?;
        if !(200..300).contains(&answer.status) {
            return Err(refused(&answer, sound.len()));
        }
        text(&answer.body).ok_or_else(|| {
            let what = "let the service answer JSON such as {\"text\": \"...\"}, and check telnyx.transcriber.url: docs/transcriber.md has the form";
            error(Class::Unclear, Reason::UnreadableAnswer, "the answer is not JSON with a field text", what)
        })
    }

    fn request(&self, sound: &Sound) -> Result<reqwest::RequestBuilder, ProviderError> {
        let unsendable = |_| {
            let text = "the request can't be made: the token holds characters that can't be sent";
            let what = "put the token into the Secret of telnyx.transcriber.tokenSecretRef again, without line breaks or other control characters";
            error(Class::NeedsHuman, Reason::TokenInvalid, text, what)
        };
        let part = Part::bytes(sound.bytes().to_vec()).file_name(sound.file_name());
        let part = part.mime_str(sound.kind()).map_err(|_| {
            error(
                Class::Transient,
                Reason::Unclassified,
                "the request can't be made",
                "report this: it should not happen",
            )
        })?;
        let mut form = Form::new().part("file", part);
        if let Some(model) = &self.model {
            form = form.text("model", model.clone());
        }
        let form = form.text("language", "en").text("response_format", "json");
        let client = if self.plain { &self.http.direct } else { &self.http.proxied };
        let mut request =
            client.post(Url::clone(&self.url)).header(reqwest::header::ACCEPT, "application/json").multipart(form);
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(unsendable)?;
            value.set_sensitive(true);
            request = request.header(reqwest::header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

impl fmt::Debug for Transcriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcriber").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// The error of a transcriber that can't be asked since the Secret with its token can't be used. `problem` names Secret
/// and key.
pub fn without_token(problem: &str) -> ProviderError {
    let what = "create it, or leave telnyx.transcriber.tokenSecretRef out if the service wants no token";
    error(Class::NeedsHuman, Reason::TokenInvalid, problem, what)
}

/// `{"text": "..."}`, whatever stands beside it. The words may be none.
fn text(body: &[u8]) -> Option<SecretString> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer.get("text")?.as_str().map(SecretString::from)
}

/// An answer that is not a 2xx, by its status alone.
fn refused(answer: &Answer, sent: usize) -> ProviderError {
    let status = answer.status;
    let (class, reason, what) = match status {
        300..=399 => (
            Class::NeedsHuman,
            Reason::Redirected,
            "correct telnyx.transcriber.url: redirects are not followed, since token and sound would go with them",
        ),
        401 | 403 => (
            Class::NeedsHuman,
            Reason::TokenInvalid,
            "put the service's token into the Secret of telnyx.transcriber.tokenSecretRef, or name one there if it wants a token",
        ),
        404 | 405 | 410 => (
            Class::NeedsHuman,
            Reason::NotFound,
            "write the whole address into telnyx.transcriber.url, such as https://stt.example.ma/v1/audio/transcriptions; a service that does not know telnyx.transcriber.model may answer so too",
        ),
        413 => {
            (Class::NeedsHuman, Reason::InvalidRequest, "let the service, and any proxy before it, take files of 8 MiB")
        }
        415 => {
            (Class::NeedsHuman, Reason::InvalidRequest, "let the service take WAV and MP3 files as multipart/form-data")
        }
        429 => (
            Class::Throttled,
            Reason::RateLimited,
            "nothing to do now; the service is asked again after the time that it names",
        ),
        400..=499 => (
            Class::NeedsHuman,
            Reason::InvalidRequest,
            "set telnyx.transcriber.model to a model that the service has; its own log says what it does not accept",
        ),
        _ => (
            Class::Transient,
            Reason::ProviderUnavailable,
            "look at the service's own log; the next recording is sent to it again",
        ),
    };
    let text = if status == 413 { format!("HTTP 413 for a file of {sent} bytes") } else { format!("HTTP {status}") };
    let mut refused = error(class, reason, &text, what);
    refused.class = class.resolve(CALL.effect, answer.retry_after);
    refused.http_status = Some(status);
    refused.retry_after = answer.retry_after;
    refused
}

fn lost(failed: Failed, host: &str) -> ProviderError {
    match failed {
        Failed::Unsendable => error(
            Class::NeedsHuman,
            Reason::InvalidRequest,
            "the request can't be made",
            "write telnyx.transcriber.url and model without control characters",
        ),
        Failed::NoConnection => error(
            Class::Transient,
            Reason::Unreachable,
            &format!("no connection to {host}"),
            "check that the service of telnyx.transcriber.url runs and can be reached from the controller: DNS, network policies, proxy, certificate",
        ),
        Failed::Silence => error(
            Class::Transient,
            Reason::NoAnswer,
            &format!("no answer within {} s", CALL.timeout.as_secs()),
            "give the service more processors or a smaller model: two minutes of sound must be read within a minute",
        ),
        Failed::Broken => error(
            Class::Transient,
            Reason::NoAnswer,
            "the connection broke before the answer was complete",
            "look at the service's own log, and at any proxy before it",
        ),
        Failed::TooLarge => error(
            Class::Transient,
            Reason::AnswerTooLarge,
            &format!("the answer is larger than {MOST_ANSWER} bytes"),
            "let the service answer with the text only, as response_format=json asks for",
        ),
    }
}

fn error(class: Class, reason: Reason, message: &str, what: &'static str) -> ProviderError {
    refusal::error(Provider::Transcriber, CALL, class, reason, message.to_owned(), what)
}
