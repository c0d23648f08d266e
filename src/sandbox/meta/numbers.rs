//! The numbers of a WABA: list, add, read, change.
//!
//! Meta: add takes the number with or without the country code; a new number is unverified and counts against the
//! business's cap; there is no delete; the display name is reviewed. Digits are all that numbers are compared by.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::errors::{self, Refusal};
use super::fields::select;
use super::{names, text, wabas};
use crate::sandbox::http::{Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

/// A number of a WABA.
#[derive(Clone)]
pub struct Line {
    /// PHONE_NUMBER_ID.
    pub id: String,
    /// Its WABA.
    pub waba: String,
    /// All digits.
    pub digits: String,
    /// Country code.
    pub cc: String,
    /// Current display name.
    pub name: String,
    /// name_status; `ABSENT` is not shown.
    pub name_status: String,
    /// Requested name.
    pub new_name: Option<names::NewName>,
    /// When names were requested, for the limit of 10 in 30 days.
    pub name_changes: Vec<Timestamp>,
    /// code_verification_status.
    pub code_status: String,
    /// status.
    pub status: String,
    /// Registered on the Cloud API.
    pub cloud: bool,
    /// Two-step PIN.
    pub pin: Option<String>,
    /// PINs guessed wrong in a row.
    pub pin_failures: u32,
    /// The living code.
    pub code: Option<super::verification::Code>,
    /// Codes made so far: the next one depends on nothing that other lines do.
    pub codes: u64,
    /// request_code calls in the window.
    pub requests: Vec<Timestamp>,
    /// register calls.
    pub registers: Vec<Timestamp>,
    /// deregister calls.
    pub deregisters: Vec<Timestamp>,
    /// When it was registered last.
    pub onboarded: Option<Timestamp>,
    /// quality_rating.
    pub quality: String,
    /// Messaging limit.
    pub limit: String,
    /// Override of the callback.
    pub override_uri: Option<String>,
    /// Business profile.
    pub profile: Map<String, Value>,
    /// From when on it is listed.
    pub visible: Timestamp,
}

impl Line {
    /// As lists and people write it: `+212 612-345678`.
    pub fn display(&self) -> String {
        let rest = self.digits.strip_prefix(self.cc.as_str()).unwrap_or("");
        let cut = rest.len().min(3);
        format!("+{} {}-{}", self.cc, &rest[..cut], &rest[cut..])
    }

    fn node(&self, world: &World) -> Map<String, Value> {
        let new_name = self.new_name.as_ref();
        let waba_override = world.meta.wabas.get(&self.waba).and_then(|waba| waba.override_uri.clone());
        let mut hooks = json!({});
        if let Some(url) = &world.webhook_url {
            hooks["application"] = Value::from(url.as_str());
        }
        if let Some(uri) = waba_override {
            hooks["whatsapp_business_account"] = Value::from(uri);
        }
        if let Some(uri) = &self.override_uri {
            hooks["phone_number"] = Value::from(uri.as_str());
        }
        let can_send = if self.status == "CONNECTED" { "AVAILABLE" } else { "BLOCKED" };
        let node = json!({
            "id": self.id, "display_phone_number": self.display(), "verified_name": self.name,
            "status": self.status, "code_verification_status": self.code_status, "quality_rating": self.quality,
            "quality_score": {"score": self.quality}, "country_code": "MA", "country_dial_code": self.cc,
            "name_status": if self.name_status == "ABSENT" { Value::Null } else { json!(self.name_status) },
            "new_display_name": new_name.map(|name| &name.name), "new_name_status": new_name.map(|name| &name.status),
            "platform_type": if self.cloud { "CLOUD_API" } else { "NOT_APPLICABLE" },
            "host_platform": if self.cloud { "CLOUD_API" } else { "NOT_APPLICABLE" },
            "throughput": {"level": if self.cloud { "STANDARD" } else { "NOT_APPLICABLE" }},
            "account_mode": "LIVE", "is_official_business_account": false, "is_on_biz_app": false,
            "is_pin_enabled": self.pin.is_some(), "is_preverified_number": false, "search_visibility": "VISIBLE",
            "last_onboarded_time": self.onboarded.map(|at| format!("{}+0000", at.strftime("%Y-%m-%dT%H:%M:%S"))),
            "whatsapp_business_manager_messaging_limit": self.limit, "messaging_limit_tier": self.limit,
            "certificate": null, "new_certificate": null, "unified_cert_status": null, "username": null,
            "conversational_automation": null, "eligibility_for_api_business_global_search": null,
            "webhook_configuration": hooks,
            "health_status": {"can_send_message": can_send, "entities": [
                {"entity_type": "PHONE_NUMBER", "id": self.id, "can_send_message": can_send},
                {"entity_type": "WABA", "id": self.waba, "can_send_message": "AVAILABLE"},
                {"entity_type": "BUSINESS", "id": wabas::business_of(world, &self.waba), "can_send_message": "AVAILABLE"},
                {"entity_type": "APP", "id": world.settings.meta.app_id, "can_send_message": "AVAILABLE"},
            ]},
        });
        node.as_object().cloned().unwrap_or_default()
    }
}

const KIND: &str = "WhatsAppBusinessPhoneNumber";
const DEFAULT: [&str; 6] =
    ["verified_name", "status", "code_verification_status", "display_phone_number", "quality_rating", "id"];

/// GET /{waba}/phone_numbers
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let waba = ctx.param(0);
    wabas::not_a_number(world, waba)?;
    wabas::named(world, waba);
    let limit = ctx.req.query("limit").map_or(Ok(25), str::parse::<usize>);
    let Ok(limit @ 1..=1_000) = limit else { return Err(errors::invalid("Param limit must be between 1 and 1000")) };
    let lines: Vec<&Line> =
        world.meta.lines.iter().filter(|line| line.waba == waba && line.visible <= ctx.now).collect();
    // The cursor is the id of the last line seen, so that a page does not move when a number is added.
    let from = match ctx.req.query("after") {
        None => 0,
        Some(cursor) => match lines.iter().position(|line| cursor_of(&line.id) == cursor) {
            Some(place) => place + 1,
            None => return Err(errors::invalid("The after cursor specified is invalid")),
        },
    };
    let shown: Vec<&&Line> = lines.iter().skip(from).take(limit).collect();
    let fields = ctx.req.query("fields");
    let absent = &world.settings.meta.absent_fields;
    let data: Vec<Value> =
        shown.iter().map(|line| select(&line.node(world), fields, &DEFAULT, absent, KIND)).collect::<Result<_, _>>()?;
    let mut answer = json!({ "data": data });
    if let (Some(first), Some(last)) = (shown.first(), shown.last()) {
        answer["paging"] = json!({"cursors": {"before": cursor_of(&first.id), "after": cursor_of(&last.id)}});
        if from + shown.len() < lines.len() {
            let host = ctx.req.header("host").unwrap_or("graph.facebook.com");
            let next = format!("http://{host}{}?limit={limit}&after={}", ctx.req.path, cursor_of(&last.id));
            answer["paging"]["next"] = Value::from(next);
        }
    }
    Ok(Response::json(200, &answer))
}

fn cursor_of(id: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("line:{id}"))
}

/// GET /{number}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let node = world.meta.lines[place].node(world);
    let shown = select(&node, ctx.req.query("fields"), &DEFAULT, &world.settings.meta.absent_fields, KIND)?;
    Ok(Response::json(200, &shown))
}

/// All digits of a number given with or without its country code. Morocco's national numbers have nine.
fn whole(cc: &str, number: &str) -> String {
    let number = digits(number);
    let national = number.strip_prefix('0').unwrap_or(&number);
    if number.starts_with(cc) && number.len() > 10 { number.clone() } else { format!("{cc}{national}") }
}

/// POST /{waba}/phone_numbers
pub fn create(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let waba = ctx.param(0).to_owned();
    wabas::not_a_number(world, &waba)?;
    let params = ctx.req.params();
    let cc = text(&params, "cc").or_else(|| text(&params, "country_code")).map(|cc| digits(&cc)).unwrap_or_default();
    let number = text(&params, "phone_number").unwrap_or_default();
    let name = text(&params, "verified_name").unwrap_or_default();
    if !(1..=3).contains(&cc.len()) {
        return Err(errors::invalid("The parameter cc is required"));
    }
    if !(2..=75).contains(&name.chars().count()) {
        return Err(errors::invalid("Param verified_name must be between 2 and 75 characters long"));
    }
    let all = whole(&cc, &number);
    if !(8..=15).contains(&all.len()) {
        return Err(errors::invalid("Param phone_number is not a valid phone number"));
    }
    wabas::named(world, &waba);
    if let Some(there) = world.meta.lines.iter().find(|line| line.digits == all) {
        match world.settings.meta.duplicate_add.as_str() {
            "same_id" if there.waba == waba => return Ok(Response::json(200, &json!({"id": there.id}))),
            "second_id" => {}
            _ => {
                let text = "This phone number is already registered to a WhatsApp Business Account.";
                return Err(Refusal::new(100, text).status(409).answer());
            }
        }
    }
    let business = wabas::business_of(world, &waba).to_owned();
    let used = world.meta.lines.iter().filter(|line| wabas::business_of(world, &line.waba) == business).count();
    if used >= world.settings.meta.number_cap {
        let refusal = Refusal::new(200, "Phone number limit exceeded").status(403).subcode(1_349_175);
        let text = "You have reached the maximum number of phone numbers for your business.";
        return Err(refusal.user("Phone number limit exceeded", text).answer());
    }
    let id = world.numeric(15, "meta.number");
    let lag = world.settings.meta.list_lag_ms;
    let visible = world.later(ctx.now, lag, 2_000, "meta.list_lag");
    let name_status = world.settings.meta.name_status.clone();
    world.meta.lines.push(Line {
        id: id.clone(),
        waba,
        digits: all,
        cc,
        name,
        name_status,
        new_name: None,
        name_changes: Vec::new(),
        code_status: "NOT_VERIFIED".to_owned(),
        status: "UNVERIFIED".to_owned(),
        cloud: false,
        pin: None,
        pin_failures: 0,
        code: None,
        codes: 0,
        requests: Vec::new(),
        registers: Vec::new(),
        deregisters: Vec::new(),
        onboarded: None,
        quality: "NA".to_owned(),
        limit: "TIER_250".to_owned(),
        override_uri: None,
        profile: Map::new(),
        visible,
    });
    Ok(Response::json(200, &json!({ "id": id })))
}

/// POST /{number}: PIN, callback override, display name; whichever is given.
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let params = ctx.req.params();
    let pin = text(&params, "pin");
    let name = text(&params, "new_display_name");
    let hooks = match params.get("webhook_configuration") {
        // Forms carry it as JSON text.
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(other) => Some(other.clone()),
        None => None,
    };
    if pin.is_none() && name.is_none() && hooks.is_none() && params.get("search_visibility").is_none() {
        return Err(errors::invalid("The parameter pin, webhook_configuration or new_display_name is required"));
    }
    if let Some(pin) = pin {
        if !is_six_digits(&pin) {
            return Err(errors::invalid("Param pin must be 6 digits"));
        }
        let line = &mut world.meta.lines[place];
        line.pin = Some(pin);
        line.pin_failures = 0;
    }
    if let Some(hooks) = hooks {
        let uri = hooks.get("override_callback_uri").and_then(Value::as_str).unwrap_or("");
        if uri.len() > 200 {
            return Err(errors::invalid("Param override_callback_uri must be at most 200 characters long"));
        }
        world.meta.lines[place].override_uri = Some(uri.to_owned()).filter(|uri| !uri.is_empty());
    }
    if let Some(name) = name {
        names::request(world, place, &name, ctx.now)?;
    }
    super::success()
}

/// Six ASCII digits.
pub fn is_six_digits(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_with_and_without_its_country_code() {
        let cases = [
            ("212", "612345678", "212612345678"),
            ("212", "212612345678", "212612345678"),
            ("212", "+212 612-345678", "212612345678"),
            ("212", "0612345678", "212612345678"),
            ("1", "6315551000", "16315551000"),
            ("1", "16315551000", "16315551000"),
        ];
        for (cc, number, expected) in cases {
            assert_eq!(whole(cc, number), expected, "{cc} {number}");
        }
    }
}

#[cfg(test)]
mod rules {
    use secrecy::SecretString;
    use serde_json::json;

    use crate::sandbox::meta::tokens::hmac_hex;
    use crate::sandbox::testing::Asked;

    #[test]
    fn lists_are_paged_by_cursor_to_the_end() {
        let mut asked = Asked::new();
        asked.change(json!({"meta": {"number_cap": 50}}));
        let made: Vec<String> = (0..7).map(|n| asked.line(&format!("61234567{n}"))).collect();
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v25.0/104/phone_numbers?fields=id,display_phone_number&limit=3{after}");
            let (status, page) = asked.meta("GET", &path, json!(null));
            assert_eq!(status, 200);
            for line in page["data"].as_array().expect("a list") {
                assert!(line["display_phone_number"].as_str().is_some_and(|text| text.starts_with("+212 612-34567")));
                seen.push(line["id"].as_str().expect("an id").to_owned());
            }
            if page["paging"]["next"].is_null() {
                break;
            }
            after = format!("&after={}", page["paging"]["cursors"]["after"].as_str().expect("a cursor"));
        }
        assert_eq!(seen, made);
        assert_eq!(asked.meta_error("GET", "/v25.0/104/phone_numbers?after=x", json!(null)), (100, 0));
        assert_eq!(asked.meta_error("GET", "/v25.0/104/phone_numbers?fields=colour", json!(null)), (100, 0));
    }

    #[test]
    fn adding_is_refused_beyond_the_cap_and_for_what_is_there() {
        let mut asked = Asked::new();
        asked.change(json!({"meta": {"number_cap": 2}}));
        let first = asked.line("612345678");
        let again = json!({"cc": "212", "phone_number": "0612345678", "verified_name": "Atlas"});
        let path = "/v25.0/104/phone_numbers";
        let (status, answer) = asked.meta("POST", path, again.clone());
        assert_eq!((status, &answer["error"]["code"]), (409, &json!(100)));
        asked.change(json!({"meta": {"duplicate_add": "same_id"}}));
        assert_eq!(asked.meta("POST", path, again.clone()).1["id"], json!(first));
        asked.change(json!({"meta": {"duplicate_add": "second_id"}}));
        assert_ne!(asked.meta("POST", path, again).1["id"], json!(first));
        let third = json!({"cc": "212", "phone_number": "612345670", "verified_name": "Atlas"});
        // The cap is the business's, not the WABA's.
        let (status, answer) = asked.meta("POST", "/v25.0/105/phone_numbers", third.clone());
        assert_eq!((status, &answer["error"]["error_subcode"]), (403, &json!(1_349_175)));
        asked.change(json!({"meta": {"wabas": {"105": "2000"}}}));
        assert_eq!(asked.meta("POST", "/v25.0/105/phone_numbers", third).0, 200);
        for bad in [
            json!({"phone_number": "612345678", "verified_name": "Atlas"}),
            json!({"cc": "212", "phone_number": "6", "verified_name": "Atlas"}),
            json!({"cc": "212", "phone_number": "612345671", "verified_name": "A"}),
        ] {
            assert_eq!(asked.meta_error("POST", path, bad), (100, 0));
        }
    }

    #[test]
    fn a_new_number_may_be_missing_from_the_list_for_a_while() {
        let mut asked = Asked::new();
        asked.change(json!({"meta": {"list_lag_ms": 20_000}}));
        let id = asked.line("612345678");
        let count = |asked: &mut Asked| {
            asked.meta("GET", "/v25.0/104/phone_numbers", json!(null)).1["data"].as_array().map(Vec::len)
        };
        assert_eq!(count(&mut asked), Some(0));
        assert_eq!(asked.meta("GET", &format!("/v25.0/{id}"), json!(null)).0, 200);
        asked.later(20);
        assert_eq!(count(&mut asked), Some(1));
    }

    #[test]
    fn tokens_proofs_and_unknown_ids_are_refused_by_their_codes() {
        let mut asked = Asked::new();
        assert_eq!(
            asked.meta("GET", "/v25.0/1020?fields=verification_status", json!(null)).1["verification_status"],
            "verified"
        );
        assert_eq!(
            asked.meta("GET", "/104?fields=account_review_status", json!(null)).1["account_review_status"],
            "APPROVED"
        );
        asked.world.app_secret = Some(SecretString::from("s3cret"));
        assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (100, 0));
        let proof = hmac_hex("s3cret", b"key");
        assert_eq!(asked.meta_error("GET", &format!("/v25.0/104?appsecret_proof={proof}"), json!(null)), (0, 0));
        assert_eq!(asked.meta_error("GET", "/v25.0/104?appsecret_proof=00", json!(null)), (100, 0));
        asked.change(json!({"meta": {"require_proof": false, "unknown_ids": ["104"]}}));
        assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (100, 33));
        asked.change(json!({"meta": {"bad_tokens": ["key"], "token_subcode": 463}}));
        assert_eq!(asked.meta_error("GET", "/v25.0/105", json!(null)), (190, 463));
    }
}
