//! Both sides of every number at once, numbers bought by hand, and changes by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refused, parse};
use crate::domain::E164;
use crate::sandbox::http::digits;
use crate::sandbox::meta::line::Line;
use crate::sandbox::server::Shared;
use crate::sandbox::telnyx::numbers::Number;
use crate::sandbox::telnyx::search::Offer;
use crate::sandbox::world::World;

/// The number in the Telnyx account, by its digits; bought again after it was given back, the newest counts.
pub(super) fn find_carried(world: &World, number: &str) -> Option<usize> {
    let there = |n: &Number| n.deleted_at.is_none() && n.e164.strip_prefix('+') == Some(number);
    world.telnyx.numbers.iter().rposition(there)
}

/// The line of a WABA, by its digits or id.
pub(super) fn find_line(world: &World, number: &str) -> Option<usize> {
    world.meta.lines.iter().rposition(|line| line.digits == number || line.id == number)
}

/// GET /numbers
pub async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let (world, _) = shared.world();
    // One pass over each side: a thousand numbers are looked at by tests all the time.
    let mut all: BTreeMap<&str, (Option<&Number>, Option<&Line>)> = BTreeMap::new();
    for number in &world.telnyx.numbers {
        all.entry(number.e164.trim_start_matches('+')).or_default().0 = Some(number);
    }
    for line in &world.meta.lines {
        all.entry(&line.digits).or_default().1 = Some(line);
    }
    let views: Vec<Value> =
        all.into_iter().map(|(number, (carried, line))| view(&world, number, carried, line)).collect();
    Json(json!({ "numbers": views }))
}

fn view(world: &World, number: &str, carried: Option<&Number>, line: Option<&Line>) -> Value {
    let app = carried
        .and_then(|n| n.connection.as_ref())
        .and_then(|id| world.telnyx.applications.iter().find(|app| app.id == *id));
    json!({
        "phone_number": format!("+{number}"),
        "telnyx": carried.map(|n| json!({
            "id": n.id, "status": n.status, "type": n.kind, "customer_reference": n.reference, "tags": n.tags,
            "connection_id": n.connection, "application": app.map(|app| &app.fields["friendly_name"]),
            "voice_url": app.map(|app| &app.fields["voice_url"]),
            "upfront_usd": n.price.upfront, "monthly_usd": n.price.monthly,
        })),
        "meta": line.map(|line| json!({
            "id": line.id, "waba": line.waba, "status": line.status, "verified_name": line.name,
            "name_status": line.name_status, "verified": line.code_status == "VERIFIED",
            "code_verification_status": line.code_status, "registered": line.cloud, "has_pin": line.pin.is_some(),
            "new_display_name": line.new_name.as_ref().map(|name| &name.name), "quality_rating": line.quality,
            "messaging_limit": line.limit, "override_callback_uri": line.override_uri,
            "code_requests": line.requests.len(), "registers": line.registers.len(),
        })),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Existing {
    phone_number: String,
    #[serde(default = "mobile", rename = "type")]
    kind: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    customer_reference: Option<String>,
}

fn mobile() -> String {
    "mobile".to_owned()
}

/// POST /existing-numbers: a number that somebody bought in the portal.
pub async fn existing(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let wish: Existing = parse(&body)?;
    let e164 = E164::parse(&wish.phone_number).map_err(|error| Refused::bad(error.to_string()))?;
    let (mut world, now) = shared.world();
    if world.telnyx.numbers.iter().any(|number| number.deleted_at.is_none() && number.e164 == e164.as_str()) {
        return Err(Refused::bad(format!("{e164} is in the account already: GET /numbers lists what there is")));
    }
    let price = world.settings.telnyx.prices.get(&wish.kind).copied().unwrap_or_default();
    let offer = Offer { country: "MA".to_owned(), kind: wish.kind, price, at: now };
    let id = world.numeric_of(19, "number", e164.as_str());
    let number = Number {
        tags: wish.tags,
        reference: wish.customer_reference,
        ..Number::new(id.clone(), e164.as_str(), &offer, now, now)
    };
    world.telnyx.numbers.push(number);
    Ok(Json(json!({"id": id, "phone_number": e164.as_str()})))
}

/// What is to change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    telnyx: Option<CarrierChange>,
    meta: Option<LineChange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CarrierChange {
    status: Option<String>,
    tags: Option<Vec<String>>,
    customer_reference: Option<String>,
    connection_id: Option<String>,
    deletion_lock: Option<bool>,
    #[serde(default)]
    remove: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineChange {
    status: Option<String>,
    name_status: Option<String>,
    verified_name: Option<String>,
    code_verification_status: Option<String>,
    quality_rating: Option<String>,
    messaging_limit: Option<String>,
    override_callback_uri: Option<String>,
    pin: Option<String>,
    /// So many codes are requested in the portal, which uses up the same budget.
    #[serde(default)]
    portal_code_requests: usize,
    #[serde(default)]
    remove: bool,
}

impl Change {
    /// Refuses a change of what is not there.
    pub(super) fn possible(&self, world: &World, wanted: &str) -> Result<(), Refused> {
        if self.telnyx.is_some() && find_carried(world, wanted).is_none() {
            return Err(Refused::missing(format!("{wanted} is not in the Telnyx account: GET /numbers lists what is")));
        }
        if self.meta.is_some() && find_line(world, wanted).is_none() {
            return Err(Refused::missing(format!("{wanted} is in no WABA: GET /numbers lists what is")));
        }
        Ok(())
    }
}

/// Carries out a change that is possible.
pub(super) fn apply(world: &mut World, wanted: &str, change: Change) -> Result<(), Refused> {
    change.possible(world, wanted)?;
    if let (Some(change), Some(place)) = (change.telnyx, find_carried(world, wanted)) {
        if change.remove {
            world.telnyx.numbers.remove(place);
        } else {
            let n = &mut world.telnyx.numbers[place];
            set(&mut n.status, change.status);
            set(&mut n.tags, change.tags);
            set(&mut n.locked, change.deletion_lock);
            n.reference = change.customer_reference.or(n.reference.take());
            n.connection = change.connection_id.or(n.connection.take()).filter(|id| !id.is_empty());
        }
    }
    if let (Some(change), Some(place)) = (change.meta, find_line(world, wanted)) {
        if change.remove {
            world.meta.lines.remove(place);
        } else {
            let now = world.now();
            let line = &mut world.meta.lines[place];
            line.requests.extend(std::iter::repeat_n(now, change.portal_code_requests.min(100)));
            set(&mut line.status, change.status);
            set(&mut line.name_status, change.name_status);
            set(&mut line.name, change.verified_name);
            set(&mut line.code_status, change.code_verification_status);
            set(&mut line.quality, change.quality_rating);
            set(&mut line.limit, change.messaging_limit);
            line.pin = change.pin.or(line.pin.take());
            line.override_uri = change.override_callback_uri.or(line.override_uri.take()).filter(|uri| !uri.is_empty());
        }
    }
    Ok(())
}

/// POST /numbers/{number}: what a person could change in a portal, or a provider by itself.
pub async fn change(State(shared): State<Arc<Shared>>, Path(number): Path<String>, body: Bytes) -> Answer {
    let change: Change = parse(&body)?;
    let wanted = digits(&number);
    let (mut world, _) = shared.world();
    apply(&mut world, &wanted, change)?;
    let carried = world.telnyx.numbers.iter().rev().find(|n| n.e164.strip_prefix('+') == Some(wanted.as_str()));
    let line = find_line(&world, &wanted).and_then(|place| world.meta.lines.get(place));
    Ok(Json(view(&world, &wanted, carried, line)))
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
