//! One way to talk HTTP, below both providers: time-outs, bounded answers, no redirects, repeats of reads only.
//!
//! What leaves this file is either the body of a 2xx or a [`ProviderError`]. A write is sent at most once, whatever
//! happens. URLs with their query, bodies and tokens reach neither logs nor errors. Budgets and buckets per account do not
//! exist yet; `Transport::attempt` is where a request would wait for one and where an answer's usage would feed it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::base_url::BaseUrl;
use super::classify::{self, Class, Problem, Row};
use super::clean;
use super::error::{Effect, Provider, ProviderError};
use super::reason::Reason;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
const MIB: usize = 1024 * 1024;
const REPEATS: u32 = 2;

/// One finished attempt, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct ProviderCall {
    /// Whose API.
    pub provider: Provider,
    /// Our name of the call.
    pub operation: &'static str,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// From sending to the end of the answer.
    pub duration: Duration,
    /// `ok` or the error's class.
    pub outcome: &'static str,
    /// HTTP status, if there was an answer.
    pub http_status: Option<u16>,
}

/// Called after each attempt.
pub type CallHook = Arc<dyn Fn(&ProviderCall) + Send + Sync>;

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No TLS.
    #[error("cannot set up HTTPS: {0}; check SSL_CERT_FILE and that CA certificates are installed")]
    Http(String),
}

/// The HTTP connections of the process; one for all providers and accounts. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    proxied: reqwest::Client,
    direct: reqwest::Client,
    hook: Option<CallHook>,
}

impl Http {
    /// Sets up both clients: the ordinary one, which honours proxies from the environment, and the one for plain http,
    /// which never does, since a token may not leave the machine or the cluster unencrypted.
    pub fn new() -> Result<Self, SetupError> {
        crate::install_crypto_provider();
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .user_agent(concat!("clientnumber/", env!("CARGO_PKG_VERSION")))
        };
        let setup = |e: reqwest::Error| SetupError::Http(e.to_string());
        Ok(Self {
            proxied: builder().build().map_err(setup)?,
            direct: builder().no_proxy().build().map_err(setup)?,
            hook: None,
        })
    }

    /// With a function that hears of each attempt.
    pub fn with_hook(mut self, hook: CallHook) -> Self {
        self.hook = Some(hook);
        self
    }
}

/// A call: its name and what it may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: usize,
}

impl Operation {
    pub(crate) const fn read(name: &'static str) -> Self {
        Self { name, effect: Effect::Read, timeout: TOTAL_TIMEOUT, max_bytes: MIB }
    }

    /// A read of a list, which may be larger.
    pub(crate) const fn list(name: &'static str) -> Self {
        Self { max_bytes: 8 * MIB, ..Self::read(name) }
    }

    /// A setting that is harmless to repeat.
    pub(crate) const fn set(name: &'static str) -> Self {
        Self { effect: Effect::Set, ..Self::read(name) }
    }

    pub(crate) const fn write(name: &'static str) -> Self {
        Self { effect: Effect::Write, ..Self::read(name) }
    }

    /// Meta: register takes over 15 s at times.
    pub(crate) const fn slow(mut self) -> Self {
        self.timeout = Duration::from_secs(60);
        self
    }
}

/// What is sent besides the URL.
pub(crate) enum Body {
    None,
    Json(Value),
    /// multipart/form-data of plain fields.
    Parts(Vec<(&'static str, String)>),
}

/// One request.
pub(crate) struct Request<'a> {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Body,
    /// Values in this request that must not come back in an error: a code, a PIN.
    pub(crate) secrets: Vec<SecretString>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(operation: Operation, method: Method, path: &[&'a str]) -> Self {
        Self { operation, method, path: path.to_vec(), query: Vec::new(), body: Body::None, secrets: Vec::new() }
    }

    pub(crate) fn get(operation: Operation, path: &[&'a str]) -> Self {
        Self::new(operation, Method::GET, path)
    }

    pub(crate) fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    pub(crate) fn secret(mut self, value: &str) -> Self {
        self.secrets.push(value.to_owned().into());
        self
    }
}

/// How a provider words errors.
pub(crate) struct Dialect {
    pub(crate) provider: Provider,
    pub(crate) rows: &'static [Row],
    /// The problems in an error body; empty if it is not the provider's own error object.
    pub(crate) problems: fn(&[u8]) -> Vec<Problem>,
    /// How long the headers ask to wait.
    pub(crate) wait: fn(&HeaderMap) -> Option<Duration>,
    /// The header with the request id.
    pub(crate) trace_header: &'static str,
}

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
            let secrets: Vec<&str> = self.secrets.iter().chain(&secrets).map(|s| s.expose_secret()).collect();
            let start = clean::excerpt(&body, &secrets);
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

    async fn attempt(&self, request: &Request<'_>, number: u32, deadline: Instant) -> Attempt {
        let started = Instant::now();
        let operation = request.operation;
        let mut trace = None;
        let mut status = None;
        let result = match self.exchange(request, deadline, &mut trace, &mut status).await {
            Ok(body) => Attempt::Ok(body),
            Err((error, repeat)) => Attempt::Failed { error, repeat },
        };
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
                (self.error(operation, Class::Unclear, Reason::NoAnswer, text, look_up(operation)), false)
            } else {
                let text = "the connection broke before the answer was complete".to_owned();
                (self.error(operation, Class::Unclear, Reason::NoAnswer, text, look_up(operation)), true)
            }
        };
        let mut response = self.build(request).timeout(time_left).send().await.map_err(lost)?;
        *status = Some(response.status().as_u16());
        *trace = header(response.headers(), self.dialect.trace_header);
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
        if code.is_success() { Ok(body) } else { Err(self.refusal(request, code, &headers, &body, trace)) }
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

    /// The error of an answer that is not a 2xx.
    fn refusal(
        &self,
        request: &Request<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        trace: &mut Option<String>,
    ) -> (ProviderError, bool) {
        let operation = request.operation;
        let secrets: Vec<&str> = self.secrets.iter().chain(&request.secrets).map(|s| s.expose_secret()).collect();
        let problems = (self.dialect.problems)(body);
        let (class, reason, what, wait, problem) = match classify::find(self.dialect.rows, operation.name, &problems) {
            Some((row, problem)) => (row.class, row.reason, row.what_to_do, row.wait, Some(problem)),
            None => {
                let (class, reason, what) =
                    classify::by_status(status.as_u16(), operation.effect, !problems.is_empty());
                (class, reason, what, None, problems.first())
            }
        };
        let text = match problem {
            Some(problem) if !problem.text.is_empty() => clean::clean(&problem.text, &secrets),
            _ if status.is_redirection() => format!("HTTP {}: a redirect", status.as_u16()),
            _ if body.is_empty() => format!("HTTP {} without a text", status.as_u16()),
            _ => {
                let kind = header(headers, CONTENT_TYPE.as_str()).unwrap_or_else(|| "no content type".to_owned());
                format!(
                    "HTTP {} ({}) that starts with: {}",
                    status.as_u16(),
                    clean::clean(&kind, &secrets),
                    clean::excerpt(body, &secrets)
                )
            }
        };
        if let Some(id) = problem.and_then(|p| p.trace.clone()) {
            *trace = Some(id);
        }
        let retry_after = (self.dialect.wait)(headers).or_else(|| retry_after(headers));
        let mut error = self.error(operation, class, reason, text, what);
        error.class = class.resolve(operation.effect, retry_after);
        error.code = problem.and_then(|p| p.code.clone());
        error.subcode = problem.and_then(|p| p.subcode);
        error.http_status = Some(status.as_u16());
        error.retry_after = retry_after;
        error.policy_wait = wait;
        (error, status.is_server_error() && retry_after.is_none())
    }

    /// An error for an answer whose content makes no sense.
    pub(crate) fn unreadable(&self, operation: Operation, text: String) -> ProviderError {
        self.error(operation, Class::Unclear, Reason::UnreadableAnswer, text, look_up(operation))
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
        ProviderError {
            provider: self.dialect.provider,
            operation: operation.name,
            class: class.resolve(operation.effect, None),
            reason,
            code: None,
            subcode: None,
            http_status: None,
            message,
            what_to_do,
            retry_after: None,
            policy_wait: None,
        }
    }

    /// Host of the base URL, for messages.
    pub(crate) fn host(&self) -> String {
        self.base.join(&[]).host_str().unwrap_or("").to_owned()
    }
}

fn look_up(operation: Operation) -> &'static str {
    match operation.effect {
        Effect::Write => "the outcome is looked up by itself before anything is repeated; nothing to do now",
        Effect::Read | Effect::Set => "nothing to do now; it is tried again by itself",
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|value| value.chars().take(80).collect())
}

/// `Retry-After` in seconds or as a date; at most a day.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = super::lenient::timestamp(text)?;
            Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(DAY))
}
