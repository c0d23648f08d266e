//! When a line is rehearsed, what a test call came to, and what is said of it. Pure.
//!
//! A rehearsal comes before the first code request and again after an attempt whose code was not caught. Must never let a
//! second test call go out while the first may still be heard, nor more than two an hour, and never shows what was said.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::domain::PolicyTime;
use crate::resources::client_number::{RehearsalStatus, VerificationStatus};

/// A test call is listened for so long: it rings for at most 30 s, speaks for half a minute, and then a recording, its
/// transcription and speech-to-text have to come.
const LISTENED: Duration = Duration::from_secs(180);
/// Two calls to one number are never closer together.
const APART: Duration = Duration::from_secs(60);
/// The longest wait after one that failed.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// So many an hour for a line: each is paid for, and a number that is rung again and again looks abused.
const PER_HOUR: usize = 2;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing stands between the line and its code.
    GoOn,
    /// Make a test call.
    Call,
    /// One is listened for.
    Listen {
        /// When it began.
        began: Timestamp,
        /// How long it is waited for.
        until: Timestamp,
    },
    /// None may be made before this time.
    Wait(Timestamp),
}

/// What is to be done for a line whose Portfolio wants rehearsals.
pub fn next(verification: &VerificationStatus, now: Timestamp, policy: PolicyTime) -> Next {
    if !needed(verification) {
        return Next::GoOn;
    }
    let none = RehearsalStatus::default();
    let rehearsal = verification.rehearsal.as_ref().unwrap_or(&none);
    let began = rehearsal.started_at.as_ref().map(|at| at.0);
    let listened = began.map(|began| began + policy.scaled(LISTENED));
    if let (Some(began), Some(until)) = (began, listened)
        && verification.armed_at.as_ref().is_some_and(|armed| armed.0 <= began)
    {
        return Next::Listen { began, until };
    }
    // One that began before the number was armed (anew) proves nothing; it may be ringing all the same.
    match [listened, next_call(rehearsal, policy)].into_iter().flatten().max().filter(|at| *at > now) {
        Some(at) => Next::Wait(at),
        None => Next::Call,
    }
}

/// Whether the capture is to be proven before a code is asked for.
fn needed(verification: &VerificationStatus) -> bool {
    let Some(passed) = verification.rehearsal.as_ref().and_then(|r| r.passed_at.as_ref()) else { return true };
    let asked_since = verification.requests.iter().any(|asked| asked.0 >= passed.0);
    // Where Meta did not call, or a code was read, the capture was not what failed.
    let caught =
        |call: &crate::resources::client_number::CallStatus| call.read_at.is_some() || call.not_called.is_some();
    asked_since && !verification.call.as_ref().is_some_and(caught)
}

/// The earliest time for another call, by those that were made and by failures; None: none was.
fn next_call(rehearsal: &RehearsalStatus, policy: PolicyTime) -> Option<Timestamp> {
    let mut calls: Vec<Timestamp> = rehearsal.calls.iter().map(|at| at.0).collect();
    calls.sort();
    let apart = calls.last().map(|last| *last + policy.scaled(APART));
    let leaving = calls.len().checked_sub(PER_HOUR).and_then(|place| calls.get(place).copied());
    let hourly = leaving.map(|leaving| leaving + policy.hour());
    let after_failure = rehearsal.failed_at.as_ref().map(|at| at.0 + policy.scaled(gap(rehearsal.failures)));
    [apart, hourly, after_failure].into_iter().flatten().max()
}

/// After so many failures in a row: 1, 5, 25 minutes, then two hours.
fn gap(failures: i32) -> Duration {
    let grown = 5u32.saturating_pow(u32::try_from(failures.saturating_sub(1)).unwrap_or(0));
    APART.saturating_mul(grown).min(LONGEST)
}

/// With a call that begins now: those of the last hour, and the one before, whose digits are not said again.
pub fn with_call(rehearsal: &RehearsalStatus, now: Time, policy: PolicyTime) -> RehearsalStatus {
    let last = rehearsal.calls.last().cloned();
    let mut calls: Vec<Time> = rehearsal.calls.iter().filter(|at| at.0 + policy.hour() > now.0).cloned().collect();
    if calls.is_empty() {
        calls.extend(last);
    }
    calls.push(now.clone());
    RehearsalStatus { calls, started_at: Some(now), ..rehearsal.clone() }
}

/// After a failure.
pub fn with_failure(rehearsal: &RehearsalStatus, failure: String, now: Time) -> RehearsalStatus {
    RehearsalStatus {
        started_at: None,
        passed_at: None,
        failures: rehearsal.failures.saturating_add(1),
        failed_at: Some(now),
        last_failure: Some(failure),
        ..rehearsal.clone()
    }
}

/// After the digits came back.
pub fn with_pass(rehearsal: &RehearsalStatus, now: Time) -> RehearsalStatus {
    RehearsalStatus { calls: rehearsal.calls.clone(), passed_at: Some(now), ..RehearsalStatus::default() }
}

/// What a recording of the number said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The digits of the test call.
    Ours,
    /// Other digits.
    Others,
    /// Nothing that can be read, and why.
    Nothing(String),
    /// Somebody is still to say.
    NotYet,
}

/// One recording that was not there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// It is of a call from the number that makes the test calls, or does not tell whose.
    pub ours: bool,
    /// What it said.
    pub said: Said,
}

/// What a test call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The digits came back.
    Passed,
    /// It failed, and how.
    Failed(Failure),
    /// Not known yet.
    NotYet,
}

/// How it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The call log shows no call to the number.
    NotRung,
    /// It rang, and left no recording.
    NotRecorded,
    /// Nothing could be read from its recording, and why.
    NotReadable(String),
    /// Other digits were read than were said.
    OtherRead,
}

/// The verdict. A call of somebody else's, which may come at any time, proves nothing against the capture. `over`: the time
/// is up, and the lists were read since.
pub fn verdict(looks: &[Look], rang: bool, over: bool) -> Verdict {
    if looks.iter().any(|look| look.said == Said::Ours) {
        return Verdict::Passed;
    }
    let ours = || looks.iter().filter(|look| look.ours);
    // While one of its recordings is still being read it may be that one.
    if over || ours().all(|look| look.said != Said::NotYet) {
        if ours().any(|look| look.said == Said::Others) {
            return Verdict::Failed(Failure::OtherRead);
        }
        if let Some(why) = ours().find_map(|look| if let Said::Nothing(why) = &look.said { Some(why) } else { None }) {
            return Verdict::Failed(Failure::NotReadable(why.clone()));
        }
    }
    if !over {
        return Verdict::NotYet;
    }
    if ours().next().is_some() {
        return Verdict::Failed(Failure::NotReadable("its transcription did not come in time".to_owned()));
    }
    Verdict::Failed(if rang { Failure::NotRecorded } else { Failure::NotRung })
}

/// What was seen, and what to do.
pub fn failure(failure: &Failure, from: &str, connection: &str) -> String {
    const READERS: &str = "set telnyx.transcriber of the Portfolio to a service that reads it, or ask Telnyx support why its transcriptions don't";
    match failure {
        Failure::NotRung => format!(
            "the test call from {from} did not ring: look for it in the Telnyx portal (Reporting, Debugging), and see there that the outbound voice profile of the application {connection} allows calls to this number"
        ),
        Failure::NotRecorded => "the test call rang, but left no recording: see in the Telnyx portal (Reporting, Debugging) whether the capture document could be fetched".to_owned(),
        Failure::NotReadable(why) => {
            format!("the test call was recorded, but its digits could not be read ({why}): {READERS}")
        }
        Failure::OtherRead => {
            format!("the test call was recorded, but other digits were read than were said: {READERS}")
        }
    }
}

/// What is shown between two test calls.
pub fn waiting(last_failure: Option<&str>, next: Timestamp, line: &str) -> String {
    let when = next.strftime("%Y-%m-%d %H:%M:%S UTC");
    match last_failure {
        Some(failure) => format!(
            "no code was asked for: {failure}; the next test call follows by itself at {when}, or sooner with kubectl clientnumber retry {line}"
        ),
        None => format!("a test call was cut short; the next one follows by itself at {when}"),
    }
}

#[cfg(test)]
#[path = "rehearsal_tests.rs"]
mod tests;
