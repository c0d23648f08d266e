//! What became of the call that was to speak the code, as it stands in status, and what is said about it: while it is
//! listened for, and when no code came of it. Pure.
//!
//! The call log only tells a person what happened; it lags, so that what it does not show is never taken for proof. Must
//! never hold a word of what was said.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::portfolio::listener::Heard;
use crate::providers::telnyx::CallEventKind;
use crate::resources::client_number::{CallStatus, CodeSource};
use crate::resources::conditions::seconds;

/// A hang-up cause is the carrier's word: letters and underscores. Anything else is not repeated in status.
const LONGEST_CAUSE: usize = 40;

/// Adds what the lists show. `since` bounds the call log: what is older belongs to an earlier call. `new` are the
/// recordings that count, newest first. What was known once stays.
pub fn fold(before: &CallStatus, heard: &Heard, new: &[String], since: Timestamp, now: Timestamp) -> CallStatus {
    let mut call = before.clone();
    let events = || heard.events.iter().filter(|event| event.at.is_none_or(|at| at >= since));
    let at = |kind: &CallEventKind| events().find(|e| e.kind == *kind).map(|e| seconds(e.at.unwrap_or(now)));
    let note = |place: &mut Option<Time>, found: Option<Time>| {
        if place.is_none() {
            *place = found;
        }
    };
    note(&mut call.rang_at, at(&CallEventKind::Initiated));
    note(&mut call.answered_at, at(&CallEventKind::Answered));
    note(&mut call.ended_at, at(&CallEventKind::Hangup));
    if call.hangup_cause.is_none() {
        let cause = events().find(|e| e.kind == CallEventKind::Hangup).and_then(|e| e.hangup_cause.clone());
        let word =
            |cause: &String| cause.len() <= LONGEST_CAUSE && cause.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
        call.hangup_cause = cause.filter(word);
    }
    if let Some(recording) = heard.recordings.iter().rfind(|r| new.contains(&r.recording.id)) {
        note(&mut call.recorded_at, Some(seconds(recording.recording.created_at.unwrap_or(now))));
        let done = recording.complete().map(|done| seconds(done.created_at.unwrap_or(now)));
        note(&mut call.transcribed_at, done);
    }
    call
}

/// Whether a call is on at this moment, or its recording is still to come: it was answered, and did not end longer than
/// `grace` ago.
pub fn under_way(call: &CallStatus, longest: std::time::Duration, grace: std::time::Duration, now: Timestamp) -> bool {
    match (&call.answered_at, &call.ended_at) {
        (None, _) => false,
        (Some(answered), None) => now < answered.0 + longest,
        (Some(_), Some(ended)) => call.recorded_at.is_none() && now < ended.0 + grace,
    }
}

fn clock(at: &Time) -> String {
    at.0.strftime("%H:%M:%S").to_string()
}

/// While it is listened for; ends with what happens next.
pub fn listening(call: &CallStatus, expires: Timestamp) -> String {
    let until = expires.strftime("%H:%M:%S UTC");
    let mut said: Vec<String> = Vec::new();
    if let Some(at) = &call.rang_at {
        said.push(format!("it rang at {}", clock(at)));
    }
    match (&call.answered_at, &call.ended_at) {
        (Some(at), _) => said.push(format!("was answered at {}", clock(at))),
        (None, Some(_)) if call.recorded_at.is_none() => said.push(not_answered(call)),
        _ => {}
    }
    if let Some(at) = &call.recorded_at {
        said.push(format!("was recorded at {}", clock(at)));
    }
    if let Some(at) = &call.transcribed_at {
        said.push(format!("was transcribed at {}", clock(at)));
    }
    let told = if said.is_empty() { String::new() } else { format!(": {}", said.join(", ")) };
    match &call.unread {
        Some(why) => format!(
            "Meta was asked to call{told}, but no code can be read ({why}); another recording is listened for until {until}"
        ),
        None => format!("Meta was asked to call{told}; the code is listened for until {until}"),
    }
}

fn not_answered(call: &CallStatus) -> String {
    match &call.hangup_cause {
        Some(cause) => format!("was not answered ({cause})"),
        None => "was not answered".to_owned(),
    }
}

/// Why no code came of it, in one sentence that names what to look at.
pub fn outcome(call: &CallStatus) -> String {
    match call {
        CallStatus { not_called: Some(why), .. } => format!("Meta did not call: {why}"),
        CallStatus { read_at: Some(at), read_from: Some(from), unread: Some(why), .. } => {
            format!("a code was read from {} at {}: {why}", source(*from), clock(at))
        }
        CallStatus { read_at: Some(at), read_from: Some(from), .. } => {
            format!("a code was read from {} at {} and was not accepted", source(*from), clock(at))
        }
        CallStatus { unread: Some(why), recorded_at: Some(at), .. } => {
            format!("the call was recorded at {}, but no code could be read from it ({why})", clock(at))
        }
        CallStatus { recorded_at: Some(at), .. } => {
            format!("the call was recorded at {}, but nothing made a transcription of it", clock(at))
        }
        CallStatus { answered_at: Some(at), .. } => format!(
            "the call was answered at {}, but left no recording: see in the Telnyx portal (Reporting, Debugging) whether the capture document could be fetched",
            clock(at)
        ),
        CallStatus { rang_at: Some(at), .. } => format!("the call rang at {} and {}", clock(at), not_answered(call)),
        _ => "Meta's call never rang: Telnyx's call log shows no call to the number".to_owned(),
    }
}

fn source(from: CodeSource) -> &'static str {
    match from {
        CodeSource::Transcription => "Telnyx's transcription",
        CodeSource::SpeechToText => "Telnyx's speech-to-text",
        CodeSource::Transcriber => "telnyx.transcriber",
    }
}
