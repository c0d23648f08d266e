//! Voice settings of owned numbers: forwarding, recording, screening.
//!
//! Telnyx: PATCH changes what it names, also inside an object; forwarding and screening keep calls from the application;
//! whether a number forwards is shown in the list of numbers as well.

use serde_json::{Value, json};

use super::numbers::{Number, position};
use super::{data, errors, object, page, set_only};
use crate::sandbox::http::{Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

fn view(number: &Number) -> Value {
    let mut settings = json!({
        "id": number.id, "record_type": "voice_settings", "phone_number": number.e164,
        "connection_id": number.connection, "customer_reference": number.reference, "tech_prefix_enabled": false,
        "translated_number": "", "usage_payment_method": "pay-per-minute", "inbound_call_screening": "disabled",
        "call_forwarding": {"call_forwarding_enabled": false, "forwarding_type": "always", "forwards_to": ""},
        "call_recording": {"inbound_call_recording_enabled": false, "inbound_call_recording_format": "wav",
                           "inbound_call_recording_channels": "single"},
        "cnam_listing": {"cnam_listing_enabled": false, "cnam_listing_details": ""},
        "emergency": {"emergency_enabled": false, "emergency_address_id": "", "emergency_status": "disabled"},
        "media_features": {"rtp_auto_adjust_enabled": true, "accept_any_rtp_packets_enabled": false,
                           "t38_fax_gateway_enabled": true},
    });
    merge(&mut settings, &number.voice);
    set_only(settings)
}

fn merge(into: &mut Value, change: &Value) {
    for (key, value) in change.as_object().into_iter().flatten() {
        if value.is_object() && into[key].is_object() {
            merge(&mut into[key], value);
        } else {
            into[key] = value.clone();
        }
    }
}

/// GET /phone_numbers/voice
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let req = ctx.req;
    let found: Vec<Value> = world
        .telnyx
        .numbers
        .iter()
        .rev()
        .filter(|number| number.deleted_at.is_none() && number.visible <= ctx.now)
        .filter(|number| req.filter("phone_number").is_none_or(|wanted| digits(&number.e164).contains(&digits(wanted))))
        .filter(|number| {
            req.filter("customer_reference").is_none_or(|wanted| number.reference.as_deref() == Some(wanted))
        })
        .map(view)
        .collect();
    page(req, &found, 250)
}

/// GET /phone_numbers/{id}/voice
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    data(200, &view(&world.telnyx.numbers[place]))
}

const WORDS: [(&str, &[&str]); 4] = [
    ("/inbound_call_screening", &["disabled", "reject_calls", "flag_calls"]),
    ("/usage_payment_method", &["pay-per-minute", "channel"]),
    ("/call_forwarding/forwarding_type", &["always", "on-failure"]),
    ("/call_recording/inbound_call_recording_format", &["wav", "mp3"]),
];

fn check(change: &Value) -> Result<(), Response> {
    for (pointer, words) in WORDS {
        if change.pointer(pointer).is_some_and(|value| !value.as_str().is_some_and(|word| words.contains(&word))) {
            return Err(errors::at(422, "10032", "Invalid enum value", &format!("Must be one of {words:?}."), pointer));
        }
    }
    Ok(())
}

/// PATCH /phone_numbers/{id}/voice
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let change = Value::Object(object(ctx.req)?);
    check(&change)?;
    let place = position(world, ctx.param(0))?;
    let number = &mut world.telnyx.numbers[place];
    merge(&mut number.voice, &change);
    number.updated = ctx.now;
    data(200, &view(number))
}
