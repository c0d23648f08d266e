//! Step 2, link to WhatsApp: the number is added to the Portfolio's WABA.
//!
//! Meta does not say what adding a number twice does (perhaps a second id), so a number is added only when it is proven
//! absent: by the list before the first intent, and after an attempt by a list that is at least two minutes younger than
//! the intent. Done when the WABA's list shows the number, never by the answer to the POST.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

use super::error::condition;
use super::pass::Pass;
use super::plan::Step;
use super::status::Progress;
use super::verify::is_verified;
use super::{Outcome, StepError, StepResult};
use crate::domain::{E164, PolicyTime};
use crate::portfolio::ledger_write::{self, ClaimError, Left};
use crate::providers::meta::PhoneNumber;
use crate::providers::{ErrorClass, Reason as Outcomes};
use crate::resources::client_number::{LinkPhase, LinkStatus, VerificationStatus};
use crate::resources::conditions::seconds;
use crate::resources::reasons::Reason;

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let Some(number) = pass.number() else { return Ok(Outcome::wait(pending(), pass.ctx.policy.link_poll())) };
    let link = pass.status().link;
    let (now, policy) = (pass.ctx.clock.now(), pass.ctx.policy);
    let absent = if_absent(link.as_ref(), super::asked_anew(&pass.line), now, policy);
    let max_age = match absent {
        // Before the first intent, and to prove absence afterwards, the list must be a fresh one.
        Absent::Add => Duration::ZERO,
        Absent::Lags => policy.link_poll(),
        // Nothing is added: the list that all lines share is good enough.
        Absent::Elsewhere => policy.name_poll(),
    };
    let listed = pass.account.waba_numbers(max_age).await?;
    if let Some(entry) = listed.iter().find(|n| n.number().as_ref() == Some(&number)) {
        return linked(pass, entry, link.is_none()).await;
    }
    match absent {
        Absent::Lags => Ok(Outcome::wait(pass.standing(Step::Link).unwrap_or_else(pending), policy.link_poll())),
        Absent::Elsewhere => Ok(elsewhere(pass, &number)),
        Absent::Add => add(pass, &number, link.map_or(0, |link| link.attempt) + 1).await,
    }
}

/// What it means that the list lacks the number.
#[derive(Debug, PartialEq, Eq)]
enum Absent {
    /// It may have been added a moment ago.
    Lags,
    /// Meta said that it is added already: another account has it.
    Elsewhere,
    /// It is not added.
    Add,
}

/// A number that another account holds is tried again once an hour, or when a person asks for it.
fn if_absent(link: Option<&LinkStatus>, asked: bool, now: Timestamp, policy: PolicyTime) -> Absent {
    match link {
        None => Absent::Add,
        Some(link) if now < link.started_at.0 + policy.link_grace() => Absent::Lags,
        Some(link) if link.already_added && !asked && now < link.started_at.0 + policy.hour() => Absent::Elsewhere,
        Some(_) => Absent::Add,
    }
}

/// Meta has the number, and our account does not list it.
fn elsewhere(pass: &Pass<'_>, number: &E164) -> Outcome {
    let message = format!(
        "Meta says that {number} is added already, and WhatsApp Business Account {} does not list it: another account holds it; remove it there in WhatsApp Manager, then kubectl clientnumber retry {}",
        pass.account.waba, pass.spec.name.name
    );
    Outcome::wait(Progress::stalled(Step::Link, Reason::LinkRefused, message), pass.ctx.policy.name_poll())
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
    // That another account holds it stands until Meta says otherwise.
    let held = before.as_ref().is_some_and(|link| link.already_added);
    let shown = pass.standing(Step::Link).filter(|_| held).unwrap_or_else(pending);
    // Lost before this: nothing was added. Lost after it: the list is read for two minutes before another try.
    pass.intend(&shown, |status| {
        status.link = Some(LinkStatus { phase: LinkPhase::Intended, started_at, attempt, already_added: false });
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
        Err(error) if error.is(Outcomes::AlreadyAdded) => {
            // An earlier POST of ours, or another account has it: the list decides.
            pass.intend(&shown, |status| status.link.iter_mut().for_each(|l| l.already_added = true)).await?;
            Ok(Outcome::wait(shown, pass.ctx.policy.link_poll()))
        }
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
    let used = pass.number().map_or(Left::Nothing, Left::Unlisted);
    match ledger_write::settle(pass.ctx, &pass.spec.portfolio, &pass.spec.name, &pass.spec.uid, used).await {
        Ok(()) => {}
        Err(ClaimError::Kube(error)) => return Err(StepError::Kube(error)),
        Err(_) => return Err(StepError::Moved),
    }
    let now = pass.ctx.clock.now();
    let id = entry.id.to_string();
    // We did not add it, so we don't know which codes were asked for: perhaps status was lost in a restore.
    // Status holds whole seconds: rounded up, so that the gap is a whole one.
    let gap = (found_there && !is_verified(entry))
        .then(|| seconds(now + pass.ctx.policy.hour() + std::time::Duration::from_secs(1)));
    let progress = Progress::working(Step::Verify, Reason::InProgress, "ownership of the number is verified next");
    pass.save(&progress, |status| {
        status.phone_number_id = Some(id);
        let link = status.link.get_or_insert(LinkStatus {
            phase: LinkPhase::Linked,
            started_at: Time(now),
            attempt: 0,
            already_added: false,
        });
        link.phase = LinkPhase::Linked;
        link.already_added = false;
        if gap.is_some() {
            status.verification.get_or_insert_with(VerificationStatus::default).not_before = gap;
        }
    })
    .await?;
    Ok(Outcome::advanced(Step::Link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_absence_means() {
        let now: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        let link = |seconds: i64, already_added| LinkStatus {
            phase: LinkPhase::Intended,
            started_at: Time(now - jiff::SignedDuration::from_secs(seconds)),
            attempt: 1,
            already_added,
        };
        let run = |link: Option<LinkStatus>, asked| if_absent(link.as_ref(), asked, now, PolicyTime::default());
        assert_eq!(run(None, false), Absent::Add);
        for (seconds, already_added, asked, expected) in [
            (119, false, false, Absent::Lags),
            (119, true, true, Absent::Lags),
            (120, false, false, Absent::Add),
            (120, true, false, Absent::Elsewhere),
            (3599, true, false, Absent::Elsewhere),
            (120, true, true, Absent::Add),
            (3600, true, false, Absent::Add),
        ] {
            assert_eq!(run(Some(link(seconds, already_added)), asked), expected, "{seconds} {already_added} {asked}");
        }
    }
}
