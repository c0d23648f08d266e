//! `pricing_analytics`: what the messages of registered numbers cost, made up but the same for the same seed.
//!
//! Meta: the arguments stand in the field itself, `.start(1).end(2).granularity(DAILY)...`; start, end and granularity are
//! needed; at most a year back; only asked-for dimensions are told apart, what they share is added up; cost is a number in
//! the account's currency. The sandbox sends no messages: volumes are drawn for each number and period.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::errors;
use super::line::Line;
use crate::sandbox::http::{Response, digits};
use crate::sandbox::world::World;

/// More points than the sandbox makes up.
const MAX_PERIODS: i64 = 2_000;

/// The arguments of the field in a `fields` parameter; None if it is not asked for.
fn arguments(fields: &str) -> Option<BTreeMap<String, String>> {
    let rest = &fields[fields.find("pricing_analytics")? + "pricing_analytics".len()..];
    let mut found = BTreeMap::new();
    let mut rest = rest;
    while let Some(named) = rest.strip_prefix('.') {
        let (name, value) = named.split_once('(')?;
        let (value, after) = value.split_once(')')?;
        found.insert(name.to_owned(), value.to_owned());
        rest = after;
    }
    Some(found)
}

/// The field's value for a WABA; None if it is not asked for or there is nothing to tell.
///
/// # Errors
/// (#100) for arguments that are missing or wrong.
pub fn of(world: &World, waba: &str, fields: &str, now: Timestamp) -> Result<Option<Value>, Response> {
    let Some(given) = arguments(fields) else { return Ok(None) };
    let needed =
        |name: &str| given.get(name).ok_or_else(|| errors::invalid(&format!("The parameter {name} is required")));
    let seconds = |name: &str| {
        needed(name)?.parse::<i64>().map_err(|_| errors::invalid(&format!("Param {name} must be a unix timestamp")))
    };
    let list = |name: &str| -> Vec<String> {
        given.get(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let width = match needed("granularity")?.as_str() {
        "HALF_HOUR" => 1_800,
        "DAILY" => 86_400,
        "MONTHLY" => 30 * 86_400,
        _ => return Err(errors::invalid("Param granularity must be one of {HALF_HOUR, DAILY, MONTHLY}")),
    };
    let (start, end) = (seconds("start")?, seconds("end")?);
    let oldest = now.checked_sub(SignedDuration::from_hours(24 * 366)).map_or(i64::MIN, Timestamp::as_second);
    if end <= start || start < oldest || (end - start) / width > MAX_PERIODS {
        return Err(errors::invalid("Param start must be before end and at most one year back"));
    }
    let dimensions = list("dimensions");
    if let Some(bad) = dimensions.iter().find(|name| !DIMENSIONS.iter().any(|known| known.0 == **name)) {
        return Err(errors::invalid(&format!("Param dimensions does not know {bad}")));
    }
    let metrics = list("metric_types");
    let numbers: Vec<String> = list("phone_numbers").iter().map(|number| digits(number)).collect();
    let lines = world.meta.lines.iter().filter(|line| line.waba == waba && line.cloud);
    let lines = lines.filter(|line| numbers.is_empty() || numbers.contains(&line.digits));
    let mut points: BTreeMap<(i64, String), Point> = BTreeMap::new();
    for line in lines {
        let mut from = start - start.rem_euclid(width);
        while from < end {
            for drawn in drawn(world, line, from, width) {
                let key: Vec<String> = dimensions.iter().map(|name| drawn.part(name).to_string()).collect();
                let sum = points.entry((from, key.join("/"))).or_insert_with(|| Point {
                    volume: 0,
                    cost: 0,
                    ..drawn.clone()
                });
                sum.volume += drawn.volume;
                sum.cost += drawn.cost;
            }
            from += width;
        }
    }
    let points: Vec<Value> = points.values().map(|point| point.view(width, &dimensions, &metrics)).collect();
    Ok((!points.is_empty()).then(|| json!({"data": [{"data_points": points}]})))
}

const DIMENSIONS: [(&str, &str); 5] = [
    ("PHONE", "phone_number"),
    ("COUNTRY", "country"),
    ("TIER", "tier"),
    ("PRICING_TYPE", "pricing_type"),
    ("PRICING_CATEGORY", "pricing_category"),
];

#[derive(Clone)]
struct Point {
    start: i64,
    number: String,
    category: &'static str,
    free: bool,
    volume: i64,
    /// In ten-thousandths of the currency's unit.
    cost: i64,
}

impl Point {
    fn part(&self, dimension: &str) -> Value {
        match dimension {
            "PHONE" => json!(self.number),
            "COUNTRY" => json!("MA"),
            "TIER" => json!("0:100000"),
            "PRICING_TYPE" => json!(if self.free { "FREE_CUSTOMER_SERVICE" } else { "REGULAR" }),
            _ => json!(self.category),
        }
    }

    fn view(&self, width: i64, dimensions: &[String], metrics: &[String]) -> Value {
        let mut shown = Map::new();
        shown.insert("start".to_owned(), json!(self.start));
        shown.insert("end".to_owned(), json!(self.start + width));
        for (name, field) in DIMENSIONS {
            if dimensions.iter().any(|asked| asked == name) {
                shown.insert(field.to_owned(), self.part(name));
            }
        }
        let asked = |name: &str| metrics.is_empty() || metrics.iter().any(|metric| metric == name);
        if asked("VOLUME") {
            shown.insert("volume".to_owned(), json!(self.volume));
        }
        if asked("COST") {
            let cost = Decimal::new(self.cost, 4).normalize().to_string();
            shown.insert("cost".to_owned(), serde_json::from_str(&cost).unwrap_or(Value::Null));
        }
        Value::Object(shown)
    }
}

/// Messages of a number in one period: answers within the free tier, and templates that are charged.
fn drawn(world: &World, line: &Line, start: i64, width: i64) -> [Point; 2] {
    let key = format!("{}/{start}/{width}", line.digits);
    let volume = |what: &str| 1 + i64::try_from(world.dice.below(40, what, &key)).unwrap_or(0);
    let point = |category, free, rate: i64, volume: i64| Point {
        start,
        number: line.digits.clone(),
        category,
        free,
        volume,
        cost: volume * rate,
    };
    [
        point("SERVICE", true, 0, volume("analytics.service")),
        point("MARKETING", false, 414, volume("analytics.marketing")),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::arguments;
    use crate::sandbox::testing::Asked;

    #[test]
    fn arguments_stand_in_the_field() {
        let text = "id,pricing_analytics.start(1).end(2).phone_numbers([\"1\",\"2\"]),name";
        let given = arguments(text).expect("asked for");
        assert_eq!((given["start"].as_str(), given["phone_numbers"].as_str()), ("1", "[\"1\",\"2\"]"));
        assert_eq!(arguments("id,name"), None);
        assert_eq!(arguments("pricing_analytics.start(1"), None);
    }

    #[test]
    fn points_are_those_of_registered_numbers_and_add_up() {
        let mut asked = Asked::new();
        let ids = [asked.line("612345678"), asked.line("612345679")];
        let end = asked.now.as_second();
        let read = |asked: &mut Asked, more: &str| {
            let field = format!("pricing_analytics.start({}).end({end}).granularity(DAILY){more}", end - 3 * 86_400);
            let (status, answer) = asked.meta("GET", &format!("/v25.0/104?fields=id,currency,{field}"), json!(null));
            assert_eq!(status, 200, "{answer}");
            answer["pricing_analytics"]["data"][0]["data_points"].as_array().cloned().unwrap_or_default()
        };
        let by_phone = ".dimensions([\"PHONE\",\"PRICING_TYPE\"])";
        assert_eq!(read(&mut asked, by_phone), Vec::<Value>::new());
        for id in &ids {
            let place = asked.world.meta.position(id).expect("a line");
            asked.world.meta.lines[place].cloud = true;
        }
        let all = read(&mut asked, by_phone);
        let one = read(&mut asked, &format!("{by_phone}.phone_numbers([\"+212 612-345678\"])"));
        assert_eq!(all.len(), 2 * one.len());
        assert!(one.iter().all(|point| point["phone_number"] == "212612345678" && point.get("country").is_none()));
        let volume = |points: &[Value]| points.iter().filter_map(|point| point["volume"].as_u64()).sum::<u64>();
        let total = read(&mut asked, "");
        assert!(total.len() < one.len() && volume(&total) == volume(&all), "{total:?}");
        assert!(read(&mut asked, ".metric_types([\"VOLUME\"])").iter().all(|point| point.get("cost").is_none()));
        for bad in [
            "pricing_analytics.start(1).end(2).granularity(DAILY)",
            "pricing_analytics.granularity(DAILY)",
            &format!("pricing_analytics.start({}).end({end}).granularity(YEARLY)", end - 60),
            &format!("pricing_analytics.start({}).end({end}).granularity(DAILY).dimensions([\"COLOUR\"])", end - 60),
        ] {
            assert_eq!(asked.meta_error("GET", &format!("/v25.0/104?fields={bad}"), json!(null)), (100, 0), "{bad}");
        }
    }
}
