//! Carries out a fault that strikes: answers otherwise, drops, hangs, holds, delays, cuts, drips or alters.
//!
//! Whether a call is struck is decided in `faults`, how bytes are cut and dripped in `wire`; here is only what needs
//! time and which answer it is. A held or hanging call counts as `holding` until it is let go.

use std::time::Duration;

use hyper::body::Bytes;
use serde_json::Value;

use super::alter::altered;
use super::faults::{Action, Strike};
use super::http::Response;
use super::server::Shared;
use super::wire::{Dropped, Wire};
use super::{meta, telnyx};

/// What a fault leaves to do.
pub enum Carried {
    /// As if nothing was.
    GoOn,
    /// Answer with this.
    Answer(Response),
    /// No answer at all.
    Drop(Dropped),
}

/// Carries out a fault; `real` is the answer that there would have been, once the effect has happened.
pub async fn carry_out(shared: &Shared, strike: &Strike, real: Option<&Response>) -> Carried {
    let wait_for_release = async || {
        shared.world().0.faults.hold(strike.id, 1);
        let mut released = strike.released.clone();
        // An error means that the fault is gone, which releases too.
        let _ = released.wait_for(|released| *released).await;
        shared.world().0.faults.hold(strike.id, -1);
    };
    match strike.plan.action {
        Action::Drop => Carried::Drop(Dropped::Closed),
        Action::Reset => Carried::Drop(Dropped::Reset),
        Action::Delay => {
            tokio::time::sleep(Duration::from_millis(strike.plan.delay_ms.unwrap_or(1_000))).await;
            Carried::GoOn
        }
        Action::Hold => {
            wait_for_release().await;
            Carried::GoOn
        }
        Action::Hang => {
            wait_for_release().await;
            Carried::Drop(Dropped::Closed)
        }
        Action::Status => Carried::Answer(planned(strike)),
        Action::Html => Carried::Answer(page(strike)),
        Action::Throttle => Carried::Answer(throttled(shared, strike)),
        Action::Huge => {
            let mut response = Response::json(strike.plan.status.unwrap_or(200), &Value::Null);
            let bytes = strike.plan.bytes.unwrap_or(100 * 1024 * 1024);
            response.wire = Wire::Huge { bytes, length: strike.plan.length };
            Carried::Answer(response)
        }
        Action::Truncate => {
            let mut response = real.cloned().unwrap_or_else(|| planned(strike));
            let at = strike.plan.at.unwrap_or(response.body.len() / 2).min(response.body.len());
            response.wire = Wire::Truncated { at, chunked: strike.plan.chunked };
            Carried::Answer(response)
        }
        Action::Slow => {
            let mut response = real.cloned().unwrap_or_else(|| planned(strike));
            let rate = strike.plan.bytes_per_second.unwrap_or(10);
            response.wire = if strike.plan.slow_head { Wire::SlowHead { rate } } else { Wire::SlowBody { rate } };
            Carried::Answer(response)
        }
        Action::Alter => real.map_or(Carried::GoOn, |real| Carried::Answer(changed(real.clone(), strike))),
    }
}

/// What a proxy in front of the provider says of it, or of itself with status 200.
fn page(strike: &Strike) -> Response {
    let status = strike.plan.status.unwrap_or(502);
    let title = match status {
        200 => "Just a moment...".to_owned(),
        502 => "502 Bad Gateway".to_owned(),
        503 => "503 Service Temporarily Unavailable".to_owned(),
        504 => "504 Gateway Time-out".to_owned(),
        other => format!("{other} Error"),
    };
    let text = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    with_headers(Response::bytes(status, "text/html", Bytes::from(text)), strike)
}

fn throttled(shared: &Shared, strike: &Strike) -> Response {
    let mut response = if strike.operation.starts_with("meta.") {
        let settings = &shared.world().0.settings.meta;
        meta::errors::too_many_on_waba(settings.limit_code, settings.limit_status)
    } else {
        telnyx::errors::too_many()
    };
    response.status = strike.plan.status.unwrap_or(response.status);
    if let Some(seconds) = strike.plan.retry_after_s {
        response.headers.push(("retry-after".to_owned(), seconds.to_string()));
    }
    with_headers(response, strike)
}

fn changed(mut response: Response, strike: &Strike) -> Response {
    if let Ok(body) = serde_json::from_slice(&response.body) {
        response.body = Bytes::from(altered(body, &strike.plan.set, &strike.plan.remove).to_string());
    }
    if let Some(kind) = &strike.plan.content_type {
        response.content_type.clone_from(kind);
    }
    with_headers(response, strike)
}

fn planned(strike: &Strike) -> Response {
    let status = strike.plan.status.unwrap_or(503);
    let response = match &strike.plan.body {
        None => Response::bytes(status, "text/plain; charset=utf-8", Bytes::from_static(b"fault")),
        Some(Value::String(text)) => Response::bytes(status, "text/html; charset=utf-8", Bytes::from(text.clone())),
        Some(value) => Response::json(status, value),
    };
    with_headers(response, strike)
}

fn with_headers(mut response: Response, strike: &Strike) -> Response {
    for (name, value) in &strike.plan.headers {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if name.eq_ignore_ascii_case("content-type") {
            response.content_type = value;
        } else {
            response.headers.push((name.clone(), value));
        }
    }
    response
}
