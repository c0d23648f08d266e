//! The whole path on real parts: from apply to the recruiter's screen, and what a crash at any point may not do.

mod acquire;
mod adoption;
mod audit;
mod code;
mod echoes;
mod giving_back;
mod keep;
mod leaks;
mod limits;
mod onboarding;
mod outage;
mod person;
mod races;
mod refused;
mod rehearsal;
mod release;
mod replace;
mod replicas;
mod scenarios;
mod steady;
mod steps;
mod stuck;
mod taken_over;
mod throttled;
mod transcriber;
mod turns;
