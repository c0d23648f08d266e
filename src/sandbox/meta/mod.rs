//! Meta's Graph API as far as a WABA's numbers need it: endpoints, tokens, proof, fields.
//!
//! Source: Meta's OpenAPI file v23, its pages, and public field reports. Any graph version is taken. The
//! settings name the app, the business and its WABAs; another WABA comes to exist when something is set up on it; any
//! other id is 100/33. Handlers live in the files beside this one and only change the world they are given.

pub mod analytics;
pub mod changes;
pub mod errors;
pub mod fields;
pub mod line;
pub mod names;
pub mod numbers;
#[cfg(test)]
mod numbers_tests;
pub mod pace;
pub mod profile;
pub mod registration;
pub mod subscriptions;
pub mod tokens;
pub mod uploads;
pub mod verification;
pub mod wabas;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::http::{Request, Response};
use super::world::{Answer, Ctx, Handler, Route, World, find};

/// What Meta knows.
#[derive(Default)]
pub struct Graph {
    /// All numbers of all WABAs.
    pub lines: Vec<line::Line>,
    /// WABAs on which something was set up or read.
    pub wabas: std::collections::BTreeMap<String, wabas::Waba>,
    /// Fields that the app is subscribed to; None: as the dashboard has them.
    pub app_fields: Option<Vec<String>>,
    /// Uploads, begun and complete.
    pub uploads: Vec<uploads::Upload>,
}

impl Graph {
    /// A number by its id.
    pub fn line(&self, id: &str) -> Option<&line::Line> {
        self.lines.iter().find(|line| line.id == id)
    }

    /// Whether the app gets webhooks of this field. One that it is not subscribed to is lost without an error.
    pub fn delivers(&self, field: &str) -> bool {
        self.app_fields.as_ref().is_none_or(|fields| fields.iter().any(|own| own == field))
    }

    /// Where a number is by its id, or 100/33.
    pub fn position(&self, id: &str) -> Result<usize, Response> {
        self.lines.iter().position(|line| line.id == id).ok_or_else(|| errors::no_such_object(id))
    }
}

/// All endpoints. `{id}` alone is told apart by what the id is.
pub const ROUTES: &[Route] = &[
    r("GET", "debug_token", "meta.debug_token", tokens::debug),
    r("GET", "{waba}/phone_numbers", "meta.list_numbers", numbers::list),
    r("POST", "{waba}/phone_numbers", "meta.create_number", numbers::create),
    r("GET", "{waba}/subscribed_apps", "meta.get_subscribed_apps", wabas::get_subscribed),
    r("POST", "{waba}/subscribed_apps", "meta.subscribe_app", wabas::subscribe),
    r("DELETE", "{waba}/subscribed_apps", "meta.unsubscribe_app", wabas::unsubscribe),
    r("GET", "{app}/subscriptions", "meta.get_app_subscriptions", subscriptions::get),
    r("POST", "{app}/subscriptions", "meta.set_app_subscriptions", subscriptions::set),
    r("POST", "{app}/uploads", "meta.open_upload", uploads::open),
    r("POST", "{upload}", "meta.send_upload", uploads::send),
    r("POST", "{number}/request_code", "meta.request_code", verification::request_code),
    r("POST", "{number}/verify_code", "meta.verify_code", verification::verify_code),
    r("POST", "{number}/register", "meta.register", registration::register),
    r("POST", "{number}/deregister", "meta.deregister", registration::deregister),
    r("GET", "{number}/whatsapp_business_profile", "meta.get_profile", profile::get),
    r("POST", "{number}/whatsapp_business_profile", "meta.update_profile", profile::update),
    r("GET", "{number}", "meta.get_number", numbers::get),
    r("POST", "{number}", "meta.update_number", changes::update),
    r("GET", "{waba}", "meta.get_waba", wabas::get),
    r("GET", "{business}", "meta.get_business", wabas::get_business),
];

const fn r(method: &'static str, path: &'static str, operation: &'static str, handler: Handler) -> Route {
    Route { method, path, operation, handler }
}

/// The endpoint a request means: with any version, with or without a trailing slash.
pub fn route(world: &World, req: &Request) -> (&'static str, Option<&'static Route>, Vec<String>) {
    let mut segments = req.segments();
    if segments.first().is_some_and(|first| is_version(first)) {
        segments.remove(0);
    }
    let by_name = |name: &str| ROUTES.iter().find(|route| route.operation == name);
    let found = match (req.method.as_str(), segments.as_slice()) {
        ("GET", [id]) if id != "debug_token" => {
            let name = match world.meta.line(id) {
                Some(_) => "meta.get_number",
                None if wabas::is_business(world, id) => "meta.get_business",
                None => "meta.get_waba",
            };
            by_name(name).map(|route| (route, segments.clone()))
        }
        ("POST", [id]) => {
            let name = if id.starts_with("upload:") { "meta.send_upload" } else { "meta.update_number" };
            by_name(name).map(|route| (route, segments.clone()))
        }
        _ => find(ROUTES, &req.method, &segments),
    };
    match found {
        Some((route, params)) => (route.operation, Some(route), params),
        None => ("meta.unknown", None, Vec::new()),
    }
}

fn is_version(text: &str) -> bool {
    text.strip_prefix('v').and_then(|rest| rest.split_once('.')).is_some_and(|(major, minor)| {
        [major, minor].iter().all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()))
    })
}

/// Answers a request.
pub fn answer(world: &mut World, req: &Request, now: Timestamp) -> Response {
    let (_, route, params) = route(world, req);
    let ctx = Ctx { req, params: &params, now };
    let mut usage = Vec::new();
    let result = tokens::authorise(world, req)
        .and_then(|()| {
            let waba = route.zip(params.first()).and_then(|(route, id)| pace::waba_of(world, route.path, id));
            pace::admit(world, req, waba, now, &mut usage)
        })
        .and_then(|()| match (route, params.first()) {
            (Some(route), Some(id)) if is_unknown(world, route, id) => Err(errors::no_such_object(id)),
            (Some(route), _) => (route.handler)(world, &ctx),
            (None, _) => Err(errors::unknown_path(&req.path)),
        });
    let mut response = result.unwrap_or_else(|refused| refused);
    let trace = world.numeric_of(16, "meta.trace", &format!("{} {}", req.method, req.path));
    response.headers.push(("x-fb-trace-id".to_owned(), trace));
    response.headers.extend(usage);
    response
}

/// Whether a path names an object that there is not. Numbers and uploads are looked up by their handlers.
fn is_unknown(world: &World, route: &Route, id: &str) -> bool {
    let declared = world.settings.meta.unknown_ids.iter().any(|unknown| unknown == id);
    let is_id = !id.is_empty() && id.bytes().all(|c| c.is_ascii_digit());
    match route.path.split('/').next().unwrap_or("") {
        "{upload}" => false,
        "{app}" => declared || world.settings.meta.app_id != id,
        "{business}" => declared || !wabas::is_business(world, id),
        // What is set up on a WABA names it.
        "{waba}" => {
            declared
                || !is_id
                || !(route.method == "POST" || wabas::is_known(world, id) || world.meta.line(id).is_some())
        }
        "{number}" => declared || !is_id,
        _ => false,
    }
}

/// `{"success": true}`.
pub fn success() -> Answer {
    Ok(Response::json(200, &json!({"success": true})))
}

/// A text parameter; numbers count as text, since forms have nothing else.
pub fn text(params: &serde_json::Map<String, Value>, name: &str) -> Option<String> {
    match params.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Drops what has left the moving window, and says how many remain.
pub fn in_window(window: SignedDuration, attempts: &mut Vec<Timestamp>, now: Timestamp) -> usize {
    attempts.retain(|at| now.duration_since(*at) < window);
    attempts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_ids() {
        for (text, expected) in [("v25.0", true), ("v9.0", true), ("v25", false), ("104", false), ("v.0", false)] {
            assert_eq!(is_version(text), expected, "{text}");
        }
    }
}
