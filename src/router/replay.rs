//! Brings quarantined changes to their company once the line's route and log are there, within fifteen seconds and by
//! itself; and what Meta said of accounts to where that is kept, once it can be written there. Whatever was stored before is
//! recognised there as a repeat, so all replicas may do this at once.
//!
//! What was signed by a secret that did not speak for its account goes on when that same secret does, and is judged as if it
//! came then. Must never bring back what another secret signed: whoever has one account's secret could else write to all.
//!
//! What a log does not take although its route is there is tried ever more seldom, so that it is neither written nor
//! failed on for ever at full speed; a changed route is news for all.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use crate::domain::{PhoneNumberId, WabaId};
use crate::store::quarantine::Quarantined;
use crate::store::{Accounts, Extent, QuarantineReason, Signer, StoreError};

use super::admit::Age;
use super::ingest::{Ingest, StoreAway};
use super::metrics::Metrics;
use super::split::{self, Change, Content};

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

/// Whose changes: a line's; None: of accounts.
type Whose = Option<PhoneNumberId>;

/// Lines whose changes don't go.
#[derive(Debug, Default)]
struct Stuck(HashMap<Whose, Wait>);

/// When a line is tried again, the pause after that, and the change that was tried last.
#[derive(Debug)]
struct Wait {
    at: Instant,
    next: Duration,
    last: Option<String>,
}

impl Stuck {
    fn is_due(&self, line: &Whose, now: Instant) -> bool {
        self.0.get(line).is_none_or(|wait| wait.at <= now)
    }

    fn went(&mut self, line: &Whose) {
        self.0.remove(line);
    }

    fn tried_in_vain(&mut self, line: &Whose, last: Option<String>, now: Instant) {
        let pause = self.0.get(line).map_or(LOOK, |wait| wait.next);
        self.0.insert(line.clone(), Wait { at: now + pause, next: (pause * 2).min(PAUSE), last });
    }

    /// In the order in which they are tried: after the one that was tried last, so that those which don't go keep none
    /// back that would.
    fn in_turn(&self, line: &Whose, ids: Vec<String>) -> VecDeque<String> {
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

/// Looks every five seconds until `stop`, and at once when a route changes, or what secrets speak for.
pub async fn run(ingest: Ingest, metrics: Metrics, stop: CancellationToken) {
    let mut changed = ingest.routes().subscribe();
    let mut speakers = ingest.portfolios().subscribe();
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
            // The sender lives as long as the ingest.
            Ok(()) = speakers.changed() => stuck = Stuck::default(),
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
    let all: Vec<(Signer, Accounts)> = ingest.portfolios().speakers().into_iter().collect();
    let lines = ingest.quarantine().waiting_lines(&all).await?;
    for line in lines.into_iter().map(Some).chain([None]) {
        if stuck.is_due(&line, Instant::now())
            && let Some(speakers) = speakers_of(ingest, &line, &all).await
        {
            let ids = stuck.in_turn(&line, ingest.quarantine().waiting_of(line.as_ref(), &speakers).await?);
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
                    tracing::warn!(line = heap.name(), %error, "a line's quarantined changes were not replayed");
                    heap.tell();
                }
            }
        }
        heaps = left;
    }
    heaps.iter().for_each(Heap::tell);
    Ok(())
}

/// Which secrets speak for a line's account; None: nothing can go there. What was signed by others must not stand in its
/// line's way either: whoever has any secret could send thousands.
async fn speakers_of(ingest: &Ingest, line: &Whose, all: &[(Signer, Accounts)]) -> Option<Vec<(Signer, Accounts)>> {
    let Some(line) = line else { return Some(all.to_vec()) };
    let route = ingest.routes().find(line).await.ok()?.route.filter(|route| route.state.accepts())?;
    Some(all.iter().filter(|(_, accounts)| accounts.allows(route.waba_id.as_str())).cloned().collect())
}

/// What one line has in quarantine for the reasons that pass by themselves, and what became of it so far.
struct Heap {
    line: Whose,
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

    fn name(&self) -> &str {
        self.line.as_ref().map_or("accounts", PhoneNumberId::as_str)
    }

    fn tell(&self) {
        let Replayed { stored, kept } = self.done;
        if stored > 0 {
            tracing::info!(line = self.name(), stored, kept, "quarantined changes replayed");
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
        let went = match unless_it_panics(replay_one(ingest, quarantined, ingest.recent())).await {
            Some(replayed) => replayed?.is_none(),
            None => {
                tracing::error!(
                    id,
                    "the program fails on a quarantined change, which stays until a later version takes it: report it"
                );
                false
            }
        };
        if went {
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

/// None: it panicked. One change on which the program fails must not keep all others back.
pub(super) async fn unless_it_panics<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

/// Which accounts a quarantined change may speak of: those that the secret which signed it speaks for by now. Its own as
/// well, where that was judged when it came; but not yet whether the line is that account's. What is no account's id is no
/// account's line. Pure.
pub(super) fn accounts_of(quarantined: &Quarantined, speakers: &BTreeMap<Signer, Accounts>) -> Accounts {
    let by_now = quarantined.signer.as_ref().and_then(|signer| speakers.get(signer)).cloned();
    let judged = match quarantined.reason.parse() {
        // Malformed is what comes before all judging.
        Ok(QuarantineReason::ForeignAccount | QuarantineReason::Malformed) | Err(_) => false,
        Ok(_) => true,
    };
    let own = WabaId::parse(quarantined.entry_id.clone()).ok().filter(|_| judged).map(Accounts::only);
    by_now.unwrap_or_else(Accounts::none).and(own.unwrap_or_else(Accounts::none))
}

/// What a record holds.
pub(super) fn parts(quarantined: &Quarantined) -> Vec<Change> {
    let Quarantined { extent, entry_id, entry_time, body, .. } = quarantined;
    split::again(*extent, entry_id, *entry_time, body.expose())
}

/// An entry or a body that is not understood yet.
pub(super) fn is_still_whole(quarantined: &Quarantined, parts: &[Change]) -> bool {
    let whole = |part: &Change| part.extent == quarantined.extent && part.content == Content::Malformed;
    quarantined.extent != Extent::Change && parts.iter().any(whole)
}

/// Brings a change to its company, as far as it is taken there; why it stays, if not all of it was.
pub(super) async fn replay_one(
    ingest: &Ingest,
    quarantined: Quarantined,
    age: Age,
) -> Result<Option<QuarantineReason>, ReplayError> {
    let accounts = accounts_of(&quarantined, &ingest.portfolios().speakers());
    let changes = parts(&quarantined);
    if is_still_whole(&quarantined, &changes) {
        return Ok(Some(QuarantineReason::Malformed));
    }
    let Quarantined { id, signer, extent, reason: before, at, .. } = quarantined;
    let (placed, result) = ingest.place(&changes, &accounts, age).await;
    result?;
    let reason = placed.iter().flatten().next().copied();
    if extent != Extent::Change {
        // Each of its changes is one by itself from now on, and what stays is kept before the whole goes.
        ingest.put_parts(&changes, &placed, signer.as_ref(), at).await?;
        ingest.quarantine().remove(&id).await?;
        return Ok(reason);
    }
    match reason {
        None => ingest.quarantine().remove(&id).await?,
        Some(reason) if !reason.replays_by_itself() || before == QuarantineReason::ForeignAccount.as_str() => {
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
        let (line, other) = (PhoneNumberId::parse("1").ok(), None);
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
    fn of_whom_a_change_may_speak_that_comes_back() {
        let signer = |secret: &str| Signer::of(&secret.into());
        let only = |ids: &[&str]| {
            ids.iter().map(|id| Accounts::only(WabaId::parse(*id).unwrap())).fold(Accounts::none(), Accounts::and)
        };
        let speakers = BTreeMap::from([
            (signer("shared"), only(&["1", "2"])),
            (signer("three"), only(&["3"])),
            (signer("any"), Accounts::Any),
        ]);
        let table: &[(&str, Option<&str>, &str, Accounts)] = &[
            // Nobody knows who signed it.
            ("unknown_number", None, "1", only(&["1"])),
            ("unknown_number", None, "no id", only(&[])),
            ("foreign_account", None, "1", only(&[])),
            ("malformed", None, "1", only(&[])),
            ("of a later version", None, "1", only(&[])),
            // A secret that is known no more.
            ("not_held", Some("gone"), "1", only(&["1"])),
            ("foreign_account", Some("gone"), "1", only(&[])),
            // By what the secret speaks for now.
            ("unknown_number", Some("shared"), "1", only(&["1", "2"])),
            ("foreign_account", Some("shared"), "1", only(&["1", "2"])),
            ("foreign_account", Some("three"), "1", only(&["3"])),
            ("malformed", Some("three"), "1", only(&["3"])),
            ("too_old", Some("three"), "1", only(&["1", "3"])),
            ("foreign_account", Some("any"), "1", Accounts::Any),
        ];
        for (reason, secret, entry_id, want) in table {
            let quarantined = Quarantined {
                id: "i".into(),
                entry_time: None,
                entry_id: (*entry_id).into(),
                signer: secret.map(signer),
                extent: Extent::Change,
                body: crate::domain::Pii(String::new()),
                reason: (*reason).into(),
                phone_number_id: None,
                at: jiff::Timestamp::UNIX_EPOCH,
            };
            assert_eq!(accounts_of(&quarantined, &speakers), *want, "{reason} {secret:?}");
        }
    }

    #[test]
    fn what_does_not_go_keeps_nothing_back() {
        let (line, now) = (PhoneNumberId::parse("1").ok(), Instant::now());
        let ids = || ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        for (last, order) in [(None, "abcd"), (Some("b"), "cdab"), (Some("d"), "abcd"), (Some("gone"), "abcd")] {
            let mut stuck = Stuck::default();
            stuck.tried_in_vain(&line, last.map(str::to_owned), now);
            assert_eq!(stuck.in_turn(&line, ids()).into_iter().collect::<String>(), order, "{last:?}");
        }
    }
}
