//! The call log: call events (24 hours) and detail records (later), of calls to the account's numbers.
//!
//! Telnyx: events exist only for calls that an application took; unknown filters of call_events are ignored; a
//! detail_records query without a known record_type is refused. Neither carries what was said.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{errors, page, time};
use crate::sandbox::http::{Request, Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

/// A call event.
#[derive(Clone)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// `call.initiated`, `call.answered`, `call.hangup`.
    pub name: &'static str,
    /// The call's facts.
    pub call: Facts,
    /// Fields of this event beside the call's.
    pub more: Value,
}

/// What all records of one call share.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Caller, E.164.
    pub from: String,
    /// Called, E.164.
    pub to: String,
    /// Application, empty if none.
    pub connection: String,
    /// UUIDs.
    pub leg: String,
    /// Session.
    pub session: String,
}

/// A detail record.
#[derive(Clone)]
pub struct Record {
    /// From when on it is there.
    pub visible: Timestamp,
    /// When the call began.
    pub started: Timestamp,
    /// Called number, E.164.
    pub to: String,
    /// The record.
    pub value: Value,
}

impl Event {
    fn view(&self, world: &World) -> Value {
        let mut payload = json!({
            "call_control_id": format!("v3:{}", self.call.leg), "call_leg_id": self.call.leg,
            "call_session_id": self.call.session, "connection_id": self.call.connection, "client_state": null,
            "from": self.call.from, "to": self.call.to, "direction": "incoming",
        });
        for (key, value) in self.more.as_object().into_iter().flatten() {
            payload[key] = value.clone();
        }
        let event = json!({"event_type": self.name, "id": world.dice.uuid("event", &format!("{} {}", self.call.leg, self.name)),
                           "occurred_at": time(self.at), "record_type": "event", "payload": payload});
        json!({
            "record_type": "call_event", "name": self.name, "type": "webhook", "call_leg_id": self.call.leg,
            "call_session_id": self.call.session, "event_timestamp": time(self.at),
            "metadata": {"status": "delivered", "attempt": 1, "event": event},
        })
    }
}

/// GET /call_events
pub fn list_events(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let req = ctx.req;
    let by_call = req.filter("leg_id").is_some() || req.filter("application_session_id").is_some();
    let since = ctx.now - SignedDuration::from_hours(24);
    let number = |name: &str, value: &str| req.filter(name).is_none_or(|wanted| digits(wanted) == digits(value));
    let same = |name: &str, value: &str| req.filter(name).is_none_or(|wanted| wanted == value);
    let found: Vec<Value> = world
        .telnyx
        .events
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, event)| by_call || event.at >= since)
        .filter(|(_, event)| number("to", &event.call.to) && number("from", &event.call.from))
        .filter(|(_, event)| same("connection_id", &event.call.connection) && same("leg_id", &event.call.leg))
        .filter(|(_, event)| same("application_session_id", &event.call.session) && same("name", event.name))
        .filter(|(_, event)| {
            same("type", "webhook") && same("product", "texml") && in_range(req, "occurred_at", event.at)
        })
        .map(|(_, event)| event.view(world))
        .collect();
    page(req, &found, 250)
}

/// The words of the file; there is neither `call` nor `texml`.
const RECORD_TYPES: [&str; 21] = [
    "ai-voice-assistant",
    "amd",
    "call-control",
    "conference",
    "conference-participant",
    "embedding",
    "fax",
    "inference",
    "inference-speech-to-text",
    "media_storage",
    "media-streaming",
    "messaging",
    "noise-suppression",
    "recording",
    "sip-trunking",
    "siprec-client",
    "stt",
    "tts",
    "verify",
    "webrtc",
    "wireless",
];

const RANGES: [&str; 9] =
    ["yesterday", "today", "tomorrow", "last_week", "this_week", "next_week", "last_month", "this_month", "next_month"];

fn is_range(word: &str) -> bool {
    let days = word.strip_prefix("last_").and_then(|rest| rest.strip_suffix("_days"));
    RANGES.contains(&word) || days.is_some_and(|days| days.parse::<u16>().is_ok())
}

/// GET /detail_records
pub fn list_records(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let req = ctx.req;
    let Some(kind) = req.filter("record_type").filter(|kind| RECORD_TYPES.contains(kind)) else {
        // Alone of all refusals this one has no meta, says the file.
        let error = json!({"code": "10015", "title": "Bad Request", "detail": "No matching record type."});
        return Err(Response::json(400, &json!({"errors": [error]})));
    };
    if req.query.iter().any(|(key, _)| key.starts_with("filter[date_range]["))
        || req.filter("date_range").is_some_and(|word| !is_range(word))
    {
        return Err(errors::bad_parameter("filter[date_range]", "date_range must be one of the documented values."));
    }
    let found: Vec<Value> = world
        .telnyx
        .records
        .iter()
        .rev()
        .filter(|record| record.visible <= ctx.now && record.value["record_type"] == kind)
        .filter(|record| req.filter("cld").is_none_or(|wanted| digits(wanted) == digits(&record.to)))
        .filter(|record| req.filter("direction").is_none_or(|wanted| record.value["direction"] == wanted))
        .filter(|record| in_range(req, "started_at", record.started))
        .map(|record| record.value.clone())
        .collect();
    page(req, &found, 50)
}

/// Whether `at` fits `filter[name][eq|gt|gte|lt|lte]`; a bound that is no time fits nothing.
pub fn in_range(req: &Request, name: &str, at: Timestamp) -> bool {
    [("eq", at), ("gt", at), ("gte", at), ("lt", at), ("lte", at)].iter().all(|(op, at)| {
        let Some(text) = req.filter_op(name, op) else { return true };
        let Ok(bound) = text.replace(' ', "+").parse::<Timestamp>() else { return false };
        match *op {
            "eq" => *at == bound,
            "gt" => *at > bound,
            "gte" => *at >= bound,
            "lt" => *at < bound,
            _ => *at <= bound,
        }
    })
}
