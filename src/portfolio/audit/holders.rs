//! Which line has, or is about to have, which number: what the audit compares the providers' lists with. Pure.
//!
//! Of all Portfolios, since two of them may share an account: a number is nobody's only if no line at all holds it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::line::plan::{Step, plan};
use crate::resources::client_number::Carrier;
use crate::resources::{ClientNumber, ClientNumberStatus};

/// The line that holds a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its uid.
    pub uid: String,
    /// Namespace and name.
    pub object: String,
    /// Its company.
    pub company: String,
    /// Meta's id of the number, once known.
    pub id: Option<String>,
    /// Whether the number is the line's; else it wants it: by its spec, or as the candidate of a purchase.
    pub has: bool,
    /// Whether the line has gone through all steps and stays.
    pub settled: bool,
    /// Whether the line is being deleted.
    pub leaving: bool,
    /// Whether the number is to be in the carrier's account, and since when it was seen there.
    pub owned_at: Option<Timestamp>,
}

/// A line by its name.
struct Named {
    company: String,
    has_number: bool,
}

/// All lines, by what they hold.
#[derive(Default)]
pub struct Holders {
    by_number: HashMap<String, Holder>,
    numbers_by_id: HashMap<String, String>,
    by_name: HashMap<String, Named>,
    uids: HashSet<String>,
}

impl Holders {
    /// From all lines.
    pub fn of(lines: &[Arc<ClientNumber>]) -> Self {
        let mut holders = Self::default();
        for line in lines {
            holders.add(line);
        }
        holders
    }

    fn add(&mut self, line: &ClientNumber) {
        let none = ClientNumberStatus::default();
        let status = line.status.as_ref().unwrap_or(&none);
        let object = format!("{}/{}", line.namespace().unwrap_or_default(), line.name_any());
        let uid = line.uid().unwrap_or_default();
        let existing = line.spec.number.existing.as_ref();
        let external = existing.is_some_and(|e| e.carrier == Carrier::External);
        let purchase = status.purchase.as_ref();
        let wanted = existing.map(|e| e.phone_number.clone());
        let candidate = purchase.and_then(|p| p.candidate.clone());
        let owned_at = purchase.and_then(|p| p.owned_at.as_ref()).map(|at| at.0).filter(|_| !external);
        let settled = line.metadata.deletion_timestamp.is_none() && plan(status) == Step::Keep;
        let holder = |has| Holder {
            uid: uid.clone(),
            object: object.clone(),
            company: line.spec.company_id.clone(),
            id: status.phone_number_id.clone().filter(|_| has),
            has,
            settled: settled && has,
            leaving: line.metadata.deletion_timestamp.is_some(),
            owned_at: owned_at.filter(|_| has),
        };
        for number in wanted.into_iter().chain(candidate) {
            self.by_number.entry(number).or_insert_with(|| holder(false));
        }
        if let Some(number) = &status.phone_number {
            self.by_number.insert(number.clone(), holder(true));
            self.numbers_by_id.extend(status.phone_number_id.clone().map(|id| (id, number.clone())));
        }
        let has_number = status.phone_number.is_some();
        self.by_name.insert(object, Named { company: line.spec.company_id.clone(), has_number });
        self.uids.insert(uid);
    }

    /// The line that holds a number.
    pub fn holder(&self, number: &str) -> Option<&Holder> {
        self.by_number.get(number)
    }

    /// Whether a line has the number and stays.
    pub fn keeps(&self, number: &str) -> bool {
        self.holder(number).is_some_and(|holder| holder.has && !holder.leaving)
    }

    /// The line that holds the number with this id at Meta.
    pub fn holder_of_id(&self, id: &str) -> Option<&Holder> {
        self.by_number.get(self.numbers_by_id.get(id)?)
    }

    /// All numbers that a line holds.
    pub fn numbers(&self) -> impl Iterator<Item = &str> {
        self.by_number.keys().map(String::as_str)
    }

    /// All numbers with their holders.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Holder)> {
        self.by_number.iter().map(|(number, holder)| (number.as_str(), holder))
    }

    /// Whether there is an object with this uid, or with this name and the number of this id: a backup that brings status
    /// back gives the object another uid.
    pub fn has_object(&self, uid: &str, object: &str, id: &str) -> bool {
        self.uids.contains(uid) || self.holder_of_id(id).is_some_and(|holder| holder.object == object)
    }

    /// Whether a line of this name, and of this company if one is named, has no number yet: it looks by itself for what
    /// carries its reference.
    pub fn awaits_number(&self, object: &str, company: Option<&str>) -> bool {
        self.by_name
            .get(object)
            .is_some_and(|line| !line.has_number && company.is_none_or(|company| company == line.company))
    }
}
