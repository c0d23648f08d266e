//! The webhook: from Meta's POST to the company's log. Delivery to recruiters is in the module delivery.
//!
//! The path of one POST, file by file: `webhook` reads it, [`signature`] and `portfolios` say whose it is, `split`
//! takes it apart (pure), `ingest` finds each part's company through [`routes`], and `append` writes it to the
//! company's log; what has no place goes to the quarantine, from which `replay` brings it back.
//! A part's company is a function of `metadata.phone_number_id` and of nothing else. 200 means: all of it is durable.
//! Nothing that would fail the same way again may be answered with 503, or Meta repeats it for seven days.

pub mod metrics;
pub mod routes;
pub mod signature;
pub mod texml;

pub use routes::{RouteTable, RoutesStale};
