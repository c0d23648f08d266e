//! The one writer of a Portfolio's status, besides the ledger's claims: both PUT with resourceVersion, so neither
//! overwrites the other.

use std::collections::HashSet;

use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt};

use super::round::Found;
use super::{counts, ledger, lines_of};
use crate::controller::context::Context;
use crate::controller::events;
use crate::domain::E164;
use crate::resources::conditions::{ConditionType, Truth, Wanted, fold, known, seconds};
use crate::resources::portfolio::{ApplicationStatus, NumberCounts};
use crate::resources::reasons::Reason;
use crate::resources::{ClientNumber, Portfolio, PortfolioStatus};

/// Many lines may write their claims at the same time.
const ATTEMPTS: usize = 20;

/// Writes what a round found.
pub async fn write(
    api: &Api<Portfolio>,
    portfolio: &Portfolio,
    ctx: &Context,
    found: &Found,
) -> Result<(), kube::Error> {
    put(api, portfolio, ctx, |live, status| {
        let now = ctx.clock.now();
        let lines = lines_of(ctx, live);
        let views: Vec<&ClientNumber> = lines.iter().map(AsRef::as_ref).collect();
        status.ledger = ledger::prune(
            &counts::settle_gone(&status.ledger, views.iter().copied(), now, ctx.policy.order_grace()),
            now,
            ctx.policy,
        );
        let before = status.numbers.clone().unwrap_or_default();
        let mut numbers = counts::of_lines(
            &before,
            views.iter().copied(),
            &status.ledger,
            found.at_meta.as_deref(),
            live.spec.limits.max_numbers,
        );
        if let Some(owned) = &found.owned {
            let (retained, orphaned) =
                counts::without_object(owned, views.iter().copied(), &status.ledger, &status.retained, now);
            numbers.retained = i32::try_from(retained.len()).unwrap_or(i32::MAX);
            numbers.orphaned = i32::try_from(orphaned.len()).unwrap_or(i32::MAX);
            status.retained = retained;
        }
        if let Some(at_meta) = &found.at_meta {
            numbers.awaiting_manual_deletion = without_line(at_meta, &views);
        }
        status.balance_usd = found.balance.clone().or(status.balance_usd.take());
        status.messaging_limit = found.messaging_limit.clone().or(status.messaging_limit.take());
        status.cluster_id = Some(ctx.cluster.to_string());
        if let Some(applications) = &found.applications {
            status.applications =
                Some(ApplicationStatus { capture: applications.capture.clone(), reject: applications.reject.clone() });
        }
        status.last_round_at = Some(seconds(now));
        set_conditions(live, status, found, &numbers, ctx);
        status.numbers = Some(numbers);
    })
    .await
}

/// Between rounds: counts that need no provider.
pub async fn refresh_counts(api: &Api<Portfolio>, portfolio: &Portfolio, ctx: &Context) -> Result<(), kube::Error> {
    put(api, portfolio, ctx, |live, status| {
        let lines = lines_of(ctx, live);
        let before = status.numbers.clone().unwrap_or_default();
        // What lines have read since the round counts too.
        let at_meta: Option<Vec<E164>> = ctx
            .accounts
            .get(live)
            .and_then(|account| account.last_waba_numbers())
            .map(|numbers| numbers.iter().filter_map(|n| n.number()).collect());
        let next = counts::of_lines(
            &before,
            lines.iter().map(AsRef::as_ref),
            &status.ledger,
            at_meta.as_deref(),
            live.spec.limits.max_numbers,
        );
        status.numbers = Some(next);
    })
    .await
}

/// The Portfolio is to go, but lines use it.
pub async fn write_in_use(
    api: &Api<Portfolio>,
    portfolio: &Portfolio,
    ctx: &Context,
    lines: usize,
) -> Result<(), kube::Error> {
    put(api, portfolio, ctx, |live, status| {
        let message = format!("{lines} ClientNumbers use this Portfolio: delete them first; goes on by itself");
        let generation = live.metadata.generation.unwrap_or_default();
        let wanted = vec![
            Wanted::new(ConditionType::Ready, Truth::False, Reason::LinesInUse, &message),
            Wanted::new(ConditionType::Deleting, Truth::True, Reason::LinesInUse, &message),
        ];
        status.conditions = fold(&status.conditions, wanted, generation, ctx.clock.now());
        status.observed_generation = generation;
    })
    .await
}

/// Numbers at Meta that no line uses: only a person can delete them there.
fn without_line(at_meta: &[E164], lines: &[&ClientNumber]) -> i32 {
    let used: HashSet<&str> = lines.iter().filter_map(|line| line.status.as_ref()?.phone_number.as_deref()).collect();
    let free = at_meta.iter().filter(|number| !used.contains(number.as_str()));
    i32::try_from(free.count()).unwrap_or(i32::MAX)
}

fn set_conditions(
    live: &Portfolio,
    status: &mut PortfolioStatus,
    found: &Found,
    numbers: &NumberCounts,
    ctx: &Context,
) {
    let generation = live.metadata.generation.unwrap_or_default();
    let mut wanted = Vec::new();
    match &found.trouble {
        None => wanted.push(Wanted::new(ConditionType::Ready, Truth::True, Reason::Ready, "lines can be made")),
        Some(trouble) => {
            wanted.push(Wanted::new(ConditionType::Ready, Truth::False, trouble.reason, &trouble.message));
            let type_ = if trouble.human { ConditionType::Stalled } else { ConditionType::Reconciling };
            wanted.push(Wanted::new(type_, Truth::True, trouble.reason, &trouble.message));
        }
    }
    if live.spec.suspend {
        let message = "all lines of this Portfolio are stopped; set spec.suspend to false to go on";
        wanted.push(Wanted::new(ConditionType::Suspended, Truth::True, Reason::Suspended, message));
        wanted.retain(|w| w.type_ != ConditionType::Reconciling);
    }
    let free = numbers.limit - numbers.used - numbers.reserved;
    wanted.push(match (&found.at_meta, free > 0) {
        (None, _) => Wanted::new(ConditionType::CapacityAvailable, Truth::Unknown, Reason::NotRead, "the slots could not be read; read again by itself"),
        (_, true) => Wanted::new(ConditionType::CapacityAvailable, Truth::True, Reason::CapacityFree, "slots are free"),
        (_, false) => Wanted::new(
            ConditionType::CapacityAvailable,
            Truth::False,
            Reason::CapacityFull,
            "all slots are in use or claimed: ask Meta for more and raise limits.maxNumbers, or delete numbers in WhatsApp Manager",
        ),
    });
    wanted.extend(found.conditions.iter().cloned());
    // What this round did not get to stays what it was read to be.
    for type_ in [ConditionType::BusinessVerified, ConditionType::CarrierFunded, ConditionType::WebhookSubscribed] {
        if wanted.iter().all(|w| w.type_ != type_) {
            wanted.extend(known(&status.conditions, type_));
        }
    }
    status.conditions = fold(&status.conditions, wanted, generation, ctx.clock.now());
    status.observed_generation = generation;
}

/// Reads live, changes, PUTs; events for what flipped.
async fn put(
    api: &Api<Portfolio>,
    portfolio: &Portfolio,
    ctx: &Context,
    change: impl Fn(&Portfolio, &mut PortfolioStatus),
) -> Result<(), kube::Error> {
    let name = portfolio.name_any();
    for last in (0..ATTEMPTS).rev() {
        let Some(mut live) = api.get_opt(&name).await? else { return Ok(()) };
        let before = live.status.clone().unwrap_or_default();
        let mut status = before.clone();
        change(&live, &mut status);
        if status == before {
            return Ok(());
        }
        live.status = Some(status.clone());
        match api.replace_status(&name, &PostParams::default(), &live).await {
            Ok(written) => {
                events::write(ctx, &written.object_ref(&()), events::drafts(&before.conditions, &status.conditions))
                    .await;
                return Ok(());
            }
            // Lost after the last one: a round that nobody was told of. It is made again.
            Err(kube::Error::Api(error)) if error.is_conflict() && last > 0 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
