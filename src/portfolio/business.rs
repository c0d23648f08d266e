//! What Portfolios of one business share: Meta grants slots to the business, and a number of any of its WhatsApp Business
//! Accounts holds one until a person deletes it there.
//!
//! Counted are, of all Portfolios with the same businessId, what Meta lists, open claims, and numbers that lines order or
//! have without a link. Claims are decided under one lock for each business, so that two Portfolios don't both take the last
//! slot. Portfolios that this process does not watch are not known here: Meta's own refusal is what is left there.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, ResourceExt};

use super::ledger::{self, Facts};
use super::lines_of;
use crate::controller::context::{Context, name_of};
use crate::domain::E164;
use crate::line::purchase::candidate;
use crate::providers::ProviderError;
use crate::resources::Portfolio;
use crate::resources::client_number::PurchasePhase;
use crate::resources::portfolio::LedgerEntry;

/// A list of Meta's of up to a minute is good enough for counting slots: open claims are counted beside it.
pub const LIST_AGE: Duration = Duration::from_secs(60);

/// The other Portfolios of its business, as last seen.
pub fn others(ctx: &Context, portfolio: &Portfolio) -> Vec<Arc<Portfolio>> {
    let others = ctx.portfolios.state().into_iter();
    others
        .filter(|other| {
            other.spec.meta.business_id == portfolio.spec.meta.business_id
                && name_of(&other.metadata) != name_of(&portfolio.metadata)
        })
        .collect()
}

/// How long another Portfolio's list is waited for: its provider may hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has the lists read that are too old to count by. Another Portfolio's trouble is its own: what was read of it last counts,
/// and what just failed is not asked again.
pub async fn refresh(ctx: &Context, portfolio: &Portfolio) -> Result<(), ProviderError> {
    let Some(own) = ctx.accounts.get(portfolio) else { return Ok(()) };
    let others = others(ctx, portfolio).into_iter().filter_map(|other| ctx.accounts.get(&other));
    let read = others.map(|account| async move {
        // Goes on to its end, so that its failure is known to the next who asks.
        let read = tokio::spawn(async move { account.waba_numbers_if_well(LIST_AGE).await });
        if let Ok(Ok(Some(Err(error)))) = tokio::time::timeout(PATIENCE, read).await {
            tracing::info!(error = %error, "the numbers of another Portfolio of the business can't be read; those read last count");
        }
    });
    let (listed, _) = tokio::join!(own.waba_numbers(LIST_AGE), futures::future::join_all(read));
    listed.map(|_| ())
}

/// What holds slots of the business besides the ledger of one Portfolio.
#[derive(Debug, Default)]
pub struct Seen {
    at_meta: Vec<E164>,
    held: Vec<E164>,
    claimed: Vec<LedgerEntry>,
    unread: i32,
}

impl Seen {
    /// As the ledger's rules take it.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            at_meta: &self.at_meta,
            held: &self.held,
            claimed: &self.claimed,
            unread: self.unread,
            ..Facts::default()
        }
    }
}

/// What was read last, without asking anybody. `others` with the ledgers that are to count; `except` is the line that asks.
pub fn seen(ctx: &Context, portfolio: &Portfolio, others: &[Arc<Portfolio>], except: &str) -> Seen {
    let mut seen = Seen::default();
    let mut read: Vec<&str> = Vec::new();
    let mut unread: Vec<(&str, i32)> = Vec::new();
    for one in others.iter().map(AsRef::as_ref).chain([portfolio]) {
        let (waba, status) = (one.spec.meta.waba_id.as_str(), one.status.as_ref());
        match ctx.accounts.get(one).and_then(|account| account.last_waba_numbers()) {
            Some(list) => {
                read.push(waba);
                seen.at_meta.extend(list.iter().filter_map(|entry| entry.number()));
            }
            None => unread.push((waba, status.and_then(|s| s.numbers.as_ref()).map_or(0, |numbers| numbers.used))),
        }
        seen.held.extend(held(ctx, one, except));
    }
    let open = others.iter().filter_map(|other| other.status.as_ref()).flat_map(|status| status.ledger.iter());
    seen.claimed.extend(open.filter(|entry| entry.settled_at.is_none()).cloned());
    // Two Portfolios may share a WhatsApp Business Account.
    unread.sort_unstable();
    unread.dedup_by_key(|(waba, _)| *waba);
    seen.unread = unread.iter().filter(|(waba, _)| !read.contains(waba)).map(|(_, used)| *used).sum();
    seen
}

/// How many slots of the business are in use or claimed, with this ledger.
pub fn used(ctx: &Context, portfolio: &Portfolio, ledger_now: &[LedgerEntry], except: &str) -> i32 {
    ledger::slots(ledger_now, &seen(ctx, portfolio, &others(ctx, portfolio), except).facts())
}

/// The other Portfolios of the business as they are now: a claim that was just written may not have been seen yet.
pub async fn others_now(ctx: &Context, portfolio: &Portfolio) -> Result<Vec<Arc<Portfolio>>, kube::Error> {
    let mut live = Vec::new();
    for other in others(ctx, portfolio) {
        let api: Api<Portfolio> = Api::namespaced(ctx.client.clone(), &other.namespace().unwrap_or_default());
        live.extend(api.get_opt(&other.name_any()).await?.map(Arc::new));
    }
    Ok(live)
}

/// Numbers that lines of a Portfolio order or have and that are not linked yet.
fn held(ctx: &Context, portfolio: &Portfolio, except: &str) -> Vec<E164> {
    let lines = lines_of(ctx, portfolio);
    let others = lines.iter().filter(|line| line.metadata.uid.as_deref() != Some(except));
    let unlinked = others.filter_map(|line| line.status.as_ref()).filter(|status| status.phone_number_id.is_none());
    unlinked
        .filter_map(|status| status.purchase.as_ref())
        .filter(|purchase| purchase.phase != PurchasePhase::Rejected)
        .filter_map(candidate)
        .collect()
}
