//! register and deregister: the PIN, the name, the budget of ten.
//!
//! Meta: the first register sets the PIN, later ones must match it (133005); an unverified number is 133006; ten calls
//! in 72 hours, failures included, then 133016; a number that still has an account elsewhere, or a name that is not
//! provisioned, is 100/2388001. Deregistering keeps slot, PIN and verification.

use super::errors::{self, Refusal};
use super::{in_window, names, numbers, success, text};
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
    if !numbers::is_six_digits(&pin) {
        return Err(errors::invalid("Param pin must be 6 digits"));
    }
    let settings = world.settings.meta.clone();
    let line = &mut world.meta.lines[place];
    let before = in_window(settings.budget_window_s, &mut line.registers, ctx.now);
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
    if line.quality == "UNKNOWN" {
        line.quality = "GREEN".to_owned();
    }
    if let Some(name) = names::effective(line.new_name.as_ref(), ctx.now) {
        line.name = name;
        line.name_status = "APPROVED".to_owned();
        line.new_name = None;
    }
    success()
}

/// POST /{number}/deregister
pub fn deregister(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let (window, budget) = (world.settings.meta.budget_window_s, world.settings.meta.register_budget);
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
