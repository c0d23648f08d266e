//! Step 4, route: the company's database, log and fence first, then the route as `pending`, then read back.
//!
//! A line that another company had before changes hands here: fence "taken" in the old log, fence "given" in the new one
//! with the next epoch, so that no replica with a stale route can write past it, and nothing that a candidate wrote before
//! reaches the new company. Must never take a route that is not disabled from another company.

mod state;

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
use crate::controller::context::Context;
use crate::domain::{CompanyId, E164, PhoneNumberId};
use crate::resources::ClientNumber;
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
    still_leads(pass.ctx)?;
    store.ensure_indexes().await?;
    let current = store.routes().get(&id).await?;
    if let Some(holder) = held_by_another(current.as_ref(), &pass.spec.company) {
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
    let turn = hand_over(current.as_ref(), known, &pass.spec.company, pass.ctx.clock.now());
    if let Some((old, epoch)) = &turn.taken_from
        && let Some(old) = store.companies().open(old).await?
    {
        still_leads(pass.ctx)?;
        let mut appender = old.log().appender(pass.ctx.clock.clone());
        appender.append_fence(&line, FenceAction::Taken, *epoch, Instant::now() + APPEND_LIMIT).await?;
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
        epoch_at: turn.epoch_at,
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

/// Epoch of the line under its new or old company.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    epoch: i64,
    epoch_at: Option<Timestamp>,
    taken_from: Option<(CompanyId, i64)>,
}

/// Who holds the line's route, if it is another company's and not disabled.
fn held_by_another(current: Option<&Route>, company: &CompanyId) -> Option<String> {
    let route = current.filter(|route| route.company_id != *company && route.state != RouteState::Disabled)?;
    Some(route.object.clone())
}

/// Which epoch the line has with this company. `known` is the line's last fence in the company's own log.
///
/// The route says who has the line; the log may know more: that a hand-over to another company was begun and given up
/// (its fence "taken" stands, and what this epoch brings is refused), or that ours was begun before (its fence "given"
/// stands, and is the one to go on with). An epoch that was taken is never given again.
fn hand_over(current: Option<&Route>, known: Option<(i64, FenceAction)>, company: &CompanyId, now: Timestamp) -> Turn {
    let last = current.map_or(0, |route| route.epoch);
    let same = current.is_none_or(|route| route.company_id == *company);
    let least = if same { last.max(1) } else { last + 1 };
    let epoch = match known {
        Some((epoch, FenceAction::Given)) => epoch.max(least),
        Some((epoch, FenceAction::Taken)) => (epoch + 1).max(least),
        None => least,
    };
    let epoch_at = match current {
        // Nobody else has had the line since: what candidates wrote meanwhile is this company's.
        Some(route) if same => route.epoch_at,
        None if epoch == 1 => None,
        _ => Some(seconds(now).0),
    };
    let taken_from = current.filter(|_| !same).map(|route| (route.company_id.clone(), route.epoch));
    Turn { epoch, epoch_at, taken_from }
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
        use FenceAction::{Given, Taken};
        let now: Timestamp = "2026-11-01T10:00:00.7Z".parse().unwrap();
        let now_whole: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        let before: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
        let atlas: CompanyId = "atlas".parse().unwrap();
        let disabled = |company: &str, epoch| route(company, "u1", RouteState::Disabled, epoch);
        let second = Route { epoch_at: Some(before), ..disabled("atlas", 2) };
        let rif = |epoch| Some((CompanyId::parse("rif").unwrap(), epoch));
        for (what, current, known, epoch, epoch_at, taken_from) in [
            ("a new line", None, None, 1, None, None),
            ("begun before, died before the route", None, Some((1, Given)), 1, None, None),
            ("the route is gone, the log remembers", None, Some((1, Taken)), 2, Some(now_whole), None),
            ("the same company again", Some(disabled("atlas", 3)), Some((3, Given)), 3, None, None),
            ("its log was restored without fences", Some(disabled("atlas", 3)), None, 3, None, None),
            ("keeps its start", Some(second.clone()), Some((2, Given)), 2, Some(before), None),
            ("a hand-over to another was given up", Some(disabled("atlas", 1)), Some((1, Taken)), 2, None, None),
            ("and its start is kept", Some(second), Some((2, Taken)), 3, Some(before), None),
            ("another company's before", Some(disabled("rif", 1)), None, 2, Some(now_whole), rif(1)),
            ("ours was begun before", Some(disabled("rif", 1)), Some((2, Given)), 2, Some(now_whole), rif(1)),
            ("ours long ago, theirs since", Some(disabled("rif", 2)), Some((1, Taken)), 3, Some(now_whole), rif(2)),
            ("ours long ago, never fenced out", Some(disabled("rif", 2)), Some((2, Given)), 3, Some(now_whole), rif(2)),
        ] {
            let turn = hand_over(current.as_ref(), known, &atlas, now);
            assert_eq!(turn, Turn { epoch, epoch_at, taken_from }, "{what}");
        }
    }

    #[test]
    fn a_route_in_use_is_not_taken() {
        let atlas: CompanyId = "atlas".parse().unwrap();
        for (company, state, want) in [
            ("rif", RouteState::Active, Some("clients/old")),
            ("rif", RouteState::Pending, Some("clients/old")),
            ("rif", RouteState::Draining, Some("clients/old")),
            ("rif", RouteState::Disabled, None),
            ("atlas", RouteState::Active, None),
        ] {
            let found = held_by_another(Some(&route(company, "u1", state, 1)), &atlas);
            assert_eq!(found.as_deref(), want, "{company} {state:?}");
        }
        assert_eq!(held_by_another(None, &atlas), None);
    }
}
