//! Brings quarantined changes to their company once the line's route and log are there, within fifteen seconds and by
//! itself. Whatever was stored before is recognised there as a repeat, so all replicas may do this at once.
//!
//! What a log does not take although its route is there is tried ever more seldom, so that it is neither written nor
//! failed on for ever at full speed; a changed route is news for all.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use crate::domain::{PhoneNumberId, WabaId};
use crate::store::quarantine::Quarantined;
use crate::store::{QuarantineReason, StoreError};

use super::admit::Age;
use super::ingest::{Ingest, StoreAway};
use super::metrics::Metrics;
use super::portfolios::Accounts;
use super::split;

/// One look at the quarantine.
const LOOK: Duration = Duration::from_secs(5);
/// Changes of one line before it is another one's turn.
const BATCH: usize = 50;
/// So many in a row that don't go: the rest will hardly go either.
const IN_VAIN: u64 = 50;
/// After so long the rest is for the next look, which knows of lines whose route has appeared meanwhile.
const LONGEST: Duration = Duration::from_secs(5);
/// The longest pause of a line whose changes don't go.
const PAUSE: Duration = Duration::from_secs(60);

/// Lines whose changes don't go.
#[derive(Debug, Default)]
struct Stuck(HashMap<PhoneNumberId, Wait>);

/// When a line is tried again, the pause after that, and the change that was tried last.
#[derive(Debug)]
struct Wait {
    at: Instant,
    next: Duration,
    last: Option<String>,
}

impl Stuck {
    fn is_due(&self, line: &PhoneNumberId, now: Instant) -> bool {
        self.0.get(line).is_none_or(|wait| wait.at <= now)
    }

    fn went(&mut self, line: &PhoneNumberId) {
        self.0.remove(line);
    }

    fn tried_in_vain(&mut self, line: &PhoneNumberId, last: Option<String>, now: Instant) {
        let pause = self.0.get(line).map_or(LOOK, |wait| wait.next);
        self.0.insert(line.clone(), Wait { at: now + pause, next: (pause * 2).min(PAUSE), last });
    }

    /// In the order in which they are tried: after the one that was tried last, so that those which don't go keep none
    /// back that would.
    fn in_turn(&self, line: &PhoneNumberId, ids: Vec<String>) -> VecDeque<String> {
        let last = self.0.get(line).and_then(|wait| wait.last.as_ref());
        let after = last.and_then(|last| ids.iter().position(|id| id == last)).map_or(0, |index| index + 1);
        let mut ids = VecDeque::from(ids);
        ids.rotate_left(after);
        ids
    }
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Changes that are in their company's log now.
    pub stored: u64,
    /// Changes that stay in quarantine.
    pub kept: u64,
}

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The quarantine could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A company's log could not be written.
    #[error("{0}: the rest is tried again later")]
    Away(#[from] StoreAway),
}

/// Looks every five seconds until `stop`, and at once when a route changes.
pub async fn run(ingest: Ingest, metrics: Metrics, stop: CancellationToken) {
    let mut changed = ingest.routes().subscribe();
    let mut stuck = Stuck::default();
    loop {
        let jitter = Duration::from_millis(rand::rng().random_range(0..1000));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK + jitter) => {}
            news = changed.changed() => {
                if news.is_err() {
                    return;
                }
                stuck = Stuck::default();
                // The other replicas wake by the same news.
                tokio::time::sleep(jitter).await;
            }
        }
        if !ingest.routes().is_fresh() {
            continue;
        }
        let looked = tokio::select! {
            // What was cut half-way is recognised as a repeat by the next look.
            () = stop.cancelled() => return,
            looked = look(&ingest, &metrics, &mut stuck) => looked,
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "quarantined changes could not be looked at");
        }
    }
}

async fn look(ingest: &Ingest, metrics: &Metrics, stuck: &mut Stuck) -> Result<(), ReplayError> {
    let count = ingest.quarantine().count().await?;
    metrics.quarantine.set(i64::try_from(count).unwrap_or(i64::MAX));
    if count == 0 {
        return Ok(());
    }
    let mut heaps = Vec::new();
    for line in ingest.quarantine().waiting_lines().await? {
        if stuck.is_due(&line, Instant::now()) && is_routed(ingest, &line).await {
            let ids = stuck.in_turn(&line, ingest.quarantine().waiting_of(&line).await?);
            heaps.push(Heap { line, ids, last: None, done: Replayed::default(), in_vain: 0 });
        }
    }
    // In turns, so that a line with thousands holds none with three up.
    let began = Instant::now();
    while !heaps.is_empty() && began.elapsed() < LONGEST {
        let mut left = Vec::new();
        for mut heap in heaps {
            match replay_some(ingest, metrics, &mut heap).await {
                Ok(()) if heap.ids.is_empty() || heap.in_vain >= IN_VAIN => heap.end(stuck),
                Ok(()) => left.push(heap),
                // It passes by itself, and the other lines' companies may well be writable.
                Err(error) => {
                    tracing::warn!(line = heap.line.as_str(), %error, "a line's quarantined changes were not replayed");
                    heap.tell();
                }
            }
        }
        heaps = left;
    }
    heaps.iter().for_each(Heap::tell);
    Ok(())
}

async fn is_routed(ingest: &Ingest, line: &PhoneNumberId) -> bool {
    let looked = ingest.routes().find(line).await;
    looked.is_ok_and(|looked| looked.route.is_some_and(|route| route.state.accepts()))
}

/// What one line has in quarantine for the reasons that pass by themselves, and what became of it so far.
struct Heap {
    line: PhoneNumberId,
    ids: VecDeque<String>,
    last: Option<String>,
    done: Replayed,
    /// How many stayed since the last one that went.
    in_vain: u64,
}

impl Heap {
    fn end(self, stuck: &mut Stuck) {
        self.tell();
        if self.ids.is_empty() && (self.done.stored > 0 || self.done.kept == 0) {
            stuck.went(&self.line);
        } else {
            stuck.tried_in_vain(&self.line, self.last, Instant::now());
        }
    }

    fn tell(&self) {
        let Replayed { stored, kept } = self.done;
        if stored > 0 {
            tracing::info!(line = self.line.as_str(), stored, kept, "quarantined changes replayed");
        }
    }
}

/// Brings back the next ones.
async fn replay_some(ingest: &Ingest, metrics: &Metrics, heap: &mut Heap) -> Result<(), ReplayError> {
    for _ in 0..BATCH {
        let Some(id) = heap.ids.pop_front() else { return Ok(()) };
        heap.last = Some(id.clone());
        // Gone: another replica was faster.
        let Some(quarantined) = ingest.quarantine().get(&id).await? else { continue };
        if replay_one(ingest, quarantined, ingest.recent()).await?.is_none() {
            metrics.replayed.inc();
            heap.done.stored += 1;
            heap.in_vain = 0;
        } else {
            heap.done.kept += 1;
            heap.in_vain += 1;
        }
    }
    Ok(())
}

/// The account was judged when it came, but not whether the line is that account's: its route was not known then. What is
/// no account's id is no account's line.
pub(super) fn accounts_of(entry_id: &str) -> Accounts {
    Accounts::Only(WabaId::parse(entry_id.to_owned()).into_iter().collect())
}

/// Brings a change to its company, as far as it is taken there; why it stays, if not all of it was.
pub(super) async fn replay_one(
    ingest: &Ingest,
    quarantined: Quarantined,
    age: Age,
) -> Result<Option<QuarantineReason>, ReplayError> {
    let Quarantined { id, entry_id, body, reason: before, .. } = quarantined;
    let change = split::change(&entry_id, None, body.expose());
    let (placed, result) = ingest.place(&[change], &accounts_of(&entry_id), age).await;
    result?;
    let reason = placed.first().copied().flatten();
    match reason {
        None => ingest.quarantine().remove(&id).await?,
        Some(reason) if !reason.replays_by_itself() => {
            ingest.quarantine().set_reason(&id, reason).await?;
            if before != reason.as_str() {
                tracing::warn!(reason = reason.as_str(), before, "a quarantined change stays, for another reason now");
            }
        }
        Some(_) => {}
    }
    Ok(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_is_tried_ever_more_seldom() {
        let (line, other) = (PhoneNumberId::parse("1").unwrap(), PhoneNumberId::parse("2").unwrap());
        let (mut stuck, mut now) = (Stuck::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert!(stuck.is_due(&line, now));
            stuck.tried_in_vain(&line, None, now);
            let at = stuck.0[&line].at;
            assert!(!stuck.is_due(&line, at - Duration::from_millis(1)) && stuck.is_due(&other, now));
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60, 60, 60]);
        stuck.went(&line);
        assert!(stuck.is_due(&line, now));
    }

    #[test]
    fn what_does_not_go_keeps_nothing_back() {
        let (line, now) = (PhoneNumberId::parse("1").unwrap(), Instant::now());
        let ids = || ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        for (last, order) in [(None, "abcd"), (Some("b"), "cdab"), (Some("d"), "abcd"), (Some("gone"), "abcd")] {
            let mut stuck = Stuck::default();
            stuck.tried_in_vain(&line, last.map(str::to_owned), now);
            assert_eq!(stuck.in_turn(&line, ids()).into_iter().collect::<String>(), order, "{last:?}");
        }
    }
}
