//! What a run found, for people: shown, and kept in `.run/crash/<file>.md` until the next run.

use anyhow::Result;

use crate::support::root;

pub fn publish(file: &str, text: &str) -> Result<()> {
    let dir = root().join(".run/crash");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join(format!("{file}.md")), text)?;
    println!("{text}");
    Ok(())
}
