//! Telnyx's API v2 as far as a number's life needs it: the table of endpoints, authentication, envelopes and paging.
//!
//! Source: the official OpenAPI file of July 2026 and public field reports. Every key is taken unless it was declared
//! bad; there is one account. Handlers live in the files beside this one and only change the world they are given.

pub mod account;
pub mod applications;
pub mod audio;
pub mod calls;
pub mod errors;
pub mod fulfilment;
pub mod groups;
#[cfg(test)]
mod groups_tests;
pub mod number_voice;
pub mod numbers;
pub mod order_items;
pub mod ordering;
pub mod orders;
#[cfg(test)]
mod orders_tests;
pub mod outbound;
pub mod pace;
pub mod recordings;
pub mod requirements;
pub mod search;
pub mod sub_orders;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::http::{Request, Response};
use super::world::{Answer, Ctx, Route, World, find};

/// The state of the account.
#[derive(Default)]
pub struct Account {
    /// What searches have returned, by E.164.
    pub offers: std::collections::BTreeMap<String, search::Offer>,
    /// All orders.
    pub orders: Vec<orders::Order>,
    /// All numbers, deleted ones too.
    pub numbers: Vec<numbers::Number>,
    /// Requirement groups.
    pub groups: Vec<groups::Group>,
    /// TeXML applications.
    pub applications: Vec<applications::Application>,
    /// Recordings and their transcriptions.
    pub recordings: Vec<recordings::Recording>,
    /// Call events.
    pub events: Vec<calls::Event>,
    /// Detail records.
    pub records: Vec<calls::Record>,
}

/// All endpoints. A literal path comes before one with a placeholder in the same place.
pub const ROUTES: &[Route] = &[
    r("GET", "country_coverage", "telnyx.list_coverage", search::list_coverage),
    r("GET", "country_coverage/countries/{country}", "telnyx.get_coverage", search::get_coverage),
    r("GET", "available_phone_numbers", "telnyx.search_numbers", search::search),
    r("GET", "regulatory_requirements", "telnyx.list_requirements", requirements::list),
    r("POST", "number_orders", "telnyx.create_number_order", ordering::create),
    r("GET", "number_orders", "telnyx.list_number_orders", orders::list),
    r("GET", "number_orders/{id}", "telnyx.get_number_order", orders::get),
    r("PATCH", "number_orders/{id}", "telnyx.update_number_order", orders::update),
    r("GET", "sub_number_orders", "telnyx.list_sub_number_orders", sub_orders::list_sub),
    r("GET", "sub_number_orders/{id}", "telnyx.get_sub_number_order", sub_orders::get_sub),
    r("PATCH", "sub_number_orders/{id}", "telnyx.update_sub_number_order", sub_orders::update_sub),
    r("PATCH", "sub_number_orders/{id}/cancel", "telnyx.cancel_sub_number_order", sub_orders::cancel_sub),
    r("POST", "sub_number_orders/{id}/requirement_group", "telnyx.attach_requirement_group", sub_orders::attach_group),
    r("GET", "phone_numbers", "telnyx.list_numbers", numbers::list),
    r("GET", "number_order_phone_numbers", "telnyx.list_order_items", order_items::list),
    r("GET", "number_order_phone_numbers/{id}", "telnyx.get_order_item", order_items::get),
    r("PATCH", "number_order_phone_numbers/{id}", "telnyx.update_order_item", order_items::update),
    r(
        "POST",
        "number_order_phone_numbers/{id}/requirement_group",
        "telnyx.attach_item_requirement_group",
        order_items::attach_group,
    ),
    r("POST", "requirement_groups", "telnyx.create_requirement_group", groups::create),
    r("GET", "requirement_groups", "telnyx.list_requirement_groups", groups::list),
    r("GET", "requirement_groups/{id}", "telnyx.get_requirement_group", groups::get),
    r("PATCH", "requirement_groups/{id}", "telnyx.update_requirement_group", groups::update),
    r("DELETE", "requirement_groups/{id}", "telnyx.delete_requirement_group", groups::delete),
    r("POST", "requirement_groups/{id}/submit_for_approval", "telnyx.submit_requirement_group", groups::submit),
    r("GET", "phone_numbers/voice", "telnyx.list_numbers_voice", number_voice::list),
    r("GET", "phone_numbers/slim", "telnyx.list_numbers_slim", numbers::list_slim),
    r("GET", "phone_numbers/{id}", "telnyx.get_number", numbers::get),
    r("PATCH", "phone_numbers/{id}", "telnyx.update_number", numbers::update),
    r("DELETE", "phone_numbers/{id}", "telnyx.delete_number", numbers::delete),
    r("GET", "phone_numbers/{id}/voice", "telnyx.get_number_voice", number_voice::get),
    r("PATCH", "phone_numbers/{id}/voice", "telnyx.update_number_voice", number_voice::update),
    r("POST", "texml_applications", "telnyx.create_application", applications::create),
    r("GET", "texml_applications", "telnyx.list_applications", applications::list),
    r("GET", "texml_applications/{id}", "telnyx.get_application", applications::get),
    r("PATCH", "texml_applications/{id}", "telnyx.update_application", applications::update),
    r("DELETE", "texml_applications/{id}", "telnyx.delete_application", applications::delete),
    r("GET", "recordings", "telnyx.list_recordings", recordings::list),
    r("GET", "recordings/{id}", "telnyx.get_recording", recordings::get),
    r("DELETE", "recordings/{id}", "telnyx.delete_recording", recordings::delete),
    r("GET", "recording_transcriptions", "telnyx.list_transcriptions", recordings::list_transcriptions),
    r("GET", "recording_transcriptions/{id}", "telnyx.get_transcription", recordings::get_transcription),
    r("DELETE", "recording_transcriptions/{id}", "telnyx.delete_transcription", recordings::delete_transcription),
    r("POST", "ai/audio/transcriptions", "telnyx.speech_to_text", recordings::speech_to_text),
    r("GET", "call_events", "telnyx.list_call_events", calls::list_events),
    r("GET", "detail_records", "telnyx.list_detail_records", calls::list_records),
    r("GET", "whoami", "telnyx.get_organization", outbound::whoami),
    r("POST", "texml/Accounts/{account}/Calls", "telnyx.create_call", outbound::call),
    r("GET", "balance", "telnyx.get_balance", account::balance),
    r("GET", "media/{file}", DOWNLOAD, recordings::download),
];

/// A download link carries its own permission.
const DOWNLOAD: &str = "telnyx.download_recording";

const fn r(method: &'static str, path: &'static str, operation: &'static str, handler: super::world::Handler) -> Route {
    Route { method, path, operation, handler }
}

/// The endpoint a request means: with and without `/v2`.
pub fn route(req: &Request) -> (&'static str, Option<&'static Route>, Vec<String>) {
    let mut segments = req.segments();
    if segments.first().is_some_and(|first| first == "v2") {
        segments.remove(0);
    }
    match find(ROUTES, &req.method, &segments) {
        Some((route, params)) => (route.operation, Some(route), params),
        None => ("telnyx.unknown", None, Vec::new()),
    }
}

/// Answers a request.
pub fn answer(world: &mut World, req: &Request, now: Timestamp) -> Response {
    let (_, route, params) = route(req);
    let ctx = Ctx { req, params: &params, now };
    let signed_link = route.is_some_and(|route| route.operation == DOWNLOAD);
    let mut rate = Vec::new();
    let result = authorise(world, req, signed_link)
        // A download is answered by a file store, which counts nothing.
        .and_then(|()| if signed_link { Ok(()) } else { pace::admit(world, req, now, &mut rate) })
        .and_then(|()| match route {
            Some(route) => (route.handler)(world, &ctx),
            None => Err(errors::not_found("The requested resource or URL could not be found.")),
        });
    let mut response = result.unwrap_or_else(|refused| refused);
    let id = world.uuid_of("telnyx.request", &format!("{} {}", req.method, req.path));
    response.headers.push(("x-request-id".to_owned(), id));
    response.headers.extend(rate);
    response
}

fn authorise(world: &World, req: &Request, signed_link: bool) -> Result<(), Response> {
    match req.bearer() {
        _ if signed_link => Ok(()),
        Some(key) if !world.settings.telnyx.bad_keys.iter().any(|bad| bad == key) => Ok(()),
        _ => Err(errors::refuse(
            401,
            "10009",
            "Authentication failed",
            "The required authentication headers were either invalid or not included in the request.",
        )),
    }
}

/// `{"data": ...}`.
pub fn data(status: u16, value: &Value) -> Answer {
    Ok(Response::json(status, &json!({ "data": value })))
}

/// One page of `items` with its meta: page[number] from 1, page[size] 20 by default, at most `max`.
pub fn page(req: &Request, items: &[Value], max: usize) -> Answer {
    let number = |name: &str, default: usize| req.query(name).map_or(Some(default), |text| text.parse().ok());
    let (Some(page), Some(size)) = (number("page[number]", 1), number("page[size]", 20)) else {
        return Err(errors::bad_parameter("page", "page[number] and page[size] must be whole numbers."));
    };
    if page == 0 || size == 0 || size > max {
        return Err(errors::bad_parameter("page[size]", &format!("page[size] must be between 1 and {max}.")));
    }
    let slice: Vec<&Value> = items.iter().skip((page - 1).saturating_mul(size)).take(size).collect();
    let meta = json!({
        "page_number": page, "page_size": size, "total_pages": items.len().div_ceil(size), "total_results": items.len(),
    });
    Ok(Response::json(200, &json!({"data": slice, "meta": meta})))
}

/// The JSON object in a body.
pub fn object(req: &Request) -> Result<serde_json::Map<String, Value>, Response> {
    match req.json() {
        Some(Value::Object(fields)) => Ok(fields),
        _ => Err(errors::refuse(400, "10015", "Bad Request", "The body is not a JSON object.")),
    }
}

/// Without the fields that are null: most of the file's schemas know no null, an unset field is left out.
pub fn set_only(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    value
}

/// A moment as Telnyx writes it.
pub fn time(at: Timestamp) -> Value {
    Value::from(format!("{at:.6}"))
}
