//! What a sandbox tells of the codes that were caught from it: when each transcript was there, when its code was handed
//! in, and when the lists of calls, recordings and transcriptions were asked for. Pure.
//!
//! Witnesses are the sandbox's journal, which notes a call when it arrives, and its recordings. Must never take a code
//! that was read by another way than its transcript for one that came in time.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

/// The lists that a listener may ask for, counted together.
const LISTS: [&str; 3] = ["telnyx.list_call_events", "telnyx.list_recordings", "telnyx.list_transcriptions"];

/// Between sending and arriving, of two calls that follow each other: what the machine may take from a gap.
pub const MACHINE: f64 = 0.1;

/// One number of an account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caught {
    pub number: String,
    /// When each of its transcriptions was completed.
    pub completed: Vec<Timestamp>,
    /// When Meta was asked for a code.
    pub asked: Vec<Timestamp>,
    /// When a code was handed in.
    pub handed: Vec<Timestamp>,
}

/// One account, which a sandbox has played.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    pub caught: Vec<Caught>,
    /// When a list of [`LISTS`] was asked for.
    pub lists: Vec<Timestamp>,
    /// When transcriptions were.
    pub transcriptions: Vec<Timestamp>,
    /// How often speech-to-text was asked.
    pub speech_to_text: usize,
}

fn at(value: &Value, field: &str) -> Result<Timestamp> {
    value[field].as_str().with_context(|| format!("no {field} in {value}"))?.parse().context(field.to_owned())
}

/// From what `GET /journal`, `/recordings` and `/numbers` list.
pub fn account(journal: &[Value], recordings: &[Value], numbers: &[Value]) -> Result<Account> {
    let calls = |operations: &[&str]| -> Result<Vec<Timestamp>> {
        let mine = |e: &&Value| e["operation"].as_str().is_some_and(|name| operations.contains(&name));
        journal.iter().filter(mine).map(|entry| at(entry, "time")).collect()
    };
    let mut caught = Vec::new();
    for number in numbers.iter().filter(|n| n["meta"]["id"].is_string()) {
        let digits = number["phone_number"].as_str().context("no number")?;
        let id = number["meta"]["id"].as_str().unwrap_or_default();
        let of = |operation: &str| -> Result<Vec<Timestamp>> {
            let mine = |e: &&Value| {
                e["operation"] == operation
                    && e["path"].as_str().is_some_and(|path| path.split('/').any(|part| part == id))
            };
            journal.iter().filter(mine).map(|entry| at(entry, "time")).collect()
        };
        let made = recordings.iter().filter(|r| r["to"] == digits && r["transcription"].is_object());
        caught.push(Caught {
            number: digits.to_owned(),
            completed: made.map(|r| at(&r["transcription"], "completes")).collect::<Result<_>>()?,
            asked: of("meta.request_code")?,
            handed: of("meta.verify_code")?,
        });
    }
    Ok(Account {
        caught,
        lists: calls(&LISTS)?,
        transcriptions: calls(&["telnyx.list_transcriptions"])?,
        speech_to_text: calls(&["telnyx.speech_to_text"])?.len(),
    })
}

impl Caught {
    /// Seconds from the transcript's appearance until its code was handed in; None: it was read by another way before.
    pub fn took(&self) -> Option<f64> {
        let took = self.handed.first()?.duration_since(*self.completed.first()?).as_secs_f64();
        (took >= 0.0).then_some(took)
    }
}

impl Account {
    /// Of that time what came after the last list before the code was handed in was asked for: an answer of Telnyx's and
    /// our own work.
    pub fn after_the_list(&self, caught: &Caught) -> Option<f64> {
        let handed = *caught.handed.first()?;
        let list = self.transcriptions.iter().filter(|at| **at <= handed).max()?;
        Some(handed.duration_since(*list).as_secs_f64())
    }

    /// Seconds between two list calls that follow each other.
    pub fn gaps(&self) -> Vec<f64> {
        let mut lists = self.lists.clone();
        lists.sort();
        lists.windows(2).map(|two| two[1].duration_since(two[0]).as_secs_f64()).collect()
    }

    /// What is wrong with an account on which `lines` numbers were to be caught, when list calls are to be `gap` seconds
    /// apart.
    pub fn wrong(&self, lines: usize, gap: f64) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.caught.len() != lines {
            wrong.push(format!("{} numbers at Meta instead of {lines}", self.caught.len()));
        }
        for one in &self.caught {
            let (asked, handed) = (one.asked.len(), one.handed.len());
            if asked != 1 || handed != 1 {
                wrong.push(format!("{asked} codes asked for and {handed} handed in"));
            }
        }
        let close: Vec<f64> = self.gaps().into_iter().filter(|seconds| *seconds < gap - MACHINE).collect();
        if let Some(least) = close.iter().copied().min_by(f64::total_cmp) {
            let (count, all) = (close.len(), self.lists.len());
            wrong.push(format!("{count} of {all} list calls came too early, one {least:.3} s after another"));
        }
        wrong
    }
}

/// Many measurements.
#[derive(Debug, Clone, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn of(mut all: Vec<f64>) -> Spread {
        all.sort_by(f64::total_cmp);
        Spread(all)
    }

    /// So many percent are not above it; 0 of none.
    pub fn at(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(place).or(self.0.last()).copied().unwrap_or_default()
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In one line.
    pub fn told(&self) -> String {
        let [half, ninety, p95, p99, most] = [50, 90, 95, 99, 100].map(|percent| self.at(percent));
        format!("half {half:.2}, 90 % {ninety:.2}, 95 % {p95:.2}, 99 % {p99:.2}, most {most:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told() -> (Vec<Value>, Vec<Value>, Vec<Value>) {
        let call = |operation: &str, path: &str, second: &str| json!({"operation": operation, "path": path, "time": format!("2026-11-01T10:00:{second}Z")});
        let journal = vec![
            call("telnyx.list_recordings", "/v2/recordings", "01"),
            call("meta.request_code", "/v25.0/7/request_code", "02"),
            call("meta.request_code", "/v25.0/77/request_code", "02"),
            call("telnyx.list_call_events", "/v2/call_events", "04"),
            call("telnyx.list_detail_records", "/v2/detail_records", "05"),
            call("telnyx.list_transcriptions", "/v2/recording_transcriptions", "07.5"),
            call("meta.verify_code", "/v25.0/7/verify_code", "08"),
        ];
        let recordings = vec![
            json!({"to": "+2121", "transcription": {"completes": "2026-11-01T10:00:06Z"}}),
            json!({"to": "+2121", "transcription": null}),
            json!({"to": "+2122", "transcription": {"completes": "2026-11-01T10:00:01Z"}}),
        ];
        let numbers =
            vec![json!({"phone_number": "+2121", "meta": {"id": "7"}}), json!({"phone_number": "+2123", "meta": null})];
        (journal, recordings, numbers)
    }

    #[test]
    fn an_account_is_read_from_what_the_sandbox_tells() {
        let (journal, recordings, numbers) = told();
        let account = account(&journal, &recordings, &numbers).unwrap();
        assert_eq!(account.caught.len(), 1, "{account:?}");
        assert_eq!((account.caught[0].took(), account.lists.len()), (Some(2.0), 3));
        assert_eq!(account.after_the_list(&account.caught[0]), Some(0.5));
        assert_eq!(account.gaps(), [3.0, 3.5]);
        assert_eq!(account.wrong(1, 3.0), [""; 0]);
    }

    #[test]
    fn what_is_too_much_is_seen() {
        let (mut journal, recordings, numbers) = told();
        journal.push(journal[1].clone());
        journal.push(json!({"operation": "telnyx.list_recordings", "path": "/v2/recordings",
            "time": "2026-11-01T10:00:06.8Z"}));
        let account = account(&journal, &recordings, &numbers).unwrap();
        let wrong = account.wrong(2, 3.0);
        for expected in
            ["1 numbers at Meta", "2 codes asked for and 1 handed in", "2 of 4 list calls came too early, one 0.7"]
        {
            assert!(wrong.iter().any(|fault| fault.contains(expected)), "{expected}: {wrong:?}");
        }
    }

    #[test]
    fn percentiles() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!([1, 50, 95, 100].map(|p| spread.at(p)), [2.0, 100.0, 190.0, 200.0]);
        assert_eq!((Spread::of(vec![3.0]).at(95), Spread::default().at(95)), (3.0, 0.0));
    }
}
