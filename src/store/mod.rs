//! MongoDB: routes, companies, each company's append-only log, quarantine.
//!
//! Two kinds of database: `clientnumber` is the platform's (routes, companies, quarantine, what Meta says about
//! accounts), and each company has one of its own that only [`company_db`] can open. Nothing outside this module holds
//! a driver handle, so that no other code can read or write across companies.
//! Every write is acknowledged by a majority and journalled; whatever can be repeated after an unclear answer is
//! idempotent by its key.

mod append_job;
mod appender;
mod bson_time;
mod connect;
mod contact_list;
mod courtesy;
mod drafts;
mod error;
mod fences;
mod insert_answer;
mod log_entry;
mod log_view;
mod people;
mod portion;
mod quarantine_chosen;
mod quarantine_waiting;
mod signer;
mod store_clock;

pub mod account_events;
pub mod closing;
pub mod companies;
pub mod company_db;
pub mod contacts;
pub mod cursors;
pub mod erasure;
pub mod line_activity;
pub mod log;
pub mod log_watch;
pub mod presence;
pub mod quarantine;
pub mod retention;
pub mod revocations;
pub mod routes;
pub mod states;

pub use account_events::AccountEvents;
pub use appender::{Appended, Appender, Outcome};
pub use companies::{Companies, Company, CompanyState};
pub use company_db::CompanyDb;
pub(crate) use connect::bounded;
pub use connect::{Store, StoreOptions};
pub use contact_list::ContactRecord;
pub use contacts::{ContactHint, IdentityChange};
pub use cursors::{Cursor, Cursors, Start};
pub use error::StoreError;
pub use fences::{FenceAction, Fences, Refused};
pub use line_activity::LineActivity;
pub use log::{Log, Page};
pub use log_entry::{Contact, Kind, LineRef, LogEntry, NewEntry, Seq};
pub use log_watch::{LogNews, LogWatch};
pub use presence::{Claim, DeviceKey, Presence, PresenceWatch};
pub use quarantine::{Extent, Piece, Quarantine, QuarantineKeys, QuarantineReason};
pub use quarantine_chosen::{Choice, Heap};
pub use revocations::{Revocation, Revocations};
pub use routes::{Route, RouteChange, RouteState, RouteWatch, Routes};
pub use signer::{Accounts, Signer};
pub use states::{MessageState, State, States};
pub use store_clock::StoreClock;
