//! Owned numbers: list, tags, connection, voice settings, and giving a number back.
//!
//! Telnyx: PATCH tags replaces the list; filter[phone_number] wants digits; a number appears in the list some time after
//! its order; DELETE answers with the final state and the rent ends.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::orders::same_reference;
use super::search::Offer;
use super::{data, errors, object, page, set_only, time};
use crate::sandbox::http::{Response, digits};
use crate::sandbox::ledger;
use crate::sandbox::settings::Price;
use crate::sandbox::world::{Answer, Ctx, World};

/// A number of the account.
#[derive(Debug, Clone)]
pub struct Number {
    /// Numeric id.
    pub id: String,
    /// The number.
    pub e164: String,
    /// Type.
    pub kind: String,
    /// Country.
    pub country: String,
    /// Price it was bought for.
    pub price: Price,
    /// active, deleted, ...
    pub status: String,
    /// Application that answers.
    pub connection: Option<String>,
    /// customer_reference.
    pub reference: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Set in the portal: it can't be given back.
    pub locked: bool,
    /// Voice settings that were changed.
    pub voice: Value,
    /// When it was bought.
    pub created: Timestamp,
    /// When it changed.
    pub updated: Timestamp,
    /// From when on it is listed.
    pub visible: Timestamp,
    /// When it was given back.
    pub deleted_at: Option<Timestamp>,
}

impl Number {
    /// A number as it is right after the order.
    pub fn new(id: String, e164: &str, offer: &Offer, now: Timestamp, visible: Timestamp) -> Self {
        Self {
            id,
            e164: e164.to_owned(),
            kind: offer.kind.clone(),
            country: offer.country.clone(),
            price: offer.price,
            status: "active".to_owned(),
            connection: None,
            reference: None,
            tags: Vec::new(),
            locked: false,
            voice: json!({}),
            created: now,
            updated: now,
            visible,
            deleted_at: None,
        }
    }

    fn view(&self, record_type: &str, world: &World) -> Value {
        let connection = self.connection.as_ref();
        let app = connection.and_then(|id| world.telnyx.applications.iter().find(|app| app.id == *id));
        let on = |pointer: &str| self.voice.pointer(pointer).and_then(Value::as_bool).unwrap_or(false);
        let screening = self.voice.get("inbound_call_screening").and_then(Value::as_str).unwrap_or("disabled");
        json!({
            "id": self.id, "record_type": record_type, "phone_number": self.e164, "status": self.status,
            "country_iso_alpha2": self.country, "phone_number_type": self.kind, "connection_id": self.connection,
            "connection_name": app.map(|app| app.fields["friendly_name"].clone()), "messaging_profile_id": null,
            "messaging_profile_name": null, "billing_group_id": null, "customer_reference": self.reference,
            "tags": self.tags, "external_pin": null, "emergency_address_id": null, "emergency_enabled": false,
            "emergency_status": "disabled", "deletion_lock_enabled": self.locked,
            "call_forwarding_enabled": on("/call_forwarding/call_forwarding_enabled"),
            "call_recording_enabled": on("/call_recording/inbound_call_recording_enabled"), "caller_id_name_enabled": false, "cnam_listing_enabled": false,
            "hd_voice_enabled": false, "t38_fax_gateway_enabled": true, "inbound_call_screening": screening,
            "source_type": "number_order", "purchased_at": time(self.created), "activated_at": time(self.created),
            "created_at": time(self.created), "updated_at": time(self.updated),
        })
    }
}

fn filtered(world: &World, ctx: &Ctx<'_>, record_type: &str) -> Vec<Value> {
    let req = ctx.req;
    let settings = &world.settings.telnyx;
    let tags = req.filters("tag");
    let mut found: Vec<&Number> = world
        .telnyx
        .numbers
        .iter()
        .filter(|number| number.deleted_at.is_none() && number.visible <= ctx.now)
        .filter(|number| tags.iter().all(|tag| number.tags.contains(tag)))
        // The file: "Non-numerical characters will result in no values being returned".
        .filter(|number| {
            req.filter("phone_number").is_none_or(|wanted| {
                (settings.plus_filter || wanted.bytes().all(|c| c.is_ascii_digit()))
                    && digits(&number.e164).contains(&digits(wanted))
            })
        })
        .filter(|number| req.filter("status").is_none_or(|status| number.status == status))
        .filter(|number| req.filter("country_iso_alpha2").is_none_or(|country| number.country == country))
        .filter(|number| req.filter("connection_id").is_none_or(|id| number.connection.as_deref() == Some(id)))
        .filter(|number| req.filter_op("number_type", "eq").is_none_or(|kind| number.kind == kind))
        .filter(|number| req.filter("without_tags") != Some("true") || number.tags.is_empty())
        .filter(|number| {
            req.filter("customer_reference")
                .is_none_or(|wanted| same_reference(number.reference.as_deref(), wanted, settings.exact_reference))
        })
        .collect();
    match req.query("sort") {
        Some("phone_number") => found.sort_by(|a, b| a.e164.cmp(&b.e164)),
        Some("purchased_at") => found.sort_by_key(|number| number.created),
        _ => found.reverse(),
    }
    let mut views: Vec<Value> = found.iter().map(|number| number.view(record_type, world)).collect();
    if settings.pending_listed && tags.is_empty() {
        views.extend(pending(world, req.filter("phone_number").map(digits)));
    }
    views
}

/// Numbers of orders that are not through yet, where the account lists them.
fn pending(world: &World, wanted: Option<String>) -> Vec<Value> {
    let open = world.telnyx.orders.iter().filter(|order| order.is_open());
    open.flat_map(|order| order.items.iter().map(move |item| (order, item)))
        .filter(|(_, item)| wanted.as_ref().is_none_or(|wanted| digits(&item.e164).contains(wanted)))
        .map(|(order, item)| {
            let id = world.dice.numeric(19, "number.pending", &item.id);
            let mut number = Number::new(id, &item.e164, &item.offer, order.created, order.created);
            number.status = "purchase-pending".to_owned();
            number.view("phone_number", world)
        })
        .collect()
}

/// GET /phone_numbers
pub fn list(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    page(ctx.req, &filtered(world, ctx, "phone_number"), 250)
}

/// GET /phone_numbers/slim: without tags unless asked for.
pub fn list_slim(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let mut found: Vec<Value> = filtered(world, ctx, "phone_number_slim").into_iter().map(set_only).collect();
    for number in found.iter_mut().filter_map(Value::as_object_mut) {
        number.remove("deletion_lock_enabled");
        number.remove("source_type");
        if ctx.req.query("include_tags") != Some("true") {
            number.remove("tags");
        }
        if ctx.req.query("include_connection") != Some("true") {
            number.remove("connection_name");
        }
    }
    page(ctx.req, &found, 250)
}

/// Where a number is, or 404.
///
/// # Errors
/// 10005.
pub fn position(world: &World, id: &str) -> Result<usize, Response> {
    let shows_deleted = world.settings.telnyx.deleted_answers;
    let found = world.telnyx.numbers.iter().position(|n| n.id == id && (shows_deleted || n.deleted_at.is_none()));
    found.ok_or_else(|| errors::not_found("The phone number does not exist."))
}

/// GET /phone_numbers/{id}
pub fn get(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    data(200, &world.telnyx.numbers[place].view("phone_number", world))
}

/// PATCH /phone_numbers/{id}
pub fn update(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let body = object(ctx.req)?;
    let place = position(world, ctx.param(0))?;
    if let Some(connection) = body.get("connection_id") {
        let id = connection.as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        if let Some(id) = &id
            && !world.telnyx.applications.iter().any(|app| app.id == *id)
        {
            return Err(errors::refuse(422, "85004", "Invalid connection id", "The connection does not exist."));
        }
        world.telnyx.numbers[place].connection = id;
    }
    let number = &mut world.telnyx.numbers[place];
    if let Some(tags) = body.get("tags") {
        let Some(tags) = tags.as_array() else {
            return Err(errors::at(422, "10027", "Unprocessable entity", "tags must be a list.", "/tags"));
        };
        number.tags = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    if let Some(reference) = body.get("customer_reference") {
        number.reference = reference.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    }
    number.updated = ctx.now;
    data(200, &world.telnyx.numbers[place].view("phone_number", world))
}

/// DELETE /phone_numbers/{id}
pub fn delete(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = position(world, ctx.param(0))?;
    let number = &mut world.telnyx.numbers[place];
    if number.locked {
        // That it is refused is documented, the code is not.
        return Err(errors::refuse(422, "10021", "Resource in use", "The phone number has its deletion lock enabled."));
    }
    if number.deleted_at.is_none() {
        number.status = "deleted".to_owned();
        number.deleted_at = Some(ctx.now);
        number.updated = ctx.now;
        let (e164, reference, usd) = (number.e164.clone(), number.reference.clone(), number.price.monthly);
        world.ledger.enter(ledger::Entry {
            n: 0,
            time: ctx.now,
            kind: ledger::Kind::RentStop,
            phone_number: e164,
            customer_reference: reference,
            order_id: None,
            usd,
        });
    }
    let mut last = set_only(world.telnyx.numbers[place].view("phone_number", world));
    // The final state has fewer fields than a number.
    if let Some(fields) = last.as_object_mut() {
        for name in ["country_iso_alpha2", "emergency_status", "inbound_call_screening", "source_type"] {
            fields.remove(name);
        }
    }
    data(200, &last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::testing::Asked;

    fn owned(asked: &mut Asked, count: usize) -> Vec<String> {
        let search = format!("/available_phone_numbers?filter[country_code]=MA&filter[limit]={count}");
        let (_, answer) = asked.telnyx("GET", &search, json!(null));
        let numbers: Vec<_> = answer["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|n| json!({"phone_number": n["phone_number"]}))
            .collect();
        assert_eq!(asked.telnyx("POST", "/number_orders", json!({"phone_numbers": numbers})).0, 200);
        let (_, answer) = asked.telnyx("GET", "/phone_numbers?page[size]=250", json!(null));
        answer["data"].as_array().expect("a list").iter().map(|n| n["id"].as_str().expect("an id").to_owned()).collect()
    }

    #[test]
    fn lists_are_filtered_and_paged() {
        let mut asked = Asked::new();
        let ids = owned(&mut asked, 25);
        let patch = json!({"tags": ["a", "b"], "customer_reference": "R"});
        assert_eq!(asked.telnyx("PATCH", &format!("/phone_numbers/{}", ids[3]), patch).0, 200);
        let e164 = asked.world.telnyx.numbers[0].e164.clone();
        let cases = [
            ("", 25),
            ("filter[tag]=a", 1),
            ("filter[tag]=c", 0),
            ("filter[customer_reference]=R", 1),
            ("filter[status]=active", 25),
            ("filter[without_tags]=true", 24),
            (&format!("filter[phone_number]={}", &e164[1..]), 1),
            (&format!("filter[phone_number]=%2B{}", &e164[1..]), 0),
        ];
        for (query, expected) in cases {
            let (_, answer) = asked.telnyx("GET", &format!("/phone_numbers?{query}"), json!(null));
            assert_eq!(answer["meta"]["total_results"], expected, "{query}");
        }
        let (_, page) = asked.telnyx("GET", "/phone_numbers?page[number]=2", json!(null));
        assert_eq!((page["data"].as_array().map(Vec::len), &page["meta"]["total_pages"]), (Some(5), &json!(2)));
        assert_eq!(asked.telnyx("GET", "/phone_numbers?page[size]=251", json!(null)).0, 400);
        // A second PATCH replaces the tags.
        let (_, answer) = asked.telnyx("PATCH", &format!("/phone_numbers/{}", ids[3]), json!({"tags": ["c"]}));
        assert_eq!((&answer["data"]["tags"], &answer["data"]["customer_reference"]), (&json!(["c"]), &json!("R")));
    }

    #[test]
    fn a_number_given_back_is_gone_ends_its_rent_and_is_offered_again() {
        let mut asked = Asked::new();
        let ids = owned(&mut asked, 1);
        let number = asked.world.telnyx.numbers[0].e164.clone();
        let path = format!("/phone_numbers/{}", ids[0]);
        assert_eq!(asked.telnyx("DELETE", &path, json!(null)).1["data"]["status"], "deleted");
        assert_eq!(asked.telnyx("GET", &path, json!(null)).0, 404);
        assert_eq!(asked.telnyx_error("DELETE", &path, json!(null)), (404, "10005".to_owned()));
        assert!(asked.world.ledger.monthly().is_zero());
        asked.change(json!({"telnyx": {"deleted_answers": true}}));
        assert_eq!(asked.telnyx("GET", &path, json!(null)).1["data"]["status"], "deleted");
        let search = "/available_phone_numbers?filter[country_code]=MA&filter[limit]=1";
        assert_eq!(
            asked.telnyx("GET", search, json!(null)).1["data"][0]["phone_number"].as_str(),
            Some(number.as_str())
        );
        let (_, answer) = asked.telnyx("GET", &format!("{search}&filter[exclude_held_numbers]=true"), json!(null));
        assert_ne!(answer["data"][0]["phone_number"].as_str(), Some(number.as_str()));
    }

    #[test]
    fn a_bad_key_or_an_unknown_connection_is_refused() {
        let mut asked = Asked::new();
        let ids = owned(&mut asked, 1);
        let path = format!("/phone_numbers/{}", ids[0]);
        assert_eq!(asked.telnyx_error("PATCH", &path, json!({"connection_id": "5"})), (422, "85004".to_owned()));
        let app = json!({"friendly_name": "capture", "voice_url": "http://127.0.0.1:1/a.xml", "voice_method": "get"});
        let (status, answer) = asked.telnyx("POST", "/texml_applications", app);
        assert_eq!(status, 201);
        let (_, answer) = asked.telnyx("PATCH", &path, json!({"connection_id": answer["data"]["id"]}));
        assert_eq!(answer["data"]["connection_name"], "capture");
        asked.change(json!({"telnyx": {"bad_keys": ["key"]}}));
        assert_eq!(asked.telnyx_error("GET", "/balance", json!(null)), (401, "10009".to_owned()));
    }
}
