//! Step 4, route: the company's database, log and fence first, then the route as `pending`, then read back.
//!
//! A line that another company had before changes hands here: fence "taken" in the old log, fence "given" in the new one
//! with the next epoch, so that no replica with a stale route can write past it, and nothing that a candidate wrote before
//! reaches the new company. Must never take a route that is not disabled from another company, nor from another object that
//! is there: of the same company too, it is in service with the number.

mod state;

pub use state::{Held, object_exists};

use std::sync::PoisonError;
use std::time::Duration;

use kube::ResourceExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::pass::Pass;
use super::plan::Step;
use super::status::Progress;
use super::turn;
use super::{Outcome, StepError, StepResult};
use crate::controller::context::Context;
use crate::domain::{CompanyId, E164, PhoneNumberId};
use crate::resources::ClientNumber;
use crate::resources::client_number::RouteStatus;
use crate::resources::conditions::seconds;
use crate::resources::reasons::Reason;
use crate::store::routes::Route;
use crate::store::{FenceAction, LineRef, Refused, RouteState, StoreError};

/// How long a fence's append may take.
const APPEND_LIMIT: Duration = Duration::from_secs(5);

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let status = pass.status();
    let (Some(number), Some(id)) = (pass.number(), phone_number_id(&status.phone_number_id)) else {
        let progress = Progress::working(Step::Route, Reason::InProgress, "waits for the number's id");
        return Ok(Outcome::wait(progress, pass.ctx.policy.link_poll()));
    };
    let store = pass.ctx.store.clone();
    still_leads(pass.ctx)?;
    store.ensure_indexes().await?;
    let current = store.routes().get(&id).await?;
    let held = state::held(current.clone(), &state::Owner::of(&pass.line));
    let there = match &held {
        Held::Anothers(route) => object_exists(pass.ctx, route).await? == Some(true),
        _ => false,
    };
    if let Some(holder) = held_by_another(&held, &pass.spec.company, there) {
        let message = format!("the route of {number} belongs to {holder}: delete that ClientNumber first");
        let progress = Progress::stalled(Step::Route, Reason::DuplicateNumber, message);
        return Ok(Outcome::wait(progress, pass.ctx.policy.backoff(6)));
    }
    let mut rng = {
        let mut shared = pass.ctx.rng.lock().unwrap_or_else(PoisonError::into_inner);
        StdRng::from_rng(&mut *shared)
    };
    let retention = retention_days(pass);
    still_leads(pass.ctx)?;
    let (_, database) = store.companies().ensure(&pass.spec.company, retention, pass.ctx.clock.now(), &mut rng).await?;
    let line = LineRef { phone_number_id: id.clone(), phone_number: number.clone() };
    let known = database.log().fences().await?.line(&id);
    let turn = turn::hand_over(current.as_ref(), known, &pass.spec.company);
    let mut newest = None;
    if let Some((old, epoch)) = &turn.taken_from
        && let Some(old) = still_there(store.companies().open(old).await)?
    {
        still_leads(pass.ctx)?;
        let mut appender = old.log().appender(pass.ctx.clock.clone());
        let taken = appender.append_fence(&line, FenceAction::Taken, *epoch, Instant::now() + APPEND_LIMIT).await;
        still_there(taken.map(Some))?;
        newest = old.log().newest_message(&id).await?;
    }
    still_leads(pass.ctx)?;
    let mut appender = database.log().appender(pass.ctx.clock.clone());
    appender.append_fence(&line, FenceAction::Given, turn.epoch, Instant::now() + APPEND_LIMIT).await?;
    still_leads(pass.ctx)?;
    let wanted = Route {
        phone_number_id: id.clone(),
        phone_number: number.clone(),
        display_name: pass.spec.display_name.clone(),
        company_id: pass.spec.company.clone(),
        waba_id: pass.account.waba.clone(),
        portfolio: pass.spec.portfolio.to_string(),
        object: pass.spec.name.to_string(),
        uid: pass.spec.uid.clone(),
        epoch: turn.epoch,
        // After both fences: the former owner's log takes nothing any more.
        epoch_at: turn.since.epoch_at(store.hello(APPEND_LIMIT).await?, newest),
        state: RouteState::Pending,
        revision: 0,
        updated_at: pass.ctx.clock.now(),
    };
    let written = match store.routes().put(&wanted, current.as_ref().map(|r| r.revision)).await {
        Ok(written) => written,
        // A number that was deleted at Meta and comes again has a new id there; its old route leads nowhere.
        Err(StoreError::DuplicateNumber { held_by: Some(old), .. }) if old.state == RouteState::Disabled => {
            still_leads(pass.ctx)?;
            store.routes().remove(&old.phone_number_id, old.revision).await?;
            return Err(StepError::Moved);
        }
        Err(StoreError::DuplicateNumber { held_by, .. }) => {
            let holder = held_by.map_or("another route".to_owned(), |r| r.object);
            let message = format!("{number} is routed to {holder} under another id: delete that ClientNumber first");
            let progress = Progress::stalled(Step::Route, Reason::DuplicateNumber, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.backoff(6)));
        }
        Err(error) => return Err(error.into()),
    };
    // Done when it is read back, not when the write was answered.
    let read = store.routes().get(&id).await?;
    if read.as_ref().map(|r| r.revision) != Some(written.revision) {
        return Err(StepError::Moved);
    }
    let route = route_status(&written);
    let progress = Progress::working(Step::Register, Reason::Registering, "the line is registered next");
    pass.save(&progress, |status| status.route = Some(route)).await?;
    Ok(Outcome::advanced(Step::Route))
}

/// MongoDB is written by the replica that leads only; revisions and epochs are the fence behind that.
fn still_leads(ctx: &Context) -> Result<(), StepError> {
    if ctx.leads() { Ok(()) } else { Err(StepError::NotLeading) }
}

/// The id, parsed.
pub fn phone_number_id(text: &Option<String>) -> Option<PhoneNumberId> {
    text.as_deref().and_then(|id| id.parse().ok())
}

/// A route as status shows it.
pub fn route_status(route: &Route) -> RouteStatus {
    RouteStatus {
        state: route.state.as_str().into(),
        epoch: route.epoch,
        revision: route.revision,
        updated_at: seconds(route.updated_at),
    }
}

/// What became of a route whose state was to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// It has the state, and status says so.
    Done,
    /// The routing table holds no route of this line: nothing was set.
    Lost,
}

/// Sets the state of this line's route, and records it. Writes nothing if it is so already.
pub async fn set_state(pass: &mut Pass<'_>, state: RouteState, progress: &Progress) -> Result<Set, StepError> {
    let (id, owner) = (phone_number_id(&pass.status().phone_number_id), state::Owner::of(&pass.line));
    let Some(route) = state::set(pass.ctx, &owner, id.as_ref(), pass.number().as_ref(), state).await? else {
        return Ok(Set::Lost);
    };
    let route = route_status(&route);
    if pass.status().route.as_ref() != Some(&route) {
        pass.save(progress, |status| status.route = Some(route)).await?;
    }
    Ok(Set::Done)
}

/// Disables the route of a line that is given up. Its status is left as it is: the object goes.
pub async fn disable(ctx: &Context, line: &ClientNumber, number: &str) -> Result<(), StepError> {
    let id = line.status.as_ref().and_then(|s| phone_number_id(&s.phone_number_id));
    let (owner, number) = (state::Owner::of(line), E164::parse(number).ok());
    state::set(ctx, &owner, id.as_ref(), number.as_ref(), RouteState::Disabled).await.map(|_| ())
}

/// Whether what arrives for the number is led to this line, also in its life before a restore.
pub async fn leads_to(ctx: &Context, line: &ClientNumber, number: &E164) -> Result<bool, StepError> {
    let route = state::find(ctx, None, Some(number)).await?;
    Ok(route.is_some_and(|route| state::leads_to(&route, &state::Owner::of(line))))
}

/// The log of a company that is being erased, or was, takes nothing any more: there is nothing to fence.
fn still_there<T>(found: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::CompanyErased(_) | StoreError::Log(Refused::Closed)) => Ok(None),
        found => found,
    }
}

/// Whose the route of this line's number is.
pub async fn held(pass: &Pass<'_>) -> Result<Held, StepError> {
    let id = phone_number_id(&pass.status().phone_number_id);
    let route = state::find(pass.ctx, id.as_ref(), pass.number().as_ref()).await?;
    Ok(state::held(route, &state::Owner::of(&pass.line)))
}

/// Who holds the route, if this line may not take it: another company, or another object of this one that is `there`. A
/// line that was made anew takes the route of one that is gone.
fn held_by_another(held: &Held, company: &CompanyId, there: bool) -> Option<String> {
    let Held::Anothers(route) = held else { return None };
    (route.company_id != *company || there).then(|| route.object.clone())
}

/// Tells the routers of a changed retention.
pub async fn keep_retention(pass: &Pass<'_>) -> Result<(), StepError> {
    still_leads(pass.ctx)?;
    Ok(pass.ctx.store.companies().set_retention(&pass.spec.company, retention_days(pass)).await?)
}

/// The smallest retention of the company's lines counts.
fn retention_days(pass: &Pass<'_>) -> i64 {
    let others = pass.ctx.lines.state();
    others
        .iter()
        .filter(|line| line.spec.company_id == pass.spec.company.as_str() && line.uid() != pass.line.uid())
        .map(|line| i64::from(line.spec.retention_days))
        .chain([pass.spec.retention_days])
        .min()
        .unwrap_or(pass.spec.retention_days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_owner_that_was_erased_needs_no_fence() {
        let company: CompanyId = "atlas".parse().unwrap();
        assert!(matches!(still_there::<()>(Err(StoreError::CompanyErased(company))), Ok(None)));
        assert!(matches!(still_there::<()>(Err(StoreError::Log(Refused::Closed))), Ok(None)));
        assert!(still_there::<()>(Err(StoreError::Log(Refused::StaleEpoch))).is_err());
        assert!(still_there::<()>(Err(StoreError::TimedOut)).is_err());
        assert!(matches!(still_there(Ok(Some(1))), Ok(Some(1))));
    }

    #[test]
    fn a_route_in_use_is_not_taken() {
        let atlas: CompanyId = "atlas".parse().unwrap();
        for (company, there, want) in [
            ("rif", true, Some("clients/old")),
            ("rif", false, Some("clients/old")),
            ("atlas", true, Some("clients/old")),
            ("atlas", false, None),
        ] {
            let route =
                Route { company_id: company.parse().unwrap(), object: "clients/old".into(), ..Route::example() };
            let found = held_by_another(&Held::Anothers(Box::new(route)), &atlas, there);
            assert_eq!(found.as_deref(), want, "{company} {there}");
        }
        for held in [Held::Ours, Held::OursBefore, Held::Nobodys] {
            assert_eq!(held_by_another(&held, &atlas, true), None, "{held:?}");
        }
    }
}
