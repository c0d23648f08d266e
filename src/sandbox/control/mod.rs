//! The control port: how a person or a test acts as candidate, caller, provider's staff and observer.
//!
//! Not part of either provider's API. Everything is JSON; what it takes and answers is written down in docs/sandbox.md.

mod acts;
mod lines;
mod messages;
mod numbers;
mod views;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::server::Shared;

/// All routes.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(views::index))
        .route("/messages", post(messages::messages))
        .route("/statuses", post(messages::statuses))
        .route("/webhook-raw", post(messages::raw))
        .route("/calls", post(acts::call))
        .route("/ledger", get(views::ledger))
        .route("/limits", get(views::limits))
        .route("/journal", get(views::journal))
        .route("/codes", get(views::codes))
        .route("/numbers", get(numbers::list).post(lines::change))
        .route("/lines", post(lines::create))
        .route("/numbers/{number}", post(numbers::change))
        .route("/existing-numbers", post(numbers::existing))
        .route("/recordings", get(views::recordings))
        .route("/orders/{id}", post(acts::decide_order))
        .route("/faults", get(views::faults).post(acts::plant).delete(acts::clear_faults))
        .route("/faults/{id}", get(views::fault).delete(acts::remove_fault))
        .route("/faults/{id}/release", post(acts::release_fault))
        .route("/settings", get(views::settings).post(acts::change_settings))
        .route("/clock", post(acts::advance_clock))
        .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
        .fallback(|| async { Refused::missing("there is nothing here: GET / lists what there is") })
        .with_state(shared)
}

/// A request that can't be carried out: status and a sentence that ends in the way out.
pub struct Refused(StatusCode, String);

impl Refused {
    /// 400.
    pub fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    /// 404.
    pub fn missing(text: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// What every handler answers.
pub type Answer = Result<Json<Value>, Refused>;

/// Parses a body whatever its content type says: curl sends forms by default.
pub fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::bad(format!("{error}: see docs/sandbox.md for the fields")))
}
