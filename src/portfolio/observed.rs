//! What one round saw of all numbers, for the lines: each looks at it instead of asking the providers itself.
//!
//! Absence needs proof. A number that a list lacks counts as gone only when the provider, asked for it alone, says so too;
//! when it says the opposite, the list was not complete and proves nothing about any line in that round. What was not
//! read is Unknown. Must never call a line gone on a list's word alone: a page that got lost would take lines down that work.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use crate::line::plan::{Step, plan};
use crate::line::spec::LineSpec;
use crate::providers::meta::PhoneNumber;
use crate::providers::telnyx::OwnedNumber;
use crate::resources::{ClientNumber, Portfolio};

/// Numbers that are asked for by themselves in one round, at most, of each provider; the others wait for the next.
pub const LOOKS: usize = 5;

/// Where a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence<'a, T> {
    /// Listed, like this.
    There(&'a T),
    /// Proven not to be there.
    Gone,
    /// Not read, or not proven.
    Unknown,
}

/// What a number that a list lacks turned out to be when it was asked for alone.
pub enum Look<T> {
    /// There is no such number.
    Gone,
    /// It is there, but like this, which is why the list lacks it.
    Otherwise(T),
    /// It is there, as it should be: the list was not complete.
    Contradiction,
    /// Not answered.
    Unclear,
}

/// All numbers at one provider, as a round saw them.
pub struct Seen<T> {
    there: HashMap<String, T>,
    gone: HashSet<String>,
}

impl<T> Seen<T> {
    /// From a complete list and the looks at those it lacks; `known`: lacking, and shown as gone already.
    pub fn new(there: HashMap<String, T>, known: HashSet<String>, looks: Vec<(String, Look<T>)>) -> Self {
        let complete = !looks.iter().any(|(_, look)| matches!(look, Look::Contradiction));
        let mut seen = Self { there, gone: if complete { known } else { HashSet::new() } };
        for (key, look) in looks {
            match look {
                Look::Gone if complete => {
                    seen.gone.insert(key);
                }
                Look::Otherwise(number) => {
                    seen.there.insert(key, number);
                }
                Look::Gone | Look::Contradiction | Look::Unclear => {}
            }
        }
        seen
    }

    /// Where a number is.
    pub fn of(&self, key: &str) -> Presence<'_, T> {
        match self.there.get(key) {
            Some(number) => Presence::There(number),
            None if self.gone.contains(key) => Presence::Gone,
            None => Presence::Unknown,
        }
    }
}

/// What a round saw.
#[derive(Default)]
pub struct Observed {
    /// Meta's numbers by id; None: not read.
    pub meta: Option<Seen<PhoneNumber>>,
    /// Whether Meta told the webhook URL of any number.
    pub tells_webhooks: bool,
    /// The carrier's numbers by number; None: not read.
    pub carrier: Option<Seen<OwnedNumber>>,
    /// The last webhook of lines, by Meta's id.
    pub heard: HashMap<String, Timestamp>,
    /// The lines that this is about, by uid: those that were settled before the lists were asked for.
    pub about: HashSet<String>,
}

impl Observed {
    /// Whether this tells something of a line. A line that was still on its way stands in the lists as it was then, not
    /// connected yet, and one made anew is not the former holder of its number.
    pub fn tells_of(&self, uid: &str) -> bool {
        self.about.contains(uid)
    }
}

/// A line that should be found in the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What lists call it: Meta's id, or the number.
    pub key: String,
    /// What is shown of it.
    pub shown: Shown,
}

/// What a line's status says about its place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// It is there.
    There,
    /// It is there, but in a way that keeps it out of the list.
    Otherwise,
    /// It is gone.
    Gone,
}

/// What lines should be found in the lists.
#[derive(Debug, Default)]
pub struct Settled {
    /// Their uids.
    pub uids: HashSet<String>,
    /// As Meta's list should hold them.
    pub at_meta: Vec<Expected>,
    /// As the carrier's list should hold them.
    pub at_carrier: Vec<Expected>,
}

/// The settled lines, as both lists should hold them. Lines on their way are looked after by their steps.
pub fn settled(lines: &[Arc<ClientNumber>]) -> Settled {
    let mut settled = Settled::default();
    for line in lines.iter().filter(|line| line.metadata.deletion_timestamp.is_none()) {
        let Some(status) = line.status.as_ref().filter(|status| plan(status) == Step::Keep) else { continue };
        settled.uids.extend(line.metadata.uid.clone());
        let told = status.line.clone().unwrap_or_default();
        let lost = matches!(told.status.as_deref(), Some("DELETED" | "MIGRATED" | "DISCONNECTED" | "BANNED"));
        let shown = |gone: bool, otherwise: bool| match (gone, otherwise) {
            (true, _) => Shown::Gone,
            (_, true) => Shown::Otherwise,
            _ => Shown::There,
        };
        if let Some(id) = &status.phone_number_id {
            let shown = shown(told.missing_at_meta.is_some(), lost);
            settled.at_meta.push(Expected { key: id.clone(), shown });
        }
        if let (Some(number), Ok(spec)) = (&status.phone_number, LineSpec::of(line))
            && spec.source.at_carrier()
        {
            let shown = shown(told.missing_at_carrier.is_some(), told.untagged);
            settled.at_carrier.push(Expected { key: number.clone(), shown });
        }
    }
    settled
}

/// Of the expected ones that a list lacks: those that are shown as gone already, and those to be asked for alone, what is
/// news first.
pub fn missing<T>(expected: &[Expected], there: &HashMap<String, T>) -> (HashSet<String>, Vec<String>) {
    let lacking = || expected.iter().filter(|e| !there.contains_key(&e.key));
    let known = lacking().filter(|e| e.shown == Shown::Gone).map(|e| e.key.clone()).collect();
    let ask: BTreeSet<(Shown, &String)> =
        lacking().filter(|e| e.shown != Shown::Gone).map(|e| (e.shown, &e.key)).collect();
    (known, ask.into_iter().take(LOOKS).map(|(_, key)| key.clone()).collect())
}

/// The last round of each Portfolio, by uid. In memory: after a restart lines stay as they are until the first round.
#[derive(Default)]
pub struct Observations {
    by_uid: RwLock<HashMap<String, Arc<Observed>>>,
}

impl Observations {
    /// What the last round of a Portfolio saw.
    pub fn get(&self, portfolio: &Portfolio) -> Option<Arc<Observed>> {
        let uid = portfolio.metadata.uid.as_deref()?;
        self.by_uid.read().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// Notes what a round saw.
    pub fn set(&self, portfolio: &Portfolio, observed: Observed) {
        if let Some(uid) = portfolio.metadata.uid.clone() {
            self.by_uid.write().unwrap_or_else(PoisonError::into_inner).insert(uid, Arc::new(observed));
        }
    }

    /// The Portfolio is gone.
    pub fn forget(&self, portfolio: &Portfolio) {
        if let Some(uid) = portfolio.metadata.uid.as_deref() {
            self.by_uid.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(keys: &[&str]) -> HashMap<String, u8> {
        keys.iter().map(|key| ((*key).to_owned(), 1)).collect()
    }

    fn expect(key: &str, shown: Shown) -> Expected {
        Expected { key: key.into(), shown }
    }

    #[test]
    fn what_is_news_is_asked_for_first_and_what_is_known_not_at_all() {
        let mut expected = vec![expect("a", Shown::Gone), expect("b", Shown::Otherwise), expect("z", Shown::There)];
        let (known, ask) = missing(&expected, &list(&["z"]));
        assert_eq!((known, ask), (HashSet::from(["a".to_owned()]), vec!["b".to_owned()]));
        expected.extend((0..9).map(|n| expect(&format!("n{n}"), Shown::There)));
        let (_, ask) = missing(&expected, &list(&[]));
        assert_eq!(ask, ["n0", "n1", "n2", "n3", "n4"]);
        assert_eq!(missing(&expected[2..3], &list(&["z"])), (HashSet::new(), Vec::new()));
    }

    #[test]
    fn only_what_is_proven_is_gone() {
        let known = || HashSet::from(["k".to_owned()]);
        let looks =
            vec![("a".to_owned(), Look::Gone), ("b".to_owned(), Look::Unclear), ("c".to_owned(), Look::Otherwise(2))];
        let seen = Seen::new(list(&["x"]), known(), looks);
        let of = |key| seen.of(key);
        assert_eq!(
            [of("a"), of("k"), of("b"), of("never asked")],
            [Presence::Gone, Presence::Gone, Presence::Unknown, Presence::Unknown]
        );
        assert_eq!((of("x"), of("c")), (Presence::There(&1), Presence::There(&2)));
        // One of those that the list lacks is there all the same: a page got lost.
        let looks = vec![("a".to_owned(), Look::Gone), ("b".to_owned(), Look::Contradiction)];
        let seen = Seen::new(list(&["x"]), known(), looks);
        for key in ["a", "b", "k"] {
            assert_eq!(seen.of(key), Presence::Unknown, "{key}");
        }
    }
}
