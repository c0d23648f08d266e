//! What can go wrong at the store, in the words that callers decide by: is it away, was the outcome unclear, or is it a
//! refusal that would be the same the next time.
//!
//! The router answers 503 for the first two only; a refusal must never make Meta repeat a POST for seven days.
//! No variant holds the server's own text: a duplicate-key message quotes the key, and keys can be wamids.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::domain::{CompanyId, E164, PhoneNumberId};

use super::routes::Route;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The connection string can't be used.
    #[error(
        "the MongoDB URI can't be used ({0}): check MONGODB_URI, it looks like mongodb://host:27017/?replicaSet=rs0"
    )]
    Uri(String),
    /// Nothing answers, or it is changing its primary.
    #[error("MongoDB is away ({0}): it is tried again; check that the replica set has a primary and can be reached")]
    Away(String),
    /// No answer within the time allowed: a write may have happened or not.
    #[error("MongoDB did not answer in time: the outcome of the last write is unknown and will be looked up")]
    TimedOut,
    /// The server refused, and would again.
    #[error("MongoDB refused {what} with code {code} ({name}): check the user's rights, the indexes and the disk")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The server's code.
        code: i32,
        /// The server's name of it.
        name: String,
    },
    /// A document that this version can't read.
    #[error("a document in {what} can't be read ({field}): was it written by hand or by a newer version?")]
    Unreadable {
        /// Collection.
        what: &'static str,
        /// What was wrong, without values.
        field: String,
    },
    /// Another route holds this phone number.
    #[error("the phone number {phone_number} already has a route: delete the other ClientNumber first")]
    DuplicateNumber {
        /// The number that is taken.
        phone_number: E164,
        /// The route that holds it, where it could be read.
        held_by: Option<Box<Route>>,
    },
    /// Somebody else wrote the route since it was read.
    #[error("the route of {phone_number_id} was changed meanwhile: read it again and decide anew")]
    RevisionConflict {
        /// Whose route.
        phone_number_id: PhoneNumberId,
        /// What is there now.
        current: Option<Box<Route>>,
    },
    /// The company was erased; its id is not used again.
    #[error("the company {0} was erased: a new line needs a new company id")]
    CompanyErased(CompanyId),
    /// The company's database lacks an index without which its log can't be trusted.
    #[error("the log of company {company} has no {index} index: let the controller create it, or restore it")]
    IndexMissing {
        /// Whose log.
        company: CompanyId,
        /// Which index.
        index: &'static str,
    },
    /// The log itself refuses.
    #[error("the log refuses: {0}")]
    Log(#[from] super::fences::Refused),
}

impl StoreError {
    /// Is it worth trying again, with nothing changed?
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away(_) | Self::TimedOut)
    }

    /// Sorts a driver error. `what` names the operation in words.
    pub(super) fn from_driver(what: &'static str, error: Error) -> Self {
        if let Some((code, name)) = server_code(&error) {
            let passing = error.contains_label(mongodb::error::RETRYABLE_WRITE_ERROR)
                || error.contains_label(mongodb::error::TRANSIENT_TRANSACTION_ERROR)
                || error.contains_label(mongodb::error::RETRYABLE_ERROR)
                || passes(code);
            return if passing { Self::Away(format!("{name}, {code}")) } else { Self::Refused { what, code, name } };
        }
        match *error.kind {
            ErrorKind::InvalidArgument { ref message, .. } => Self::Refused { what, code: 0, name: message.clone() },
            ErrorKind::BsonSerialization(_) | ErrorKind::BsonDeserialization(_) | ErrorKind::Bson(_) => {
                Self::Unreadable { what, field: "its fields have another form".into() }
            }
            ErrorKind::Authentication { .. } => Self::Away("authentication failed, check the user and password".into()),
            ErrorKind::ServerSelection { .. } => Self::Away("no server could be selected".into()),
            ErrorKind::Io(ref io) => Self::Away(io.kind().to_string()),
            _ => Self::Away("the driver reports a passing condition".into()),
        }
    }
}

/// Codes that pass by themselves: elections, shutdowns, time limits, write concern not reached in time.
/// Source: MongoDB's error code list and the driver specifications' "retryable writes".
const PASSING: [i32; 20] =
    [6, 7, 43, 50, 64, 89, 91, 100, 112, 133, 134, 189, 234, 262, 9001, 10107, 11600, 11602, 13435, 13436];

/// Does this code pass by itself?
pub(super) fn passes(code: i32) -> bool {
    PASSING.contains(&code)
}

/// The server's code and its name, without its text.
pub(super) fn server_code(error: &Error) -> Option<(i32, String)> {
    match *error.kind {
        ErrorKind::Command(ref command) => Some((command.code, command.code_name.clone())),
        ErrorKind::Write(WriteFailure::WriteError(ref write)) => {
            Some((write.code, write.code_name.clone().unwrap_or_default()))
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(ref concern)) => Some((64, concern.code_name.clone())),
        _ => None,
    }
}

/// Was it refused because the key is there already? (11000; 11001 and 12582 are its older forms.)
pub(super) fn is_duplicate_key(error: &Error) -> bool {
    matches!(server_code(error), Some((11000 | 11001 | 12582, _)))
}
