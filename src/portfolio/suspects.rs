//! Numbers that the carrier's list by tag lacks although something says that they are, or will be, paid for: an order of
//! ours, an earlier finding, a number kept for a company, a line. Each is asked for alone, a few in a round and in turn.
//!
//! An order speaks for its number also when the number never got its tag: its line was given up while the order was
//! pending, or its controller died for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::future::join_all;
use jiff::Timestamp;

use super::accounts::Account;
use super::audit::holders::Holders;
use super::audit::{Look, company_of, is_gone};
use super::observed::{LOOKS, in_turn};
use crate::controller::context::Context;
use crate::domain::{CustomerReference, E164};
use crate::providers::telnyx::{Order, OrderStatus, OwnedNumber};
use crate::resources::{PortfolioStatus, names};

/// A number to be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Suspect {
    /// Orders that hold it, the newest last.
    orders: Vec<Order>,
    /// Since when it is known; lists may lag behind that.
    since: Option<Timestamp>,
    /// Whether an order that is not listed could still bring it.
    needs_orders: bool,
}

/// What the suspects were chosen from.
pub struct Sources<'a> {
    /// The Portfolio's status as the round began.
    pub status: &'a PortfolioStatus,
    /// The carrier's list by tag.
    pub owned: &'a [OwnedNumber],
    /// The orders with our prefix; None: not read.
    pub orders: Option<&'a [Order]>,
    /// The lines before anything was asked.
    pub lines: &'a Holders,
}

/// Asks for a few of them.
pub async fn look(ctx: &Context, account: &Account, uid: &str, sources: &Sources<'_>) -> HashMap<String, Look> {
    let (known, ordered) = choose(sources);
    let mut asked: Vec<(String, Suspect)> = Vec::new();
    for (list, suspects) in [("known", known), ("ordered", ordered)] {
        let last = ctx.audits.asked(uid, list);
        let keys: BTreeSet<&String> = suspects.keys().collect();
        let turn: Vec<String> = in_turn(&keys, last.as_ref()).into_iter().take(LOOKS).cloned().collect();
        ctx.audits.note_asked(uid, list, turn.last());
        asked.extend(
            turn.into_iter().filter_map(|key| suspects.get_key_value(&key)).map(|(k, s)| (k.clone(), s.clone())),
        );
    }
    let looks =
        join_all(asked.iter().map(|(number, suspect)| one(ctx, account, number, suspect, sources.orders.is_some())))
            .await;
    let mut found = HashMap::new();
    for ((number, suspect), look) in asked.into_iter().zip(looks) {
        if look == Some(Look::Gone) {
            suspect.orders.iter().for_each(|order| ctx.audits.ended(uid, &order.id));
        }
        found.extend(look.map(|look| (number, look)));
    }
    found
}

/// Those that are known, and those that only an order tells of.
fn choose(sources: &Sources<'_>) -> (BTreeMap<String, Suspect>, BTreeMap<String, Suspect>) {
    let listed: HashSet<&str> = sources.owned.iter().map(|number| number.number.as_str()).collect();
    let (mut known, mut ordered) = (BTreeMap::new(), BTreeMap::new());
    let kept = |number: &str| sources.lines.holder(number).is_some();
    for finding in sources.status.findings.iter().filter(|f| f.kind.is_orphan() && !kept(&f.phone_number)) {
        let suspect = Suspect { since: Some(finding.since.0), needs_orders: true, ..Suspect::default() };
        known.insert(finding.phone_number.clone(), suspect);
    }
    for retained in sources.status.retained.iter().filter(|r| !kept(&r.phone_number)) {
        known.entry(retained.phone_number.clone()).or_default();
    }
    for (number, holder) in sources.lines.all() {
        if holder.owned_at.is_some() && !holder.settled && !holder.leaving {
            known.insert(number.to_owned(), Suspect { since: holder.owned_at, ..Suspect::default() });
        }
    }
    known.retain(|number, _| !listed.contains(number.as_str()));
    let mut orders: Vec<&Order> = sources.orders.iter().flat_map(|orders| orders.iter()).collect();
    orders.sort_by_key(|order| order.created_at);
    for order in orders {
        let line = order.reference.as_deref().and_then(|text| text.parse::<CustomerReference>().ok());
        let expected = line.is_some_and(|r| sources.lines.awaits_number(&r.line.to_string(), None));
        for number in order.numbers.iter().filter_map(|item| item.number.as_ref()).map(E164::as_str) {
            if let Some(suspect) = known.get_mut(number) {
                suspect.orders.push(order.clone());
            } else if !listed.contains(number) && !kept(number) && !expected {
                let suspect: &mut Suspect = ordered.entry(number.to_owned()).or_default();
                suspect.orders.push(order.clone());
            }
        }
    }
    (known, ordered)
}

/// Asks for one. None: nothing can be said.
async fn one(ctx: &Context, account: &Account, number: &str, suspect: &Suspect, orders_read: bool) -> Option<Look> {
    let number = E164::parse(number).ok()?;
    let unread = |error: &dyn std::fmt::Display| {
        tracing::info!(error = %error, "a number that may be nobody's could not be asked for; asked again in a later round");
    };
    match account.telnyx.number(&number).await {
        Err(error) => {
            unread(&error);
            return None;
        }
        Ok(Some(found)) if !is_gone(&found) => return there(account, &found, suspect),
        Ok(_) => {}
    }
    let grace = ctx.policy.order_grace();
    let young = |at: Option<Timestamp>| at.is_some_and(|at| at + grace > ctx.clock.now());
    for order in &suspect.orders {
        let status = match &order.status {
            Some(ended @ (OrderStatus::Failure | OrderStatus::Cancelled | OrderStatus::Deleted)) => Some(ended.clone()),
            _ => match account.telnyx.order(&order.id).await {
                Ok(Some(order)) => order.status,
                Ok(None) => Some(OrderStatus::Deleted),
                Err(error) => {
                    unread(&error);
                    return None;
                }
            },
        };
        match status {
            Some(OrderStatus::Failure | OrderStatus::Cancelled | OrderStatus::Deleted) => {}
            Some(OrderStatus::Success) if !young(order.created_at) => {}
            // Delivered a moment ago: the list of numbers lags.
            Some(OrderStatus::Success) => return None,
            _ => return Some(Look::OnOrder { reference: order.reference.clone().unwrap_or_default() }),
        }
    }
    if (suspect.needs_orders && !orders_read) || young(suspect.since) {
        return None;
    }
    Some(Look::Gone)
}

/// The account holds it, although the list by our tag does not tell.
fn there(account: &Account, found: &OwnedNumber, suspect: &Suspect) -> Option<Look> {
    let (tag, prefix) = (names::owner_tag(&account.owner), account.reference_prefix());
    if found.tags.contains(&tag) {
        // The list was not complete.
        return None;
    }
    let others = found.tags.iter().any(|tag| tag.starts_with(names::OWNER_TAG));
    let reference = found.reference.clone().filter(|reference| !reference.is_empty());
    if others || reference.as_ref().is_some_and(|reference| !reference.starts_with(&prefix)) {
        return Some(Look::Gone);
    }
    let ordered = suspect.orders.last().and_then(|order| order.reference.clone());
    Some(Look::There { reference: reference.or(ordered), company: company_of(&found.tags) })
}
