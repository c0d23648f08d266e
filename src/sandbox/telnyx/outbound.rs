//! Calls that the account makes itself, and whose account it is: `POST /texml/Accounts/{account_sid}/Calls`, `GET /whoami`.
//!
//! Telnyx: the account of TeXML's calls is the organization (reports); a call needs a TeXML application with an outbound
//! voice profile and a number of the account, and what the switch refuses is 403, 10010 with the switch's code in the text
//! (docs on SIP response codes, reports). Only a call that brings its own document (`Texml`) can be made here.

use serde_json::{Value, json};

use super::calls::{Event, Facts};
use super::{account, data, errors, time};
use crate::sandbox::delays;
use crate::sandbox::http::{Response, digits};
use crate::sandbox::said;
use crate::sandbox::speech::Speech;
use crate::sandbox::world::{Answer, Ctx, Effect, Ring, World};

/// The account's id.
pub const ORGANIZATION: &str = "d70873cd-7c98-401a-81b6-b1ae08246995";

/// GET /whoami
pub fn whoami(_: &mut World, _: &Ctx<'_>) -> Answer {
    data(
        200,
        &json!({"record_type": "whoami", "organization_id": ORGANIZATION,
                "user_id": "6f1f4c1e-2c0b-4b6e-9d0c-8d5a1f7d2b10"}),
    )
}

fn refused(pointer: &str, code: &str, title: &str, detail: &str) -> Response {
    errors::at(422, code, title, detail, &format!("/{pointer}"))
}

fn forbidden(detail: &str) -> Response {
    errors::refuse(403, "10010", "Authorization failed", detail)
}

/// POST /texml/Accounts/{account_sid}/Calls
pub fn call(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    if ctx.param(0) != ORGANIZATION {
        return Err(errors::not_found("The requested resource or URL could not be found."));
    }
    let body = ctx.req.params();
    let wanted = |name: &str| {
        let text = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| {
            refused(name, "10004", "Missing required parameter", &format!("The parameter {name} is missing."))
        })
    };
    let (from, to, application) = (wanted("From")?, wanted("To")?, wanted("ApplicationSid")?);
    for (name, number) in [("From", &from), ("To", &to)] {
        if !number.starts_with('+') || digits(number).len() + 1 != number.len() || digits(number).len() < 8 {
            let title = "Phone number must be in +E.164 format";
            return Err(refused(name, "10016", title, &format!("The '{name}' parameter must be in +E.164 format.")));
        }
    }
    let parts = said::parts(&document(&body)?).map_err(|why| refused("Texml", "10015", "Bad Request", &why))?;
    may_call(world, &application, &from)?;

    let to_digits = digits(&to);
    let key = world.next_of("call.outbound", &to_digits);
    let speech = Speech::said(&parts, &world.dice, &key);
    let leg = world.uuid_of("call.outbound.leg", &to_digits);
    let session = world.uuid_of("call.outbound.session", &to_digits);
    // Its own leg stands in the call log as well, with the called number: that is no sign that this one rang.
    let facts = Facts { from: from.clone(), to: to.clone(), connection: application, leg, session };
    let more = json!({"direction": "outgoing", "state": "bridging", "start_time": time(ctx.now)});
    world.telnyx.events.push(Event { at: ctx.now, name: "call.initiated", call: facts, more });
    let set = world.settings.voice.ring_delay_ms;
    let after = world.delay_of(set, delays::RING, &to_digits);
    world.outbox.push(Effect::Ring(Ring { to: to_digits, from: from.clone(), speech, after }));
    Ok(Response::json(200, &json!({"from": from, "to": to, "status": "queued"})))
}

/// Exactly one of `Texml` and `Url`, or neither, says the file.
fn document(body: &serde_json::Map<String, Value>) -> Result<String, Response> {
    match (body.get("Texml").and_then(Value::as_str), body.get("Url")) {
        (Some(document), None) => Ok(document.to_owned()),
        (Some(_), Some(_)) => Err(refused("Texml", "10015", "Bad Request", "Only one of Texml and Url may be given.")),
        _ => Err(refused("Texml", "10015", "Bad Request", "The sandbox makes only calls that bring their own Texml.")),
    }
}

fn may_call(world: &World, application: &str, from: &str) -> Result<(), Response> {
    let Some(application) = world.telnyx.applications.iter().find(|app| app.id == application) else {
        return Err(errors::not_found("The requested resource or URL could not be found."));
    };
    if application.fields["active"] == json!(false) {
        return Err(forbidden("Connection is disabled D16. Connection is disabled."));
    }
    let profile = &application.fields["outbound"]["outbound_voice_profile_id"];
    if profile.as_str().is_none_or(str::is_empty) {
        return Err(forbidden(
            "Connection has no Outbound Profile assigned D38. Connection has no Outbound Profile assigned.",
        ));
    }
    let number = world.telnyx.numbers.iter().find(|n| n.deleted_at.is_none() && digits(&n.e164) == digits(from));
    if number.is_none_or(|number| number.status != "active") {
        return Err(forbidden("Unverified origination number D51. Unverified origination number."));
    }
    if account::available(world).0 <= rust_decimal::Decimal::ZERO {
        return Err(errors::refuse(403, "20100", "Insufficient funds", "You do not have enough credit for this call."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::telnyx::numbers::Number;
    use crate::sandbox::telnyx::search::Offer;
    use crate::sandbox::testing::Asked;

    const FROM: &str = "+212699000001";
    const SAY: &str = "<Response><Say>Verification code is 1, 2, 0, 4, 5, 6.</Say></Response>";

    fn calls() -> String {
        format!("/v2/texml/Accounts/{ORGANIZATION}/Calls")
    }

    fn application(asked: &mut Asked, outbound: Value) -> String {
        let body = json!({"friendly_name": "x", "voice_url": "https://a.example/x.xml", "outbound": outbound});
        asked.telnyx("POST", "/texml_applications", body).1["data"]["id"].as_str().unwrap().to_owned()
    }

    fn number(asked: &mut Asked) {
        let price = asked.world.settings.telnyx.prices.get("mobile").copied().unwrap_or_default();
        let offer = Offer { country: "MA".to_owned(), kind: "mobile".to_owned(), price, at: asked.now };
        asked.world.telnyx.numbers.push(Number::new("1".to_owned(), FROM, &offer, asked.now, asked.now));
    }

    fn body(application: &str) -> Value {
        json!({"ApplicationSid": application, "From": FROM, "To": "+212612345678", "Texml": SAY})
    }

    #[test]
    fn a_call_of_the_account_rings_and_says_its_document() {
        let mut asked = Asked::new();
        let (_, who) = asked.telnyx("GET", "/v2/whoami", json!(null));
        assert_eq!(who["data"]["organization_id"], ORGANIZATION);
        number(&mut asked);
        let app = application(&mut asked, json!({"outbound_voice_profile_id": "1293384261075731499"}));
        let (status, answer) = asked.telnyx("POST", &calls(), body(&app));
        assert_eq!((status, answer["status"].as_str()), (200, Some("queued")), "{answer}");
        let Some(Effect::Ring(ring)) = asked.world.outbox.last() else { panic!("nothing rings") };
        assert_eq!((ring.to.as_str(), ring.from.as_str()), ("212612345678", FROM));
        let heard = ring.speech.heard(0, u64::MAX);
        assert!(heard.starts_with("Verification code is "), "{heard}");
        let (_, log) = asked.telnyx("GET", "/call_events?filter[to]=212612345678", json!(null));
        assert_eq!(log["data"][0]["metadata"]["event"]["payload"]["direction"], "outgoing");
    }

    #[test]
    fn a_call_that_may_not_be_made_does_not_ring() {
        let mut asked = Asked::new();
        let good = application(&mut asked, json!({"outbound_voice_profile_id": "1293384261075731499"}));
        let bare = application(&mut asked, json!({}));
        let refusal = |asked: &mut Asked, change: Value| {
            let mut wish = body(&good);
            for (key, value) in change.as_object().unwrap() {
                wish[key] = value.clone();
            }
            let answer = asked.telnyx_error("POST", &calls(), wish);
            assert!(asked.world.outbox.is_empty());
            answer
        };
        let wrong = |status: u16, code: &str| (status, code.to_owned());
        assert_eq!(refusal(&mut asked, json!({})), wrong(403, "10010"), "not a number of the account");
        number(&mut asked);
        assert_eq!(refusal(&mut asked, json!({"ApplicationSid": bare})), wrong(403, "10010"), "no profile");
        assert_eq!(refusal(&mut asked, json!({"ApplicationSid": "12"})), wrong(404, "10005"));
        assert_eq!(refusal(&mut asked, json!({"From": "0699000001"})), wrong(422, "10016"));
        assert_eq!(refusal(&mut asked, json!({"To": ""})), wrong(422, "10004"));
        assert_eq!(refusal(&mut asked, json!({"Url": "https://a.example/x"})), wrong(422, "10015"), "both");
        assert_eq!(refusal(&mut asked, json!({"Texml": "<Response><Dial>1</Dial></Response>"})), wrong(422, "10015"));
        let other = asked.telnyx_error("POST", "/v2/texml/Accounts/abc/Calls", body(&good));
        assert_eq!(other, wrong(404, "10005"));
        asked.change(json!({"telnyx": {"balance": "0.00"}}));
        assert_eq!(refusal(&mut asked, json!({})), wrong(403, "20100"));
    }
}
