//! What the audit's findings say: what it means and what to do, in words that do not change from round to round.
//! docs/audit.md repeats them. Must never name a command or an address that does not exist.

/// Paid for and nobody's.
pub const ORPHANED: &str = "the number is paid for at Telnyx and no ClientNumber holds it: name it in number.existing of a ClientNumber, or release it in the Telnyx portal";
/// The same, without our tag.
pub const ORPHANED_UNTAGGED: &str = "an order of this installation brought the number, it carries no owner tag and no ClientNumber holds it: name it in number.existing of a ClientNumber, or release it in the Telnyx portal";
/// Not delivered yet.
pub const ORPHANED_ON_ORDER: &str = "an order of this installation is still to bring the number and no ClientNumber waits for it: cancel the order in the Telnyx portal, or name the number in number.existing of a ClientNumber when it is there";
/// Given up by a person.
pub const ABANDONED: &str = "the number was given up with clientnumber.dev/abandon and may still be paid for: release it in the Telnyx portal and cancel its order if one is open, or name it in number.existing of a ClientNumber";

/// A line has it, the account does not.
pub fn lost(object: &str) -> String {
    format!(
        "ClientNumber {object} has the number and the Telnyx account does not: ask Telnyx for it at once, since whoever gets it next could take the line over, or move the company to another number"
    )
}

/// A line has it, and another installation's tag.
pub fn taken(object: &str) -> String {
    format!(
        "ClientNumber {object} has the number and it carries the owner tag of another installation at Telnyx: put clientnumber:owner of this one back, or delete the ClientNumber"
    )
}

/// Registered, and routed nowhere.
pub fn not_routed(object: Option<&str>, disabled: bool) -> String {
    let route = if disabled { "its route is disabled" } else { "it has no route" };
    match object {
        Some(object) => format!(
            "ClientNumber {object} is registered at Meta and {route}, so what candidates write reaches nobody: delete it with deletionPolicy Retain and apply it again"
        ),
        None => format!(
            "the number is registered at Meta, no ClientNumber uses it and {route}, so what candidates write reaches nobody here: leave it if another system answers there; else name it in number.existing of a ClientNumber, or delete it in WhatsApp Manager"
        ),
    }
}

/// In the account, and used by nobody.
pub fn unused(company: Option<&str>) -> String {
    match company {
        Some(company) => format!(
            "the number is kept for company {company} and holds a slot while no ClientNumber uses it: leave it for the company's next ClientNumber, or delete it in WhatsApp Manager"
        ),
        None => {
            "no ClientNumber uses the number and it holds a slot, which only a person can free: leave it if another system uses it or is setting it up; else delete it in WhatsApp Manager"
                .into()
        }
    }
}

/// Routed, and not registered.
pub fn not_registered(object: &str) -> String {
    format!(
        "the route of ClientNumber {object} is active and Meta does not have its number connected, so nothing arrives: look at the number in WhatsApp Manager; the conditions of the ClientNumber say more"
    )
}

/// Routed by an object that is gone.
pub fn without_line(object: &str, company: &str) -> String {
    format!(
        "what candidates write to the number goes to company {company} and ClientNumber {object} is not in this cluster: leave the route if another cluster has it; else apply it again, or set the state of the route to disabled in the collection routes of the database clientnumber"
    )
}
