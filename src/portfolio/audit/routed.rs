//! Meta's list and the routing table, held against each other and against the lines: registered and routed nowhere, routed
//! and not registered, routed by an object that is gone, and slots that no line uses.

use std::collections::HashMap;

use super::holders::{Holder, Holders};
use super::{Draft, Fold, words};
use crate::portfolio::observed::Presence;
use crate::providers::meta::{NumberStatus, PhoneNumber};
use crate::resources::finding::FindingKind;
use crate::store::{Route, RouteState};

impl Fold<'_> {
    /// In the WhatsApp Business Account: in service and routed nowhere, or out of service and used by no line. Of a number
    /// whose state Meta does not tell, or tells in a word that is not known, nothing is said: what a finding calls useless a
    /// person deletes, and it may be another system's.
    pub(super) fn at_meta(&mut self) {
        let (unrouted, unused) = (FindingKind::NotRouted, FindingKind::AwaitingManualDeletion);
        let complete = self.evidence.observed.as_ref().and_then(|o| o.meta.as_ref()).is_none_or(|seen| seen.complete());
        let Some(listed) = self.evidence.meta.clone().filter(|_| complete) else {
            self.leave_all(unrouted);
            return self.leave_all(unused);
        };
        if self.evidence.routes.is_none() {
            self.leave_all(unrouted);
        }
        let routed: Option<HashMap<&str, RouteState>> = self
            .evidence
            .routes
            .as_ref()
            .map(|all| all.iter().map(|r| (r.phone_number_id.as_str(), r.state)).collect());
        let kept: HashMap<&str, &str> =
            self.known.retained.iter().map(|r| (r.phone_number.as_str(), r.company_id.as_str())).collect();
        for entry in listed.iter() {
            let id = entry.id.as_str();
            let by_id = self.known.lines.holder_of_id(id).or(self.evidence.then.holder_of_id(id));
            let number = entry.number().map(|n| n.to_string());
            let number = number.or_else(|| entry.display_phone_number.clone()).unwrap_or_else(|| id.to_owned());
            if self.in_transit(&number) || (by_id.is_some() && self.settled_by_id(id).is_none()) {
                self.leave(unrouted, &number);
                self.leave(unused, &number);
                continue;
            }
            let line = self.settled(&number).or(self.settled_by_id(id)).cloned();
            let state = routed.as_ref().map(|routed| routed.get(id).copied());
            let draft = |message: String| Draft {
                id: Some(id.to_owned()),
                company: line
                    .as_ref()
                    .map(|l| l.company.clone())
                    .or(kept.get(number.as_str()).map(|c| (*c).to_owned())),
                reference: None,
                message,
            };
            if is_in_service(entry) && state.is_some_and(|state| !state.is_some_and(RouteState::accepts)) {
                let object = line.as_ref().map(|line| line.object.as_str());
                let draft = draft(words::not_routed(object, state.flatten().is_some()));
                self.put(unrouted, &number, draft);
            } else if is_out_of_service(entry) && line.is_none() {
                let draft = draft(words::unused(kept.get(number.as_str()).copied()));
                self.put(unused, &number, draft);
            } else if !is_in_service(entry) && line.is_none() {
                self.leave(unrouted, &number);
                self.leave(unused, &number);
            }
        }
    }

    fn settled_by_id(&self, id: &str) -> Option<&Holder> {
        let (then, now) = (self.evidence.then.holder_of_id(id)?, self.known.lines.holder_of_id(id)?);
        (then.settled && now.settled && then.uid == now.uid).then_some(now)
    }

    /// Routed to a company: by an object that is gone, or to a line that Meta does not have connected.
    pub(super) fn routed(&mut self) {
        let (gone, unregistered) = (FindingKind::RouteWithoutLine, FindingKind::NotRegistered);
        let Some(routes) = &self.evidence.routes else {
            self.leave_all(gone);
            return self.leave_all(unregistered);
        };
        let meta = self.evidence.observed.as_ref().and_then(|o| o.meta.as_ref());
        // Another cluster's Portfolio of the same name has another account.
        let ours = |route: &&Route| {
            route.portfolio == self.known.portfolio
                && route.waba_id.as_str() == self.known.waba
                && route.state.accepts()
        };
        for route in routes.iter().filter(ours) {
            let (id, number) = (route.phone_number_id.as_str(), route.phone_number.as_str());
            let draft = |message: String| Draft {
                id: Some(id.to_owned()),
                company: Some(route.company_id.to_string()),
                reference: None,
                message,
            };
            let exists = |lines: &Holders| lines.has_object(&route.uid, &route.object, id);
            let line = self.settled_by_id(id).filter(|line| self.tells_of(line));
            let found = if !exists(self.known.lines) && !exists(&self.evidence.then) {
                (!self.in_transit(number))
                    .then(|| (gone, draft(words::without_line(&route.object, route.company_id.as_str()))))
            } else if let Some(line) = line.filter(|_| route.state == RouteState::Active) {
                match meta.map_or(Presence::Unknown, |seen| seen.of(id)) {
                    Presence::There(entry) if !is_out_of_service(entry) => continue,
                    Presence::Unknown => None,
                    _ => Some((unregistered, draft(words::not_registered(&line.object)))),
                }
            } else {
                None
            };
            match found {
                Some((kind, draft)) => {
                    self.found.insert((kind, number.to_owned()), draft);
                }
                None => self.open.extend([(gone, number.to_owned()), (unregistered, number.to_owned())]),
            }
        }
    }
}

/// Meta says so: what is written to the number arrives, if perhaps not all that is sent from it goes out.
fn is_in_service(entry: &PhoneNumber) -> bool {
    use NumberStatus::{Connected, Flagged, RateLimited, Restricted};
    matches!(entry.status, Some(Connected | Flagged | Restricted | RateLimited))
}

/// Meta says so; a state that it does not tell is none.
fn is_out_of_service(entry: &PhoneNumber) -> bool {
    use NumberStatus::{Banned, Deleted, Disconnected, Migrated, Pending, Unverified};
    matches!(entry.status, Some(Disconnected | Banned | Deleted | Migrated | Pending | Unverified))
}
