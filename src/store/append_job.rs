//! The items of one append on their way: which are settled, which are still open, and what they become in the log.
//!
//! Pure but for random ids. An item is settled by evidence only: an insert that was acknowledged, or an entry that was
//! read from the log.

use std::collections::{HashMap, HashSet};

use rand::RngExt;

use crate::domain::Pii;

use super::appender::Outcome;
use super::contacts::Wanted;
use super::erasure::told_to;
use super::fences::{FenceAction, Fences, Refused};
use super::log_entry::{Kind, LogEntry, NewEntry, Seq};
use super::people::People;
use super::portion::Portion;

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
    /// Candidates of items: whom it was asked about, and what is known of them at the view's head.
    pub(super) met: Wanted,
    pub(super) people: People,
    /// Whether no open item is in the log up to the view's head.
    pub(super) all_new: bool,
    pub(super) portion: Portion,
    /// Why the store takes none of what is open; it is told once it is known which are in the log already.
    pub(super) hopeless: Option<String>,
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
            met: Wanted::default(),
            people: People::of(usize::MAX),
            all_new: false,
            portion: Portion::default(),
            hopeless: None,
        }
    }

    /// Forgets what the log told: it is another one, or grew unseen.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.messages.clear();
        self.met = Wanted::default();
        self.people = People::of(usize::MAX);
        self.all_new = false;
    }

    /// The items of the next insert.
    pub(super) fn next_items(&self) -> Vec<(usize, NewEntry)> {
        let (from, count) = self.portion.next(self.open().count(), &mut rand::rng());
        self.open().skip(from).take(count).map(|(index, item)| (index, item.clone())).collect()
    }

    /// Whom these items speak of and the log was not asked about.
    pub(super) fn unmet(&self, items: &[(usize, NewEntry)]) -> Wanted {
        let mut wanted = Wanted::default();
        items.iter().for_each(|(_, item)| wanted.add(item));
        wanted.add_contacts(self.strangers(items));
        wanted.without(&self.met)
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

    /// The store refused an item for a reason that lies in it or in the company's database.
    pub(super) fn refuse(&mut self, index: usize, why: String) {
        if self.portion.refused_one(&why) {
            self.look_up |= !self.all_new;
            self.hopeless = Some(why.clone());
        }
        self.settle(index, Outcome::Unwritable(why));
    }

    /// Settles what the store would refuse too.
    pub(super) fn give_up(&mut self) {
        let Some(why) = self.hopeless.take() else { return };
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Outcome::Unwritable(why.clone()));
        }
    }

    /// Takes in an entry at the view's head, in the order of seq.
    pub(super) fn learn(&mut self, entry: &LogEntry) {
        self.people.fold(entry);
        // What was asked for before it was there.
        if let Some(id) = entry.meta_id.as_ref().filter(|id| self.asked.contains(*id)) {
            self.messages.insert(id.clone(), entry.clone());
        }
    }

    /// Contacts of messages that these items speak of and that are not known yet.
    fn strangers(&self, items: &[(usize, NewEntry)]) -> HashSet<String> {
        let messages = items.iter().filter_map(|(_, item)| self.messages.get(item.about.as_ref()?));
        let ids = messages.filter_map(|message| message.contact_id.as_ref());
        ids.filter(|id| self.people.known(id).is_none()).cloned().collect()
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
            let status = || told_to(item.meta_id.as_ref()?, item.status.as_deref()?);
            let ids = [&item.meta_id, &item.about].into_iter().flatten();
            if outcome.is_none() && (ids.clone().any(&is_gone) || status().is_some_and(|id| is_gone(&id))) {
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

    /// What became of each item; None of those that are open.
    pub(super) fn into_outcomes(self) -> Vec<Option<Outcome>> {
        let mut outcomes = self.outcomes;
        for (index, original) in self.repeats {
            outcomes[index] = match &outcomes[original] {
                Some(Outcome::Stored(_)) => Some(Outcome::Duplicate),
                other => other.clone(),
            };
        }
        outcomes
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

    fn told(job: Job) -> Vec<Outcome> {
        job.into_outcomes().into_iter().flatten().collect()
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
        assert_eq!(told(job), [Outcome::Stored(7), Outcome::Duplicate, refused, Outcome::Duplicate]);
    }

    #[test]
    fn what_was_erased_is_a_repeat_and_so_is_what_speaks_of_it() {
        let status = NewEntry { about: Some(Pii("a".into())), ..item("a read") };
        let mut job = Job::new(vec![item("a"), status, item("b")]);
        job.settle(2, Outcome::Stored(7));
        job.drop_gone(|id| id.expose() == "a" || id.expose() == "b");
        assert!(!job.is_open());
        let outcomes = told(job);
        assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Duplicate, Outcome::Stored(7)]);
        // Of a message to several only what one of them got.
        let to = |id: &str| NewEntry { about: Some(Pii("g".into())), status: Some("read".into()), ..item(id) };
        let mut job = Job::new(vec![to("g read 212611"), to("g read 212612"), to("g failed 212611"), to("other")]);
        job.drop_gone(|id| id.expose() == "g 212611");
        assert_eq!(job.open().map(|(index, _)| index).collect::<Vec<_>>(), [1, 2, 3]);
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
        assert_eq!(told(job), [Outcome::Refused(Refused::Closed)]);
    }

    #[test]
    fn a_repeat_of_a_refused_item_is_refused_too() {
        let mut job = Job::new(vec![item("a"), item("a")]);
        // Fences that may be old refuse nothing yet.
        assert!(job.refuse_by_fences(&Fences::default(), false) && job.is_open());
        assert!(!job.refuse_by_fences(&Fences::default(), true));
        assert_eq!(told(job), [Outcome::Refused(Refused::NotHeld), Outcome::Refused(Refused::NotHeld)]);
    }

    #[test]
    fn what_is_not_settled_is_told_to_be_open_and_so_are_its_repeats() {
        let mut job = Job::new(vec![item("a"), item("b"), item("a"), item("b")]);
        job.settle(0, Outcome::Stored(7));
        assert_eq!(job.into_outcomes(), [Some(Outcome::Stored(7)), None, Some(Outcome::Duplicate), None]);
    }

    #[test]
    fn what_the_store_would_refuse_is_settled_once_it_is_known_what_is_there() {
        let items: Vec<NewEntry> = (0..9).map(|n| item(&n.to_string())).collect();
        let mut job = Job::new(items);
        for index in 0..9 {
            if job.hopeless.is_none() {
                job.refuse(index, "code 13".into());
            }
        }
        assert!(job.look_up && job.is_open());
        job.settle_present([draft(&item("8"), 7, jiff::Timestamp::UNIX_EPOCH)]);
        job.give_up();
        let outcomes = told(job);
        assert_eq!(outcomes[8], Outcome::Duplicate);
        assert!(outcomes[..8].iter().all(|outcome| *outcome == Outcome::Unwritable("code 13".into())), "{outcomes:?}");
    }

    #[test]
    fn the_log_is_asked_about_nobody_twice() {
        let to = |user: &str| NewEntry {
            contact: Some(crate::store::ContactHint { user_id: Some(Pii(user.into())), ..Default::default() }),
            ..item(user)
        };
        let mut job = Job::new(vec![to("MA.1"), to("MA.2"), to("MA.3")]);
        let chosen = job.next_items();
        assert!(job.unmet(&chosen[..0]).is_empty());
        job.met.merge(job.unmet(&chosen[..2]));
        assert!(job.unmet(&chosen[..2]).is_empty() && !job.unmet(&chosen).is_empty());
        job.forget();
        assert!(!job.unmet(&chosen[..1]).is_empty());
    }
}
