//! Which items may go to a line's company, by Meta's own time of them. Pure.
//!
//! Two rules: what was written before the line came to its company was meant for another; and what is so old that a repeat
//! would not be known for one any more is not stored by itself. A person may waive the second (`clientnumber replay
//! --reason too_old`), and nobody the first.

use jiff::Timestamp;

use crate::store::retention::RECOGNISED;
use crate::store::{Kind, QuarantineReason, Route};

use super::split::Item;

/// How old an item may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// As old as repeats are recognised, at this moment.
    Recent(Timestamp),
    /// A person has looked and says that it is no repeat.
    Any,
}

/// Why this item must not go to the company that the route names; None: it may.
pub fn refuse(item: &Item, route: &Route, age: Age) -> Option<QuarantineReason> {
    if is_before_epoch(item, route) {
        return Some(QuarantineReason::BeforeEpoch);
    }
    match age {
        Age::Recent(now) if is_too_old(item, now) => Some(QuarantineReason::TooOld),
        _ => None,
    }
}

/// Was it written before the line came to its present company? Then it was meant for another. What bears no time can't
/// be told from that on a line that changed hands. Statuses are judged by the message they speak of instead.
fn is_before_epoch(item: &Item, route: &Route) -> bool {
    match route.epoch_at {
        None => false,
        Some(_) if item.kind == Kind::Status => false,
        Some(epoch_at) => item.timestamp.is_none_or(|timestamp| timestamp < epoch_at.as_second()),
    }
}

/// Could it be a repeat of what retention has removed? What bears no time can't be judged and is stored, and so is an
/// event: its time is the oldest that it speaks of (`history` tells of months), and not its own.
fn is_too_old(item: &Item, now: Timestamp) -> bool {
    if !matches!(item.kind, Kind::Message | Kind::Status) {
        return false;
    }
    let oldest = now.as_second().saturating_sub(RECOGNISED.as_secs());
    item.timestamp.is_some_and(|timestamp| timestamp < oldest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::split::{self, Content};

    fn route(epoch_at: Option<&str>) -> Route {
        Route { epoch: 2, epoch_at: epoch_at.map(|at| at.parse().unwrap()), ..Route::example() }
    }

    fn item(kind: &str, timestamp: &str) -> Item {
        let (field, list) = match kind {
            "status" => ("messages", "statuses"),
            "event" => ("history", "history"),
            _ => ("messages", "messages"),
        };
        let value = format!(
            r#"{{"metadata":{{"phone_number_id":"1"}},"{list}":[{{"id":"w","status":"read","timestamp":{timestamp}}}]}}"#
        );
        let change = split::change("104", None, &format!(r#"{{"field":"{field}","value":{value}}}"#));
        let Content::Line { mut items, .. } = change.content else { panic!() };
        items.remove(0)
    }

    #[test]
    fn what_was_written_for_the_former_owner() {
        let moved = Some("1970-01-01T00:01:40Z");
        let table = [
            ("message", "\"99\"", None, None),
            ("message", "\"99\"", moved, Some(QuarantineReason::BeforeEpoch)),
            ("message", "\"100\"", moved, None),
            ("message", "null", moved, Some(QuarantineReason::BeforeEpoch)),
            ("message", "null", None, None),
            ("status", "\"99\"", moved, None),
        ];
        for (kind, timestamp, epoch_at, want) in table {
            assert_eq!(refuse(&item(kind, timestamp), &route(epoch_at), Age::Any), want, "{kind} {timestamp}");
        }
    }

    #[test]
    fn what_could_be_a_repeat_of_what_was_removed() {
        let days = |days: i64| days * 24 * 3600;
        let now = Timestamp::from_second(days(100)).unwrap();
        let (old, before) = (Some(QuarantineReason::TooOld), Some(QuarantineReason::BeforeEpoch));
        let moved = Some("1970-03-01T00:00:00Z");
        let table = [
            ("message", days(92).to_string(), None, None),
            ("message", (days(92) - 1).to_string(), None, old),
            ("status", (days(92) - 1).to_string(), None, old),
            ("event", days(10).to_string(), None, None),
            ("message", "-1".to_owned(), None, old),
            ("message", "null".to_owned(), None, None),
            // Meta's clock runs ahead of ours.
            ("message", days(101).to_string(), None, None),
            // Nobody may waive that, so it is the reason that is told.
            ("message", days(10).to_string(), moved, before),
            ("message", days(80).to_string(), moved, old),
        ];
        for (kind, timestamp, epoch_at, want) in table {
            let (item, route) = (item(kind, &timestamp), route(epoch_at));
            assert_eq!(refuse(&item, &route, Age::Recent(now)), want, "{kind} {timestamp}");
            let waived = want.filter(|reason| *reason == QuarantineReason::BeforeEpoch);
            assert_eq!(refuse(&item, &route, Age::Any), waived, "{kind} {timestamp}");
        }
    }
}
