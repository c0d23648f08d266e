//! Whose cluster an owner id is, told by the names of the TeXML applications at Telnyx. Pure.
//!
//! Two clusters with one owner id would each take the other's numbers for orphans and lines' numbers for their own. The
//! applications' names carry the cluster's identity; another identity means that nothing is touched until a person says
//! `takeOverFrom`.

use crate::domain::{ClusterId, OwnerId};
use crate::resources::names;

/// An application at Telnyx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its id, which numbers refer to as connection_id.
    pub id: String,
    /// Its friendly name.
    pub name: String,
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
    let mut sorted: Vec<&Application> = applications.iter().collect();
    // Two replicas may both have made one: the lowest id is the one.
    sorted.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    for application in sorted {
        let Some((identity, kind)) = application.name.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        match (identity == cluster.as_str(), kind) {
            (true, "capture") => capture = capture.or_else(|| Some(application.id.clone())),
            (true, "reject") => reject = reject.or_else(|| Some(application.id.clone())),
            (true, _) => {}
            (false, _) => others.push((application, identity, kind)),
        }
    }
    if let Some((_, identity, _)) = others.iter().find(|(_, identity, _)| *identity != take_over_from) {
        return Decision::InUse { by: (*identity).to_owned() };
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
                other => format!("clientnumber-retired/{owner}/{other}"),
            };
            (application.id.clone(), name)
        })
        .collect();
    Decision::TakeOver { rename }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str, name: &str) -> Application {
        Application { id: id.into(), name: name.into() }
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
}
