//! Many numbers at once, as if they had been bought, verified and registered long ago, and many changes at once.
//!
//! For tests that need a thousand working lines and not the way there. Nothing of it is in the ledger, uses up a budget
//! or asks for a slot. All of one request happens, or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::numbers::{Change, apply, find_carried, find_line};
use super::{Answer, Refused, parse};
use crate::domain::E164;
use crate::sandbox::http::digits;
use crate::sandbox::meta::line::Line;
use crate::sandbox::meta::wabas;
use crate::sandbox::server::Shared;
use crate::sandbox::telnyx::numbers::Number;
use crate::sandbox::telnyx::search::Offer;
use crate::sandbox::world::World;

/// What lines have in common, and what each has of its own.
#[derive(Deserialize, Clone, Default)]
#[serde(default)]
struct Common {
    waba: Option<String>,
    application: Option<String>,
    pin: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    tags: Option<Vec<String>>,
    customer_reference: Option<String>,
    profile: Option<Map<String, Value>>,
    override_callback_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    phone_number: String,
    #[serde(flatten)]
    own: Common,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wishes {
    lines: Vec<Wish>,
    #[serde(flatten)]
    common: Common,
}

/// A wish that can be fulfilled.
struct Ready {
    e164: E164,
    wish: Common,
    connection: Option<String>,
}

fn ready(world: &World, wish: Wish, common: &Common) -> Result<Ready, Refused> {
    let e164 = E164::parse(&wish.phone_number).map_err(|error| Refused::bad(error.to_string()))?;
    let own = wish.own;
    let wish = Common {
        waba: own.waba.or_else(|| common.waba.clone()),
        application: own.application.or_else(|| common.application.clone()),
        pin: own.pin.or_else(|| common.pin.clone()),
        name: own.name.or_else(|| common.name.clone()),
        kind: own.kind.or_else(|| common.kind.clone()),
        tags: own.tags.or_else(|| common.tags.clone()),
        customer_reference: own.customer_reference.or_else(|| common.customer_reference.clone()),
        profile: own.profile.or_else(|| common.profile.clone()),
        override_callback_uri: own.override_callback_uri.or_else(|| common.override_callback_uri.clone()),
    };
    let wanted = digits(e164.as_str());
    if find_carried(world, &wanted).is_some() || find_line(world, &wanted).is_some() {
        return Err(Refused::bad(format!("{e164} is there already: change it with POST /numbers")));
    }
    let connection = match &wish.application {
        None => None,
        Some(asked) => {
            let mut apps = world.telnyx.applications.iter();
            let app = apps.find(|app| app.id == *asked || app.fields["friendly_name"] == asked.as_str());
            let missing = || {
                Refused::missing(format!(
                    "there is no application {asked}: make it with POST /texml_applications first"
                ))
            };
            Some(app.ok_or_else(missing)?.id.clone())
        }
    };
    Ok(Ready { e164, wish, connection })
}

fn put(world: &mut World, ready: Ready, now: Timestamp) -> Value {
    let Ready { e164, wish, connection } = ready;
    let kind = wish.kind.unwrap_or_else(|| "mobile".to_owned());
    let price = world.settings.telnyx.prices.get(&kind).copied().unwrap_or_default();
    let offer = Offer { country: "MA".to_owned(), kind, price, at: now };
    let id = world.numeric_of(19, "number", e164.as_str());
    world.telnyx.numbers.push(Number {
        connection,
        reference: wish.customer_reference,
        tags: wish.tags.unwrap_or_default(),
        ..Number::new(id.clone(), e164.as_str(), &offer, now, now)
    });
    let waba = wish.waba.unwrap_or_else(|| "104".to_owned());
    wabas::named(world, &waba).subscribed = true;
    let line_id = world.numeric_of(15, "meta.number", &digits(e164.as_str()));
    let name = wish.name.unwrap_or_else(|| "Sandbox line".to_owned());
    world.meta.lines.push(Line {
        name_status: "APPROVED".to_owned(),
        code_status: "VERIFIED".to_owned(),
        status: "CONNECTED".to_owned(),
        cloud: true,
        pin: Some(wish.pin.unwrap_or_else(|| "000000".to_owned())),
        onboarded: Some(now),
        quality: "GREEN".to_owned(),
        override_uri: wish.override_callback_uri.filter(|uri| !uri.is_empty()),
        profile: wish.profile.unwrap_or_default(),
        ..Line::new(line_id.clone(), waba, digits(e164.as_str()), "212".to_owned(), name, now)
    });
    json!({"phone_number": e164.as_str(), "telnyx": id, "meta": line_id})
}

/// POST /lines: numbers that are in the Telnyx account and registered at Meta; answers with their ids.
pub async fn create(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let Wishes { lines, common } = parse(&body)?;
    let (mut world, now) = shared.world();
    let (mut all, mut seen) = (Vec::with_capacity(lines.len()), BTreeSet::new());
    for wish in lines {
        let ready = ready(&world, wish, &common)?;
        if !seen.insert(ready.e164.as_str().to_owned()) {
            return Err(Refused::bad(format!("{} is in the list twice: give each number once", ready.e164)));
        }
        all.push(ready);
    }
    let made: Vec<Value> = all.into_iter().map(|ready| put(&mut world, ready, now)).collect();
    Ok(Json(json!({ "lines": made })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    phone_number: String,
    #[serde(flatten)]
    change: Change,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    changes: Vec<Changed>,
}

/// POST /numbers: what POST /numbers/{number} does, for many.
pub async fn change(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let Changes { changes } = parse(&body)?;
    let (mut world, _) = shared.world();
    for Changed { phone_number, change } in &changes {
        change.possible(&world, &digits(phone_number))?;
    }
    let count = changes.len();
    for Changed { phone_number, change } in changes {
        apply(&mut world, &digits(&phone_number), change)?;
    }
    Ok(Json(json!({ "changed": count })))
}
