//! What must hold after a point: a judgement of everything that can be seen then. Pure.
//!
//! Judges what is, never how it came about: the same judgement is used with the rules broken on purpose, and must fail
//! there. Must never pass over what it was not told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::super::budget::{CODES as CODE_LIMITS, REGISTERS as REGISTER_LIMITS, too_soon};
use super::agree::contradictions;
use super::ground::SCALE;
use super::strays::strays;

/// Code requests and registrations that one crash may cost: the one that is needed, and one that was lost.
const CODES: u64 = 2;
const REGISTERS: u64 = 2;

/// What the line should have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Ready,
    Retained,
    Released,
}

/// What the orders of a line bear.
pub fn reference(namespace: &str, name: &str) -> String {
    format!("world/{namespace}/{name}")
}

/// Everything that can be seen.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub namespace: String,
    pub name: String,
    pub company: String,
    pub uid: String,
    /// The line's number; empty: it has none.
    pub number: String,
    /// The object; None: gone.
    pub line: Option<Value>,
    /// The sandbox's ledger.
    pub ledger: Vec<Value>,
    /// The sandbox's numbers.
    pub numbers: Vec<Value>,
    /// The sandbox's recordings.
    pub recordings: Vec<Value>,
    /// Routes of the number or of the object.
    pub routes: Vec<Value>,
    /// The company's log.
    pub log: Vec<Value>,
    /// Whether the PIN's Secret is there.
    pub pin: bool,
    /// The Portfolio's status, after a round of its own.
    pub portfolio: Value,
    /// The Portfolio's namespace and name.
    pub portfolio_name: String,
    /// How often Meta was asked to deregister the line.
    pub deregisters: usize,
    /// When Meta was asked for a code.
    pub codes_at: Vec<Timestamp>,
    /// When the number was given the rejecting application.
    pub rejected_at: Vec<Timestamp>,
    /// When Meta was asked to register the line.
    pub registers_at: Vec<Timestamp>,
    /// Every line that this world ever had, this one too: its reference, and its number once that was known.
    pub made: BTreeMap<String, String>,
    /// Numbers that the test itself put into the account.
    pub by_hand: BTreeSet<String>,
    /// Codes that the test itself let nobody hear.
    pub codes_lost: u64,
}

impl Snapshot {
    pub fn reference(&self) -> String {
        reference(&self.namespace, &self.name)
    }

    /// Numbers that were bought for the line.
    pub fn purchases(&self) -> Vec<&Value> {
        let reference = self.reference();
        let mine = |e: &&Value| e["kind"] == "order" && e["customer_reference"] == reference.as_str();
        self.ledger.iter().filter(mine).collect()
    }

    pub fn both_sides(&self) -> &Value {
        self.numbers.iter().find(|n| n["phone_number"] == self.number.as_str()).unwrap_or(&Value::Null)
    }

    /// Codes that Meta was asked for, and registrations.
    pub fn budget(&self) -> (u64, u64) {
        let meta = &self.both_sides()["meta"];
        (meta["code_requests"].as_u64().unwrap_or(0), meta["registers"].as_u64().unwrap_or(0))
    }
}

/// The paths of everything that is set, lists by what they hold: `purchase.price.monthlyUsd`, `conditions.Ready=True`.
pub fn shape(status: &Value) -> BTreeSet<String> {
    fn walk(at: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                walk(&at, value, into);
            }),
            Value::Array(items) => {
                items.iter().for_each(|item| match (item["type"].as_str(), item["status"].as_str()) {
                    (Some(name), Some(status)) => drop(into.insert(format!("{at}.{name}={status}"))),
                    _ => walk(&format!("{at}[]"), item, into),
                })
            }
            Value::Null => {}
            _ => drop(into.insert(at.to_owned())),
        }
    }
    let mut paths = BTreeSet::new();
    walk("", status, &mut paths);
    paths
}

/// What only tells how the call went, from a call log that lags: a code that is caught before the log was read again leaves
/// it out, with and without a kill. What was read, from what and when it was handed in is no part of it.
const TOLD_BY_THE_CALL_LOG: [&str; 6] = ["rangAt", "answeredAt", "endedAt", "hangupCause", "transcribedAt", "unread"];

fn told_by_the_call_log(path: &str) -> bool {
    path.strip_prefix("verification.call.").is_some_and(|field| TOLD_BY_THE_CALL_LOG.contains(&field))
}

/// Everything that is wrong. `reference`: what is set after a run that nothing disturbed.
pub fn faults(end: End, seen: &Snapshot, reference: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let purchases = seen.purchases();
    check(purchases.len() == 1, format!("{} purchases for the line: {purchases:?}", purchases.len()));
    check(
        purchases.iter().all(|p| p["phone_number"] == seen.number.as_str()),
        format!("the line has {:?}, bought was {purchases:?}", seen.number),
    );
    for fault in strays(seen) {
        check(false, fault);
    }
    let orphaned = &seen.portfolio["numbers"]["orphaned"];
    check(*orphaned == 0, format!("{orphaned} orphans"));
    let (telnyx, meta) = (&seen.both_sides()["telnyx"], &seen.both_sides()["meta"]);
    let status = seen.line.as_ref().map_or(&Value::Null, |line| &line["status"]);
    let (codes, registers) = seen.budget();
    check(codes <= CODES + seen.codes_lost, format!("{codes} code requests"));
    check(registers <= REGISTERS, format!("{registers} registrations"));
    let early = too_soon("code requests", &seen.codes_at, &CODE_LIMITS, SCALE);
    let early = early.into_iter().chain(too_soon("registrations", &seen.registers_at, &REGISTER_LIMITS, SCALE));
    for fault in early {
        check(false, fault);
    }
    check(between_codes(seen), format!("the number went on recording from {:?} on", seen.codes_at));
    let heard = seen.recordings.iter().filter(|r| r["to"] == seen.number.as_str());
    let kept = heard.filter(|r| r["deleted"] != true || r["transcription"]["deleted"] == false).count();
    check(kept == 0, format!("{kept} recordings are not deleted"));
    if !telnyx.is_null() && end != End::Released {
        let application = telnyx["application"].as_str().unwrap_or("-");
        check(application.ends_with("/reject"), format!("calls run through {application}"));
    }
    claims(seen, &mut check);
    routes(end, seen, &mut check);
    let gone = seen.line.is_none();
    check(gone == (end != End::Ready), format!("the object is {}there", if gone { "not " } else { "" }));
    let rent_ends =
        seen.ledger.iter().filter(|e| e["kind"] == "rent_stop" && e["phone_number"] == seen.number.as_str()).count();
    let retained = seen.portfolio["retained"].as_array().into_iter().flatten();
    let retained: Vec<&Value> = retained.filter(|r| r["phoneNumber"] == seen.number.as_str()).collect();
    let (kept, connected) = (end != End::Released, end == End::Ready);
    check(rent_ends == usize::from(!kept), format!("the rent ended {rent_ends} times"));
    check(seen.pin == kept, format!("the PIN's Secret is {}there", if seen.pin { "" } else { "not " }));
    check(meta["registered"] == connected, format!("registered at Meta: {}", meta["registered"]));
    check(retained.len() == usize::from(end == End::Retained), format!("retained: {retained:?}"));
    check(retained.iter().all(|r| r["companyId"] == seen.company.as_str()), format!("retained for {retained:?}"));
    check(seen.deregisters <= 2, format!("{} calls to deregister", seen.deregisters));
    if end == End::Ready {
        let now = shape(status);
        let lost: Vec<&String> = reference.difference(&now).filter(|path| !told_by_the_call_log(path)).collect();
        check(lost.is_empty(), format!("status has lost {lost:?}"));
        check(status["verification"]["armedAt"].is_null(), "the number is left armed".to_owned());
        for fault in contradictions(seen) {
            check(false, fault);
        }
        for (what, at_meta, recorded) in [
            ("code requests", codes, &status["verification"]["requests"]),
            ("registrations", registers, &status["registration"]["attempts"]),
        ] {
            let recorded = recorded.as_array().map_or(0, Vec::len) as u64;
            check(at_meta <= recorded, format!("Meta counts {at_meta} {what}, status {recorded}"));
        }
    }
    wrong
}

/// Whether the number rejected calls again between any two requests for a code: it records while one is awaited, and in
/// the gap until the next one may be asked for none is.
fn between_codes(seen: &Snapshot) -> bool {
    let mut asked = seen.codes_at.clone();
    asked.sort();
    asked.windows(2).all(|two| seen.rejected_at.iter().any(|at| two[0] < *at && *at < two[1]))
}

fn claims(seen: &Snapshot, check: &mut impl FnMut(bool, String)) {
    let claims: Vec<&Value> =
        seen.portfolio["ledger"].as_array().into_iter().flatten().filter(|e| e["uid"] == seen.uid.as_str()).collect();
    let settled = claims.iter().all(|e| e["settledAt"].is_string());
    check(settled && claims.len() == 1, format!("claims in the ledger: {claims:?}"));
}

fn routes(end: End, seen: &Snapshot, check: &mut impl FnMut(bool, String)) {
    check(seen.routes.len() == 1, format!("{} routes: {:?}", seen.routes.len(), seen.routes));
    let state = if end == End::Ready { "active" } else { "disabled" };
    let object = format!("{}/{}", seen.namespace, seen.name);
    for route in &seen.routes {
        for (field, expected) in [
            ("state", state),
            ("company_id", seen.company.as_str()),
            ("uid", seen.uid.as_str()),
            ("phone_number", seen.number.as_str()),
            ("object", object.as_str()),
        ] {
            check(route[field] == expected, format!("route: {field} is {} and not {expected}", route[field]));
        }
        check(route["epoch"] == 1 && route["epoch_at"].is_null(), format!("epoch {}", route["epoch"]));
    }
    let id = seen.routes.first().map_or(&Value::Null, |route| &route["_id"]);
    let fences: Vec<String> = seen
        .log
        .iter()
        .map(|e| format!("{} {} {} {}", e["_id"], e["kind"], e["action"], e["line"]["phone_number_id"] == *id))
        .collect();
    check(fences == [r#"1 "fence" "given" true"#], format!("the company's log holds {fences:?}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Snapshot {
        let number = "+212600000001";
        Snapshot {
            namespace: "c".into(),
            name: "p1".into(),
            company: "co".into(),
            uid: "u".into(),
            number: number.into(),
            line: Some(json!({
                "metadata": {"annotations": {"clientnumber.dev/phone-number": number}}, "spec": {"companyId": "co"},
                "status": {"phoneNumber": number, "phoneNumberId": "7",
                    "purchase": {"orderId": "o", "numberId": "n", "reference": "world/c/p1"},
                    "route": {"state": "active", "epoch": 1, "revision": 2},
                    "verification": {"requests": ["t"]}, "registration": {"attempts": ["t"]}}})),
            ledger: vec![json!({"kind": "order", "customer_reference": "world/c/p1", "phone_number": number,
                "order_id": "o"})],
            numbers: vec![json!({"phone_number": number,
                "telnyx": {"id": "n", "status": "active", "application": "a/reject", "customer_reference": "world/c/p1"},
                "meta": {"id": "7", "waba": "104", "code_requests": 1, "registers": 1, "registered": true}})],
            recordings: vec![json!({"to": number, "deleted": true, "transcription": {"deleted": true}})],
            routes: vec![json!({"_id": "7", "state": "active", "company_id": "co", "uid": "u", "epoch": 1,
                "revision": 2, "waba_id": "104", "portfolio": "p/main", "phone_number": number, "object": "c/p1"})],
            log: vec![json!({"_id": 1, "kind": "fence", "action": "given", "line": {"phone_number_id": "7"}})],
            pin: true,
            portfolio: json!({"numbers": {"orphaned": 0}, "ledger": [{"uid": "u", "settledAt": "t"}], "retained": []}),
            portfolio_name: "p/main".into(),
            deregisters: 0,
            codes_at: vec![Timestamp::UNIX_EPOCH],
            rejected_at: Vec::new(),
            registers_at: vec![Timestamp::UNIX_EPOCH],
            made: BTreeMap::from([("world/c/p1".into(), number.into())]),
            by_hand: BTreeSet::new(),
            codes_lost: 0,
        }
    }

    fn wrong(change: impl FnOnce(&mut Snapshot)) -> Vec<String> {
        let mut seen = good();
        let reference = shape(&seen.line.as_ref().unwrap()["status"]);
        change(&mut seen);
        faults(End::Ready, &seen, &reference)
    }

    #[test]
    fn each_loss_is_seen() {
        assert_eq!(wrong(|_| ()), [""; 0]);
        type Change = fn(&mut Snapshot);
        let cases: [(&str, Change); 27] = [
            ("went on recording", |s| {
                s.codes_at.push(Timestamp::from_second(100).unwrap());
                s.rejected_at.push(Timestamp::from_second(101).unwrap());
            }),
            ("2 purchases", |s| s.ledger.push(s.ledger[0].clone())),
            ("0 purchases", |s| s.ledger.clear()),
            ("bought for no line", |s| {
                s.ledger.push(json!({"kind": "order", "customer_reference": "else", "phone_number": "+2"}));
            }),
            ("bought for no line", |s| s.ledger.push(json!({"kind": "order", "phone_number": "+2"}))),
            ("world/c/p0 has \"\", bought were []", |s| drop(s.made.insert("world/c/p0".into(), String::new()))),
            ("world/c/p0 has \"+3\", bought were [\"+2\"]", |s| {
                s.made.insert("world/c/p0".into(), "+3".into());
                s.ledger.push(json!({"kind": "order", "customer_reference": "world/c/p0", "phone_number": "+2"}));
            }),
            ("in the account and no line's", |s| {
                s.numbers.push(json!({"phone_number": "+2", "telnyx": {"status": "active"}}));
            }),
            ("2 code requests within 1 h", |s| s.codes_at.push(Timestamp::from_second(7).unwrap())),
            ("route.revision", |s| s.routes[0]["revision"] = json!(3)),
            ("phoneNumberId and Meta", |s| s.numbers[0]["meta"]["id"] = json!("8")),
            ("the route's WABA", |s| s.routes[0]["waba_id"] = json!("105")),
            ("the route's Portfolio", |s| s.routes[0]["portfolio"] = json!("p/other")),
            ("purchase.orderId", |s| s.ledger[0]["order_id"] = json!("another")),
            ("phoneNumber and its annotation", |s| s.line.as_mut().unwrap()["metadata"] = Value::Null),
            ("null orphans", |s| s.portfolio["numbers"] = Value::Null),
            ("3 code requests", |s| s.numbers[0]["meta"]["code_requests"] = json!(3)),
            ("Meta counts 2 registrations", |s| s.numbers[0]["meta"]["registers"] = json!(2)),
            ("1 recordings", |s| s.recordings[0]["deleted"] = json!(false)),
            ("calls run through", |s| s.numbers[0]["telnyx"]["application"] = json!("a/capture")),
            ("status has lost", |s| s.line.as_mut().unwrap()["status"]["purchase"] = Value::Null),
            ("the number is left armed", |s| {
                s.line.as_mut().unwrap()["status"]["verification"]["armedAt"] = json!("t");
            }),
            ("the PIN's Secret is not", |s| s.pin = false),
            ("route: state", |s| s.routes[0]["state"] = json!("pending")),
            ("0 routes", |s| s.routes.clear()),
            ("the company's log", |s| s.log.push(s.log[0].clone())),
            ("claims in the ledger", |s| s.portfolio["ledger"][0]["settledAt"] = Value::Null),
        ];
        for (expected, change) in cases {
            let found = wrong(change);
            assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn a_number_that_rejects_calls_between_two_codes_is_right() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let again = wrong(|s| {
            s.codes_at.push(second(100));
            s.rejected_at = vec![second(5), second(101)];
        });
        assert_eq!(again, [""; 0]);
    }

    /// A second request while the first one's code can still arrive is one within the hour: no judgement of its own.
    #[test]
    fn the_hour_covers_the_life_of_a_code() {
        let asked = |seconds: f64| Timestamp::from_millisecond((seconds * 1000.0) as i64).unwrap();
        let life = 600.0 * SCALE;
        assert!(!too_soon("codes", &[asked(0.0), asked(life)], &CODE_LIMITS, SCALE).is_empty());
        assert!(too_soon("codes", &[asked(0.0), asked(6.0 * life)], &CODE_LIMITS, SCALE).is_empty());
    }

    #[test]
    fn deleted_lines() {
        let mut seen = good();
        seen.line = None;
        seen.routes[0]["state"] = json!("disabled");
        seen.numbers[0]["meta"]["registered"] = json!(false);
        seen.portfolio["retained"] = json!([{"phoneNumber": seen.number, "companyId": "co"}]);
        assert_eq!(faults(End::Retained, &seen, &BTreeSet::new()), [""; 0]);
        assert!(faults(End::Released, &seen, &BTreeSet::new()).len() >= 3);
        seen.portfolio["retained"] = json!([]);
        seen.pin = false;
        seen.ledger.push(json!({"kind": "rent_stop", "phone_number": seen.number}));
        assert_eq!(faults(End::Released, &seen, &BTreeSet::new()), [""; 0]);
    }
}
