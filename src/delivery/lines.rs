//! The lines that a recruiter sees: those of the own company, without disabled ones. Whoever holds the routes
//! implements [`Lines`]; the delivery never looks at another company's.

use serde::Serialize;
use tokio::sync::watch;

use super::settings::AGAIN;
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

/// Tells of every change of the list, for as long as it is polled. `told` is what the client knows already. A list that it
/// could not be told (`tell` says false) is told again until it could, or the client would show an old one until the next
/// change, which may never come.
pub async fn follow(
    mut told: Vec<LineView>,
    mut changes: watch::Receiver<u64>,
    list: impl Fn() -> Vec<LineView>,
    tell: impl Fn(&[LineView]) -> bool,
) {
    while changes.changed().await.is_ok() {
        loop {
            let now = list();
            if now == told || tell(&now) {
                told = now;
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use super::*;

    fn line(name: &str) -> LineView {
        LineView {
            phone_number_id: "101".into(),
            phone_number: "+212612345678".into(),
            display_name: name.into(),
            state: "active",
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_a_full_buffer_did_not_take_is_told_again() {
        let (changed, changes) = watch::channel(0);
        let (list, full, told) = (RefCell::new(vec![line("old")]), Cell::new(true), RefCell::new(Vec::new()));
        let tell = |lines: &[LineView]| {
            if !full.get() {
                told.borrow_mut().push(lines[0].display_name.clone());
            }
            !full.get()
        };
        let follow = follow(list.borrow().clone(), changes, || list.borrow().clone(), tell);
        let story = async {
            // The table changed, but not this company's part of it.
            changed.send_replace(1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            list.replace(vec![line("new")]);
            changed.send_replace(2);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(told.borrow().is_empty());
            // No change any more: room alone is enough.
            full.set(false);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(*told.borrow(), ["new"]);
            drop(changed);
        };
        tokio::join!(follow, story);
        assert_eq!(*told.borrow(), ["new"], "told once");
    }
}
