//! The WhatsApp account, the business behind it, and the token.

use secrecy::ExposeSecret;
use serde::Deserialize;

use super::types::{Business, TokenInfo, Waba};
use super::{Client, ProviderError};
use crate::domain::{BusinessId, WabaId};
use crate::providers::pace::Endpoints;
use crate::providers::request::{Operation, Request};

impl Client {
    /// `GET /{waba}`.
    pub async fn waba(&self, id: &WabaId) -> Result<Waba, ProviderError> {
        const FIELDS: &str = "id,name,currency,timezone_id,account_review_status,business_verification_status,status";
        let path = self.path(&[id.as_str()]);
        self.transport().json(Request::get(Operation::read("waba"), &path).query("fields", FIELDS)).await
    }

    /// `GET /{business}`; its verification needs the scope business_management.
    pub async fn business(&self, id: &BusinessId) -> Result<Business, ProviderError> {
        let path = self.path(&[id.as_str()]);
        let request = Request::get(Operation::read("business"), &path).query("fields", "id,name,verification_status");
        self.transport().json(request).await
    }

    /// `GET /debug_token`: what our own token may do. Asked as the app, since a token need not be able to inspect itself.
    pub async fn debug_token(&self) -> Result<TokenInfo, ProviderError> {
        #[derive(Deserialize)]
        struct Answer {
            data: TokenInfo,
        }
        let path = self.path(&["debug_token"]);
        let request = Request::get(Operation::read("debug_token").of(Endpoints::App), &path)
            .query("input_token", self.inner.access_token.expose_secret());
        self.inner.app_transport.json::<Answer>(request).await.map(|answer| answer.data)
    }
}
