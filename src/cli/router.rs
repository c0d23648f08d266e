//! `clientnumber router`: Meta's webhook, recruiters' sockets and the admin port, each on a port of its own.
//!
//! What is missing or given twice is told at the start (exit code 2); a store that is away is waited for. At SIGTERM the
//! webhook finishes what it has, recruiters are told `draining`, then the process ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::settings::{AppSecretArgs, JwtArgs, StoreArgs, secret, secret_text};
use super::{Failure, block_on, shutdown};
use crate::delivery::{self, AllowedOrigins, Delivery, Keys};
use crate::domain::{SharedClock, SystemClock};
use crate::listen::{self, Limits};
use crate::router::portfolios::Portfolios;
use crate::router::{self, RouteTable};
use crate::store::{QuarantineKeys, Store, StoreOptions};
use crate::telemetry::{Readiness, admin, metrics};

/// How long recruiters are given to leave when the process ends.
const DRAIN: Duration = Duration::from_secs(8);
const SOCKETS: usize = 20_000;

/// Serves Meta's webhook and recruiters' sockets.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Meta's webhook and the TeXML documents.
    #[arg(long, env = "WEBHOOK_ADDR", default_value = "0.0.0.0:8080")]
    webhook_addr: SocketAddr,
    /// Recruiters' sockets.
    #[arg(long, env = "SOCKET_ADDR", default_value = "0.0.0.0:8081")]
    socket_addr: SocketAddr,
    /// /metrics, /livez and /readyz, for the inside of the cluster only.
    #[arg(long, env = "ADMIN_ADDR", default_value = "0.0.0.0:9091")]
    admin_addr: SocketAddr,
    /// The token that Meta's challenge must bear, as it is written in the app's webhook settings.
    #[arg(long, env = "META_VERIFY_TOKEN", hide_env_values = true, value_parser = secret_text)]
    meta_verify_token: Option<SecretString>,
    /// Reads the token from a file instead.
    #[arg(long, env = "META_VERIFY_TOKEN_FILE")]
    meta_verify_token_file: Option<PathBuf>,
    #[command(flatten)]
    app_secrets: AppSecretArgs,
    /// 32 random bytes as hex or base64 that encrypt what has no place; several, comma-separated, while they are rotated:
    /// the first encrypts.
    #[arg(long, env = "QUARANTINE_KEY", hide_env_values = true, value_parser = secret_text)]
    quarantine_key: Option<SecretString>,
    /// Reads the key from a file instead.
    #[arg(long, env = "QUARANTINE_KEY_FILE")]
    quarantine_key_file: Option<PathBuf>,
    #[command(flatten)]
    jwt: JwtArgs,
    /// After SIGTERM webhooks and new connections are still taken for so long, 0s to 15s: whoever sends here hears late that
    /// this replica goes. The process ends at most 12 s after that; the pod's grace period (30 s) must be longer than both.
    #[arg(long, env = "DRAIN_DELAY", default_value = "5s", value_parser = drain_delay)]
    drain_delay: Duration,
    /// Pages that may connect, comma-separated, as in https://app.example.ma; empty: only requests without an Origin.
    #[arg(long, env = "ALLOWED_ORIGINS", default_value = "")]
    allowed_origins: String,
}

/// What the arguments come to.
struct Parts {
    uri: Option<SecretString>,
    verify_token: SecretString,
    portfolios: Portfolios,
    quarantine_keys: QuarantineKeys,
    keys: delivery::KeySource,
    sockets: delivery::Settings,
    addresses: [SocketAddr; 3],
    linger: Duration,
}

fn drain_delay(text: &str) -> Result<Duration, String> {
    let digits = text.strip_suffix('s').filter(|number| number.bytes().all(|c| c.is_ascii_digit()));
    let seconds = digits.and_then(|number| number.parse().ok()).filter(|seconds| *seconds <= 15);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("write seconds from 0s to 15s, for example 5s; {text:?} is not that"))
}

/// Runs until SIGTERM or SIGINT.
pub fn run(args: Args) -> Result<(), Failure> {
    let parts = parts(&args)?;
    block_on(serve(parts))
}

fn parts(args: &Args) -> Result<Parts, Failure> {
    let needed = |flag: &str, found: Option<SecretString>| {
        found.ok_or_else(|| Failure::Usage(format!("--{flag} is missing: give it or --{flag}-file")))
    };
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let verify_token = needed(
        "meta-verify-token",
        secret("meta-verify-token", args.meta_verify_token.as_ref(), args.meta_verify_token_file.as_deref())?,
    )?;
    let quarantine_key = needed(
        "quarantine-key",
        secret("quarantine-key", args.quarantine_key.as_ref(), args.quarantine_key_file.as_deref())?,
    )?;
    let quarantine_keys =
        QuarantineKeys::parse(secrecy::ExposeSecret::expose_secret(&quarantine_key)).map_err(|error| usage(&error))?;
    let no_secret = || usage(&router::portfolios::PortfolioError::NoSecret);
    let portfolios = args.app_secrets.portfolios()?.ok_or_else(no_secret)?;
    let origins = AllowedOrigins::parse(&args.allowed_origins).map_err(Failure::Usage)?;
    Ok(Parts {
        uri: args.store.optional()?,
        verify_token,
        portfolios,
        quarantine_keys,
        keys: args.jwt.source()?,
        sockets: delivery::Settings::new(args.jwt.policy(), origins),
        addresses: [args.webhook_addr, args.socket_addr, args.admin_addr],
        linger: args.drain_delay,
    })
}

async fn serve(parts: Parts) -> anyhow::Result<()> {
    let Parts { uri, verify_token, portfolios, quarantine_keys, keys, sockets, addresses, linger } = parts;
    let [webhook_addr, socket_addr, admin_addr] = addresses;
    let clock: SharedClock = Arc::new(SystemClock);
    let stop = CancellationToken::new();
    shutdown::on_signal(stop.clone());
    let store = match uri {
        Some(uri) => {
            let options = StoreOptions { app_name: "clientnumber-router".into(), ..StoreOptions::default() };
            Some(Store::connect(&uri, options).await?)
        }
        None => {
            tracing::warn!("there is no store: every webhook is answered with 503 until MONGODB_URI is set");
            None
        }
    };
    let mut registry = metrics::registry("router");
    let readiness = Readiness::default();
    let routes = RouteTable::new(store.clone());
    let webhook_port = listen::bind("webhook", webhook_addr).await?;
    let socket_port = listen::bind("socket", socket_addr).await?;
    let admin_port = listen::bind("admin", admin_addr).await?;

    // The webhook is started before the sockets exist and tells them through this.
    let delivery: Arc<OnceLock<Delivery>> = Arc::default();
    let told = Arc::clone(&delivery);
    let webhook = router::serve(
        router::Settings {
            verify_token,
            portfolios,
            quarantine_keys,
            store: store.clone(),
            routes: routes.clone(),
            clock: Arc::clone(&clock),
            linger,
            on_append: Arc::new(move |company, seq| {
                if let Some(delivery) = told.get() {
                    delivery.appended(company, seq);
                }
            }),
        },
        webhook_port,
        &mut registry,
        &readiness,
        stop.clone(),
    );
    let door = match store {
        Some(store) => {
            let keys = Keys::load(keys).await?;
            let metrics = delivery::Metrics::register(&mut registry);
            let started = Delivery::start(store, keys, Arc::new(routes), sockets, metrics, clock, &readiness);
            delivery.get_or_init(|| started).door().router()
        }
        // Nothing to deliver: nobody is let in.
        None => Router::new().fallback(|| async { axum::http::StatusCode::SERVICE_UNAVAILABLE }),
    };
    tracing::info!(webhook = %webhook_addr, sockets = %socket_addr, admin = %admin_addr, "the router starts");
    let ended = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(admin_port, registry, readiness, ended.clone()));
    // Sockets are told to leave before their port's connections are cut.
    let socket_stop = CancellationToken::new();
    let draining = async {
        stop.cancelled().await;
        let leave = async {
            if let Some(delivery) = delivery.get() {
                delivery.drain(DRAIN).await;
            }
        };
        // Also where nobody is connected: a page may still be sent here, and is told to come again.
        tokio::join!(leave, tokio::time::sleep(linger));
        socket_stop.cancel();
    };
    // What a client may do there is done by then.
    let sockets_limits = Limits { drain: Duration::from_secs(1), ..Limits::new("sockets", SOCKETS) };
    tokio::join!(webhook, listen::serve(socket_port, door, sockets_limits, socket_stop.clone()), draining,);
    ended.cancel();
    let _ = admin.await;
    tracing::info!("the router has ended");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    const KEY: &str = "--quarantine-key=1111111111111111111111111111111111111111111111111111111111111111";
    const GOOD: [&str; 4] =
        ["--meta-verify-token=v", "--meta-app-secret=s", KEY, "--jwt-hs256-secret=0123456789abcdef0123456789abcdef"];

    fn judged(args: impl IntoIterator<Item = &'static str>) -> Result<(), String> {
        let line = Line::try_parse_from(std::iter::once("x").chain(args)).map_err(|e| e.to_string())?;
        parts(&line.args).map(|_| ()).map_err(|e| e.to_string())
    }

    #[test]
    fn how_long_it_lingers() {
        for (text, want) in
            [("0s", Some(0)), ("5s", Some(5)), ("15s", Some(15)), ("16s", None), ("5", None), ("5m", None)]
        {
            assert_eq!(drain_delay(text).ok(), want.map(Duration::from_secs), "{text}");
        }
        for bad in ["", "s", "+5s", "-5s", "5ms", "5.5s"] {
            assert!(drain_delay(bad).is_err_and(|error| error.contains("0s to 15s")), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_or_double_is_told() {
        assert_eq!(judged(GOOD), Ok(()));
        for (index, word) in
            ["--meta-verify-token", "--meta-app-secret", "--quarantine-key", "--jwt-hs256-secret"].iter().enumerate()
        {
            let rest = GOOD.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, arg)| *arg);
            let error = judged(rest).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        for double in ["--meta-app-secret-file=/x", "--portfolios-dir=/x", "--jwt-jwks-file=/x"] {
            assert!(judged(GOOD.into_iter().chain([double])).is_err(), "{double}");
        }
        assert!(judged(GOOD.into_iter().chain(["--allowed-origins=*"])).is_err());
        let weak = GOOD.map(|arg| if arg == KEY { "--quarantine-key=abc" } else { arg });
        assert!(judged(weak).unwrap_err().contains("32 random bytes"));
    }
}
