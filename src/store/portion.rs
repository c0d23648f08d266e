//! How much the next insert bears, and from where: less after the store refused one as a whole, until it is plain which item
//! is at fault; and nothing any more when the store refuses whatever it is given.
//!
//! Pure but for where it looks. Must never let items pay for others that came before them: what was not tried is given up
//! only after several others, from different places, met the same refusal and none was stored in between.

use rand::RngExt;

/// Items of one insert at most. Each insert is durable by itself: what is cut off by a deadline goes on from there when
/// Meta comes again.
const MOST: usize = 250;
/// The same refusal, of so many items one after the other: the rest would meet it too.
const ENOUGH: usize = 5;
/// Of these so many from the front; then it is looked elsewhere, for a few that are at fault may stand together.
const FROM_THE_FRONT: usize = 3;

/// An insert that was refused is tried again with so many times fewer items. With four, the one that is at fault is found by
/// as many inserts as with two, and a store that refuses all by half as many.
const LESS: usize = 4;

/// What the next insert bears.
#[derive(Debug)]
pub(super) struct Portion {
    size: usize,
    /// The last refusal, and how many items met it since something was stored.
    refusal: Option<(String, usize)>,
}

impl Default for Portion {
    fn default() -> Self {
        Self { size: MOST, refusal: None }
    }
}

impl Portion {
    /// How many of the open items are left out, and how many come next. Elsewhere is the end, and then a place that is
    /// drawn, so that a repeat of the same items looks at others.
    pub(super) fn next(&self, open: usize, draw: &mut impl rand::Rng) -> (usize, usize) {
        let from = match self.refusal.as_ref().map_or(0, |(_, times)| *times) {
            0..FROM_THE_FRONT => 0,
            FROM_THE_FRONT => open.saturating_sub(1),
            _ => draw.random_range(0..open.max(1)),
        };
        (from, self.size)
    }

    /// Something was stored.
    pub(super) fn stored(&mut self) {
        self.refusal = None;
        self.size = (self.size * 2).min(MOST);
    }

    /// An insert of so many items was refused as a whole.
    pub(super) fn refused(&mut self, items: usize) {
        self.size = (items / LESS).max(1);
    }

    /// One item was refused, for this reason. True: all others would be.
    pub(super) fn refused_one(&mut self, why: &str) -> bool {
        let before = self.refusal.take().filter(|(same, _)| same == why).map_or(0, |(_, times)| times);
        self.refusal = Some((why.to_owned(), before + 1));
        before + 1 >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::SmallRng};
    use std::collections::BTreeSet;

    /// How a store refuses.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Refuses {
        /// The whole insert, whichever of its items is at fault.
        Whole,
        /// The first that is at fault, after having stored those before it.
        One,
    }

    /// Appends as the appender does, and takes away what was stored: how many were stored, refused and given up on, and the
    /// inserts.
    fn append_with(
        draw: &mut SmallRng,
        items: &mut Vec<usize>,
        refuses: Refuses,
        bad: impl Fn(usize) -> Option<&'static str>,
    ) -> [usize; 4] {
        let mut portion = Portion::default();
        let mut open: BTreeSet<usize> = items.iter().copied().collect();
        let (mut stored, mut refused, mut inserts) = (BTreeSet::new(), 0, 0);
        while !open.is_empty() {
            let (from, size) = portion.next(open.len(), draw);
            let chosen: Vec<usize> = open.iter().copied().skip(from).take(size).collect();
            assert!(!chosen.is_empty() && chosen.len() <= MOST);
            inserts += 1;
            let first = chosen.iter().enumerate().find_map(|(at, item)| Some((at, bad(*item)?)));
            let fine = match first {
                None => chosen.len(),
                Some((at, _)) if refuses == Refuses::One => at,
                Some(_) => 0,
            };
            chosen[..fine].iter().for_each(|item| assert!(open.remove(item) && stored.insert(*item)));
            if fine > 0 {
                portion.stored();
            }
            match first {
                Some((at, why)) if refuses == Refuses::One || chosen.len() == 1 => {
                    open.remove(&chosen[at]);
                    refused += 1;
                    if portion.refused_one(why) {
                        break;
                    }
                }
                Some(_) => portion.refused(chosen.len()),
                None => {}
            }
        }
        items.retain(|item| !stored.contains(item));
        [stored.len(), refused, open.len(), inserts]
    }

    fn append(count: usize, refuses: Refuses, bad: impl Fn(usize) -> Option<&'static str>) -> [usize; 4] {
        append_with(&mut SmallRng::seed_from_u64(5), &mut (0..count).collect(), refuses, bad)
    }

    #[test]
    fn a_store_that_refuses_all_is_given_up_on_after_a_few_inserts() {
        for refuses in [Refuses::Whole, Refuses::One] {
            for count in [1, 3, 5, 600, 10_000] {
                let [stored, refused, left, inserts] = append(count, refuses, |_| Some("code 13"));
                assert_eq!((stored, refused, left), (0, count.min(ENOUGH), count - refused), "{count} {refuses:?}");
                assert!(inserts < 10, "{inserts} inserts for {count} {refuses:?}");
            }
        }
    }

    #[test]
    fn few_that_are_refused_cost_no_other_its_place() {
        let other = |n: usize| ["one", "another"][n % 2];
        type Bad = Box<dyn Fn(usize) -> Option<&'static str>>;
        let table: Vec<(&str, usize, Bad)> = vec![
            ("none", 0, Box::new(|_| None)),
            ("the first", 1, Box::new(|n| (n == 0).then_some("bad"))),
            ("one in the middle", 1, Box::new(|n| (n == 333).then_some("bad"))),
            ("the last", 1, Box::new(|n| (n == 599).then_some("bad"))),
            ("three together", 3, Box::new(|n| (n < 3).then_some("bad"))),
            ("every hundredth", 6, Box::new(|n| (n % 100 == 7).then_some("bad"))),
            ("each for another reason than the one before", 40, Box::new(move |n| (n < 40).then(|| other(n)))),
        ];
        for (what, bad, is_bad) in table {
            for refuses in [Refuses::Whole, Refuses::One] {
                let [stored, refused, left, inserts] = append(600, refuses, &is_bad);
                assert_eq!((stored, refused, left), (600 - bad, bad, 0), "{what} {refuses:?}");
                assert!(inserts < 20 + 18 * bad, "{what} {refuses:?}: {inserts} inserts");
            }
        }
    }

    #[test]
    fn what_stands_behind_many_that_are_refused_is_stored() {
        for refuses in [Refuses::Whole, Refuses::One] {
            let [stored, refused, left, inserts] = append(600, refuses, |n| (n < 100).then_some("bad"));
            assert_eq!((stored, refused, left), (500, 100, 0), "{refuses:?}");
            assert!(inserts < 400, "{inserts} {refuses:?}");
        }
    }

    #[test]
    fn what_stands_between_many_that_are_refused_is_found_by_a_repeat() {
        for refuses in [Refuses::Whole, Refuses::One] {
            let mut draw = SmallRng::seed_from_u64(3);
            let mut open: Vec<usize> = (0..300).collect();
            let is_bad = |n: usize| (!(100..200).contains(&n)).then_some("bad");
            // Once a minute for seven days, as from the quarantine.
            let found = (0..10_080).find(|_| {
                append_with(&mut draw, &mut open, refuses, is_bad);
                open.iter().all(|n| is_bad(*n).is_some())
            });
            assert!(found.is_some(), "{refuses:?}: {} are left", open.len());
        }
    }
}
