//! Faults that a test plants: which operation, the how manieth call, before or after the effect, and what happens then.
//!
//! Decides whether a call that arrives now is hit; never carries the fault out (the server does, since that needs time
//! and sockets). Each fault counts for itself.

use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::dice::Dice;

/// On which side of the effect a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The effect does not happen (a held request has its effect after the release).
    #[default]
    Before,
    /// The effect happens, the answer does not arrive as it should.
    After,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Answers with `status`, `headers` and `body`.
    Status,
    /// Closes the connection without an answer.
    Drop,
    /// Never answers, until the fault is deleted.
    Hang,
    /// Waits for the release, then goes on as usual.
    Hold,
    /// Waits `delay_ms`, then goes on as usual.
    Delay,
    /// Closes the connection with a TCP reset and no answer.
    Reset,
    /// Closes the connection in the middle of the body.
    Truncate,
    /// Sends the answer slowly: its body, or its head too.
    Slow,
    /// A page in HTML as a proxy in between gives it.
    Html,
    /// A rate limit's refusal in the provider's own form.
    Throttle,
    /// A body of `bytes` bytes.
    Huge,
    /// The real answer, changed.
    Alter,
}

/// What the control port asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Operation name, for example `telnyx.create_number_order`; a trailing `*` matches all that begin so.
    pub operation: String,
    /// The how manieth call from now on; 1 is the next.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many calls from there on.
    #[serde(default = "one")]
    pub count: u64,
    /// The share of these calls that is struck, drawn from the seed; all if left out. `count` counts the struck ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// Side of the effect.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub action: Action,
    /// Only calls whose path, query or body contains this text are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// For `status`; 503 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// For `status`: JSON, or a string that is sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// For `status`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub headers: serde_json::Map<String, Value>,
    /// For `delay`, in real milliseconds; 1000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// For `truncate`: bytes of the body that are sent; half of it if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    /// For `truncate`: in chunks, without Content-Length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chunked: bool,
    /// For `slow`: bytes a second; 10 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u32>,
    /// For `slow`: the head is slow too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slow_head: bool,
    /// For `huge`: length of the body; 100 MB if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// For `huge`: with Content-Length instead of chunks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub length: bool,
    /// For `throttle`: seconds in Retry-After; no such header if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// For `alter`: JSON pointer to the value that is put there; `*` stands for every element.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub set: serde_json::Map<String, Value>,
    /// For `alter`: JSON pointers to what is taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// For `alter`: the answer's content type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

impl Plan {
    /// On which side of the effect it strikes: what changes the real answer can only come after it.
    pub fn side(&self) -> When {
        if self.action == Action::Alter { When::After } else { self.when }
    }

    /// Whether it can be carried out as it is asked for.
    ///
    /// # Errors
    /// What to give instead: an answer that HTTP can't carry would only close the connection, as `drop` does.
    pub fn possible(&self) -> Result<(), String> {
        let changes = [self.set.is_empty(), self.remove.is_empty(), self.headers.is_empty()].contains(&false);
        if self.action == Action::Alter && !changes && self.content_type.is_none() {
            return Err("alter changes nothing: give set, remove, headers or content_type".to_owned());
        }
        if self.chance.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return Err("chance is a share of the calls: give a number from 0 to 1".to_owned());
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("status must be the HTTP status of an answer: give one from 200 to 599".to_owned());
        }
        for (name, value) in &self.headers {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if HeaderName::try_from(name.as_str()).is_err() || HeaderValue::try_from(text.as_str()).is_err() {
                return Err(format!(
                    "headers: {name} can't be sent: give a name of letters and dashes, and one line of text"
                ));
            }
        }
        if self.content_type.as_deref().is_some_and(|kind| HeaderValue::try_from(kind).is_err()) {
            return Err("content_type can't be sent: give one line of text".to_owned());
        }
        Ok(())
    }
}

fn one() -> u64 {
    1
}

/// A planted fault and what became of it.
pub struct Fault {
    id: u64,
    plan: Plan,
    seen: u64,
    hits: u64,
    holding: u64,
    release: watch::Sender<bool>,
}

/// A fault that strikes one call.
#[derive(Clone)]
pub struct Strike {
    /// Which fault.
    pub id: u64,
    /// What it does.
    pub plan: Plan,
    /// What it strikes.
    pub operation: String,
    /// Becomes true at the release, or at the deletion of the fault.
    pub released: watch::Receiver<bool>,
}

impl Strike {
    /// How the journal calls it.
    pub fn label(&self) -> String {
        let when = if self.plan.side() == When::Before { "before" } else { "after" };
        let action = serde_json::to_value(self.plan.action).unwrap_or_default();
        format!("{when} {} #{}", action.as_str().unwrap_or("?"), self.id)
    }
}

impl Fault {
    /// Whether the call that was just counted is struck.
    fn strikes(&self, dice: Dice) -> bool {
        let Some(place) = self.seen.checked_sub(self.plan.nth.max(1)) else { return false };
        match self.plan.chance {
            None => place < self.plan.count,
            Some(chance) => {
                let drawn = dice.below(1_000_000, "fault", &format!("{}/{place}", self.id));
                self.hits < self.plan.count && (drawn as f64) < chance * 1_000_000.0
            }
        }
    }
}

/// All faults.
pub struct Faults {
    dice: Dice,
    next: u64,
    all: Vec<Fault>,
}

impl Faults {
    /// None yet.
    pub fn new(dice: Dice) -> Self {
        Self { dice, next: 0, all: Vec::new() }
    }

    /// Plants a fault.
    pub fn plant(&mut self, plan: Plan) -> u64 {
        self.next += 1;
        let (release, _) = watch::channel(false);
        self.all.push(Fault { id: self.next, plan, seen: 0, hits: 0, holding: 0, release });
        self.next
    }

    /// Counts a call for every fault on its operation; the oldest fault whose turn it is strikes.
    pub fn arrive(&mut self, operation: &str, text: impl Fn(&str) -> bool) -> Option<Strike> {
        let mut strike = None;
        for fault in &mut self.all {
            let named = match fault.plan.operation.strip_suffix('*') {
                Some(prefix) => operation.starts_with(prefix),
                None => operation == fault.plan.operation,
            };
            if !named || fault.plan.contains.as_deref().is_some_and(|part| !text(part)) {
                continue;
            }
            fault.seen += 1;
            if strike.is_none() && fault.strikes(self.dice) {
                fault.hits += 1;
                let released = fault.release.subscribe();
                let operation = operation.to_owned();
                strike = Some(Strike { id: fault.id, plan: fault.plan.clone(), operation, released });
            }
        }
        strike
    }

    /// Notes that a request begins (+1) or ends (-1) to be held.
    pub fn hold(&mut self, id: u64, change: i64) {
        if let Some(fault) = self.all.iter_mut().find(|fault| fault.id == id) {
            fault.holding = fault.holding.saturating_add_signed(change);
        }
    }

    /// Lets what is held go on; later calls that the fault strikes are not held any more.
    pub fn release(&mut self, id: u64) -> bool {
        self.all.iter().find(|fault| fault.id == id).map(|fault| fault.release.send_replace(true)).is_some()
    }

    /// Removes a fault and lets go what it holds.
    pub fn remove(&mut self, id: u64) -> bool {
        let found = self.release(id);
        self.all.retain(|fault| fault.id != id);
        found
    }

    /// Removes all faults.
    pub fn clear(&mut self) {
        let ids: Vec<u64> = self.all.iter().map(|fault| fault.id).collect();
        for id in ids {
            self.remove(id);
        }
    }

    /// What became of one fault.
    pub fn show(&self, id: u64) -> Option<Value> {
        self.all.iter().find(|fault| fault.id == id).map(view)
    }

    /// What became of all faults.
    pub fn list(&self) -> Vec<Value> {
        self.all.iter().map(view).collect()
    }
}

fn view(fault: &Fault) -> Value {
    serde_json::json!({
        "id": fault.id, "plan": fault.plan, "seen": fault.seen, "hits": fault.hits, "holding": fault.holding,
        "released": *fault.release.borrow(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Plan {
        serde_json::from_str(text).expect("a plan")
    }

    #[test]
    fn strikes_from_the_nth_call_as_often_as_asked() {
        let cases = [
            (r#"{"operation":"a.b","action":"drop"}"#, vec![true, false, false, false]),
            (r#"{"operation":"a.b","action":"drop","nth":2,"count":2}"#, vec![false, true, true, false]),
            (r#"{"operation":"a.*","action":"drop","nth":3}"#, vec![false, false, true, false]),
            (r#"{"operation":"a.c","action":"drop"}"#, vec![false; 4]),
            (r#"{"operation":"a.b","action":"drop","contains":"x"}"#, vec![false; 4]),
        ];
        for (text, expected) in cases {
            let mut faults = Faults::new(Dice::new(1));
            faults.plant(plan(text));
            let struck: Vec<bool> = (0..4).map(|_| faults.arrive("a.b", |_| false).is_some()).collect();
            assert_eq!(struck, expected, "{text}");
        }
    }

    #[test]
    fn a_share_of_the_calls_is_drawn_from_the_seed() {
        let struck = |seed: u64, text: &str| {
            let mut faults = Faults::new(Dice::new(seed));
            faults.plant(plan(text));
            (0..2_000).map(|_| faults.arrive("a.b", |_| false).is_some()).collect::<Vec<bool>>()
        };
        let times = |all: &[bool]| all.iter().filter(|one| **one).count();
        let often = r#"{"operation":"a.*","action":"drop","chance":0.05,"count":1000000}"#;
        assert!((60..140).contains(&times(&struck(7, often))), "{}", times(&struck(7, often)));
        assert_eq!(struck(7, often), struck(7, often));
        assert_ne!(struck(7, often), struck(8, often));
        assert_eq!(times(&struck(7, r#"{"operation":"a.b","action":"drop","chance":0.5,"count":3}"#)), 3);
        assert_eq!(times(&struck(7, r#"{"operation":"a.b","action":"drop","chance":0,"count":9}"#)), 0);
        assert!(plan(r#"{"operation":"a","action":"drop","chance":1.5}"#).possible().is_err());
    }

    #[test]
    fn what_http_cant_carry_is_refused_with_what_to_give_instead() {
        let cases = [
            (r#"{"operation":"a","action":"alter"}"#, Some("alter changes nothing")),
            (r#"{"operation":"a","action":"alter","headers":{"retry-after":"soon"}}"#, None),
            (r#"{"operation":"a","action":"alter","content_type":"a\nb"}"#, Some("content_type")),
            (r#"{"operation":"a","action":"status","status":99}"#, Some("200 to 599")),
            (r#"{"operation":"a","action":"status","status":599,"headers":{"retry-after":3}}"#, None),
            (r#"{"operation":"a","action":"html","headers":{"no name":"x"}}"#, Some("no name")),
            (r#"{"operation":"a","action":"throttle","headers":{"x":"a\r\nb"}}"#, Some("one line of text")),
        ];
        for (text, expected) in cases {
            let told = plan(text).possible().err();
            assert_eq!(told.is_some(), expected.is_some(), "{text}: {told:?}");
            assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn each_fault_counts_for_itself_and_release_reaches_the_held() {
        let mut faults = Faults::new(Dice::new(1));
        let first = faults.plant(plan(r#"{"operation":"a","action":"hold","when":"after"}"#));
        let second = faults.plant(plan(r#"{"operation":"a","action":"drop","nth":2}"#));
        let strike = faults.arrive("a", |_| true).expect("held");
        assert_eq!((strike.id, *strike.released.borrow()), (first, false));
        faults.hold(first, 1);
        assert_eq!(faults.show(first).expect("shown")["holding"], 1);
        assert!(faults.release(first) && *strike.released.borrow());
        assert_eq!(faults.arrive("a", |_| true).map(|strike| strike.id), Some(second));
        assert!(faults.remove(second) && !faults.remove(second));
    }
}
