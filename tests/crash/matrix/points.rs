//! The points of the matrix, from what reference runs did. Pure.
//!
//! A write is killed before its effect, and after it with the answer lost; "after the answer and before the next write"
//! is the moment before the next write's effect, so each write stands for that of the one before it too, and only the
//! last one has it for itself. A read changes nothing: it is killed once, with its answer. Reads between two writes leave
//! everything as it is, so each of them counts once there, however often it is repeated.
//! Must never leave a write out.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Channel, LISTENING, What};

/// Which one: the nth of its name since the phase began.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nth {
    pub what: What,
    pub nth: usize,
}

/// When the controller is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// It has not taken effect and never does. The write before it is answered.
    Before,
    /// It took effect, the answer is lost.
    Lost,
    /// The last write of all is answered.
    Answered,
    /// It has not taken effect, and does when the restarted controller, or the other one, has gone on: an old packet on
    /// its way.
    Late,
}

impl Moment {
    pub fn text(self) -> &'static str {
        match self {
            Self::Before => "before its effect",
            Self::Lost => "answer lost",
            Self::Answered => "answered, nothing follows",
            Self::Late => "old request arrives late",
        }
    }
}

/// A point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    pub target: Nth,
    /// The write after which a read is meant; None: since the beginning.
    pub after: Option<Nth>,
    pub moment: Moment,
    /// How the table calls it.
    pub label: String,
}

/// Calls of which an old one may still arrive when the restarted controller has gone on.
const LATE: [&str; 7] = [
    "telnyx.create_number_order",
    "telnyx.update_number",
    "meta.create_number",
    "meta.request_code",
    "meta.register",
    "meta.deregister",
    "telnyx.delete_number",
];

/// Whoever writes a Portfolio's status writes its whole ledger: the first write with a claim in a new state is the claim
/// itself, the second one the Portfolio's own counts. How many counts follow depends on timing, and they are all alike.
const LEDGER: usize = 2;

/// One thing that happened in a run, where it counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    target: Nth,
    after: Option<Nth>,
}

/// What counts of a run, in order.
fn places(run: &[What]) -> Vec<Place> {
    let mut counts: BTreeMap<&What, usize> = BTreeMap::new();
    let mut after: Option<Nth> = None;
    let mut reads = BTreeSet::new();
    let mut places = Vec::new();
    for what in run {
        if what.write {
            let nth = counts.entry(what).or_default();
            *nth += 1;
            if what.name.starts_with("ledger ") && *nth > LEDGER {
                continue;
            }
            // The first is the count of the request; those after it tell stages of the call, as far as they are seen.
            if what.name.ends_with(&format!("\"{LISTENING}\"")) && *nth > 1 {
                continue;
            }
            let target = Nth { what: what.clone(), nth: *nth };
            places.push(Place { target: target.clone(), after: None });
            after = Some(target);
            reads.clear();
        } else if reads.insert(what) {
            places.push(Place { target: Nth { what: what.clone(), nth: 1 }, after: after.clone() });
        }
    }
    places
}

/// The points of a phase, from two runs of it: what only one of them did depended on timing.
pub fn points(run: &[What], again: &[What]) -> Vec<Point> {
    let same: BTreeSet<Place> = places(again).into_iter().collect();
    let places: Vec<Place> = places(run).into_iter().filter(|place| same.contains(place)).collect();
    let last_write = places.iter().rposition(|place| place.target.what.write);
    let mut points = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let mut add = |moment| {
            let label = label(place);
            points.push(Point { target: place.target.clone(), after: place.after.clone(), moment, label });
        };
        if place.target.what.write {
            add(Moment::Before);
        }
        add(Moment::Lost);
        if Some(number) == last_write {
            add(Moment::Answered);
        }
        if LATE.contains(&place.target.what.name.as_str()) {
            add(Moment::Late);
        }
    }
    points
}

/// The points of a leader that is stopped past its lease instead of killed. An answer that was lost lies ready for it when
/// it goes on; a write that had no effect yet has it then, when another leads and has gone on: whatever is written must be
/// refused or change nothing. Once the last write is answered nothing is left to go on with.
pub fn stopped(points: &[Point]) -> Vec<Point> {
    let late = |point: &&Point| LATE.contains(&point.target.what.name.as_str());
    let points = points.iter().filter(|point| match point.moment {
        Moment::Lost | Moment::Late => true,
        // As an old packet it is among them already.
        Moment::Before => !late(point),
        Moment::Answered => false,
    });
    let moment = |point: &Point| if point.moment == Moment::Lost { Moment::Lost } else { Moment::Late };
    points.map(|point| Point { moment: moment(point), ..point.clone() }).collect()
}

fn label(place: &Place) -> String {
    let nth = |of: &Nth| if of.nth > 1 { format!("{} ({})", of.what.name, of.nth) } else { of.what.name.clone() };
    match (&place.after, place.target.what.write) {
        (Some(after), false) => format!("{} after {}", place.target.what.name, nth(after)),
        _ => nth(&place.target),
    }
}

/// How many points there are of each channel, writes and reads.
pub fn by_channel<'a>(points: impl IntoIterator<Item = &'a Point>) -> BTreeMap<Channel, usize> {
    let mut counts: BTreeMap<Channel, usize> = Channel::ALL.into_iter().map(|channel| (channel, 0)).collect();
    for point in points {
        *counts.entry(point.target.what.channel).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(name: &str, write: bool) -> What {
        What { channel: Channel::Telnyx, name: name.to_owned(), write }
    }

    fn told(points: &[Point]) -> Vec<(String, Moment)> {
        points.iter().map(|p| (p.label.clone(), p.moment)).collect()
    }

    #[test]
    fn writes_are_killed_twice_and_reads_once_between_two_writes() {
        let run = [
            what("search", false),
            what("put", true),
            what("poll", false),
            what("look", false),
            what("poll", false),
            what("put", true),
            what("poll", false),
        ];
        let expected = [
            ("search", Moment::Lost),
            ("put", Moment::Before),
            ("put", Moment::Lost),
            ("poll after put", Moment::Lost),
            ("look after put", Moment::Lost),
            ("put (2)", Moment::Before),
            ("put (2)", Moment::Lost),
            ("put (2)", Moment::Answered),
            ("poll after put (2)", Moment::Lost),
        ];
        let expected: Vec<_> = expected.iter().map(|(label, moment)| ((*label).to_owned(), *moment)).collect();
        assert_eq!(told(&points(&run, &run)), expected);
    }

    #[test]
    fn what_only_one_run_did_is_no_point() {
        let run = [what("put", true), what("poll", false)];
        let other = [what("put", true)];
        assert_eq!(points(&run, &other).len(), 3);
        assert!(points(&run, &[]).is_empty());
    }

    #[test]
    fn of_the_counts_that_repeat_a_claim_one_stands_for_all() {
        let run = vec![what("ledger claim", true); 4];
        let labels: BTreeSet<String> = points(&run, &run).into_iter().map(|p| p.label).collect();
        assert_eq!(labels, BTreeSet::from(["ledger claim".to_owned(), "ledger claim (2)".to_owned()]));
    }

    #[test]
    fn who_is_stopped_finds_each_answer_and_its_writes_come_late_once() {
        let run = [what("telnyx.create_number_order", true), what("look", false), what("put", true)];
        use Moment::{Late, Lost};
        let expected = [
            ("telnyx.create_number_order", Lost),
            ("telnyx.create_number_order", Late),
            ("look after telnyx.create_number_order", Lost),
            ("put", Late),
            ("put", Lost),
        ];
        let expected: Vec<_> = expected.iter().map(|(label, moment)| ((*label).to_owned(), *moment)).collect();
        assert_eq!(told(&stopped(&points(&run, &run))), expected);
    }

    #[test]
    fn an_order_may_arrive_late() {
        let run = [what("telnyx.create_number_order", true), what("put", true)];
        let moments: Vec<Moment> = points(&run, &run).iter().map(|p| p.moment).collect();
        use Moment::{Answered, Before, Late, Lost};
        assert_eq!(moments, [Before, Lost, Late, Before, Lost, Answered]);
    }
}
