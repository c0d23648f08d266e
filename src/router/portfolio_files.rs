//! The files of `--portfolios-dir`, each by itself: which can be used, and what counts where one can't.
//!
//! A bad file keeps its own last good state and holds no other one back; one that was never good is left out, and one that
//! was removed is gone. Must never take a folder that can't be listed, or is empty, for one from which all was removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::{NamespacedName, WabaId};

use super::portfolios::{AppSecret, Portfolio};

/// One Portfolio's file. Paths are relative to the folder. What is for sending is read by whoever sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    portfolio: String,
    waba_id: WabaId,
    app_secret_files: Vec<PathBuf>,
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PortfolioError {
    /// No secret: nothing could be checked, so nothing is taken.
    #[error("there is no app secret: give --meta-app-secret or a --portfolios-dir with at least one *.yaml")]
    NoSecret,
    /// A file or folder that can't be read.
    #[error("{path} can't be read ({why}): check that the Secret is mounted and its paths are relative to the folder")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
}

impl PortfolioError {
    fn file(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::File { path: path.display().to_string(), why: why.to_string() }
    }
}

/// What counts of each file.
pub(super) type Files = BTreeMap<PathBuf, Portfolio>;
/// What was read of each file.
pub(super) type Found = BTreeMap<PathBuf, Result<Portfolio, PortfolioError>>;

/// A file that can't be used.
pub(super) struct Bad {
    path: PathBuf,
    error: PortfolioError,
    /// Its last good state counts.
    kept: bool,
}

/// Reads all files of a folder.
pub(super) fn read(folder: &Path) -> Result<Found, PortfolioError> {
    let failed = |error: std::io::Error| PortfolioError::file(folder, error.kind());
    let mut found = Found::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let portfolio = read_one(folder, &path);
            found.insert(path, portfolio);
        }
    }
    if found.is_empty() { Err(PortfolioError::NoSecret) } else { Ok(found) }
}

fn read_one(folder: &Path, path: &Path) -> Result<Portfolio, PortfolioError> {
    let text = std::fs::read_to_string(path).map_err(|e| PortfolioError::file(path, e.kind()))?;
    let file: File = serde_yaml::from_str(&text).map_err(|e| PortfolioError::file(path, e))?;
    file.portfolio.parse::<NamespacedName>().map_err(|e| PortfolioError::file(path, e))?;
    let mut secrets = Vec::new();
    for secret in &file.app_secret_files {
        let secret = folder.join(secret);
        let text = std::fs::read_to_string(&secret).map_err(|e| PortfolioError::file(&secret, e.kind()))?;
        match text.trim() {
            "" => return Err(PortfolioError::file(&secret, "it is empty")),
            text => secrets.push(AppSecret::from(text)),
        }
    }
    if secrets.is_empty() {
        return Err(PortfolioError::file(path, "appSecretFiles names no file"));
    }
    Ok(Portfolio { waba_id: Some(file.waba_id), secrets })
}

/// All files, or what is wrong with the first bad one: at the start a person looks on.
pub(super) fn all_good(found: Found) -> Result<Files, PortfolioError> {
    found.into_iter().map(|(path, read)| read.map(|portfolio| (path, portfolio))).collect()
}

/// What counts from now on, and which files are bad. Pure.
pub(super) fn merge(known: &Files, found: Found) -> (Files, Vec<Bad>) {
    let (mut files, mut bad) = (Files::new(), Vec::new());
    for (path, read) in found {
        let counts = match read {
            Ok(portfolio) => Some(portfolio),
            Err(error) => {
                let last = known.get(&path).cloned();
                bad.push(Bad { path: path.clone(), error, kept: last.is_some() });
                last
            }
        };
        files.extend(counts.map(|portfolio| (path, portfolio)));
    }
    (files, bad)
}

/// What was told of the folder and of each bad file, so that it is told once.
#[derive(Default)]
pub(super) struct Told {
    folder: Option<String>,
    files: BTreeMap<PathBuf, String>,
}

impl Told {
    /// The folder can't be read.
    pub(super) fn folder(&mut self, error: &PortfolioError) {
        let what = error.to_string();
        if self.folder.as_ref() != Some(&what) {
            tracing::error!(%error, "the Portfolios' files can't be read; the last good state is used");
        }
        self.folder = Some(what);
    }

    /// The folder was read; these files are bad.
    pub(super) fn files(&mut self, bad: &[Bad]) {
        for Bad { path, error, kept } in self.news(bad) {
            let file = path.display();
            if *kept {
                tracing::error!(%file, %error, "a Portfolio's file can't be used, so its last good state is; mend this file");
            } else {
                tracing::error!(%file, %error, "a Portfolio's file can't be used: its account counts as unknown until this file is mended");
            }
        }
    }

    /// Those of which something else was told before, or nothing.
    fn news<'a>(&mut self, bad: &'a [Bad]) -> Vec<&'a Bad> {
        let before = std::mem::take(&mut self.files);
        self.folder = None;
        self.files = bad.iter().map(|bad| (bad.path.clone(), bad.error.to_string())).collect();
        bad.iter().filter(|bad| before.get(&bad.path) != self.files.get(&bad.path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(name: &str, why: &str) -> Bad {
        Bad { path: name.into(), error: PortfolioError::file(Path::new(name), why), kept: false }
    }

    #[test]
    fn a_bad_file_is_told_once_until_it_changes() {
        let mut told = Told::default();
        let mut news =
            |bad: &[Bad]| -> Vec<String> { told.news(bad).iter().map(|bad| bad.path.display().to_string()).collect() };
        assert_eq!(news(&[bad("a", "x"), bad("b", "x")]), ["a", "b"]);
        assert_eq!(news(&[bad("a", "x"), bad("b", "x")]), [""; 0]);
        assert_eq!(news(&[bad("a", "x"), bad("b", "y"), bad("c", "x")]), ["b", "c"]);
        assert_eq!(news(&[bad("b", "y")]), [""; 0]);
        assert_eq!(news(&[bad("a", "x"), bad("b", "y")]), ["a"], "it was good in between");
    }
}
