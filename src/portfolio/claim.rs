//! Whose cluster an owner id is, told by the names of the TeXML applications at Telnyx. Pure.
//!
//! Two clusters with one owner id would each take the other's numbers for orphans and lines' numbers for their own. The
//! applications' names carry the cluster's identity; another identity means that nothing is touched until a person says
//! `takeOverFrom`. Two clusters that claim at the same moment both see both claims when they look again: the older one
//! stands, and the other withdraws its own. Whoever takes over looks again too: another one may have done the same. Must never
//! let a cluster act on a claim that it has not looked at again.

use jiff::Timestamp;

use crate::domain::{ClusterId, OwnerId};
use crate::resources::names;

/// An application at Telnyx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its id, which numbers refer to as connection_id.
    pub id: String,
    /// Its friendly name.
    pub name: String,
    /// When it was made, by the carrier's clock.
    pub created: Option<Timestamp>,
}

/// What the names say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Ours, or nobody's: make what is missing.
    Ours {
        /// The capture application, if it is there.
        capture: Option<String>,
        /// The rejecting application, if it is there.
        reject: Option<String>,
    },
    /// Another cluster's.
    InUse {
        /// Its identity.
        by: String,
    },
    /// Claimed by both, and by another cluster first: this one withdraws its claim.
    Lost {
        /// Its identity.
        by: String,
        /// This cluster's own applications: id and a name that claims nothing.
        rename: Vec<(String, String)>,
    },
    /// Another cluster's, and this one may take over: rename its applications.
    TakeOver {
        /// Applications to rename: id and new name.
        rename: Vec<(String, String)>,
    },
}

/// Decides from all applications of the account.
pub fn decide(applications: &[Application], owner: &OwnerId, cluster: &ClusterId, take_over_from: &str) -> Decision {
    let prefix = names::application_prefix(owner);
    let mut others: Vec<(&Application, &str, &str)> = Vec::new();
    let mut capture = None;
    let mut reject = None;
    let mut ours: Vec<(&Application, &str)> = Vec::new();
    let mut sorted: Vec<&Application> = applications.iter().collect();
    // Two replicas may both have made one: the lowest id is the one.
    sorted.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    for application in sorted {
        let Some((identity, kind)) = application.name.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        if identity == cluster.as_str() {
            ours.push((application, kind));
        }
        match (identity == cluster.as_str(), kind) {
            (true, "capture") => capture = capture.or_else(|| Some(application.id.clone())),
            (true, "reject") => reject = reject.or_else(|| Some(application.id.clone())),
            (true, _) => {}
            (false, _) => others.push((application, identity, kind)),
        }
    }
    let rivals: Vec<_> = others.iter().filter(|(_, identity, _)| *identity != take_over_from).collect();
    if let Some((rival, identity, _)) = rivals.iter().min_by_key(|(application, ..)| age(application, applications)) {
        let by = (*identity).to_owned();
        let first = ours.iter().map(|(application, _)| age(application, applications)).min();
        return match first {
            None => Decision::InUse { by },
            Some(first) if first < age(rival, applications) => Decision::Ours { capture, reject },
            Some(_) => {
                Decision::Lost { by, rename: ours.iter().map(|(app, kind)| retired(app, owner, kind)).collect() }
            }
        };
    }
    if others.is_empty() {
        return Decision::Ours { capture, reject };
    }
    let rename = others
        .iter()
        .map(|(application, _, kind)| {
            let name = match *kind {
                "capture" if capture.is_none() => names::capture_application(owner, cluster),
                "reject" if reject.is_none() => names::reject_application(owner, cluster),
                // Ours is there already: the old one keeps existing under a name that claims nothing.
                other => return retired(application, owner, other),
            };
            (application.id.clone(), name)
        })
        .collect();
    Decision::TakeOver { rename }
}

/// Whose the owner id is by now, if it is another cluster's. What nobody claims is no other cluster's: the next round claims
/// it again. A take-over that a person allowed and that is not made yet gives nothing: until then it is the other one's.
pub fn lost_to(applications: &[Application], owner: &OwnerId, cluster: &ClusterId, from: &str) -> Option<String> {
    let own = format!("{}{cluster}/", names::application_prefix(owner));
    match decide(applications, owner, cluster, from) {
        Decision::Ours { .. } => None,
        Decision::InUse { by } | Decision::Lost { by, .. } => Some(by),
        Decision::TakeOver { .. } if applications.iter().any(|a| a.name.starts_with(&own)) => None,
        Decision::TakeOver { .. } => Some(from.to_owned()),
    }
}

/// Who came first. Ids decide where not all tell when they were made: they are the same for both clusters.
fn age<'a>(application: &'a Application, all: &[Application]) -> (Option<Timestamp>, usize, &'a str) {
    let told = all.iter().all(|application| application.created.is_some());
    (application.created.filter(|_| told), application.id.len(), &application.id)
}

/// Under this name an application claims nothing; numbers that are attached to it stay so.
fn retired(application: &Application, owner: &OwnerId, kind: &str) -> (String, String) {
    (application.id.clone(), format!("clientnumber-retired/{owner}/{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str, name: &str) -> Application {
        Application { id: id.into(), name: name.into(), created: None }
    }

    #[test]
    fn table() {
        let owner = OwnerId::parse("prod").unwrap();
        let me = ClusterId::parse("me").unwrap();
        let run = |apps: &[Application], from: &str| decide(apps, &owner, &me, from);
        let none = Decision::Ours { capture: None, reject: None };
        assert_eq!(run(&[], ""), none);
        assert_eq!(
            run(&[app("1", "somebody's"), app("2", "clientnumber/prod2/x/capture")], ""),
            none,
            "another owner id"
        );
        let mine = [
            app("10", "clientnumber/prod/me/capture"),
            app("9", "clientnumber/prod/me/capture"),
            app("3", "clientnumber/prod/me/reject"),
        ];
        assert_eq!(run(&mine, ""), Decision::Ours { capture: Some("9".into()), reject: Some("3".into()) });
        let theirs = [app("1", "clientnumber/prod/other/capture"), app("2", "clientnumber/prod/other/reject")];
        assert_eq!(run(&theirs, ""), Decision::InUse { by: "other".into() });
        assert_eq!(run(&theirs, "third"), Decision::InUse { by: "other".into() });
        assert_eq!(
            run(&theirs, "other"),
            Decision::TakeOver {
                rename: vec![
                    ("1".into(), "clientnumber/prod/me/capture".into()),
                    ("2".into(), "clientnumber/prod/me/reject".into())
                ]
            }
        );
    }

    #[test]
    fn who_has_lost_it_to_whom() {
        let owner = OwnerId::parse("prod").unwrap();
        let both = |id: &str, cluster: &str| {
            [app(id, &format!("clientnumber/prod/{cluster}/capture")), app("5", "clientnumber/prod/me/reject")]
        };
        let lost = |apps: &[Application], from: &str| lost_to(apps, &owner, &ClusterId::parse("me").unwrap(), from);
        for (name, apps, from, by) in [
            ("as the round left it", &both("4", "me")[..], "", None),
            ("taken over, as a whole", &both("4", "other")[..1], "", Some("other")),
            ("being taken over: the older one counts, as in a round", &both("4", "other"), "", Some("other")),
            ("somebody else came later, and will withdraw", &both("6", "other"), "", None),
            (
                "taken over by whom this one may take over from: not yet",
                &both("4", "other")[..1],
                "other",
                Some("other"),
            ),
            ("ours, and his came back", &both("4", "other"), "other", None),
            ("taken over by a third", &both("4", "third")[..1], "other", Some("third")),
            ("deleted by hand", &[], "", None),
        ] {
            assert_eq!(lost(apps, from).as_deref(), by, "{name}");
        }
    }

    #[test]
    fn two_claims_at_once_leave_one_owner() {
        let owner = OwnerId::parse("prod").unwrap();
        let at = |application: Application, second: i64| Application {
            created: Timestamp::from_second(1_793_000_000 + second).ok(),
            ..application
        };
        let (a, b) = (app("7", "clientnumber/prod/a/reject"), app("5", "clientnumber/prod/b/reject"));
        let run = |apps: &[Application], me: &str| decide(apps, &owner, &ClusterId::parse(me).unwrap(), "");
        let wins = |id: &str| Decision::Ours { capture: None, reject: Some(id.into()) };
        let loses = |by: &str, id: &str| Decision::Lost {
            by: by.into(),
            rename: vec![(id.into(), "clientnumber-retired/prod/reject".into())],
        };
        // By age, whatever the ids; without it by ids; and with equal age by ids.
        let aged = [at(a.clone(), 0), at(b.clone(), 1)];
        assert_eq!((run(&aged, "a"), run(&aged, "b")), (wins("7"), loses("a", "5")));
        let unaged = [a.clone(), at(b.clone(), 1)];
        assert_eq!((run(&unaged, "a"), run(&unaged, "b")), (loses("b", "7"), wins("5")));
        let same = [at(a.clone(), 0), at(b, 0)];
        assert_eq!((run(&same, "a"), run(&same, "b")), (loses("b", "7"), wins("5")));
        assert_eq!(
            run(&[a], "b"),
            Decision::InUse { by: "a".into() },
            "a cluster that has claimed nothing claims nothing"
        );
    }
}
