//! How many passes run at the same time: so many for each step of each Portfolio, so that what hangs holds up only its own.
//!
//! A provider that does not answer keeps a pass for its whole time-out. With one bound for all, a few lines that wait for
//! Telnyx would keep the lines that need Meta, and those of every other Portfolio, from being looked at. Must never be
//! waited for by a pass that holds a slot already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::domain::NamespacedName;

/// What shares slots: a Portfolio and a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The Portfolio of the line.
    pub portfolio: NamespacedName,
    /// The step that the line is at.
    pub step: &'static str,
}

/// All slots.
pub struct Slots {
    each: usize,
    lanes: Mutex<HashMap<Lane, Arc<Semaphore>>>,
    stop: CancellationToken,
}

impl Slots {
    /// `each`: slots of one lane. After `stop` nobody waits any more.
    pub fn new(each: usize, stop: CancellationToken) -> Self {
        Self { each, lanes: Mutex::default(), stop }
    }

    /// Waits for a slot, in order of arrival. None: the program ends.
    pub async fn take(&self, lane: &Lane) -> Option<OwnedSemaphorePermit> {
        let slots = self.lane(lane);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            slot = slots.acquire_owned() => slot.ok(),
        }
    }

    fn lane(&self, lane: &Lane) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if !lanes.contains_key(lane) {
            // Portfolios come and go: what nobody holds or waits for is made anew when it is needed.
            lanes.retain(|_, slots| Arc::strong_count(slots) > 1);
        }
        lanes.entry(lane.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn lane(portfolio: &str, step: &'static str) -> Lane {
        Lane { portfolio: NamespacedName::new("platform", portfolio), step }
    }

    #[tokio::test]
    async fn a_full_lane_holds_up_no_other() {
        let (stop, acquire) = (CancellationToken::new(), lane("main", "acquire"));
        let slots = Slots::new(2, stop.clone());
        let first = slots.take(&acquire).await;
        let _second = slots.take(&acquire).await;
        assert!(slots.take(&acquire).now_or_never().is_none(), "both slots are taken");
        for other in [lane("main", "link"), lane("other", "acquire")] {
            assert!(slots.take(&other).now_or_never().flatten().is_some(), "{other:?}");
        }
        drop(first);
        assert!(slots.take(&acquire).now_or_never().flatten().is_some(), "a slot that was given back");
        assert_eq!(slots.lanes.lock().unwrap().len(), 2, "lanes that nobody is in are forgotten");
        let _held = slots.take(&acquire).await;
        let waiting = slots.take(&acquire);
        stop.cancel();
        assert!(waiting.await.is_none());
    }
}
