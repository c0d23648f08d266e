//! Lines of the same company that are being deleted with Retain: the number that one of them leaves is the next line's, so
//! whoever begins meanwhile waits for it instead of buying. A renamed manifest is such a line. Pure.

use std::borrow::Borrow;

use kube::ResourceExt;

use super::super::purchase::candidate;
use super::super::spec::LineSpec;
use crate::domain::{E164, NamespacedName};
use crate::resources::ClientNumber;
use crate::resources::client_number::{DeletionPolicy, PurchasePhase};
use crate::resources::names::LINE_FINALIZER;

/// A line that goes, and the number that it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The line.
    pub line: NamespacedName,
    /// The number.
    pub number: E164,
    /// Whether the number was delivered; if not, its order is followed to its end first.
    pub delivered: bool,
}

/// The lines that leave a number to the company of `line` in its Portfolio.
pub fn leaving<L: Borrow<ClientNumber>>(all: &[L], line: &LineSpec) -> Vec<Leaving> {
    all.iter().filter_map(|other| leaves(other.borrow(), line)).collect()
}

fn leaves(other: &ClientNumber, line: &LineSpec) -> Option<Leaving> {
    let spec = goes(other, line)?;
    // A number that is being given back is left to nobody, whatever the policy.
    let purchase = other.status.as_ref()?.purchase.as_ref().filter(|purchase| purchase.give_back.is_none())?;
    let delivered = matches!(purchase.phase, PurchasePhase::Owned | PurchasePhase::Burnt);
    Some(Leaving { line: spec.name, number: candidate(purchase)?, delivered })
}

/// Whether a line of this name goes, has lost its status and so does not say which number it leaves: one that carries its
/// reference is it.
pub fn goes_without_status<L: Borrow<ClientNumber>>(all: &[L], name: &NamespacedName, line: &LineSpec) -> bool {
    all.iter().map(Borrow::borrow).any(|other| {
        let known = other.status.as_ref().and_then(|status| status.purchase.as_ref()).is_some();
        !known && goes(other, line).is_some_and(|spec| spec.name == *name)
    })
}

/// A line that is being deleted and leaves what it has to the company of `line` in its Portfolio.
fn goes(other: &ClientNumber, line: &LineSpec) -> Option<LineSpec> {
    let going = other.metadata.deletion_timestamp.is_some() && other.finalizers().iter().any(|f| f == LINE_FINALIZER);
    LineSpec::of(other).ok().filter(|spec| {
        going
            && spec.uid != line.uid
            && spec.company == line.company
            && spec.portfolio == line.portfolio
            && spec.deletion_policy == DeletionPolicy::Retain
            && spec.source.at_carrier()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(name: &str, change: impl FnOnce(&mut Value)) -> ClientNumber {
        let mut object = json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
            "metadata": {"name": name, "namespace": "clients", "uid": name, "finalizers": [LINE_FINALIZER],
                "deletionTimestamp": "2026-11-01T10:00:00Z"},
            "spec": {"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"},
                "number": {"acquire": {}}},
            "status": {"observedGeneration": 1, "conditions": [],
                "purchase": {"phase": "Owned", "candidate": "+212612345678"}},
        });
        change(&mut object);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn table() {
        let line = LineSpec::of(&object("casa", |o| o["metadata"]["deletionTimestamp"] = Value::Null)).unwrap();
        let (ours, on_its_way) = (Some(true), Some(false));
        type Change = fn(&mut Value);
        let cases: [(&str, Change, Option<bool>); 14] = [
            ("it leaves its number", |_| (), ours),
            (
                "burnt: a person decides for the next line too",
                |o| o["status"]["purchase"]["phase"] = json!("Burnt"),
                ours,
            ),
            ("ordered", |o| o["status"]["purchase"]["phase"] = json!("Ordered"), on_its_way),
            ("not known", |o| o["status"]["purchase"]["phase"] = json!("Unknown"), on_its_way),
            ("waits for documents", |o| o["status"]["purchase"]["phase"] = json!("WaitingRequirements"), on_its_way),
            ("lives", |o| o["metadata"]["deletionTimestamp"] = Value::Null, None),
            ("done", |o| o["metadata"]["finalizers"] = json!(["foregroundDeletion"]), None),
            ("gives its number back", |o| o["spec"]["deletionPolicy"] = json!("Release"), None),
            (
                "gives a burnt number back",
                |o| {
                    o["status"]["purchase"]["giveBack"] = json!({"askedAt": "2026-11-01T10:00:00Z"});
                },
                None,
            ),
            ("another company's", |o| o["spec"]["companyId"] = json!("rif"), None),
            ("another Portfolio's", |o| o["spec"]["portfolioRef"]["name"] = json!("other"), None),
            (
                "another operator's number",
                |o| {
                    o["spec"]["number"] = json!({"existing": {"phoneNumber": "+212612345678", "carrier": "External"}});
                },
                None,
            ),
            ("never bought", |o| o["status"]["purchase"] = Value::Null, None),
            ("itself", |o| o["metadata"]["uid"] = json!("casa"), None),
        ];
        for (name, change, expected) in cases {
            let got = leaving(&[object("atlas", change)], &line);
            assert_eq!(got.first().map(|l| l.delivered), expected, "{name}");
            assert!(got.iter().all(|l| l.number.as_str() == "+212612345678" && l.line.name == "atlas"), "{name}");
        }
    }

    #[test]
    fn one_without_status_leaves_what_carries_its_reference() {
        let line = LineSpec::of(&object("casa", |o| o["metadata"]["deletionTimestamp"] = Value::Null)).unwrap();
        let name = |name: &str| NamespacedName { namespace: "clients".into(), name: name.into() };
        let lost = |o: &mut Value| o["status"] = json!({"observedGeneration": -1, "conditions": []});
        let released = |o: &mut Value| {
            lost(o);
            o["spec"]["deletionPolicy"] = json!("Release");
        };
        assert!(goes_without_status(&[object("atlas", lost)], &name("atlas"), &line));
        assert!(!goes_without_status(&[object("atlas", lost)], &name("rif"), &line), "another's reference");
        assert!(
            !goes_without_status(&[object("atlas", |_| ())], &name("atlas"), &line),
            "it says itself what it leaves"
        );
        assert!(!goes_without_status(&[object("atlas", released)], &name("atlas"), &line), "it gives it back");
    }
}
