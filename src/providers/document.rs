//! Fetching a small document without a token, as a provider would: to see that the router's TeXML really is where Telnyx
//! will look for it. Bounded in time and size; redirects are not followed, since Telnyx's following is not documented.

use futures::StreamExt;

use super::base_url::address;
use super::http::Http;

/// A document that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not a URL that may be fetched.
    #[error("the address is not allowed: use https, or http inside the cluster")]
    Address,
    /// No connection or no answer in time.
    #[error("no answer")]
    NoAnswer,
    /// Another status than 200.
    #[error("answered with status {0}")]
    Status(u16),
    /// Too large to be the document.
    #[error("the answer is too large")]
    TooLarge,
    /// Not text.
    #[error("the answer is not text")]
    NotText,
}

const MAX_BYTES: usize = 64 * 1024;
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

impl Http {
    /// Fetches a document of at most 64 KiB.
    pub async fn fetch_document(&self, url: &str) -> Result<String, DocumentError> {
        let (url, plain) = address(url).ok_or(DocumentError::Address)?;
        let client = if plain { &self.direct } else { &self.proxied };
        let request = client.get(url).timeout(TIMEOUT);
        let answer = request.send().await.map_err(|_| DocumentError::NoAnswer)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(DocumentError::Status(answer.status().as_u16()));
        }
        let mut bytes = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|_| DocumentError::NoAnswer)?);
            if bytes.len() > MAX_BYTES {
                return Err(DocumentError::TooLarge);
            }
        }
        String::from_utf8(bytes).map_err(|_| DocumentError::NotText)
    }
}
