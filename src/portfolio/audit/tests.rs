//! The audit's tables: each thing that does not fit together, in both directions; the same with something not read, and
//! the same with the number on its way.

use serde_json::{Value, json};

use super::super::observed::Seen;
use super::*;
use crate::resources::ClientNumber;

const A: &str = "+212600000001";
const B: &str = "+212600000002";
const LATER: i64 = 1_000;

fn now() -> Timestamp {
    Timestamp::from_second(1_793_000_000 + LATER).unwrap()
}

fn early() -> String {
    Timestamp::from_second(1_793_000_000).unwrap().to_string()
}

fn id(number: &str) -> String {
    number.trim_start_matches('+').to_owned()
}

/// A line of its own company that has gone through all steps.
fn line(name: &str, number: &str) -> Value {
    json!({
        "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
        "metadata": {"name": name, "namespace": "clients", "uid": format!("uid-{name}")},
        "spec": {"companyId": name, "displayName": name, "portfolioRef": {"name": "main", "namespace": "platform"},
            "number": {"acquire": {}}},
        "status": {
            "phoneNumber": number, "phoneNumberId": id(number),
            "purchase": {"phase": "Owned", "candidate": number, "ownedAt": early()},
            "link": {"phase": "Linked", "startedAt": early(), "attempt": 1},
            "verification": {"verifiedAt": early()},
            "route": {"state": "active", "epoch": 1, "revision": 1, "updatedAt": early()},
            "registration": {"registeredAt": early()},
        }
    })
}

fn with(mut value: Value, path: &str, to: Value) -> Value {
    *value.pointer_mut(path).unwrap() = to;
    value
}

fn unfinished(name: &str) -> Value {
    with(line(name, A), "/status", json!({}))
}

fn lines(all: &[Value]) -> Vec<Arc<ClientNumber>> {
    all.iter().map(|line| Arc::new(serde_json::from_value::<ClientNumber>(line.clone()).unwrap())).collect()
}

fn owned(number: &str, status: &str, tags: &[&str]) -> OwnedNumber {
    let value = json!({"id": "1", "phone_number": number, "status": status, "tags": tags,
        "customer_reference": "prod/clients/old"});
    serde_json::from_value(value).unwrap()
}

fn at_meta_json(number: &str) -> Value {
    json!({"id": id(number), "display_phone_number": number, "status": "CONNECTED", "platform_type": "CLOUD_API"})
}

fn at_meta(number: &str, status: &str) -> PhoneNumber {
    serde_json::from_value(with(at_meta_json(number), "/status", json!(status))).unwrap()
}

fn route(name: &str, number: &str, state: crate::store::RouteState) -> Route {
    Route {
        phone_number_id: id(number).parse().unwrap(),
        phone_number: number.parse().unwrap(),
        display_name: name.into(),
        company_id: name.parse().unwrap(),
        waba_id: "104".parse().unwrap(),
        portfolio: "platform/main".into(),
        object: format!("clients/{name}"),
        uid: format!("uid-{name}"),
        epoch: 1,
        epoch_at: None,
        state,
        revision: 1,
        updated_at: now(),
    }
}

fn found(kind: FindingKind, number: &str) -> Finding {
    Finding {
        kind,
        phone_number: number.into(),
        phone_number_id: None,
        company_id: Some("old".into()),
        reference: None,
        since: seconds("2026-10-01T00:00:00Z".parse().unwrap()),
        message: "as before".into(),
    }
}

const OURS: [&str; 2] = ["clientnumber:owner=prod", "clientnumber:company=atlas"];

/// A world in which all fits together: atlas has A, at both providers and routed. Then one thing is changed.
struct World {
    then: Vec<Value>,
    now: Vec<Value>,
    meta: Option<Vec<PhoneNumber>>,
    owned: Option<Vec<OwnedNumber>>,
    routes: Option<Vec<Route>>,
    looks: HashMap<String, Look>,
    /// What asking for settled lines' numbers alone came to, at Meta and at the carrier.
    gone: [HashSet<String>; 2],
    findings: Vec<Finding>,
    retained: Vec<RetainedNumber>,
    ledger: Vec<LedgerEntry>,
    recent: HashSet<String>,
}

fn world() -> World {
    World {
        then: vec![line("atlas", A)],
        now: vec![line("atlas", A)],
        meta: Some(vec![at_meta(A, "CONNECTED")]),
        owned: Some(vec![owned(A, "active", &OURS)]),
        routes: Some(vec![route("atlas", A, crate::store::RouteState::Active)]),
        looks: HashMap::new(),
        gone: [HashSet::new(), HashSet::new()],
        findings: Vec::new(),
        retained: Vec::new(),
        ledger: Vec::new(),
        recent: HashSet::new(),
    }
}

impl World {
    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn no_line(self) -> Self {
        self.but(|w| {
            w.then.clear();
            w.now.clear();
        })
    }

    fn audit(self) -> Outcome {
        let (then, lines) = (Holders::of(&lines(&self.then)), Holders::of(&lines(&self.now)));
        let [gone_meta, gone_carrier] = self.gone;
        let by_id = |all: &Vec<PhoneNumber>| all.iter().map(|n| (n.id.to_string(), n.clone())).collect();
        let by_number = |all: &Vec<OwnedNumber>| all.iter().map(|n| (n.number.to_string(), n.clone())).collect();
        let observed = Observed {
            meta: self.meta.as_ref().map(|all| Seen::new(by_id(all), gone_meta, Vec::new())),
            carrier: self.owned.as_ref().map(|all| Seen::new(by_number(all), gone_carrier, Vec::new())),
            about: self.then.iter().filter_map(|l| l["metadata"]["uid"].as_str().map(str::to_owned)).collect(),
            ..Observed::default()
        };
        let evidence = Evidence {
            then,
            meta: self.meta.map(Arc::new),
            owned: self.owned.map(Arc::new),
            observed: Some(Arc::new(observed)),
            routes: self.routes,
            looks: self.looks,
        };
        let known = Known {
            findings: &self.findings,
            retained: &self.retained,
            ledger: &self.ledger,
            lines: &lines,
            recent: &self.recent,
            portfolio: "platform/main",
            owner: "prod",
            waba: "104",
            now: now(),
            policy: PolicyTime::default(),
        };
        audit(&known, &evidence)
    }

    fn kinds(self) -> Vec<(FindingKind, String)> {
        self.audit().findings.into_iter().map(|f| (f.kind, f.phone_number)).collect()
    }
}

fn one(kind: FindingKind, number: &str) -> Vec<(FindingKind, String)> {
    vec![(kind, number.to_owned())]
}

use crate::store::RouteState::{Active, Disabled};
use FindingKind::*;

#[test]
fn what_fits_together_is_no_finding() {
    assert_eq!(world().audit(), Outcome::default());
    let wrong = FindingKind::ALL.map(|kind| found(kind, A)).to_vec();
    assert_eq!(world().but(|w| w.findings = wrong).kinds(), [], "and settles what was found before");
}

#[test]
fn paid_for_and_nobodys() {
    let tagged = || world().but(|w| w.owned.as_mut().unwrap().push(owned(B, "active", &OURS[..1])));
    assert_eq!(tagged().kinds(), one(Orphaned, B));
    let kept = world().but(|w| w.owned.as_mut().unwrap().push(owned(B, "active", &OURS))).audit();
    assert_eq!((kept.findings.len(), kept.retained[0].company_id.as_str()), (0, "atlas"), "kept for its company");
    let look = |look| world().but(|w| _ = w.looks.insert(B.into(), look)).kinds();
    let reference = || "prod/clients/old".to_owned();
    assert_eq!(look(Look::There { reference: Some(reference()), company: None }), one(Orphaned, B));
    assert_eq!(look(Look::OnOrder { reference: reference() }), one(Orphaned, B));
    assert_eq!(look(Look::Gone), []);
    assert_eq!(world().but(|w| w.owned.as_mut().unwrap().push(owned(B, "deleted", &OURS[..1]))).kinds(), []);
    // On its way: claimed, just released, wanted, or looked for by a line of its reference that has none yet.
    let claim = |settled: Option<u64>| {
        let settled = settled.map(|ago| {
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now() - std::time::Duration::from_secs(ago))
        });
        let at = json!({"line": "clients/x", "phoneNumber": B, "claimedAt": early()});
        LedgerEntry { settled_at: settled, ..serde_json::from_value(at).unwrap() }
    };
    assert_eq!(tagged().but(|w| w.ledger = vec![claim(None)]).kinds(), []);
    assert_eq!(tagged().but(|w| w.ledger = vec![claim(Some(10))]).kinds(), []);
    assert_eq!(tagged().but(|w| w.ledger = vec![claim(Some(200))]).kinds(), one(Orphaned, B));
    assert_eq!(tagged().but(|w| w.recent = HashSet::from([B.to_owned()])).kinds(), []);
    assert_eq!(tagged().but(|w| w.now.push(line("rif", B))).kinds(), []);
    assert_eq!(tagged().but(|w| w.now.push(unfinished("old"))).kinds(), []);
    assert_eq!(
        tagged().but(|w| w.now.push(line("old", "+212600000003"))).kinds(),
        one(Orphaned, B),
        "a second number of a line that has one"
    );
}

#[test]
fn what_was_given_up_is_kept_until_it_is_gone_or_taken() {
    let given_up = || world().but(|w| w.findings = vec![found(Abandoned, B)]);
    let stands = |w: World| w.audit().findings;
    assert_eq!(stands(given_up()), [found(Abandoned, B)], "not asked for yet");
    assert_eq!(stands(given_up().but(|w| w.owned = None)), [found(Abandoned, B)]);
    let listed = given_up().but(|w| w.owned.as_mut().unwrap().push(owned(B, "active", &OURS))).audit();
    assert_eq!((listed.findings, listed.retained), (vec![found(Abandoned, B)], vec![]), "listed once, as given up");
    let on_order = Look::OnOrder { reference: "prod/clients/old".into() };
    assert_eq!(stands(given_up().but(|w| _ = w.looks.insert(B.into(), on_order))), [found(Abandoned, B)]);
    assert_eq!(stands(given_up().but(|w| _ = w.looks.insert(B.into(), Look::Gone))), []);
    let taken = given_up().but(|w| {
        w.now.push(line("rif", B));
        w.then.push(line("rif", B));
        w.owned.as_mut().unwrap().push(owned(B, "active", &OURS));
    });
    assert!(!taken.kinds().contains(&(Abandoned, B.to_owned())));
    let leaving = with(
        line("rif", B),
        "/metadata",
        json!({"name": "rif", "namespace": "clients", "uid": "uid-rif",
        "deletionTimestamp": early(), "finalizers": ["clientnumber.dev/line"]}),
    );
    let going = given_up().but(|w| {
        w.now.push(leaving.clone());
        w.then.push(leaving);
    });
    assert_eq!(stands(going), [found(Abandoned, B)], "noted before its object is gone");
}

#[test]
fn retained_numbers_keep_what_is_known() {
    let before = RetainedNumber {
        phone_number: B.into(),
        company_id: "atlas".into(),
        since: seconds("2026-10-01T00:00:00Z".parse().unwrap()),
        monthly_usd: Some("1.5".into()),
        estimated: false,
    };
    let kept = |change: fn(&mut World)| world().but(|w| w.retained = vec![before.clone()]).but(change).audit().retained;
    assert_eq!(kept(|_| ()), std::slice::from_ref(&before), "a list that lacks it proves nothing");
    assert_eq!(kept(|w| w.owned = None), std::slice::from_ref(&before));
    assert_eq!(kept(|w| w.owned.as_mut().unwrap().push(owned(B, "active", &OURS))), std::slice::from_ref(&before));
    assert_eq!(kept(|w| _ = w.looks.insert(B.into(), Look::Gone)), []);
    assert_eq!(kept(|w| w.now.push(line("rif", B))), []);
    assert_eq!(kept(|w| w.recent = HashSet::from([B.to_owned()])), std::slice::from_ref(&before));
}

#[test]
fn here_and_not_paid_for() {
    let lost = || {
        world().but(|w| {
            w.owned.as_mut().unwrap().clear();
            w.gone[1].insert(A.into());
        })
    };
    assert_eq!(lost().kinds(), one(NumberLost, A));
    assert_eq!(lost().but(|w| w.gone[1].clear()).kinds(), [], "not in the list is no proof");
    let as_listed = |status: &'static str, tags: &'static [&'static str]| {
        world().but(|w| w.owned = Some(vec![owned(A, status, tags)])).kinds()
    };
    assert_eq!(as_listed("ported-out", &OURS), one(NumberLost, A));
    assert_eq!(as_listed("active", &["clientnumber:owner=other"]), one(NumberLost, A));
    assert_eq!(as_listed("active", &[]), [], "without tags it is still the line's");
    let stands = |change: fn(&mut World)| world().but(|w| w.findings = vec![found(NumberLost, A)]).but(change).kinds();
    assert_eq!(stands(|w| w.owned = None), one(NumberLost, A));
    assert_eq!(stands(|_| ()), []);
    // A line that waits for a person on its way, long after it had its number.
    let waits = || with(line("atlas", A), "/status/verification", json!({}));
    let on_its_way = |look: Option<Look>| {
        world()
            .but(|w| {
                w.owned.as_mut().unwrap().clear();
                (w.then, w.now) = (vec![waits()], vec![waits()]);
                w.looks.extend(look.map(|look| (A.to_owned(), look)));
            })
            .kinds()
    };
    assert_eq!(on_its_way(Some(Look::Gone)), one(NumberLost, A));
    assert_eq!(on_its_way(None), []);
}

#[test]
fn registered_and_routed_nowhere() {
    assert_eq!(world().but(|w| w.routes.as_mut().unwrap().clear()).kinds(), one(NotRouted, A));
    assert_eq!(world().but(|w| w.routes.as_mut().unwrap()[0].state = Disabled).kinds(), one(NotRouted, A));
    assert_eq!(world().but(|w| w.routes = None).kinds(), []);
    let stranger = || world().but(|w| w.meta.as_mut().unwrap().push(at_meta(B, "CONNECTED")));
    assert_eq!(stranger().kinds(), one(NotRouted, B));
    assert_eq!(stranger().but(|w| w.then.push(line("rif", B))).kinds(), [], "its line has just gone");
    let stands =
        |change: fn(&mut World)| stranger().but(|w| w.findings = vec![found(NotRouted, B)]).but(change).kinds();
    assert_eq!(stands(|w| w.routes = None), one(NotRouted, B));
    assert_eq!(stands(|w| w.meta = None), one(NotRouted, B));
    assert_eq!(stands(|w| _ = w.meta.as_mut().unwrap().pop()), []);
}

#[test]
fn slots_that_no_line_uses() {
    let unused = || world().but(|w| w.meta.as_mut().unwrap().push(at_meta(B, "DISCONNECTED")));
    assert_eq!(unused().kinds(), one(AwaitingManualDeletion, B));
    assert_eq!(unused().but(|w| w.now.push(line("rif", B))).kinds(), []);
    assert_eq!(unused().but(|w| w.routes = None).kinds(), one(AwaitingManualDeletion, B));
    let stands = |change: fn(&mut World)| {
        unused().but(|w| w.findings = vec![found(AwaitingManualDeletion, B)]).but(change).audit().findings
    };
    assert_eq!(stands(|w| w.meta = None), [found(AwaitingManualDeletion, B)]);
    let again = stands(|_| ());
    assert_eq!(again[0].since, found(AwaitingManualDeletion, B).since, "without a break");
}

/// What a person is told to delete is never what may be in use; in service and routed by us nowhere is another finding,
/// and what is being set up may be another cluster's.
#[test]
fn a_number_that_no_line_uses_by_what_meta_says_of_it() {
    let told = |status: &str| {
        let entry = with(at_meta_json(B), "/status", json!(status));
        world().but(|w| w.meta.as_mut().unwrap().push(serde_json::from_value(entry).unwrap())).audit().findings
    };
    for status in ["CONNECTED", "FLAGGED", "RESTRICTED", "RATE_LIMITED"] {
        let findings = told(status);
        assert_eq!(findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [NotRouted], "{status}");
        assert!(findings[0].message.contains("leave it if another system answers there; else"), "{findings:?}");
    }
    for status in ["PENDING", "UNVERIFIED", "DISCONNECTED", "BANNED", "MIGRATED", "DELETED"] {
        let findings = told(status);
        assert_eq!(findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [AwaitingManualDeletion], "{status}");
        let says = "leave it if another system uses it or is setting it up; else";
        assert!(findings[0].message.contains(says), "{findings:?}");
    }
    let untold = || {
        let mut entry = at_meta_json(B);
        entry.as_object_mut().unwrap().remove("status");
        world().but(|w| w.meta.as_mut().unwrap().push(serde_json::from_value(entry).unwrap()))
    };
    assert_eq!(told("SOMETHING_NEW"), []);
    assert_eq!(untold().kinds(), []);
    for kind in [NotRouted, AwaitingManualDeletion] {
        assert_eq!(untold().but(|w| w.findings = vec![found(kind, B)]).kinds(), one(kind, B), "what was known stands");
    }
}

#[test]
fn routed_and_not_registered() {
    assert_eq!(world().but(|w| w.meta = Some(vec![at_meta(A, "DISCONNECTED")])).kinds(), one(NotRegistered, A));
    let lacking = |gone: bool| {
        world()
            .but(|w| {
                w.meta = Some(Vec::new());
                w.gone[0].extend(gone.then(|| id(A)));
            })
            .kinds()
    };
    assert_eq!(lacking(true), one(NotRegistered, A));
    assert_eq!(lacking(false), []);
    assert_eq!(world().but(|w| w.meta = Some(vec![at_meta(A, "RESTRICTED")])).kinds(), [], "it still receives");
    let stands =
        |change: fn(&mut World)| world().but(|w| w.findings = vec![found(NotRegistered, A)]).but(change).kinds();
    assert_eq!(stands(|w| w.meta = None), one(NotRegistered, A));
    assert_eq!(stands(|w| w.routes = None), one(NotRegistered, A));
    assert_eq!(stands(|_| ()), []);
}

#[test]
fn routed_by_an_object_that_is_gone() {
    let left = || {
        world().no_line().but(|w| {
            w.meta = Some(Vec::new());
            w.owned = Some(Vec::new());
        })
    };
    assert_eq!(left().kinds(), one(RouteWithoutLine, A));
    assert_eq!(left().but(|w| w.routes.as_mut().unwrap()[0].state = Disabled).kinds(), []);
    assert_eq!(left().but(|w| w.routes.as_mut().unwrap()[0].portfolio = "platform/other".into()).kinds(), []);
    let other_account = left().but(|w| w.routes.as_mut().unwrap()[0].waba_id = "105".parse().unwrap());
    assert_eq!(other_account.kinds(), [], "another cluster's Portfolio of the same name");
    assert_eq!(left().but(|w| w.now = vec![line("atlas", A)]).kinds(), []);
    assert_eq!(left().but(|w| w.recent = HashSet::from([A.to_owned()])).kinds(), []);
    let restored = || with(line("atlas", A), "/metadata/uid", json!("uid-restored"));
    let restored = world().but(|w| (w.then, w.now) = (vec![restored()], vec![restored()]));
    assert_eq!(restored.kinds(), [], "a backup brought it back under another uid");
    let stands = left().but(|w| {
        w.findings = vec![found(RouteWithoutLine, A)];
        w.routes = None;
    });
    assert_eq!(stands.kinds(), one(RouteWithoutLine, A));
    let rif = world().but(|w| w.routes.as_mut().unwrap().push(route("rif", B, Active)));
    assert_eq!(rif.kinds(), one(RouteWithoutLine, B));
}

#[test]
fn status_shows_a_hundred_and_all_that_were_given_up() {
    let number = |n: usize| format!("+2126100{n:05}");
    let all = (0..150).map(|n| owned(&number(n), "active", &OURS[..1]));
    let given_up = (200..203).map(|n| found(Abandoned, &number(n)));
    let outcome = world()
        .but(|w| {
            w.owned.as_mut().unwrap().extend(all);
            w.findings = given_up.collect();
        })
        .audit();
    assert_eq!((outcome.count(Orphaned), outcome.count(Abandoned)), (150, 3));
    let shown = outcome.shown();
    assert_eq!((shown.len(), shown[2].kind, shown[3].phone_number.clone()), (SHOWN + 3, Abandoned, number(0)));
}

#[test]
fn many_of_one_kind_hide_no_other() {
    let numbers = |from: usize, to: usize, kind| (from..to).map(move |n| found(kind, &format!("+2126100{n:05}")));
    let findings =
        numbers(0, 150, Orphaned).chain(numbers(0, 2, NumberLost)).chain(numbers(0, 60, NotRouted)).collect();
    let shown = Outcome { findings, retained: Vec::new() }.shown();
    let count = |kind| shown.iter().filter(|f| f.kind == kind).count();
    assert_eq!((count(Orphaned), count(NumberLost), count(NotRouted), shown.len()), (49, 2, 49, SHOWN));
    assert!(shown.is_sorted_by_key(|f| (f.kind, f.phone_number.clone())), "in the order of kinds and numbers");
}
