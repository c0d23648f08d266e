//! The state of a route that is there: whose the route is, and setting it. Pure but for `set`.
//!
//! A route names its object and that object's uid. A backup that is restored gives the same object another uid: a route of
//! this company and of this name is this line's all the same, since no two objects share a name, and it is taken over with
//! the write. Must never change a route that is another object's, and never bring a disabled one back to draining.

use kube::ResourceExt;

use super::super::StepError;
use crate::controller::context::{Context, name_of};
use crate::domain::{E164, NamespacedName, PhoneNumberId};
use crate::resources::ClientNumber;
use crate::store::RouteState;
use crate::store::routes::Route;
use kube::Api;

/// The object that a route may belong to.
pub struct Owner {
    uid: String,
    object: String,
    company: String,
}

impl Owner {
    /// A line, whatever its spec says besides.
    pub fn of(line: &ClientNumber) -> Self {
        Self {
            uid: line.uid().unwrap_or_default(),
            object: name_of(&line.metadata).to_string(),
            company: line.spec.company_id.clone(),
        }
    }
}

/// Whose a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// This object's.
    Ours,
    /// This object's, under the uid that it had before it was restored.
    OursBefore,
    /// Another object's.
    Anothers,
}

fn whose(route: &Route, owner: &Owner) -> Whose {
    if route.uid == owner.uid {
        Whose::Ours
    } else if route.object == owner.object && route.company_id.as_str() == owner.company {
        Whose::OursBefore
    } else {
        Whose::Anothers
    }
}

/// Whose the route of a line's number is.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// The line's own, which is not out of service.
    Ours,
    /// The same, under the uid that the line had before it was restored.
    OursBefore,
    /// Another object's, which is not out of service.
    Anothers(Box<Route>),
    /// Nobody's: there is none, or one that is out of service.
    Nobodys,
}

/// Whose a route is that was read.
pub fn held(route: Option<Route>, owner: &Owner) -> Held {
    let Some(route) = route.filter(|route| route.state != RouteState::Disabled) else { return Held::Nobodys };
    match whose(&route, owner) {
        Whose::Ours => Held::Ours,
        Whose::OursBefore => Held::OursBefore,
        Whose::Anothers => Held::Anothers(Box::new(route)),
    }
}

/// Whether the object that a route names is there, asked of the API server: a watch may be a moment behind. None: it is in a
/// namespace that this process does not look into.
pub async fn object_exists(ctx: &Context, route: &Route) -> Result<Option<bool>, StepError> {
    let Ok(name) = route.object.parse::<NamespacedName>() else { return Ok(Some(false)) };
    if !ctx.namespaces.is_empty() && !ctx.namespaces.contains(&name.namespace) {
        return Ok(None);
    }
    let api: Api<ClientNumber> = Api::namespaced(ctx.client.clone(), &name.namespace);
    let live = api.get_opt(&name.name).await?;
    Ok(Some(live.is_some_and(|live| whose(route, &Owner::of(&live)) != Whose::Anothers)))
}

/// Whether a route leads to the object. One that a namesake left when it was deleted is disabled: it leads nowhere.
pub fn leads_to(route: &Route, owner: &Owner) -> bool {
    match whose(route, owner) {
        Whose::Ours => true,
        Whose::OursBefore => route.state != RouteState::Disabled,
        Whose::Anothers => false,
    }
}

/// What becomes of a state. What is out of service drains no more: each write would be followed by another pass.
fn next(now: RouteState, wanted: RouteState) -> RouteState {
    if now == RouteState::Disabled && wanted == RouteState::Draining { now } else { wanted }
}

/// The route of a number, found by its id or, where that is not known, by the number.
pub async fn find(
    ctx: &Context,
    id: Option<&PhoneNumberId>,
    number: Option<&E164>,
) -> Result<Option<Route>, StepError> {
    let routes = ctx.store.routes();
    Ok(match (id, number) {
        (Some(id), _) => routes.get(id).await?,
        (None, Some(number)) => routes.by_phone_number(number).await?,
        (None, None) => None,
    })
}

/// Sets the state of the line's route, found by its id or, where that is not known, by the number. None: there is no route
/// of this line, so nothing was set.
pub async fn set(
    ctx: &Context,
    owner: &Owner,
    id: Option<&PhoneNumberId>,
    number: Option<&E164>,
    wanted: RouteState,
) -> Result<Option<Route>, StepError> {
    let routes = ctx.store.routes();
    let Some(current) = find(ctx, id, number).await? else { return Ok(None) };
    let (whose, state) = (whose(&current, owner), next(current.state, wanted));
    if whose == Whose::Anothers {
        return Ok(None);
    }
    if whose == Whose::Ours && state == current.state {
        return Ok(Some(current));
    }
    super::still_leads(ctx)?;
    let (now, revision) = (ctx.clock.now(), current.revision);
    Ok(Some(match whose {
        Whose::Ours => routes.set_state(&current.phone_number_id, revision, state, now).await?,
        _ => {
            let taken = Route { uid: owner.uid.clone(), state, updated_at: now, ..current };
            routes.put(&taken, Some(revision)).await?
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_route_is() {
        let route = Route { uid: "u1".into(), ..Route::example() };
        for (uid, object, company, want) in [
            ("u1", "clients/atlas", "atlas", Whose::Ours),
            ("u2", "clients/atlas", "atlas", Whose::OursBefore),
            ("u2", "clients/atlas", "rif", Whose::Anothers),
            ("u2", "clients/casa", "atlas", Whose::Anothers),
        ] {
            let owner = Owner { uid: uid.into(), object: object.into(), company: company.into() };
            assert_eq!(whose(&route, &owner), want, "{uid} {object} {company}");
            for state in [RouteState::Pending, RouteState::Active, RouteState::Draining, RouteState::Disabled] {
                let route = Route { state, ..route.clone() };
                let expected = match (state, want) {
                    (RouteState::Disabled, _) => Held::Nobodys,
                    (_, Whose::Ours) => Held::Ours,
                    (_, Whose::OursBefore) => Held::OursBefore,
                    (_, Whose::Anothers) => Held::Anothers(Box::new(route.clone())),
                };
                assert_eq!(held(Some(route), &owner), expected, "{uid} {object} {company} {state:?}");
            }
            assert_eq!(held(None, &owner), Held::Nobodys);
            assert_eq!(leads_to(&route, &owner), want != Whose::Anothers, "{uid} {object} {company}");
            let left = Route { state: RouteState::Disabled, ..route.clone() };
            assert_eq!(leads_to(&left, &owner), want == Whose::Ours, "{uid} {object} {company}, disabled");
        }
    }

    #[test]
    fn what_is_disabled_drains_no_more() {
        use RouteState::{Active, Disabled, Draining, Pending};
        for (now, wanted, want) in [
            (Active, Draining, Draining),
            (Pending, Draining, Draining),
            (Disabled, Draining, Disabled),
            (Draining, Disabled, Disabled),
            (Disabled, Active, Active),
        ] {
            assert_eq!(next(now, wanted), want, "{now:?} {wanted:?}");
        }
    }
}
