//! The one writer of a Portfolio's status, besides the ledger's claims: both PUT with resourceVersion, so neither
//! overwrites the other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt};

use super::audit::holders::Holders;
use super::audit::{self, Evidence, Known, Outcome};
use super::round::Found;
use super::{business, counts, findings, ledger, lines_of};
use crate::controller::context::{Context, name_of};
use crate::controller::events;
use crate::domain::{E164, NamespacedName};
use crate::resources::conditions::{ConditionType, Truth, Wanted, fold, get, known, seconds};
use crate::resources::finding::{Finding, FindingKind};
use crate::resources::portfolio::{ApplicationStatus, NumberCounts};
use crate::resources::reasons::Reason;
use crate::resources::{ClientNumber, Portfolio, PortfolioStatus};
use crate::telemetry::controller_metrics::PortfolioGauges;

/// Many lines may write their claims at the same time.
const ATTEMPTS: usize = 20;

/// Writes what a round found.
pub async fn write(
    api: &Api<Portfolio>,
    portfolio: &Portfolio,
    ctx: &Context,
    found: &Found,
) -> Result<(), kube::Error> {
    let (name, uid) = (name_of(&portfolio.metadata).to_string(), portfolio.uid().unwrap_or_default());
    let all: Mutex<Option<Vec<Finding>>> = Mutex::default();
    put(api, &portfolio.name_any(), ctx, |live, status| {
        let mut told = Vec::new();
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
        if let Some(evidence) = &found.evidence {
            let (before, remembered) = ctx.audits.findings(&uid, &status.findings);
            let outcome = held_against(live, status, &before, ctx, evidence);
            told = findings::drafts(&before, &outcome.findings, remembered);
            let count = |kinds: &[FindingKind]| -> i32 {
                let sum: usize = kinds.iter().map(|kind| outcome.count(*kind)).sum();
                i32::try_from(sum).unwrap_or(i32::MAX)
            };
            numbers.retained = i32::try_from(outcome.retained.len()).unwrap_or(i32::MAX);
            numbers.orphaned = count(&[FindingKind::Orphaned, FindingKind::Abandoned]);
            numbers.awaiting_manual_deletion = count(&[FindingKind::AwaitingManualDeletion]);
            ctx.metrics.findings(&name, FindingKind::ALL.iter().map(|kind| (kind.as_str(), outcome.count(*kind))));
            status.findings = outcome.shown();
            status.retained = outcome.retained;
            *all.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome.findings);
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
        told
    })
    .await?;
    if let Some(all) = all.into_inner().unwrap_or_else(PoisonError::into_inner) {
        ctx.audits.note_findings(&uid, all);
    }
    Ok(())
}

/// Between rounds: counts that need no provider.
pub async fn refresh_counts(api: &Api<Portfolio>, portfolio: &Portfolio, ctx: &Context) -> Result<(), kube::Error> {
    let held = ctx.lines.state();
    let numbers = held.iter().filter_map(|line| line.status.as_ref()?.phone_number.as_deref());
    // A line that goes between two rounds leaves its number in lists that lag.
    ctx.audits.held(numbers, ctx.clock.monotonic(), ctx.policy.order_grace());
    put(api, &portfolio.name_any(), ctx, |live, status| {
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
        if live.metadata.deletion_timestamp.is_some() {
            let message = in_use(live, ctx);
            let ours = |c: &&mut Condition| c.reason == Reason::LinesInUse.as_str();
            status.conditions.iter_mut().filter(ours).for_each(|condition| condition.message.clone_from(&message));
        }
        Vec::new()
    })
    .await
}

/// Which lines keep a Portfolio that is to go. As many as fit: a thousand names are no message.
fn in_use(live: &Portfolio, ctx: &Context) -> String {
    const NAMED: usize = 10;
    let mut lines: Vec<String> = lines_of(ctx, live).iter().map(|line| name_of(&line.metadata).to_string()).collect();
    lines.sort();
    let more = if lines.len() > NAMED { " and others" } else { "" };
    lines.truncate(NAMED);
    let lines = if lines.is_empty() { "one that was just made".to_owned() } else { lines.join(", ") };
    format!("ClientNumbers use this Portfolio ({lines}{more}): delete them, and it goes by itself")
}

/// What a person gave up, so that it is not forgotten with its object. A Portfolio that is gone lists nothing.
pub async fn abandoned(ctx: &Context, portfolio: &NamespacedName, finding: &Finding) -> Result<(), kube::Error> {
    let api: Api<Portfolio> = Api::namespaced(ctx.client.clone(), &portfolio.namespace);
    put(&api, &portfolio.name, ctx, |_, status| {
        let same = |f: &Finding| f.kind == finding.kind && f.phone_number == finding.phone_number;
        if status.findings.iter().any(same) {
            return Vec::new();
        }
        status.findings.push(finding.clone());
        status.findings.sort_by(|a, b| (a.kind, &a.phone_number).cmp(&(b.kind, &b.phone_number)));
        status.numbers.get_or_insert_default().orphaned += 1;
        vec![findings::appeared(finding)]
    })
    .await
}

/// The audit, with what the status and the lines are at this moment.
fn held_against(
    live: &Portfolio,
    status: &PortfolioStatus,
    findings: &[Finding],
    ctx: &Context,
    evidence: &Evidence,
) -> Outcome {
    let lines = Holders::of(&ctx.lines.state());
    let recent = ctx.audits.held(lines.numbers(), ctx.clock.monotonic(), ctx.policy.order_grace());
    audit::audit(
        &Known {
            findings,
            retained: &status.retained,
            ledger: &status.ledger,
            lines: &lines,
            recent: &recent,
            portfolio: &name_of(&live.metadata).to_string(),
            owner: &live.spec.owner_id,
            waba: &live.spec.meta.waba_id,
            now: ctx.clock.now(),
            policy: ctx.policy,
        },
        evidence,
    )
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
    let going = live.metadata.deletion_timestamp.is_some();
    match &found.trouble {
        _ if going => {
            let message = in_use(live, ctx);
            wanted.push(Wanted::new(ConditionType::Ready, Truth::False, Reason::LinesInUse, &message));
            wanted.push(Wanted::new(ConditionType::Deleting, Truth::True, Reason::LinesInUse, &message));
        }
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
    // Of the business: other Portfolios may have them.
    let free = numbers.limit - business::used(ctx, live, &status.ledger, "");
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

/// What the metrics show of a Portfolio.
fn gauges(live: &Portfolio, status: &PortfolioStatus, ctx: &Context) -> PortfolioGauges {
    let numbers = status.numbers.clone().unwrap_or_default();
    let mut stalled: BTreeMap<String, i64> = BTreeMap::new();
    for line in lines_of(ctx, live) {
        let conditions = line.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        if let Some(condition) = get(conditions, ConditionType::Stalled) {
            *stalled.entry(condition.reason.clone()).or_insert(0) += 1;
        }
    }
    PortfolioGauges {
        lines: [("ready", numbers.ready), ("onboarding", numbers.onboarding), ("stalled", numbers.stalled)],
        stalled,
        orphaned: numbers.orphaned,
        used: numbers.used,
        limit: numbers.limit,
        balance_usd: status.balance_usd.as_ref().and_then(|text| text.parse().ok()),
    }
}

/// Reads live, changes, PUTs; events for what flipped, and those that the change names.
async fn put(
    api: &Api<Portfolio>,
    name: &str,
    ctx: &Context,
    change: impl Fn(&Portfolio, &mut PortfolioStatus) -> Vec<events::Draft>,
) -> Result<(), kube::Error> {
    for last in (0..ATTEMPTS).rev() {
        let Some(mut live) = api.get_opt(name).await? else { return Ok(()) };
        let before = live.status.clone().unwrap_or_default();
        let mut status = before.clone();
        let told = change(&live, &mut status);
        ctx.metrics.portfolio(&name_of(&live.metadata).to_string(), &gauges(&live, &status, ctx));
        if status == before {
            // What status has no place for changed all the same.
            events::write(ctx, &live.object_ref(&()), told).await;
            return Ok(());
        }
        live.status = Some(status.clone());
        match api.replace_status(name, &PostParams::default(), &live).await {
            Ok(written) => {
                let mut drafts = events::drafts(&before.conditions, &status.conditions);
                drafts.extend(told);
                events::write(ctx, &written.object_ref(&()), drafts).await;
                return Ok(());
            }
            // Lost after the last one: a round that nobody was told of. It is made again.
            Err(kube::Error::Api(error)) if error.is_conflict() && last > 0 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
