//! Fences: entries of the log that say which lines a company holds. Whoever appends has read them all, so a router with
//! an old route can't write past one.
//!
//! The fold is pure. An item is taken only if the log holds its line with exactly the epoch of the route that brought
//! it; in doubt it is refused, and the caller puts it into quarantine.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::domain::PhoneNumberId;

use super::log_entry::{Kind, LogEntry};

/// What a fence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FenceAction {
    /// From here on the line is this company's.
    Given,
    /// From here on it is not.
    Taken,
}

impl FenceAction {
    /// The word in MongoDB.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Taken => "taken",
        }
    }
}

/// Why an item may not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The company is being erased.
    #[error("the company is being erased and takes nothing more")]
    Closed,
    /// The log does not hold the line (yet, or not any more).
    #[error("the log does not hold this line: the controller appends a fence before it writes the route")]
    NotHeld,
    /// The route is of an older epoch than the log's.
    #[error("the route is older than the line's last fence: wait for the routes to be read again")]
    StaleEpoch,
    /// A status on a line that changed hands, of a message that isn't in this log.
    #[error("the status speaks of a message that is not in this log")]
    UnknownMessage,
}

/// Which lines a log holds, folded from its fences in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fences {
    lines: HashMap<PhoneNumberId, (i64, FenceAction)>,
    closed: bool,
}

impl Fences {
    /// Takes in one entry; others than fences change nothing. Entries must come in the order of their seq.
    pub fn fold(&mut self, entry: &LogEntry) {
        match (entry.kind, &entry.line, entry.epoch, entry.action) {
            (Kind::Closed, ..) => self.closed = true,
            (Kind::Fence, Some(line), Some(epoch), Some(action)) => {
                self.apply(&line.phone_number_id, epoch, action);
            }
            _ => {}
        }
    }

    fn apply(&mut self, line: &PhoneNumberId, epoch: i64, action: FenceAction) {
        // A fence of an older epoch than the last says nothing about the line as it is now.
        if self.lines.get(line).is_none_or(|(known, _)| *known <= epoch) {
            self.lines.insert(line.clone(), (epoch, action));
        }
    }

    /// May an item of this line be appended, brought here by a route of this epoch?
    pub fn allows(&self, line: &PhoneNumberId, epoch: i64) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        match self.lines.get(line) {
            Some((known, FenceAction::Given)) if *known == epoch => Ok(()),
            Some((known, _)) if *known > epoch => Err(Refused::StaleEpoch),
            _ => Err(Refused::NotHeld),
        }
    }

    /// May this fence be appended? Epochs only rise, and nothing follows `closed`.
    pub fn allows_fence(&self, line: &PhoneNumberId, epoch: i64) -> Result<(), Refused> {
        match self.lines.get(line) {
            _ if self.closed => Err(Refused::Closed),
            Some((known, _)) if *known > epoch => Err(Refused::StaleEpoch),
            _ => Ok(()),
        }
    }

    /// Is the company being erased?
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// All lines that the log ever held.
    pub fn lines(&self) -> impl Iterator<Item = &PhoneNumberId> {
        self.lines.keys()
    }

    /// The line's last epoch and fence.
    pub fn line(&self, line: &PhoneNumberId) -> Option<(i64, FenceAction)> {
        self.lines.get(line).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(fences: &[(&str, i64, FenceAction)]) -> Fences {
        let mut all = Fences::default();
        for (line, epoch, action) in fences {
            all.apply(&PhoneNumberId::parse(*line).unwrap(), *epoch, *action);
        }
        all
    }

    #[test]
    fn who_may_write() {
        use FenceAction::{Given, Taken};
        let line = PhoneNumberId::parse("1").unwrap();
        type Row<'a> = (&'a [(&'a str, i64, FenceAction)], i64, Result<(), Refused>);
        let table: [Row<'_>; 9] = [
            (&[], 1, Err(Refused::NotHeld)),
            (&[("2", 1, Given)], 1, Err(Refused::NotHeld)),
            (&[("1", 1, Given)], 1, Ok(())),
            // The route is ahead of what this writer has read, or the fence was not written.
            (&[("1", 1, Given)], 2, Err(Refused::NotHeld)),
            (&[("1", 1, Given), ("1", 1, Taken)], 1, Err(Refused::NotHeld)),
            // Came back to the same company as its third owner.
            (&[("1", 1, Given), ("1", 1, Taken), ("1", 3, Given)], 3, Ok(())),
            (&[("1", 1, Given), ("1", 1, Taken), ("1", 3, Given)], 1, Err(Refused::StaleEpoch)),
            // A late fence of an old epoch changes nothing.
            (&[("1", 3, Given), ("1", 1, Taken)], 3, Ok(())),
            (&[("1", 2, Given), ("1", 2, Taken)], 2, Err(Refused::NotHeld)),
        ];
        for (fences, epoch, want) in table {
            assert_eq!(folded(fences).allows(&line, epoch), want, "{fences:?} {epoch}");
        }
    }

    #[test]
    fn nothing_follows_closed() {
        let line = PhoneNumberId::parse("1").unwrap();
        let mut fences = folded(&[("1", 1, FenceAction::Given)]);
        fences.closed = true;
        assert_eq!(fences.allows(&line, 1), Err(Refused::Closed));
        assert_eq!(fences.allows_fence(&line, 2), Err(Refused::Closed));
    }
}
