//! What watches of our own last saw, over one or several namespaces. May be a moment old: good for looking around, never
//! for deciding to spend.
//!
//! Not the reconcilers' own stores: kube's `wait_until_ready` wakes one waiter only, and the reconcilers wait for theirs
//! themselves; a second waiter can take that wake-up away and leave them asleep.

use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::reflector::{ObjectRef, Store, reflector, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The copies of one kind, one a namespace that is watched.
pub struct Views<K: Resource<DynamicType = ()> + Clone + 'static>(Vec<View<K>>);

struct View<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    told: watch::Receiver<bool>,
}

impl<K> Views<K>
where
    K: Resource<DynamicType = ()> + ResourceExt + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
    (): Eq + Hash,
{
    /// Begins to watch, until `stop`.
    pub fn watch(apis: Vec<Api<K>>, stop: &CancellationToken) -> Self {
        Self(apis.into_iter().map(|api| View::watch(api, stop.clone())).collect())
    }

    /// All objects.
    pub fn state(&self) -> Vec<Arc<K>> {
        self.0.iter().flat_map(|view| view.store.state()).collect()
    }

    /// Waits until all that there is has been told. Deciding that something is absent before that would be guessing.
    /// False: the program ends before it was.
    pub async fn told(&self) -> bool {
        for view in &self.0 {
            if view.told.clone().wait_for(|told| *told).await.is_err() {
                return false;
            }
        }
        true
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let reference = ObjectRef::<K>::new(name).within(namespace);
        self.0.iter().find_map(|view| view.store.get(&reference))
    }
}

impl<K> View<K>
where
    K: Resource<DynamicType = ()> + ResourceExt + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    fn watch(api: Api<K>, stop: CancellationToken) -> Self {
        let (reader, writer) = store();
        let (tell, told) = watch::channel(false);
        let stream = reflector(writer, watcher(api, watcher::Config::default())).backoff(super::reconnect::backoff());
        // A watch that fails is begun again; the reconcilers' own watches report the trouble.
        tokio::spawn(stream.take_until(stop.cancelled_owned()).for_each(|_| std::future::ready(())));
        let waiting = reader.clone();
        tokio::spawn(async move {
            if waiting.wait_until_ready().await.is_ok() {
                tell.send_replace(true);
            }
        });
        Self { store: reader, told }
    }
}
