//! WhatsApp Business Platform (Graph API): the account's numbers, codes, registering, subscription.
//!
//! One method a call, typed. Each call carries `appsecret_proof`. Lists are read to the end, with a bound, since callers
//! take absence as proof. No effect is ever repeated here: code requests, registrations and PIN attempts are counted by
//! Meta whether or not their answer arrives.

mod account;
mod analytics;
pub mod errors;
mod numbers;
mod photo;
#[cfg(test)]
mod tests;
mod types;
mod webhooks;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use super::base_url::BaseUrl;
use super::classify::Class;
use super::error::ProviderError;
use super::http::Http;
use super::lenient;
use super::reason::Reason;
use super::request::{Operation, Request};
use super::transport::Transport;
use crate::domain::{AppId, Invalid, WabaId};

pub use analytics::{Granularity, PricingAnalytics, PricingPoint, PricingQuery};
pub use photo::Photo;
pub use types::*;
pub use webhooks::{AppSubscription, Callback};
pub use words::*;

const PAGE_SIZE: usize = 100;
const MAX_PAGES: usize = 100;

/// A Meta account: token, app and Graph version. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    transport: Transport,
    /// For calls that are made as the app itself.
    app_transport: Transport,
    version: String,
    app_id: AppId,
    access_token: SecretString,
}

impl Client {
    /// A client for `base_url` (e.g. `https://graph.facebook.com`) and `graph_version` (e.g. `v25.0`).
    pub fn new(
        base_url: &str,
        graph_version: &str,
        access_token: SecretString,
        app_secret: &SecretString,
        app_id: AppId,
        http: &Http,
    ) -> Result<Self, Invalid> {
        let base = BaseUrl::parse(base_url)?;
        let plain = |text: &str| text.split('.').all(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()));
        if !graph_version.strip_prefix('v').is_some_and(plain) {
            return Err(Invalid::new("Graph version", graph_version, "write it as v25.0"));
        }
        let app_token: SecretString = format!("{app_id}|{}", app_secret.expose_secret()).into();
        let make = |bearer: &SecretString| {
            let proof = vec![("appsecret_proof", proof(app_secret, bearer))];
            let others = vec![app_secret.clone(), access_token.clone(), app_token.clone()];
            Transport::new(http, base.clone(), &errors::DIALECT, bearer.clone(), proof, others)
                .of_account(app_id.as_str())
        };
        let inner = Inner {
            transport: make(&access_token),
            app_transport: make(&app_token),
            version: graph_version.to_owned(),
            app_id,
            access_token,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The same client for the numbers of one WhatsApp account, which has its own limit on calls.
    pub fn of_waba(self, waba: &WabaId) -> Self {
        let mut inner = Inner::clone(&self.inner);
        inner.transport = inner.transport.of_scope(waba.as_str());
        Self { inner: Arc::new(inner) }
    }

    /// The same client, whose effects are sent before this moment or not at all: an intent is good for so long only.
    pub fn not_after(&self, moment: Instant) -> Self {
        let mut inner = Inner::clone(&self.inner);
        inner.transport = inner.transport.not_after(moment);
        Self { inner: Arc::new(inner) }
    }

    /// The app whose token this is.
    pub fn app_id(&self) -> &AppId {
        &self.inner.app_id
    }

    fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    fn path<'a>(&'a self, segments: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec![self.inner.version.as_str()];
        path.extend(segments);
        path
    }

    /// An effect that answers `{"success": true}`.
    async fn success(&self, request: Request<'_>) -> Result<(), ProviderError> {
        self.success_as(self.transport(), request).await
    }

    /// The same, as the account or as the app.
    async fn success_as(&self, transport: &Transport, request: Request<'_>) -> Result<(), ProviderError> {
        let operation = request.operation;
        let answer: Value = transport.json(request).await?;
        match answer.get("success") {
            Some(Value::Bool(true)) => Ok(()),
            Some(Value::String(text)) if text == "true" => Ok(()),
            _ => Err(transport.unreadable(operation, "the answer does not say success".to_owned())),
        }
    }

    /// All entries of a list with `paging.cursors.after`. A list that does not end is an error, never cut short.
    async fn all(
        &self,
        operation: Operation,
        path: &[&str],
        fields: Option<&str>,
    ) -> Result<Vec<Value>, ProviderError> {
        let path = self.path(path);
        let mut entries = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut request = Request::get(operation, &path).query("limit", PAGE_SIZE.to_string());
            if let Some(fields) = fields {
                request = request.query("fields", fields);
            }
            if let Some(after) = &after {
                request = request.query("after", after.clone());
            }
            let page: Page = self.transport().json(request).await?;
            let count = page.data.len();
            entries.extend(page.data);
            let paging = page.paging.unwrap_or_default();
            let next = paging.cursors.and_then(|cursors| cursors.after);
            // Meta: the last page has cursors too, but no `next`; a page before it may be short or empty. The URL in `next`
            // is not used: it holds the token.
            let (says_more, moved) = (paging.next.is_some(), next.is_some() && next != after);
            if says_more && !moved {
                let text = "the list says that it goes on, and not where".to_owned();
                return Err(self.transport().unreadable(operation, text));
            }
            if !moved || !(says_more || count >= PAGE_SIZE) {
                return Ok(entries);
            }
            after = next;
        }
        let text = format!("the list did not end after {MAX_PAGES} pages");
        let what = "look at the account in WhatsApp Manager: it holds more than this controller can oversee";
        Err(self.transport().error(operation, Class::NeedsHuman, Reason::AnswerTooLarge, text, what))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("meta::Client").field("host", &self.inner.transport.host()).finish_non_exhaustive()
    }
}

/// Takes the field that the error names out of `fields`; false if it names none of ours. Meta answers a field that this
/// Graph version or account does not know with 100 "Tried accessing nonexisting field (NAME)", and some fields are beta
/// and "not available to all": the read is then made again without.
fn drop_unknown_field(fields: &mut String, error: &ProviderError) -> bool {
    let name = || error.message.split_once("nonexisting field (")?.1.split_once(')').map(|(name, _)| name);
    let Some(name) = error.is(Reason::InvalidRequest).then(name).flatten() else { return false };
    let fewer: Vec<&str> = fields.split(',').filter(|field| *field != name).collect();
    let dropped = !fewer.is_empty() && fewer.len() < fields.split(',').count();
    if dropped {
        *fields = fewer.join(",");
    }
    dropped
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    #[serde(default, deserialize_with = "lenient::maybe")]
    paging: Option<Paging>,
}

#[derive(Deserialize, Default)]
struct Paging {
    #[serde(default, deserialize_with = "lenient::maybe")]
    cursors: Option<Cursors>,
    #[serde(default, deserialize_with = "lenient::secret")]
    next: Option<SecretString>,
}

#[derive(Deserialize)]
struct Cursors {
    #[serde(default, deserialize_with = "lenient::text")]
    after: Option<String>,
}

/// Meta: lower-case hex of HMAC-SHA256 with the app secret as key and the access token as message.
fn proof(app_secret: &SecretString, access_token: &SecretString) -> SecretString {
    // HMAC takes a key of any length: the error can't occur, and an empty proof would be refused by Meta.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(app_secret.expose_secret().as_bytes()) else {
        return SecretString::default();
    };
    mac.update(access_token.expose_secret().as_bytes());
    hex::encode(mac.finalize().into_bytes()).into()
}
