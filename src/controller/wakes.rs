//! Wakes lines for what their own objects don't show: the carrier's lists, read for all of them at once, have news.
//!
//! A wake only moves a line's next pass forward; what is lost costs the time to that pass, never a decision.

use std::sync::{Mutex, PoisonError};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;

use crate::domain::NamespacedName;
use crate::resources::ClientNumber;

/// Those who run lines.
#[derive(Default)]
pub struct Wakes {
    runners: Mutex<Vec<Runner>>,
}

/// Runs the lines of a namespace, or of all.
struct Runner {
    scope: Option<String>,
    lines: UnboundedSender<ObjectRef<ClientNumber>>,
}

impl Wakes {
    /// The lines of a namespace that are to be looked at now.
    pub fn of(&self, scope: Option<String>) -> UnboundedReceiver<ObjectRef<ClientNumber>> {
        let (lines, woken) = unbounded();
        self.runners.lock().unwrap_or_else(PoisonError::into_inner).push(Runner { scope, lines });
        woken
    }

    /// Lets a line be looked at now.
    pub fn wake(&self, line: &NamespacedName) {
        let runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        for runner in runners.iter().filter(|r| r.scope.as_ref().is_none_or(|scope| *scope == line.namespace)) {
            // Nobody receives once the program ends.
            let _ended = runner.lines.unbounded_send(ObjectRef::new(&line.name).within(&line.namespace));
        }
    }
}
