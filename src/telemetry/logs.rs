//! Logs: one line an event on stderr, as text or JSON, filtered by `RUST_LOG`'s syntax.
//!
//! Some libraries write what they carry at debug or trace: commands with whole documents, WebSocket frames, HTTP bodies.
//! Those are cut off here, whatever the filter says, since they hold candidates' data, tokens and secrets.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Targets that show what they carry, and the most detailed level that they may write at.
const CAPPED: [(&str, LevelFilter); 13] = [
    ("mongodb::command", LevelFilter::OFF),
    ("mongodb", LevelFilter::WARN),
    ("tungstenite", LevelFilter::OFF),
    ("tokio_tungstenite", LevelFilter::OFF),
    ("engineioxide", LevelFilter::WARN),
    ("engineioxide_core", LevelFilter::WARN),
    ("socketioxide", LevelFilter::WARN),
    ("socketioxide_core", LevelFilter::WARN),
    ("hyper", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    // Answers of the API server can be Secrets.
    ("kube_client", LevelFilter::INFO),
];

fn permitted(target: &str, level: Level) -> bool {
    let inside =
        |prefix: &str| target.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    CAPPED.iter().all(|(prefix, most)| !inside(prefix) || level <= *most)
}

fn allowed(metadata: &Metadata<'_>) -> bool {
    permitted(metadata.target(), *metadata.level())
}

/// Starts logging for the process. `filter` in `RUST_LOG`'s syntax, for example `info,clientnumber::router=debug`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let chosen = EnvFilter::try_new(filter).map_err(|_| LogError::Filter)?;
    let safe = chosen.and(filter_fn(allowed));
    let writer = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    match format {
        LogFormat::Json => registry.with(writer.json().flatten_event(true).with_filter(safe)).try_init(),
        LogFormat::Text => registry.with(writer.with_ansi(false).with_filter(safe)).try_init(),
    }
    .map_err(|_| LogError::Twice)?;
    std::panic::set_hook(Box::new(tell_panic));
    Ok(())
}

/// A panic's own text may quote what it met (a candidate's text, a token); where it happened says enough.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(at, %backtrace, "a task panicked; this is a fault in the program, please report it");
}

/// Logging that can't start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can't be parsed.
    #[error("the log filter can't be read: write it as info or info,clientnumber=debug")]
    Filter,
    /// It is running already.
    #[error("logging was started twice in this process")]
    Twice,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_content_is_cut_off_at_any_filter() {
        for (target, level, want) in [
            ("mongodb::command", Level::ERROR, false),
            ("mongodb::sdam", Level::DEBUG, false),
            ("tungstenite::protocol", Level::WARN, false),
            ("kube_client::client", Level::DEBUG, false),
            ("kube_client::client", Level::INFO, true),
            ("hyper", Level::TRACE, false),
            ("hyper_util::client", Level::TRACE, true),
            ("clientnumber::router", Level::TRACE, true),
        ] {
            assert_eq!(permitted(target, level), want, "{target} {level}");
        }
    }
}
