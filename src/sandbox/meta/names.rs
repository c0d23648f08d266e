//! Display names: a change is requested, decided later, and takes effect at the next register within 14 days.
//!
//! Meta: at most 10 changes in 30 days; the decision comes as the webhook phone_number_name_update, which names the
//! number by its display form only.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::errors;
use crate::sandbox::delays;
use crate::sandbox::http::Response;
use crate::sandbox::world::{Effect, World};

/// A requested name.
#[derive(Debug, Clone)]
pub struct NewName {
    /// As requested.
    pub name: String,
    /// new_name_status.
    pub status: String,
    /// When it is decided.
    pub due: Timestamp,
    /// When it was decided.
    pub decided: Option<Timestamp>,
}

/// Requests a name for the line at `place`.
///
/// # Errors
/// (#100) for a bad name or too many changes.
pub fn request(world: &mut World, place: usize, name: &str, now: Timestamp) -> Result<(), Response> {
    if !(2..=75).contains(&name.chars().count()) {
        return Err(errors::invalid("Param new_display_name must be between 2 and 75 characters long"));
    }
    let window = world.window(30 * 86_400);
    let line = &mut world.meta.lines[place];
    if super::in_window(window, &mut line.name_changes, now) >= 10 {
        return Err(errors::invalid("You have changed the display name too many times. Try again later."));
    }
    line.name_changes.push(now);
    let set = world.settings.meta.name_decision_delay_ms;
    let due = {
        let digits = world.meta.lines[place].digits.clone();
        world.later_of(now, set, delays::NAME, &digits)
    };
    world.meta.lines[place].new_name =
        Some(NewName { name: name.to_owned(), status: "PENDING_REVIEW".to_owned(), due, decided: None });
    Ok(())
}

/// Decides what is due.
pub fn advance(world: &mut World, now: Timestamp) {
    let decision = world.settings.meta.name_decision.clone();
    if decision == "PENDING" {
        return;
    }
    let mut webhooks = Vec::new();
    let heard = world.meta.delivers("phone_number_name_update");
    let wabas = &world.meta.wabas;
    for line in &mut world.meta.lines {
        let Some(new) = line.new_name.as_mut().filter(|new| new.decided.is_none() && new.due <= now) else { continue };
        new.status.clone_from(&decision);
        new.decided = Some(new.due);
        if !heard || !wabas.get(&line.waba).is_some_and(|waba| waba.subscribed) {
            continue;
        }
        let approved = decision == "APPROVED";
        webhooks.push(
            json!({"object": "whatsapp_business_account", "entry": [{"id": line.waba, "time": now.as_second(),
            "changes": [{"field": "phone_number_name_update", "value": {
                "display_phone_number": line.digits, "requested_verified_name": new.name,
                "decision": if approved { "APPROVED" } else { "REJECTED" },
                "rejection_reason": if approved { None } else { Some("NAME_ENDCLIENT_NOTRELATED") },
            }}]}]}),
        );
    }
    world.outbox.extend(webhooks.into_iter().map(Effect::Webhook));
}

/// The name that a register at `now` puts into effect: approved, and not older than 14 days (`window`).
pub fn effective(new: Option<&NewName>, now: Timestamp, window: SignedDuration) -> Option<String> {
    let new = new.filter(|new| new.status == "APPROVED")?;
    let decided = new.decided?;
    (now.duration_since(decided) <= window).then(|| new.name.clone())
}
