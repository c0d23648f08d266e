//! Step 4, route: the company's database, log and fence first, then the route as `pending`, then read back.
//!
//! A line that another company had before changes hands here: fence "taken" in the old log, fence "given" in the new one
//! with the next epoch, so that no replica with a stale route can write past it, and nothing that a candidate wrote before
//! reaches the new company. Must never take a route that is not disabled from another company.

use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::pass::Pass;
use super::plan::Step;
use super::status::Progress;
use super::{Outcome, StepError, StepResult};
use crate::domain::{CompanyId, PhoneNumberId};
use crate::resources::client_number::RouteStatus;
use crate::resources::conditions::seconds;
use crate::resources::reasons::Reason;
use crate::store::routes::Route;
use crate::store::{FenceAction, LineRef, RouteState, StoreError};

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
    store.ensure_indexes().await?;
    let current = store.routes().get(&id).await?;
    let turn = match hand_over(current.as_ref(), &pass.spec.company, pass.ctx.clock.now()) {
        Ok(turn) => turn,
        Err(holder) => {
            let message = format!("the route of {number} belongs to {holder}: delete that ClientNumber first");
            let progress = Progress::stalled(Step::Route, Reason::DuplicateNumber, message);
            return Ok(Outcome::wait(progress, pass.ctx.policy.backoff(6)));
        }
    };
    let mut rng = {
        let mut shared = pass.ctx.rng.lock().unwrap_or_else(PoisonError::into_inner);
        StdRng::from_rng(&mut *shared)
    };
    let retention = retention_days(pass);
    let (_, database) = store.companies().ensure(&pass.spec.company, retention, pass.ctx.clock.now(), &mut rng).await?;
    let line = LineRef { phone_number_id: id.clone(), phone_number: number.clone() };
    if let Some((old, epoch)) = &turn.taken_from
        && let Some(old) = store.companies().open(old).await?
    {
        let mut appender = old.log().appender(pass.ctx.clock.clone());
        appender.append_fence(&line, FenceAction::Taken, *epoch, Instant::now() + APPEND_LIMIT).await?;
    }
    let mut appender = database.log().appender(pass.ctx.clock.clone());
    appender.append_fence(&line, FenceAction::Given, turn.epoch, Instant::now() + APPEND_LIMIT).await?;
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
        epoch_at: turn.epoch_at,
        state: RouteState::Pending,
        revision: 0,
        updated_at: pass.ctx.clock.now(),
    };
    let written = match store.routes().put(&wanted, current.as_ref().map(|r| r.revision)).await {
        Ok(written) => written,
        // A number that was deleted at Meta and comes again has a new id there; its old route leads nowhere.
        Err(StoreError::DuplicateNumber { held_by: Some(old), .. }) if old.state == RouteState::Disabled => {
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

/// Sets the state of this line's route, and records it. Does nothing if it is so already.
pub async fn set_state(pass: &mut Pass<'_>, state: RouteState, progress: &Progress) -> Result<(), StepError> {
    let Some(id) = phone_number_id(&pass.status().phone_number_id) else { return Ok(()) };
    let routes = pass.ctx.store.routes();
    let Some(current) = routes.get(&id).await? else { return Ok(()) };
    if current.uid != pass.spec.uid {
        // Another object's by now: not ours to change.
        return Ok(());
    }
    let route = if current.state == state {
        current
    } else {
        routes.set_state(&id, current.revision, state, pass.ctx.clock.now()).await?
    };
    let route = route_status(&route);
    if pass.status().route.as_ref() != Some(&route) {
        pass.save(progress, |status| status.route = Some(route)).await?;
    }
    Ok(())
}

/// Epoch of the line under its new or old company.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    epoch: i64,
    epoch_at: Option<Timestamp>,
    taken_from: Option<(CompanyId, i64)>,
}

/// Which epoch the line has with this company; `Err`: who holds it now.
fn hand_over(current: Option<&Route>, company: &CompanyId, now: Timestamp) -> Result<Turn, String> {
    let Some(route) = current else { return Ok(Turn { epoch: 1, epoch_at: None, taken_from: None }) };
    let disabled = route.state == RouteState::Disabled;
    if route.company_id == *company {
        return Ok(Turn { epoch: route.epoch, epoch_at: route.epoch_at, taken_from: None });
    }
    if !disabled {
        return Err(route.object.clone());
    }
    Ok(Turn {
        epoch: route.epoch + 1,
        epoch_at: Some(seconds(now).0),
        taken_from: Some((route.company_id.clone(), route.epoch)),
    })
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
    use crate::domain::{E164, WabaId};

    fn route(company: &str, uid: &str, state: RouteState, epoch: i64) -> Route {
        let now = "2026-11-01T10:00:00Z".parse().unwrap();
        Route {
            phone_number_id: "1".parse().unwrap(),
            phone_number: E164::parse("+212612345678").unwrap(),
            display_name: "n".into(),
            company_id: company.parse().unwrap(),
            waba_id: WabaId::parse("104").unwrap(),
            portfolio: "p/main".into(),
            object: "clients/old".into(),
            uid: uid.into(),
            epoch,
            epoch_at: None,
            state,
            revision: 4,
            updated_at: now,
        }
    }

    #[test]
    fn hand_overs() {
        let now: Timestamp = "2026-11-01T10:00:00.7Z".parse().unwrap();
        let atlas: CompanyId = "atlas".parse().unwrap();
        let run = |route: Option<&Route>| hand_over(route, &atlas, now);
        assert_eq!(run(None), Ok(Turn { epoch: 1, epoch_at: None, taken_from: None }));
        let mine = route("atlas", "u1", RouteState::Disabled, 3);
        assert_eq!(run(Some(&mine)).map(|t| t.epoch), Ok(3), "the same company again: the same epoch");
        let theirs = route("rif", "u1", RouteState::Active, 1);
        assert_eq!(run(Some(&theirs)), Err("clients/old".into()));
        let left = route("rif", "u1", RouteState::Disabled, 1);
        assert_eq!(
            run(Some(&left)),
            Ok(Turn {
                epoch: 2,
                epoch_at: Some("2026-11-01T10:00:00Z".parse().unwrap()),
                taken_from: Some(("rif".parse().unwrap(), 1))
            })
        );
    }
}
