//! What is paid for, held against the lines: numbers that are nobody's or kept for a company, and lines whose number the
//! carrier's account does not hold. A list's word alone never ends what was known of a number.

use std::collections::{BTreeMap, HashMap};

use super::holders::Holders;
use super::{Draft, Fold, Look, company_of, draft_of, is_gone, words};
use crate::domain::CustomerReference;
use crate::portfolio::observed::Presence;
use crate::providers::telnyx::OwnedNumber;
use crate::resources::conditions::seconds;
use crate::resources::finding::{Finding, FindingKind};
use crate::resources::names;
use crate::resources::portfolio::RetainedNumber;

/// Whose a paid number is.
enum Whose {
    /// Kept for this company.
    Company(String),
    /// Nobody's.
    Nobodys(Draft),
    /// A line's, or not paid for.
    Settled,
    /// Nothing can be said now.
    Open,
}

impl Fold<'_> {
    /// Paid for, but nobody's; what remains is kept for a company.
    pub(super) fn paid(&mut self) -> Vec<RetainedNumber> {
        let mut whose: BTreeMap<&str, Whose> = BTreeMap::new();
        for number in self.evidence.owned.iter().flat_map(|owned| owned.iter()) {
            let verdict = if is_gone(number) { Whose::Settled } else { self.of_listed(number) };
            whose.insert(number.number.as_str(), verdict);
        }
        for (number, look) in &self.evidence.looks {
            if !whose.contains_key(number.as_str()) {
                whose.insert(number, self.of_look(number, look));
            }
        }
        let abandoned: HashMap<&str, &Finding> = self
            .known
            .findings
            .iter()
            .filter(|f| f.kind == FindingKind::Abandoned)
            .map(|f| (f.phone_number.as_str(), f))
            .collect();
        let before: HashMap<&str, &RetainedNumber> =
            self.known.retained.iter().map(|r| (r.phone_number.as_str(), r)).collect();
        let mut retained = Vec::new();
        for (&number, verdict) in &whose {
            match (verdict, abandoned.get(number)) {
                (Whose::Company(_) | Whose::Nobodys(_), Some(finding)) => {
                    let draft = Draft {
                        id: finding.phone_number_id.clone(),
                        company: finding.company_id.clone(),
                        reference: finding.reference.clone(),
                        message: finding.message.clone(),
                    };
                    self.found.insert((FindingKind::Abandoned, number.to_owned()), draft);
                }
                (Whose::Nobodys(_), None) | (Whose::Settled, _) => {}
                (Whose::Company(company), None) => retained.push(self.kept(number, company, before.get(number))),
                (Whose::Open, _) => {
                    retained.extend(before.get(number).map(|r| (*r).clone()));
                    self.leave(FindingKind::Abandoned, number);
                    self.leave(FindingKind::Orphaned, number);
                }
            }
        }
        // Neither listed nor asked for: what was known stands, unless a line has the number now.
        let unsaid = |number: &str| !whose.contains_key(number) && !self.known.lines.keeps(number);
        retained.extend(self.known.retained.iter().filter(|r| unsaid(&r.phone_number)).cloned());
        let orphans = self.known.findings.iter().filter(|f| f.kind.is_orphan() && unsaid(&f.phone_number));
        self.open.extend(orphans.map(|f| (f.kind, f.phone_number.clone())));
        let nobodys = whose.into_iter().filter(|(number, _)| !abandoned.contains_key(number));
        for (number, verdict) in nobodys {
            if let Whose::Nobodys(draft) = verdict {
                self.found.insert((FindingKind::Orphaned, number.to_owned()), draft);
            }
        }
        retained.sort_by(|a, b| a.phone_number.cmp(&b.phone_number));
        retained
    }

    fn kept(&self, number: &str, company: &str, before: Option<&&RetainedNumber>) -> RetainedNumber {
        let fresh = || RetainedNumber {
            phone_number: number.to_owned(),
            company_id: company.to_owned(),
            since: seconds(self.known.now),
            monthly_usd: None,
            estimated: false,
        };
        RetainedNumber { company_id: company.to_owned(), ..before.map_or_else(fresh, |r| (*r).clone()) }
    }

    fn of_listed(&self, number: &OwnedNumber) -> Whose {
        let company = company_of(&number.tags);
        if let Some(verdict) = self.held(number.number.as_str(), number.reference.as_deref(), company.as_deref()) {
            return verdict;
        }
        match company {
            Some(company) => Whose::Company(company),
            None => Whose::Nobodys(Draft {
                reference: number.reference.clone(),
                message: words::ORPHANED.into(),
                ..Draft::default()
            }),
        }
    }

    fn of_look(&self, number: &str, look: &Look) -> Whose {
        let (reference, company, message) = match look {
            Look::Gone => return Whose::Settled,
            Look::There { reference, company } => (reference.clone(), company.clone(), words::ORPHANED_UNTAGGED),
            Look::OnOrder { reference } => (Some(reference.clone()), None, words::ORPHANED_ON_ORDER),
        };
        if let Some(verdict) = self.held(number, reference.as_deref(), company.as_deref()) {
            return verdict;
        }
        Whose::Nobodys(Draft { reference, company, message: message.into(), ..Draft::default() })
    }

    /// A line has the number, wants it, or looks for what carries its reference. None: no line.
    fn held(&self, number: &str, reference: Option<&str>, company: Option<&str>) -> Option<Whose> {
        if self.known.lines.keeps(number) {
            return Some(Whose::Settled);
        }
        let line = reference.and_then(|text| text.parse::<CustomerReference>().ok()).map(|r| r.line.to_string());
        let looks_for_it = |lines: &Holders| line.as_ref().is_some_and(|line| lines.awaits_number(line, company));
        let open = self.in_transit(number) || looks_for_it(&self.evidence.then) || looks_for_it(self.known.lines);
        open.then_some(Whose::Open)
    }

    /// A line has the number, and the carrier's account does not.
    pub(super) fn lost(&mut self) {
        let kind = FindingKind::NumberLost;
        let other_owner = |tags: &[String]| {
            let ours = format!("{}{}", names::OWNER_TAG, self.known.owner);
            !tags.contains(&ours) && tags.iter().any(|tag| tag.starts_with(names::OWNER_TAG))
        };
        let carrier = self.evidence.observed.as_ref().and_then(|o| o.carrier.as_ref());
        let (mut found, mut open) = (Vec::new(), Vec::new());
        for (number, holder) in self.known.lines.all() {
            let Some(owned_at) = holder.owned_at.filter(|_| holder.has) else { continue };
            let presence = match (self.settled(number), carrier) {
                (Some(holder), Some(carrier)) if self.tells_of(holder) => carrier.of(number),
                _ => Presence::Unknown,
            };
            let early = owned_at + self.known.policy.order_grace() > self.known.now;
            let message = match (presence, self.evidence.looks.get(number)) {
                (Presence::Gone, _) => words::lost(&holder.object),
                (Presence::There(there), _) if is_gone(there) => words::lost(&holder.object),
                (Presence::There(there), _) if other_owner(&there.tags) => words::taken(&holder.object),
                (Presence::There(_), _) => continue,
                (Presence::Unknown, Some(Look::Gone)) if !early => words::lost(&holder.object),
                (Presence::Unknown, Some(Look::There { .. })) => continue,
                (Presence::Unknown, _) => {
                    let listed = self.evidence.owned.iter().flat_map(|o| o.iter()).any(|o| o.number.as_str() == number);
                    if !listed {
                        open.push(number.to_owned());
                    }
                    continue;
                }
            };
            found.push((number.to_owned(), draft_of(holder, message)));
        }
        self.found.extend(found.into_iter().map(|(number, draft)| ((kind, number), draft)));
        self.open.extend(open.into_iter().map(|number| (kind, number)));
    }
}
