//! The process's HTTP connections and what metrics hear of each attempt.
//!
//! Holds the accounts' buckets too, so that all clients made from one `Http` share them. Redirects are never followed, since the token would go with them; nothing is repeated below us; plain http never goes
//! through a proxy.

use std::sync::Arc;
use std::time::Duration;

use super::error::Provider;
use super::pace::Paces;

/// A connection stands within this time, or not at all.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One finished attempt, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct ProviderCall {
    /// Whose API.
    pub provider: Provider,
    /// Our name of the call.
    pub operation: &'static str,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// From sending to the end of the answer; zero if nothing was sent.
    pub duration: Duration,
    /// Held back before that, to stay below the account's limit.
    pub waited: Duration,
    /// `ok`, the error's class, or `held_back`: its turn would have come too late, so nothing was sent.
    pub outcome: &'static str,
    /// HTTP status, if there was an answer.
    pub http_status: Option<u16>,
}

/// Called after each attempt.
pub type CallHook = Arc<dyn Fn(&ProviderCall) + Send + Sync>;

/// Asked before each call that is not a read.
pub type Permission = Arc<dyn Fn() -> bool + Send + Sync>;

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
    pub(crate) proxied: reqwest::Client,
    pub(crate) direct: reqwest::Client,
    pub(crate) hook: Option<CallHook>,
    /// In place of the calls' own time-outs.
    #[cfg(test)]
    pub(crate) patience: Option<Duration>,
    /// Shared by all clients of one account.
    pub(crate) paces: Arc<Paces>,
    /// Whether this process may change anything at a provider at this moment.
    pub(crate) may_write: Permission,
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
            #[cfg(test)]
            patience: None,
            paces: Arc::default(),
            may_write: Arc::new(|| true),
        })
    }

    /// Waits no longer than this for anything.
    #[cfg(test)]
    pub(crate) fn within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// With a permission that may end: a replica that does not lead any more changes nothing.
    pub fn writing_while(mut self, may_write: Permission) -> Self {
        self.may_write = may_write;
        self
    }

    /// With a function that hears of each attempt.
    pub fn with_hook(mut self, hook: CallHook) -> Self {
        self.hook = Some(hook);
        self
    }
}
