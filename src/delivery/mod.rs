//! From a company's log to its recruiters' sockets.
//!
//! The path of a message, in the order of the files: `wake` hears that a log grew; the company's `tail` reads the log,
//! renders each entry (`item`) and keeps a ring (`page`); each recruiter's `session` takes pages from there, or
//! from `catch_up` when it is behind, and waits for acks; `stops` writes where its device stopped. The path of a recruiter:
//! `door` (HTTP, origins), `wire` (the stream), `hub` with `auth` and `keys` (who may come in), `seating` (where a device
//! starts), `session` and `events`.
//! A company is named by a token and by nothing else. Nothing here writes to a log.

mod auth;
mod catch_up;
mod door;
mod events;
mod hub;
mod item;
mod keys;
mod limits;
mod lines;
mod metrics;
mod page;
mod presence;
mod refusal;
mod seating;
mod server;
mod session;
mod settings;
mod stops;
mod tail;
mod wake;
mod wire;

pub use auth::{MAX_LIFETIME_S, Recruiter, TokenPolicy};
pub use door::{AllowedOrigins, Door, PATH};
pub use item::{Item, render};
pub use keys::{KeyError, KeySource, Keys, check_secret};
pub use lines::{LineView, Lines};
pub use metrics::Metrics;
pub use refusal::Refusal;
pub use server::Delivery;
pub use settings::Settings;
