//! Whether this process should get traffic: each part says for itself, `/readyz` says all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of all parts.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
}

/// One part's own state.
#[derive(Debug, Clone)]
pub struct Part {
    name: &'static str,
    all: Readiness,
}

impl Readiness {
    /// Adds a part; it is not ready until it says so.
    pub fn part(&self, name: &'static str) -> Part {
        let part = Part { name, all: self.clone() };
        part.not_ready("starting");
        part
    }

    /// One line a part, and whether all are ready.
    pub fn report(&self) -> (bool, String) {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, state) in parts.iter() {
            match state {
                Ok(()) => text.push_str(&format!("[+] {name} ok\n")),
                Err(why) => text.push_str(&format!("[-] {name}: {why}\n")),
            }
        }
        (parts.values().all(Result::is_ok), text)
    }
}

impl Part {
    /// This part can do its work.
    pub fn ready(&self) {
        self.set(Ok(()));
    }

    /// It can't; `why` is shown to whoever asks, so it holds no secret.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(Err(why.into()));
    }

    fn set(&self, state: Result<(), String>) {
        self.all.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_parts_are() {
        let readiness = Readiness::default();
        assert!(readiness.report().0);
        let (store, routes) = (readiness.part("store"), readiness.part("routes"));
        assert!(!readiness.report().0);
        store.ready();
        routes.not_ready("no news for 31 s");
        assert_eq!(readiness.report(), (false, "[-] routes: no news for 31 s\n[+] store ok\n".into()));
        routes.ready();
        assert!(readiness.report().0);
    }
}
