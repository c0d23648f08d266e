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
/// The longest pause of a line whose changes don't go.
const PAUSE: Duration = Duration::from_secs(60);

/// Lines whose changes don't go, when they are tried again, and the pause after that.
#[derive(Debug, Default)]
struct Stuck(HashMap<PhoneNumberId, (Instant, Duration)>);

impl Stuck {
    fn is_due(&self, line: &PhoneNumberId, now: Instant) -> bool {
        self.0.get(line).is_none_or(|(at, _)| *at <= now)
    }

    fn tried(&mut self, line: &PhoneNumberId, went: bool, now: Instant) {
        if went {
            self.0.remove(line);
            return;
        }
        let pause = self.0.get(line).map_or(LOOK, |(_, pause)| *pause);
        self.0.insert(line.clone(), (now + pause, (pause * 2).min(PAUSE)));
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
            heaps.push(Heap {
                ids: ingest.quarantine().waiting_of(&line).await?.into(),
                line,
                done: Replayed::default(),
            });
        }
    }
    // In turns, so that a line with thousands holds none with three up.
    while !heaps.is_empty() {
        let mut left = Vec::new();
        for mut heap in heaps {
            let ended = match replay_some(ingest, metrics, &mut heap).await {
                Ok(()) => heap.ids.is_empty(),
                // The other lines' companies may well be writable.
                Err(error) => {
                    tracing::warn!(line = heap.line.as_str(), %error, "a line's quarantined changes were not replayed");
                    true
                }
            };
            if ended { heap.end(stuck) } else { left.push(heap) }
        }
        heaps = left;
    }
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
    done: Replayed,
}

impl Heap {
    fn end(self, stuck: &mut Stuck) {
        let Replayed { stored, kept } = self.done;
        let went = self.ids.is_empty() && (stored > 0 || kept == 0);
        stuck.tried(&self.line, went, Instant::now());
        if stored > 0 {
            tracing::info!(line = self.line.as_str(), stored, kept, "quarantined changes replayed");
        }
    }
}

/// Brings back the next ones.
async fn replay_some(ingest: &Ingest, metrics: &Metrics, heap: &mut Heap) -> Result<(), ReplayError> {
    for _ in 0..BATCH {
        let Some(id) = heap.ids.pop_front() else { return Ok(()) };
        // Gone: another replica was faster.
        let Some(quarantined) = ingest.quarantine().get(&id).await? else { continue };
        if replay_one(ingest, quarantined, ingest.recent()).await?.is_none() {
            metrics.replayed.inc();
            heap.done.stored += 1;
        } else {
            heap.done.kept += 1;
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
            stuck.tried(&line, false, now);
            let (at, _) = stuck.0[&line];
            assert!(!stuck.is_due(&line, at - Duration::from_millis(1)) && stuck.is_due(&other, now));
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60, 60, 60]);
        stuck.tried(&line, true, now);
        assert!(stuck.is_due(&line, now));
    }
}
