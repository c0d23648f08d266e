//! Whose words a change in quarantine holds: which app secret signed it, and of which accounts that one may speak.
//!
//! Anybody with one account's secret can sign a text that names another's lines. So what came as a foreign account's may go
//! on only when the secret that signed it speaks for the account by then. Must never tell anything of the secret itself.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::WabaId;

/// Which app secret it was: half of a hash that is keyed with it. App secrets are random and long, so that nobody finds one
/// by trying.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signer(String);

/// Nothing that Meta signs.
const LABEL: &[u8] = b"clientnumber: which secret signed a change in quarantine";

impl Signer {
    /// Of this secret.
    pub fn of(secret: &SecretString) -> Self {
        match Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) {
            Ok(mac) => Self(hex::encode(&mac.chain_update(LABEL).finalize().into_bytes()[..8])),
            // Of no length at all; and nobody signs by that.
            Err(_) => Self(String::new()),
        }
    }

    /// As it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which accounts a signature may speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// Any: the secret was given without a Portfolio.
    Any,
    /// These: several Portfolios may share an app.
    Only(BTreeSet<WabaId>),
}

impl Accounts {
    /// None: of a secret that nobody knows.
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// This one.
    pub fn only(account: WabaId) -> Self {
        Self::Only(BTreeSet::from([account]))
    }

    /// May it speak of this account?
    pub fn allows(&self, entry_id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(accounts) => accounts.iter().any(|waba| waba.as_str() == entry_id),
        }
    }

    /// These and those.
    pub fn and(self, more: Self) -> Self {
        match (self, more) {
            (Self::Only(mut accounts), Self::Only(more)) => {
                accounts.extend(more);
                Self::Only(accounts)
            }
            _ => Self::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_what_says_nothing_of_it() {
        let of = |secret: &str| Signer::of(&secret.into());
        assert_eq!(of("0123456789abcdef0123456789abcdef"), of("0123456789abcdef0123456789abcdef"));
        assert_ne!(of("0123456789abcdef0123456789abcdef"), of("0123456789abcdef0123456789abcdee"));
        assert_eq!(of("0123456789abcdef0123456789abcdef").as_str().len(), 16);
        // It stands in the store: another one would leave what waits there for ever.
        assert_eq!(of("test_app_secret").as_str(), "0e2bd57192a78ee3");
    }

    #[test]
    fn which_accounts_are_spoken_of() {
        let only = |id: &str| Accounts::only(WabaId::parse(id).unwrap());
        let one = Accounts::none().and(only("1"));
        assert!(one.allows("1") && !one.allows("2") && !one.allows("") && !Accounts::none().allows("1"));
        let both = one.clone().and(only("2"));
        assert!(both.allows("1") && both.allows("2") && !both.allows("3"));
        assert_eq!((one.and(Accounts::Any), Accounts::Any.and(both)), (Accounts::Any, Accounts::Any));
        assert!(Accounts::Any.allows("anything"));
    }
}
