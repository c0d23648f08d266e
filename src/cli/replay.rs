//! `clientnumber replay`: what is in quarantine, by counts and without content; and changes that a person chooses brought
//! back to their companies, by the rules by which routers do it.

use std::sync::Arc;

use anyhow::bail;

use super::quarantine::{KeyArgs, open};
use super::settings::{AppSecretArgs, StoreArgs};
use super::{Failure, block_on};
use crate::domain::{PhoneNumberId, SystemClock};
use crate::router::chosen::{Fate, replay_chosen};
use crate::router::portfolios::Portfolios;
use crate::store::{Choice, Heap, QuarantineReason, Store, StoreOptions};

/// Lists the quarantine, or brings chosen changes back to their companies.
///
/// Without a choice it lists: reasons, lines, how many changes, when the oldest came. With one it brings back all changes
/// that fit all that is given. What belongs to a known, active line goes there by itself and needs no command.
/// `foreign_account` and `malformed` come back only with the routers' app secrets: to the accounts for which the one that
/// signed them speaks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Changes of this line, by its phone number id.
    #[arg(long)]
    line: Option<PhoneNumberId>,
    /// Changes with this reason. `too_old` stores also what could be a repeat of something that retention has removed.
    #[arg(long)]
    reason: Option<QuarantineReason>,
    /// This change, as --dry-run lists it; like `too_old`, whatever its age.
    #[arg(long)]
    id: Option<String>,
    /// All changes.
    #[arg(long, conflicts_with_all = ["line", "reason", "id"])]
    all: bool,
    /// Writes nothing: says of each change what would come of it.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    app_secrets: AppSecretArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Lists or replays.
pub fn run(args: Args) -> Result<(), Failure> {
    let (uri, keys) = (args.store.required()?, args.keys.required()?);
    let choice = Choice { line: args.line, reason: args.reason, id: args.id };
    let chosen = args.all || choice.line.is_some() || choice.reason.is_some() || choice.id.is_some();
    if args.dry_run && !chosen {
        return Err(Failure::Usage("--dry-run needs a choice: --line, --reason, --id or --all".into()));
    }
    // A list needs no secrets, and so none that can be read.
    let portfolios = if chosen { args.app_secrets.portfolios()? } else { None };
    let portfolios = portfolios.unwrap_or_else(Portfolios::none);
    block_on(async move {
        let options = StoreOptions { app_name: "clientnumber replay".into(), ..StoreOptions::default() };
        let store = Store::connect(&uri, options).await?;
        if !chosen {
            print!("{}", table(&store.quarantine(keys).heaps().await?));
            return Ok(());
        }
        let opened = open(store, keys, portfolios, Arc::new(SystemClock)).await?;
        let fates = replay_chosen(&opened.ingest, &choice, args.dry_run, |id, fate| {
            if args.dry_run {
                println!("{id}  {}", told(fate, true));
            }
        })
        .await?;
        if fates.is_empty() {
            println!("no change in quarantine fits");
        }
        for (fate, count) in &fates {
            println!("{count} {}", told(fate, args.dry_run));
        }
        let left = fates.iter().any(|(fate, _)| *fate != Fate::Stored);
        if left && !args.dry_run {
            bail!("not all were brought back: what stays is deleted seven days after it came (docs/data.md)");
        }
        Ok(())
    })
}

fn told(fate: &Fate, dry_run: bool) -> String {
    match fate {
        Fate::Stored if dry_run => "would go to its company, unless the company's log refuses it".into(),
        Fate::Stored => "brought back".into(),
        Fate::Stays(reason) if dry_run => format!("would stay: {reason}"),
        Fate::Stays(reason) => format!("stayed: {reason}"),
        Fate::Fails => "stayed: the program itself fails on it, and a later version may not (docs/data.md)".into(),
        Fate::Closed => "can't be read: it is gone, or none of the keys opens it".into(),
    }
}

fn table(heaps: &[Heap]) -> String {
    if heaps.is_empty() {
        return "the quarantine is empty\n".into();
    }
    let rows = heaps.iter().map(|heap| {
        let Heap { reason, phone_number_id, count, oldest } = heap;
        format!("{reason:<16}  {:<18}  {count:>7}  {oldest:.0}\n", phone_number_id.as_deref().unwrap_or("-"))
    });
    std::iter::once(format!("{:<16}  {:<18}  {:>7}  {}\n", "REASON", "LINE", "CHANGES", "OLDEST")).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed() {
        assert_eq!(table(&[]), "the quarantine is empty\n");
        let heap = |reason: &str, line: Option<&str>, count| Heap {
            reason: reason.into(),
            phone_number_id: line.map(str::to_owned),
            count,
            oldest: "2026-11-24T10:00:00.5Z".parse().unwrap(),
        };
        let listed = table(&[heap("malformed", None, 3), heap("unknown_number", Some("106540352242922"), 12)]);
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(lines[0], "REASON            LINE                CHANGES  OLDEST");
        assert_eq!(lines[1], "malformed         -                         3  2026-11-24T10:00:00Z");
        assert_eq!(lines[2], "unknown_number    106540352242922          12  2026-11-24T10:00:00Z");
    }
}
