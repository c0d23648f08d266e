//! What may die while money is spent, and whatever it is: the controller at each call and write, whole services, many
//! lines at once. A binary of its own, since it takes long and is counted by points, not by tests.

// A test may fail where it stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod after;
mod budget;
mod matrix;
mod outages;
mod report;
mod second_writer;
mod seeds;
mod storm;

/// All series completely: `make crash`. Otherwise the points that decide, and two seeds of many.
fn everything() -> bool {
    std::env::var_os("CRASH").is_some_and(|value| value == "all")
}
