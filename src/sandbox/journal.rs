//! What was asked of the sandbox, in order: the evidence for tests that count calls and for those that hold every call
//! against the providers' contracts.
//!
//! With `--journal FILE` each call becomes two lines there, one when it arrives and one when it ends, so that a sandbox
//! that is killed loses at most the line it was writing. What of a call may be kept decides `kept`.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::http::Response;
use super::kept;

const KEPT: usize = 50_000;

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counts from 1.
    pub n: u64,
    /// When it arrived.
    pub time: Timestamp,
    /// `telnyx`, `meta` or `sandbox` (calls and webhooks that the sandbox makes itself).
    pub provider: &'static str,
    /// Operation name, for example `telnyx.create_number_order`.
    pub operation: String,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without secrets; a name that was given several times has a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// Request headers that a contract speaks of, without secrets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Status of the answer; null while it runs, or when the connection was closed without one.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<String>,
    /// Request body without secrets.
    pub body: Value,
    /// How the call ended.
    #[serde(flatten)]
    pub ended: Ended,
}

/// How a call ended.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ended {
    /// The answer is a fault's and none of the provider's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub planted: bool,
    /// The answer's headers; shown with `?full=1`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub response_headers: BTreeMap<String, String>,
    /// Answer without secrets; shown with `?full=1`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub response: Value,
}

impl Ended {
    /// An answer over HTTP.
    pub fn answered(response: &Response, planted: bool) -> Self {
        let mut headers: BTreeMap<String, String> =
            response.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        headers.insert("content-type".to_owned(), response.content_type.clone());
        let response = kept::answer(&response.content_type, &response.body);
        Self { planted, response_headers: headers, response }
    }
}

/// The calls so far.
#[derive(Default)]
pub struct Journal {
    next: u64,
    entries: VecDeque<Entry>,
    file: Option<std::fs::File>,
}

impl Journal {
    /// From now on each call is appended to this file too.
    pub fn write_to(&mut self, file: std::fs::File) {
        self.file = Some(file);
    }

    /// Notes a call that arrives; returns its number.
    pub fn begin(&mut self, mut entry: Entry) -> u64 {
        self.next += 1;
        entry.n = self.next;
        self.append(&json!({"n": entry.n, "began": entry}));
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.next
    }

    /// Notes how the call ended.
    pub fn end(&mut self, n: u64, status: Option<u16>, ended: Ended) {
        self.append(&json!({"n": n, "status": status, "ended": ended}));
        let Some(first) = self.entries.front().map(|entry| entry.n) else { return };
        let place = n.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            entry.status = status;
            entry.ended = ended;
        }
    }

    /// One write for each line: what the kernel has taken survives this process.
    fn append(&mut self, line: &Value) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            tracing::error!(%error, "the journal can't be written and ends here: free space, then start the sandbox anew");
            self.file = None;
        }
    }

    /// Calls after number `after`, of one operation if named (a trailing `*` matches all that begin so).
    pub fn list(&self, after: u64, operation: Option<&str>, full: bool) -> Vec<Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.n > after)
            .filter(|entry| match operation {
                Some(name) => match name.strip_suffix('*') {
                    Some(prefix) => entry.operation.starts_with(prefix),
                    None => entry.operation == name,
                },
                None => true,
            })
            .map(|entry| {
                let mut entry = entry.clone();
                if !full {
                    entry.ended = Ended { planted: entry.ended.planted, ..Ended::default() };
                }
                entry
            })
            .collect()
    }

    /// Number of the newest call.
    pub fn last(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_the_file_before_it_ends() {
        use std::io::{Read as _, Seek as _};
        let mut file = tempfile();
        let mut journal = Journal::default();
        journal.write_to(file.try_clone().expect("a second handle"));
        let n = journal.begin(Entry {
            n: 0,
            time: Timestamp::UNIX_EPOCH,
            provider: "meta",
            operation: "meta.get_number".to_owned(),
            method: "GET".to_owned(),
            path: "/v25.0/1".to_owned(),
            query: None,
            headers: BTreeMap::new(),
            status: None,
            fault: None,
            body: Value::Null,
            ended: Ended::default(),
        });
        let mut read = || {
            let mut text = String::new();
            file.rewind().expect("rewinds");
            file.read_to_string(&mut text).expect("reads");
            text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect::<Vec<Value>>()
        };
        assert_eq!(read().len(), 1);
        journal.end(n, Some(200), Ended { response: json!({"id": "1"}), ..Ended::default() });
        let lines = read();
        assert_eq!((&lines[0]["began"]["path"], &lines[1]["n"]), (&json!("/v25.0/1"), &json!(1)));
        assert_eq!((&lines[1]["status"], &lines[1]["ended"]["response"]), (&json!(200), &json!({"id": "1"})));
    }

    /// A file without a name.
    fn tempfile() -> std::fs::File {
        let path = std::env::temp_dir().join(format!("clientnumber-journal-{}", std::process::id()));
        let file = std::fs::OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path);
        let _ = std::fs::remove_file(&path);
        file.expect("a temporary file")
    }
}
