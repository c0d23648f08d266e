//! Codes that people hand in as Secrets: found by reading each by its name, since Secrets are never watched
//! (docs/adr/0005-no-watch-on-secrets.md), and only for lines that await a code. What is found wakes its line once.
//!
//! Only the Secret's metadata is read here. Must never take the place of the line's own look: what is lost here costs the
//! time to its next pass.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::domain::NamespacedName;
use crate::line::plan::{Step, plan};
use crate::resources::ClientNumber;
use crate::resources::names::code_secret;

/// Whoever hands a code in waits in front of a screen.
const LOOK: Duration = Duration::from_secs(1);
/// So many Secrets are read in one look: with fifty lines each has its turn within five seconds.
const AT_ONCE: usize = 10;

/// Which Secret, and which state of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Version {
    /// Its uid.
    pub uid: Option<String>,
    /// Its resourceVersion.
    pub resource_version: Option<String>,
}

impl Version {
    /// The one with this metadata.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() }
    }
}

/// What this process knows of Secrets with codes, by the uid of their lines.
#[derive(Default)]
pub struct HandedIn(Mutex<State>);

#[derive(Default)]
struct State {
    /// Found, and told to the line.
    found: HashMap<String, Version>,
    /// Lines that were told and have not looked yet.
    waking: HashSet<String>,
}

impl HandedIn {
    /// Notes what was found for a line; whether it is to be told.
    fn is_new(&self, line: &str, version: Option<Version>) -> bool {
        let mut state = self.state();
        let Some(version) = version else {
            state.found.remove(line);
            state.waking.remove(line);
            return false;
        };
        let new = state.found.insert(line.to_owned(), version.clone()).as_ref() != Some(&version);
        if new {
            state.waking.insert(line.to_owned());
        }
        new
    }

    /// Whether a line was told and has not looked yet: it need not wait for the time of its next attempt.
    pub fn is_waking(&self, line: &str) -> bool {
        self.state().waking.contains(line)
    }

    /// The same, and it looks now.
    pub fn looks(&self, line: &str) -> bool {
        self.state().waking.remove(line)
    }

    /// Forgets all lines but these.
    fn keep(&self, lines: &HashSet<&str>) {
        let mut state = self.state();
        state.found.retain(|line, _| lines.contains(line.as_str()));
        state.waking.retain(|line| lines.contains(line.as_str()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a code could be handed in for a line, and used.
fn awaits(line: &ClientNumber) -> bool {
    let status = line.status.as_ref();
    status.is_some_and(|status| plan(status) == Step::Verify)
        && line.metadata.deletion_timestamp.is_none()
        && !line.spec.suspend
}

/// The lines whose turn it is: `AT_ONCE` of them, those after `last` first. Pure; `lines` are sorted.
fn turn(lines: &[NamespacedName], last: Option<&NamespacedName>) -> Vec<NamespacedName> {
    let from = last.map_or(0, |last| lines.partition_point(|line| line <= last));
    lines[from..].iter().chain(&lines[..from]).take(AT_ONCE).cloned().collect()
}

/// Looks until `stop`.
pub async fn watch(ctx: Arc<Context>, stop: CancellationToken) {
    let mut last = None;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let lines: HashMap<NamespacedName, Arc<ClientNumber>> = ctx
            .lines
            .state()
            .into_iter()
            .filter(|line| awaits(line))
            .map(|line| (NamespacedName::new(line.namespace().unwrap_or_default(), line.name_any()), line))
            .collect();
        ctx.handed_in.keep(&lines.values().filter_map(|line| line.metadata.uid.as_deref()).collect());
        let mut names: Vec<NamespacedName> = lines.keys().cloned().collect();
        names.sort();
        for name in turn(&names, last.as_ref()) {
            let Some(uid) = lines.get(&name).and_then(|line| line.metadata.uid.as_deref()) else { continue };
            let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), &name.namespace);
            // Who can't be asked is asked again; the line's own look reports the trouble.
            if let Ok(found) = secrets.get_metadata_opt(&code_secret(&name.name)).await
                && ctx.handed_in.is_new(uid, found.map(|secret| Version::of(&secret.metadata)))
            {
                ctx.wakes.wake(&name);
            }
            last = Some(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(n: u32) -> Version {
        Version { uid: Some("u".into()), resource_version: Some(n.to_string()) }
    }

    #[test]
    fn a_secret_wakes_its_line_once() {
        let handed_in = HandedIn::default();
        assert!(!handed_in.is_new("a", None) && !handed_in.is_waking("a"));
        assert!(handed_in.is_new("a", Some(version(1))) && handed_in.is_waking("a"));
        assert!(!handed_in.is_new("a", Some(version(1))), "told twice");
        assert!(handed_in.looks("a") && !handed_in.looks("a"));
        assert!(!handed_in.is_new("a", Some(version(1))) && !handed_in.is_waking("a"));
        assert!(handed_in.is_new("a", Some(version(2))), "another code");
        assert!(!handed_in.is_new("a", None) && !handed_in.is_waking("a"), "gone");
        assert!(handed_in.is_new("a", Some(version(2))));
        handed_in.keep(&HashSet::new());
        assert!(!handed_in.is_waking("a"));
    }

    #[test]
    fn each_line_has_its_turn() {
        let lines: Vec<NamespacedName> = (10..35).map(|n| NamespacedName::new("clients", format!("l{n}"))).collect();
        let (mut last, mut seen) = (None, Vec::new());
        for _ in 0..5 {
            let now = turn(&lines, last.as_ref());
            assert_eq!(now.len(), AT_ONCE);
            last = now.last().cloned();
            seen.extend(now);
        }
        assert_eq!(seen[..25], lines[..]);
        assert_eq!(seen[25..], lines[..]);
        assert_eq!(turn(&lines[..3], Some(&lines[1])), [2, 0, 1].map(|n| lines[n].clone()));
        assert!(turn(&[], last.as_ref()).is_empty());
    }
}
