//! Quarantined changes that a person chose, brought back: what `clientnumber replay` does beside what happens by itself.
//!
//! The same places as for a POST, by the same rules, with one more liberty: who names the reason `too_old`, or the very
//! change, says that it is no repeat. Whose secret signed it is no matter of liberty: what came under a foreign account's
//! signature is brought back only where that secret speaks for the account by now. A change leaves the quarantine only when
//! all of it is durable in its company's log.

use std::collections::BTreeMap;

use crate::store::quarantine::Quarantined;
use crate::store::{Accounts, Choice, QuarantineReason, StoreError};

use super::admit::{self, Age};
use super::ingest::Ingest;
use super::replay::{ReplayError, accounts_of, parts, replay_one, unless_it_panics};
use super::split::{Change, Content};

/// What became of one change, or would.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is in its company's log, or would be written there unless the log itself refuses.
    Stored,
    /// It stays, for this reason.
    Stays(&'static str),
    /// It is gone, or no key opens it.
    Closed,
    /// The program fails on it.
    Fails,
}

/// How old items of these changes may be.
fn age(ingest: &Ingest, choice: &Choice) -> Age {
    let waived = choice.reason == Some(QuarantineReason::TooOld) || choice.id.is_some();
    if waived { Age::Any } else { ingest.recent() }
}

/// Brings these changes back, or tells what would come of it. `tell` is called with each change's id, once.
pub async fn replay_chosen(
    ingest: &Ingest,
    choice: &Choice,
    dry_run: bool,
    mut tell: impl FnMut(&str, &Fate),
) -> Result<BTreeMap<Fate, u64>, ReplayError> {
    let mut fates = BTreeMap::new();
    for id in ingest.quarantine().chosen(choice).await? {
        let fate = match ingest.quarantine().get(&id).await? {
            None => Fate::Closed,
            Some(change) => {
                let age = age(ingest, choice);
                let replayed = unless_it_panics(async {
                    if dry_run { judge(ingest, &change, age).await } else { replay_one(ingest, change, age).await }
                });
                match replayed.await {
                    None => Fate::Fails,
                    Some(reason) => reason?.map_or(Fate::Stored, |reason| Fate::Stays(reason.as_str())),
                }
            }
        };
        tell(&id, &fate);
        *fates.entry(fate).or_default() += 1;
    }
    Ok(fates)
}

/// Why something of a record would stay, as far as that can be told without writing.
async fn judge(ingest: &Ingest, quarantined: &Quarantined, age: Age) -> Result<Option<QuarantineReason>, ReplayError> {
    let accounts = accounts_of(quarantined, &ingest.portfolios().speakers());
    for change in parts(quarantined) {
        if let Some(reason) = judge_one(ingest, &change, &accounts, age).await? {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

async fn judge_one(
    ingest: &Ingest,
    change: &Change,
    accounts: &Accounts,
    age: Age,
) -> Result<Option<QuarantineReason>, ReplayError> {
    Ok(match &change.content {
        Content::Malformed => Some(QuarantineReason::Malformed),
        _ if !accounts.allows(&change.entry_id) => Some(QuarantineReason::ForeignAccount),
        Content::Account { .. } => None,
        Content::Line { phone_number_id, items, remainder } => {
            match ingest.routes().find(phone_number_id).await.map(|looked| looked.route) {
                Err(stale) => return Err(StoreError::Away(stale.to_string()).into()),
                Ok(None) => Some(QuarantineReason::UnknownNumber),
                Ok(Some(route)) if !route.state.accepts() => Some(QuarantineReason::Disabled),
                Ok(Some(route)) if !accounts.allows(route.waba_id.as_str()) => Some(QuarantineReason::ForeignAccount),
                Ok(Some(_)) if *remainder => Some(QuarantineReason::Malformed),
                Ok(Some(route)) => items.iter().find_map(|item| admit::refuse(item, &route, age)),
            }
        }
    })
}
