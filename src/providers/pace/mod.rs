//! How fast the calls of this process may go: one bucket for each account and class of endpoints, shared by whoever uses
//! that account. Decides when a request is sent, or that it is not sent because its turn would come too late.
//!
//! Fed only by what providers say (`said`), never by configuration. `bucket` is the pure state machine, with `window`
//! and `usage` for the two ways of telling a limit; `gate` is the queue before it. Must never repeat a call, and never
//! hold one back longer than its bound: an effect that goes out late is worse than one that is planned anew.

mod bucket;
#[cfg(test)]
mod bucket_tests;
mod gate;
mod said;
#[cfg(test)]
mod tests;
mod usage;
mod window;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use self::bucket::Said;
pub(crate) use self::gate::now;
use self::gate::{Gate, Permit};
use super::error::{Effect, Provider};

/// Calls that share a limit, where the provider documents separate ones. A class for each path would let each believe
/// that it has the account's whole limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Endpoints {
    /// Telnyx: all but the rest. Meta: management of a WhatsApp account.
    Common,
    /// Telnyx: speech to text, which is limited apart.
    SpeechToText,
    /// Meta: what the app does in its own name; all its other calls count here too.
    App,
    /// Meta: messages of a number.
    Messages,
}

/// Whose limit, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) provider: Provider,
    /// A fingerprint of host and key, or of host and app.
    pub(crate) account: u64,
    pub(crate) endpoints: Endpoints,
    /// Meta: the WhatsApp account or number that the headers name.
    pub(crate) scope: String,
}

/// The longest that a call is held back.
pub(crate) fn bound(effect: Effect) -> Duration {
    match effect {
        Effect::Read | Effect::Set => Duration::from_secs(5),
        Effect::Write => Duration::from_secs(3),
    }
}

/// All buckets of the process.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    gates: Mutex<HashMap<Key, Arc<Gate>>>,
    hasher: RandomState,
}

/// The right to make one call, in each bucket that it counts in; what the answer says goes back through it.
pub(crate) struct Turn<'a> {
    paces: &'a Paces,
    permits: Vec<(Key, Permit)>,
}

impl Paces {
    /// A number for an account that gives nothing away and means something in this process only.
    pub(crate) fn fingerprint(&self, parts: &[&str]) -> u64 {
        self.hasher.hash_one(parts)
    }

    /// Waits until the call may go in each of `keys`, at most until `until`. The error says how long it would have taken.
    pub(crate) async fn enter(&self, keys: &[Key], effect: Effect, until: Instant) -> Result<Turn<'_>, Duration> {
        let mut permits = Vec::with_capacity(keys.len());
        for key in keys {
            match self.gate(key).enter(effect == Effect::Write, until).await {
                Ok(permit) => permits.push((key.clone(), permit)),
                Err(rest) => {
                    permits.into_iter().for_each(|(_, permit): (Key, Permit)| permit.unsent());
                    return Err(rest);
                }
            }
        }
        Ok(Turn { paces: self, permits })
    }

    fn gate(&self, key: &Key) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(key.clone()).or_default().clone()
    }
}

impl Turn<'_> {
    /// The call was answered: with these headers, and refused for its rate or not.
    pub(crate) fn answered(self, headers: &HeaderMap, refusal: Option<Refusal<'_>>) {
        let Some((own, _)) = self.permits.first() else { return };
        let own = own.clone();
        let mut hearing: Vec<(Key, Said)> = said::read(own.provider, own.endpoints, headers)
            .into_iter()
            .map(|(endpoints, scope, said)| {
                let scope = match scope {
                    // A client that does not know its account's id: what is said can only be of that one.
                    Some(_) if endpoints == own.endpoints && own.scope.is_empty() => String::new(),
                    scope => scope
                        .unwrap_or_else(|| if endpoints == own.endpoints { own.scope.clone() } else { String::new() }),
                };
                (Key { endpoints, scope, ..own.clone() }, said)
            })
            .collect();
        let blamed = refusal.as_ref().map(|refusal| refusal.blames(&self.permits));
        for (at, (key, permit)) in self.permits.into_iter().enumerate() {
            let mut said = Said::default();
            for (_, more) in hearing.extract_if(.., |(of, _)| *of == key) {
                said = Said {
                    window: more.window.or(said.window),
                    percent: more.percent.or(said.percent),
                    pause: more.pause.max(said.pause),
                    ..said
                };
            }
            if let Some(refusal) = refusal.as_ref().filter(|_| blamed == Some(at)) {
                said.refused = true;
                said.pause = said.pause.max(refusal.retry_after);
            }
            permit.answered(&said);
        }
        for (key, said) in hearing {
            self.paces.gate(&key).hear(&said);
        }
    }
}

/// A refusal for the rate of calls.
pub(crate) struct Refusal<'a> {
    pub(crate) code: Option<&'a str>,
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal<'_> {
    /// Whose limit it was: Meta's codes 4, 17, 32 and 613 are the app's or its user's; all others those of the account.
    fn blames(&self, permits: &[(Key, Permit)]) -> usize {
        let app = matches!(self.code, Some("4" | "17" | "32" | "613"));
        permits.iter().position(|(key, _)| app && key.endpoints == Endpoints::App).unwrap_or(0)
    }
}
