//! The router while everything around it breaks: replicas are killed, the store goes away, connections are cut, answers and
//! acks get lost, a line changes hands. At the end every recruiter's device has its company's set, and nobody else's.
//!
//! A binary of its own, since it takes long and needs the machine for itself. `plan` draws what is sent, `sender` sends it
//! and keeps the book, `misfortune` breaks things, `devices` are the recruiters; `verdict` says what became of it.

// A test may fail where it stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

// Of its replicas in this process there are none here.
#[allow(dead_code)]
#[path = "../it/delivery/bed.rs"]
mod bed;

mod amid;
mod book;
mod devices;
mod figures;
mod finder;
mod hand_over;
mod judge;
mod leaks;
mod misfortune;
mod plan;
mod run;
mod searched;
mod sender;
mod verdict;
mod walk;
