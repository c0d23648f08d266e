//! What a run found, for people: shown, and kept in `.run/crash/<file>.md` until the next run.

use anyhow::Result;

use crate::support::report;

pub fn publish(file: &str, text: &str) -> Result<()> {
    report::publish("crash", file, text)
}
