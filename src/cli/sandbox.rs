//! `clientnumber sandbox`: both providers on this machine, for development and tests.
//!
//! Prints one JSON line with the real addresses when it listens, and runs until it is stopped. Never part of a
//! deployment: it gives numbers away and signs what it is told to.

use std::io::Write as _;
use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};

use crate::sandbox::{Config, Settings, start};

/// Plays Telnyx and Meta over HTTP on this machine; docs/sandbox.md describes the control port.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where Telnyx is played (its base URL ends in /v2); port 0 takes a free one.
    #[arg(long, env = "TELNYX_ADDR", default_value = "127.0.0.1:4010")]
    telnyx_addr: SocketAddr,
    /// Where Meta's Graph API is played.
    #[arg(long, env = "META_ADDR", default_value = "127.0.0.1:4020")]
    meta_addr: SocketAddr,
    /// Where the control port is: write as a candidate, read ledger and journal, plant faults.
    #[arg(long, env = "CONTROL_ADDR", default_value = "127.0.0.1:4030")]
    control_addr: SocketAddr,
    /// Where Meta's webhooks are sent, for example http://127.0.0.1:8080/webhook.
    #[arg(long, env = "WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// The Meta app's secret: signs webhooks, and requests must then carry the matching appsecret_proof.
    #[arg(long, env = "APP_SECRET", hide_env_values = true, value_parser = secret)]
    app_secret: Option<SecretString>,
    /// Reads the app secret from a file instead.
    #[arg(long, env = "APP_SECRET_FILE", conflicts_with = "app_secret")]
    app_secret_file: Option<std::path::PathBuf>,
    /// Factor on all delays: 1 as in reality, 0 none.
    #[arg(long, env = "SPEED", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Seed of everything that looks random; the same seed gives the same run. Left out: a random one.
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
    /// Appends each call to this file, as lines of JSON without secrets.
    #[arg(long, env = "JOURNAL", value_name = "FILE")]
    journal: Option<std::path::PathBuf>,
    /// How the providers behave at first, as POST /settings takes it: {"telnyx": {"requests_per_second": 25}}.
    #[arg(long, env = "SETTINGS", value_parser = settings)]
    settings: Option<Settings>,
}

fn settings(text: &str) -> Result<Settings, String> {
    let change = serde_json::from_str(text).map_err(|error| format!("{error}: give a JSON object"))?;
    Settings::default().changed(&change)
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.0..=1_000.0).contains(&speed) => Ok(speed),
        _ => Err("give a number from 0 (no delays) to 1000; 1 is as in reality".to_owned()),
    }
}

/// The journal, behind what an earlier sandbox wrote; one that was killed may have left half a line.
fn append_to(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// A port that can't be opened, an app secret that can't be read.
pub async fn run(args: Args) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let app_secret = match (args.app_secret, args.app_secret_file) {
        (Some(secret), _) => Some(secret),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("can't read {}: give the file with the app secret", path.display()))?;
            Some(SecretString::from(text.trim()))
        }
        (None, None) => None,
    };
    let journal = match &args.journal {
        Some(path) => {
            let what = || format!("can't write to {}: give --journal a file in a folder that exists", path.display());
            Some(append_to(path).with_context(what)?)
        }
        None => None,
    };
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let running = start(Config {
        telnyx_addr: args.telnyx_addr,
        meta_addr: args.meta_addr,
        control_addr: args.control_addr,
        webhook_url: args.webhook_url,
        app_secret: app_secret.filter(|secret| !secret.expose_secret().is_empty()),
        speed: args.speed,
        seed,
        journal,
        settings: args.settings.unwrap_or_default(),
    })
    .await?;
    let line = serde_json::json!({
        "telnyx": running.telnyx, "meta": running.meta, "control": running.control, "seed": seed,
    });
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("can't write the addresses to stdout")?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
