//! The items of one append on their way: which are settled, which are still open, and what they become in the log.
//!
//! Pure but for random ids. An item is settled by evidence only: an insert that was acknowledged, or an entry that was
//! read from the log.

use std::collections::{HashMap, HashSet};

use rand::RngExt;

use crate::domain::Pii;

use super::appender::Outcome;
use super::fences::{FenceAction, Fences, Refused};
use super::log_entry::{Kind, LogEntry, NewEntry, Seq};
use super::people::People;

/// Entries of one insert at most. Each insert is durable by itself: what is cut off by a deadline goes on from there when
/// Meta comes again.
const BATCH: usize = 250;

/// Items on their way, each until it has an outcome.
pub(super) struct Job {
    pub(super) items: Vec<NewEntry>,
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// Items that repeat an earlier one of the same job.
    pub(super) repeats: Vec<(usize, usize)>,
    /// Read the tail before the next insert.
    pub(super) behind: bool,
    /// Ask the log which are there before the next insert.
    pub(super) look_up: bool,
    /// Fingerprints of all entries that were sent.
    pub(super) sent: HashSet<String>,
    /// Messages that items speak of: which were asked for, and those that are in the log.
    pub(super) asked: HashSet<Pii<String>>,
    pub(super) messages: HashMap<Pii<String>, LogEntry>,
    /// What was known of the items' candidates at the view's head; None: ask again.
    pub(super) people: Option<People>,
    /// Whether no open item is in the log up to the view's head.
    pub(super) all_new: bool,
    pub(super) batch: usize,
}

impl Job {
    pub(super) fn new(items: Vec<NewEntry>) -> Self {
        let mut first = HashMap::new();
        let mut repeats = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = &item.meta_id {
                match first.get(id) {
                    Some(original) => repeats.push((index, *original)),
                    None => {
                        first.insert(id.clone(), index);
                    }
                }
            }
        }
        let mut outcomes = vec![None; items.len()];
        // Held back by a mark that `into_outcomes` replaces.
        repeats.iter().for_each(|(index, _)| outcomes[*index] = Some(Outcome::Duplicate));
        Self {
            items,
            outcomes,
            repeats,
            behind: false,
            look_up: false,
            sent: HashSet::new(),
            asked: HashSet::new(),
            messages: HashMap::new(),
            people: None,
            all_new: false,
            batch: BATCH,
        }
    }

    pub(super) fn open(&self) -> impl Iterator<Item = (usize, &NewEntry)> {
        self.items.iter().enumerate().filter(|(index, _)| self.outcomes[*index].is_none())
    }

    pub(super) fn is_open(&self) -> bool {
        self.outcomes.iter().any(Option::is_none)
    }

    pub(super) fn settle(&mut self, index: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(index) {
            *slot = Some(outcome);
        }
    }

    /// Takes in an entry at the view's head, in the order of seq.
    pub(super) fn learn(&mut self, entry: &LogEntry) {
        if let Some(people) = &mut self.people {
            people.fold(entry);
        }
        // What was asked for before it was there.
        if let Some(id) = entry.meta_id.as_ref().filter(|id| self.asked.contains(*id)) {
            self.messages.insert(id.clone(), entry.clone());
        }
    }

    /// Contacts of messages that these items speak of and that are not known yet.
    pub(super) fn strangers(&self, items: &[(usize, NewEntry)]) -> HashSet<String> {
        let messages = items.iter().filter_map(|(_, item)| self.messages.get(item.about.as_ref()?));
        let ids = messages.filter_map(|message| message.contact_id.as_ref());
        let known = |id: &&String| self.people.as_ref().is_some_and(|people| people.known(id).is_some());
        ids.filter(|id| !known(id)).cloned().collect()
    }

    /// Settles what these entries of the log are, and learns the messages that others speak of.
    pub(super) fn settle_present(&mut self, entries: impl IntoIterator<Item = LogEntry>) {
        let mut open: HashMap<Pii<String>, usize> =
            self.open().filter_map(|(index, item)| Some((item.meta_id.clone()?, index))).collect();
        for entry in entries {
            let Some(id) = entry.meta_id.clone() else { continue };
            if let Some(index) = open.remove(&id) {
                // Its fingerprint says whether it is what we sent, in an insert whose answer was lost or an error.
                let ours = self.sent.contains(&entry.fp);
                if ours {
                    tell_stored(&entry);
                }
                self.settle(index, if ours { Outcome::Stored(entry.seq) } else { Outcome::Duplicate });
            }
            if self.asked.contains(&id) {
                self.messages.insert(id, entry);
            }
        }
    }

    /// Settles what was erased and comes again: it is not stored a second time.
    pub(super) fn drop_gone(&mut self, is_gone: impl Fn(&Pii<String>) -> bool) {
        for (item, outcome) in self.items.iter().zip(&mut self.outcomes) {
            if outcome.is_none() && [&item.meta_id, &item.about].into_iter().flatten().any(&is_gone) {
                *outcome = Some(Outcome::Duplicate);
            }
        }
    }

    /// Refuses what the fences forbid. True if something would be refused by fences that are not known to be current.
    pub(super) fn refuse_by_fences(&mut self, fences: &Fences, current: bool) -> bool {
        for (item, outcome) in self.items.iter().zip(&mut self.outcomes) {
            let line = item.line.as_ref().map(|line| &line.phone_number_id);
            let verdict = match (item.kind, line) {
                (Kind::Closed, _) => Ok(()),
                (Kind::Erasure, _) if fences.is_closed() => Err(Refused::Closed),
                (Kind::Erasure, _) => Ok(()),
                (_, None) => Err(Refused::NotHeld),
                // The fence itself may be there already, then it is a repeat and not against the rule.
                (Kind::Fence, Some(line)) if fences.line(line) == fence_action(item).map(|a| (item.epoch, a)) => Ok(()),
                (Kind::Fence, Some(line)) => fences.allows_fence(line, item.epoch),
                (_, Some(line)) => fences.allows(line, item.epoch),
            };
            match verdict {
                Err(_) if outcome.is_none() && !current => return true,
                Err(reason) if outcome.is_none() => *outcome = Some(Outcome::Refused(reason)),
                _ => {}
            }
        }
        false
    }

    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        let mut outcomes = self.outcomes;
        for (index, original) in self.repeats {
            outcomes[index] = match &outcomes[original] {
                Some(Outcome::Stored(_)) | None => Some(Outcome::Duplicate),
                other => other.clone(),
            };
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Duplicate)).collect()
    }
}

/// So that a message can be followed by our id of it. Nothing of Meta's is told.
pub(super) fn tell_stored(entry: &LogEntry) {
    tracing::debug!(seq = entry.seq, kind = entry.kind.as_str(), message_id = entry.message_id.as_deref(), "stored");
}

pub(super) fn draft(item: &NewEntry, seq: Seq, at: jiff::Timestamp) -> LogEntry {
    let is_message = matches!(item.kind, Kind::Message | Kind::Sent);
    LogEntry {
        seq,
        kind: item.kind,
        at,
        fp: format!("{:016x}", rand::rng().random::<u64>()),
        ours: item.kind.is_ours(),
        line: item.line.clone(),
        epoch: Some(item.epoch),
        action: fence_action(item),
        meta_id: item.meta_id.clone(),
        contact_id: None,
        contact: None,
        message_id: is_message.then(|| random_id("m")),
        reply_to: None,
        refers_to: None,
        kind_of_message: item.kind_of_message.clone(),
        status: item.status.clone(),
        timestamp: item.timestamp,
        field: item.field.clone(),
        client_ref: item.client_ref.clone(),
        recruiter: item.recruiter.clone(),
        merged: Vec::new(),
        erased: item.erased.clone(),
        gone: item.gone.clone(),
        raw: item.raw.clone(),
    }
}

fn fence_action(item: &NewEntry) -> Option<FenceAction> {
    let id = item.meta_id.as_ref().filter(|_| item.kind == Kind::Fence)?.expose();
    Some(if id.ends_with(FenceAction::Given.as_str()) { FenceAction::Given } else { FenceAction::Taken })
}

/// An id of ours: a letter and 96 random bits. It is written into the log and read from there by all others.
pub(super) fn random_id(prefix: &str) -> String {
    let mut rng = rand::rng();
    format!("{prefix}{:016x}{:08x}", rng.random::<u64>(), rng.random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{E164, PhoneNumberId};
    use crate::store::LineRef;

    fn item(id: &str) -> NewEntry {
        let line = LineRef {
            phone_number_id: PhoneNumberId::parse("1").unwrap(),
            phone_number: E164::parse("+212612345678").unwrap(),
        };
        NewEntry { meta_id: Some(Pii(id.into())), ..NewEntry::new(Kind::Message, line, 1) }
    }

    #[test]
    fn entries_that_are_read_settle_items_by_who_wrote_them() {
        let mut job = Job::new(vec![item("a"), item("b"), item("c"), item("a")]);
        let at = jiff::Timestamp::UNIX_EPOCH;
        let (ours, theirs) = (draft(&item("a"), 7, at), draft(&item("b"), 8, at));
        job.sent.insert(ours.fp.clone());
        job.settle_present([ours, theirs]);
        assert_eq!(job.open().map(|(index, _)| index).collect::<Vec<_>>(), [2]);
        job.settle(2, Outcome::Refused(Refused::NotHeld));
        assert!(!job.is_open());
        let refused = Outcome::Refused(Refused::NotHeld);
        assert_eq!(job.into_outcomes(), [Outcome::Stored(7), Outcome::Duplicate, refused, Outcome::Duplicate]);
    }

    #[test]
    fn what_was_erased_is_a_repeat_and_so_is_what_speaks_of_it() {
        let status = NewEntry { about: Some(Pii("a".into())), ..item("a read") };
        let mut job = Job::new(vec![item("a"), status, item("b")]);
        job.settle(2, Outcome::Stored(7));
        job.drop_gone(|id| id.expose() == "a" || id.expose() == "b");
        assert!(!job.is_open());
        let outcomes = job.into_outcomes();
        assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Duplicate, Outcome::Stored(7)]);
    }

    #[test]
    fn an_erasure_needs_no_line_and_nothing_follows_closed() {
        let of = |kind| Job::new(vec![NewEntry::of(kind)]);
        for (kind, open) in [(Kind::Erasure, true), (Kind::Closed, true), (Kind::Message, false)] {
            let mut job = of(kind);
            job.refuse_by_fences(&Fences::default(), true);
            assert_eq!(job.is_open(), open, "{kind:?}");
        }
        let mut closed = Fences::default();
        closed.fold(&draft(&NewEntry::of(Kind::Closed), 1, jiff::Timestamp::UNIX_EPOCH));
        let mut job = of(Kind::Erasure);
        job.refuse_by_fences(&closed, true);
        assert_eq!(job.into_outcomes(), [Outcome::Refused(Refused::Closed)]);
    }

    #[test]
    fn a_repeat_of_a_refused_item_is_refused_too() {
        let mut job = Job::new(vec![item("a"), item("a")]);
        // Fences that may be old refuse nothing yet.
        assert!(job.refuse_by_fences(&Fences::default(), false) && job.is_open());
        assert!(!job.refuse_by_fences(&Fences::default(), true));
        assert_eq!(job.into_outcomes(), [Outcome::Refused(Refused::NotHeld), Outcome::Refused(Refused::NotHeld)]);
    }
}
