//! The webhook: from Meta's POST to the company's log. Delivery to recruiters is in the module delivery.
//!
//! The path of one POST, file by file: [`webhook`] reads it, [`signature`] and [`portfolios`] say whose it is, [`split`]
//! takes it apart (pure), [`ingest`] finds each part's company through [`routes`], [`admit`] judges it by its time (pure),
//! and [`append`] writes it to the company's log; what has no place goes to the quarantine, from which [`replay`] brings it back. Beside
//! that, [`keeper`] removes what is older than a company's retention.
//! A part's company is a function of `metadata.phone_number_id` and of nothing else. 200 means: all of it is durable.
//! Nothing that would fail the same way again may be answered with 503, or Meta repeats it for seven days.

pub mod admit;
pub mod append;
pub mod chosen;
pub mod forget;
pub mod ingest;
pub mod keeper;
pub mod metrics;
pub mod portfolios;
pub mod replay;
pub mod routes;
mod serve;
pub mod signature;
mod silent;
pub mod split;
pub mod texml;
pub mod webhook;

mod aside;
mod identity;
mod json;
mod portfolio_files;

pub use append::OnAppend;
pub use routes::{RouteTable, RoutesStale};
pub use serve::{Settings, serve};
