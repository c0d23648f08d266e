//! Names that other programs rely on: the API group, finalizers, annotations, Secret types and tags at the carrier.
//! Renaming one breaks a user; each appears here once and nowhere else as text.

use crate::domain::{ClusterId, CompanyId, OwnerId};

/// The API group.
pub const GROUP: &str = "clientnumber.dev";
/// The field manager and event reporter.
pub const CONTROLLER: &str = "clientnumber-controller";
/// Keeps a ClientNumber until its line is released.
pub const LINE_FINALIZER: &str = "clientnumber.dev/line";
/// Keeps a Portfolio while lines use it.
pub const PORTFOLIO_FINALIZER: &str = "clientnumber.dev/portfolio";
/// Mirror of the number that was bought: survives a backup that leaves status out. Proves nothing by itself.
pub const ANNOTATION_PHONE_NUMBER: &str = "clientnumber.dev/phone-number";
/// Any new value: look again now.
pub const ANNOTATION_RETRY: &str = "clientnumber.dev/retry-requested-at";
/// Any new value, for an External line: let Meta call or text now.
pub const ANNOTATION_CALL: &str = "clientnumber.dev/call-requested-at";
/// Its value must equal the phone number: the finalizer goes, the number becomes an orphan entry.
pub const ANNOTATION_ABANDON: &str = "clientnumber.dev/abandon";
/// Its value must equal the line's burnt number: that one is given back and another is bought.
pub const ANNOTATION_REPLACE: &str = "clientnumber.dev/replace";
/// Type of the Secret that holds a line's PIN.
pub const SECRET_TYPE_PIN: &str = "clientnumber.dev/pin";
/// Type of the Secret by which a person hands in a code.
pub const SECRET_TYPE_CODE: &str = "clientnumber.dev/code";
/// Longest name of an object, so that `<name>-code` and what else is derived from it fits.
pub const MAX_NAME: usize = 52;

/// Name of the Secret with a line's PIN, in the Portfolio's namespace.
pub fn pin_secret(digits: &str) -> String {
    format!("pin-{digits}")
}

/// Name of the Secret by which a person hands in the code for the line `name`.
pub fn code_secret(name: &str) -> String {
    format!("{name}-code")
}

/// Tag of every number of this installation.
pub fn owner_tag(owner: &OwnerId) -> String {
    format!("{OWNER_TAG}{owner}")
}

/// Prefix of the tag that names the installation of a number.
pub const OWNER_TAG: &str = "clientnumber:owner=";

/// Prefix of the tag that names a number's company.
pub const COMPANY_TAG: &str = "clientnumber:company=";

/// Tag that names a number's company.
pub fn company_tag(company: &CompanyId) -> String {
    format!("{COMPANY_TAG}{company}")
}

/// Tag that names the cluster that keeps a number.
pub fn cluster_tag(cluster: &ClusterId) -> String {
    format!("clientnumber:cluster={cluster}")
}

/// Prefix of the names of all TeXML applications of an owner id, whatever the cluster.
pub fn application_prefix(owner: &OwnerId) -> String {
    format!("clientnumber/{owner}/")
}

/// Name of the TeXML application that records while a code is awaited.
pub fn capture_application(owner: &OwnerId, cluster: &ClusterId) -> String {
    format!("clientnumber/{owner}/{cluster}/capture")
}

/// Name of the TeXML application that rejects every other call.
pub fn reject_application(owner: &OwnerId, cluster: &ClusterId) -> String {
    format!("clientnumber/{owner}/{cluster}/reject")
}
