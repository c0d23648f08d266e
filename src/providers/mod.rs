//! Telnyx and Meta: the one place where HTTP becomes typed results and error classes.
//!
//! `transport` is below both and knows neither: time-outs, bounds, redirects, repeats. `telnyx` and `meta` hold one
//! client each, and each one table of error codes (`errors.rs`). `error` and `reason` are what callers match on. `pace`
//! holds a call back for seconds, to stay below the account's limit. `transcriber` is the operator's own speech-to-text,
//! and `sound` what it is given. Nothing here decides what to do next or counts budgets; that is the caller's.

#[macro_use]
mod open_enum;

#[cfg(test)]
mod answers;
mod base_url;
mod bounded;
#[cfg(test)]
mod captured;
mod classify;
mod clean;
mod document;
pub mod error;
mod exchange;
mod hide;
pub mod http;
mod lenient;
#[cfg(test)]
mod marker_tests;
pub mod meta;
mod pace;
pub mod reason;
mod refusal;
mod request;
pub mod sound;
pub mod telnyx;
pub mod transcriber;
#[cfg(test)]
mod transcriber_tests;
mod transport;
#[cfg(test)]
mod transport_tests;

pub use classify::{BY_STATUS, Class, Row, StatusRow};
pub use document::DocumentError;
pub use error::{Effect, ErrorClass, ErrorDetails, Provider, ProviderError};
pub use http::{CallHook, Http, ProviderCall, SetupError};
pub use reason::Reason;
