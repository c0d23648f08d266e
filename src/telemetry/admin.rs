//! The admin port: `/metrics`, `/livez` (the process runs), `/readyz` (it should get traffic). For the cluster's inside
//! only; it never shows more than numbers and the names of parts.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listen::{self, Limits};

use super::{Readiness, Registry};

/// What is asked here is answered at once.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves the admin port until `stop`.
pub async fn serve(listener: TcpListener, registry: Registry, readiness: Readiness, stop: CancellationToken) {
    listen::serve(listener, app(registry, readiness), Limits { drain: DRAIN, ..Limits::new("admin", 64) }, stop).await;
}

fn app(registry: Registry, readiness: Readiness) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || std::future::ready(ready(&readiness))))
        .route("/metrics", get(move || std::future::ready(metrics(&registry))))
}

fn ready(readiness: &Readiness) -> Response {
    let (ready, text) = readiness.report();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
