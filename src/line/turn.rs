//! Whose turn it is: which epoch a line has with its company, and from when on what is written to it is that company's.
//! Pure.
//!
//! Must never let a message that the former owner's log may hold be taken for the new owner's.

use jiff::Timestamp;

use crate::domain::CompanyId;
use crate::store::{FenceAction, Route};

/// Meta's clock and the store's differ by less, in seconds.
const CLOCKS: i64 = 300;

/// Epoch of the line under its new or old company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The epoch of fence and route.
    pub epoch: i64,
    /// From when on it is this company's.
    pub since: Since,
    /// The company whose log gets a fence "taken" first, with the epoch it had.
    pub taken_from: Option<(CompanyId, i64)>,
}

/// From when on what candidates write to the line is its company's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// As it was: None for the line's first owner.
    Kept(Option<Timestamp>),
    /// From the moment at which both fences stand.
    Fences,
}

impl Since {
    /// The route's `epoch_at`, in whole seconds. `now` is the store's time, read after both fences were written (the
    /// controller's machine may have lost its own), `newest` Meta's time of the newest message of the line that the former
    /// owner's log holds: none of those is the new owner's, whatever any clock says.
    ///
    /// Meta tells times in whole seconds, and until its fence stood a replica with an older route could still write the
    /// former owner's log. So the second in which it came to stand is the former owner's: else a message of that second, which
    /// is in his log, would be stored in the new owner's as well when Meta repeats it.
    pub fn epoch_at(self, now: Timestamp, newest: Option<i64>) -> Option<Timestamp> {
        match self {
            Self::Kept(at) => at,
            Self::Fences => {
                let second = now.as_second();
                // A time that nobody's clock can have would keep the new owner's messages away for ever.
                let newest = newest.filter(|newest| *newest < second.saturating_add(CLOCKS)).unwrap_or(second);
                Some(Timestamp::from_second(second.max(newest).saturating_add(1)).unwrap_or(now))
            }
        }
    }
}

/// Which epoch the line has with this company. `current` is the line's route, `known` the line's last fence in the company's
/// own log.
///
/// The route says who has the line; the log may know more: that a hand-over to another company was begun and given up
/// (its fence "taken" stands, and what this epoch brings is refused), or that ours was begun before (its fence "given"
/// stands, and is the one to go on with). An epoch that was taken is never given again.
pub fn hand_over(current: Option<&Route>, known: Option<(i64, FenceAction)>, company: &CompanyId) -> Turn {
    let last = current.map_or(0, |route| route.epoch);
    let same = current.is_none_or(|route| route.company_id == *company);
    let least = if same { last.max(1) } else { last + 1 };
    let epoch = match known {
        Some((epoch, FenceAction::Given)) => epoch.max(least),
        Some((epoch, FenceAction::Taken)) => (epoch + 1).max(least),
        None => least,
    };
    let since = match current {
        // Nobody else has had the line since: what candidates wrote meanwhile is this company's.
        Some(route) if same => Since::Kept(route.epoch_at),
        None if epoch == 1 => Since::Kept(None),
        _ => Since::Fences,
    };
    let taken_from = current.filter(|_| !same).map(|route| (route.company_id.clone(), route.epoch));
    Turn { epoch, since, taken_from }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RouteState;

    fn disabled(company: &str, epoch: i64) -> Route {
        Route { company_id: company.parse().unwrap(), epoch, state: RouteState::Disabled, ..Route::example() }
    }

    #[test]
    fn hand_overs() {
        use FenceAction::{Given, Taken};
        use Since::{Fences, Kept};
        let before: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
        let atlas: CompanyId = "atlas".parse().unwrap();
        let second = Route { epoch_at: Some(before), ..disabled("atlas", 2) };
        let rif = |epoch| Some((CompanyId::parse("rif").unwrap(), epoch));
        for (what, current, known, epoch, since, taken_from) in [
            ("a new line", None, None, 1, Kept(None), None),
            ("begun before, died before the route", None, Some((1, Given)), 1, Kept(None), None),
            ("the route is gone, the log remembers", None, Some((1, Taken)), 2, Fences, None),
            ("the same company again", Some(disabled("atlas", 3)), Some((3, Given)), 3, Kept(None), None),
            ("its log was restored without fences", Some(disabled("atlas", 3)), None, 3, Kept(None), None),
            ("keeps its start", Some(second.clone()), Some((2, Given)), 2, Kept(Some(before)), None),
            ("a hand-over to another was given up", Some(disabled("atlas", 1)), Some((1, Taken)), 2, Kept(None), None),
            ("and its start is kept", Some(second), Some((2, Taken)), 3, Kept(Some(before)), None),
            ("another company's before", Some(disabled("rif", 1)), None, 2, Fences, rif(1)),
            ("ours was begun before", Some(disabled("rif", 1)), Some((2, Given)), 2, Fences, rif(1)),
            ("ours long ago, theirs since", Some(disabled("rif", 2)), Some((1, Taken)), 3, Fences, rif(2)),
            ("ours long ago, never fenced out", Some(disabled("rif", 2)), Some((2, Given)), 3, Fences, rif(2)),
        ] {
            let turn = hand_over(current.as_ref(), known, &atlas);
            assert_eq!(turn, Turn { epoch, since, taken_from }, "{what}");
        }
    }

    #[test]
    fn the_second_in_which_the_fences_came_to_stand_is_the_former_owners() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let second = at("2026-11-01T10:00:00Z").as_second();
        for (now, newest, want) in [
            ("2026-11-01T10:00:00Z", None, 1),
            ("2026-11-01T10:00:00.7Z", None, 1),
            ("2026-11-01T10:00:00.7Z", Some(-5), 1),
            // The store's clock is behind Meta's.
            ("2026-11-01T10:00:00Z", Some(0), 1),
            ("2026-11-01T10:00:00Z", Some(70), 71),
            ("2026-11-01T10:00:00Z", Some(300), 1),
            ("2026-11-01T10:00:00Z", Some(i64::MAX - second), 1),
        ] {
            let (want, newest) = (Timestamp::from_second(second + want).ok(), newest.map(|newest| second + newest));
            assert_eq!(Since::Fences.epoch_at(at(now), newest), want, "{now} {newest:?}");
        }
        assert_eq!(Since::Kept(None).epoch_at(at("2026-11-01T10:00:00Z"), Some(second)), None);
    }
}
