//! The one place where a database handle is made, so that a company's data can only be reached through its own record.
//!
//! A [`CompanyDb`] comes from [`Companies`](super::Companies) alone: `open` takes a company id that came from a route or
//! from a token, never from a client's event. There is no way to make one from a database name.

use mongodb::{Client, Database};

use crate::domain::CompanyId;

use super::Store;
use super::companies::Company;
use super::cursors::Cursors;
use super::log::Log;
use super::states::States;

/// The platform's own database.
pub(super) fn platform_database(client: &Client) -> Database {
    client.database("clientnumber")
}

/// One company's database.
#[derive(Clone)]
pub struct CompanyDb {
    company: CompanyId,
    database: Database,
}

impl std::fmt::Debug for CompanyDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CompanyDb({})", self.company)
    }
}

impl CompanyDb {
    /// The database that the record names.
    pub(super) fn of(store: &Store, company: &Company) -> Self {
        Self { company: company.id.clone(), database: store.client.database(company.database()) }
    }

    /// Whose it is.
    pub fn company(&self) -> &CompanyId {
        &self.company
    }

    /// Its name in MongoDB, `co_<16 hex>`: what [`super::LogNews`] names a log by.
    pub fn name(&self) -> &str {
        self.database.name()
    }

    /// The append-only log.
    pub fn log(&self) -> Log {
        Log::new(self.company.clone(), &self.database)
    }

    /// Where each recruiter's device stopped.
    pub fn cursors(&self) -> Cursors {
        Cursors::new(&self.database)
    }

    /// How far each message has come.
    pub fn states(&self) -> States {
        States::new(self.log(), &self.database)
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn no_other_file_opens_a_database() {
        let mut all = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        let opens = |path: &PathBuf| {
            let text: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
            ["client.database(", "client().database(", ".default_database("].iter().any(|call| text.contains(call))
        };
        let openers: Vec<_> = all.iter().filter(|path| opens(path)).map(|path| path.file_name().unwrap()).collect();
        assert_eq!(openers, ["company_db.rs"], "a company's data is reached through its CompanyDb only");
    }
}
