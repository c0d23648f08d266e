//! `clientnumber export`: a company's items and contacts, or one candidate's, as lines of JSON.
//!
//! A line that says what it is of, items in the order of their seq, contacts in the order of their ids, and a line that says
//! that it is complete.
//! Page by page, so memory does not grow with the company. Into a file it goes on where an earlier run was cut: a last
//! line without its end is written anew. Readable by its owner only.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::export_lines::{self, Begun, Place};
use super::settings::StoreArgs;
use super::{Failure, block_on};
use crate::domain::CompanyId;
use crate::store::{Log, Page, Seq, Store, StoreError, StoreOptions};

/// Read at once.
const ITEMS: usize = 500;
const BYTES: usize = 4_000_000;
/// The first line is shorter.
const FIRST_LINE: u64 = 4096;

/// Writes a company's data, or one candidate's, as lines of JSON.
///
/// The first line is {"record":"export"} with what it is of, the last one {"record":"end"}: without it the export is not
/// complete. With --output the same command goes on where it was cut.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The company.
    #[arg(long)]
    company: CompanyId,
    /// One candidate only, by the contact id that recruiters' clients show.
    #[arg(long)]
    contact: Option<String>,
    /// The file; left out: standard output.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Only items after this seq.
    #[arg(long, default_value_t = 0, conflicts_with = "output")]
    after: Seq,
    #[command(flatten)]
    store: StoreArgs,
}

/// Exports.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args { company, contact, output, after, store } = args;
    let uri = store.required()?;
    block_on(async move {
        let options = StoreOptions { app_name: "clientnumber export".into(), ..StoreOptions::default() };
        let store = Store::connect(&uri, options).await?;
        let Some(db) = store.companies().open(&company).await? else {
            bail!("there is no company {company}: is the id right?")
        };
        let now = Begun { company, contact, items_to: db.log().head().await? };
        match output {
            None => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(export_lines::begun(&now)?.as_bytes())?;
                write(&db.log(), &now, Place::Items(after), &mut stdout).await
            }
            Some(path) => {
                let (mut file, found) =
                    open(&path, &now).with_context(|| format!("{} can't be used", path.display()))?;
                let (of, place) = match found {
                    Some((_, Place::End)) => {
                        bail!("{} is complete: give another file for a new export", path.display());
                    }
                    Some(found) => found,
                    None => {
                        file.write_all(export_lines::begun(&now)?.as_bytes())?;
                        (now, Place::Items(0))
                    }
                };
                write(&db.log(), &of, place, &mut file).await?;
                file.sync_all()?;
                Ok(())
            }
        }
    })
}

/// Writes what follows `place`.
async fn write(log: &Log, of: &Begun, place: Place, into: &mut impl Write) -> anyhow::Result<()> {
    let one = match &of.contact {
        None => None,
        Some(id) => Some(log.contact(id).await?.context("the company's log knows no contact with that id")?),
    };
    let ids: Option<Vec<String>> = one.as_ref().map(|one| [vec![one.id.clone()], one.merged.clone()].concat());
    let head = of.items_to;
    let mut contact_id = String::new();
    match place {
        Place::Items(mut after) => loop {
            let page = read(log, ids.as_deref(), after).await?;
            let mut lines = String::new();
            for entry in page.entries.iter().take_while(|entry| entry.seq <= head) {
                lines += &export_lines::item(entry)?;
            }
            into.write_all(lines.as_bytes())?;
            into.flush()?;
            match page.entries.last() {
                Some(last) if page.more && last.seq < head => after = last.seq,
                _ => break,
            }
        },
        Place::Contacts(id) => contact_id = id,
        Place::End => return Ok(()),
    }
    match one {
        Some(one) if contact_id.is_empty() => into.write_all(export_lines::contact(&one)?.as_bytes())?,
        Some(_) => {}
        None => {
            while let Some(record) = log.contact_after(&contact_id).await? {
                into.write_all(export_lines::contact(&record)?.as_bytes())?;
                contact_id = record.id;
            }
        }
    }
    into.write_all(export_lines::end(head)?.as_bytes())?;
    into.flush()?;
    Ok(())
}

async fn read(log: &Log, ids: Option<&[String]>, after: Seq) -> Result<Page, StoreError> {
    match ids {
        None => log.read_after(after, ITEMS, BYTES).await,
        Some(ids) => log.read_contact_after(ids, after, ITEMS, BYTES).await,
    }
}

/// Opens the file for going on, without what was cut in the middle of a line: what it is of, and where it stands; None: it is
/// new. Nothing of it is touched when it is of something else than is wanted `now`.
fn open(path: &Path, now: &Begun) -> anyhow::Result<(File, Option<(Begun, Place)>)> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let (whole, last) = last_line(&mut file)?;
    let found = match last {
        None if !begins_one(&mut file)? => bail!("it is no export: it begins with something else"),
        None => None,
        Some(line) => {
            file.seek(SeekFrom::Start(0))?;
            let mut first = String::new();
            BufReader::new(&file).take(FIRST_LINE).read_line(&mut first)?;
            let of = export_lines::read_begun(&first).context("it is no export: it begins with something else")?;
            if (&of.company, &of.contact) != (&now.company, &now.contact) {
                bail!("it is of something else, of company {}: give another file", of.company);
            }
            let place = export_lines::place(&line).context("it is no export: its last line is something else")?;
            Some((of, place))
        }
    };
    // One that was there before may be open to others.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.set_len(whole)?;
    file.seek(SeekFrom::End(0))?;
    Ok((file, found))
}

/// Is it empty, or cut in its first line?
fn begins_one(file: &mut File) -> std::io::Result<bool> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(10).read_to_end(&mut start)?;
    Ok(b"{\"record\":".starts_with(&start))
}

/// How much of it is whole lines, and the last of them. Read from the end, in blocks.
fn last_line(file: &mut File) -> std::io::Result<(u64, Option<String>)> {
    const BLOCK: u64 = 64 * 1024;
    let mut start = file.metadata()?.len();
    let mut tail: Vec<u8> = Vec::new();
    loop {
        let mut ends = tail.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let (last, before) = (ends.next(), ends.next());
        if let (Some(last), true) = (last, before.is_some() || start == 0) {
            let line = &tail[before.map_or(0, |at| at + 1)..last];
            let whole = start + u64::try_from(last + 1).unwrap_or(u64::MAX);
            return Ok((whole, Some(String::from_utf8_lossy(line).into_owned())));
        }
        if start == 0 {
            return Ok((0, None));
        }
        let size = start.min(BLOCK);
        start -= size;
        file.seek(SeekFrom::Start(start))?;
        let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact(&mut block)?;
        block.extend(tail);
        tail = block;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(company: &str) -> Begun {
        Begun { company: CompanyId::parse(company).unwrap(), contact: None, items_to: 7 }
    }

    #[test]
    fn the_last_whole_line() {
        let path = std::env::temp_dir().join(format!("export-{}", std::process::id()));
        let long = "x".repeat(200_000);
        for (text, whole, last) in [
            (String::new(), 0, None),
            ("cut".to_owned(), 0, None),
            ("one\n".to_owned(), 4, Some("one".to_owned())),
            ("one\ntwo\ncut".to_owned(), 8, Some("two".to_owned())),
            (format!("one\n{long}\n"), 200_005, Some(long.clone())),
            (format!("{long}\ntwo\n{long}"), 200_005, Some("two".to_owned())),
        ] {
            std::fs::write(&path, &text).unwrap();
            let mut file = File::open(&path).unwrap();
            assert_eq!(last_line(&mut file).unwrap(), (whole, last));
        }
        // What is no export is not touched.
        for mine in ["a page of mine\nand more", "a page of mine"] {
            std::fs::write(&path, mine).unwrap();
            assert!(open(&path, &of("atlas")).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), mine);
        }
        std::fs::write(&path, "{\"record\":\"export\",\"com").unwrap();
        assert_eq!(open(&path, &of("atlas")).unwrap().1, None);
        let cut = export_lines::begun(&of("atlas")).unwrap() + "{\"record\":\"item\",\"se";
        std::fs::write(&path, &cut).unwrap();
        assert!(open(&path, &of("rif")).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), cut);
        assert_eq!(open(&path, &of("atlas")).unwrap().1, Some((of("atlas"), Place::Items(0))));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_its_owner_reads_it() {
        let path = std::env::temp_dir().join(format!("export-mode-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(open(&path, &of("atlas")).unwrap().1, None);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
    }
}
