//! Whether a line that works is still what it was made to be: renamed, downgraded, overridden, deleted by hand. Pure.
//!
//! First facts: what the providers told, in `status.line`. What was not told changes no fact that Ready depends on, so a
//! provider's bad hour or a field that this account does not have is never taken for drift. Then the verdict on the facts:
//! a line that receives nothing is not Ready; one that works, but worse, is Degraded. The verdict is made of facts alone,
//! so it is the same whoever asks, and ends by itself when they do.

use std::time::Duration;

use jiff::Timestamp;

use super::plan::Step;
use super::status::Progress;
use crate::portfolio::observed::Presence;
use crate::providers::meta::PhoneNumber;
use crate::providers::telnyx::{OwnedNumber, OwnedStatus};
use crate::resources::client_number::LineStatus;
use crate::resources::conditions::{ConditionType, Truth, Wanted, seconds};
use crate::resources::reasons::Reason;

/// What is ours, to tell what is not.
#[derive(Debug, Clone, Default)]
pub struct Ours {
    /// The router's webhook URL, if the Portfolio names it.
    pub webhook_url: Option<String>,
    /// Tags that the number carries at the carrier.
    pub tags: Vec<String>,
}

/// What a round saw of one line.
pub struct Sight<'a> {
    /// Its entry in the WABA's list.
    pub meta: Presence<'a, PhoneNumber>,
    /// Whether that list tells webhook URLs at all: the field is not there for every account.
    pub tells_webhooks: bool,
    /// Its number in the carrier's account; Unknown for another operator's.
    pub carrier: Presence<'a, OwnedNumber>,
    /// The last webhook.
    pub heard: Option<Timestamp>,
    /// How old the shown time of the last webhook may become: a busy line is not a write a round.
    pub heard_gap: Duration,
}

/// The facts after a round.
pub fn facts(before: LineStatus, sight: &Sight<'_>, ours: &Ours, now: Timestamp) -> LineStatus {
    let mut line = match sight.meta {
        Presence::There(entry) => {
            LineStatus { missing_at_meta: None, ..told(before, entry, sight.tells_webhooks, ours) }
        }
        Presence::Gone => {
            LineStatus { missing_at_meta: Some(before.missing_at_meta.clone().unwrap_or(seconds(now))), ..before }
        }
        Presence::Unknown => before,
    };
    let lost = |line: &LineStatus| Some(line.missing_at_carrier.clone().unwrap_or(seconds(now)));
    match sight.carrier {
        Presence::There(number) => {
            let gone = matches!(number.status, Some(OwnedStatus::Deleted | OwnedStatus::PortedOut));
            line.missing_at_carrier = if gone { lost(&line) } else { None };
            line.carrier_status = number.status.as_ref().map(ToString::to_string).or(line.carrier_status);
            line.untagged = ours.tags.iter().any(|tag| !number.tags.contains(tag));
        }
        Presence::Gone => line.missing_at_carrier = lost(&line),
        Presence::Unknown => {}
    }
    let shown = line.last_webhook_at.as_ref().map(|at| at.0);
    if let Some(heard) = sight.heard
        && shown.is_none_or(|shown| shown + sight.heard_gap <= heard)
    {
        line.last_webhook_at = Some(seconds(heard));
    }
    line
}

/// What Meta's entry tells. A state or an override that is not told stays what it was.
pub fn told(before: LineStatus, entry: &PhoneNumber, tells_webhooks: bool, ours: &Ours) -> LineStatus {
    let limit = entry.messaging_limit().map(str::to_owned);
    LineStatus {
        display_name_status: entry.name_status.as_ref().map(ToString::to_string),
        verified_name: entry.verified_name.clone(),
        new_display_name: entry.new_display_name.clone(),
        new_name_status: entry.new_name_status.as_ref().map(ToString::to_string),
        quality_rating: entry.quality_rating.as_ref().map(ToString::to_string),
        highest_messaging_limit: highest(before.highest_messaging_limit.clone(), limit.clone()),
        messaging_limit: limit,
        status: entry.status.as_ref().map(ToString::to_string).or(before.status.clone()),
        account_mode: entry.account_mode.clone(),
        webhook_override: foreign(entry, tells_webhooks, ours, before.webhook_override.clone()),
        last_onboarded_at: entry.last_onboarded_time.map(|t| seconds(t).0.to_string()),
        ..before
    }
}

/// The URL that takes this line's webhooks away from ours. Meta: the number's override wins over the account's, which wins
/// over the app's.
fn foreign(entry: &PhoneNumber, tells_webhooks: bool, ours: &Ours, before: Option<String>) -> Option<String> {
    let Some(urls) = &entry.webhook_configuration else { return before.filter(|_| !tells_webhooks) };
    let url = urls.phone_number.as_deref().or(urls.whatsapp_business_account.as_deref())?;
    let same = |other: &str| other.trim_end_matches('/') == url.trim_end_matches('/');
    let ours = ours.webhook_url.as_deref().is_some_and(same) || urls.application.as_deref().is_some_and(same);
    (!ours).then(|| without_secrets(url))
}

/// Scheme, host and path: a query or user name may hold a secret.
pub fn without_secrets(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = plain.split_once("://").unwrap_or(("https", plain));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}").chars().take(200).collect()
}

/// `TIER_250`, `TIER_2K`, `TIER_UNLIMITED` as a number; None for a word that is not known.
fn tier(limit: &str) -> Option<u64> {
    let tier = limit.strip_prefix("TIER_")?;
    match tier.strip_suffix('K') {
        _ if tier == "UNLIMITED" => Some(u64::MAX),
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
        None => tier.parse().ok(),
    }
}

fn highest(before: Option<String>, now: Option<String>) -> Option<String> {
    let value = |limit: &Option<String>| limit.as_deref().and_then(tier);
    if value(&now) > value(&before) { now } else { before }
}

/// Whether the line sends and receives, by the facts.
pub fn verdict(line: Option<&LineStatus>) -> Progress {
    let settled = Progress::settled("the line sends and receives");
    let Some(line) = line else { return settled };
    let stalled = |reason, message: String| {
        Progress::stalled(Step::Keep, reason, format!("{message}; the line is read again by itself"))
    };
    if line.missing_at_meta.is_some() {
        return stalled(Reason::LineNotConnected, "the WhatsApp Business Account does not list the number any more: look in WhatsApp Manager who deleted or moved it and put it back; if it has to be added anew, delete this ClientNumber with deletionPolicy Retain and apply it again".into());
    }
    if let Some(status @ ("DISCONNECTED" | "BANNED" | "DELETED" | "MIGRATED" | "PENDING" | "UNVERIFIED")) =
        line.status.as_deref()
    {
        return stalled(
            Reason::LineNotConnected,
            format!("Meta says that the line is {status}: look at the number in WhatsApp Manager"),
        );
    }
    if let Some(url) = &line.webhook_override {
        return stalled(
            Reason::WebhookOverridden,
            format!(
                "Meta sends what candidates write to {url}, and nothing to the router: remove that override (an empty override_callback_uri of the number, or of the WhatsApp Business Account)"
            ),
        );
    }
    if line.missing_at_carrier.is_some() {
        return stalled(Reason::NumberLost, "the Telnyx account does not hold the number any more, and whoever gets it next could take the line over: ask Telnyx for it at once, or move the company to another number".into());
    }
    settled
}

/// What is wrong with a line that works; None: nothing.
pub fn degraded(line: &LineStatus) -> Option<Wanted> {
    let mut found: Vec<(Reason, String)> = Vec::new();
    if let Some(status @ ("FLAGGED" | "RESTRICTED" | "RATE_LIMITED")) = line.status.as_deref() {
        found.push((Reason::LineRestricted, format!("Meta says that the line is {status}: look at the number in WhatsApp Manager, and let the company write less to people who did not ask for it")));
    }
    if line.account_mode.as_deref() == Some("SANDBOX") {
        found.push((Reason::LineRestricted, "Meta runs the number in account mode SANDBOX, which reaches test recipients only: look at the account in WhatsApp Manager".into()));
    }
    if let Some(rating @ ("YELLOW" | "RED")) = line.quality_rating.as_deref() {
        found.push((Reason::QualityLow, format!("Meta rates the line's quality {rating}: talk to the company about what candidates block or report, before Meta lowers the limit of all lines")));
    }
    if let (Some(now), Some(highest)) = (&line.messaging_limit, &line.highest_messaging_limit)
        && tier(now) < tier(highest)
        && tier(now).is_some()
    {
        found.push((Reason::LimitLowered, format!("Meta lowered the messaging limit from {highest} to {now}: look at the quality of all lines of the WhatsApp Business Account")));
    }
    if line.untagged && line.missing_at_carrier.is_none() {
        found.push((Reason::NumberUntagged, "the number has lost tags at Telnyx: put clientnumber:owner and clientnumber:company back there, or it counts as nobody's once this object is gone".into()));
    }
    if let Some(
        status @ ("port-out-pending"
        | "emergency-only"
        | "requirement-info-pending"
        | "requirement-info-under-review"
        | "requirement-info-exception"),
    ) = line.carrier_status.as_deref()
    {
        found.push((
            Reason::NumberNotActive,
            format!("Telnyx says that the number is {status}: look at it in the Telnyx portal"),
        ));
    }
    let reason = found.first()?.0;
    let messages: Vec<String> = found.into_iter().map(|(_, message)| message).collect();
    Some(Wanted::new(ConditionType::Degraded, Truth::True, reason, messages.join("; ")))
}

/// A step that was done and has been undone by somebody.
pub fn undone(step: Step, line: &LineStatus) -> Option<(Reason, &'static str)> {
    match step {
        Step::Acquire if line.missing_at_carrier.is_some() => {
            Some((Reason::NumberLost, "the Telnyx account does not hold the number any more; Ready says what to do"))
        }
        Step::Link if line.missing_at_meta.is_some() => Some((
            Reason::LineNotConnected,
            "the WhatsApp Business Account does not list the number any more; Ready says what to do",
        )),
        _ => None,
    }
}

/// The name that candidates see, and what Meta says of it. name_status is called beta by Meta: absent is Unknown, never
/// False.
pub fn display_name(line: Option<&LineStatus>, wanted: &str) -> Wanted {
    let make = |truth, reason, message: String| Wanted::new(ConditionType::DisplayNameApproved, truth, reason, message);
    let declined = || {
        let message = "Meta declined the name: change spec.displayName, for example to Company by Platform";
        make(Truth::False, Reason::NameDeclined, message.into())
    };
    let unknown = |message: String| make(Truth::Unknown, Reason::NotRead, message);
    let Some(line) = line else { return unknown("Meta has not told yet; read again by itself".into()) };
    let (shown, asked) = (line.verified_name.as_deref(), line.new_display_name.as_deref());
    let asked_declined = matches!(line.new_name_status.as_deref(), Some("DECLINED" | "EXPIRED"));
    if let Some("DECLINED" | "EXPIRED") = line.display_name_status.as_deref() {
        return declined();
    }
    if let Some(shown) = shown.filter(|shown| *shown != wanted) {
        return match asked {
            Some(asked) if asked == wanted && asked_declined => declined(),
            Some(asked) if asked == wanted => {
                let message =
                    format!("candidates see \"{shown}\" until Meta has reviewed \"{wanted}\"; read again by itself");
                make(Truth::False, Reason::NamePending, message)
            }
            _ => make(
                Truth::False,
                Reason::NameDiffers,
                format!(
                    "candidates see \"{shown}\", and spec.displayName says \"{wanted}\": ask for that name in WhatsApp Manager, or write the other one into spec.displayName"
                ),
            ),
        };
    }
    if let Some(asked) = asked.filter(|asked| *asked != wanted && !asked_declined) {
        return make(
            Truth::False,
            Reason::NameDiffers,
            format!(
                "somebody asked Meta for the name \"{asked}\", and spec.displayName says \"{wanted}\": withdraw it in WhatsApp Manager, or write it into spec.displayName"
            ),
        );
    }
    match line.display_name_status.as_deref() {
        Some("APPROVED" | "AVAILABLE_WITHOUT_REVIEW") => {
            make(Truth::True, Reason::NameApproved, "Meta shows the name, or allows it without review".into())
        }
        Some("PENDING_REVIEW") => {
            make(Truth::False, Reason::NamePending, "Meta reviews the name; read again by itself".into())
        }
        Some(other) => unknown(format!("Meta says {other}; read again by itself")),
        None => unknown("Meta has not told yet; read again by itself".into()),
    }
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
