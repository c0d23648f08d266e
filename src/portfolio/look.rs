//! The part of a round that is about single lines: both lists, asked once for all of them, and the few numbers that a list
//! lacks, each asked for alone. What could not be read is left out, and is Unknown to the lines.

use std::collections::HashMap;
use std::sync::Arc;

use super::accounts::Account;
use super::lines_of;
use super::observed::{self, Expected, Look, Observed, Seen};
use crate::controller::context::Context;
use crate::domain::{E164, PhoneNumberId};
use crate::providers::ProviderError;
use crate::providers::meta::{NumberStatus, PhoneNumber};
use crate::providers::telnyx::{OwnedNumber, OwnedStatus};
use crate::resources::{Portfolio, names};

type List<T> = Result<Arc<Vec<T>>, ProviderError>;

/// The lines that the lists should hold, as they stood before the lists were asked for.
pub struct Lines {
    at_meta: Vec<Expected>,
    at_carrier: Vec<Expected>,
    ids: Vec<PhoneNumberId>,
}

/// The settled lines of a Portfolio.
pub fn lines(ctx: &Context, portfolio: &Portfolio) -> Lines {
    let (at_meta, at_carrier) = observed::expected(&lines_of(ctx, portfolio));
    let ids = at_meta.iter().filter_map(|expected| expected.key.parse().ok()).collect();
    Lines { at_meta, at_carrier, ids }
}

/// What the round saw of all numbers, from its two lists.
pub async fn at(
    ctx: &Context,
    account: &Account,
    lines: &Lines,
    listed: &List<PhoneNumber>,
    owned: &List<OwnedNumber>,
) -> Observed {
    let mut seen = Observed::default();
    if let Ok(listed) = listed {
        seen.tells_webhooks = listed.iter().any(|entry| entry.webhook_configuration.is_some());
        let there: HashMap<_, _> = listed.iter().map(|entry| (entry.id.to_string(), entry.clone())).collect();
        let (known, ask) = observed::missing(&lines.at_meta, &there);
        let mut looks = Vec::new();
        for key in ask {
            let look = at_meta(account, &key).await;
            looks.push((key, look));
        }
        warn(&looks, "the WhatsApp Business Account");
        seen.meta = Some(Seen::new(there, known, looks));
    }
    if let Ok(owned) = owned {
        let there: HashMap<_, _> = owned.iter().map(|number| (number.number.to_string(), number.clone())).collect();
        let (known, ask) = observed::missing(&lines.at_carrier, &there);
        let mut looks = Vec::new();
        for key in ask {
            let look = at_carrier(account, &key).await;
            looks.push((key, look));
        }
        warn(&looks, "the Telnyx account");
        seen.carrier = Some(Seen::new(there, known, looks));
    }
    match ctx.store.line_activity().last_of(&lines.ids).await {
        Ok(heard) => seen.heard = heard.into_iter().map(|(id, at)| (id.to_string(), at)).collect(),
        Err(error) => {
            tracing::info!(error = %error, "when lines were last heard of can't be read; read again next round")
        }
    }
    seen
}

fn warn<T>(looks: &[(String, Look<T>)], whose: &str) {
    if looks.iter().any(|(_, look)| matches!(look, Look::Contradiction)) {
        tracing::warn!(
            "the list of {whose} lacks a number that is there when asked for alone: what the list lacks is not believed in this round"
        );
    }
}

/// A number that the WABA's list lacks, asked for alone.
async fn at_meta(account: &Account, id: &str) -> Look<PhoneNumber> {
    use NumberStatus::{Banned, Deleted, Disconnected, Migrated};
    let Ok(id) = id.parse::<PhoneNumberId>() else { return Look::Unclear };
    match account.meta.phone_number(&id).await {
        Ok(None) => Look::Gone,
        Ok(Some(entry)) => match entry.status {
            Some(Deleted | Migrated | Disconnected | Banned) => Look::Otherwise(entry),
            _ if entry.number().is_none() => Look::Unclear,
            _ => Look::Contradiction,
        },
        Err(error) => unclear(&error),
    }
}

/// A number that the list by tag lacks, asked for alone.
async fn at_carrier(account: &Account, number: &str) -> Look<OwnedNumber> {
    let Ok(number) = E164::parse(number) else { return Look::Unclear };
    let tag = names::owner_tag(&account.owner);
    match account.telnyx.number(&number).await {
        Ok(None) => Look::Gone,
        Ok(Some(found)) => match found.status {
            Some(OwnedStatus::Deleted | OwnedStatus::PortedOut) => Look::Gone,
            _ if found.tags.contains(&tag) => Look::Contradiction,
            _ => Look::Otherwise(found),
        },
        Err(error) => unclear(&error),
    }
}

fn unclear<T>(error: &ProviderError) -> Look<T> {
    tracing::info!(error = %error, "a number that a list lacks could not be asked for; its line stays as it is");
    Look::Unclear
}
