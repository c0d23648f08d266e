//! The store's part of a handshake: where a device starts, and its seat among all replicas.
//!
//! Must never ask the store for somebody whom nobody waits for any more, and never take the connections that appends need.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use super::refusal::Refusal;
use super::tail::Tail;
use crate::store::{Claim, CompanyDb, Cursor, DeviceKey, Seq, Start as Judged, StoreError};

/// Who comes in, and until when they wait.
pub struct Comes {
    /// Which device.
    pub key: DeviceKey,
    /// The client's own cursor.
    pub cursor: Option<String>,
    /// Nobody waits any longer than that.
    pub deadline: Instant,
    /// Cancelled when the connection has ended.
    pub gone: CancellationToken,
}

/// Where a device starts.
pub struct Start {
    /// After this.
    pub at: Cursor,
    /// The newest seq, or what it must have been for the cursor.
    pub head: Seq,
    /// It is written nowhere yet: the device was never here, and its client has no cursor.
    pub fresh: bool,
}

/// Before the first item.
fn beginning() -> Cursor {
    Cursor { seq: 0, fingerprint: String::new() }
}

impl Hub {
    /// The store's part of a handshake. Ends early where nobody waits for it any more.
    pub(super) async fn seat(
        self: Arc<Self>,
        comes: Comes,
        tail: Arc<Tail>,
    ) -> Result<Result<(Start, Claim), Refusal>, StoreError> {
        let Comes { key, cursor, deadline, gone } = comes;
        let is_there = || !gone.is_cancelled() && Instant::now() < deadline;
        let waited_for = || if is_there() { Ok(()) } else { Err(StoreError::TimedOut) };
        let db = {
            // What waits for a connection of the store's stands in front of appends, so few of these do.
            let opens = tokio::time::timeout_at(deadline, self.opens.acquire());
            let Ok(_one) = opens.await else { return Err(StoreError::TimedOut) };
            waited_for()?;
            self.store.companies().open(&key.company).await?
        };
        waited_for()?;
        let head = match &db {
            Some(db) => tail.newest(db).await?,
            None => 0,
        };
        // Hundreds may come back in one second: they wait here, not those whose messages are being written.
        let Ok(_turn) = tokio::time::timeout_at(deadline, tail.turn()).await else { return Err(StoreError::TimedOut) };
        waited_for()?;
        let start = match self.place(db.as_ref(), head, &key, cursor.as_deref()).await? {
            Ok(start) => start,
            Err(refusal) => return Ok(Err(refusal)),
        };
        waited_for()?;
        let claim = self.store.presence().claim(&key, self.clock.now(), is_there).await?;
        Ok(claim.map(|claim| (start, claim)).ok_or_else(|| self.retry_later()))
    }

    /// Where the device starts. `head` may be a moment old.
    async fn place(
        &self,
        db: Option<&CompanyDb>,
        head: Seq,
        key: &DeviceKey,
        cursor: Option<&str>,
    ) -> Result<Result<Start, Refusal>, StoreError> {
        let given = match cursor {
            None => None,
            Some(text) => match text.parse::<Cursor>() {
                Ok(cursor) => Some(cursor),
                // Not one of ours: as good as another log's.
                Err(_) => Some(Cursor { seq: i64::MAX, fingerprint: String::new() }),
            },
        };
        let Some(db) = db else {
            // No record yet: an empty log.
            return Ok(match given {
                Some(cursor) if cursor.seq != 0 => Err(Refusal::CursorReset),
                given => Ok(Start { at: beginning(), head: 0, fresh: given.is_none() }),
            });
        };
        let log = db.log();
        let (wanted, stored) = match given {
            Some(cursor) => (Some(cursor), false),
            None => (db.cursors().get(&key.recruiter, &key.device).await?, true),
        };
        let seq = match &wanted {
            Some(cursor) => match log.judge(cursor, head).await? {
                Judged::After(seq) if seq == cursor.seq => {
                    return Ok(Ok(Start { at: cursor.clone(), head: head.max(seq), fresh: false }));
                }
                Judged::After(seq) => Some(seq),
                Judged::Reset => None,
            },
            None => None,
        };
        if let Some(seq) = seq {
            return Ok(Ok(Start { at: log.cursor_at(seq).await?, head, fresh: false }));
        }
        if wanted.is_some() && !stored {
            // The client clears its store now and comes back without a cursor. What it had may go back to the first item,
            // so its device begins there: the newest alone would leave it with less than it had.
            db.cursors().reset(&key.recruiter, &key.device, &beginning(), self.clock.now()).await?;
            return Ok(Err(Refusal::CursorReset));
        }
        let at = self.first_time(db).await?;
        let fresh = wanted.is_none();
        if !fresh {
            // The stop is of another log, and the client keeps nothing of its own: it begins anew.
            db.cursors().reset(&key.recruiter, &key.device, &at, self.clock.now()).await?;
        }
        Ok(Ok(Start { at, head, fresh }))
    }

    async fn first_time(&self, db: &CompanyDb) -> Result<Cursor, StoreError> {
        let window = i64::try_from(self.settings.first_time_window.as_secs()).unwrap_or(i64::MAX / 2);
        let since = Timestamp::from_second(self.clock.now().as_second().saturating_sub(window));
        let seq = db.log().start_for_new(self.settings.first_time_items, since.unwrap_or(Timestamp::MIN)).await?;
        db.log().cursor_at(seq).await
    }
}
