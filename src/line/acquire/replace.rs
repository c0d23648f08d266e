//! A burnt number: paid for, and Meta will not take it. A person decides between trying it again (`retry`) and giving it up
//! (`clientnumber.dev/replace`, which must name it): then it is given back and another one is bought by the ordinary path.
//!
//! Each call is recorded before it is made; a replacement that was begun is ended, whatever becomes of the annotation. The
//! number that was given back is kept in status and never taken again; its slot at Meta is freed only by a person. Must
//! never give back a number that Meta shows connected, nor one that this line did not buy.

use kube::{Resource, ResourceExt};

use super::super::give_back;
use super::super::pass::Pass;
use super::super::plan::Step;
use super::super::purchase::candidate;
use super::super::spec::Source;
use super::super::status::Progress;
use super::super::{Outcome, StepResult, pin, route, verify};
use super::words::{self, Told};
use crate::controller::events::{self, Draft};
use crate::domain::E164;
use crate::resources::client_number::{PurchasePhase, PurchaseStatus, RetryStatus};
use crate::resources::names::{ANNOTATION_REPLACE, ANNOTATION_RETRY};
use crate::resources::reasons::Reason;
use crate::resources::{ClientNumber, ClientNumberStatus};
use crate::store::RouteState;
use std::time::Duration;

/// What the annotation asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish<'a> {
    /// Nothing, or what was done already.
    None,
    /// To replace the line's number.
    Ours,
    /// To replace a number that is not the line's.
    Another(&'a str),
}

fn wish<'a>(line: &'a ClientNumber, purchase: &PurchaseStatus) -> Wish<'a> {
    match line.annotations().get(ANNOTATION_REPLACE).map(String::as_str) {
        None => Wish::None,
        Some(number) if purchase.candidate.as_deref() == Some(number) => Wish::Ours,
        Some(number) if purchase.replaced.iter().any(|old| old == number) => Wish::None,
        Some(number) => Wish::Another(number),
    }
}

/// The line's number is burnt.
pub async fn run(pass: &mut Pass<'_>, purchase: &PurchaseStatus) -> StepResult {
    let bought = purchase.attempt > 0;
    if purchase.give_back.is_some() || (bought && wish(&pass.line, purchase) == Wish::Ours) {
        return replace(pass, purchase).await;
    }
    if asked_again(pass) {
        return once_more(pass).await;
    }
    let mut progress = message(pass);
    if let Wish::Another(number) = wish(&pass.line, purchase) {
        progress.message = format!(
            "{}. Nothing was replaced: {ANNOTATION_REPLACE} names {number}, which is not this line's number; run the command again",
            progress.message
        );
    }
    Ok(Outcome::wait(progress, pass.ctx.policy.backoff(9)))
}

/// What a person is told about a number that Meta will not take.
pub fn message(pass: &Pass<'_>) -> Progress {
    let number = pass.number().map(|n| n.to_string()).unwrap_or_default();
    let line = pass.spec.name.name.as_str();
    let bought = pass.status().purchase.is_some_and(|p| p.attempt > 0);
    let progress = words::progress(Some(PurchasePhase::Burnt), Told { line, number: &number, requirements: None });
    if bought {
        return progress;
    }
    let instead = match pass.spec.source {
        Source::Acquire { .. } => "delete this ClientNumber with deletionPolicy Release and create it anew",
        _ => "delete this ClientNumber and create it anew with another number",
    };
    let message = format!(
        "Meta will not take {number}: it belongs to an existing WhatsApp account. Have that account deleted on the phone that uses it and run kubectl clientnumber retry {line}; or give the number up: {instead}"
    );
    Progress { message, ..progress }
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

/// Gives the number back and makes room for another.
async fn replace(pass: &mut Pass<'_>, purchase: &PurchaseStatus) -> StepResult {
    let (Some(number), Some(number_id)) = (candidate(purchase), purchase.number_id.clone()) else {
        return Ok(Outcome::wait(message(pass), pass.ctx.policy.backoff(9)));
    };
    let listed = pass.account.waba_numbers(Duration::ZERO).await?;
    let connected = listed.iter().any(|n| n.number().as_ref() == Some(&number) && n.is_connected());
    if connected && purchase.give_back.is_none() {
        let message = format!(
            "Meta shows {number} connected by now, so it is not given back: run kubectl clientnumber retry {} to take it into service; remove the annotation {ANNOTATION_REPLACE} first",
            pass.spec.name.name
        );
        let progress = Progress::stalled(Step::Acquire, Reason::NumberBurnt, message);
        return Ok(Outcome::wait(progress, pass.ctx.policy.backoff(6)));
    }
    let progress = Progress::working(
        Step::Acquire,
        Reason::NumberReplacing,
        format!("{number} is given back; another is bought next"),
    );
    verify::disarm(pass, &progress).await?;
    route::set_state(pass, RouteState::Disabled, &progress).await?;
    if let give_back::State::Waits(progress, after) =
        give_back::run(pass, &number, &number_id, Reason::NumberReplacing).await?
    {
        return Ok(Outcome::wait(progress, after));
    }
    pin::delete(pass, &number).await?;
    // Lost before this: that it is gone is read again. After it the line is as it was before its first purchase, but for
    // what it must never take again.
    pass.save(&progress, |status| anew(status, &number)).await?;
    let note = format!(
        "{number} was given back; its slot at Meta is freed only by a person in WhatsApp Manager; another number is bought next"
    );
    let draft =
        Draft { warning: true, reason: Reason::NumberReplacing.as_str().into(), action: "Replace".into(), note };
    events::write(pass.ctx, &pass.line.object_ref(&()), vec![draft]).await;
    Ok(Outcome::advanced(Step::Acquire))
}

/// All that was recorded of the old number goes; codes and registrations are counted for each number at Meta.
fn anew(status: &mut ClientNumberStatus, number: &E164) {
    let old = status.purchase.take();
    let attempt = old.as_ref().map_or(0, |p| p.attempt);
    let mut replaced = old.map(|p| p.replaced).unwrap_or_default();
    replaced.push(number.to_string());
    *status = ClientNumberStatus {
        observed_generation: status.observed_generation,
        step: status.step.take(),
        conditions: std::mem::take(&mut status.conditions),
        purchase: Some(PurchaseStatus { attempt, replaced, ..PurchaseStatus::new(PurchasePhase::Rejected) }),
        retry: status.retry.take(),
        ..ClientNumberStatus::default()
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::plan::plan;
    use crate::resources::client_number::{LinkStatus, RegistrationStatus, VerificationStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    fn burnt() -> PurchaseStatus {
        PurchaseStatus {
            candidate: Some("+212612345678".into()),
            attempt: 2,
            replaced: vec!["+212612345600".into()],
            ..PurchaseStatus::new(PurchasePhase::Burnt)
        }
    }

    #[test]
    fn only_the_lines_own_number_is_replaced() {
        for (annotation, expected) in [
            (json!({}), Wish::None),
            (json!({ANNOTATION_REPLACE: "+212612345678"}), Wish::Ours),
            (json!({ANNOTATION_REPLACE: "+212612345600"}), Wish::None),
            (json!({ANNOTATION_REPLACE: "+212612345679"}), Wish::Another("+212612345679")),
            (json!({ANNOTATION_REPLACE: "yes"}), Wish::Another("yes")),
        ] {
            let line: ClientNumber = serde_json::from_value(json!({
                "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
                "metadata": {"name": "atlas", "annotations": annotation},
                "spec": {"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"},
                    "number": {"acquire": {}}},
            }))
            .unwrap();
            assert_eq!(wish(&line, &burnt()), expected, "{:?}", line.annotations());
        }
    }

    #[test]
    fn nothing_of_the_old_number_is_left_but_its_name() {
        let now = Time("2026-11-01T10:00:00Z".parse().unwrap());
        let mut status = ClientNumberStatus {
            observed_generation: 3,
            phone_number: Some("+212612345678".into()),
            phone_number_id: Some("1".into()),
            purchase: Some(burnt()),
            link: Some(LinkStatus {
                phase: crate::resources::client_number::LinkPhase::Linked,
                started_at: now.clone(),
                attempt: 1,
                already_added: false,
            }),
            verification: Some(VerificationStatus { requests: vec![now.clone()], ..VerificationStatus::default() }),
            registration: Some(RegistrationStatus { attempts: vec![now], ..RegistrationStatus::default() }),
            ..ClientNumberStatus::default()
        };
        anew(&mut status, &E164::parse("+212612345678").unwrap());
        let purchase = PurchaseStatus {
            attempt: 2,
            replaced: vec!["+212612345600".into(), "+212612345678".into()],
            ..PurchaseStatus::new(PurchasePhase::Rejected)
        };
        let expected =
            ClientNumberStatus { observed_generation: 3, purchase: Some(purchase), ..ClientNumberStatus::default() };
        assert_eq!(status, expected);
        assert_eq!(plan(&status), Step::Acquire);
    }
}
