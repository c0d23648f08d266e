//! Logs without personal data, metrics, health endpoints.
//!
//! The controller and the router register their own metrics and parts of readiness; this module only shows them.

pub mod admin;
pub mod controller_metrics;
pub mod logs;
pub mod metrics;
pub mod readiness;

pub use metrics::Registry;
pub use readiness::{Part, Readiness};
