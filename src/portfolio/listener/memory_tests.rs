//! What a list tells, whom it wakes, and what is forgotten.

use super::*;
use serde_json::json;

const POLL: Duration = Duration::from_secs(3);

fn recording(id: &str, to: &str) -> Recording {
    serde_json::from_value(json!({"id": id, "to": to, "created_at": "2026-11-01T10:00:00Z"})).unwrap()
}

fn transcription(id: &str, recording: &str, status: &str) -> Transcription {
    let text = if status == "completed" { "said" } else { "" };
    serde_json::from_value(json!({"id": id, "recording_id": recording, "status": status, "transcription_text": text}))
        .unwrap()
}

fn ear(line: &str, number: &str, known: &[&str], now: Instant) -> Ear {
    Ear {
        line: NamespacedName::new("sales", line),
        number: E164::parse(number).unwrap(),
        known: known.iter().map(|id| (*id).to_owned()).collect(),
        asked: now,
        until: now + Duration::from_secs(600),
    }
}

const ATLAS: &str = "+212612345678";
const RIF: &str = "+212612345679";

#[test]
fn only_those_are_woken_for_whom_there_is_news() {
    let now = Instant::now();
    let mut memory = Memory::new(POLL);
    memory.listen("a", ear("atlas", ATLAS, &["old"], now), now);
    memory.listen("r", ear("rif", RIF, &[], now), now);
    let woken = |memory: &mut Memory| -> Vec<String> { memory.news().into_iter().map(|line| line.name).collect() };
    memory.note(Kind::Recordings, News::Recordings(vec![recording("old", ATLAS)]), now);
    assert_eq!(woken(&mut memory), [""; 0], "what was there before is no news");
    memory.note(Kind::Recordings, News::Recordings(vec![recording("new", ATLAS), recording("old", ATLAS)]), now);
    assert_eq!(woken(&mut memory), ["atlas"]);
    assert_eq!(woken(&mut memory), [""; 0], "told once");
    memory.note(Kind::Transcriptions, News::Transcriptions(vec![transcription("t", "new", "in-progress")]), now);
    assert_eq!(woken(&mut memory), ["atlas"]);
    memory.note(Kind::Transcriptions, News::Transcriptions(vec![transcription("t", "new", "completed")]), now);
    assert_eq!(woken(&mut memory), ["atlas"]);
    let heard = memory.heard(&E164::parse(ATLAS).unwrap(), now);
    assert_eq!(heard.recordings.iter().filter(|r| r.complete().is_some()).count(), 1);
    memory.stop("a");
    memory.deleted("new");
    assert_eq!(woken(&mut memory), [""; 0]);
}

/// A transcription names a recording that no list has shown yet: it is looked up by its id, once.
#[test]
fn a_recording_is_known_by_its_transcription() {
    let now = Instant::now();
    let mut memory = Memory::new(POLL);
    let list =
        || News::Transcriptions(vec![transcription("t", "r1", "completed"), transcription("u", "r2", "completed")]);
    memory.note(Kind::Transcriptions, list(), now);
    assert_eq!(memory.unknown(5).len(), 0, "nobody listens");
    memory.listen("a", ear("atlas", ATLAS, &[], now), now);
    assert_eq!(memory.unknown(5).len(), 2);
    memory.looked_up("r1", Some(recording("r1", ATLAS)), now);
    memory.looked_up("r2", None, now);
    memory.note(Kind::Transcriptions, list(), now);
    assert_eq!(memory.unknown(5).len(), 0, "asked once");
    assert_eq!(memory.news().len(), 1);
    memory.note(Kind::Recordings, News::Recordings(Vec::new()), now);
    assert_eq!(memory.heard(&E164::parse(ATLAS).unwrap(), now).recordings.len(), 1, "the list lags");
    memory.note(Kind::Recordings, News::Recordings(vec![recording("r1", ATLAS)]), now);
    memory.note(Kind::Recordings, News::Recordings(Vec::new()), now);
    assert_eq!(memory.heard(&E164::parse(ATLAS).unwrap(), now).recordings.len(), 0, "gone from the list");
}

#[test]
fn what_is_needed() {
    let now = Instant::now();
    let mut memory = Memory::new(POLL);
    assert_eq!(memory.needs(now).awaited, None);
    memory.listen("a", ear("atlas", ATLAS, &["old"], now), now);
    let later = now + POLL * 2;
    let needs = memory.needs(later);
    assert_eq!((needs.awaited, needs.silent, needs.due), (Some(POLL * 2), Some(POLL * 2), false));
    memory.note(Kind::Recordings, News::Recordings(vec![recording("old", ATLAS), recording("new", ATLAS)]), now);
    assert!(memory.needs(now + POLL * (DUE_FOR - 1)).due);
    assert!(!memory.needs(now + POLL * DUE_FOR).due, "the time of a transcription is over");
    memory.note(Kind::Transcriptions, News::Transcriptions(vec![transcription("t", "new", "in-progress")]), now);
    assert!(memory.needs(now + POLL * DUE_FOR).due, "it is being made");
    memory.note(Kind::Transcriptions, News::Transcriptions(vec![transcription("t", "new", "completed")]), now);
    assert!(!memory.needs(later).due);
    assert_eq!(memory.needs(now + POLL * FORGOTTEN_AFTER).awaited, None, "not said again");
}

/// A list that can't be read has had its turn; what came too late is told, once.
#[test]
fn a_failing_list_and_a_late_transcription() {
    let now = Instant::now();
    let mut memory = Memory::new(POLL);
    memory.want(Kind::Calls);
    memory.could_not(Kind::Calls, now);
    let needs = memory.needs(now + POLL);
    assert_eq!((needs.wanted, needs.age[0]), ([false; 3], Some(POLL)));
    assert!(!memory.read_since(Kind::Calls, now));
    memory.note(Kind::Recordings, News::Recordings(vec![recording("r", ATLAS)]), now);
    memory.deleted("r");
    assert!(memory.awaits_transcriptions() && memory.orphans().is_empty());
    memory.note(Kind::Transcriptions, News::Transcriptions(vec![transcription("t", "r", "completed")]), now);
    assert_eq!(memory.orphans(), ["t"]);
    memory.orphan_deleted("t");
    memory.note(Kind::Transcriptions, News::Transcriptions(vec![transcription("u", "s", "completed")]), now);
    memory.forget_said();
    assert!(memory.transcriptions_of("s").is_empty());
    assert!(!memory.awaits_transcriptions() && memory.orphans().is_empty());
}

#[test]
fn a_source_is_asked_a_few_times_only() {
    let now = Instant::now();
    let mut memory = Memory::new(POLL);
    let mut ask = |seconds| memory.may_ask(Source::SpeechToText, "r", now + Duration::from_secs(seconds));
    assert_eq!([0, 1, 9, 18, 60].map(&mut ask), [true, false, true, true, false]);
    memory.has_answered(Source::Transcriber, "r");
    assert!(!memory.may_ask(Source::Transcriber, "r", now));
}
