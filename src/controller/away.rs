//! What is away at the moment, a provider of a Portfolio or MongoDB, and which lines wait for it. One line at a time goes
//! and tries its own step again; the others only wait for what that comes to, without a call to anybody. So what comes
//! back is noticed within seconds, and what is away is not asked by a thousand lines.
//!
//! In memory: after a restart each line asks once for itself. Pure but for its lock: times come in as arguments. Must
//! never let a line go before its turn, and never keep one for ever: who was sent to try and does not come back is
//! replaced.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{NamespacedName, PolicyTime};
use crate::providers::Provider;

/// Who was sent to try is waited for so long: longer than any call.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a line can't do without.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Service {
    /// A provider, reached with the accounts of a Portfolio.
    Provider(NamespacedName, Provider),
    /// MongoDB.
    Store,
}

/// All that is away.
#[derive(Debug, Default)]
pub struct Away(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outages: HashMap<Service, Outage>,
    /// By uid.
    waiting: HashMap<String, Waiting>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    tries: u32,
    next: Instant,
    /// The line that was sent to try.
    sent: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    service: Service,
    /// It may go on: it was sent to try, or the service is back.
    goes: bool,
}

impl Away {
    /// How long a line has to wait before this is asked again; None: it may go on.
    pub fn rest(&self, uid: &str, now: Instant, policy: PolicyTime) -> Option<Duration> {
        let State { outages, waiting } = &mut *self.state();
        let line = waiting.get_mut(uid)?;
        let Some(outage) = outages.get_mut(&line.service).filter(|_| !line.goes) else {
            line.goes = true;
            return None;
        };
        if outage.next <= now {
            *outage = Outage { sent: Some(uid.to_owned()), next: now + PATIENCE, ..*outage };
            line.goes = true;
            return None;
        }
        Some((outage.next - now).min(policy.away_look()))
    }

    /// Whether a line that waited may go on, whatever time its status names.
    pub fn goes(&self, uid: &str) -> bool {
        self.state().waiting.get(uid).is_some_and(|line| line.goes)
    }

    /// A line could not do without `service`. `answered`: it gave an answer, if no good one. When it is tried next.
    pub fn failed(&self, uid: &str, service: Service, answered: bool, now: Instant, policy: PolicyTime) -> Duration {
        let State { outages, waiting } = &mut *self.state();
        if waiting.remove(uid).is_some() {
            recall(outages, waiting, uid, Some(&service), now);
        }
        let outage = outages.entry(service.clone()).or_insert(Outage { since: now, tries: 0, next: now, sent: None });
        // Of many lines that meet an outage at the same time only one counts.
        if outage.tries == 0 || outage.sent.as_deref() == Some(uid) {
            outage.next = now + policy.away_gap(outage.tries, answered, now.duration_since(outage.since));
            outage.tries += 1;
            outage.sent = None;
        }
        let rest = outage.next.saturating_duration_since(now);
        waiting.insert(uid.to_owned(), Waiting { service, goes: false });
        rest
    }

    /// Whether a line is there that tries it again and again.
    pub fn is_probed(&self, service: &Service) -> bool {
        let state = self.state();
        state.outages.contains_key(service) && state.waiting.values().any(|line| line.service == *service)
    }

    /// A line did what it could not do before: what it waited for is back. True: it was a provider.
    pub fn succeeded(&self, uid: &str) -> bool {
        let State { outages, waiting } = &mut *self.state();
        let Some(line) = waiting.remove(uid).filter(|line| line.goes) else { return false };
        outages.remove(&line.service);
        matches!(line.service, Service::Provider(..))
    }

    /// A line does not wait any more, for a reason that says nothing of what it waited for.
    pub fn forget(&self, uid: &str, now: Instant) {
        let State { outages, waiting } = &mut *self.state();
        if waiting.remove(uid).is_some() {
            recall(outages, waiting, uid, None, now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever was sent to try something else found nothing out: the next one may go. What nobody waits for is forgotten.
fn recall(
    outages: &mut HashMap<Service, Outage>,
    waiting: &HashMap<String, Waiting>,
    uid: &str,
    but: Option<&Service>,
    now: Instant,
) {
    outages.retain(|service, _| Some(service) == but || waiting.values().any(|line| line.service == *service));
    for (_, outage) in outages.iter_mut().filter(|(service, _)| Some(*service) != but) {
        if outage.sent.as_deref() == Some(uid) {
            outage.sent = None;
            outage.next = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: fn() -> PolicyTime = PolicyTime::default;

    fn telnyx() -> Service {
        Service::Provider(NamespacedName::new("platform", "main"), Provider::Telnyx)
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    struct Scene {
        away: Away,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self { away: Away::default(), start: Instant::now() }
        }
        fn fails(&self, uid: &str, at: u64) -> u64 {
            self.away.failed(uid, telnyx(), false, self.start + secs(at), POLICY()).as_secs()
        }
        fn rest(&self, uid: &str, at: u64) -> Option<u64> {
            self.away.rest(uid, self.start + secs(at), POLICY()).map(|rest| rest.as_secs())
        }
    }

    #[test]
    fn one_line_tries_for_all() {
        let scene = Scene::new();
        assert_eq!(scene.rest("a", 0), None, "nothing is known to be away");
        assert_eq!((scene.fails("a", 0), scene.fails("b", 0), scene.fails("c", 1)), (2, 2, 1));
        assert_eq!((scene.rest("a", 1), scene.rest("b", 1)), (Some(1), Some(1)));
        assert_eq!(scene.rest("b", 2), None, "the first that asks is sent");
        assert!(scene.away.goes("b") && !scene.away.goes("a"));
        assert_eq!((scene.rest("a", 2), scene.rest("c", 2)), (Some(3), Some(3)), "the others wait for it");
        assert_eq!(scene.fails("b", 3), 4, "still away: the gap grows");
        assert_eq!(scene.rest("c", 7), None);
        assert!(scene.away.is_probed(&telnyx()) && !scene.away.is_probed(&Service::Store));
        assert!(scene.away.succeeded("c") && !scene.away.is_probed(&telnyx()));
        assert_eq!((scene.rest("a", 7), scene.rest("b", 7)), (None, None), "it is back for all");
        assert_eq!(scene.fails("a", 8), 2, "the next outage begins anew");
    }

    #[test]
    fn the_gap_stays_short_until_a_provider_has_answered_badly_for_long() {
        let scene = Scene::new();
        let mut at = 0;
        let mut gaps = Vec::new();
        for _ in 0..6 {
            let gap = scene.fails("a", at);
            gaps.push(gap);
            at += gap;
            assert_eq!(scene.rest("a", at), None);
        }
        assert_eq!(gaps, [2, 4, 8, 15, 15, 15]);
        let later = |answered| {
            let at = scene.start + secs(3600);
            let rest = scene.away.failed("a", telnyx(), answered, at, POLICY());
            scene.away.rest("a", at + secs(60), POLICY());
            rest.as_secs()
        };
        assert_eq!((later(false), later(true)), (15, 60));
    }

    #[test]
    fn who_was_sent_and_does_not_come_back_is_replaced() {
        let scene = Scene::new();
        for line in ["a", "b", "c"] {
            scene.fails(line, 0);
        }
        assert_eq!((scene.rest("a", 2), scene.rest("b", 2)), (None, Some(3)));
        scene.away.forget("a", scene.start + secs(5));
        assert_eq!(scene.rest("b", 5), None, "a is gone");
        // Its pass ends at something else.
        scene.away.failed("b", Service::Store, true, scene.start + secs(6), POLICY());
        assert_eq!(scene.rest("c", 6), None, "b found nothing out");
        assert_eq!(scene.rest("b", 6), Some(2), "it waits for the store now");
        scene.fails("b", 20);
        assert_eq!(scene.rest("b", 100), None, "c has not come back for longer than any call takes");
    }

    #[test]
    fn a_success_that_is_no_try_says_nothing() {
        let scene = Scene::new();
        scene.fails("a", 0);
        scene.away.succeeded("x");
        assert_eq!(scene.rest("a", 1), Some(1));
        scene.fails("b", 1);
        scene.away.succeeded("b");
        assert_eq!(scene.rest("a", 1), Some(1), "b was not sent: what it did was begun before");
    }
}
