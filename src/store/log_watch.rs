//! One change stream over all companies' logs, projected on the server to namespace and `_id`: it says which log grew,
//! never what was written. Readers then read from the log itself.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;

use super::error::StoreError;
use super::log_entry::Seq;

/// A log grew to at least this entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogNews {
    /// The company's database, as [`super::CompanyDb::name`] says it.
    pub database: String,
    /// The entry that was written.
    pub seq: Seq,
}

/// The change stream over all logs.
pub struct LogWatch {
    stream: ChangeStream<ChangeStreamEvent<Document>>,
}

impl LogWatch {
    pub(super) async fn open(client: &Client) -> Result<Self, StoreError> {
        // Both stages leave `_id`, `operationType` and `ns`, which the driver needs to resume.
        let pipeline = [
            doc! { "$match": { "ns.coll": "log", "operationType": "insert" } },
            doc! { "$project": { "_id": 1, "operationType": 1, "ns": 1, "documentKey": 1 } },
        ];
        let stream = client
            .watch()
            .pipeline(pipeline)
            .max_await_time(Duration::from_secs(1))
            .await
            .map_err(|e| StoreError::from_driver("a change stream on the logs", e))?;
        Ok(Self { stream })
    }

    /// The next piece of news; None when the server answered within about a second that there is none. After an error
    /// open a new one and ask each log for its head: news may have been missed.
    pub async fn next(&mut self) -> Result<Option<LogNews>, StoreError> {
        loop {
            if !self.stream.is_alive() {
                return Err(StoreError::Away("the change stream on the logs ended".into()));
            }
            let event = self
                .stream
                .next_if_any()
                .await
                .map_err(|e| StoreError::from_driver("a change stream on the logs", e))?;
            let Some(event) = event else { return Ok(None) };
            let seq = event.document_key.as_ref().and_then(|key| key.get_i64("_id").ok());
            if let (Some(ns), Some(seq)) = (event.ns, seq) {
                return Ok(Some(LogNews { database: ns.db, seq }));
            }
        }
    }
}
