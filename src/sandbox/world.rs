//! The whole state of the sandbox: both providers, the calls between them, what it cost and what was asked.
//!
//! Everything here is plain data behind one lock. Handlers are functions of it; none of them waits. What must happen
//! outside (a call that rings, a webhook) is put into `outbox` and carried out by the server. What becomes true with
//! time (an order, a name decision) is made true by `advance`, before anyone looks.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::delays::Delay;
use super::dice::Dice;
use super::faults::Faults;
use super::http::{Request, Response};
use super::journal::Journal;
use super::ledger::Ledger;
use super::limits::Limits;
use super::settings::Settings;
use super::{meta, telnyx};

/// Everything there is.
pub struct World {
    /// Seeded chance.
    pub dice: Dice,
    /// Factor on delays.
    pub speed: f64,
    /// How the providers behave.
    pub settings: Settings,
    /// The Telnyx account.
    pub telnyx: telnyx::Account,
    /// Meta's graph.
    pub meta: meta::Graph,
    /// What cost money.
    pub ledger: Ledger,
    /// What was asked.
    pub journal: Journal,
    /// Rate limits, and calls by account.
    pub limits: Limits,
    /// Planted faults.
    pub faults: Faults,
    /// What has to happen outside.
    pub outbox: Vec<Effect>,
    /// Signs webhooks and checks appsecret_proof.
    pub app_secret: Option<SecretString>,
    /// Where Meta's webhooks go.
    pub webhook_url: Option<String>,
    /// Base of download links, `http://127.0.0.1:4010`.
    pub telnyx_origin: String,
    /// How far the sandbox's clock is ahead of the machine's.
    pub ahead: SignedDuration,
    counters: BTreeMap<(&'static str, String), u64>,
}

/// Something the server has to do after a handler.
#[derive(Clone)]
pub enum Effect {
    /// Call a number and say the code.
    Ring(Ring),
    /// Send a webhook about this WABA.
    Webhook(serde_json::Value),
}

/// A verification call that is about to be made.
#[derive(Clone)]
pub struct Ring {
    /// Called number, digits.
    pub to: String,
    /// Calling number, E.164.
    pub from: String,
    /// What will be said.
    pub speech: super::speech::Speech,
    /// Until it rings.
    pub after: Duration,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, speed: f64) -> Self {
        Self {
            dice: Dice::new(seed),
            speed,
            settings: Settings::default(),
            telnyx: telnyx::Account::default(),
            meta: meta::Graph::default(),
            ledger: Ledger::default(),
            journal: Journal::default(),
            limits: Limits::default(),
            faults: Faults::new(Dice::new(seed)),
            outbox: Vec::new(),
            app_secret: None,
            webhook_url: None,
            telnyx_origin: "http://127.0.0.1:4010".to_owned(),
            ahead: SignedDuration::ZERO,
            counters: BTreeMap::new(),
        }
    }

    /// The sandbox's time.
    pub fn now(&self) -> Timestamp {
        Timestamp::now().checked_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// The key of an object's next event of a kind: `+212612345678/1`, `+212612345678/2`, ...
    ///
    /// Counted for each object by itself: whose request came first makes no difference to it.
    pub fn next_of(&mut self, kind: &'static str, object: &str) -> String {
        let counter = self.counters.entry((kind, object.to_owned())).or_insert(0);
        *counter += 1;
        format!("{object}/{counter}")
    }

    /// A new UUID that is about this object.
    pub fn uuid_of(&mut self, kind: &'static str, object: &str) -> String {
        let key = self.next_of(kind, object);
        self.dice.uuid(kind, &key)
    }

    /// A new numeric id that is about this object.
    pub fn numeric_of(&mut self, digits: usize, kind: &'static str, object: &str) -> String {
        let key = self.next_of(kind, object);
        self.dice.numeric(digits, kind, &key)
    }

    /// A delay: as set, or drawn for this object and scaled by the speed.
    pub fn delay_of(&mut self, set: Option<u64>, kind: Delay, object: &str) -> Duration {
        match set {
            Some(ms) => Duration::from_millis(ms),
            None => {
                let key = self.next_of(kind.name, object);
                Duration::from_millis(kind.draw(&self.dice, &key)).mul_f64(self.speed)
            }
        }
    }

    /// `now` and such a delay.
    pub fn later_of(&mut self, now: Timestamp, set: Option<u64>, kind: Delay, object: &str) -> Timestamp {
        let delay = self.delay_of(set, kind, object);
        add(now, delay)
    }

    /// A provider's window of so many seconds, as `policy_time_scale` scales it.
    pub fn window(&self, seconds: i64) -> SignedDuration {
        let scale = self.settings.policy_time_scale.unwrap_or(1.0);
        SignedDuration::from_secs(seconds).mul_f64(scale.clamp(1e-9, 1_000.0))
    }

    /// Makes true what time has made true.
    pub fn advance(&mut self, now: Timestamp) {
        telnyx::groups::advance(self, now);
        telnyx::fulfilment::advance(self, now);
        meta::names::advance(self, now);
    }
}

/// A moment and a duration; the end of time if that is beyond it.
pub fn add(now: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay).ok().and_then(|delay| now.checked_add(delay).ok()).unwrap_or(Timestamp::MAX)
}

/// What a handler is given besides the world.
pub struct Ctx<'a> {
    /// The request.
    pub req: &'a Request,
    /// What stood in the path's placeholders, in order.
    pub params: &'a [String],
    /// The moment of the request.
    pub now: Timestamp,
}

impl Ctx<'_> {
    /// The nth placeholder.
    pub fn param(&self, place: usize) -> &str {
        self.params.get(place).map_or("", String::as_str)
    }
}

/// A handler's result; both sides are complete answers.
pub type Answer = Result<Response, Response>;

/// A handler.
pub type Handler = fn(&mut World, &Ctx<'_>) -> Answer;

/// One endpoint: method, path with `{placeholders}`, operation name, handler.
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path below the base, without a leading slash.
    pub path: &'static str,
    /// Name in journal and faults.
    pub operation: &'static str,
    /// What answers.
    pub handler: Handler,
}

/// The first route that fits, and what stands in its placeholders.
pub fn find<'r>(routes: &'r [Route], method: &str, segments: &[String]) -> Option<(&'r Route, Vec<String>)> {
    routes.iter().filter(|route| route.method == method).find_map(|route| {
        let parts: Vec<&str> = route.path.split('/').collect();
        if parts.len() != segments.len() {
            return None;
        }
        let mut params = Vec::new();
        for (part, segment) in parts.iter().zip(segments) {
            if part.starts_with('{') {
                params.push(segment.clone());
            } else if part != segment {
                return None;
            }
        }
        Some((route, params))
    })
}
