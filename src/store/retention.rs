//! What a company's log keeps: entries older than its retention go, from the front and in small batches.
//!
//! Only ever a beginning of the log, so that what is left has no holes but between entries of ours. Never the newest entry
//! (head must stay known), never an entry of ours (whoever writes must know all fences). All replicas may do it at once:
//! the same batch twice removes nothing more. What is removed could not come again: entries are kept for as long as a
//! repeat of Meta's is taken for one (docs/data.md).

use std::time::Duration;

use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use mongodb::bson::doc;
use serde::Deserialize;
use tokio::time::Instant;

use super::bson_time;
use super::connect::bounded;
use super::error::StoreError;
use super::log::Log;
use super::log_entry::Seq;

/// What Meta sends is recognised as a repeat for at least so long: Meta repeats for seven days, and no log keeps less.
/// What is older when it comes is not stored by itself.
pub const RECOGNISED: SignedDuration = SignedDuration::from_hours(8 * 24);

/// Entries that one batch removes at most.
pub const BATCH: usize = 500;

/// A batch that takes longer is given up; the next one goes on.
const LIMIT: Duration = Duration::from_secs(10);

/// Entries that were stored before this moment are removed, whatever a record written by hand says.
pub fn cutoff(retention_days: i64, now: Timestamp) -> Timestamp {
    let kept = SignedDuration::from_hours(retention_days.clamp(0, 100 * 366) * 24).max(RECOGNISED);
    now.checked_sub(kept).unwrap_or(Timestamp::MIN)
}

/// An entry that is not ours, as far as this needs it.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Place {
    #[serde(rename = "_id")]
    seq: Seq,
    #[serde(with = "bson_time")]
    at: Timestamp,
}

/// Up to where the log may be cut: the entries from its oldest on that are too old, without its newest.
fn removable(oldest: &[Place], head: Seq, cutoff: Timestamp) -> &[Place] {
    let end = oldest.iter().take_while(|place| place.at < cutoff && place.seq < head).count();
    &oldest[..end]
}

impl Log {
    /// Removes one batch of entries that were stored before `cutoff`; how many there were. Fewer than [`BATCH`]: nothing
    /// that old is left.
    pub async fn remove_before(&self, cutoff: Timestamp) -> Result<usize, StoreError> {
        let log = self.clone();
        let batch = async move {
            let read = |e| StoreError::from_driver("the log", e);
            // Read first: what is newest can only become older.
            let head = log.head().await?;
            let oldest: Vec<Place> = log
                .collection()
                .clone_with_type::<Place>()
                .find(doc! { "ours": { "$ne": true } })
                .sort(doc! { "_id": 1 })
                .limit(i64::try_from(BATCH).unwrap_or(i64::MAX))
                .projection(doc! { "_id": 1, "at": 1 })
                .await
                .map_err(read)?
                .try_collect()
                .await
                .map_err(read)?;
            let gone = removable(&oldest, head, cutoff);
            let (Some(first), Some(last)) = (gone.first(), gone.last()) else { return Ok(0) };
            let range = doc! { "_id": { "$gte": first.seq, "$lte": last.seq }, "ours": { "$ne": true } };
            log.collection().delete_many(range).await.map_err(read)?;
            Ok(gone.len())
        };
        bounded(Instant::now() + LIMIT, batch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_may_go() {
        let log = |places: &[(Seq, i64)]| places.iter().map(|(seq, s)| Place { seq: *seq, at: at(*s) }).collect();
        // entries, head, cutoff, removed
        type Row<'a> = (&'a [(Seq, i64)], Seq, i64, &'a [Seq]);
        let table: [Row<'_>; 7] = [
            (&[], 0, 100, &[]),
            (&[(1, 10), (2, 20), (3, 30)], 3, 25, &[1, 2]),
            (&[(1, 10), (2, 20), (3, 30)], 3, 20, &[1]),
            // The newest stays, however old it is.
            (&[(1, 10), (2, 20), (3, 30)], 3, 99, &[1, 2]),
            // A fence is the newest: it keeps head known.
            (&[(1, 10), (2, 20), (3, 30)], 4, 99, &[1, 2, 3]),
            // A clock that ran ahead keeps what follows too: no hole comes into what is left.
            (&[(1, 10), (2, 500), (3, 30)], 9, 99, &[1]),
            // Fences in between have seqs of their own.
            (&[(2, 10), (5, 20), (6, 200)], 6, 99, &[2, 5]),
        ];
        for (places, head, cutoff, want) in table {
            let places: Vec<Place> = log(places);
            let seqs: Vec<Seq> = removable(&places, head, at(cutoff)).iter().map(|place| place.seq).collect();
            assert_eq!(seqs, want, "{places:?}");
        }
    }

    #[test]
    fn never_less_than_repeats_need() {
        let now = at(1_793_000_000);
        assert_eq!(cutoff(30, now), now - SignedDuration::from_hours(30 * 24));
        for kept in [8, 7, 0, -5, i64::MIN] {
            assert_eq!(cutoff(kept, now), now - RECOGNISED, "{kept}");
        }
        assert!(cutoff(i64::MAX, now) < at(0));
    }
}
