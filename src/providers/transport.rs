//! One way to talk HTTP, below both providers: time-outs, bounded answers, no redirects, repeats of reads only.
//!
//! What leaves this file is either the body of a 2xx or a [`ProviderError`]. A write is sent at most once, whatever
//! happens. URLs with their query, bodies and tokens reach neither logs nor errors. Budgets and buckets per account do not
//! exist yet; `Transport::attempt` is where a request would wait for one and where an answer's usage would feed it.

use std::time::{Duration, Instant};

use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::base_url::BaseUrl;
use super::classify::Class;
use super::clean;
use super::error::{Effect, ProviderError};
use super::http::{CONNECT_TIMEOUT, Http, ProviderCall};
use super::reason::Reason;
use super::refusal::{self, Dialect};
use super::request::{Body, Operation, Request};

/// How often a read is repeated at most.
const REPEATS: u32 = 2;

/// The connection to one account.
pub(crate) struct Transport {
    http: Http,
    base: BaseUrl,
    dialect: &'static Dialect,
    bearer: SecretString,
    /// Sent with each request, e.g. `appsecret_proof`.
    query: Vec<(&'static str, SecretString)>,
    secrets: Vec<SecretString>,
}

/// An answer that arrived, or why none did.
enum Attempt {
    Ok(Vec<u8>),
    Failed { error: ProviderError, repeat: bool },
}

impl Transport {
    pub(crate) fn new(
        http: &Http,
        base: BaseUrl,
        dialect: &'static Dialect,
        bearer: SecretString,
        query: Vec<(&'static str, SecretString)>,
        more_secrets: Vec<SecretString>,
    ) -> Self {
        let mut secrets = more_secrets;
        secrets.push(bearer.clone());
        secrets.extend(query.iter().map(|(_, value)| value.clone()));
        Self { http: http.clone(), base, dialect, bearer, query, secrets }
    }

    /// Sends and reads the JSON of the answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, ProviderError> {
        let (operation, secrets) = (request.operation, request.secrets.clone());
        let body = self.send(request).await?;
        serde_json::from_slice(&body).map_err(|_| {
            let start = clean::excerpt(&body, &self.secrets_with(&secrets));
            self.unreadable(operation, format!("the answer is not the JSON that was expected; it starts with: {start}"))
        })
    }

    /// Sends; the body of a 2xx. Reads are repeated after connection errors and 5xx, within one total time-out.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Vec<u8>, ProviderError> {
        let deadline = Instant::now() + request.operation.timeout;
        let mut number = 1;
        loop {
            match self.attempt(&request, number, deadline).await {
                Attempt::Ok(body) => return Ok(body),
                Attempt::Failed { error, repeat } => {
                    let pause = Duration::from_millis(rand::rng().random_range(100..400) * u64::from(number));
                    let time_left = Instant::now() + pause + CONNECT_TIMEOUT < deadline;
                    if !(repeat && request.operation.effect == Effect::Read && number <= REPEATS && time_left) {
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                    number += 1;
                }
            }
        }
    }

    fn secrets_with<'a>(&'a self, more: &'a [SecretString]) -> Vec<&'a str> {
        self.secrets.iter().chain(more).map(|s| s.expose_secret()).collect()
    }

    async fn attempt(&self, request: &Request<'_>, number: u32, deadline: Instant) -> Attempt {
        let started = Instant::now();
        let operation = request.operation;
        let mut trace: Option<String> = None;
        let mut status = None;
        let result = match self.exchange(request, deadline, &mut trace, &mut status).await {
            Ok(body) => Attempt::Ok(body),
            Err((error, repeat)) => Attempt::Failed { error, repeat },
        };
        // What stands in a request id's place is the server's choice.
        let secrets = self.secrets_with(&request.secrets);
        let trace = trace.filter(|id| !secrets.iter().any(|secret| id.contains(secret)));
        let outcome = match &result {
            Attempt::Ok(_) => "ok",
            Attempt::Failed { error, .. } => error.class.as_str(),
        };
        let call = ProviderCall {
            provider: self.dialect.provider,
            operation: operation.name,
            attempt: number,
            duration: started.elapsed(),
            outcome,
            http_status: status,
        };
        tracing::debug!(
            target: "clientnumber::providers",
            provider = call.provider.as_str(),
            operation = call.operation,
            attempt = number,
            duration_ms = u64::try_from(call.duration.as_millis()).unwrap_or(u64::MAX),
            outcome,
            status,
            request_id = trace.as_deref().unwrap_or(""),
            "provider call"
        );
        if let Some(hook) = &self.http.hook {
            hook(&call);
        }
        result
    }

    async fn exchange(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        trace: &mut Option<String>,
        status: &mut Option<u16>,
    ) -> Result<Vec<u8>, (ProviderError, bool)> {
        let operation = request.operation;
        let time_left = deadline.saturating_duration_since(Instant::now());
        let lost = |error: reqwest::Error| {
            // Before a connection stands nothing was sent, so that even a write may be tried again.
            if error.is_connect() {
                let text = format!("no connection to {}", self.host());
                let what = "check the network, DNS, proxy and the Portfolio's baseUrl; it is tried again by itself";
                (self.error(operation, Class::Transient, Reason::Unreachable, text, what), true)
            } else if error.is_timeout() {
                let text = format!("no answer within {} s", operation.timeout.as_secs());
                (
                    self.error(operation, Class::Unclear, Reason::NoAnswer, text, refusal::look_up(operation.effect)),
                    false,
                )
            } else {
                let text = "the connection broke before the answer was complete".to_owned();
                (
                    self.error(operation, Class::Unclear, Reason::NoAnswer, text, refusal::look_up(operation.effect)),
                    true,
                )
            }
        };
        let mut response = self.build(request).timeout(time_left).send().await.map_err(lost)?;
        *status = Some(response.status().as_u16());
        *trace = refusal::header(response.headers(), self.dialect.trace_header);
        let (code, headers) = (response.status(), response.headers().clone());

        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| {
            // A 2xx whose body was lost: a write is done, but what it made is not known.
            let (mut error, repeat) = lost(error);
            error.http_status = Some(code.as_u16());
            (error, repeat)
        })? {
            if body.len() + chunk.len() > operation.max_bytes {
                let text = format!("the answer is larger than {} bytes", operation.max_bytes);
                let what =
                    "check that the Portfolio's baseUrl is the provider's API; the outcome is looked up by itself";
                let mut error = self.error(operation, Class::Unclear, Reason::AnswerTooLarge, text, what);
                error.http_status = Some(code.as_u16());
                return Err((error, false));
            }
            body.extend_from_slice(&chunk);
        }
        if code.is_success() {
            Ok(body)
        } else {
            {
                let secrets = self.secrets_with(&request.secrets);
                let (error, id) = refusal::refusal(self.dialect, operation, code.as_u16(), &headers, &body, &secrets);
                if id.is_some() {
                    *trace = id;
                }
                let repeat = code.is_server_error() && error.retry_after.is_none();
                Err((error, repeat))
            }
        }
    }

    fn build(&self, request: &Request<'_>) -> reqwest::RequestBuilder {
        let client = if self.base.is_plain() { &self.http.direct } else { &self.http.proxied };
        let mut builder = client
            .request(request.method.clone(), self.base.join(&request.path))
            .bearer_auth(self.bearer.expose_secret())
            .header(reqwest::header::ACCEPT, "application/json");
        if !request.query.is_empty() {
            builder = builder.query(&request.query);
        }
        for (name, value) in &self.query {
            builder = builder.query(&[(name, value.expose_secret())]);
        }
        match &request.body {
            Body::None => builder,
            Body::Json(value) => builder.json(value),
            Body::Parts(parts) => builder.multipart(
                parts
                    .iter()
                    .fold(reqwest::multipart::Form::new(), |form, (name, value)| form.text(*name, value.clone())),
            ),
        }
    }

    /// An error for an answer whose content makes no sense.
    pub(crate) fn unreadable(&self, operation: Operation, text: String) -> ProviderError {
        self.error(operation, Class::Unclear, Reason::UnreadableAnswer, text, refusal::look_up(operation.effect))
    }

    /// An error of ours, with the class that this call gives it.
    pub(crate) fn error(
        &self,
        operation: Operation,
        class: Class,
        reason: Reason,
        message: String,
        what_to_do: &'static str,
    ) -> ProviderError {
        refusal::error(self.dialect.provider, operation, class, reason, message, what_to_do)
    }

    /// Host of the base URL, for messages.
    pub(crate) fn host(&self) -> String {
        self.base.join(&[]).host_str().unwrap_or("").to_owned()
    }
}
