//! What the controllers' watches last saw, over one or several namespaces. May be a moment old: good for looking around,
//! never for deciding to spend.

use std::hash::Hash;
use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};

/// The copies of one kind, one a namespace that is watched.
pub struct Views<K: Resource<DynamicType = ()> + Clone + 'static>(pub Vec<Store<K>>);

impl<K> Views<K>
where
    K: Resource<DynamicType = ()> + ResourceExt + Clone + 'static,
    (): Eq + Hash,
{
    /// All objects.
    pub fn state(&self) -> Vec<Arc<K>> {
        self.0.iter().flat_map(Store::state).collect()
    }

    /// Waits until all that there is has been told. Deciding that something is absent before that would be guessing.
    pub async fn told(&self) {
        for store in &self.0 {
            // Ended: the program ends too.
            let _ = store.wait_until_ready().await;
        }
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let reference = ObjectRef::<K>::new(name).within(namespace);
        self.0.iter().find_map(|store| store.get(&reference))
    }
}
