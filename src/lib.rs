//! ClientNumber: one WhatsApp number per client company, declared in Kubernetes.
//!
//! The layers, outermost first; each may use those below it, never those above:
//! `cli` starts programs; `controller` runs `line` and `portfolio`; `router` (ingest) and `delivery` (sockets) serve
//! messages; `code` catches the verification code; `store` is MongoDB; `providers` is Telnyx and Meta over HTTP;
//! `money` prices; `telemetry` logs and measures; `listen` accepts connections; `resources` are the Kubernetes kinds; `domain` holds the words.
//! `sandbox` plays the two providers for development and may be used by `cli` only.

pub mod cli;
pub mod code;
pub mod controller;
pub mod delivery;
pub mod domain;
pub mod line;
pub mod listen;
pub mod money;
pub mod portfolio;
pub mod providers;
pub mod resources;
pub mod router;
pub mod sandbox;
pub mod store;
pub mod telemetry;
mod test_switches;

/// Installs ring as the process-wide TLS provider. Call once, first thing in `main` and in tests that speak TLS:
/// rustls refuses to choose by itself when several crates could bring one.
pub fn install_crypto_provider() {
    // An Err means that one is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
