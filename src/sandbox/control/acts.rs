//! What can be done: call a line, decide an order, plant and release faults, change settings, move the clock.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refused, parse};
use crate::sandbox::faults::Plan;
use crate::sandbox::server::Shared;
use crate::sandbox::speech::Speech;
use crate::sandbox::{call, telnyx};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    to: String,
    #[serde(default = "caller")]
    from: String,
    #[serde(default = "greeting")]
    text: String,
}

fn caller() -> String {
    "+212661000000".to_owned()
}

fn greeting() -> String {
    "Hello, I am calling about the job that you have posted, please call me back.".to_owned()
}

/// POST /calls: an ordinary call to a line; answers when it is over.
pub async fn call(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let wish: Call = parse(&body)?;
    let report = call::place(&shared, &wish.to, &wish.from, &Speech::sentence(&wish.text)).await;
    Ok(Json(json!(report)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    status: String,
}

/// POST /orders/{id}: decides a pending order by hand.
pub async fn decide_order(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Answer {
    let decision: Decision = parse(&body)?;
    if !["success", "failure", "cancelled"].contains(&decision.status.as_str()) {
        return Err(Refused::bad("status must be success, failure or cancelled"));
    }
    let (mut world, now) = shared.world();
    if telnyx::fulfilment::decide(&mut world, &id, &decision.status, now) {
        Ok(Json(json!({"id": id, "status": decision.status})))
    } else {
        Err(Refused::missing(format!("there is no pending order {id}: the journal shows the ids of orders")))
    }
}

/// POST /faults
pub async fn plant(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let plan: Plan = parse(&body)?;
    plan.possible().map_err(Refused::bad)?;
    let prefix = plan.operation.strip_suffix('*');
    let known = crate::sandbox::operations().into_iter().any(|operation| match prefix {
        Some(prefix) => operation.starts_with(prefix),
        None => operation == plan.operation,
    });
    if !known {
        return Err(Refused::bad(format!("there is no operation {}: GET / lists them", plan.operation)));
    }
    Ok(Json(json!({"id": shared.world().0.faults.plant(plan)})))
}

fn known(found: bool, id: u64) -> Answer {
    if found {
        Ok(Json(json!({ "id": id })))
    } else {
        Err(Refused::missing(format!("there is no fault {id}: GET /faults lists them")))
    }
}

/// POST /faults/{id}/release
pub async fn release_fault(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Answer {
    let found = shared.world().0.faults.release(id);
    known(found, id)
}

/// DELETE /faults/{id}
pub async fn remove_fault(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Answer {
    let found = shared.world().0.faults.remove(id);
    known(found, id)
}

/// DELETE /faults
pub async fn clear_faults(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.world().0.faults.clear();
    Json(json!({}))
}

/// POST /settings: merges what is given into the settings; answers with all of them.
pub async fn change_settings(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let change: Value = parse(&body)?;
    if !change.is_object() {
        return Err(Refused::bad("the settings are a JSON object: GET /settings shows all fields"));
    }
    let (mut world, _) = shared.world();
    world.settings = world.settings.changed(&change).map_err(Refused::bad)?;
    Ok(Json(json!(world.settings)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_s: u32,
}

/// POST /clock: moves the sandbox's clock forward.
pub async fn advance_clock(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let wish: Advance = parse(&body)?;
    let (mut world, _) = shared.world();
    world.ahead += SignedDuration::from_secs(i64::from(wish.advance_s));
    let now = world.now();
    world.advance(now);
    Ok(Json(json!({ "now": now })))
}
