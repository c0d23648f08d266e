//! What one round saw of all numbers, for the lines: each looks at it instead of asking the providers itself.
//!
//! Absence needs proof. A number that a list lacks counts as gone only when the provider, asked for it alone, says so too;
//! when it says the opposite, the list was not complete and proves nothing about any line in that round. What was not
//! read is Unknown. Must never call a line gone on a list's word alone: a page that got lost would take lines down that work.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

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
    complete: bool,
}

impl<T> Seen<T> {
    /// From a complete list and the looks at those it lacks; `known`: lacking, and shown as gone already.
    pub fn new(there: HashMap<String, T>, known: HashSet<String>, looks: Vec<(String, Look<T>)>) -> Self {
        let complete = !looks.iter().any(|(_, look)| matches!(look, Look::Contradiction));
        let mut seen = Self { there, gone: if complete { known } else { HashSet::new() }, complete };
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

    /// False: the list lacked a number that is there all the same.
    pub fn complete(&self) -> bool {
        self.complete
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
    /// Lines that have acted upon this since, by uid.
    pub acted: Acted,
}

/// Lines for which an observation is not true any more: they have changed at a provider what it shows.
#[derive(Debug, Default)]
pub struct Acted(Mutex<HashSet<String>>);

impl Observed {
    /// Whether this tells something of a line. A line that was still on its way stands in the lists as it was then, not
    /// connected yet, and one made anew is not the former holder of its number.
    pub fn tells_of(&self, uid: &str) -> bool {
        self.about.contains(uid) && !self.acted.0.lock().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }

    /// From now on this tells nothing of a line: it changes at a provider what is shown here, and must not do so again
    /// before the next round has looked.
    pub fn acted_upon(&self, uid: &str) {
        self.acted.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned());
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

/// Of the expected ones, what a list lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Shown as gone already.
    pub known: HashSet<String>,
    /// To be asked for alone: what is news.
    pub news: Vec<String>,
    /// To be asked for alone: what is shown to be there in another way.
    pub old: Vec<String>,
}

/// Of the expected ones, what a list lacks, and who is asked for alone, as long as `LOOKS` lasts. What is news goes first,
/// but leaves one place to what is not; within both the round goes on after the one that was asked for last (`news` and
/// `old`), so that each gets its turn.
pub fn missing<T>(expected: &[Expected], there: &HashMap<String, T>, [news, old]: [Option<String>; 2]) -> Missing {
    let lacking = || expected.iter().filter(|e| !there.contains_key(&e.key));
    let shown = |as_what| lacking().filter(move |e| e.shown == as_what).map(|e| &e.key).collect::<BTreeSet<_>>();
    let (news, old) = (in_turn(&shown(Shown::There), news.as_ref()), in_turn(&shown(Shown::Otherwise), old.as_ref()));
    let first = news.len().min(if old.is_empty() { LOOKS } else { LOOKS - 1 });
    Missing {
        known: shown(Shown::Gone).into_iter().cloned().collect(),
        news: news.into_iter().take(first).cloned().collect(),
        old: old.into_iter().take(LOOKS - first).cloned().collect(),
    }
}

/// All of them, beginning with the one that follows `last`.
pub fn in_turn<'a>(keys: &BTreeSet<&'a String>, last: Option<&String>) -> Vec<&'a String> {
    let after = |key: &&&'a String| last.is_some_and(|last| **key <= last);
    keys.iter().filter(|key| !after(key)).chain(keys.iter().filter(after)).copied().collect()
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
    pub fn set(&self, portfolio: &Portfolio, observed: Observed) -> Arc<Observed> {
        let observed = Arc::new(observed);
        if let Some(uid) = portfolio.metadata.uid.clone() {
            self.by_uid.write().unwrap_or_else(PoisonError::into_inner).insert(uid, observed.clone());
        }
        observed
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
        let none = || [None, None];
        let lacks = missing(&expected, &list(&["z"]), none());
        let known = HashSet::from(["a".to_owned()]);
        assert_eq!(lacks, Missing { known, news: Vec::new(), old: vec!["b".to_owned()] });
        expected.extend((0..9).map(|n| expect(&format!("n{n}"), Shown::There)));
        let lacks = missing(&expected, &list(&[]), none());
        assert_eq!(
            (lacks.news, lacks.old),
            (["n0", "n1", "n2", "n3"].map(str::to_owned).to_vec(), vec!["b".to_owned()])
        );
        assert_eq!(missing(&expected[2..3], &list(&["z"]), none()), Missing::default());
    }

    #[test]
    fn each_that_a_list_lacks_gets_its_turn() {
        let of = |shown, n| (0..n).map(move |i| expect(&format!("{shown:?}{i:02}"), shown));
        let expected: Vec<Expected> = of(Shown::There, 11).chain(of(Shown::Otherwise, 3)).collect();
        let (mut last, mut asked) = ([None, None], HashSet::new());
        for _ in 0..3 {
            let lacks = missing(&expected, &list(&[]), last);
            assert_eq!((lacks.news.len(), lacks.old.len()), (LOOKS - 1, 1));
            last = [lacks.news.last().cloned(), lacks.old.last().cloned()];
            asked.extend(lacks.news.into_iter().chain(lacks.old));
        }
        assert_eq!(asked.len(), expected.len());
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
