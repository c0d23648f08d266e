//! Step 2, link to WhatsApp: the number is added to the Portfolio's WABA.
//!
//! Meta does not say what adding a number twice does (perhaps a second id), so a number is added only when it is proven
//! absent: by the list before the first intent, and after an attempt by a list that is at least two minutes younger than
//! the intent. Done when the WABA's list shows the number, never by the answer to the POST.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

use super::error::condition;
use super::pass::Pass;
use super::plan::Step;
use super::status::Progress;
use super::verify::is_verified;
use super::{Outcome, StepError, StepResult};
use crate::domain::E164;
use crate::portfolio::ledger_write::{self, ClaimError};
use crate::providers::meta::PhoneNumber;
use crate::providers::{ErrorClass, Reason as Outcomes};
use crate::resources::client_number::{LinkPhase, LinkStatus, VerificationStatus};
use crate::resources::reasons::Reason;

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let Some(number) = pass.number() else { return Ok(Outcome::wait(pending(), pass.ctx.policy.link_poll())) };
    let link = pass.status().link;
    // Before the first intent, and to prove absence afterwards, the list must be a fresh one.
    let quiet = link.as_ref().is_none_or(|l| pass.ctx.clock.now() >= l.started_at.0 + pass.ctx.policy.link_grace());
    let max_age = if quiet { Duration::ZERO } else { pass.ctx.policy.link_poll() };
    let listed = pass.account.waba_numbers(max_age).await?;
    if let Some(entry) = listed.iter().find(|n| n.number().as_ref() == Some(&number)) {
        return linked(pass, entry, link.is_none()).await;
    }
    match link {
        Some(_) if !quiet => {
            let progress = pass.standing(Step::Link).unwrap_or_else(pending);
            Ok(Outcome::wait(progress, pass.ctx.policy.link_poll()))
        }
        Some(link) => add(pass, &number, link.attempt + 1).await,
        None => add(pass, &number, 1).await,
    }
}

fn pending() -> Progress {
    Progress::working(
        Step::Link,
        Reason::LinkPending,
        "the number was handed to Meta; goes on when the WhatsApp Business Account lists it",
    )
}

/// Records the intent and adds the number.
async fn add(pass: &mut Pass<'_>, number: &E164, attempt: i32) -> StepResult {
    let (started, started_at) = (pass.ctx.clock.monotonic(), Time(pass.ctx.clock.now()));
    let before = pass.status().link;
    // Lost before this: nothing was added. Lost after it: the list is read for two minutes before another try.
    pass.intend(&pending(), |status| {
        status.link = Some(LinkStatus { phase: LinkPhase::Intended, started_at, attempt });
    })
    .await?;
    if pass.too_late(started) {
        return Ok(Outcome::wait(pending(), pass.ctx.policy.link_poll()));
    }
    let name = pass.spec.display_name.clone();
    let meta = pass.account.meta.not_after(pass.good_until(started));
    let result = meta.create_phone_number(&pass.account.waba, number, &name).await;
    pass.account.forget_waba_numbers();
    match result {
        Ok(_) => Ok(Outcome::wait(pending(), Duration::ZERO)),
        Err(error) if error.is(Outcomes::AlreadyAdded) => Ok(Outcome::wait(pending(), pass.ctx.policy.link_poll())),
        Err(error) if matches!(error.class, ErrorClass::Refused | ErrorClass::NeedsHuman) => {
            let reason = condition(error.operation, error.class, error.reason);
            let message = format!("{}: {}; tried again by itself", error.provider_text(), error.what_to_do);
            Ok(Outcome::wait(Progress::stalled(Step::Link, reason, message), pass.ctx.policy.link_grace()))
        }
        Err(error) if error.was_not_sent() => {
            pass.intend(&pending(), |status| status.link = before).await?;
            Err(error.into())
        }
        Err(error) if error.class == ErrorClass::Unknown => {
            tracing::info!(line = %pass.spec.name, error = %error, "whether Meta added the number is looked up");
            Ok(Outcome::wait(pending(), pass.ctx.policy.link_poll()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The WABA lists the number: its slot is Meta's business from now on.
async fn linked(pass: &mut Pass<'_>, entry: &PhoneNumber, found_there: bool) -> StepResult {
    match ledger_write::settle(pass.ctx, &pass.spec.portfolio, &pass.spec.name, &pass.spec.uid).await {
        Ok(()) => {}
        Err(ClaimError::Kube(error)) => return Err(StepError::Kube(error)),
        Err(_) => return Err(StepError::Moved),
    }
    let now = pass.ctx.clock.now();
    let id = entry.id.to_string();
    // We did not add it, so we don't know which codes were asked for: perhaps status was lost in a restore.
    let gap = (found_there && !is_verified(entry)).then(|| Time(now + pass.ctx.policy.hour()));
    let progress = Progress::working(Step::Verify, Reason::InProgress, "ownership of the number is verified next");
    pass.save(&progress, |status| {
        status.phone_number_id = Some(id);
        let link =
            status.link.get_or_insert(LinkStatus { phase: LinkPhase::Linked, started_at: Time(now), attempt: 0 });
        link.phase = LinkPhase::Linked;
        if gap.is_some() {
            status.verification.get_or_insert_with(VerificationStatus::default).not_before = gap;
        }
    })
    .await?;
    Ok(Outcome::advanced(Step::Link))
}
