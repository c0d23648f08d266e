//! What two witnesses tell of one line must be the same: its status, the routing table, both providers. Pure.
//!
//! A field that is there with the value of another line, or of a write that was undone, is as bad as one that is lost.

use clientnumber::resources::names::ANNOTATION_PHONE_NUMBER as MIRROR;
use serde_json::Value;

use super::verdict::Snapshot;

/// Where a line that is Ready contradicts what is there.
pub fn contradictions(seen: &Snapshot) -> Vec<String> {
    let null = Value::Null;
    let object = seen.line.as_ref().unwrap_or(&null);
    let status = &object["status"];
    let route = seen.routes.first().unwrap_or(&null);
    let (telnyx, meta) = (&seen.both_sides()["telnyx"], &seen.both_sides()["meta"]);
    let order = seen.purchases().first().copied().unwrap_or(&null);
    let (number, reference) = (Value::from(seen.number.as_str()), Value::from(seen.reference()));
    let (portfolio, company) = (Value::from(seen.portfolio_name.as_str()), Value::from(seen.company.as_str()));
    let pairs = [
        ("route.state", &status["route"]["state"], &route["state"]),
        ("route.epoch", &status["route"]["epoch"], &route["epoch"]),
        ("route.revision", &status["route"]["revision"], &route["revision"]),
        ("phoneNumber and the route", &status["phoneNumber"], &route["phone_number"]),
        ("phoneNumber and the ledger", &status["phoneNumber"], &order["phone_number"]),
        ("phoneNumber and its annotation", &status["phoneNumber"], &object["metadata"]["annotations"][MIRROR]),
        ("phoneNumber when it was learned", &status["phoneNumber"], &number),
        ("phoneNumberId and the route", &status["phoneNumberId"], &route["_id"]),
        ("phoneNumberId and Meta", &status["phoneNumberId"], &meta["id"]),
        ("the route's WABA and Meta", &route["waba_id"], &meta["waba"]),
        ("the route's Portfolio", &route["portfolio"], &portfolio),
        ("purchase.orderId and the ledger", &status["purchase"]["orderId"], &order["order_id"]),
        ("purchase.numberId and Telnyx", &status["purchase"]["numberId"], &telnyx["id"]),
        ("purchase.reference", &status["purchase"]["reference"], &reference),
        ("the number's reference at Telnyx", &telnyx["customer_reference"], &reference),
        ("the company", &object["spec"]["companyId"], &company),
    ];
    let differ = pairs.into_iter().filter(|(_, recorded, witness)| recorded.is_null() || recorded != witness);
    differ.map(|(what, recorded, witness)| format!("{what}: {recorded} and {witness}")).collect()
}
