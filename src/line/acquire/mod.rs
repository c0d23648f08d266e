//! Step 1, acquire number: the line gets the number that it will live on.
//!
//! In this order: what carries our reference already; a retained number of the same company; only then a purchase, from
//! `order.rs`. `existing` and External numbers are claimed in the ledger too. Must never spend before the ledger and the
//! line's own status hold the candidate.

mod adopt;
mod claim;
mod existing;
mod offer;
mod order;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};

use super::pass::Pass;
use super::plan::Step;
use super::spec::Source;
use super::status::Progress;
use super::{Outcome, StepError, StepResult};
use crate::domain::E164;
use crate::portfolio::ledger::Refusal;
use crate::providers::telnyx::NumberUpdate;
use crate::resources::ClientNumber;
use crate::resources::client_number::{PurchasePhase, PurchaseStatus, RetryStatus};
use crate::resources::names::{self, ANNOTATION_PHONE_NUMBER, ANNOTATION_RETRY};
use crate::resources::reasons::Reason;

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    match pass.spec.source.clone() {
        Source::External(number) => existing::external(pass, &number).await,
        Source::ExistingTelnyx(number) => existing::telnyx(pass, &number).await,
        Source::Acquire { country, types } => match pass.status().purchase {
            Some(purchase) if purchase.phase == PurchasePhase::Burnt => {
                if asked_again(pass) {
                    return once_more(pass).await;
                }
                let progress = Progress::stalled(Step::Acquire, Reason::NumberBurnt, burnt_message(pass));
                Ok(Outcome::wait(progress, pass.ctx.policy.backoff(9)))
            }
            Some(purchase) if purchase.candidate.is_some() => order::resume(pass, &purchase, &country, &types).await,
            _ => match adopt::find(pass).await? {
                adopt::Found::Number(number) => take(pass, number).await,
                adopt::Found::Blocked(outcome) => Ok(outcome),
                adopt::Found::Nothing => order::begin(pass, &country, &types, None).await,
            },
        },
    }
}

/// What a person is told about a number that Meta will not take.
pub fn burnt_message(pass: &Pass<'_>) -> String {
    format!(
        "Meta will not take this number: it belongs to an existing WhatsApp account. Have that account deleted on the phone that uses it and run kubectl clientnumber retry {0}; or give the number up: delete this ClientNumber with deletionPolicy Release and create it anew",
        pass.spec.name.name
    )
}

/// Whether a person asked to look again since that was last granted.
fn asked_again(pass: &Pass<'_>) -> bool {
    let asked = pass.line.annotations().get(ANNOTATION_RETRY);
    let handled = pass.status().retry.and_then(|r| r.handled_request);
    asked.is_some() && asked != handled.as_ref()
}

/// The other WhatsApp account is said to be gone: the number is tried again.
async fn once_more(pass: &mut Pass<'_>) -> StepResult {
    let token = pass.line.annotations().get(ANNOTATION_RETRY).cloned();
    let progress = Progress::working(Step::Acquire, Reason::InProgress, "registering the number is tried once more");
    pass.save(&progress, |status| {
        status.purchase.iter_mut().for_each(|p| p.phase = PurchasePhase::Owned);
        status.retry.get_or_insert_with(RetryStatus::default).handled_request = token;
    })
    .await?;
    Ok(Outcome::advanced(Step::Acquire))
}

/// What a purchase on its way means for a release.
pub enum ForRelease {
    /// No number was bought, and none can arrive any more.
    NotOurs,
    /// Not known yet.
    Waits,
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
            record_owned(pass, &number, Some(number_id), purchase.attempt).await?;
            ForRelease::Owned
        }
        Decision::Wait { .. } => ForRelease::Waits,
        Decision::OrderAgain | Decision::Choose => ForRelease::NotOurs,
    })
}

/// A number of the account becomes this line's without a purchase: claimed, tagged, recorded.
async fn take(pass: &mut Pass<'_>, number: crate::providers::telnyx::OwnedNumber) -> StepResult {
    match claim::claim(pass, &number.number, false).await? {
        Ok(()) => {}
        Err(Refusal::NumberTaken { .. }) => {
            let message = "another line took the number that was free; looked again by itself";
            let progress = Progress::working(Step::Acquire, Reason::InProgress, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.order_poll()));
        }
        Err(refusal) => return Ok(claim::refused(pass, &refusal)),
    }
    mark(pass, &number.id, number.connection_id.as_deref()).await?;
    record_owned(pass, &number.number, Some(number.id), 0).await?;
    Ok(Outcome::advanced(Step::Acquire))
}

/// Writes owner, company, cluster and reference on the number, and the rejecting application where none is set or where
/// the recording one was left: from now on the account itself says whose it is.
async fn mark(pass: &Pass<'_>, id: &str, connection: Option<&str>) -> Result<(), StepError> {
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

/// Records that the number is the line's. `attempt` 0 means that it was not bought for it.
async fn record_owned(
    pass: &mut Pass<'_>,
    number: &E164,
    number_id: Option<String>,
    attempt: i32,
) -> Result<(), StepError> {
    let now = Time(pass.ctx.clock.now());
    let reference = pass.spec.reference(&pass.account.owner).to_string();
    let number_text = number.to_string();
    let progress =
        Progress::working(Step::Link, Reason::LinkPending, "the number is added to the WhatsApp Business Account next");
    pass.save(&progress, |status| {
        let purchase = status.purchase.get_or_insert(PurchaseStatus {
            phase: PurchasePhase::Owned,
            candidate: None,
            attempt,
            reference: None,
            order_id: None,
            number_id: None,
            price: None,
            started_at: None,
            owned_at: None,
        });
        purchase.phase = PurchasePhase::Owned;
        purchase.candidate = Some(number_text.clone());
        purchase.reference = Some(reference);
        purchase.number_id = number_id;
        purchase.owned_at = Some(now);
        status.phone_number = Some(number_text);
    })
    .await?;
    annotate(pass, number).await
}

/// Mirrors the number into an annotation: a backup that leaves status out keeps it. It proves nothing by itself.
async fn annotate(pass: &mut Pass<'_>, number: &E164) -> Result<(), StepError> {
    if pass.line.annotations().get(ANNOTATION_PHONE_NUMBER).map(String::as_str) == Some(number.as_str()) {
        return Ok(());
    }
    let api: Api<ClientNumber> = Api::namespaced(pass.ctx.client.clone(), &pass.spec.name.namespace);
    let patch = serde_json::json!({"metadata": {"annotations": {ANNOTATION_PHONE_NUMBER: number.as_str()}}});
    pass.line = api.patch(&pass.spec.name.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}
