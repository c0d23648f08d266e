//! Telnyx API v2: numbers, orders, TeXML applications, recordings and their text.
//!
//! One method a call, typed. What the official file and live reports disagree on is handled here, so that callers need
//! not know: digits in filters, exact comparison on our side (filters may be loose or ignored), lists read to the end.
//! An order is never repeated here, and no key for repeating is relied on: the endpoint declares none.

mod account;
mod applications;
mod calls;
mod detail_records;
pub mod errors;
mod numbers;
mod orders;
mod requirements;
mod sub_orders;
#[cfg(test)]
mod tests;
mod types;
mod voice;
mod voice_settings;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::base_url::BaseUrl;
use super::classify::Class;
use super::error::ProviderError;
use super::http::Http;
use super::lenient;
use super::reason::Reason;
use super::request::{Operation, Request};
use super::transport::Transport;
use crate::domain::Invalid;

pub use calls::OutboundCall;
pub use detail_records::DetailRecord;
pub use requirements::{Criteria, Requirement, RequirementGroup, Requirements};
pub use sub_orders::{OrderPart, RequirementValue, SubOrder};
pub use types::*;
pub use voice_settings::{CallForwarding, CallRecording, Diversion, VoiceSettings};
pub use words::*;

/// Largest page that Telnyx gives.
const PAGE_SIZE: usize = 250;
/// More pages than any account has: 50,000 entries.
const MAX_PAGES: usize = 200;

/// One page of a list. No Debug: what was said may stand in it.
pub struct Listed<T> {
    /// Its entries.
    pub entries: Vec<T>,
    /// Whether another page follows.
    pub more: bool,
    /// Tells a page from the one before: a list that knows no pages answers the same again.
    mark: Option<String>,
}

impl<T> Listed<T> {
    /// Whether this is the page before once more.
    pub fn repeats(&self, before: &Option<Self>) -> bool {
        self.mark.is_some() && before.as_ref().is_some_and(|before| before.mark == self.mark)
    }
}

/// A Telnyx account. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
}

impl Client {
    /// A client for `base_url`, e.g. `https://api.telnyx.com/v2`.
    pub fn new(base_url: &str, api_key: SecretString, http: &Http) -> Result<Self, Invalid> {
        let base = BaseUrl::parse(base_url)?;
        let transport = Transport::new(http, base, &errors::DIALECT, api_key, Vec::new(), Vec::new());
        Ok(Self { transport: Arc::new(transport) })
    }

    /// The same client, whose effects are sent before this moment or not at all: an intent is good for so long only.
    pub fn not_after(&self, moment: Instant) -> Self {
        Self { transport: Arc::new(Transport::clone(&self.transport).not_after(moment)) }
    }

    /// The object in `{"data": ...}`.
    async fn data<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, ProviderError> {
        #[derive(Deserialize)]
        struct Answer<T> {
            data: T,
        }
        self.transport.json::<Answer<T>>(request).await.map(|answer| answer.data)
    }

    /// The object in `{"data": ...}`, None if it does not exist.
    async fn data_if_there<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<Option<T>, ProviderError> {
        match self.data(request).await {
            Ok(data) => Ok(Some(data)),
            Err(error) if error.is(Reason::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All entries of a list with `page[number]`. A list that does not end is an error, never cut short: absence from a
    /// list is taken as proof by callers.
    async fn all<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &[&str],
        filters: &[(&str, String)],
    ) -> Result<Vec<T>, ProviderError> {
        self.pages(operation, path, filters, PAGE_SIZE).await
    }

    /// The same for a list whose pages are smaller.
    async fn pages<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &[&str],
        filters: &[(&str, String)],
        size: usize,
    ) -> Result<Vec<T>, ProviderError> {
        let mut entries = Vec::new();
        let mut before = None;
        for number in 1.. {
            let (page, more) = self.raw_page(operation, path, filters, (number, size)).await?;
            let first = page.first().map(Value::to_string);
            // A list that knows no pages answers the same again.
            if number > 1 && first.is_some() && first == before {
                break;
            }
            before = first;
            entries.extend(page);
            if !more {
                break;
            }
        }
        self.readable(operation, entries)
    }

    /// One page of a list, for whoever takes the next one in their own time.
    async fn page<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &[&str],
        filters: &[(&str, String)],
        number: usize,
    ) -> Result<Listed<T>, ProviderError> {
        let (page, more) = self.raw_page(operation, path, filters, (number, PAGE_SIZE)).await?;
        let mark = page.first().map(Value::to_string);
        Ok(Listed { entries: self.readable(operation, page)?, more, mark })
    }

    /// A page's entries, and whether another follows.
    async fn raw_page(
        &self,
        operation: Operation,
        path: &[&str],
        filters: &[(&str, String)],
        (number, size): (usize, usize),
    ) -> Result<(Vec<Value>, bool), ProviderError> {
        if number > MAX_PAGES {
            let text = format!("the list did not end after {MAX_PAGES} pages");
            let what = "look at the account in the Telnyx portal: it holds more than this controller can oversee";
            return Err(self.transport.error(operation, Class::NeedsHuman, Reason::AnswerTooLarge, text, what));
        }
        let mut request = Request::get(operation, path);
        for (name, value) in filters {
            request = request.query(*name, value.clone());
        }
        let request = request.query("page[number]", number.to_string()).query("page[size]", size.to_string());
        let page: Page = self.transport.json(request).await?;
        let count = page.data.len();
        let more = match page.meta.and_then(|meta| meta.total_pages) {
            Some(total) => (number as u64) < total,
            None => count >= size,
        };
        Ok((page.data, more && count > 0))
    }

    /// Leaves out single entries that make no sense (an account may hold short codes); if none does, the form of the
    /// answer has changed, and an empty list would be a lie.
    fn readable<T: DeserializeOwned>(
        &self,
        operation: Operation,
        entries: Vec<Value>,
    ) -> Result<Vec<T>, ProviderError> {
        let count = entries.len();
        let readable: Vec<T> = lenient::items(Value::Array(entries));
        if readable.is_empty() && count > 0 {
            let text = format!("none of {count} entries has the expected form");
            return Err(self.transport.unreadable(operation, text));
        }
        Ok(readable)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("telnyx::Client").field("host", &self.transport.host()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    #[serde(default, deserialize_with = "lenient::maybe")]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    total_pages: Option<u64>,
}
