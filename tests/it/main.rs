//! All integration tests in one binary, so that they share one build and one control plane. One module a subject.

// A test may fail where it stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod crds;
mod delivery;
mod docs;
mod documented;
mod e2e;
mod faults;
mod hostile;
mod network;
mod provider_errors;
mod providers;
mod store;
mod testbed;
mod transcripts;
mod webhook;
mod webhook_table;
