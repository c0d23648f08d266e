//! The command line: one file a subcommand. Exit codes: 0, 1 failed, 2 wrong use or configuration.

mod clients;
mod confirm;
pub mod controller;
pub mod crds;
pub mod erase;
pub mod export;
pub mod export_lines;
pub mod plugin;
mod quarantine;
pub mod replay;
pub mod revoke;
pub mod router;
pub mod sandbox;
pub mod settings;
mod shutdown;
pub mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::logs;

/// One WhatsApp number per client company, declared in Kubernetes.
#[derive(Parser)]
#[command(name = "clientnumber", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logs: LogArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller: makes each ClientNumber's line.
    Controller(Box<controller::Args>),
    /// Serve Meta's webhook and recruiters' sockets.
    Router(Box<router::Args>),
    /// Print the CustomResourceDefinitions.
    Crds(crds::Args),
    /// Play Telnyx and Meta on this machine, for development and tests.
    Sandbox(Box<sandbox::Args>),
    /// Print a recruiter's token for trying things, signed with the HS256 secret.
    Token(token::Args),
    /// Cut connections and refuse their tokens.
    Revoke(revoke::Args),
    /// List what is in quarantine, or bring chosen changes back to their companies.
    Replay(replay::Args),
    /// Erase a candidate's or a company's data.
    Erase(erase::Args),
    /// Write a company's or a candidate's data as lines of JSON.
    Export(export::Args),
    /// Hand in a line's code, or let Meta call it now.
    Verify(plugin::VerifyArgs),
    /// Look at a line now, whatever its next retry time is.
    Retry(plugin::Line),
    /// Give a line's burnt number back and let another be bought.
    Replace(plugin::ReplaceArgs),
    /// Stop work on a line; its route stays as it is.
    Suspend(plugin::Line),
    /// Let work on a line go on.
    Resume(plugin::Line),
    /// List the numbers that are kept for a company, paid for and without a line.
    Retained(plugin::RetainedArgs),
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong use or configuration: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It did not work: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The whole chain of an error, as a failure.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(format!("{:#}", error.into()))
    }
}

/// A worker's stack. Without optimization the states of a pass that calls through many layers come near Tokio's 2 MiB.
const STACK: usize = 8 * 1024 * 1024;

/// Runs a command that needs the asynchronous runtime to its end.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().thread_stack_size(STACK).build().map_err(Failure::failed)?;
    let result = runtime.block_on(command).map_err(Failure::failed);
    // The process ends now. What still runs beside the command, as a database client that says goodbye, would only meet a
    // runtime that is being taken down, and panic.
    std::mem::forget(runtime);
    result
}

/// How a long-running command logs.
#[derive(clap::Args)]
struct LogArgs {
    /// What is logged: a level, or levels by module as in info,clientnumber::line=debug. Content of messages, tokens and
    /// codes are logged at no level.
    #[arg(long, env = "RUST_LOG", default_value = "info", global = true, value_name = "FILTER")]
    log: String,
    /// How a log line looks.
    #[arg(long, env = "LOG_FORMAT", default_value = "text", global = true, value_name = "FORMAT")]
    log_format: logs::LogFormat,
}

fn with_logs(args: &LogArgs) -> Result<(), Failure> {
    logs::init(args.log_format, &args.log).map_err(|e| Failure::Usage(e.to_string()))
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Controller(args) => with_logs(&cli.logs).and_then(|()| controller::run(*args)),
        Command::Router(args) => with_logs(&cli.logs).and_then(|()| router::run(*args)),
        Command::Crds(args) => crds::run(&args),
        Command::Sandbox(args) => block_on(sandbox::run(*args)),
        Command::Token(args) => token::run(&args),
        Command::Revoke(args) => revoke::run(args),
        Command::Replay(args) => with_logs(&cli.logs).and_then(|()| replay::run(args)),
        Command::Erase(args) => with_logs(&cli.logs).and_then(|()| erase::run(args)),
        Command::Export(args) => with_logs(&cli.logs).and_then(|()| export::run(args)),
        Command::Verify(args) => plugin::verify(args),
        Command::Retry(line) => plugin::retry(line),
        Command::Replace(args) => plugin::replace(args),
        Command::Suspend(line) => plugin::suspend(line, true),
        Command::Resume(line) => plugin::suspend(line, false),
        Command::Retained(args) => plugin::retained(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("clientnumber: {failure}");
            ExitCode::from(match failure {
                Failure::Usage(_) => 2,
                Failure::Failed(_) => 1,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "md") {
                found.push(path);
            }
        }
    }

    /// A message or a page must not send people to a command that does not exist.
    #[test]
    fn commands_that_people_are_sent_to_exist() {
        let known: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join("README.md")];
        sources(&root.join("src"), &mut files);
        sources(&root.join("docs"), &mut files);
        let mut named = 0;
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for part in text.split("kubectl clientnumber ").skip(1) {
                let word: String = part.chars().take_while(char::is_ascii_lowercase).collect();
                if !word.is_empty() {
                    named += 1;
                    assert!(known.contains(&word), "{} names kubectl clientnumber {word}", file.display());
                }
            }
        }
        assert!(named > 5, "only {named} places found: does the search still work?");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
