//! What a driver's error of an ordered insert means for what was to be inserted. Pure.
//!
//! Must never take for a refusal what may have happened or passes by itself: what is refused is not tried again soon.

use mongodb::error::{Error, ErrorKind, InsertManyError};

use super::error::{StoreError, passes};

pub(super) const DUPLICATE_KEY: i32 = 11000;

/// What became of an insert that failed.
pub(super) enum Insert {
    /// Ordered insert stopped at this index.
    Stopped { at: usize, code: i32 },
    /// The command as a whole was refused and will be again.
    Refused(String),
    /// It may have happened or not.
    Unclear(StoreError),
}

pub(super) fn sort(error: Error) -> Insert {
    if let ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), write_concern_error: None, .. }) =
        &*error.kind
        && let Some(first) = errors.first()
    {
        // Such as an election in the middle: no fault of the item's.
        if passes(first.code) {
            return Insert::Unclear(StoreError::Away(format!("a write was stopped by code {}", first.code)));
        }
        let code = if matches!(first.code, 11001 | 12582) { DUPLICATE_KEY } else { first.code };
        return Insert::Stopped { at: first.index, code };
    }
    if let ErrorKind::InsertMany(_) = &*error.kind {
        // Written, but not known to be on a majority.
        return Insert::Unclear(StoreError::Away("the write concern was not met in time".into()));
    }
    match StoreError::from_driver("an append", error) {
        error @ (StoreError::Away(_) | StoreError::TimedOut) => Insert::Unclear(error),
        other => Insert::Refused(other.to_string()),
    }
}
