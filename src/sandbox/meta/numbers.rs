//! The numbers of a WABA: list, add, read.
//!
//! Meta: add takes the number with or without the country code; a new number is unverified and counts against the
//! business's cap; there is no delete; the display name is reviewed. Digits are all that numbers are compared by.

use serde_json::{Value, json};

use super::errors::{self, Refusal};
use super::fields::select;
use super::line::Line;
use super::{text, wabas};
use crate::sandbox::delays;
use crate::sandbox::http::{Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

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
    let id = world.numeric_of(15, "meta.number", &all);
    let lag = world.settings.meta.list_lag_ms;
    let visible = world.later_of(ctx.now, lag, delays::WABA_LIST, &all);
    let name_status = world.settings.meta.name_status.clone();
    world.meta.lines.push(Line { name_status, ..Line::new(id.clone(), waba, all, cc, name, visible) });
    Ok(Response::json(200, &json!({ "id": id })))
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
