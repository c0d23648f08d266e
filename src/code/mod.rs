//! Catching the verification code: what was said in a call, and listening for it.

pub mod capture;
#[cfg(test)]
mod noise;
mod runs;
mod tokens;
pub mod transcript;
mod words;
