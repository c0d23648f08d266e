//! The part of a round that is about single lines: both lists, asked once for all of them, and the few numbers that a list
//! lacks, each asked for alone and all at once: behind a provider that hangs they wait for one time-out. What could not be
//! read is left out, and is Unknown to the lines.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;

use super::accounts::Account;
use super::lines_of;
use super::observed::{self, Expected, Look, Observed, Seen, Settled};
use crate::controller::context::Context;
use crate::domain::{E164, PhoneNumberId};
use crate::providers::ProviderError;
use crate::providers::meta::{NumberStatus, PhoneNumber};
use crate::providers::telnyx::{OwnedNumber, OwnedStatus};
use crate::resources::{Portfolio, names};

type List<T> = Result<Arc<Vec<T>>, ProviderError>;

/// The settled lines of a Portfolio. To be taken before the lists are asked for.
pub fn lines(ctx: &Context, portfolio: &Portfolio) -> Settled {
    observed::settled(&lines_of(ctx, portfolio))
}

/// Whether a line of this Portfolio records calls.
pub fn records(ctx: &Context, portfolio: &Portfolio) -> bool {
    let armed = |line: &Arc<crate::resources::ClientNumber>| {
        line.status.as_ref().and_then(|s| s.verification.as_ref()?.armed_at.as_ref()).is_some()
    };
    lines_of(ctx, portfolio).iter().any(armed)
}

/// What the round saw of all numbers, from its two lists.
pub async fn at(
    ctx: &Context,
    account: &Account,
    uid: &str,
    lines: Settled,
    listed: &List<PhoneNumber>,
    owned: &List<OwnedNumber>,
) -> Observed {
    let ids: Vec<PhoneNumberId> = lines.at_meta.iter().filter_map(|expected| expected.key.parse().ok()).collect();
    let activity = ctx.store.line_activity();
    let (meta, carrier, heard) = tokio::join!(
        all_at_meta(ctx, account, uid, listed, &lines.at_meta),
        all_at_carrier(ctx, account, uid, owned, &lines.at_carrier),
        activity.last_of(&ids),
    );
    let heard = heard.unwrap_or_else(|error| {
        tracing::info!(error = %error, "when lines were last heard of can't be read; read again next round");
        HashMap::default()
    });
    Observed {
        tells_webhooks: listed.iter().any(|all| all.iter().any(|entry| entry.webhook_configuration.is_some())),
        meta,
        carrier,
        heard: heard.into_iter().map(|(id, at)| (id.to_string(), at)).collect(),
        about: lines.uids,
        acted: Default::default(),
    }
}

/// What a list lacks: shown as gone already, and whose turn it is to be asked for.
fn missing<T>(
    ctx: &Context,
    uid: &str,
    [news, old]: [&'static str; 2],
    expected: &[Expected],
    there: &HashMap<String, T>,
) -> (HashSet<String>, Vec<String>) {
    let lacks = observed::missing(expected, there, [ctx.audits.asked(uid, news), ctx.audits.asked(uid, old)]);
    ctx.audits.note_asked(uid, news, lacks.news.last());
    ctx.audits.note_asked(uid, old, lacks.old.last());
    (lacks.known, lacks.news.into_iter().chain(lacks.old).collect())
}

/// Meta's list, and what it lacks. None: it could not be read.
async fn all_at_meta(
    ctx: &Context,
    account: &Account,
    uid: &str,
    listed: &List<PhoneNumber>,
    expected: &[Expected],
) -> Option<Seen<PhoneNumber>> {
    let there = listed.as_ref().ok()?.iter().map(|entry| (entry.id.to_string(), entry.clone())).collect();
    let (known, ask) = missing(ctx, uid, ["new meta", "old meta"], expected, &there);
    let looks = join_all(ask.iter().map(|id| at_meta(account, id))).await;
    Some(seen("WhatsApp Business Account", there, known, ask, looks))
}

/// The carrier's list, and what it lacks. None: it could not be read.
async fn all_at_carrier(
    ctx: &Context,
    account: &Account,
    uid: &str,
    owned: &List<OwnedNumber>,
    expected: &[Expected],
) -> Option<Seen<OwnedNumber>> {
    let there = owned.as_ref().ok()?.iter().map(|number| (number.number.to_string(), number.clone())).collect();
    let (known, ask) = missing(ctx, uid, ["new carrier", "old carrier"], expected, &there);
    let looks = join_all(ask.iter().map(|number| at_carrier(account, number))).await;
    Some(seen("Telnyx account", there, known, ask, looks))
}

fn seen<T>(
    whose: &str,
    there: HashMap<String, T>,
    known: HashSet<String>,
    asked: Vec<String>,
    looks: Vec<Look<T>>,
) -> Seen<T> {
    if looks.iter().any(|look| matches!(look, Look::Contradiction)) {
        tracing::warn!(
            "the list of the {whose} lacks a number that is there when asked for alone: what the list lacks is not believed in this round"
        );
    }
    Seen::new(there, known, asked.into_iter().zip(looks).collect())
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
