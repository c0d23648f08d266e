//! Carries out a fault that strikes: answers, drops, hangs, holds or delays.
//!
//! Whether a call is struck is decided in `faults`; here is only what needs time. A held or hanging call counts as
//! `holding` until it is let go.

use std::time::Duration;

use hyper::body::Bytes;
use serde_json::Value;

use super::faults::{Action, Strike};
use super::http::Response;
use super::server::Shared;

/// What a fault leaves to do.
pub enum Carried {
    /// As if nothing was.
    GoOn,
    /// Answer with this.
    Answer(Response),
    /// No answer at all.
    Drop,
}

/// Carries out a fault.
pub async fn carry_out(shared: &Shared, strike: &Strike) -> Carried {
    let wait_for_release = async || {
        shared.world().0.faults.hold(strike.id, 1);
        let mut released = strike.released.clone();
        // An error means that the fault is gone, which releases too.
        let _ = released.wait_for(|released| *released).await;
        shared.world().0.faults.hold(strike.id, -1);
    };
    match strike.plan.action {
        Action::Drop => Carried::Drop,
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
            Carried::Drop
        }
        Action::Status => Carried::Answer(planned(strike)),
    }
}

fn planned(strike: &Strike) -> Response {
    let status = strike.plan.status.unwrap_or(503);
    let mut response = match &strike.plan.body {
        None => Response::bytes(status, "text/plain; charset=utf-8", Bytes::from_static(b"fault")),
        Some(Value::String(text)) => Response::bytes(status, "text/html; charset=utf-8", Bytes::from(text.clone())),
        Some(value) => Response::json(status, value),
    };
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
