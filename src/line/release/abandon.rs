//! The way out when the account is gone: `clientnumber.dev/abandon` names the number, its route is disabled, the Portfolio
//! lists it, and the finalizer goes.
//!
//! The account is gone, the routing table is not: what arrives for a line that was given up must not reach its company as if
//! it lived, and the next owner of the number must not find the route taken. So a store that is away is waited for.

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::super::error::{StepError, verdict};
use super::super::plan::plan;
use super::super::route;
use super::super::spec::LineSpec;
use super::super::status::Progress;
use super::{finish, shown};
use crate::controller::context::Context;
use crate::portfolio::audit::words::ABANDONED;
use crate::portfolio::status;
use crate::resources::ClientNumber;
use crate::resources::conditions::seconds;
use crate::resources::finding::{Finding, FindingKind};
use crate::resources::names::ANNOTATION_ABANDON;
use crate::resources::reasons::Reason;

/// The number that a person gives up: the annotation must name it, so that no other line's is meant. Where status was lost,
/// any of `traces` may be it: numbers that its mirror or a claim says that the line had.
pub fn wanted(line: &ClientNumber, traces: &[String]) -> Option<String> {
    let wanted = line.annotations().get(ANNOTATION_ABANDON)?;
    let status = line.status.as_ref();
    let candidate = status.and_then(|s| s.purchase.as_ref()?.candidate.as_ref());
    let recorded = status.and_then(|s| s.phone_number.as_ref()).or(candidate);
    let its = recorded.map_or(traces, std::slice::from_ref);
    its.contains(wanted).then(|| wanted.clone())
}

/// Gives the line up.
pub async fn run(ctx: &Context, line: &ClientNumber, number: &str) -> Result<Action, StepError> {
    if let Err(error) = route::disable(ctx, line, number).await {
        let step = plan(&line.status.clone().unwrap_or_default());
        let Some(verdict) = verdict(step, &error, ctx.policy) else {
            return Ok(Action::requeue(error.again()));
        };
        let message = format!("{}; the line is given up when its route is disabled", verdict.progress.message);
        return shown(ctx, line, Progress { message, ..verdict.progress }, ctx.policy.backoff(3)).await;
    }
    list(ctx, line, number).await?;
    let message = format!(
        "given up on the word of {ANNOTATION_ABANDON}; the Portfolio lists {number} until it is given back or a line takes it"
    );
    finish::run(ctx, line, Reason::Abandoned, message).await
}

/// The Portfolio lists what was given up: before the finalizer goes, since nothing else tells of it then. Another
/// operator's number is not paid for here.
async fn list(ctx: &Context, line: &ClientNumber, number: &str) -> Result<(), StepError> {
    let Ok(spec) = LineSpec::of(line) else { return Ok(()) };
    if !spec.source.at_carrier() {
        return Ok(());
    }
    let known = line.status.as_ref();
    let finding = Finding {
        kind: FindingKind::Abandoned,
        phone_number: number.to_owned(),
        phone_number_id: known.and_then(|s| s.phone_number_id.clone()),
        company_id: Some(spec.company.to_string()),
        reference: known.and_then(|s| s.purchase.as_ref()?.reference.clone()),
        since: seconds(ctx.clock.now()),
        message: ABANDONED.into(),
    };
    Ok(status::abandoned(ctx, &spec.portfolio, &finding).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_lines_own_number_is_given_up() {
        const NUMBER: &str = "+212612345678";
        const OTHER: &str = "+212612345679";
        for (status, traces, wish, want) in [
            (json!({"phoneNumber": NUMBER}), vec![], NUMBER, true),
            (json!({"purchase": {"phase": "Ordered", "candidate": NUMBER}}), vec![], NUMBER, true),
            (json!({"phoneNumber": NUMBER}), vec![], OTHER, false),
            (json!({"phoneNumber": OTHER}), vec![NUMBER], NUMBER, false),
            (json!({}), vec![NUMBER], NUMBER, true),
            (json!({}), vec![OTHER, NUMBER], NUMBER, true),
            (json!({}), vec![OTHER], NUMBER, false),
            (json!({}), vec![], NUMBER, false),
        ] {
            let line: ClientNumber = serde_json::from_value(json!({
                "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
                "metadata": {"name": "atlas", "annotations": {ANNOTATION_ABANDON: wish}},
                "spec": {"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"},
                    "number": {"acquire": {}}},
                "status": status,
            }))
            .unwrap();
            let traces: Vec<String> = traces.into_iter().map(str::to_owned).collect();
            assert_eq!(wanted(&line, &traces).is_some(), want, "{line:?} {traces:?}");
        }
    }
}
