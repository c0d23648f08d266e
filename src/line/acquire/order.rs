//! Buying: search, choose, claim, record, order exactly the recorded candidate, look the outcome up.
//!
//! An order is POSTed in one place of this program, `post`, and only in the pass whose own PUT has just recorded the
//! candidate, within 10 seconds on the monotonic clock: a process that was frozen and wakes up must not buy. Its outcome
//! is never guessed; `purchase::decide` says what may follow.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::error::condition;
use super::super::owner::still_ours;
use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::purchase::{Decision, LookUp, OrderState, candidate, decide, overdue};
use super::super::spec::Source;
use super::super::status::Progress;
use super::super::{Outcome, StepError, StepResult};
use super::claim::For;
use super::offer::{choose, funds, no_coverage, no_room};
use super::words::{self, Told};
use super::{adopt, claim, mark, record_owned, take};
use crate::domain::{Country, E164, NumberType};
use crate::portfolio::ledger::{Funds, Refusal};
use crate::providers::telnyx::{Candidate, Order, OrderStatus, OwnedStatus, RequirementsStatus};
use crate::providers::{ErrorClass, Reason as Outcomes};
use crate::resources::client_number::{PriceStatus, PurchasePhase, PurchaseStatus};
use crate::resources::reasons::Reason;

/// How many numbers of each kind are looked at.
const SEARCH_LIMIT: u32 = 20;

/// Searches, chooses, claims and orders. `last` is the purchase whose candidate was proven not ours.
pub async fn begin(
    pass: &mut Pass<'_>,
    country: &Country,
    types: &[NumberType],
    last: Option<&PurchaseStatus>,
) -> StepResult {
    if let Some(outcome) = no_room(pass).await? {
        return Ok(outcome);
    }
    let found = match pass.account.telnyx.search(country, types, SEARCH_LIMIT).await {
        Ok(found) => found,
        Err(error) if error.is(Outcomes::NoCoverage) => return Ok(no_coverage(pass, country, &error)),
        Err(error) => return Err(error.into()),
    };
    let mut taken: Vec<E164> = last.and_then(candidate).into_iter().collect();
    taken.extend(last.iter().flat_map(|p| p.replaced.iter()).filter_map(|number| E164::parse(number).ok()));
    let mut purse = None;
    let chosen = loop {
        let chosen = match choose(pass, &found, &taken) {
            Ok(chosen) => chosen,
            Err(outcome) => return Ok(outcome),
        };
        // One look at the balance is good for all offers of a price.
        let price = chosen.upfront + chosen.monthly;
        let funds = match purse.take().filter(|known: &Funds| known.price == price) {
            Some(known) => known,
            None => funds(pass, &chosen).await?,
        };
        let funds = purse.insert(funds);
        match claim::claim(pass, &chosen.number, For::Purchase(Some(funds))).await? {
            Ok(()) => break chosen,
            // Another line was faster: nobody must act, the next offer is as good.
            Err(Refusal::NumberTaken { .. }) => taken.push(chosen.number),
            Err(refusal) => return Ok(claim::refused(pass, &refusal)),
        }
    };
    let intent = PurchaseStatus {
        candidate: Some(chosen.number.to_string()),
        attempt: last.map_or(0, |p| p.attempt) + 1,
        price: Some(price(&chosen)),
        number_type: Some(chosen.kind),
        replaced: last.map(|p| p.replaced.clone()).unwrap_or_default(),
        ..PurchaseStatus::new(PurchasePhase::Intended)
    };
    post(pass, &chosen.number, intent).await
}

fn price(offer: &Candidate) -> PriceStatus {
    PriceStatus { upfront_usd: offer.upfront.to_string(), monthly_usd: offer.monthly.to_string() }
}

/// Goes on with a purchase that is recorded: looks its outcome up and does what may be done.
pub async fn resume(
    pass: &mut Pass<'_>,
    purchase: &PurchaseStatus,
    country: &Country,
    types: &[NumberType],
) -> StepResult {
    let Some(number) = candidate(purchase) else { return begin(pass, country, types, Some(purchase)).await };
    let look = look_up(pass, &number, purchase.order_id.as_deref()).await?;
    match decide(purchase, &look, pass.ctx.clock.now(), pass.ctx.policy) {
        Decision::Own { order_id, number_id } => {
            mark(pass, &number_id, None).await?;
            pass.ctx.metrics.purchase(&pass.spec.portfolio, "owned");
            let order_id = Some(order_id);
            let progress = Progress::working(Step::Acquire, Reason::OrderPending, "the carrier delivered the number");
            if purchase.order_id != order_id {
                pass.save(&progress, |s| s.purchase.iter_mut().for_each(|p| p.order_id = order_id.clone())).await?;
            }
            record_owned(pass, &number, Some(number_id), None).await?;
            Ok(Outcome::advanced(Step::Acquire))
        }
        Decision::Wait { phase, order_id, requirements } => {
            // A refusal that a person must settle stands until the number may be tried again.
            let standing = pass.standing(Step::Acquire).filter(|_| phase == PurchasePhase::Rejected);
            let late = overdue(&PurchaseStatus { phase, ..purchase.clone() }, pass.ctx.clock.now(), pass.ctx.policy);
            let told = Told { requirements: requirements.as_deref(), ..Told::default() };
            let progress = match standing {
                Some(standing) => standing,
                None if late => words::overdue(number.as_str()),
                None => words::progress(Some(phase), told),
            };
            if purchase.phase != phase || (order_id.is_some() && purchase.order_id != order_id) {
                pass.save(&progress, |s| {
                    s.purchase.iter_mut().for_each(|p| {
                        p.phase = phase;
                        p.order_id = order_id.clone().or(p.order_id.take());
                    });
                })
                .await?;
            }
            let poll = match phase {
                PurchasePhase::WaitingRequirements => pass.ctx.policy.backoff(6),
                _ if late => pass.ctx.policy.backoff(5),
                _ => pass.ctx.policy.order_poll(),
            };
            Ok(Outcome::wait(progress, poll))
        }
        Decision::Vanished => {
            let progress = words::vanished(&pass.spec.name.name, number.as_str());
            if purchase.phase != PurchasePhase::Unknown {
                pass.save(&progress, |s| s.purchase.iter_mut().for_each(|p| p.phase = PurchasePhase::Unknown)).await?;
            }
            Ok(Outcome::wait(progress, pass.ctx.policy.backoff(5)))
        }
        // Not shown, but perhaps a restored status names an old candidate and another number was bought since.
        Decision::OrderAgain => match adopt::find(pass).await? {
            adopt::Found::Number(number) => take(pass, number).await,
            adopt::Found::Blocked(outcome) => Ok(outcome),
            adopt::Found::Nothing => order_again(pass, purchase, &number, country, types).await,
        },
        // Perhaps the lists were wrong about it, or something of ours came meanwhile: looked at before money is spent.
        Decision::Choose => match adopt::find(pass).await? {
            adopt::Found::Number(number) => take(pass, number).await,
            adopt::Found::Blocked(outcome) => Ok(outcome),
            adopt::Found::Nothing => begin(pass, country, types, Some(purchase)).await,
        },
    }
}

/// Orders the recorded candidate once more.
async fn order_again(
    pass: &mut Pass<'_>,
    purchase: &PurchaseStatus,
    number: &E164,
    country: &Country,
    types: &[NumberType],
) -> StepResult {
    // Telnyx: a number can only be ordered after a recent search (85000). Searching is free.
    let found = pass.account.telnyx.search(country, types, SEARCH_LIMIT).await?;
    let offer = found.iter().find(|c| c.number == *number);
    // The limits on its price were held against it when it was chosen: an order of then may still be on its way.
    let funds = match offer {
        Some(offer) => Some(funds(pass, offer).await?),
        None => None,
    };
    if let Err(refusal) = claim::claim(pass, number, For::Purchase(funds.as_ref())).await? {
        return Ok(claim::refused(pass, &refusal));
    }
    let intent = PurchaseStatus {
        order_id: None,
        price: offer.map(price).or(purchase.price.clone()),
        number_type: offer.map(|offer| offer.kind).or(purchase.number_type),
        ..purchase.clone()
    };
    post(pass, number, intent).await
}

/// Records the candidate and orders it.
async fn post(pass: &mut Pass<'_>, number: &E164, intent: PurchaseStatus) -> StepResult {
    let reference = pass.spec.reference(&pass.account.owner);
    let started = pass.ctx.clock.monotonic();
    still_ours(pass).await?;
    let now = Time(pass.ctx.clock.now());
    let intent = PurchaseStatus {
        phase: PurchasePhase::Intended,
        reference: Some(reference.to_string()),
        chosen_at: intent.chosen_at.or(intent.started_at).or(Some(now.clone())),
        started_at: Some(now),
        ..intent
    };
    let kind = intent.number_type;
    // A number that is ordered again and again is a person's business, whatever the last answer was.
    let late = overdue(&intent, pass.ctx.clock.now(), pass.ctx.policy).then(|| words::overdue(number.as_str()));
    let shown = |phase| late.clone().unwrap_or_else(|| words::progress(Some(phase), Told::default()));
    let ordering = shown(PurchasePhase::Intended);
    let before = pass.status().purchase;
    // Lost here: nothing was ordered. Lost after it: the next pass looks this very number up.
    if !crate::test_switches::skip_write_ahead() {
        pass.save(&ordering, |status| status.purchase = Some(intent)).await?;
    }
    if pass.too_late(started) {
        return Ok(Outcome::wait(shown(PurchasePhase::Unknown), pass.ctx.policy.order_poll()));
    }
    let group = requirement_group(pass, kind);
    // From its first second on the number rejects calls.
    let reject = pass.account.applications.reject_id();
    let telnyx = pass.account.telnyx.not_after(pass.good_until(started));
    let result = telnyx.create_order(number, &reference, reject, group.as_deref()).await;
    pass.account.forget_orders();
    let (phase, order_id, outcome) = match result {
        Ok(order) => {
            pass.ctx.metrics.purchase(&pass.spec.portfolio, "ordered");
            let progress = shown(PurchasePhase::Ordered);
            (PurchasePhase::Ordered, Some(order.id), Outcome::wait(progress, pass.ctx.policy.order_poll()))
        }
        // Certainly not ordered: another pass begins where this one did.
        Err(error) if error.was_not_sent() => {
            pass.intend(&ordering, |status| status.purchase = before).await?;
            return Err(error.into());
        }
        Err(error) => {
            tracing::info!(line = %pass.spec.name, error = %error, "the order was not confirmed");
            let (phase, refusal) = refused(&error);
            let progress = refusal.unwrap_or_else(|| shown(phase));
            pass.ctx
                .metrics
                .purchase(&pass.spec.portfolio, if phase == PurchasePhase::Rejected { "rejected" } else { "unknown" });
            (phase, None, Outcome::wait(progress, pass.ctx.policy.order_poll()))
        }
    };
    // Lost here: the next pass finds the order by its reference.
    pass.save(&outcome.progress, |status| {
        status.purchase.iter_mut().for_each(|p| {
            p.phase = phase;
            p.order_id = order_id.clone();
        });
    })
    .await?;
    Ok(outcome)
}

/// What an unconfirmed order is recorded as, and what a person must settle. Only a definite no is a no.
fn refused(error: &crate::providers::ProviderError) -> (PurchasePhase, Option<Progress>) {
    match error.class {
        ErrorClass::Refused => (PurchasePhase::Rejected, None),
        ErrorClass::NeedsHuman => {
            let reason = condition(error.operation, error.class, error.reason);
            let message = format!("{}: {}", error.provider_text(), error.what_to_do);
            (PurchasePhase::Rejected, Some(Progress::stalled(Step::Acquire, reason, message)))
        }
        _ => (PurchasePhase::Unknown, None),
    }
}

pub(super) async fn look_up(pass: &Pass<'_>, number: &E164, order_id: Option<&str>) -> Result<LookUp, StepError> {
    let reference = pass.spec.reference(&pass.account.owner);
    let mut orders = pass.account.telnyx.orders_by_reference(&reference).await?;
    // An order whose id was answered exists, whether or not the list shows it yet.
    if let Some(id) = order_id.filter(|id| !orders.iter().any(|order| order.id == *id)) {
        orders.extend(pass.account.telnyx.order(id).await?);
    }
    // Of several orders for the same number the one that got furthest counts.
    let order = orders
        .iter()
        .filter_map(|order| order.item(number).map(|_| (order.id.clone(), state(order, number))))
        .min_by_key(|(_, state)| match state {
            OrderState::Success => 0,
            OrderState::WaitingRequirements(_) => 1,
            OrderState::Pending => 2,
            OrderState::Ended => 3,
        });
    let listed =
        pass.account.telnyx.number(number).await?.map(|owned| (owned.id, owned.status == Some(OwnedStatus::Active)));
    if crate::test_switches::look_up_by_number_only() {
        let order = listed.as_ref().map(|_| (String::new(), OrderState::Success));
        return Ok(LookUp { order, listed });
    }
    Ok(LookUp { order, listed })
}

/// How an order of ours stands for the number.
fn state(order: &Order, number: &E164) -> OrderState {
    let item = order.item(number);
    match item.and_then(|i| i.status.clone()).or_else(|| order.status.clone()) {
        Some(OrderStatus::Success) => OrderState::Success,
        Some(OrderStatus::Failure | OrderStatus::Cancelled | OrderStatus::Deleted) => OrderState::Ended,
        _ => match item.and_then(|i| i.requirements_status.clone()) {
            Some(RequirementsStatus::InfoPending) => OrderState::WaitingRequirements("information is missing".into()),
            Some(RequirementsStatus::Exception) => {
                OrderState::WaitingRequirements("what was handed in was rejected".into())
            }
            Some(RequirementsStatus::UnderReview) => OrderState::WaitingRequirements("under review".into()),
            _ => OrderState::Pending,
        },
    }
}

/// The approved requirement group for what is bought.
fn requirement_group(pass: &Pass<'_>, kind: Option<NumberType>) -> Option<String> {
    let Source::Acquire { country, .. } = &pass.spec.source else { return None };
    let groups = &pass.portfolio.spec.telnyx.requirement_groups;
    groups.iter().find(|g| g.country == country.as_str() && Some(g.kind) == kind).map(|g| g.id.clone())
}
