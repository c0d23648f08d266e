//! Rate cards and what a line costs.
