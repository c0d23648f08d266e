//! What a run found, for people: shown, and kept in `.run/<suite>/<file>.md` until the next run.

use anyhow::Result;

use super::run::root;

/// Shows a report and keeps it.
pub fn publish(suite: &str, file: &str, text: &str) -> Result<()> {
    let dir = root().join(".run").join(suite);
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join(format!("{file}.md")), text)?;
    println!("{text}");
    Ok(())
}
