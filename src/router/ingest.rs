//! Each part of a webhook to its place: the log of the company that the line's route names, the account events, or the
//! quarantine. It answers when all of it is durable.
//!
//! The company comes from the route alone. There is no default company and no second way to find one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;

use crate::domain::{CompanyId, PhoneNumberId, SharedClock};
use crate::store::account_events::AccountEvent;
use crate::store::{
    Accounts, Extent, Kind, LineRef, NewEntry, Outcome, Piece, Quarantine, QuarantineKeys, QuarantineReason, Refused,
    Route, Signer, Store,
};

use super::admit::{self, Age};
use super::append::{OnAppend, Writers};
use super::aside::Aside;
use super::metrics::Metrics;
use super::portfolios::{Portfolios, Signed};
use super::routes::{Looked, RouteTable};
use super::split::{Change, Content, Item};

/// Why a POST can't be taken now. These, and a full server, are all that 503 ever means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store is away or too slow")]
pub struct StoreAway;

/// A line's activity is noted at most this often by each replica.
const ACTIVITY: Duration = Duration::from_secs(30);

struct Shared {
    store: Store,
    aside: Aside,
    portfolios: Portfolios,
    routes: RouteTable,
    writers: Writers,
    metrics: Metrics,
    clock: SharedClock,
    noted: Mutex<HashMap<PhoneNumberId, Instant>>,
}

/// The ingest. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

/// Items of one company, with the index of the change that each came in.
type Batch = Vec<(usize, NewEntry)>;

/// Where the changes of a POST go; None is "stored", a reason is "quarantine".
struct Places(Vec<Option<QuarantineReason>>);

impl Places {
    /// Several reasons can apply to one change: what may go to the company later comes first, since a replay judges the
    /// rest again.
    fn refuse(&mut self, index: usize, reason: QuarantineReason) {
        if let Some(place) = self.0.get_mut(index)
            && place.is_none_or(|known| rank(reason) < rank(known))
        {
            *place = Some(reason);
        }
    }
}

fn rank(reason: QuarantineReason) -> u8 {
    match reason {
        QuarantineReason::UnknownNumber => 0,
        QuarantineReason::Disabled => 1,
        QuarantineReason::NotHeld => 2,
        QuarantineReason::NotWritable => 3,
        QuarantineReason::TooOld => 4,
        QuarantineReason::BeforeEpoch => 5,
        QuarantineReason::UnknownMessage => 6,
        QuarantineReason::ForeignAccount => 7,
        QuarantineReason::Malformed => 8,
    }
}

impl Ingest {
    /// Over a store, its routes, the quarantine's keys, and the secrets that may have signed what is in it.
    pub fn new(
        store: Store,
        keys: QuarantineKeys,
        portfolios: Portfolios,
        routes: RouteTable,
        metrics: Metrics,
        clock: SharedClock,
        on_append: OnAppend,
    ) -> Self {
        let writers = Writers::new(store.clone(), Arc::clone(&clock), metrics.clone(), on_append);
        let aside = Aside::new(store.account_events(), store.quarantine(keys), metrics.clone());
        let noted = Mutex::default();
        Self { shared: Arc::new(Shared { store, aside, portfolios, routes, writers, metrics, clock, noted }) }
    }

    /// How old what comes now may be.
    pub fn recent(&self) -> Age {
        Age::Recent(self.shared.clock.now())
    }

    /// The quarantine that this ingest writes.
    pub fn quarantine(&self) -> &Quarantine {
        self.shared.aside.quarantine()
    }

    /// Who may have signed what is in quarantine.
    pub fn portfolios(&self) -> &Portfolios {
        &self.shared.portfolios
    }

    /// The routes that it routes by.
    pub fn routes(&self) -> &RouteTable {
        &self.shared.routes
    }

    /// Takes a POST's changes. Ok means that all of it is durable somewhere.
    pub async fn take(&self, changes: Vec<Change>, signed: &Signed) -> Result<(), StoreAway> {
        let now = self.shared.clock.now();
        let (placed, result) = self.place(&changes, &signed.accounts, Age::Recent(now)).await;
        self.note_activity(&changes, &placed, now);
        let put = self.shared.aside.put_away(&changes, &placed, Some(&signed.signer), now).await;
        result.and(put)
    }

    /// Keeps a body whole on which the program failed.
    pub async fn put_whole(&self, text: &str, signer: &Signer) -> Result<(), StoreAway> {
        let (reason, at) = (QuarantineReason::Malformed, self.shared.clock.now());
        let (extent, entry_id, line, signer, place) = (Extent::Body, "", None, Some(signer), 0);
        let entry_time = None;
        self.shared.aside.put(&Piece { extent, entry_id, entry_time, text, reason, line, signer, at, place }).await
    }

    /// Puts what has no place away by itself: parts of what was kept whole until a later version understood it.
    pub async fn put_parts(
        &self,
        changes: &[Change],
        placed: &[Option<QuarantineReason>],
        signer: Option<&Signer>,
        at: Timestamp,
    ) -> Result<(), StoreAway> {
        self.shared.aside.put_away(changes, placed, signer, at).await
    }

    /// Finds each change's place and writes what goes to a company or to the account events. The rest is for the
    /// caller: a reason is "quarantine". The result says whether all that was written is durable.
    pub async fn place(
        &self,
        changes: &[Change],
        accounts: &Accounts,
        age: Age,
    ) -> (Vec<Option<QuarantineReason>>, Result<(), StoreAway>) {
        let mut places = Places(vec![None; changes.len()]);
        let mut batches: HashMap<CompanyId, Batch> = HashMap::new();
        let mut order: Vec<CompanyId> = Vec::new();
        let mut result = Ok(());
        let mut events = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            match &change.content {
                Content::Malformed => places.refuse(index, QuarantineReason::Malformed),
                _ if !accounts.allows(&change.entry_id) => places.refuse(index, QuarantineReason::ForeignAccount),
                Content::Account { field, value } => {
                    let at = self.shared.clock.now();
                    let event = AccountEvent::new(&change.entry_id, field, change.entry_time, value, at);
                    events.push((index, event));
                }
                Content::Line { phone_number_id, items, remainder } => {
                    if *remainder {
                        places.refuse(index, QuarantineReason::Malformed);
                    }
                    let Ok(route) = self.look_up(phone_number_id).await else {
                        result = Err(StoreAway);
                        continue;
                    };
                    match route {
                        Err(reason) => {
                            items.iter().for_each(|item| self.count(item.kind, "quarantine"));
                            places.refuse(index, reason);
                        }
                        // Whoever has one account's secret could else write to the lines of all others.
                        Ok(route) if !accounts.allows(route.waba_id.as_str()) => {
                            items.iter().for_each(|item| self.count(item.kind, "quarantine"));
                            places.refuse(index, QuarantineReason::ForeignAccount);
                        }
                        Ok(route) => {
                            let batch = batches.entry(route.company_id.clone()).or_insert_with(|| {
                                order.push(route.company_id.clone());
                                Vec::new()
                            });
                            for item in items {
                                match admit::refuse(item, &route, age) {
                                    Some(reason) => {
                                        self.count(item.kind, "quarantine");
                                        places.refuse(index, reason);
                                    }
                                    None => batch.push((index, entry(item.clone(), &route))),
                                }
                            }
                        }
                    }
                }
            }
        }
        let batches = order.into_iter().filter_map(|company| {
            let batch = batches.remove(&company).filter(|batch| !batch.is_empty())?;
            Some(self.append(company, batch))
        });
        let (appended, written) = futures::join!(join_all(batches), self.shared.aside.write(events));
        for (index, written) in written {
            match written {
                Ok(()) => {}
                Err(error) if error.is_transient() => result = Err(StoreAway),
                Err(_) => places.refuse(index, QuarantineReason::NotWritable),
            }
        }
        for refused in appended {
            match refused {
                Ok(refused) => refused.into_iter().for_each(|(index, reason)| places.refuse(index, reason)),
                Err(away) => result = Err(away),
            }
        }
        (places.0, result)
    }

    async fn look_up(&self, line: &PhoneNumberId) -> Result<Result<Arc<Route>, QuarantineReason>, StoreAway> {
        let found = self.shared.routes.find(line).await;
        self.shared.metrics.lookup(match &found {
            Ok(Looked { route: Some(_), asked: false }) => "hit",
            Ok(Looked { route: Some(_), asked: true }) => "miss",
            Ok(Looked { route: None, .. }) => "unknown",
            Err(_) => "stale",
        });
        match found {
            Err(_) => Err(StoreAway),
            Ok(Looked { route: None, .. }) => Ok(Err(QuarantineReason::UnknownNumber)),
            Ok(Looked { route: Some(route), .. }) if !route.state.accepts() => Ok(Err(QuarantineReason::Disabled)),
            Ok(Looked { route: Some(route), .. }) => Ok(Ok(route)),
        }
    }

    /// Appends a company's items; the answer holds those that its log did not take.
    async fn append(&self, company: CompanyId, batch: Batch) -> Result<Vec<(usize, QuarantineReason)>, StoreAway> {
        let (origins, items): (Vec<(usize, Kind)>, Vec<NewEntry>) =
            batch.into_iter().map(|(index, item)| ((index, item.kind), item)).unzip();
        let (began, count) = (Instant::now(), items.len());
        let outcomes = self.shared.writers.append(&company, items).await.map_err(|why| {
            tracing::debug!(company = company.as_str(), items = count, %why, "not appended");
            StoreAway
        })?;
        let stored = || outcomes.iter().filter_map(|o| if let Outcome::Stored(seq) = o { Some(*seq) } else { None });
        tracing::debug!(
            company = company.as_str(),
            items = count,
            stored = stored().count(),
            duplicate = outcomes.iter().filter(|o| **o == Outcome::Duplicate).count(),
            first_seq = stored().min(),
            last_seq = stored().max(),
            ms = began.elapsed().as_millis(),
            "appended"
        );
        let mut refused = Vec::new();
        for ((index, kind), outcome) in origins.into_iter().zip(outcomes) {
            let reason = match outcome {
                Outcome::Stored(_) => {
                    self.count(kind, "stored");
                    continue;
                }
                Outcome::Duplicate => {
                    self.count(kind, "duplicate");
                    continue;
                }
                Outcome::Refused(Refused::UnknownMessage) => QuarantineReason::UnknownMessage,
                Outcome::Refused(Refused::Closed | Refused::NotHeld | Refused::StaleEpoch) => QuarantineReason::NotHeld,
                Outcome::Unwritable(why) => {
                    tracing::error!(company = company.as_str(), why, "an item can't be written and goes to quarantine");
                    QuarantineReason::NotWritable
                }
            };
            self.count(kind, "quarantine");
            refused.push((index, reason));
        }
        Ok(refused)
    }

    /// Notes when each line was heard of, in the background: it is worth no one's waiting. Only lines that have a route
    /// and the right account, or anything that is signed could make another account's line look alive.
    fn note_activity(&self, changes: &[Change], placed: &[Option<QuarantineReason>], now: Timestamp) {
        let mut lines = HashSet::new();
        {
            let mut noted = self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner);
            let ours = |reason: &Option<QuarantineReason>| {
                !matches!(reason, Some(QuarantineReason::UnknownNumber | QuarantineReason::ForeignAccount))
            };
            for (change, _) in changes.iter().zip(placed).filter(|(_, reason)| ours(reason)) {
                if let Content::Line { phone_number_id, .. } = &change.content
                    && noted.get(phone_number_id).is_none_or(|at| at.elapsed() > ACTIVITY)
                {
                    noted.insert(phone_number_id.clone(), Instant::now());
                    lines.insert(phone_number_id.clone());
                }
            }
        }
        if lines.is_empty() {
            return;
        }
        let activity = self.shared.store.line_activity();
        tokio::spawn(async move {
            for line in lines {
                if let Err(error) = activity.touch(&line, now).await {
                    tracing::debug!(%error, "a line's activity was not noted");
                }
            }
        });
    }

    fn count(&self, kind: Kind, result: &'static str) {
        self.shared.metrics.item(kind.as_str(), result);
    }
}

fn entry(item: Item, route: &Route) -> NewEntry {
    let line = LineRef { phone_number_id: route.phone_number_id.clone(), phone_number: route.phone_number.clone() };
    item.into_entry(line, route.epoch, route.epoch_at.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::split;

    fn route(epoch_at: Option<&str>) -> Route {
        Route { epoch: 2, epoch_at: epoch_at.map(|at| at.parse().unwrap()), ..Route::example() }
    }

    fn item(kind: &str, timestamp: &str) -> Item {
        let list = if kind == "status" { "statuses" } else { "messages" };
        let value = format!(
            r#"{{"metadata":{{"phone_number_id":"1"}},"{list}":[{{"id":"w","status":"read","timestamp":{timestamp}}}]}}"#
        );
        let change = split::change("104", None, &format!(r#"{{"field":"messages","value":{value}}}"#));
        let Content::Line { mut items, .. } = change.content else { panic!() };
        items.remove(0)
    }

    #[test]
    fn statuses_of_a_line_that_changed_hands_need_their_message() {
        let moved = Some("1970-01-01T00:01:40Z");
        assert!(entry(item("status", "\"99\""), &route(moved)).about_required);
        assert!(!entry(item("status", "\"99\""), &route(None)).about_required);
        assert!(!entry(item("message", "\"100\""), &route(moved)).about_required);
    }

    #[test]
    fn what_may_go_on_later_is_the_reason_that_stays() {
        let mut places = Places(vec![None]);
        places.refuse(0, QuarantineReason::Malformed);
        places.refuse(0, QuarantineReason::NotHeld);
        places.refuse(0, QuarantineReason::TooOld);
        places.refuse(0, QuarantineReason::BeforeEpoch);
        places.refuse(7, QuarantineReason::BeforeEpoch);
        assert_eq!(places.0, [Some(QuarantineReason::NotHeld)]);
    }
}
