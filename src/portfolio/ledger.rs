//! The ledger of claims in a Portfolio's status: slots, budget and numbers, claimed by lines before they spend. Pure.
//!
//! One PUT of the Portfolio decides, so that no two lines take the same number or the last slot. A claim holds its slot
//! until it is settled (Meta lists the number, or the line gave up) and is kept for 24 hours for the purchases' limits:
//! creating and deleting objects in a loop can't spend without bound. Since a status can be wiped, what the carrier's own
//! list of orders and the lines' status say is counted beside it. Must never count less than any of them shows.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::domain::{E164, NamespacedName, PolicyTime, Usd};
use crate::providers::telnyx::{Order, OrderStatus};
use crate::resources::limits::Limits;
use crate::resources::portfolio::{LedgerEntry, RetainedNumber};

/// What a line claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The line.
    pub line: NamespacedName,
    /// Its uid.
    pub uid: String,
    /// The number it may order or use.
    pub number: E164,
    /// Whether it is going to be bought.
    pub purchase: bool,
}

/// A purchase that the carrier's list of orders shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The line in its reference: namespace/name.
    pub line: String,
    /// The number; None if the list left it out.
    pub number: Option<E164>,
    /// When it was ordered.
    pub at: Timestamp,
}

/// The purchases among the carrier's orders of this owner id (`prefix` is what their references begin with). An order
/// that failed delivered nothing and is not charged, so it is none; one that was cancelled or deleted may have been
/// charged, and one whose status is not told may still be.
pub fn purchases(orders: &[Order], prefix: &str, now: Timestamp) -> Vec<Ordered> {
    let paid = |order: &&Order| order.status != Some(OrderStatus::Failure);
    let mut found = Vec::new();
    for order in orders.iter().filter(paid) {
        let Some(line) = order.reference.as_deref().and_then(|text| text.strip_prefix(prefix)) else { continue };
        let one = |number| Ordered { line: line.to_owned(), number, at: order.created_at.unwrap_or(now) };
        let numbers: Vec<Ordered> = order.numbers.iter().map(|item| one(item.number.clone())).collect();
        found.extend(if numbers.is_empty() { vec![one(None)] } else { numbers });
    }
    found
}

/// What is known besides the ledger when a claim is decided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Numbers that Meta lists, in all accounts of the business.
    pub at_meta: &'a [E164],
    /// Numbers that other lines of the business order or have, by their status, and that are not linked yet.
    pub held: &'a [E164],
    /// Open claims in the ledgers of the business's other Portfolios.
    pub claimed: &'a [LedgerEntry],
    /// Another line that has the number that is to be claimed, or is about to buy it, by its status.
    pub holder: Option<&'a NamespacedName>,
    /// Slots of the business that hold numbers which could not be read.
    pub unread: i32,
    /// What the carrier's list of orders shows of the last day.
    pub orders: &'a [Ordered],
    /// What the purchase is paid from; None: it was held against the balance before.
    pub funds: Option<&'a Funds>,
}

/// What a purchase is paid from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Funds {
    /// The carrier's balance.
    pub available: Usd,
    /// What must be left of it.
    pub minimum: Usd,
    /// What the number costs: once, and for the first month.
    pub price: Usd,
    /// By uid and candidate, what lines that have claimed may still be charged for. Who is not here pays as much as this
    /// purchase.
    pub others: HashMap<(String, String), Usd>,
}

impl Funds {
    /// Whether the balance is too low once all have paid that claimed before: a balance doesn't show orders on their way.
    /// The own place is kept by a claim of the same number only: another one comes last.
    fn too_low(&self, ledger: &[LedgerEntry], own: impl Fn(&LedgerEntry) -> bool, number: &E164) -> bool {
        let open = |e: &&LedgerEntry| e.settled_at.is_none();
        let before = ledger.iter().filter(open).take_while(|e| !(own(e) && e.phone_number == number.as_str()));
        let reserved = before
            .filter(|e| e.purchase && !own(e))
            .map(|e| self.others.get(&(e.uid.clone(), e.phone_number.clone())).copied().unwrap_or(self.price));
        self.available < reserved.fold(self.minimum + self.price, |sum, usd| sum + usd)
    }
}

/// Why a claim is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Another line claims the number.
    NumberTaken {
        /// The other line.
        by: String,
    },
    /// No slot is free.
    CapacityFull {
        /// Slots in use or claimed.
        used: i32,
        /// Slots that there are.
        limit: i32,
    },
    /// The balance would fall below its minimum.
    FundsLow {
        /// The balance.
        available: Usd,
        /// What must be left.
        minimum: Usd,
    },
    /// As many purchases as allowed.
    PurchaseLimit {
        /// When the next one is allowed.
        until: Timestamp,
        /// `purchasesPerHour` or `purchasesPerDay`.
        which: &'static str,
    },
}

/// Slots of the business that are in use or claimed: each number once, whoever shows it. `held` stands for lines whose claim
/// was wiped with a Portfolio's status.
pub fn slots(ledger: &[LedgerEntry], facts: &Facts<'_>) -> i32 {
    let open = ledger.iter().filter(|e| e.settled_at.is_none()).map(|e| e.phone_number.as_str());
    let read = facts.at_meta.iter().chain(facts.held).map(E164::as_str);
    let numbers: HashSet<&str> =
        open.chain(facts.claimed.iter().map(|e| e.phone_number.as_str())).chain(read).collect();
    i32::try_from(numbers.len()).unwrap_or(i32::MAX).saturating_add(facts.unread)
}

/// Claims in progress whose number Meta does not list.
pub fn reserved(ledger: &[LedgerEntry], at_meta: &[E164]) -> i32 {
    let count = ledger
        .iter()
        .filter(|e| e.settled_at.is_none() && !at_meta.iter().any(|n| n.as_str() == e.phone_number))
        .count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// When numbers were bought: each claim for a purchase, and each order that no claim accounts for.
fn bought(ledger: &[LedgerEntry], orders: &[Ordered]) -> Vec<Timestamp> {
    let mut claims: Vec<&LedgerEntry> = ledger.iter().filter(|e| e.purchase).collect();
    let mut times: Vec<Timestamp> = claims.iter().map(|e| e.claimed_at.0).collect();
    for order in orders {
        let same = |e: &&LedgerEntry| match &order.number {
            Some(number) => e.phone_number == number.as_str(),
            None => e.line == order.line,
        };
        match claims.iter().position(same) {
            Some(place) => {
                claims.swap_remove(place);
            }
            None => times.push(order.at),
        }
    }
    times.sort();
    times
}

/// The ledger with the claim in it. A claim in progress of the same object is replaced: it had not been acted upon, or its
/// candidate was proven not ours.
pub fn claim(
    ledger: &[LedgerEntry],
    claim: &Claim,
    facts: &Facts<'_>,
    limits: &Limits,
    now: Timestamp,
    policy: PolicyTime,
) -> Result<Vec<LedgerEntry>, Refusal> {
    let mine = |e: &LedgerEntry| e.line == claim.line.to_string() && e.uid == claim.uid;
    let others: Vec<LedgerEntry> = ledger.iter().filter(|e| !(mine(e) && e.settled_at.is_none())).cloned().collect();
    // Whoever is routed first would be taken out of service by the other's deletion.
    let rival = |e: &&LedgerEntry| e.settled_at.is_none() && !mine(e) && e.phone_number == claim.number.as_str();
    let claimed = others.iter().chain(facts.claimed).find(rival).map(|e| e.line.clone());
    if let Some(by) = claimed.or(facts.holder.map(ToString::to_string)) {
        return Err(Refusal::NumberTaken { by });
    }
    let used = slots(&others, facts);
    if used >= limits.max_numbers && !facts.at_meta.contains(&claim.number) {
        return Err(Refusal::CapacityFull { used, limit: limits.max_numbers });
    }
    if claim.purchase {
        let windows = [
            (limits.purchases_per_hour, policy.hour(), "purchasesPerHour"),
            (limits.purchases_per_day, policy.day(), "purchasesPerDay"),
        ];
        let bought = bought(&others, facts.orders);
        let held = windows.into_iter().filter_map(|(limit, window, which)| {
            let times: Vec<&Timestamp> = bought.iter().filter(|t| **t + window > now).collect();
            let limit = usize::try_from(limit.max(1)).unwrap_or(1);
            let leaving = times.len().checked_sub(limit).and_then(|i| times.get(i))?;
            Some((**leaving + window, which))
        });
        // Of two limits that are reached, the one that holds longer says when it goes on.
        if let Some((until, which)) = held.max_by_key(|(until, _)| *until) {
            return Err(Refusal::PurchaseLimit { until, which });
        }
    }
    if let Some(funds) = facts.funds.filter(|funds| funds.too_low(ledger, mine, &claim.number)) {
        return Err(Refusal::FundsLow { available: funds.available, minimum: funds.minimum });
    }
    let mut next = prune(&others, now, policy);
    next.push(LedgerEntry {
        line: claim.line.to_string(),
        phone_number: claim.number.to_string(),
        claimed_at: Time(now),
        purchase: claim.purchase,
        uid: claim.uid.clone(),
        settled_at: None,
    });
    Ok(next)
}

/// The ledger with the line's claim settled: its slot is Meta's list's business now, or free again.
pub fn settle(ledger: &[LedgerEntry], line: &NamespacedName, uid: &str, now: Timestamp) -> Vec<LedgerEntry> {
    ledger
        .iter()
        .cloned()
        .map(|mut e| {
            if e.line == line.to_string() && e.uid == uid && e.settled_at.is_none() {
                e.settled_at = Some(Time(now));
            }
            e
        })
        .collect()
}

/// The numbers that are kept, with this one. Listed already by a pass that died afterwards: since when stays.
pub fn keep(retained: &[RetainedNumber], number: RetainedNumber) -> Vec<RetainedNumber> {
    let (same, mut all): (Vec<_>, Vec<_>) =
        retained.iter().cloned().partition(|known| known.phone_number == number.phone_number);
    let known = same.into_iter().find(|known| known.company_id == number.company_id);
    let since = known.map_or(number.since.clone(), |known| known.since);
    all.push(RetainedNumber { since, ..number });
    all.sort_by(|a, b| a.phone_number.cmp(&b.phone_number));
    all
}

/// Without settled claims that no limit looks at any more.
pub fn prune(ledger: &[LedgerEntry], now: Timestamp, policy: PolicyTime) -> Vec<LedgerEntry> {
    ledger.iter().filter(|e| e.settled_at.is_none() || e.claimed_at.0 + policy.ledger_keep() > now).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_793_000_000 + minutes * 60).unwrap()
    }

    fn number(n: u32) -> E164 {
        E164::parse(&format!("+2126{n:08}")).unwrap()
    }

    fn line(n: u32, purchase: bool) -> Claim {
        Claim {
            line: NamespacedName::new("clients", format!("c{n}")),
            uid: format!("u{n}"),
            number: number(n),
            purchase,
        }
    }

    fn put(
        ledger: &[LedgerEntry],
        c: &Claim,
        meta: &[E164],
        limits: &Limits,
        minute: i64,
    ) -> Result<Vec<LedgerEntry>, Refusal> {
        let facts = Facts { at_meta: meta, ..Facts::default() };
        claim(ledger, c, &facts, limits, at(minute), PolicyTime::default())
    }

    #[test]
    fn one_number_one_line() {
        let limits = Limits::default();
        let ledger = put(&[], &line(1, true), &[], &limits, 0).unwrap();
        let rival = Claim { number: number(1), ..line(2, true) };
        assert_eq!(put(&ledger, &rival, &[], &limits, 0), Err(Refusal::NumberTaken { by: "clients/c1".into() }));
        let again = put(&ledger, &Claim { number: number(9), ..line(1, true) }, &[], &limits, 0).unwrap();
        assert_eq!(again.len(), 1, "a new candidate replaces the old claim");
    }

    /// The open claim of a line of its own number.
    fn open(n: u32) -> LedgerEntry {
        put(&[], &line(n, false), &[], &Limits::default(), 0).unwrap().remove(0)
    }

    /// What a ledger alone does not show: claims of another Portfolio's lines, and lines whose claim is settled.
    #[test]
    fn a_number_is_taken_whatever_shows_it() {
        let (limits, mine) = (Limits::default(), line(2, false));
        let (theirs, settled) = ([open(1)], settle(&[open(1)], &line(1, false).line, "u1", at(0)));
        let (other, own) = (line(1, false).line, [LedgerEntry { phone_number: number(1).to_string(), ..open(2) }]);
        for (name, ledger, claimed, holder, wanted, taken) in [
            ("another Portfolio's claim", &[][..], &theirs[..], None, 1, true),
            ("its claim is settled, and it has the number", &settled, &[], Some(&other), 1, true),
            ("its claim is settled, and it has it no more", &settled, &[], None, 1, false),
            ("one that claimed nothing has it", &[], &[], Some(&other), 1, true),
            ("another number of another Portfolio", &[], &theirs, None, 3, false),
            ("its own claim, once more", &own, &[], None, 1, false),
        ] {
            let facts = Facts { claimed, holder, ..Facts::default() };
            let wanted = Claim { number: number(wanted), ..mine.clone() };
            let got = claim(ledger, &wanted, &facts, &limits, at(1), PolicyTime::default());
            let by = taken.then(|| Refusal::NumberTaken { by: other.to_string() });
            assert_eq!(got.err(), by, "{name}");
        }
    }

    #[test]
    fn the_last_slot_goes_to_one() {
        let limits = Limits { max_numbers: 3, ..Limits::default() };
        let meta = [number(100), number(101)];
        let ledger = put(&[], &line(1, true), &meta, &limits, 0).unwrap();
        assert_eq!(put(&ledger, &line(2, true), &meta, &limits, 0), Err(Refusal::CapacityFull { used: 3, limit: 3 }));
        let settled = settle(&ledger, &line(1, true).line, "u1", at(1));
        assert!(put(&settled, &line(2, true), &meta, &limits, 1).is_ok());
        let at_meta = Claim { number: number(100), ..line(4, false) };
        assert!(put(&ledger, &at_meta, &meta, &limits, 0).is_ok(), "a number that holds a slot needs no other");
    }

    #[test]
    fn purchases_are_counted_also_after_deletion() {
        let limits = Limits { max_numbers: 100, purchases_per_hour: 2, purchases_per_day: 3, ..Limits::default() };
        let mut ledger = Vec::new();
        for n in 0..2 {
            ledger = put(&ledger, &line(n, true), &[], &limits, i64::from(n)).unwrap();
            ledger = settle(&ledger, &line(n, true).line, &format!("u{n}"), at(i64::from(n)));
        }
        assert_eq!(
            put(&ledger, &line(3, true), &[], &limits, 2),
            Err(Refusal::PurchaseLimit { until: at(60), which: "purchasesPerHour" })
        );
        assert!(put(&ledger, &line(3, false), &[], &limits, 2).is_ok(), "an existing number spends nothing");
        let ledger = put(&ledger, &line(3, true), &[], &limits, 60).unwrap();
        assert_eq!(
            put(&ledger, &line(4, true), &[], &limits, 130),
            Err(Refusal::PurchaseLimit { until: at(24 * 60), which: "purchasesPerDay" })
        );
        // The second and the third are still of the hour: the day, which is reached too, holds longer.
        assert_eq!(
            put(&ledger, &line(4, true), &[], &limits, 60),
            Err(Refusal::PurchaseLimit { until: at(24 * 60), which: "purchasesPerDay" })
        );
    }

    fn order(number_of: Option<u32>, line: u32, minute: i64) -> Ordered {
        Ordered { line: format!("clients/c{line}"), number: number_of.map(number), at: at(minute) }
    }

    /// Each purchase counts once, whether ledger, orders or both show it.
    #[test]
    fn what_the_ledger_forgot_the_carrier_knows() {
        let limits = Limits { max_numbers: 100, purchases_per_hour: 2, purchases_per_day: 3, ..Limits::default() };
        let entry = |n: u32, minute: i64| {
            let ledger = put(&[], &line(n, true), &[], &Limits::default(), minute).unwrap();
            settle(&ledger, &line(n, true).line, &format!("u{n}"), at(minute + 1)).remove(0)
        };
        let hour = |minute: i64| Some(("purchasesPerHour", at(minute + 60)));
        let day = |minute: i64| Some(("purchasesPerDay", at(minute + 24 * 60)));
        for (name, ledger, orders, now, refused) in [
            ("a wiped status", vec![], vec![order(Some(1), 1, 0), order(Some(2), 2, 1)], 2, hour(0)),
            ("both show the same", vec![entry(1, 0)], vec![order(Some(1), 1, 1)], 2, None),
            ("each shows another", vec![entry(1, 0)], vec![order(Some(2), 2, 1)], 2, hour(0)),
            (
                "one number bought twice",
                vec![entry(1, 0)],
                vec![order(Some(1), 1, 1), order(Some(1), 9, 2)],
                3,
                hour(0),
            ),
            ("claimed twice, ordered once", vec![entry(1, 0), entry(1, 5)], vec![order(Some(1), 1, 6)], 7, hour(0)),
            (
                "an order without its number, of a line that claimed",
                vec![entry(1, 0)],
                vec![order(None, 1, 1)],
                2,
                None,
            ),
            ("an order without its number, of another line", vec![entry(1, 0)], vec![order(None, 2, 1)], 2, hour(0)),
            ("an hour later", vec![], vec![order(Some(1), 1, 0), order(Some(2), 2, 1)], 60, None),
            (
                "the day's limit",
                vec![entry(1, 0)],
                vec![order(Some(1), 1, 0), order(Some(2), 2, 70), order(Some(3), 3, 140)],
                300,
                day(0),
            ),
        ] {
            let facts = Facts { orders: &orders, ..Facts::default() };
            let got = claim(&ledger, &line(50, true), &facts, &limits, at(now), PolicyTime::default());
            let got = got.err().map(|refusal| match refusal {
                Refusal::PurchaseLimit { until, which } => (which, until),
                other => panic!("{name}: {other:?}"),
            });
            assert_eq!(got, refused, "{name}");
            let free = claim(&ledger, &line(50, false), &facts, &limits, at(now), PolicyTime::default());
            assert!(free.is_ok(), "{name}: a number that is there already spends nothing");
        }
    }

    #[test]
    fn a_number_is_kept_once() {
        let kept = |number: &str, company: &str, minute: i64| RetainedNumber {
            phone_number: number.into(),
            company_id: company.into(),
            since: Time(at(minute)),
            monthly_usd: Some("1.1".into()),
            estimated: false,
        };
        let first = keep(&[kept("+2", "rif", 0)], kept("+1", "atlas", 5));
        assert_eq!(first, [kept("+1", "atlas", 5), kept("+2", "rif", 0)]);
        assert_eq!(keep(&first, kept("+1", "atlas", 9)), first, "written again by a pass after a crash");
        assert_eq!(keep(&first, kept("+1", "rif", 9))[0], kept("+1", "rif", 9), "another company's by now");
    }

    #[test]
    fn which_orders_are_purchases() {
        let orders: Vec<Order> = serde_json::from_value(serde_json::json!([
            {"id": "a", "status": "success", "customer_reference": "prod/clients/c1", "created_at": "2026-11-01T10:00:00Z",
                "phone_numbers": [{"id": "i", "phone_number": "+212600000001"}]},
            {"id": "b", "status": "failure", "customer_reference": "prod/clients/c2",
                "phone_numbers": [{"id": "i", "phone_number": "+212600000002"}]},
            {"id": "c", "status": "cancelled", "customer_reference": "prod/clients/c3",
                "phone_numbers": [{"id": "i", "phone_number": "+212600000003"}]},
            {"id": "d", "customer_reference": "prod/clients/c4"},
            {"id": "e", "status": "success", "customer_reference": "prod2/clients/c1"},
            {"id": "f", "status": "success"},
        ]))
        .unwrap();
        let now: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
        let found = purchases(&orders, "prod/", now);
        let lines: Vec<&str> = found.iter().map(|o| o.line.as_str()).collect();
        assert_eq!(lines, ["clients/c1", "clients/c3", "clients/c4"]);
        assert_eq!(found[0].at, "2026-11-01T10:00:00Z".parse().unwrap());
        assert_eq!((found[2].at, &found[2].number), (now, &None), "a time that is not told may be now");
    }

    /// The status was wiped while lines were on their way: their numbers hold slots all the same.
    #[test]
    fn lines_on_their_way_hold_slots_without_the_ledger() {
        let limits = Limits { max_numbers: 3, ..Limits::default() };
        let (meta, held) = ([number(100)], [number(100), number(1), number(2)]);
        let facts = Facts { at_meta: &meta, held: &held, ..Facts::default() };
        let ledger = put(&[], &line(1, true), &meta, &limits, 0).unwrap();
        for ledger in [&[][..], &ledger] {
            assert_eq!(slots(ledger, &facts), 3, "each number once");
            let refused = claim(ledger, &line(5, true), &facts, &limits, at(0), PolicyTime::default());
            assert_eq!(refused, Err(Refusal::CapacityFull { used: 3, limit: 3 }));
        }
    }

    /// Lines that buy at the same moment all see the balance before any of them has paid.
    #[test]
    fn who_claimed_before_pays_first() {
        let usd = |text: &str| Usd::parse(text).unwrap();
        let limits = Limits { max_numbers: 9, ..Limits::default() };
        let mut ledger = put(&[], &line(1, true), &[], &limits, 0).unwrap();
        for (n, purchase) in [(2, true), (3, false)] {
            ledger = put(&ledger, &line(n, purchase), &[], &limits, 1).unwrap();
        }
        let settled = settle(&ledger, &line(1, true).line, "u1", at(2));
        // 5.00 must be left and each number costs 2.10; a number that is there already costs nothing.
        for (name, ledger, who, others, enough, short) in [
            ("nobody before", &vec![], 9, vec![], "7.10", "7.09"),
            ("two before", &ledger, 9, vec![], "11.30", "11.29"),
            ("one of them for less", &ledger, 9, vec![("u1", "1.00")], "10.20", "10.19"),
            ("one of them has paid, or was refused", &ledger, 9, vec![("u1", "0")], "9.20", "9.19"),
            ("one of them is linked by now", &settled, 9, vec![], "9.20", "9.19"),
            ("the first, once more: not everybody waits for the others", &ledger, 1, vec![], "7.10", "7.09"),
            ("the second, once more", &ledger, 2, vec![], "9.20", "9.19"),
        ] {
            let candidate = |uid: &str| number(uid[1..].parse().unwrap()).to_string();
            let others: HashMap<_, _> =
                others.into_iter().map(|(uid, text)| ((uid.to_owned(), candidate(uid)), usd(text))).collect();
            for (balance, ok) in [(enough, true), (short, false)] {
                let funds =
                    Funds { available: usd(balance), minimum: usd("5"), price: usd("2.10"), others: others.clone() };
                let facts = Facts { funds: Some(&funds), ..Facts::default() };
                let got = claim(ledger, &line(who, true), &facts, &limits, at(3), PolicyTime::default());
                assert_eq!(got.is_ok(), ok, "{name}, with {balance}: {got:?}");
            }
        }
        // The first was refused its number and takes another: the second, which saw it owe nothing, has ordered since.
        let again = Claim { number: number(9), ..line(1, true) };
        for (balance, ok) in [("9.20", true), ("9.19", false)] {
            let funds = Funds { available: usd(balance), minimum: usd("5"), price: usd("2.10"), ..Funds::default() };
            let facts = Facts { funds: Some(&funds), ..Facts::default() };
            let got = claim(&ledger, &again, &facts, &limits, at(3), PolicyTime::default());
            assert_eq!(got.is_ok(), ok, "another number, with {balance}: {got:?}");
        }
    }

    /// Meta counts for the business what its Portfolios claim one by one.
    #[test]
    fn slots_are_the_businesss() {
        let limits = Limits { max_numbers: 3, ..Limits::default() };
        let own = put(&[], &line(1, true), &[], &Limits::default(), 0).unwrap();
        let claims = |list: &[u32]| list.iter().map(|n| open(*n)).collect::<Vec<_>>();
        let numbers = |list: &[u32]| list.iter().copied().map(number).collect::<Vec<_>>();
        for (name, at_meta, held, claimed, unread, used) in [
            ("its own claim alone", vec![], vec![], vec![], 0, 1),
            ("another Portfolio's claims", vec![], vec![], vec![2, 3], 0, 3),
            ("another account's list", vec![2, 3], vec![], vec![], 0, 3),
            ("listed, claimed and held: one number", vec![2], vec![2], vec![2], 0, 2),
            ("a list that can't be read", vec![], vec![], vec![2], 1, 3),
            ("the claim is linked already", vec![1], vec![], vec![], 0, 1),
            ("a line there whose claim was wiped", vec![], vec![2, 3], vec![3], 0, 3),
        ] {
            let (at_meta, held, claimed) = (numbers(&at_meta), numbers(&held), claims(&claimed));
            let facts = Facts { at_meta: &at_meta, held: &held, claimed: &claimed, unread, ..Facts::default() };
            assert_eq!(slots(&own, &facts), used, "{name}");
            let next = claim(&own, &line(50, false), &facts, &limits, at(1), PolicyTime::default());
            let full = Refusal::CapacityFull { used, limit: 3 };
            assert_eq!(next.err(), (used >= 3).then_some(full), "{name}");
        }
    }

    /// Lines claim, order, are linked, give up and are deleted in any order: numbers and slots are never given twice, and
    /// no window ever holds more purchases than its limit.
    #[test]
    fn no_interleaving_gives_anything_twice() {
        use rand::rngs::StdRng;
        use rand::{RngExt, SeedableRng};
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let limits = Limits {
                max_numbers: rng.random_range(1..6),
                purchases_per_hour: rng.random_range(1..4),
                purchases_per_day: rng.random_range(4..9),
                ..Limits::default()
            };
            let (mut ledger, mut at_meta, mut orders) = (Vec::new(), Vec::<E164>::new(), Vec::<Ordered>::new());
            let (mut claimed, mut bought) = (0, Vec::<i64>::new());
            for minute in 0..400 {
                let who = line(rng.random_range(0..8), rng.random_bool(0.7));
                let entry = LedgerEntry::clone;
                let open = ledger.iter().find(|e: &&LedgerEntry| e.uid == who.uid && e.settled_at.is_none()).map(entry);
                match rng.random_range(0..10) {
                    0..6 => {
                        let wanted = Claim { number: number(rng.random_range(0..12)), ..who.clone() };
                        let facts = Facts { at_meta: &at_meta, orders: &orders, ..Facts::default() };
                        let now = at(minute);
                        if let Ok(next) = claim(&ledger, &wanted, &facts, &limits, now, PolicyTime::default()) {
                            (ledger, claimed) = (next, claimed + 1);
                            if wanted.purchase && rng.random_bool(0.8) {
                                orders.push(Ordered {
                                    line: who.line.to_string(),
                                    number: Some(wanted.number),
                                    at: now,
                                });
                                bought.push(minute);
                            }
                        }
                    }
                    // Meta lists the number, then the claim is settled.
                    6..8 => {
                        let listed = open.map(|e| E164::parse(&e.phone_number).unwrap());
                        at_meta.extend(listed.filter(|n| !at_meta.contains(n)));
                        ledger = settle(&ledger, &who.line, &who.uid, at(minute));
                    }
                    // The line gives up, or its object goes.
                    8 => ledger = settle(&ledger, &who.line, &who.uid, at(minute)),
                    // A person deletes a number at Meta; somebody wipes the Portfolio's settled claims.
                    _ => {
                        at_meta.pop();
                        ledger.retain(|e| e.settled_at.is_none());
                    }
                }
                let mut open: Vec<&str> =
                    ledger.iter().filter(|e| e.settled_at.is_none()).map(|e| e.phone_number.as_str()).collect();
                let count = open.len();
                open.sort_unstable();
                open.dedup();
                assert_eq!(open.len(), count, "seed {seed}, minute {minute}: a number is claimed twice");
                let used = slots(&ledger, &Facts { at_meta: &at_meta, ..Facts::default() });
                assert!(used <= limits.max_numbers, "seed {seed}, minute {minute}: {used} of {}", limits.max_numbers);
                let hour = bought.iter().filter(|m| **m + 60 > minute).count();
                assert!(hour <= limits.purchases_per_hour as usize, "seed {seed}, minute {minute}: {hour} in an hour");
                assert!(bought.len() <= limits.purchases_per_day as usize, "seed {seed}: {} in a day", bought.len());
            }
            assert!(claimed > 0, "seed {seed}: nothing was ever claimed");
        }
    }
}
