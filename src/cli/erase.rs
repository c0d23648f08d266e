//! `clientnumber erase`: a candidate's data in one company, or all data of a company that has left.
//!
//! It says what it is about to do and asks; in scripts `--yes` answers. The report names nobody. Killed at any moment, it
//! goes on when it is run again, for a candidate by the contact id that it showed.

use std::sync::Arc;

use anyhow::bail;

use super::quarantine::KeyArgs;
use super::settings::StoreArgs;
use super::{Failure, block_on, confirm};
use crate::domain::{CompanyId, Pii, SharedClock, SystemClock};
use crate::router::forget::{Forgotten, forget};
use crate::store::closing::{self, Closing, Step, Waits};
use crate::store::erasure::{EraseError, Whom};
use crate::store::{QuarantineKeys, Store, StoreOptions};

/// Erases a candidate from a company's data, or a whole company's data.
///
/// Of a candidate stubs are left (place in the log, time, contact id), and recruiters' clients are told. Of a company
/// nothing is left but its id, which is not used again; its ClientNumbers must be deleted first. Backups are not touched.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// The company.
    #[arg(long)]
    company: CompanyId,
    /// The candidate, by the contact id that recruiters' clients show.
    #[arg(long, group = "what")]
    contact: Option<String>,
    /// The candidate, by Meta's user id (BSUID).
    #[arg(long, group = "what")]
    user_id: Option<String>,
    /// The candidate, by phone number with country code.
    #[arg(long, group = "what", value_parser = digits)]
    phone: Option<String>,
    /// All data of the company.
    #[arg(long, group = "what")]
    whole_company: bool,
    /// Don't ask: for scripts.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

fn digits(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.len() < 5 || digits.len() > 15 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err("write it with its country code and digits only, as in +212612345678".into());
    }
    Ok(digits.to_owned())
}

/// Asks, and erases.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args { company, contact, user_id, phone, whole_company, yes, keys, store } = args;
    confirm::possible(yes, "look at what clientnumber export has of it")?;
    let (uri, keys) = (store.required()?, keys.optional()?);
    let whom = match (contact, user_id, phone) {
        (Some(id), _, _) => Some(Whom::Contact(id)),
        (_, Some(id), _) => Some(Whom::User(Pii(id))),
        (_, _, Some(id)) => Some(Whom::Phone(Pii(id))),
        _ => None,
    };
    block_on(async move {
        let options = StoreOptions { app_name: "clientnumber erase".into(), ..StoreOptions::default() };
        let store = Store::connect(&uri, options).await?;
        match whom.filter(|_| !whole_company) {
            Some(whom) => one(store, &company, &whom, keys, yes).await,
            None => all(store, &company, yes).await,
        }
    })
}

async fn one(
    store: Store,
    company: &CompanyId,
    whom: &Whom,
    keys: Option<QuarantineKeys>,
    yes: bool,
) -> anyhow::Result<()> {
    let Some(db) = store.companies().open(company).await? else {
        bail!("there is no company {company}: is the id right?")
    };
    let erasure = db.erasure(Arc::new(SystemClock));
    let quarantine = keys.map(|keys| store.quarantine(keys));
    let found = match erasure.find(whom).await {
        Err(EraseError::Nobody) => {
            // Who wrote to a line of the company and waits in quarantine only, or is left there by an earlier run.
            let given = whom.identifiers();
            if let Some(quarantine) = quarantine.as_ref().filter(|_| !given.is_empty()) {
                let lines = closing::lines_of(&store, &db).await?;
                let found = forget(quarantine, &lines, &given).await?;
                erasure.keep_out(&found.theirs).await?;
                tell_quarantine(found);
            }
            return Err(EraseError::Nobody.into());
        }
        found => found?,
    };
    let question = format!(
        "{} items of contact {} of company {company} are erased for ever: messages, statuses, names and ids.\n\
         Recruiters' clients are told to remove them. Backups, exports and what a client copied are not touched.",
        found.items,
        found.contact_ids.join(", "),
    );
    if !confirm::ask(yes, &question, company.as_str())? {
        bail!("nothing was changed");
    }
    let lines = closing::lines_of(&store, &db).await?;
    let mut quarantined = Forgotten::default();
    if let Some(quarantine) = &quarantine {
        // Before the first stub: killed after it, another run would not know what to look for.
        let identifiers = &erasure.identifiers(&found).await? | &whom.identifiers();
        quarantined = forget(quarantine, &lines, &identifiers).await?;
    }
    let done = erasure.erase(&found, &quarantined.theirs).await?;
    println!(
        "erased: {} items of the contact, {} events that named it; clients are told by item {}",
        done.items, done.events, done.told_at
    );
    match &quarantine {
        None => println!(
            "the quarantine was not searched, since no --quarantine-key was given: what it holds may come into the log by itself, \
             and is gone in seven days at the latest; run this again with the key, by --user-id or --phone"
        ),
        Some(quarantine) => {
            // What came meanwhile.
            let late = forget(quarantine, &lines, &(&done.identifiers | &whom.identifiers())).await?;
            if !late.theirs.is_subset(&quarantined.theirs) {
                erasure.erase(&found, &late.theirs).await?;
            }
            let theirs = &quarantined.theirs | &late.theirs;
            tell_quarantine(Forgotten { removed: quarantined.removed + late.removed, mixed: late.mixed, theirs });
        }
    }
    Ok(())
}

fn tell_quarantine(found: Forgotten) {
    println!(
        "removed from quarantine: {} changes; {} that also speak of others, or can't be taken apart, stay until they are seven days old \
         (the candidate's items in all of them don't come back: {})",
        found.removed,
        found.mixed,
        found.theirs.len()
    );
}

async fn all(store: Store, company: &CompanyId, yes: bool) -> anyhow::Result<()> {
    let clock: SharedClock = Arc::new(SystemClock);
    let closing = Closing::of(store, company, clock, Waits::default()).await?;
    let extent = closing.extent().await?;
    let question = format!(
        "All data of company {company} is erased for ever: {} entries of its log, its contacts, states and cursors.\n\
         Its recruiters are disconnected, and the company id {company} can't be used again. Backups are not touched.{}",
        extent.entries,
        if extent.erased { "\nAn earlier erasure was cut short: it is brought to its end." } else { "" },
    );
    if !confirm::ask(yes, &question, company.as_str())? {
        bail!("nothing was changed");
    }
    closing
        .run(|step| match step {
            Step::Closed(wait) => {
                println!("closed: nothing is written any more; waiting {} s for what was on its way", wait.as_secs())
            }
            Step::Marked(wait) => println!("marked as erased: recruiters are sent away; waiting {} s", wait.as_secs()),
            Step::Quarantine(count) => println!("removed from quarantine: {count} changes"),
            Step::Dropped => println!("dropped: nothing is left"),
        })
        .await?;
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

    fn parsed(args: &[&str]) -> Result<Args, clap::Error> {
        let all = ["x", "--company=atlas"].into_iter().chain(args.iter().copied());
        Line::try_parse_from(all).map(|line| line.args)
    }

    #[test]
    fn exactly_one_thing_is_erased() {
        for good in ["--contact=c1", "--user-id=MA.1", "--phone=+212612345678", "--whole-company"] {
            assert!(parsed(&[good]).is_ok(), "{good}");
        }
        for bad in [
            &[][..],
            &["--contact=c1", "--whole-company"],
            &["--contact=c1", "--phone=212612345678"],
            &["--phone=06 12 34 56 78"],
            &["--phone=+"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parsed(&["--phone=+212612345678"]).unwrap().phone.as_deref(), Some("212612345678"));
    }
}
