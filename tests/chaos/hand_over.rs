//! A line changes hands while messages for it arrive: the writes of the controller, in its order, and the controller's own
//! decision about the epoch. What fails because the store is away begins anew, as a pass of the controller does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clientnumber::domain::{SystemClock, WabaId};
use clientnumber::line::turn::{self, Turn};
use clientnumber::store::{FenceAction, LineRef, Route, RouteState, Store, StoreError};
use jiff::Timestamp;

use super::bed::Company;
use super::book::HandOver;

const PASS: Duration = Duration::from_secs(5);
const ALL: Duration = Duration::from_secs(60);

/// Takes the line from one company and gives it to the other.
pub async fn hand_over(store: &Store, from: &Company, to: &Company, line: &LineRef) -> Result<HandOver> {
    let begun = Instant::now();
    while begun.elapsed() < ALL {
        match pass(store, from, to, line).await {
            Ok(route) => {
                let epoch_at = route.epoch_at.context("a line that changed hands has a start")?;
                return Ok(HandOver { begun, epoch_at: epoch_at.as_second() });
            }
            Err(error) if error.is_transient() => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the line could not be handed over in {ALL:?}")
}

async fn pass(store: &Store, from: &Company, to: &Company, line: &LineRef) -> Result<Route, StoreError> {
    let (routes, id) = (store.routes(), &line.phone_number_id);
    let mut current = routes.get(id).await?;
    // The former owner's ClientNumber is deleted.
    for state in [RouteState::Draining, RouteState::Disabled] {
        if let Some(route) = current.as_ref().filter(|route| route.company_id == from.id)
            && route.state != RouteState::Disabled
        {
            current = Some(routes.set_state(id, route.revision, state, Timestamp::now()).await?);
        }
    }
    // The new owner's is created.
    let mut route = match current {
        Some(route) if route.company_id == to.id => route,
        current => {
            let known = to.db.log().fences().await?.line(id);
            let Turn { epoch, since, taken_from } = turn::hand_over(current.as_ref(), known, &to.id);
            let mut newest = None;
            if let Some((_, epoch)) = taken_from {
                fence(from, line, FenceAction::Taken, epoch).await?;
                newest = from.db.log().newest_message(id).await?;
            }
            fence(to, line, FenceAction::Given, epoch).await?;
            let now = Timestamp::now();
            let wanted = Route {
                phone_number_id: id.clone(),
                phone_number: line.phone_number.clone(),
                display_name: format!("{} by Recruto", to.id),
                company_id: to.id.clone(),
                waba_id: WabaId::parse("104").map_err(|_| StoreError::TimedOut)?,
                portfolio: "platform/main".into(),
                object: format!("clients/{}-again", to.id),
                uid: format!("uid-{}-again", to.id),
                epoch,
                epoch_at: since.epoch_at(now, newest),
                state: RouteState::Pending,
                revision: 0,
                updated_at: now,
            };
            routes.put(&wanted, current.map(|route| route.revision)).await?
        }
    };
    if route.state == RouteState::Pending {
        route = routes.set_state(id, route.revision, RouteState::Active, Timestamp::now()).await?;
    }
    Ok(route)
}

async fn fence(company: &Company, line: &LineRef, action: FenceAction, epoch: i64) -> Result<(), StoreError> {
    let mut appender = company.db.log().appender(Arc::new(SystemClock));
    let deadline = tokio::time::Instant::now() + PASS;
    appender.append_fence(line, action, epoch, deadline).await.map(|_| ())
}
