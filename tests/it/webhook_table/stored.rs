//! The rows against a real router and a real store: one of each for all rows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use clientnumber::router::signature::{HEADER, sign};
use clientnumber::store::{AccountEvents, CompanyDb, LogEntry};
use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::Collection;
use mongodb::bson::{Document, doc};

use super::{ACCOUNT, AccountField, Entry, LINES, Outcome, Person, compare, meta_id, none, plain, rows, split_alone};
use crate::store::bed::Bed;
use crate::webhook::{Router, SECRET, sold};

/// A company's log as the runner has read it.
struct Reader {
    db: CompanyDb,
    seq: i64,
    /// Meta's id of each message, by our id of it.
    messages: BTreeMap<String, String>,
}

impl Reader {
    /// What is new in the log, and its texts. Ids of ours are told as Meta's.
    async fn news(&mut self) -> Result<(Vec<Entry>, Vec<String>)> {
        let news = self.db.log().read_after(self.seq, 1000, usize::MAX).await?.entries;
        let (mut entries, mut texts) = (Vec::new(), Vec::new());
        for entry in news {
            ensure!(entry.seq == self.seq + 1, "a gap at {}", entry.seq);
            self.seq = entry.seq;
            texts.push(plain(entry.raw.as_ref()).context("an entry without a text")?);
            entries.push(self.told(&entry)?);
        }
        Ok((entries, texts))
    }

    fn told(&mut self, entry: &LogEntry) -> Result<Entry> {
        let (kind, raw) = (entry.kind.as_str(), plain(entry.raw.as_ref()).unwrap_or_default());
        let id = plain(entry.meta_id.as_ref()).context("an entry without an id")?;
        ensure!(entry.contact_id.is_some() == entry.contact.is_some(), "{id}: half a contact");
        if kind == "message" {
            let ours = entry.message_id.clone().context("a message without an id of ours")?;
            ensure!(self.messages.insert(ours, id.clone()).is_none(), "{id}: two messages have one id of ours");
        }
        let known = |ours: &Option<String>| ours.as_ref().and_then(|ours| self.messages.get(ours)).cloned();
        Ok(Entry {
            kind: kind.to_owned(),
            kind_of_message: entry.kind_of_message.clone(),
            status: entry.status.clone(),
            meta_id: meta_id(&id, kind, entry.field.as_ref(), &raw),
            about: if kind == "status" { known(&entry.message_id) } else { None },
            reply_to: known(&entry.reply_to),
            refers_to: known(&entry.refers_to),
            timestamp: entry.timestamp,
            field: entry.field.clone(),
            contact: entry.contact.as_ref().map(|contact| Person {
                user_id: plain(contact.user_id.as_ref()),
                wa_id: plain(contact.wa_id.as_ref()),
                name: plain(contact.name.as_ref()),
                username: plain(contact.username.as_ref()),
            }),
            or_contact: None,
        })
    }

    /// Leaves of the messages that a row's entries speak of those that the log knows: which came before.
    fn keep_known(&self, expected: &mut [Entry]) {
        let mut known: BTreeSet<String> = self.messages.values().cloned().collect();
        for entry in expected {
            for id in [&mut entry.about, &mut entry.reply_to, &mut entry.refers_to] {
                *id = id.take().filter(|id| known.contains(id));
            }
            if entry.kind == "message" {
                known.insert(entry.meta_id.clone());
            }
        }
    }
}

/// What is kept outside the companies' databases, as far as the runner has seen it.
struct Platform {
    events: AccountEvents,
    records: Collection<Document>,
    seen: BTreeSet<String>,
}

impl Platform {
    async fn of(bed: &Bed) -> Result<Self> {
        let records = bed.mongo.client().await?.database("clientnumber").collection("quarantine");
        Ok(Self { events: bed.store.account_events(), records, seen: BTreeSet::new() })
    }

    /// The account's fields, sorted, and the quarantine's reasons, in the order of the changes, that are new.
    async fn news(&mut self) -> Result<(Vec<AccountField>, Vec<String>)> {
        let (mut account, mut quarantine) = (Vec::new(), Vec::new());
        for event in self.events.since(ACCOUNT, Timestamp::UNIX_EPOCH, 10_000).await? {
            if self.seen.insert(event.id) {
                account.push(AccountField { field: event.field, time: event.time });
            }
        }
        let records: Vec<Document> = self.records.find(doc! {}).await?.try_collect().await?;
        for record in records {
            if self.seen.insert(record.get_str("_id")?.to_owned()) {
                quarantine.push((record.get_i64("place")?, record.get_str("reason")?.to_owned()));
            }
        }
        account.sort();
        quarantine.sort();
        Ok((account, quarantine.into_iter().map(|(_, reason)| reason).collect()))
    }
}

/// Who posts, with one client for all rows.
struct Meta {
    client: reqwest::Client,
    url: String,
}

impl Meta {
    async fn post(&self, body: &str) -> Result<u16> {
        let signature = sign(&SECRET.into(), body.as_bytes());
        let answer = self.client.post(&self.url).header(HEADER, signature).body(body.to_owned()).send().await?;
        Ok(answer.status().as_u16())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_with_a_store() -> Result<()> {
    let bed = Bed::start("webhook-table").await?;
    let mut readers = BTreeMap::new();
    for (line, company) in LINES {
        let db = sold(&bed, company, line).await?;
        // Behind the fence.
        let seq = db.log().head().await?;
        readers.insert(company, Reader { db, seq, messages: BTreeMap::new() });
    }
    let router = Router::start(&bed.mongo).await?;
    let meta = Meta { client: reqwest::Client::new(), url: format!("{}/webhook", router.url) };
    let mut platform = Platform::of(&bed).await?;
    let (rows, mut failures) = (rows()?, Vec::new());
    for row in &rows {
        let mut expected = row.expected_now();
        expected.account.sort();
        for (company, entries) in &mut expected.entries {
            readers.get(company.as_str()).context("a row's company is not sold")?.keep_known(entries);
        }
        let status = meta.post(&row.body).await?;
        let (account, quarantine) = platform.news().await?;
        let mut got = Outcome { status, entries: BTreeMap::new(), account, quarantine };
        let mut texts = BTreeMap::new();
        for (company, reader) in &mut readers {
            let (entries, raw) = reader.news().await.with_context(|| row.name.clone())?;
            if !entries.is_empty() {
                got.entries.insert((*company).to_owned(), entries);
                texts.insert((*company).to_owned(), raw);
            }
        }
        compare(&row.name, expected, &got, &mut failures);
        if !row.late && texts != split_alone(&row.body).1 {
            failures.push(format!("{}: a text is not as it was sent", row.name));
        }

        // Sent again, as Meta does: the same answer, and nothing more anywhere.
        let again = meta.post(&row.body).await?;
        let mut same = again == row.status && platform.news().await? == (Vec::new(), Vec::new());
        for reader in readers.values_mut() {
            same &= reader.news().await?.0.is_empty();
        }
        if !same {
            failures.push(format!("{}: sent again it changed something, or was answered with {again}", row.name));
        }
    }
    none(&failures, rows.len())
}
