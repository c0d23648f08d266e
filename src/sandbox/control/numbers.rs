//! Both sides of every number at once, numbers bought by hand, and changes by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refused, parse};
use crate::domain::E164;
use crate::sandbox::http::digits;
use crate::sandbox::server::Shared;
use crate::sandbox::telnyx::numbers::Number;
use crate::sandbox::telnyx::search::Offer;
use crate::sandbox::world::World;

/// GET /numbers
pub async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let (world, _) = shared.world();
    let carried = world.telnyx.numbers.iter().map(|number| digits(&number.e164));
    let all: BTreeSet<String> = carried.chain(world.meta.lines.iter().map(|line| line.digits.clone())).collect();
    let views: Vec<Value> = all.iter().map(|number| view(&world, number)).collect();
    Json(json!({ "numbers": views }))
}

fn view(world: &World, number: &str) -> Value {
    // Bought again after it was given back: the newest counts.
    let carried = world.telnyx.numbers.iter().rev().find(|n| digits(&n.e164) == number);
    let line = world.meta.lines.iter().rev().find(|line| line.digits == number);
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
    let id = world.numeric(19, "number");
    let number = Number {
        tags: wish.tags,
        reference: wish.customer_reference,
        ..Number::new(id.clone(), e164.as_str(), &offer, now, now)
    };
    world.telnyx.numbers.push(number);
    Ok(Json(json!({"id": id, "phone_number": e164.as_str()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
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
    #[serde(default)]
    remove: bool,
}

/// POST /numbers/{number}: what a person could change in a portal, or a provider by itself.
pub async fn change(State(shared): State<Arc<Shared>>, Path(number): Path<String>, body: Bytes) -> Answer {
    let change: Change = parse(&body)?;
    let wanted = digits(&number);
    let (mut world, _) = shared.world();
    if let Some(change) = change.telnyx {
        let found = world.telnyx.numbers.iter().position(|n| n.deleted_at.is_none() && digits(&n.e164) == wanted);
        let place = found.ok_or_else(|| {
            Refused::missing(format!("{number} is not in the Telnyx account: GET /numbers lists what is"))
        })?;
        if change.remove {
            world.telnyx.numbers.remove(place);
        } else {
            let n = &mut world.telnyx.numbers[place];
            set(&mut n.status, change.status);
            set(&mut n.tags, change.tags);
            n.reference = change.customer_reference.or(n.reference.take());
            n.connection = change.connection_id.or(n.connection.take()).filter(|id| !id.is_empty());
        }
    }
    if let Some(change) = change.meta {
        let found = world.meta.lines.iter().position(|line| line.digits == wanted || line.id == wanted);
        let place =
            found.ok_or_else(|| Refused::missing(format!("{number} is in no WABA: GET /numbers lists what is")))?;
        if change.remove {
            world.meta.lines.remove(place);
        } else {
            let line = &mut world.meta.lines[place];
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
    Ok(Json(view(&world, &wanted)))
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
