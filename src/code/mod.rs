//! Catching the verification code: what was said in a call, and listening for it.

pub mod capture;
mod context;
#[cfg(test)]
mod noise;
mod readings;
pub mod rehearsal;
mod runs;
#[cfg(test)]
mod said;
mod tokens;
pub mod transcript;
mod words;
