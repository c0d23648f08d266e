//! Step 1, acquire number: the line gets the number that it will live on.
//!
//! In this order: what carries our reference already; a retained number of the same company; only then a purchase, from
//! `order.rs`. A burnt number is `replace.rs`'s. `existing` and External numbers are claimed in the ledger too. Must never spend before the ledger and the
//! line's own status hold the candidate.

mod adopt;
mod claim;
mod existing;
mod lost;
mod offer;
mod order;
mod predecessor;
mod replace;
pub mod words;

pub use lost::{Lost, lost};
pub use replace::message as burnt_message;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};

use super::owner::still_ours;
use super::pass::Pass;
use super::plan::Step;
use super::spec::Source;
use super::status::Progress;
use super::{Outcome, StepError, StepResult};
use crate::domain::E164;
use crate::portfolio::ledger::Refusal;
use crate::providers::telnyx::NumberUpdate;
use crate::resources::ClientNumber;
use crate::resources::client_number::{PriceStatus, PurchasePhase, PurchaseStatus};
use crate::resources::names::{self, ANNOTATION_PHONE_NUMBER};
use crate::resources::reasons::Reason;

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    match pass.spec.source.clone() {
        Source::External(number) => existing::external(pass, &number).await,
        Source::ExistingTelnyx(number) => existing::telnyx(pass, &number).await,
        Source::Acquire { country, types } => match pass.status().purchase {
            Some(purchase) if purchase.phase == PurchasePhase::Burnt => replace::run(pass, &purchase).await,
            Some(purchase) if purchase.candidate.is_some() => order::resume(pass, &purchase, &country, &types).await,
            before => match adopt::find(pass).await? {
                adopt::Found::Number(number) => take(pass, number).await,
                adopt::Found::Blocked(outcome) => Ok(outcome),
                adopt::Found::Nothing => order::begin(pass, &country, &types, before.as_ref()).await,
            },
        },
    }
}

/// What a purchase on its way means for a release.
pub enum ForRelease {
    /// No number was bought, and none can arrive any more.
    NotOurs,
    /// Not known yet.
    Waits,
    /// The carrier confirmed an order and shows it no more: a person should look.
    Vanished,
    /// It arrived and was recorded.
    Owned,
}

/// Follows a purchase of a line that is being deleted to its end. Never orders.
pub async fn outcome_for_release(pass: &mut Pass<'_>, purchase: &PurchaseStatus) -> Result<ForRelease, StepError> {
    use super::purchase::{Decision, candidate, decide};
    let Some(number) = candidate(purchase) else { return Ok(ForRelease::NotOurs) };
    let look = order::look_up(pass, &number, purchase.order_id.as_deref()).await?;
    Ok(match decide(purchase, &look, pass.ctx.clock.now(), pass.ctx.policy) {
        Decision::Own { number_id, .. } => {
            mark(pass, &number_id, None).await?;
            record_owned(pass, &number, Some(number_id), None).await?;
            ForRelease::Owned
        }
        Decision::Wait { .. } => ForRelease::Waits,
        Decision::Vanished => ForRelease::Vanished,
        Decision::OrderAgain | Decision::Choose => ForRelease::NotOurs,
    })
}

/// A number of the account becomes this line's without a purchase: claimed, tagged, recorded.
async fn take(pass: &mut Pass<'_>, number: crate::providers::telnyx::OwnedNumber) -> StepResult {
    match claim::claim(pass, &number.number, claim::For::Use).await? {
        Ok(()) => {}
        Err(Refusal::NumberTaken { .. }) => {
            let message = "another line took the number that was free; looked again by itself";
            let progress = Progress::working(Step::Acquire, Reason::InProgress, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.order_poll()));
        }
        Err(refusal) => return Ok(claim::refused(pass, &refusal)),
    }
    mark(pass, &number.id, number.connection_id.as_deref()).await?;
    let price = kept_price(pass, &number.number);
    record_owned(pass, &number.number, Some(number.id), price).await?;
    Ok(Outcome::advanced(Step::Acquire))
}

/// Writes owner, company, cluster and reference on the number, and the rejecting application where none is set or where
/// the recording one was left: from now on the account itself says whose it is.
async fn mark(pass: &Pass<'_>, id: &str, connection: Option<&str>) -> Result<(), StepError> {
    still_ours(pass).await?;
    let account = &pass.account;
    let update = NumberUpdate {
        connection_id: account
            .applications
            .reject_id()
            .filter(|_| connection.is_none_or(|c| c.is_empty() || c == account.applications.capture))
            .map(str::to_owned),
        tags: Some(vec![
            names::owner_tag(&account.owner),
            names::company_tag(&pass.spec.company),
            names::cluster_tag(&account.cluster),
        ]),
        customer_reference: Some(pass.spec.reference(&account.owner)),
    };
    account.telnyx.update_number(id, &update).await?;
    account.forget_owned_numbers();
    Ok(())
}

/// What a number that was kept costs, as the Portfolio lists it. An estimate is none: the rate card is looked up anew.
pub fn kept_price(pass: &Pass<'_>, number: &E164) -> Option<PriceStatus> {
    let kept = pass.portfolio.status.iter().flat_map(|status| status.retained.iter());
    let known = kept.filter(|kept| !kept.estimated).find(|kept| kept.phone_number == number.as_str())?;
    known.monthly_usd.clone().map(|monthly_usd| PriceStatus { upfront_usd: "0".into(), monthly_usd })
}

/// Records that the number is the line's. What is recorded of another candidate does not speak of this one, which was not
/// bought for the line (`attempt` 0) and costs `price`, if that is known.
pub async fn record_owned(
    pass: &mut Pass<'_>,
    number: &E164,
    number_id: Option<String>,
    price: Option<PriceStatus>,
) -> Result<(), StepError> {
    let now = Time(pass.ctx.clock.now());
    let reference = pass.spec.reference(&pass.account.owner).to_string();
    let number_text = number.to_string();
    let progress = words::progress(Some(PurchasePhase::Owned), words::Told::default());
    pass.save(&progress, |status| {
        let before = status.purchase.take().unwrap_or(PurchaseStatus::new(PurchasePhase::Owned));
        let mut purchase = if before.candidate.as_deref() == Some(number_text.as_str()) {
            before
        } else {
            PurchaseStatus { replaced: before.replaced, price, ..PurchaseStatus::new(PurchasePhase::Owned) }
        };
        purchase.phase = PurchasePhase::Owned;
        purchase.candidate = Some(number_text.clone());
        purchase.reference = Some(reference);
        purchase.number_id = number_id;
        purchase.owned_at = Some(now);
        status.purchase = Some(purchase);
        status.phone_number = Some(number_text);
    })
    .await
}

/// Mirrors the number into an annotation: a backup that leaves status out keeps it. It proves nothing by itself, so a
/// refusal holds nothing up; it is tried again, at most once an hour.
pub async fn mirror(pass: &mut Pass<'_>) {
    let Some(number) = pass.number() else { return };
    if pass.line.annotations().get(ANNOTATION_PHONE_NUMBER).map(String::as_str) == Some(number.as_str()) {
        return;
    }
    let now = pass.ctx.clock.monotonic();
    if pass.ctx.read_only || !pass.account.may_mirror(&pass.spec.uid, number.as_str(), now, pass.ctx.policy.hour()) {
        return;
    }
    let api: Api<ClientNumber> = Api::namespaced(pass.ctx.client.clone(), &pass.spec.name.namespace);
    let patch = serde_json::json!({"metadata": {"annotations": {ANNOTATION_PHONE_NUMBER: number.as_str()}}});
    match api.patch(&pass.spec.name.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(line) => pass.line = line,
        Err(error) => {
            tracing::warn!(line = %pass.spec.name, error = %error, "the number could not be noted in an annotation; tried again later");
        }
    }
}
