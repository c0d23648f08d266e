//! Whose POST it is: the app secrets, and which accounts each may speak of.
//!
//! One secret signs the traffic of all companies of an app, so a good signature alone says little: `entry[].id` must be
//! the WABA of a Portfolio whose secret gave the signature. With `--meta-app-secret` alone any account is taken.
//! The files of `--portfolios-dir` are read again when they change (a rotated Secret); a file that can't be read keeps
//! the last good state.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::domain::{NamespacedName, WabaId};

use super::signature::{Signature, Unsigned};

/// How often the files are looked at. Mounted Secrets arrive within a minute or so, by themselves.
const LOOK: Duration = Duration::from_secs(5);

/// One Portfolio's file. Paths are relative to the folder. What is for sending is read by whoever sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    portfolio: String,
    waba_id: WabaId,
    app_secret_files: Vec<PathBuf>,
}

/// A Portfolio's secrets and account.
struct Portfolio {
    waba_id: Option<WabaId>,
    secrets: Vec<SecretString>,
}

/// Which accounts a signed POST may speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// Any: the secret was given without a Portfolio.
    Any,
    /// These: several Portfolios may share an app.
    Only(BTreeSet<WabaId>),
}

impl Accounts {
    /// May it speak of this account?
    pub fn allows(&self, entry_id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(accounts) => accounts.iter().any(|waba| waba.as_str() == entry_id),
        }
    }
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

/// All Portfolios. Cheap to clone.
#[derive(Clone)]
pub struct Portfolios {
    all: Arc<RwLock<Arc<Vec<Portfolio>>>>,
    folder: Option<PathBuf>,
}

impl Portfolios {
    /// Secrets without a Portfolio, comma-separated while rotating.
    pub fn from_secret(secrets: &SecretString) -> Result<Self, PortfolioError> {
        let secrets: Vec<SecretString> = secrets
            .expose_secret()
            .split(',')
            .map(str::trim)
            .filter(|secret| !secret.is_empty())
            .map(SecretString::from)
            .collect();
        if secrets.is_empty() {
            return Err(PortfolioError::NoSecret);
        }
        Ok(Self::with(vec![Portfolio { waba_id: None, secrets }], None))
    }

    /// The files of a folder.
    pub fn from_folder(folder: &Path) -> Result<Self, PortfolioError> {
        Ok(Self::with(load(folder)?, Some(folder.to_owned())))
    }

    fn with(all: Vec<Portfolio>, folder: Option<PathBuf>) -> Self {
        Self { all: Arc::new(RwLock::new(Arc::new(all))), folder }
    }

    /// Whose secret gives the signature, and so which accounts the body may speak of. Every secret is tried, so that
    /// the time taken does not say which one it was.
    pub fn verify(&self, signature: Signature, body: &[u8]) -> Result<Accounts, Unsigned> {
        let all = Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner));
        let mut tried: Vec<(&str, bool)> = Vec::new();
        let mut accounts = BTreeSet::new();
        let mut any = false;
        for portfolio in all.iter() {
            for secret in &portfolio.secrets {
                // Portfolios of one app share its secret: one HMAC over the body is enough.
                let exposed = secret.expose_secret();
                let matches = match tried.iter().find(|(known, _)| *known == exposed) {
                    Some((_, matches)) => *matches,
                    None => {
                        let matches = signature.matches(secret, body);
                        tried.push((exposed, matches));
                        matches
                    }
                };
                if matches {
                    match &portfolio.waba_id {
                        Some(waba) => {
                            accounts.insert(waba.clone());
                        }
                        None => any = true,
                    }
                }
            }
        }
        match (any, accounts.is_empty()) {
            (true, _) => Ok(Accounts::Any),
            (false, false) => Ok(Accounts::Only(accounts)),
            (false, true) => Err(Unsigned::Wrong),
        }
    }

    /// Looks at the files every few seconds until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let Some(folder) = self.folder.clone() else { return };
        let mut complained = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let folder = folder.clone();
            match tokio::task::spawn_blocking(move || load(&folder)).await {
                Ok(Ok(all)) => {
                    complained = false;
                    if self.replace(all) {
                        tracing::info!("the Portfolios' files changed and were read again");
                    }
                }
                Ok(Err(error)) if !complained => {
                    complained = true;
                    tracing::error!(%error, "the Portfolios' files can't be read; the last good state is used");
                }
                _ => {}
            }
        }
    }

    fn replace(&self, all: Vec<Portfolio>) -> bool {
        let mut current = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let same = current.len() == all.len()
            && current.iter().zip(&all).all(|(a, b)| {
                a.waba_id == b.waba_id
                    && a.secrets.len() == b.secrets.len()
                    && a.secrets.iter().zip(&b.secrets).all(|(a, b)| a.expose_secret() == b.expose_secret())
            });
        if !same {
            *current = Arc::new(all);
        }
        !same
    }
}

fn load(folder: &Path) -> Result<Vec<Portfolio>, PortfolioError> {
    let failed = |path: &Path, why: String| PortfolioError::File { path: path.display().to_string(), why };
    let entries = std::fs::read_dir(folder).map_err(|e| failed(folder, e.kind().to_string()))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, e.kind().to_string()))?;
        let file: File = serde_yaml::from_str(&text).map_err(|e| failed(&path, e.to_string()))?;
        file.portfolio.parse::<NamespacedName>().map_err(|e| failed(&path, e.to_string()))?;
        let mut secrets = Vec::new();
        for secret in &file.app_secret_files {
            let secret = folder.join(secret);
            let text = std::fs::read_to_string(&secret).map_err(|e| failed(&secret, e.kind().to_string()))?;
            match text.trim() {
                "" => return Err(failed(&secret, "it is empty".into())),
                text => secrets.push(SecretString::from(text)),
            }
        }
        if secrets.is_empty() {
            return Err(failed(&path, "appSecretFiles names no file".into()));
        }
        all.push(Portfolio { waba_id: Some(file.waba_id), secrets });
    }
    if all.is_empty() { Err(PortfolioError::NoSecret) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::signature::sign;

    fn signed(secret: &str) -> Signature {
        Signature::parse([sign(&secret.into(), b"{}").as_bytes()].into_iter()).unwrap()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("clientnumber-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_secret_speaks_for_its_own_accounts_only() {
        let folder = folder("portfolios");
        let file = |waba: &str, secrets: &str| {
            format!("portfolio: platform/p{waba}\nwabaId: \"{waba}\"\nappSecretFiles: [{secrets}]\nbaseUrl: http://x\n")
        };
        for (name, text) in [
            ("a.yaml", file("1", "one")),
            ("b.yaml", file("2", "one, two")),
            ("ignored.txt", "nonsense".into()),
            ("one", "s1\n".into()),
            ("two", "s2".into()),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let portfolios = Portfolios::from_folder(&folder).unwrap();
        let only = |accounts: &[&str]| {
            Ok(Accounts::Only(accounts.iter().map(|account| WabaId::parse(*account).unwrap()).collect()))
        };
        assert_eq!(portfolios.verify(signed("s1"), b"{}"), only(&["1", "2"]));
        assert_eq!(portfolios.verify(signed("s2"), b"{}"), only(&["2"]));
        assert_eq!(portfolios.verify(signed("s3"), b"{}"), Err(Unsigned::Wrong));
        assert!(!portfolios.verify(signed("s2"), b"{}").unwrap().allows("1"));
        // A rotated secret.
        std::fs::write(folder.join("two"), "s4").unwrap();
        assert!(portfolios.replace(load(&folder).unwrap()) && !portfolios.replace(load(&folder).unwrap()));
        assert_eq!(portfolios.verify(signed("s4"), b"{}"), only(&["2"]));
        std::fs::remove_file(folder.join("two")).unwrap();
        assert!(matches!(load(&folder), Err(PortfolioError::File { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn without_a_secret_nothing_is_taken() {
        for none in ["", " ", ",, "] {
            assert!(matches!(Portfolios::from_secret(&none.into()), Err(PortfolioError::NoSecret)));
        }
        let both = Portfolios::from_secret(&"old, new".into()).unwrap();
        assert_eq!(both.verify(signed("new"), b"{}"), Ok(Accounts::Any));
        assert_eq!(both.verify(signed("old"), b"{}"), Ok(Accounts::Any));
        assert!(both.verify(signed(""), b"{}").is_err());
    }
}
