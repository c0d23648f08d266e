//! Whose POST it is: the app secrets, and which accounts each may speak of.
//!
//! One secret signs the traffic of all companies of an app, so a good signature alone says little: `entry[].id` must be
//! the WABA of a Portfolio whose secret gave the signature. With `--meta-app-secret` alone any account is taken.
//! The files of `--portfolios-dir` are read again when they change (a rotated Secret); what counts where one can't be
//! read is decided in `portfolio_files`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::WabaId;
pub use crate::store::Accounts;
use crate::store::Signer;

pub use super::portfolio_files::PortfolioError;
use super::portfolio_files::{self, Files, Found, Told};
use super::signature::{Signature, Unsigned};

/// How often the files are looked at. Mounted Secrets arrive within a minute or so, by themselves.
const LOOK: Duration = Duration::from_secs(5);

/// A Portfolio's secrets and account.
#[derive(Clone)]
pub(super) struct Portfolio {
    /// None: any account.
    pub(super) waba_id: Option<WabaId>,
    pub(super) secrets: Vec<AppSecret>,
}

impl Portfolio {
    fn is(&self, other: &Self) -> bool {
        let exposed = |one: &AppSecret, other: &AppSecret| one.secret.expose_secret() == other.secret.expose_secret();
        self.waba_id == other.waba_id
            && self.secrets.len() == other.secrets.len()
            && self.secrets.iter().zip(&other.secrets).all(|(one, other)| exposed(one, other))
    }

    fn accounts(&self) -> Accounts {
        self.waba_id.clone().map_or(Accounts::Any, Accounts::only)
    }
}

/// A secret, and what is kept of it beside what it signed.
#[derive(Clone)]
pub(super) struct AppSecret {
    secret: SecretString,
    signer: Signer,
}

impl From<&str> for AppSecret {
    fn from(secret: &str) -> Self {
        let secret = SecretString::from(secret);
        Self { signer: Signer::of(&secret), secret }
    }
}

/// A good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The accounts that the body may speak of.
    pub accounts: Accounts,
    /// Which secret gave it.
    pub signer: Signer,
}

/// All Portfolios. Cheap to clone.
#[derive(Clone)]
pub struct Portfolios {
    files: Arc<RwLock<Arc<Files>>>,
    changed: Arc<watch::Sender<()>>,
    folder: Option<PathBuf>,
}

impl Portfolios {
    /// Secrets without a Portfolio, comma-separated while rotating.
    pub fn from_secret(secrets: &SecretString) -> Result<Self, PortfolioError> {
        let secrets = secrets.expose_secret().split(',').map(str::trim).filter(|secret| !secret.is_empty());
        let secrets: Vec<AppSecret> = secrets.map(AppSecret::from).collect();
        if secrets.is_empty() {
            return Err(PortfolioError::NoSecret);
        }
        let only = Portfolio { waba_id: None, secrets };
        Ok(Self::with(Files::from([(PathBuf::new(), only)]), None))
    }

    /// The files of a folder; each must be good.
    pub fn from_folder(folder: &Path) -> Result<Self, PortfolioError> {
        let files = portfolio_files::all_good(portfolio_files::read(folder)?)?;
        Ok(Self::with(files, Some(folder.to_owned())))
    }

    /// No secret, for what checks no signature.
    pub fn none() -> Self {
        Self::with(Files::new(), None)
    }

    fn with(files: Files, folder: Option<PathBuf>) -> Self {
        Self { files: Arc::new(RwLock::new(Arc::new(files))), changed: Arc::default(), folder }
    }

    /// Told when other secrets or accounts count than before.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// All secrets, and which accounts each speaks for.
    pub fn speakers(&self) -> BTreeMap<Signer, Accounts> {
        let mut speakers: BTreeMap<Signer, Accounts> = BTreeMap::new();
        for portfolio in self.files().values() {
            for AppSecret { signer, .. } in &portfolio.secrets {
                let known = speakers.remove(signer).unwrap_or_else(Accounts::none);
                speakers.insert(signer.clone(), known.and(portfolio.accounts()));
            }
        }
        speakers
    }

    fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose secret gives the signature, and so which accounts the body may speak of. Every secret is tried, so that
    /// the time taken does not say which one it was.
    pub fn verify(&self, signature: Signature, body: &[u8]) -> Result<Signed, Unsigned> {
        let files = self.files();
        let mut tried: Vec<(&str, bool)> = Vec::new();
        let mut signed: Option<Signed> = None;
        for portfolio in files.values() {
            for AppSecret { secret, signer } in &portfolio.secrets {
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
                    let known = signed.take().map_or_else(Accounts::none, |signed| signed.accounts);
                    signed = Some(Signed { accounts: known.and(portfolio.accounts()), signer: signer.clone() });
                }
            }
        }
        signed.ok_or(Unsigned::Wrong)
    }

    /// Looks at the files every few seconds until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let Some(folder) = self.folder.clone() else { return };
        let mut told = Told::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let folder = folder.clone();
            if let Ok(found) = tokio::task::spawn_blocking(move || portfolio_files::read(&folder)).await
                && self.take_in(found, &mut told)
            {
                tracing::info!("the Portfolios' files changed and were read again");
            }
        }
    }

    /// Takes in what was found; true if something else counts than before.
    fn take_in(&self, found: Result<Found, PortfolioError>, told: &mut Told) -> bool {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                told.folder(&error);
                return false;
            }
        };
        let known = self.files();
        let (files, bad) = portfolio_files::merge(&known, found);
        told.files(&bad);
        let same = known.len() == files.len() && known.iter().zip(&files).all(|(a, b)| a.0 == b.0 && a.1.is(b.1));
        if !same {
            *self.files.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(files);
            self.changed.send_replace(());
        }
        !same
    }
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

    fn file(waba: &str, secrets: &str) -> String {
        format!("portfolio: platform/p{waba}\nwabaId: \"{waba}\"\nappSecretFiles: [{secrets}]\nbaseUrl: http://x\n")
    }

    fn verified(portfolios: &Portfolios, secret: &str) -> Result<Accounts, Unsigned> {
        let signed = portfolios.verify(signed(secret), b"{}")?;
        assert_eq!(signed.signer, Signer::of(&secret.into()));
        assert_eq!(portfolios.speakers().get(&signed.signer), Some(&signed.accounts));
        Ok(signed.accounts)
    }

    fn only(accounts: &[&str]) -> Result<Accounts, Unsigned> {
        Ok(Accounts::Only(accounts.iter().map(|account| WabaId::parse(*account).unwrap()).collect()))
    }

    #[test]
    fn a_secret_speaks_for_its_own_accounts_only() {
        let folder = folder("portfolios");
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
        assert_eq!(verified(&portfolios, "s1"), only(&["1", "2"]));
        assert_eq!(verified(&portfolios, "s2"), only(&["2"]));
        assert_eq!(verified(&portfolios, "s3"), Err(Unsigned::Wrong));
        assert!(!verified(&portfolios, "s2").unwrap().allows("1"));
        // A rotated secret.
        std::fs::write(folder.join("two"), "s4").unwrap();
        let look = || portfolios.take_in(portfolio_files::read(&folder), &mut Told::default());
        assert!(look() && !look());
        assert_eq!(verified(&portfolios, "s4"), only(&["2"]));
        // At the start a person looks on.
        std::fs::remove_file(folder.join("two")).unwrap();
        assert!(matches!(Portfolios::from_folder(&folder), Err(PortfolioError::File { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_bad_file_holds_no_other_back() {
        let folder = folder("portfolios-bad");
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("one", "s1");
        write("a.yaml", &file("1", "one"));
        let portfolios = Portfolios::from_folder(&folder).unwrap();
        let mut told = Told::default();
        let mut look = || portfolios.take_in(portfolio_files::read(&folder), &mut told);
        let verified = || verified(&portfolios, "s1");
        // One that was never good is left out, whatever stands beside it.
        write("b.yaml", &file("2", "one"));
        write("c.yaml", &file("3", "one, missing"));
        assert!(look());
        assert_eq!(verified(), only(&["1", "2"]));
        // One that was good keeps its last good state.
        write("a.yaml", "wabaId: [");
        write("missing", "s1");
        assert!(look());
        assert_eq!(verified(), only(&["1", "2", "3"]));
        assert!(!look());
        // One that was removed is gone.
        std::fs::remove_file(folder.join("a.yaml")).unwrap();
        assert!(look());
        assert_eq!(verified(), only(&["2", "3"]));
        // A folder without any file was hardly meant.
        for name in ["b.yaml", "c.yaml"] {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
        assert!(!look());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(!look());
        assert_eq!(verified(), only(&["2", "3"]));
    }

    #[test]
    fn without_a_secret_nothing_is_taken() {
        for none in ["", " ", ",, "] {
            assert!(matches!(Portfolios::from_secret(&none.into()), Err(PortfolioError::NoSecret)));
        }
        let both = Portfolios::from_secret(&"old, new".into()).unwrap();
        assert_eq!(verified(&both, "new"), Ok(Accounts::Any));
        assert_eq!(verified(&both, "old"), Ok(Accounts::Any));
        assert!(both.verify(signed(""), b"{}").is_err());
    }
}
