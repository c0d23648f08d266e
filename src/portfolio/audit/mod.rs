//! The audit: what is paid for, registered or routed, held against the lines, in both directions. Pure.
//!
//! Each question has three answers: it does not fit together, it does, or nothing can be said, because something was not
//! read, was not asked yet, or the number is on its way. In the last case what was found before stands: a provider's bad
//! hour neither makes a finding nor ends one. Must never lead to a change by itself: a person decides about what is paid.

pub mod holders;
mod paid;
mod routed;
pub mod words;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::observed::Observed;
use crate::domain::PolicyTime;
use crate::providers::meta::PhoneNumber;
use crate::providers::telnyx::{OwnedNumber, OwnedStatus};
use crate::resources::conditions::seconds;
use crate::resources::finding::{Finding, FindingKind};
use crate::resources::names;
use crate::resources::portfolio::{LedgerEntry, RetainedNumber};
use crate::store::Route;
use holders::{Holder, Holders};

/// Findings that status shows, besides those that were abandoned, which no list tells anew.
pub const SHOWN: usize = 100;

/// What a number that the list by tag lacks turned out to be when it was asked for alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The account holds it.
    There {
        /// What stands on it or on its order.
        reference: Option<String>,
        /// Its company tag.
        company: Option<String>,
    },
    /// An order is still to deliver it.
    OnOrder {
        /// What stands on the order.
        reference: String,
    },
    /// It is not there, or not ours, and no order is to bring it.
    Gone,
}

/// What a round read. None: not read.
#[derive(Default)]
pub struct Evidence {
    /// The lines before anything was asked.
    pub then: Holders,
    /// Meta's list.
    pub meta: Option<Arc<Vec<PhoneNumber>>>,
    /// The carrier's list by tag.
    pub owned: Option<Arc<Vec<OwnedNumber>>>,
    /// Both lists with what they lack, for settled lines.
    pub observed: Option<Arc<Observed>>,
    /// The routing table.
    pub routes: Option<Vec<Route>>,
    /// Numbers that the carrier's list lacks, asked for alone. Not all in one round.
    pub looks: HashMap<String, Look>,
}

/// What the Portfolio's status says, and what is known besides.
pub struct Known<'a> {
    /// The findings so far.
    pub findings: &'a [Finding],
    /// Numbers kept for a company.
    pub retained: &'a [RetainedNumber],
    /// Claims.
    pub ledger: &'a [LedgerEntry],
    /// The lines now.
    pub lines: &'a Holders,
    /// Numbers that a line held a moment ago: lists may still tell of that time.
    pub recent: &'a HashSet<String>,
    /// The Portfolio, namespace/name.
    pub portfolio: &'a str,
    /// Its owner id, as the spec has it.
    pub owner: &'a str,
    /// Its WhatsApp Business Account.
    pub waba: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Policy.
    pub policy: PolicyTime,
}

/// What the audit comes to.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// All findings, in the order of their kinds and numbers.
    pub findings: Vec<Finding>,
    /// Numbers that are paid for and kept for a company.
    pub retained: Vec<RetainedNumber>,
}

impl Outcome {
    /// How many there are of a kind.
    pub fn count(&self, kind: FindingKind) -> usize {
        self.findings.iter().filter(|f| f.kind == kind).count()
    }

    /// As many as status shows: all that were abandoned, and of the others in turn one of each kind until there is no more
    /// place, so that many of one kind don't hide another.
    pub fn shown(&self) -> Vec<Finding> {
        let (all, derived): (Vec<&Finding>, Vec<&Finding>) =
            self.findings.iter().partition(|f| f.kind == FindingKind::Abandoned);
        let mut places: BTreeMap<FindingKind, usize> = BTreeMap::new();
        let mut in_turn: Vec<(usize, &Finding)> = derived
            .into_iter()
            .map(|finding| {
                let place = places.entry(finding.kind).or_default();
                *place += 1;
                (*place, finding)
            })
            .collect();
        in_turn.sort_by_key(|(place, finding)| (*place, finding.kind));
        in_turn.truncate(SHOWN);
        in_turn.sort_by_key(|(place, finding)| (finding.kind, *place));
        all.into_iter().chain(in_turn.into_iter().map(|(_, finding)| finding)).cloned().collect()
    }
}

/// Holds everything against everything.
pub fn audit(known: &Known<'_>, evidence: &Evidence) -> Outcome {
    let mut fold = Fold { known, evidence, found: BTreeMap::new(), open: HashSet::new(), claimed: claimed(known) };
    let retained = fold.paid();
    fold.lost();
    fold.at_meta();
    fold.routed();
    Outcome { findings: fold.findings(), retained }
}

/// Numbers whose claim is open, or was so a moment ago.
fn claimed<'a>(known: &Known<'a>) -> HashSet<&'a str> {
    let grace = known.policy.order_grace();
    let fresh = |entry: &&LedgerEntry| entry.settled_at.as_ref().is_none_or(|at| at.0 + grace > known.now);
    known.ledger.iter().filter(fresh).map(|entry| entry.phone_number.as_str()).collect()
}

/// What is found of one number.
#[derive(Default)]
struct Draft {
    id: Option<String>,
    company: Option<String>,
    reference: Option<String>,
    message: String,
}

struct Fold<'a> {
    known: &'a Known<'a>,
    evidence: &'a Evidence,
    found: BTreeMap<(FindingKind, String), Draft>,
    /// Of what nothing can be said now.
    open: HashSet<(FindingKind, String)>,
    claimed: HashSet<&'a str>,
}

impl Fold<'_> {
    fn put(&mut self, kind: FindingKind, number: &str, draft: Draft) {
        self.found.insert((kind, number.to_owned()), draft);
    }

    fn leave(&mut self, kind: FindingKind, number: &str) {
        self.open.insert((kind, number.to_owned()));
    }

    /// Nothing can be said of a kind at all.
    fn leave_all(&mut self, kind: FindingKind) {
        let before = self.known.findings.iter().filter(|f| f.kind == kind).map(|f| (kind, f.phone_number.clone()));
        self.open.extend(before);
    }

    /// The line that has the number and was settled both before the lists were asked for and now.
    fn settled(&self, number: &str) -> Option<&Holder> {
        let (then, now) = (self.evidence.then.holder(number)?, self.known.lines.holder(number)?);
        (then.settled && now.settled && then.uid == now.uid).then_some(now)
    }

    /// Whether the number is on its way to a line, or away from one.
    fn in_transit(&self, number: &str) -> bool {
        let held = self.evidence.then.holder(number).is_some() || self.known.lines.holder(number).is_some();
        self.claimed.contains(number) || self.known.recent.contains(number) || (held && self.settled(number).is_none())
    }

    fn tells_of(&self, holder: &Holder) -> bool {
        self.evidence.observed.as_ref().is_some_and(|observed| observed.tells_of(&holder.uid))
    }

    fn findings(self) -> Vec<Finding> {
        let before: HashMap<(FindingKind, &str), &Finding> =
            self.known.findings.iter().map(|f| ((f.kind, f.phone_number.as_str()), f)).collect();
        let mut findings: Vec<Finding> = self
            .found
            .iter()
            .map(|((kind, number), draft)| Finding {
                kind: *kind,
                phone_number: number.clone(),
                phone_number_id: draft.id.clone(),
                company_id: draft.company.clone(),
                reference: draft.reference.clone(),
                since: before
                    .get(&(*kind, number.as_str()))
                    .map_or_else(|| seconds(self.known.now), |finding| finding.since.clone()),
                message: draft.message.clone(),
            })
            .collect();
        let stands = |f: &&Finding| {
            let key = (f.kind, f.phone_number.clone());
            self.open.contains(&key) && !self.found.contains_key(&key)
        };
        findings.extend(self.known.findings.iter().filter(stands).cloned());
        findings.sort_by(|a, b| (a.kind, &a.phone_number).cmp(&(b.kind, &b.phone_number)));
        findings
    }
}

fn draft_of(holder: &Holder, message: String) -> Draft {
    Draft { id: holder.id.clone(), company: Some(holder.company.clone()), reference: None, message }
}

/// The company that a number's tags name.
pub fn company_of(tags: &[String]) -> Option<String> {
    tags.iter().find_map(|tag| tag.strip_prefix(names::COMPANY_TAG)).map(str::to_owned)
}

/// Listed, but not ours any more, or never delivered.
pub fn is_gone(number: &OwnedNumber) -> bool {
    use OwnedStatus::{Deleted, PortFailed, PortedOut, PurchaseFailed};
    matches!(number.status, Some(Deleted | PurchaseFailed | PortFailed | PortedOut))
}

#[cfg(test)]
mod tests;
