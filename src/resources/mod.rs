//! The two Kubernetes kinds, their conditions, reasons and names.

pub mod client_number;
pub mod conditions;
pub mod crds;
pub mod finding;
pub mod limits;
pub mod line_status;
pub mod names;
pub mod portfolio;
pub mod rate_card;
pub mod reasons;
pub mod rules;
pub mod verification_status;

pub use client_number::{ClientNumber, ClientNumberSpec, ClientNumberStatus};
pub use portfolio::{Portfolio, PortfolioSpec, PortfolioStatus};
