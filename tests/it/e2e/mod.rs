//! The whole path on real parts: from apply to the recruiter's screen, and what a crash at any point may not do.

mod crashes;
mod echoes;
mod leaks;
mod onboarding;
mod outage;
mod scenarios;
mod steady;
mod throttled;
