//! What this process remembers for the audit: the orders of each Portfolio, which of them bring nothing any more, which
//! numbers lines held a moment ago, whose turn it is to be asked for alone, and the findings that status has no place for.
//! In memory: a restart reads all anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::domain::PolicyTime;
use crate::providers::ProviderError;
use crate::providers::telnyx::{Client, Order};
use crate::resources::finding::{Finding, FindingKind};

/// Of one Portfolio.
#[derive(Default)]
struct Memory {
    orders: BTreeMap<String, Order>,
    /// When all orders were read, and up to when the newest.
    swept: Option<(Instant, Timestamp)>,
    /// Orders that bring nothing any more.
    ended: HashSet<String>,
    /// Whom the last round asked for last, by list.
    asked: HashMap<&'static str, String>,
    /// All findings of the last round, also those that status does not show; None: no round yet.
    findings: Option<Vec<Finding>>,
}

/// Of all Portfolios, by uid.
#[derive(Default)]
pub struct Audits {
    by_uid: Mutex<HashMap<String, Memory>>,
    held: Mutex<HashMap<String, Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Audits {
    /// The orders whose reference begins with `prefix` and that may have brought, or may still bring, a number. All are
    /// read once a day, else those of the last day: an order is listed late at most, never changed to another time.
    pub async fn orders(
        &self,
        uid: &str,
        telnyx: &Client,
        prefix: &str,
        (clock, now): (Instant, Timestamp),
        policy: PolicyTime,
    ) -> Result<Vec<Order>, ProviderError> {
        let swept = lock(&self.by_uid).get(uid).and_then(|memory| memory.swept);
        let partly = swept.filter(|(all, _)| clock.duration_since(*all) < policy.day());
        let since = partly.map(|(_, newest)| newest - policy.day().max(Duration::from_secs(3600)));
        let orders = telnyx.orders_since(prefix, since).await?;
        let mut by_uid = lock(&self.by_uid);
        let memory = by_uid.entry(uid.to_owned()).or_default();
        if since.is_none() {
            memory.orders.clear();
        }
        memory.swept = Some((partly.map_or(clock, |(all, _)| all), now));
        memory.orders.extend(orders.into_iter().map(|order| (order.id.clone(), order)));
        let ended = &memory.ended;
        Ok(memory.orders.values().filter(|order| !ended.contains(&order.id)).cloned().collect())
    }

    /// An order brings nothing any more.
    pub fn ended(&self, uid: &str, order: &str) {
        if let Some(memory) = lock(&self.by_uid).get_mut(uid) {
            memory.ended.insert(order.to_owned());
        }
    }

    /// Who was asked for last in this list.
    pub fn asked(&self, uid: &str, list: &'static str) -> Option<String> {
        lock(&self.by_uid).get(uid).and_then(|memory| memory.asked.get(list).cloned())
    }

    /// Notes who was asked for last.
    pub fn note_asked(&self, uid: &str, list: &'static str, last: Option<&String>) {
        if let Some(last) = last {
            lock(&self.by_uid).entry(uid.to_owned()).or_default().asked.insert(list, last.clone());
        }
    }

    /// Notes which numbers lines hold now; those that one held less than `grace` ago, and none does now.
    pub fn held<'a>(&self, numbers: impl Iterator<Item = &'a str>, now: Instant, grace: Duration) -> HashSet<String> {
        let mut held = lock(&self.held);
        held.retain(|_, at| now.duration_since(*at) < grace);
        let numbers: HashSet<&str> = numbers.collect();
        held.extend(numbers.iter().map(|number| ((*number).to_owned(), now)));
        held.keys().filter(|number| !numbers.contains(number.as_str())).cloned().collect()
    }

    /// All findings, of which status shows some. What was abandoned stands in status alone: it is noted there at once. False:
    /// this process has made no round yet, and what status had no place for is not known.
    pub fn findings(&self, uid: &str, shown: &[Finding]) -> (Vec<Finding>, bool) {
        let by_uid = lock(&self.by_uid);
        let Some(all) = by_uid.get(uid).and_then(|memory| memory.findings.as_ref()) else {
            return (shown.to_vec(), false);
        };
        let hidden = all.iter().filter(|f| {
            f.kind != FindingKind::Abandoned
                && !shown.iter().any(|s| (s.kind, &s.phone_number) == (f.kind, &f.phone_number))
        });
        let mut findings: Vec<Finding> = shown.iter().chain(hidden).cloned().collect();
        findings.sort_by(|a, b| (a.kind, &a.phone_number).cmp(&(b.kind, &b.phone_number)));
        (findings, true)
    }

    /// Notes all findings of a round whose status is written.
    pub fn note_findings(&self, uid: &str, all: Vec<Finding>) {
        lock(&self.by_uid).entry(uid.to_owned()).or_default().findings = Some(all);
    }

    /// The Portfolio is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.by_uid).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_recent_for_a_while_after_its_line() {
        let (audits, now, grace) = (Audits::default(), Instant::now(), Duration::from_secs(120));
        let held = |numbers: &[&'static str], later| audits.held(numbers.iter().copied(), now + later, grace);
        assert!(held(&["a", "b"], Duration::ZERO).is_empty());
        assert_eq!(held(&["b"], grace / 2), HashSet::from(["a".to_owned()]));
        assert_eq!(held(&[], grace * 5 / 4), HashSet::from(["b".to_owned()]));
        assert!(held(&[], grace * 3).is_empty());
    }
}
