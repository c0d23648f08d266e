//! What is on sale: coverage, and a search that is the same for the same seed.
//!
//! Telnyx: only a number that a recent search of this account returned can be ordered (else 85000), so every search is
//! remembered. A number that was sold, to us or to a stranger, is not offered again; one that we gave back is.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{data, errors};
use crate::sandbox::dice::Dice;
use crate::sandbox::http::{Response, digits};
use crate::sandbox::settings::Price;
use crate::sandbox::world::{Answer, Ctx, World};

/// A number that a search returned.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Country it belongs to.
    pub country: String,
    /// `mobile`, `national`, `local`, ...
    pub kind: String,
    /// Its price.
    pub price: Price,
    /// When it was returned last.
    pub at: Timestamp,
}

/// Country codes whose numbers the sandbox can make up, with the beginnings that each type has there.
const PLANS: &[(&str, &str, &str, &[&str])] = &[
    ("MA", "212", "mobile", &["612", "661", "662", "670", "770", "771"]),
    ("MA", "212", "national", &["592400", "592410", "592420"]),
    ("MA", "212", "local", &["522", "537"]),
    ("FR", "33", "mobile", &["6370", "7565"]),
    ("FR", "33", "national", &["9710", "9720"]),
    ("FR", "33", "local", &["1762", "4580"]),
];

/// The nth number of a type on sale; None for a country the sandbox has no numbering plan of.
pub fn number(dice: &Dice, country: &str, kind: &str, place: u64) -> Option<String> {
    let (_, code, _, starts) = PLANS.iter().find(|plan| plan.0 == country && plan.2 == kind)?;
    let key = format!("{country}/{kind}/{place}");
    let start = starts[dice.below(starts.len() as u64, "search.start", &key) as usize];
    let rest = dice.numeric(9 - start.len(), "search.rest", &key);
    Some(format!("+{code}{start}{rest}"))
}

fn features(kind: &str) -> &'static [&'static str] {
    if kind == "mobile" { &["sms", "voice"] } else { &["voice"] }
}

/// GET /available_phone_numbers
pub fn search(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let req = ctx.req;
    let Some(country) = req.filter("country_code").map(str::to_owned) else {
        return Err(errors::missing("filter[country_code]"));
    };
    let limit = match req.filter("limit").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit)) if limit > 0 => limit,
        Some(_) => return Err(errors::bad_parameter("filter[limit]", "limit must be a positive whole number.")),
    };
    let types = world.settings.telnyx.coverage.get(&country).cloned().unwrap_or_default();
    let wanted = req.filters("phone_number_type");
    if let Some(bad) = wanted.iter().find(|kind| !TYPES.contains(&kind.as_str())) {
        return Err(errors::refuse(
            422,
            "10032",
            "Invalid enum value",
            &format!("phone_number_type {bad} is not one of {TYPES:?}."),
        ));
    }
    if types.is_empty() {
        return Err(no_coverage(world));
    }
    let needed = req.filters("features");
    let excludes_held = req.filter("exclude_held_numbers") == Some("true");
    let mut found = Vec::new();
    for kind in types.iter().filter(|kind| wanted.is_empty() || wanted.contains(kind)) {
        if !needed.iter().all(|feature| features(kind).contains(&feature.as_str())) {
            continue;
        }
        let price = world.settings.telnyx.prices.get(kind).copied().unwrap_or_default();
        for place in 0..world.settings.telnyx.pool {
            let Some(e164) = number(&world.dice, &country, kind, place) else { break };
            if found.len() < limit && available(world, &e164, excludes_held) && matches(ctx, &e164) {
                found.push(item(&e164, &country, kind, price));
                let offer = Offer { country: country.clone(), kind: kind.clone(), price, at: ctx.now };
                world.telnyx.offers.insert(e164, offer);
            }
        }
    }
    let meta = json!({"total_results": found.len(), "best_effort_results": 0});
    Ok(Response::json(200, &json!({"data": found, "meta": meta, "metadata": meta})))
}

const TYPES: [&str; 5] = ["local", "toll_free", "mobile", "national", "shared_cost"];

fn no_coverage(world: &World) -> Response {
    let status = world.settings.telnyx.no_coverage_status;
    errors::refuse(status, "10015", "Bad Request", "No coverage in the requested country or region.")
}

fn available(world: &World, e164: &str, excludes_held: bool) -> bool {
    let taken = world.settings.telnyx.taken.iter().any(|taken| digits(taken) == digits(e164));
    let owned = world.telnyx.numbers.iter().any(|n| n.e164 == e164 && (n.deleted_at.is_none() || excludes_held));
    let ordered = world.telnyx.orders.iter().any(|order| order.is_open() && order.contains(e164));
    !(taken || owned || ordered)
}

fn matches(ctx: &Ctx<'_>, e164: &str) -> bool {
    let part = |op: &str| ctx.req.filter_op("phone_number", op).map(digits);
    let all = digits(e164);
    let national = ctx.req.filter("national_destination_code").map(digits);
    part("contains").is_none_or(|part| all.contains(&part))
        && part("ends_with").is_none_or(|part| all.ends_with(&part))
        && part("starts_with").is_none_or(|part| all.starts_with(&part))
        && national.is_none_or(|code| all.len() > 9 && all[all.len() - 9..].starts_with(&code))
}

fn item(e164: &str, country: &str, kind: &str, price: Price) -> Value {
    let features: Vec<Value> = features(kind).iter().map(|name| json!({ "name": name })).collect();
    json!({
        "record_type": "available_phone_number", "phone_number": e164, "best_effort": false, "quickship": false,
        "reservable": true, "features": features,
        "cost_information": {
            "currency": "USD", "monthly_cost": money(price.monthly), "upfront_cost": money(price.upfront),
        },
        "region_information": [{"region_type": "country_code", "region_name": country}],
    })
}

/// An amount as Telnyx writes it: `"1.00000"`.
pub fn money(amount: crate::domain::Usd) -> String {
    format!("{:.5}", amount.0)
}

/// GET /country_coverage/countries/{country}
pub fn get_coverage(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let country = ctx.param(0).to_owned();
    if country.len() != 2 {
        return Err(errors::not_found("There is no such country."));
    }
    data(200, &coverage(world, &country))
}

/// GET /country_coverage
pub fn list_coverage(world: &mut World, _: &Ctx<'_>) -> Answer {
    let names = [("MA", "Morocco"), ("FR", "France")];
    let all: serde_json::Map<String, Value> = world
        .settings
        .telnyx
        .coverage
        .keys()
        .map(|code| {
            let name = names.iter().find(|(known, _)| known == code).map_or(code.as_str(), |(_, name)| name);
            (name.to_owned(), coverage(world, code))
        })
        .collect();
    data(200, &Value::Object(all))
}

fn coverage(world: &World, country: &str) -> Value {
    let types = world.settings.telnyx.coverage.get(country).cloned().unwrap_or_default();
    let mut answer = json!({
        "code": country, "numbers": !types.is_empty(), "phone_number_type": types, "reservable": true,
        "features": if types.is_empty() { json!([]) } else { json!(["sms", "voice"]) },
        "quickship": false, "international_sms": false, "p2p": false, "inventory_coverage": false, "region": null,
    });
    for kind in TYPES {
        answer[kind] = if types.iter().any(|sold| sold == kind) {
            json!({"features": features(kind), "full_pstn_replacement": false, "international_sms": false,
                   "p2p": false, "quickship": false, "reservable": true})
        } else {
            json!({})
        };
    }
    answer
}
