//! `clientnumber crds`: prints the definitions that `crds/` holds, or writes them there.

use std::path::PathBuf;

use super::Failure;
use crate::resources::crds::{crds, file_name, to_yaml};

/// Arguments of `clientnumber crds`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one file for each definition into this folder instead of printing.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// Prints or writes the definitions.
pub fn run(args: &Args) -> Result<(), Failure> {
    for crd in crds() {
        match &args.write {
            None => print!("---\n{}", to_yaml(&crd)),
            Some(folder) => {
                let path = folder.join(file_name(&crd));
                std::fs::write(&path, to_yaml(&crd)).map_err(|e| {
                    Failure::Failed(format!(
                        "can't write {}: {e}; give a folder that exists and can be written",
                        path.display()
                    ))
                })?;
            }
        }
    }
    Ok(())
}
