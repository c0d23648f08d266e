//! Rate cards and what a line costs.

pub mod cost;
pub mod rate_card;
