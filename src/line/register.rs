//! Step 5, register: the line goes live on the Cloud API, with its PIN kept in a Secret first.
//!
//! Meta blocks a number for 72 hours after 10 calls, failures and time-outs included: each attempt is counted in status
//! before its call, and after an unclear answer the number is read, never registered again at once. The PIN is never
//! guessed and never replaced. The route becomes active only when Meta shows the line connected.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::budget;
use super::pass::Pass;
use super::plan::Step;
use super::route::{self, Set};
use super::status::Progress;
use super::verify::entry;
use super::{Outcome, StepError, StepResult};
use super::{drift, keep};
use crate::domain::{E164, Pin};
use crate::providers::meta::{NameStatus, PhoneNumber};
use crate::providers::{ErrorClass, ProviderError, Reason as Outcomes};
use crate::resources::client_number::{PurchasePhase, RegistrationStatus};
use crate::resources::names::{SECRET_TYPE_PIN, pin_secret};
use crate::resources::reasons::Reason;
use crate::store::RouteState;

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let poll = pass.ctx.policy.link_poll();
    let tried = pass.status().registration.and_then(|r| r.attempts.last().cloned());
    let fresh = tried.is_some_and(|at| pass.ctx.clock.now() < at.0 + pass.ctx.policy.link_grace());
    // Lines that wait for their name for days share one list a minute.
    let age = if fresh { pass.ctx.policy.code_poll() } else { pass.ctx.policy.name_poll() };
    let Some(entry) = entry(pass, age).await? else {
        let message = "the WhatsApp Business Account does not list the number at the moment; read again by itself";
        return Ok(Outcome::wait(Progress::working(Step::Register, Reason::LinkPending, message), poll));
    };
    if entry.is_connected() {
        return connected(pass, &entry).await;
    }
    let registration = pass.status().registration.unwrap_or_default();
    let now = pass.ctx.clock.now();
    if let Some(outcome) = name_gate(pass, &entry, &registration) {
        return Ok(outcome);
    }
    if let Some(at) = budget::next_registration(
        &registration.attempts,
        &pass.portfolio.spec.limits.registrations,
        now,
        pass.ctx.policy,
    ) {
        if let Some(refusal) = pass.standing(Step::Register) {
            return Ok(Outcome::wait(refusal, pass.ctx.policy.name_poll()));
        }
        // An attempt whose answer was lost may still be at work at Meta: over 15 s were seen.
        if registration.attempts.last().is_some_and(|last| now < last.0 + pass.ctx.policy.link_grace()) {
            return Ok(Outcome::wait(registering(), poll));
        }
        let when = at.strftime("%Y-%m-%d %H:%M UTC");
        let message = format!("no registration may be tried yet; the next attempt follows by itself at {when}");
        let wait = at.duration_since(now).try_into().unwrap_or(poll);
        return Ok(Outcome::wait(Progress::working(Step::Register, Reason::RegistrationLimited, message), wait));
    }
    let Some(number) = pass.number() else { return Ok(Outcome::wait(registering(), poll)) };
    let pin = match pin(pass, &number).await? {
        Ok(pin) => pin,
        Err(outcome) => return Ok(outcome),
    };
    let (policy, started) = (pass.ctx.policy, pass.ctx.clock.monotonic());
    let before = pass.status().registration;
    // Lost before this: nothing was called. Lost after it: the number is read first.
    pass.intend(&registering(), |status| {
        let registration = status.registration.get_or_insert_with(RegistrationStatus::default);
        registration.attempts = budget::with(&registration.attempts, now, policy);
    })
    .await?;
    if pass.too_late(started) {
        return Ok(Outcome::wait(registering(), poll));
    }
    let result = pass.account.meta.not_after(pass.good_until(started)).register(&entry.id, &pin).await;
    pass.account.forget_waba_numbers();
    match result {
        Ok(()) => Ok(Outcome::wait(registering(), Duration::ZERO)),
        Err(error) if error.was_not_sent() => {
            pass.intend(&registering(), |status| status.registration = before).await?;
            Err(error.into())
        }
        Err(error) => refused(pass, error).await,
    }
}

fn registering() -> Progress {
    Progress::working(
        Step::Register,
        Reason::Registering,
        "the line is being registered; goes on when Meta shows it connected",
    )
}

/// Registering waits for the name: the name that is registered is the one that was reviewed.
fn name_gate(pass: &Pass<'_>, entry: &PhoneNumber, registration: &RegistrationStatus) -> Option<Outcome> {
    let waits = |message: &str| {
        let progress = Progress::working(Step::Register, Reason::NamePending, message);
        Some(Outcome::wait(progress, pass.ctx.policy.name_poll()))
    };
    match &entry.name_status {
        Some(NameStatus::Approved | NameStatus::AvailableWithoutReview) => None,
        Some(NameStatus::Declined | NameStatus::Expired) => {
            let message = "Meta declined the display name: change spec.displayName, for example to Company by Platform";
            let progress = Progress::stalled(Step::Register, Reason::NameDeclined, message);
            Some(Outcome::wait(progress, pass.ctx.policy.name_poll()))
        }
        // Pending, or a beta field that this account does not have: at most one try an hour.
        _ => {
            let now = pass.ctx.clock.now();
            let waited = pass
                .status()
                .verification
                .and_then(|v| v.verified_at)
                .is_none_or(|t| now >= t.0 + pass.ctx.policy.hour());
            let quiet = registration.attempts.last().is_none_or(|t| now >= t.0 + pass.ctx.policy.hour());
            if waited && quiet {
                None
            } else {
                waits("Meta reviews the display name; registering is tried once an hour until then")
            }
        }
    }
}

/// Meta shows the line connected: the route becomes active, then the registration is recorded.
async fn connected(pass: &mut Pass<'_>, entry: &PhoneNumber) -> StepResult {
    if route::set_state(pass, RouteState::Active, &registering()).await? == Set::Lost {
        // MongoDB comes from an older backup, or somebody removed it: a line that nothing is routed to is not Ready.
        let message = "the routing table does not hold the line any more; it is written again next";
        let progress = Progress::working(Step::Route, Reason::InProgress, message);
        pass.save(&progress, |status| status.route = None).await?;
        return Ok(Outcome::advanced(Step::Route));
    }
    let now = Time(pass.ctx.clock.now());
    let name = entry.verified_name.clone();
    let ours = keep::ours(&pass.spec, &pass.portfolio);
    let line = drift::told(pass.status().line.unwrap_or_default(), entry, true, &ours);
    let created = pass.line.metadata.creation_timestamp.clone();
    let first = pass.status().registration.is_none_or(|r| r.registered_at.is_none());
    let done = drift::verdict(Some(&line));
    let cost = keep::cost(&pass.status(), &pass.spec, &pass.portfolio, pass.ctx.clock.now());
    pass.save(&done, |status| {
        let registration = status.registration.get_or_insert_with(RegistrationStatus::default);
        registration.registered_at.get_or_insert(now.clone());
        registration.registered_name = name.or(registration.registered_name.take());
        status.line = Some(line);
        status.cost = Some(cost);
    })
    .await?;
    if let (true, Some(created)) = (first, created)
        && let Ok(took) = Duration::try_from(now.0.duration_since(created.0))
    {
        pass.ctx.metrics.time_to_ready(took);
    }
    Ok(Outcome::advanced(Step::Register))
}

async fn refused(pass: &mut Pass<'_>, error: ProviderError) -> StepResult {
    let poll = pass.ctx.policy.link_poll();
    match error.reason {
        Outcomes::NameNotReady => {
            let message = "Meta has not provisioned the display name yet; registering is tried again by itself";
            Ok(Outcome::wait(
                Progress::working(Step::Register, Reason::NamePending, message),
                pass.ctx.policy.name_poll(),
            ))
        }
        Outcomes::NeedsVerification => {
            let message = "Meta wants the number verified again; the next code follows";
            let progress = Progress::working(Step::Verify, Reason::InProgress, message);
            pass.save(&progress, |status| {
                if let Some(verification) = status.verification.as_mut() {
                    verification.verified_at = None;
                }
            })
            .await?;
            Ok(Outcome::wait(progress, poll))
        }
        Outcomes::NumberBurnt => {
            let progress = super::acquire::burnt_message(pass);
            let bought = pass.status().purchase.is_some_and(|p| p.attempt > 0);
            pass.save(&progress, |status| {
                if bought {
                    status.purchase.iter_mut().for_each(|p| p.phase = PurchasePhase::Burnt);
                }
            })
            .await?;
            Ok(Outcome::wait(progress, pass.ctx.policy.backoff(9)))
        }
        // Perhaps it was registered: read, don't repeat.
        _ if error.class == ErrorClass::Unknown => {
            tracing::info!(line = %pass.spec.name, error = %error, "whether the line was registered is looked up");
            Ok(Outcome::wait(registering(), poll))
        }
        _ => Err(error.into()),
    }
}

/// The PIN from its Secret, which is made with a random PIN where there is none. It has no owner: it outlives the object.
async fn pin(pass: &Pass<'_>, number: &E164) -> Result<Result<Pin, Outcome>, StepError> {
    let api: Api<Secret> = Api::namespaced(pass.ctx.client.clone(), &pass.spec.portfolio.namespace);
    let name = pin_secret(number.digits());
    let unusable = |why: &str| {
        let message = format!(
            "the Secret {name} in namespace {} {why}: restore it, or delete it and set a new PIN in WhatsApp Manager",
            pass.spec.portfolio.namespace
        );
        Outcome::wait(Progress::stalled(Step::Register, Reason::PinMismatch, message), pass.ctx.policy.backoff(6))
    };
    if let Some(secret) = api.get_opt(&name).await? {
        if secret.type_.as_deref() != Some(SECRET_TYPE_PIN) {
            return Ok(Err(unusable("is of another type")));
        }
        let bytes = secret.data.and_then(|mut data| data.remove("pin"));
        let pin = bytes.and_then(|b| String::from_utf8(b.0).ok()).and_then(|text| Pin::parse(&text).ok());
        return Ok(pin.ok_or_else(|| unusable("holds no PIN of six digits under the key pin")));
    }
    let pin = Pin::random(&mut *pass.ctx.rng.lock().unwrap_or_else(PoisonError::into_inner));
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        type_: Some(SECRET_TYPE_PIN.into()),
        data: Some(BTreeMap::from([("pin".to_owned(), ByteString(pin.expose().as_bytes().to_vec()))])),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(Ok(pin)),
        // Made meanwhile by another replica: that one counts.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Err(StepError::Moved),
        Err(error) => Err(error.into()),
    }
}
