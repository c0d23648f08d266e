//! Which recordings may hold the code that was asked for.
//!
//! Decides by ids, never by clocks: a recording counts when its id was not in the carrier's list before request_code.
//! The carrier's clock and ours may differ by more than a call lasts, and the code of an older call must never be read.

use jiff::Timestamp;

use crate::domain::E164;

/// What matters of one recording in the carrier's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFacts {
    /// The carrier's id of the recording.
    pub id: String,
    /// The called number as the carrier writes it; with or without the plus sign (Telnyx's examples show both).
    pub to: String,
    /// When the carrier made the entry; orders the candidates among themselves, nothing else.
    pub created_at: Timestamp,
}

/// The ids of the recordings of calls to `number` that were not there before the code was asked for, newest first. An id
/// that the list holds twice is answered once.
pub fn candidates(recordings: &[RecordingFacts], number: &E164, known_ids: &[String]) -> Vec<String> {
    let mut new: Vec<&RecordingFacts> = recordings
        .iter()
        .filter(|r| !r.id.is_empty() && !known_ids.contains(&r.id))
        .filter(|r| E164::parse_loose(&r.to).is_ok_and(|to| to == *number))
        .collect();
    new.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    let mut ids: Vec<String> = Vec::with_capacity(new.len());
    for recording in new {
        if !ids.contains(&recording.id) {
            ids.push(recording.id.clone());
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(id: &str, to: &str, second: i64) -> RecordingFacts {
        RecordingFacts { id: id.into(), to: to.into(), created_at: Timestamp::from_second(second).unwrap() }
    }

    fn ids(recordings: &[RecordingFacts], known: &[&str]) -> Vec<String> {
        let known: Vec<String> = known.iter().map(|k| (*k).to_owned()).collect();
        candidates(recordings, &E164::parse("+212612345678").unwrap(), &known)
    }

    #[test]
    fn only_new_recordings_of_this_number_count() {
        let list = [
            recording("old", "+212612345678", 100),
            recording("other", "+212612345679", 200),
            recording("new", "212612345678", 300),
            recording("spaced", "+212 612-345678", 301),
            recording("odd", "sip:someone@example.ma", 302),
            recording("", "+212612345678", 303),
        ];
        assert_eq!(ids(&list, &["old"]), ["spaced", "new"]);
        assert_eq!(ids(&[], &["old"]), Vec::<String>::new());
    }

    #[test]
    fn clocks_decide_nothing() {
        // The carrier's clock is an hour behind and another entry lies in the future: both are judged by their ids.
        let list = [recording("new", "+212612345678", 10), recording("old", "+212612345678", 9_999_999)];
        assert_eq!(ids(&list, &["old"]), ["new"]);
        assert_eq!(ids(&list, &["old", "new"]), Vec::<String>::new());
    }

    #[test]
    fn an_id_that_is_listed_twice_counts_once() {
        let list = [
            recording("a", "+212612345678", 1),
            recording("b", "+212612345678", 1),
            recording("a", "+212612345678", 5),
        ];
        assert_eq!(ids(&list, &[]), ["a", "b"]);
    }
}
