//! This machine's clock, held against the store's, which is one for all replicas.
//!
//! A wrong clock costs messages: what is stamped too early is removed too early (by retention, by the quarantine's time to
//! live), and to a clock far ahead everything that comes is too old. So stamps follow the store's clock where the two
//! differ. Must never be the reason that something is removed while they do: which of them is right can't be told from here.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::domain::{Clock, SharedClock};

/// Less is no difference: clocks that something keeps in step (NTP) are well below.
const TOLERATED: SignedDuration = SignedDuration::from_secs(10);
/// They were never compared.
const UNKNOWN: i64 = i64::MIN;

/// A clock that follows the store's where this machine's is wrong.
pub struct StoreClock {
    own: SharedClock,
    /// How far this machine's is ahead of the store's, in milliseconds; 0: they agree.
    ahead: AtomicI64,
    compared: CancellationToken,
}

impl StoreClock {
    /// This machine's clock, as long as nothing is known of the store's.
    pub fn new(own: SharedClock) -> Self {
        Self { own, ahead: AtomicI64::new(UNKNOWN), compared: CancellationToken::new() }
    }

    /// The store said what time it is: in answer to a question that was sent and answered at these moments of this
    /// machine's clock ([`StoreClock::own`]).
    pub fn compare(&self, sent: Timestamp, told: Timestamp, answered: Timestamp) {
        let ahead = ahead(sent, told, answered).as_millis();
        self.ahead.store(i64::try_from(ahead).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.compared.cancel();
    }

    /// Waits until they were compared: before that nothing should be stamped.
    pub async fn compared(&self) {
        self.compared.cancelled().await;
    }

    /// What this machine's clock shows.
    pub fn own(&self) -> Timestamp {
        self.own.now()
    }

    /// How far this machine's clock is ahead of the store's, behind it if negative, zero if they agree; None: never
    /// compared.
    pub fn ahead(&self) -> Option<SignedDuration> {
        match self.ahead.load(Ordering::Relaxed) {
            UNKNOWN => None,
            millis => Some(SignedDuration::from_millis(millis)),
        }
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let (own, ahead) = (self.own.now(), self.ahead().unwrap_or_default());
        own.checked_sub(ahead).unwrap_or(own)
    }

    fn monotonic(&self) -> Instant {
        self.own.monotonic()
    }
}

/// By how much the clocks surely differ: the time of the answer's way is nobody's fault. Pure.
fn ahead(sent: Timestamp, told: Timestamp, answered: Timestamp) -> SignedDuration {
    let least = if told < sent {
        sent.duration_since(told)
    } else if told > answered {
        answered.duration_since(told)
    } else {
        SignedDuration::ZERO
    };
    if least.abs() < TOLERATED { SignedDuration::ZERO } else { least }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::ManualClock;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_793_000_000 + second).unwrap()
    }

    #[test]
    fn by_how_much_clocks_differ() {
        for (what, sent, told, answered, want) in [
            ("at once", 0, 0, 0, 0),
            ("a slow answer", 0, 20, 30, 0),
            ("little", 9, 0, 9, 0),
            ("ahead", 10, 0, 11, 10),
            ("a year ahead", 31_536_000, 0, 31_536_003, 31_536_000),
            ("behind", 0, 12, 2, -10),
            ("a little behind", 0, 11, 2, 0),
        ] {
            assert_eq!(ahead(at(sent), at(told), at(answered)).as_secs(), want, "{what}");
        }
    }

    #[test]
    fn stamps_follow_the_store() {
        let own = Arc::new(ManualClock::new(at(1000)));
        let clock = StoreClock::new(Arc::<ManualClock>::clone(&own));
        assert_eq!((clock.now(), clock.ahead()), (at(1000), None));
        clock.compare(clock.own(), at(400), clock.own());
        own.advance(std::time::Duration::from_secs(5));
        assert_eq!((clock.now(), clock.own()), (at(405), at(1005)));
        clock.compare(clock.own(), at(1001), clock.own());
        assert_eq!((clock.now(), clock.ahead()), (at(1005), Some(SignedDuration::ZERO)));
    }
}
