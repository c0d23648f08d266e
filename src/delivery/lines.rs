//! The lines that a recruiter sees: those of the own company, without disabled ones. Whoever holds the routes
//! implements [`Lines`]; the delivery never looks at another company's.

use serde::Serialize;
use tokio::sync::watch;

use crate::domain::CompanyId;
use crate::router::RouteTable;
use crate::store::{Route, RouteState};

/// One line in `welcome` and `lines`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineView {
    /// Meta's id.
    pub phone_number_id: String,
    /// The number.
    pub phone_number: String,
    /// The name that candidates see.
    pub display_name: String,
    /// `pending`, `active` or `draining`.
    pub state: &'static str,
}

/// Where lines come from.
pub trait Lines: Send + Sync + 'static {
    /// The routes of a company, in any order.
    fn of(&self, company: &CompanyId) -> Vec<Route>;
    /// Changes with every change of any route.
    fn changes(&self) -> watch::Receiver<u64>;
}

impl Lines for RouteTable {
    fn of(&self, company: &CompanyId) -> Vec<Route> {
        self.lines_of(company).iter().map(|route| Route::clone(route)).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.subscribe()
    }
}

/// What clients are told, in a stable order.
pub fn view(mut routes: Vec<Route>, company: &CompanyId) -> Vec<LineView> {
    // The second check costs nothing and keeps a mistake elsewhere from becoming a leak.
    routes.retain(|route| route.company_id == *company && route.state != RouteState::Disabled);
    routes.sort_by(|a, b| a.phone_number_id.cmp(&b.phone_number_id));
    routes
        .into_iter()
        .map(|route| LineView {
            phone_number_id: route.phone_number_id.to_string(),
            phone_number: route.phone_number.to_string(),
            display_name: route.display_name,
            state: route.state.as_str(),
        })
        .collect()
}
