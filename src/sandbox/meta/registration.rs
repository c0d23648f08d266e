//! register and deregister: the PIN, the name, the budget of ten.
//!
//! Meta: the first register sets the PIN, later ones must match it (133005); an unverified number is 133006; ten calls
//! in 72 hours, failures included, then 133016; a number that still has an account elsewhere, or a name that is not
//! provisioned, is 100/2388001. Deregistering keeps slot, PIN and verification.

use super::errors::{self, Refusal};
use super::{changes, in_window, names, success, text};
use crate::sandbox::http::{Response, digits};
use crate::sandbox::world::{Answer, Ctx, World};

fn no_certificate(text: &str) -> Response {
    Refusal::new(100, "Invalid parameter").subcode(2_388_001).user("Cannot Create Certificate", text).answer()
}

fn rate_limited() -> Response {
    Refusal::new(133_016, "Account register rate limit exceeded")
        .details("Number of register or deregister requests exceeded the limit. Wait 72 hours.")
        .answer()
}

/// POST /{number}/register
pub fn register(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let params = ctx.req.params();
    if text(&params, "messaging_product").as_deref() != Some("whatsapp") {
        return Err(errors::invalid("Param messaging_product must be one of {WHATSAPP}"));
    }
    let pin = text(&params, "pin").unwrap_or_default();
    if !changes::is_six_digits(&pin) {
        return Err(errors::invalid("Param pin must be 6 digits"));
    }
    let settings = world.settings.meta.clone();
    let (window, fortnight) = (world.window(settings.budget_window_s), world.window(14 * 86_400));
    let line = &mut world.meta.lines[place];
    let before = in_window(window, &mut line.registers, ctx.now);
    line.registers.push(ctx.now);
    if before >= settings.register_budget {
        return Err(rate_limited());
    }
    if line.code_status != "VERIFIED" && line.status != "CONNECTED" {
        return Err(Refusal::new(133_006, "Phone number re-verification needed")
            .details("The phone number needs to be verified before registering.")
            .answer());
    }
    if settings.burnt.iter().any(|burnt| digits(burnt) == line.digits) {
        return Err(no_certificate(
            "This number is registered to an existing WhatsApp account. To use this number, disconnect it from the \
             existing account.",
        ));
    }
    if let Some(own) = &line.pin
        && *own != pin
    {
        line.pin_failures += 1;
        let refusal = if line.pin_failures > 5 {
            Refusal::new(133_008, "Too many two step verification PIN guesses").details("Wait 3600 seconds.")
        } else {
            Refusal::new(133_005, "Two step verification PIN mismatch").details("The PIN does not match.")
        };
        return Err(refusal.answer());
    }
    let provisioned = match line.name_status.as_str() {
        "APPROVED" | "AVAILABLE_WITHOUT_REVIEW" | "ABSENT" => true,
        "PENDING_REVIEW" => settings.register_while_pending_review,
        _ => false,
    };
    if !provisioned {
        return Err(no_certificate("Your display name could not be processed. Try again later."));
    }
    line.pin = Some(pin);
    line.pin_failures = 0;
    line.status = "CONNECTED".to_owned();
    line.cloud = true;
    line.onboarded = Some(ctx.now);
    if line.quality == "NA" {
        line.quality = "GREEN".to_owned();
    }
    if let Some(name) = names::effective(line.new_name.as_ref(), ctx.now, fortnight) {
        line.name = name;
        line.name_status = "APPROVED".to_owned();
        line.new_name = None;
    }
    success()
}

/// POST /{number}/deregister
pub fn deregister(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let budget = world.settings.meta.register_budget;
    let window = world.window(world.settings.meta.budget_window_s);
    let line = &mut world.meta.lines[place];
    let before = in_window(window, &mut line.deregisters, ctx.now);
    line.deregisters.push(ctx.now);
    if before >= budget {
        return Err(rate_limited());
    }
    if !line.cloud {
        return Err(Refusal::new(100, "Phone number is not registered").subcode(2_207_051).answer());
    }
    line.status = "DISCONNECTED".to_owned();
    line.cloud = false;
    success()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::testing::Asked;

    fn register(asked: &mut Asked, id: &str, pin: &str) -> (u64, u64) {
        asked.meta_error("POST", &format!("/v25.0/{id}/register"), json!({"messaging_product": "whatsapp", "pin": pin}))
    }

    fn verified(asked: &mut Asked, national: &str) -> String {
        let id = asked.line(national);
        let place = asked.world.meta.position(&id).expect("a line");
        asked.world.meta.lines[place].code_status = "VERIFIED".into();
        id
    }

    #[test]
    fn the_first_register_sets_the_pin_and_later_ones_must_match() {
        let mut asked = Asked::new();
        let id = asked.line("612345678");
        assert_eq!(register(&mut asked, &id, "111111"), (133_006, 0));
        let id = verified(&mut asked, "612345679");
        assert_eq!(register(&mut asked, &id, "11111"), (100, 0));
        assert_eq!(register(&mut asked, &id, "111111"), (0, 0));
        let (_, answer) =
            asked.meta("GET", &format!("/v25.0/{id}?fields=status,platform_type,is_pin_enabled"), json!(null));
        assert_eq!(
            answer,
            json!({"status": "CONNECTED", "platform_type": "CLOUD_API", "is_pin_enabled": true, "id": id})
        );
        assert_eq!(register(&mut asked, &id, "222222"), (133_005, 0));
        assert_eq!(asked.meta_error("POST", &format!("/v25.0/{id}"), json!({"pin": "222222"})), (0, 0));
        assert_eq!(register(&mut asked, &id, "222222"), (0, 0));
        // Deregistering keeps PIN and verification.
        let deregister = format!("/v25.0/{id}/deregister");
        assert_eq!(asked.meta_error("POST", &deregister, json!(null)), (0, 0));
        assert_eq!(asked.meta_error("POST", &deregister, json!(null)), (100, 2_207_051));
        assert_eq!(register(&mut asked, &id, "111111"), (133_005, 0));
        assert_eq!(register(&mut asked, &id, "222222"), (0, 0));
    }

    #[test]
    fn ten_registers_in_72_hours_failures_included() {
        let mut asked = Asked::new();
        let id = verified(&mut asked, "612345678");
        assert_eq!(register(&mut asked, &id, "111111"), (0, 0));
        for _ in 0..5 {
            assert_eq!(register(&mut asked, &id, "222222"), (133_005, 0));
        }
        for _ in 0..4 {
            assert_eq!(register(&mut asked, &id, "222222"), (133_008, 0));
        }
        assert_eq!(register(&mut asked, &id, "111111"), (133_016, 0));
        asked.later(72 * 3_600);
        assert_eq!(register(&mut asked, &id, "111111"), (0, 0));
    }

    #[test]
    fn the_name_must_be_provisioned_and_the_number_free() {
        let cases = [
            ("APPROVED", (0, 0)),
            ("AVAILABLE_WITHOUT_REVIEW", (0, 0)),
            ("ABSENT", (0, 0)),
            ("PENDING_REVIEW", (100, 2_388_001)),
            ("DECLINED", (100, 2_388_001)),
            ("NONE", (100, 2_388_001)),
        ];
        for (status, expected) in cases {
            let mut asked = Asked::new();
            asked.change(json!({"meta": {"name_status": status}}));
            let id = verified(&mut asked, "612345678");
            assert_eq!(register(&mut asked, &id, "111111"), expected, "{status}");
            let (_, answer) = asked.meta("GET", &format!("/v25.0/{id}?fields=name_status"), json!(null));
            assert_eq!(answer.get("name_status").is_some(), status != "ABSENT", "{status}");
        }
        let mut asked = Asked::new();
        asked.change(json!({"meta": {"burnt": ["+212612345678"]}}));
        let id = verified(&mut asked, "612345678");
        assert_eq!(register(&mut asked, &id, "111111"), (100, 2_388_001));
    }

    #[test]
    fn a_changed_name_takes_effect_at_the_next_register_within_14_days() {
        for (days, taken) in [(13, true), (15, false)] {
            let mut asked = Asked::new();
            let id = verified(&mut asked, "612345678");
            assert_eq!(register(&mut asked, &id, "111111"), (0, 0));
            assert_eq!(
                asked.meta_error("POST", &format!("/v25.0/{id}?new_display_name=Atlas+Two"), json!(null)),
                (0, 0)
            );
            asked.later(days * 86_400);
            assert_eq!(register(&mut asked, &id, "111111"), (0, 0));
            let (_, answer) = asked.meta("GET", &format!("/v25.0/{id}?fields=verified_name"), json!(null));
            assert_eq!(answer["verified_name"] == "Atlas Two", taken, "{days}");
        }
    }
}
