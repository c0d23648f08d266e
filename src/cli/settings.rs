//! Settings that several commands share: secrets by value or file, the store's address, who signs tokens.
//!
//! A secret given twice, or not at all where it is needed, is wrong use (exit code 2) and the message names both ways.
//! Must never print a secret, not even in `--help`.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::Failure;
use crate::delivery::{KeySource, TokenPolicy, check_secret};
use crate::router::portfolios::Portfolios;

/// For clap: any text is a secret.
pub fn secret_text(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// A secret from its flag or from a file, without the line break that editors leave at the end. `flag` is the flag's
/// name without dashes.
pub fn secret(flag: &str, value: Option<&SecretString>, file: Option<&Path>) -> Result<Option<SecretString>, Failure> {
    match (value, file) {
        (Some(_), Some(_)) => {
            Err(Failure::Usage(format!("--{flag} and --{flag}-file are both given: give one of the two")))
        }
        (Some(value), None) => Ok(Some(value.clone())),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))),
            Err(error) => Err(Failure::Usage(format!(
                "--{flag}-file {} can't be read ({error}): check the path and its permissions",
                path.display()
            ))),
        },
        (None, None) => Ok(None),
    }
}

/// Where the store is.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArgs {
    /// MongoDB, for example mongodb://host:27017/?replicaSet=rs0.
    #[arg(long, env = "MONGODB_URI", hide_env_values = true, value_parser = secret_text)]
    mongodb_uri: Option<SecretString>,
    /// Reads the address from a file instead.
    #[arg(long, env = "MONGODB_URI_FILE")]
    mongodb_uri_file: Option<PathBuf>,
}

impl StoreArgs {
    /// The address; an error if there is none.
    pub fn required(&self) -> Result<SecretString, Failure> {
        self.optional()?.ok_or_else(|| {
            Failure::Usage("there is no store: give --mongodb-uri (MONGODB_URI) or --mongodb-uri-file".into())
        })
    }

    /// The address, if one is given.
    pub fn optional(&self) -> Result<Option<SecretString>, Failure> {
        secret("mongodb-uri", self.mongodb_uri.as_ref(), self.mongodb_uri_file.as_deref())
    }
}

/// Who signs webhooks, and for which accounts.
#[derive(Debug, Clone, clap::Args)]
pub struct AppSecretArgs {
    /// The Meta app's secret; several, comma-separated, while it is rotated. Any account may be named by a webhook then:
    /// better is --portfolios-dir.
    #[arg(long, env = "META_APP_SECRET", hide_env_values = true, value_parser = secret_text)]
    meta_app_secret: Option<SecretString>,
    /// Reads the app secret from a file instead.
    #[arg(long, env = "META_APP_SECRET_FILE")]
    meta_app_secret_file: Option<PathBuf>,
    /// A folder with one *.yaml for each Portfolio (portfolio, wabaId, appSecretFiles); read again when it changes.
    #[arg(long, env = "PORTFOLIOS_DIR")]
    portfolios_dir: Option<PathBuf>,
}

impl AppSecretArgs {
    /// The secrets, if any are given.
    pub fn portfolios(&self) -> Result<Option<Portfolios>, Failure> {
        let given = secret("meta-app-secret", self.meta_app_secret.as_ref(), self.meta_app_secret_file.as_deref())?;
        match (given, &self.portfolios_dir) {
            (Some(_), Some(_)) => {
                return Err(Failure::Usage(
                    "--meta-app-secret and --portfolios-dir are both given: give one of the two".into(),
                ));
            }
            (Some(secret), None) => Some(Portfolios::from_secret(&secret)),
            (None, Some(folder)) => Some(Portfolios::from_folder(folder)),
            (None, None) => None,
        }
        .transpose()
        .map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// Who signs recruiters' tokens, and what they must say.
#[derive(Debug, Clone, clap::Args)]
pub struct JwtArgs {
    /// The secret of HS256 tokens, at least 32 bytes.
    #[arg(long, env = "JWT_HS256_SECRET", hide_env_values = true, value_parser = secret_text)]
    jwt_hs256_secret: Option<SecretString>,
    /// Reads the secret from a file instead.
    #[arg(long, env = "JWT_HS256_SECRET_FILE")]
    jwt_hs256_secret_file: Option<PathBuf>,
    /// Key set of RS256, ES256 or EdDSA tokens.
    #[arg(long, env = "JWT_JWKS_URL")]
    jwt_jwks_url: Option<String>,
    /// The same from a file; read again when it changes.
    #[arg(long, env = "JWT_JWKS_FILE")]
    jwt_jwks_file: Option<PathBuf>,
    /// What `iss` must be; not checked when left out.
    #[arg(long, env = "JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// What `aud` must hold.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "clientnumber")]
    jwt_audience: String,
}

impl JwtArgs {
    /// The one source of keys; none or several are wrong use.
    pub fn source(&self) -> Result<KeySource, Failure> {
        let mut sources: Vec<KeySource> = self.hs256()?.map(KeySource::Hs256).into_iter().collect();
        sources.extend(self.jwt_jwks_url.clone().map(KeySource::JwksUrl));
        sources.extend(self.jwt_jwks_file.clone().map(KeySource::JwksFile));
        match (sources.pop(), sources.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(Failure::Usage(
                "give exactly one of --jwt-hs256-secret (or its file), --jwt-jwks-url and --jwt-jwks-file: without it \
                 nobody can tell who may read a company's messages"
                    .into(),
            )),
        }
    }

    /// The HS256 secret, if one is given.
    pub fn hs256(&self) -> Result<Option<SecretString>, Failure> {
        let found = secret("jwt-hs256-secret", self.jwt_hs256_secret.as_ref(), self.jwt_hs256_secret_file.as_deref())?;
        if let Some(secret) = &found {
            check_secret(secret).map_err(|error| Failure::Usage(error.to_string()))?;
        }
        Ok(found)
    }

    /// What tokens must say.
    pub fn policy(&self) -> TokenPolicy {
        TokenPolicy { audience: self.jwt_audience.clone(), issuer: self.jwt_issuer.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use secrecy::ExposeSecret;

    #[derive(Parser)]
    struct Both {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        jwt: JwtArgs,
    }

    fn parse(args: &[&str]) -> Both {
        Both::try_parse_from(std::iter::once("x").chain(args.iter().copied())).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn exactly_one_source_of_keys() {
        let url = "--jwt-jwks-url=http://localhost/jwks";
        let secret = "--jwt-hs256-secret=0123456789abcdef0123456789abcdef";
        for good in [&[secret][..], &[url], &["--jwt-jwks-file=/x"]] {
            assert!(parse(good).jwt.source().is_ok(), "{good:?}");
        }
        for bad in [&[][..], &["--jwt-hs256-secret=s"], &[secret, url], &[url, "--jwt-jwks-file=/x"]] {
            assert!(matches!(parse(bad).jwt.source(), Err(Failure::Usage(_))), "{bad:?}");
        }
    }

    #[test]
    fn secrets_by_value_or_file() {
        let path = std::env::temp_dir().join(format!("secret-{}", std::process::id()));
        std::fs::write(&path, "mongodb://x\r\n").unwrap();
        let file = format!("--mongodb-uri-file={}", path.display());
        assert_eq!(
            parse(&[&file]).store.required().map(|s| s.expose_secret().to_owned()).ok().as_deref(),
            Some("mongodb://x")
        );
        assert!(matches!(parse(&[&file, "--mongodb-uri=y"]).store.required(), Err(Failure::Usage(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(parse(&[&file]).store.required(), Err(Failure::Usage(_))));
        assert!(matches!(parse(&[]).store.required(), Err(Failure::Usage(_))));
        assert!(parse(&[]).store.optional().is_ok_and(|s| s.is_none()));
    }
}
