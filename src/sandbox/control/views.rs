//! What can be read: ledger, journal, codes, recordings, faults, settings.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refused};
use crate::sandbox::http::digits;
use crate::sandbox::ledger::Kind;
use crate::sandbox::server::Shared;
use crate::sandbox::telnyx::time;

/// GET /
pub async fn index(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let (world, now) = shared.world();
    Json(json!({
        "now": now, "speed": world.speed, "webhook_url": world.webhook_url,
        "get": ["/ledger", "/journal?after=N&operation=NAME&full=1", "/codes?to=NUMBER", "/numbers", "/recordings",
                "/limits", "/faults", "/faults/{id}", "/settings"],
        "post": ["/messages", "/statuses", "/webhook-raw", "/calls", "/existing-numbers", "/lines", "/numbers",
                 "/numbers/{number}", "/orders/{id}", "/faults", "/faults/{id}/release", "/settings", "/clock"],
        "delete": ["/faults", "/faults/{id}"],
        "operations": crate::sandbox::operations(),
    }))
}

/// GET /ledger
pub async fn ledger(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let (world, _) = shared.world();
    let orders = world.ledger.entries().iter().filter(|entry| entry.kind == Kind::Order).count();
    Json(json!({
        "entries": world.ledger.entries(), "orders": orders, "upfront_usd": world.ledger.upfront().to_string(),
        "monthly_usd": world.ledger.monthly().to_string(),
    }))
}

/// GET /limits: calls accepted and refused by account.
pub async fn limits(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.world().0.limits.list())
}

/// Query of GET /journal.
#[derive(Deserialize)]
pub struct JournalQuery {
    #[serde(default)]
    after: u64,
    operation: Option<String>,
    #[serde(default)]
    full: u8,
}

/// GET /journal
pub async fn journal(State(shared): State<Arc<Shared>>, Query(query): Query<JournalQuery>) -> Json<Value> {
    let (world, _) = shared.world();
    let entries = world.journal.list(query.after, query.operation.as_deref(), query.full > 0);
    Json(json!({"entries": entries, "last": world.journal.last()}))
}

/// Query of GET /codes.
#[derive(Deserialize)]
pub struct CodesQuery {
    to: Option<String>,
    #[serde(default)]
    all: u8,
}

/// GET /codes: what the person with the phone hears or reads. Numbers of the Telnyx account are left out, since a code
/// for one of them must come out of its recording.
pub async fn codes(State(shared): State<Arc<Shared>>, Query(query): Query<CodesQuery>) -> Json<Value> {
    let (world, now) = shared.world();
    let carried =
        |number: &str| world.telnyx.numbers.iter().any(|n| n.deleted_at.is_none() && digits(&n.e164) == number);
    let codes: Vec<Value> = world
        .meta
        .lines
        .iter()
        .filter(|line| query.to.as_ref().is_none_or(|to| digits(to) == line.digits))
        .filter(|line| query.all > 0 || !carried(&line.digits))
        .filter_map(|line| {
            let code = line.code.as_ref()?;
            Some(json!({
                "to": format!("+{}", line.digits), "code": code.code, "method": code.method, "heard": code.spoken,
                "language": code.language, "at": code.at, "expires": code.expires, "valid": now < code.expires,
            }))
        })
        .collect();
    Json(json!({ "codes": codes }))
}

/// GET /recordings
pub async fn recordings(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let (world, now) = shared.world();
    let all: Vec<Value> = world
        .telnyx
        .recordings
        .iter()
        .map(|recording| {
            let transcription = recording.transcription.as_ref();
            json!({
                "id": recording.id, "to": recording.to, "from": recording.from, "started": time(recording.started),
                "visible": recording.visible <= now, "appears": recording.visible, "deleted": recording.deleted,
                "heard": recording.text,
                "transcription": transcription.map(|t| json!({
                    "id": t.id, "completed": t.completed <= now, "completes": t.completed, "deleted": t.deleted,
                })),
            })
        })
        .collect();
    Json(json!({ "recordings": all }))
}

/// GET /faults
pub async fn faults(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({"faults": shared.world().0.faults.list()}))
}

/// GET /faults/{id}
pub async fn fault(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Answer {
    let found = shared.world().0.faults.show(id);
    found.map(Json).ok_or_else(|| Refused::missing(format!("there is no fault {id}: GET /faults lists them")))
}

/// GET /settings
pub async fn settings(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.world().0.settings))
}
