//! A stateful local double of Telnyx and Meta, for development and tests. Nothing but the command line may use it.
//!
//! It follows the providers' documents, not this project's clients, so that it is a judge and not an echo. Two provider
//! ports speak plain HTTP as the real APIs do; a control port lets a person or a test write as a candidate, read what
//! was bought and asked, and plant faults. Between them: `state, request, now -> answer` behind one lock (`world`), and
//! a server that does what needs time and sockets (`server`, `call`, `webhooks`).

pub mod alter;
pub mod call;
pub mod control;
pub mod delays;
pub mod dice;
pub mod faults;
pub mod http;
pub mod journal;
mod kept;
pub mod ledger;
pub mod limits;
pub mod meta;
pub mod said;
pub mod server;
pub mod settings;
pub mod speech;
pub mod strike;
pub mod telnyx;
pub mod voice;
pub mod webhooks;
pub mod wire;
pub mod world;

#[cfg(test)]
mod many;
#[cfg(test)]
mod same_seed;
#[cfg(test)]
mod struck;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod walk;

pub use server::{Config, Running, start};
pub use settings::Settings;

/// The names of all operations, as the journal and the faults use them.
pub fn operations() -> Vec<&'static str> {
    let routes = telnyx::ROUTES.iter().chain(meta::ROUTES).map(|route| route.operation);
    routes.chain(["telnyx.unknown", "meta.unknown", "sandbox.call", "sandbox.webhook"]).collect()
}
