//! The router's copy of the routing table: whole, in memory, kept fresh by a change stream, or by reading all every two
//! seconds where there is none. A miss asks the store once and is remembered for a few seconds.
//!
//! No news for 30 s, also no "nothing changed", means that lines may have changed hands unseen: then nothing is routed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::{CompanyId, PhoneNumberId};
use crate::store::{Route, RouteChange, RouteState, Store, StoreError};
use crate::telemetry::Part;

/// Routes older than this are not used.
pub const FRESH: Duration = Duration::from_secs(30);
const MISS: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_secs(2);
const RELOAD: Duration = Duration::from_secs(60);
/// A store that answers at all does so sooner, also with "nothing changed". A connection on which nothing comes any more and
/// nothing breaks is left, well before the copy is stale.
const ANSWER: Duration = Duration::from_secs(8);
/// Misses remembered at most; they come from signed webhooks only, so this is a net and not a limit.
const MISSES: usize = 10_000;

/// The copy is too old to be used, or there is no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the routing table has not been heard of for 30 s: is MongoDB there?")]
pub struct RoutesStale;

/// What a look at the routing table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The line's route, if it has one.
    pub route: Option<Arc<Route>>,
    /// Whether the store was asked, since the copy knew nothing of it.
    pub asked: bool,
}

/// What the copy says without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Route(Arc<Route>),
    /// It was looked for a moment ago.
    Unknown,
    Ask,
    Stale,
}

#[derive(Default)]
struct Copy {
    routes: HashMap<PhoneNumberId, Arc<Route>>,
    misses: HashMap<PhoneNumberId, Instant>,
    news_at: Option<Instant>,
}

impl Copy {
    fn look_up(&self, id: &PhoneNumberId, now: Instant) -> Known {
        if !self.is_fresh(now) {
            return Known::Stale;
        }
        match (self.routes.get(id), self.misses.get(id)) {
            (Some(route), _) => Known::Route(Arc::clone(route)),
            (None, Some(at)) if now.saturating_duration_since(*at) < MISS => Known::Unknown,
            (None, _) => Known::Ask,
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.news_at.is_some_and(|at| now.saturating_duration_since(at) < FRESH)
    }

    fn insert(&mut self, route: Route) -> bool {
        self.misses.remove(&route.phone_number_id);
        // An answer that was on its way longer than another must not bring the old route back.
        match self.routes.get(&route.phone_number_id) {
            Some(known) if known.epoch > route.epoch => false,
            Some(known) if known.revision > route.revision && known.uid == route.uid => false,
            Some(known) if **known == route => false,
            _ => {
                self.routes.insert(route.phone_number_id.clone(), Arc::new(route));
                true
            }
        }
    }

    fn remember_miss(&mut self, id: &PhoneNumberId, now: Instant) {
        if self.misses.len() >= MISSES {
            self.misses.clear();
        }
        self.misses.insert(id.clone(), now);
    }
}

struct Shared {
    store: Option<Store>,
    copy: RwLock<Copy>,
    changed: watch::Sender<u64>,
}

/// The copy, shared by all that route. Cheap to clone.
#[derive(Clone)]
pub struct RouteTable {
    shared: Arc<Shared>,
}

impl RouteTable {
    /// An empty copy; [`RouteTable::run`] fills it. Without a store it stays stale.
    pub fn new(store: Option<Store>) -> Self {
        let changed = watch::Sender::new(0);
        Self { shared: Arc::new(Shared { store, copy: RwLock::default(), changed }) }
    }

    /// The route of a line.
    pub async fn find(&self, id: &PhoneNumberId) -> Result<Looked, RoutesStale> {
        let known = self.read(|copy| copy.look_up(id, Instant::now()));
        match known {
            Known::Route(route) => Ok(Looked { route: Some(route), asked: false }),
            Known::Unknown => Ok(Looked { route: None, asked: false }),
            Known::Stale => Err(RoutesStale),
            Known::Ask => Ok(Looked { route: self.ask(id).await?, asked: true }),
        }
    }

    async fn ask(&self, id: &PhoneNumberId) -> Result<Option<Arc<Route>>, RoutesStale> {
        let store = self.shared.store.as_ref().ok_or(RoutesStale)?;
        match store.routes().get(id).await {
            Ok(Some(route)) => {
                self.take_in(route);
                Ok(self.read(|copy| copy.routes.get(id).cloned()))
            }
            Ok(None) => {
                self.write(|copy| copy.remember_miss(id, Instant::now()));
                Ok(None)
            }
            Err(error) if error.is_transient() => Err(RoutesStale),
            Err(error) => {
                tracing::error!(%error, "a route can't be read; its messages go to quarantine");
                Ok(None)
            }
        }
    }

    /// All lines at work.
    pub fn active(&self) -> Vec<Arc<Route>> {
        self.read(|copy| copy.routes.values().filter(|route| route.state == RouteState::Active).cloned().collect())
    }

    /// A company's lines, without disabled ones, ordered by their id.
    pub fn lines_of(&self, company: &CompanyId) -> Vec<Arc<Route>> {
        let mut lines: Vec<_> = self.read(|copy| {
            let ours = |route: &&Arc<Route>| route.company_id == *company && route.state.accepts();
            copy.routes.values().filter(ours).cloned().collect()
        });
        lines.sort_by(|a, b| a.phone_number_id.cmp(&b.phone_number_id));
        lines
    }

    /// Changes whenever a route does.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Is the copy recent enough to route by?
    pub fn is_fresh(&self) -> bool {
        self.read(|copy| copy.is_fresh(Instant::now()))
    }

    /// Keeps the copy fresh until `stop`.
    pub async fn run(&self, part: Part, stop: CancellationToken) {
        let Some(store) = self.shared.store.clone() else {
            part.not_ready("there is no store: set MONGODB_URI");
            return;
        };
        let mut told = false;
        while !stop.is_cancelled() {
            let followed = tokio::select! {
                () = stop.cancelled() => return,
                followed = self.follow(&store, &part) => followed,
            };
            if let Err(error) = followed
                && !std::mem::replace(&mut told, true)
            {
                tracing::warn!(%error, "routes are read every two seconds until they can be followed again");
            }
            // Where there are no change streams this is how the copy is kept fresh.
            if let Err(error) = answered(self.reload(&store)).await
                && !self.is_fresh()
            {
                part.not_ready(format!("no news of the routes: {error}"));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn follow(&self, store: &Store, part: &Part) -> Result<(), StoreError> {
        // Opened before all is read, so that no change falls between.
        let watch = answered(store.routes().watch()).await;
        answered(self.reload(store)).await?;
        part.ready();
        let mut watch = watch?;
        let mut loaded = Instant::now();
        loop {
            let asked = Instant::now();
            match answered(watch.next()).await? {
                Some(RouteChange::Upsert(route)) => self.take_in(*route),
                Some(RouteChange::Removed(id)) => {
                    self.write(|copy| copy.routes.remove(&id));
                    self.announce();
                }
                Some(RouteChange::Reload) => answered(self.reload(store)).await?,
                None => {}
            }
            self.write(|copy| copy.news_at = Some(asked));
            part.ready();
            if loaded.elapsed() > RELOAD {
                answered(self.reload(store)).await?;
                loaded = Instant::now();
            }
        }
    }

    async fn reload(&self, store: &Store) -> Result<(), StoreError> {
        let asked = Instant::now();
        let all = store.routes().all().await?;
        let routes: HashMap<_, _> =
            all.into_iter().map(|route| (route.phone_number_id.clone(), Arc::new(route))).collect();
        let changed = self.write(|copy| {
            let changed = copy.routes != routes;
            copy.routes = routes;
            copy.misses.clear();
            copy.news_at = Some(asked);
            changed
        });
        if changed {
            self.announce();
        }
        Ok(())
    }

    fn take_in(&self, route: Route) {
        if self.write(|copy| copy.insert(route)) {
            self.announce();
        }
    }

    fn announce(&self) {
        self.shared.changed.send_modify(|version| *version += 1);
    }

    fn read<T>(&self, read: impl FnOnce(&Copy) -> T) -> T {
        read(&self.shared.copy.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Copy) -> T) -> T {
        write(&mut self.shared.copy.write().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answered<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(ANSWER, asked).await.unwrap_or(Err(StoreError::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(id: &str, revision: i64) -> Route {
        Route { phone_number_id: PhoneNumberId::parse(id).unwrap(), revision, ..Route::example() }
    }

    #[test]
    fn stale_copies_and_recent_misses() {
        let (id, start) = (PhoneNumberId::parse("1").unwrap(), Instant::now());
        let mut copy = Copy::default();
        assert_eq!(copy.look_up(&id, start), Known::Stale);
        copy.news_at = Some(start);
        assert_eq!(copy.look_up(&id, start), Known::Ask);
        copy.remember_miss(&id, start);
        assert_eq!(copy.look_up(&id, start + MISS / 2), Known::Unknown);
        assert_eq!(copy.look_up(&id, start + MISS), Known::Ask);
        assert!(copy.insert(route("1", 2)));
        assert_eq!(copy.look_up(&id, start), Known::Route(Arc::new(route("1", 2))));
        assert_eq!(copy.look_up(&id, start + FRESH), Known::Stale);
    }

    #[test]
    fn an_older_revision_does_not_come_back() {
        let mut copy = Copy::default();
        assert!(copy.insert(route("1", 2)));
        assert!(!copy.insert(route("1", 1)) && !copy.insert(route("1", 2)));
        assert!(copy.insert(route("1", 3)));
        // Removed and created anew: another object begins at 1.
        assert!(copy.insert(Route { uid: "v".into(), ..route("1", 1) }));
        // The line went on to another company: the former owner's route is the past, whatever its revision.
        assert!(copy.insert(Route { uid: "w".into(), epoch: 2, ..route("1", 2) }));
        assert!(!copy.insert(Route { uid: "v".into(), ..route("1", 9) }));
    }
}
