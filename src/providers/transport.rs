//! One way to talk HTTP, below both providers: a turn in the account's bucket, one total time-out, repeats of reads only.
//!
//! What leaves this file is either the body of a 2xx or a [`ProviderError`]. A write is sent at most once, whatever
//! happens, and never after the moment that its caller named. URLs with their query, bodies and tokens reach neither logs
//! nor errors. How one request goes out and what its answer is decides `exchange`; when it may go, `pace`.

use std::time::{Duration, Instant};

use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::base_url::BaseUrl;
use super::classify::Class;
use super::clean;
use super::error::{Effect, ErrorClass, Provider, ProviderError};
use super::exchange::{Failure, Seen};
use super::hide;
use super::http::{CONNECT_TIMEOUT, Http, ProviderCall};
use super::pace::{self, Endpoints, Key, Refusal};
use super::reason::Reason;
use super::refusal::{self, Dialect};
use super::request::{Operation, Request};
use crate::domain::{Clock, SystemClock};

/// How often a read is repeated at most.
const REPEATS: u32 = 2;
/// A provider that asks for a longer pause gets it from the caller, who holds no connection meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The connection to one account.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(super) http: Http,
    pub(super) base: BaseUrl,
    pub(super) dialect: &'static Dialect,
    pub(super) bearer: SecretString,
    /// Sent with each request, e.g. `appsecret_proof`.
    pub(super) query: Vec<(&'static str, SecretString)>,
    secrets: Vec<SecretString>,
    /// Whose limits its calls count in.
    account: u64,
    /// Meta: the WhatsApp account, if it is known.
    scope: String,
    not_after: Option<Instant>,
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
        let transport = Self {
            http: http.clone(),
            base,
            dialect,
            bearer,
            query,
            secrets,
            account: 0,
            scope: String::new(),
            not_after: None,
        };
        let key = transport.bearer.clone();
        transport.of_account(key.expose_secret())
    }

    /// With limits shared by all clients for this account; at first it is told by the bearer.
    pub(crate) fn of_account(mut self, account: &str) -> Self {
        let authority = self.base.authority();
        self.account = self.http.paces.fingerprint(&[&authority, account]);
        self
    }

    /// With the limits of this WhatsApp account.
    pub(crate) fn of_scope(mut self, scope: &str) -> Self {
        scope.clone_into(&mut self.scope);
        self
    }

    /// Sends no effect after this moment of [`SystemClock`], neither after a wait in a bucket nor after a pause of the
    /// process or the machine: whoever has recorded an intent may act on it for a short time only.
    pub(crate) fn not_after(mut self, moment: Instant) -> Self {
        self.not_after = Some(moment);
        self
    }

    /// Sends and reads the JSON of the answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, ProviderError> {
        let (operation, secrets) = (request.operation, request.secrets.clone());
        let body = self.send(request).await?;
        serde_json::from_slice(&body).map_err(|_| {
            let start = clean::excerpt_of(operation.quiet, &body, &self.secrets_with(&secrets));
            self.unreadable(operation, format!("the answer is not the JSON that was expected{start}"))
        })
    }

    /// Sends; the body of a 2xx. Reads are repeated after connection errors, 5xx and 429, within one total time-out.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Vec<u8>, ProviderError> {
        let deadline = Instant::now() + self.time(request.operation);
        let mut last: Option<ProviderError> = None;
        let mut number = 1;
        loop {
            let Failure { error, repeat } = match self.attempt(&request, number, deadline).await {
                Ok(body) => return Ok(body),
                // The answer to the attempt before says more than that there was no turn for another.
                Err(failure) if failure.error.was_not_sent() => return Err(last.unwrap_or(failure.error)),
                Err(failure) => failure,
            };
            let jitter = Duration::from_millis(rand::rng().random_range(100..400) * u64::from(number));
            let pause = error.retry_after.unwrap_or_default() + jitter;
            let fits = pause <= LONGEST_PAUSE && Instant::now() + pause + CONNECT_TIMEOUT < deadline;
            let repeats = request.operation.effect == Effect::Read && !request.operation.once;
            if !(repeat && repeats && number <= REPEATS && fits) {
                return Err(error);
            }
            last = Some(error);
            number += 1;
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) fn secrets_with<'a>(&'a self, more: &'a [SecretString]) -> Vec<&'a str> {
        self.secrets.iter().chain(more).map(|s| s.expose_secret()).collect()
    }

    async fn attempt(&self, request: &Request<'_>, number: u32, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let operation = request.operation;
        let asked = Instant::now();
        let left = self.left(operation).map_or(deadline, |left| asked + left);
        let until = deadline.min(asked + pace::bound(operation.effect)).min(left);
        let turn = self.http.paces.enter(&self.keys(request), operation.effect, pace::now() + (until - asked)).await;
        let (waited, started) = (asked.elapsed(), Instant::now());
        let mut seen = Seen::default();
        let result = match turn {
            Err(rest) => Err(self.held_back(operation, rest)),
            Ok(_) if self.left(operation).is_some_and(|left| left.is_zero()) => Err(self.too_late(operation)),
            Ok(_) if operation.effect != Effect::Read && !(self.http.may_write)() => Err(self.not_leading(operation)),
            Ok(turn) => {
                let result = self.exchange(request, deadline, &mut seen).await;
                if let Some(headers) = &seen.headers {
                    turn.answered(headers, result.as_ref().err().and_then(|failure| limited(&failure.error)));
                }
                result
            }
        };
        self.report(request, number, waited, started, &seen, &result);
        result
    }

    /// The total time-out of a call.
    fn time(&self, operation: Operation) -> Duration {
        #[cfg(test)]
        let operation = Operation { timeout: self.http.patience.unwrap_or(operation.timeout), ..operation };
        operation.timeout
    }

    /// How long an effect may still be sent, on the clock of who recorded it: that one counts a suspension too.
    fn left(&self, operation: Operation) -> Option<Duration> {
        let latest = self.not_after.filter(|_| operation.effect == Effect::Write)?;
        Some(latest.saturating_duration_since(SystemClock.monotonic()))
    }

    /// The buckets that a call counts in.
    fn keys(&self, request: &Request<'_>) -> Vec<Key> {
        let (provider, endpoints) = (self.dialect.provider, request.operation.endpoints);
        let key = |endpoints, scope: &str| Key { provider, account: self.account, endpoints, scope: scope.to_owned() };
        match (provider, endpoints) {
            (Provider::Telnyx | Provider::Transcriber, _) | (Provider::Meta, Endpoints::App) => {
                vec![key(endpoints, "")]
            }
            // Meta: `/{version}/{number}/messages`.
            (Provider::Meta, Endpoints::Messages) => {
                let number = request.path.get(1).copied().unwrap_or("");
                vec![key(endpoints, number), key(Endpoints::App, "")]
            }
            (Provider::Meta, _) => vec![key(endpoints, &self.scope), key(Endpoints::App, "")],
        }
    }

    fn report(
        &self,
        request: &Request<'_>,
        attempt: u32,
        waited: Duration,
        started: Instant,
        seen: &Seen,
        result: &Result<Vec<u8>, Failure>,
    ) {
        // What stands in a request id's place is the server's choice.
        let secrets = self.secrets_with(&request.secrets);
        let trace = seen.trace.as_deref().filter(|id| hide::spans(id, &secrets).is_empty());
        let trace: String = trace.unwrap_or_default().chars().take(80).collect();
        let (outcome, duration) = match result {
            Ok(_) => ("ok", started.elapsed()),
            Err(Failure { error, .. }) if error.was_not_sent() => ("held_back", Duration::ZERO),
            Err(Failure { error, .. }) => (error.class.as_str(), started.elapsed()),
        };
        let call = ProviderCall {
            provider: self.dialect.provider,
            operation: request.operation.name,
            attempt,
            duration,
            waited,
            outcome,
            http_status: seen.status,
        };
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            target: "clientnumber::providers",
            provider = call.provider.as_str(),
            operation = call.operation,
            attempt,
            duration_ms = millis(call.duration),
            waited_ms = millis(call.waited),
            outcome,
            status = call.http_status,
            request_id = trace,
            "provider call"
        );
        if let Some(hook) = &self.http.hook {
            hook(&call);
        }
    }

    /// Certainly not done, even if it is an effect.
    fn held_back(&self, operation: Operation, rest: Duration) -> Failure {
        let text = "nothing was sent: calls are spread out to stay below the account's limit".to_owned();
        let what = "nothing to do now; it is tried again by itself when its turn comes";
        let mut error = self.error(operation, Class::Throttled, Reason::RateLimited, text, what);
        error.class = ErrorClass::Throttled { retry_after: Some(rest) };
        error.retry_after = Some(rest);
        Failure { error, repeat: false }
    }

    /// Certainly not done by this process, which does not lead any more.
    fn not_leading(&self, operation: Operation) -> Failure {
        let text = "nothing was sent: this replica does not lead any more".to_owned();
        let what = "nothing to do: the replica that leads goes on with it";
        Failure { error: self.error(operation, Class::Transient, Reason::NotLeading, text, what), repeat: false }
    }

    /// Not done by this process, which stood still meanwhile: another may have acted.
    fn too_late(&self, operation: Operation) -> Failure {
        let text = "not sent: too much time has passed since the intent was recorded".to_owned();
        let what = refusal::look_up(operation.effect);
        Failure { error: self.error(operation, Class::Unclear, Reason::NoAnswer, text, what), repeat: false }
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

/// Whether an answer refused the call for the rate of calls; limits of a single number slow nothing else down.
fn limited(error: &ProviderError) -> Option<Refusal<'_>> {
    error.is(Reason::RateLimited).then(|| Refusal { code: error.code.as_deref(), retry_after: error.retry_after })
}
