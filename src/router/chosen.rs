//! Quarantined changes that a person chose, brought back: what `clientnumber replay` does beside what happens by itself.
//!
//! The same places as for a POST, by the same rules, with one more liberty: who names the reason `too_old`, or the very
//! change, says that it is no repeat. What came under a foreign account's signature is never brought back: its text may be
//! anybody's. A change leaves the quarantine only when all of it is durable in its company's log.

use std::collections::BTreeMap;

use crate::store::quarantine::Quarantined;
use crate::store::{Choice, QuarantineReason, StoreError};

use super::admit::{self, Age};
use super::ingest::Ingest;
use super::replay::{ReplayError, accounts_of, replay_one};
use super::split::{self, Content};

/// What became of one change, or would.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is in its company's log, or would be written there unless the log itself refuses.
    Stored,
    /// It stays, for this reason.
    Stays(&'static str),
    /// It is gone, or no key opens it.
    Closed,
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
            Some(change) if change.reason == QuarantineReason::ForeignAccount.as_str() => {
                Fate::Stays(QuarantineReason::ForeignAccount.as_str())
            }
            Some(change) if dry_run => judge(ingest, &change, age(ingest, choice)).await?,
            Some(change) => match replay_one(ingest, change, age(ingest, choice)).await? {
                None => Fate::Stored,
                Some(reason) => Fate::Stays(reason.as_str()),
            },
        };
        tell(&id, &fate);
        *fates.entry(fate).or_default() += 1;
    }
    Ok(fates)
}

/// What would come of a change, as far as that can be told without writing.
async fn judge(ingest: &Ingest, quarantined: &Quarantined, age: Age) -> Result<Fate, StoreError> {
    let accounts = accounts_of(&quarantined.entry_id);
    let change = split::change(&quarantined.entry_id, None, quarantined.body.expose());
    let reason = match &change.content {
        Content::Malformed => Some(QuarantineReason::Malformed),
        Content::Account { .. } => None,
        Content::Line { phone_number_id, items, remainder } => {
            match ingest.routes().find(phone_number_id).await.map(|looked| looked.route) {
                Err(stale) => return Err(StoreError::Away(stale.to_string())),
                Ok(None) => Some(QuarantineReason::UnknownNumber),
                Ok(Some(route)) if !route.state.accepts() => Some(QuarantineReason::Disabled),
                Ok(Some(route)) if !accounts.allows(route.waba_id.as_str()) => Some(QuarantineReason::ForeignAccount),
                Ok(Some(_)) if *remainder => Some(QuarantineReason::Malformed),
                Ok(Some(route)) => items.iter().find_map(|item| admit::refuse(item, &route, age)),
            }
        }
    };
    Ok(reason.map_or(Fate::Stored, |reason| Fate::Stays(reason.as_str())))
}
