//! POST /{number}: two-step PIN, override of the callback, display name.
//!
//! Meta: the old PIN is not asked for; an empty override deletes it; a URL has at most 200 characters.

use serde_json::Value;

use super::{errors, names, text};
use crate::sandbox::world::{Answer, Ctx, World};

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
