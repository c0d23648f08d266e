//! One call to a number of the Telnyx account: what the number's application does with it at that moment.
//!
//! Fetches the application's document as Telnyx does (its method, its fallback) and executes it. Decides nothing about
//! the code; what was said comes in as a `Speech`. Without an application the call rings out.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::delays;
use super::faults::{Strike, When};
use super::http::digits;
use super::journal;
use super::server::Shared;
use super::speech::Speech;
use super::strike::{Carried, carry_out};
use super::telnyx::calls::{Event, Facts, Record};
use super::telnyx::recordings::{Recording, Transcription};
use super::telnyx::time;
use super::voice::{self, Verdict};
use super::world::{World, add};

/// What became of a call.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// recorded, rejected, hung_up, no_answer, error, no_such_number, or dropped by a fault.
    pub outcome: &'static str,
    /// The recording that will appear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_id: Option<String>,
    /// Why, where that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Report {
    fn new(outcome: &'static str) -> Self {
        Self { outcome, recording_id: None, reason: None }
    }
}

/// What the called number's application is at the moment of the call.
struct Target {
    facts: Facts,
    document: Option<(String, String, Option<String>)>,
}

/// Makes the call; returns when it is over.
pub async fn place(shared: &Shared, to: &str, from: &str, speech: &Speech) -> Report {
    let (n, strike) = arrive(shared, to);
    if let Some(strike) = strike.as_ref().filter(|strike| strike.plan.side() == When::Before)
        && !matches!(carry_out(shared, strike, None).await, Carried::GoOn)
    {
        return finish(shared, n, Report::new("dropped"));
    }
    let report = run(shared, to, from, speech).await;
    if let Some(strike) = strike.as_ref().filter(|strike| strike.plan.side() == When::After) {
        carry_out(shared, strike, None).await;
    }
    finish(shared, n, report)
}

fn arrive(shared: &Shared, to: &str) -> (u64, Option<Strike>) {
    let (mut world, now) = shared.world();
    let strike = world.faults.arrive("sandbox.call", |part| digits(to).contains(part));
    let n = world.journal.begin(journal::Entry {
        n: 0,
        time: now,
        provider: "sandbox",
        operation: "sandbox.call".to_owned(),
        method: "CALL".to_owned(),
        path: format!("+{}", digits(to)),
        query: None,
        headers: std::collections::BTreeMap::new(),
        status: None,
        fault: strike.as_ref().map(Strike::label),
        body: Value::Null,
        ended: journal::Ended::default(),
    });
    (n, strike)
}

fn finish(shared: &Shared, n: u64, report: Report) -> Report {
    shared.world().0.journal.end(n, Some(200), journal::Ended { response: json!(report), ..journal::Ended::default() });
    report
}

async fn run(shared: &Shared, to: &str, from: &str, speech: &Speech) -> Report {
    let Some(target) = begin(shared, to, from) else { return Report::new("no_such_number") };
    let Some((url, method, fallback)) = &target.document else {
        record_call(&mut shared.world().0, &target.facts, "no_answer", 0);
        return Report::new("no_answer");
    };
    let mut verdict = run_document(shared, url, method, &target.facts).await;
    if let (Verdict::Error(_), Some(fallback)) = (&verdict, fallback) {
        verdict = run_document(shared, fallback, method, &target.facts).await;
    }
    let (length_ms, speed) = (speech.ends_ms, shared.world().0.speed);
    match verdict {
        Verdict::Rejected { busy } => {
            end(shared, &target.facts, if busy { "user_busy" } else { "call_rejected" }, 0);
            Report::new("rejected")
        }
        Verdict::HungUp => {
            answered(shared, &target.facts);
            end(shared, &target.facts, "normal_clearing", 1_000);
            Report::new("hung_up")
        }
        Verdict::Error(reason) => {
            // Telnyx says "an application error has occurred" to the caller and hangs up.
            answered(shared, &target.facts);
            end(shared, &target.facts, "normal_clearing", 3_000);
            Report { reason: Some(reason), ..Report::new("error") }
        }
        Verdict::Recorded(recording) => {
            let started = answered(shared, &target.facts);
            let until_ms = if recording.stops_at_silence { speech.first_silence_ms() } else { recording.until_ms };
            let lasts_ms = length_ms.min(until_ms);
            tokio::time::sleep(Duration::from_millis(lasts_ms).mul_f64(speed)).await;
            end(shared, &target.facts, "normal_clearing", lasts_ms);
            let text = speech.heard(recording.from_ms, until_ms);
            let id = keep(shared, target.facts, &recording, started, lasts_ms, text);
            Report { recording_id: Some(id), ..Report::new("recorded") }
        }
    }
}

/// Looks up the number and its application; the call begins to ring.
fn begin(shared: &Shared, to: &str, from: &str) -> Option<Target> {
    let (mut world, now) = shared.world();
    let wanted = digits(to);
    let number = world.telnyx.numbers.iter().find(|n| n.deleted_at.is_none() && digits(&n.e164) == wanted)?.clone();
    let forwarded = number.voice["call_forwarding"]["call_forwarding_enabled"] == json!(true);
    let screened = number.voice["inbound_call_screening"] == "reject_calls";
    let app = number.connection.as_ref().and_then(|id| world.telnyx.applications.iter().find(|app| app.id == *id));
    // A forwarded or screened call, or one to a number that is not active, never reaches the application.
    let reachable = !forwarded && !screened && number.status == "active";
    let document = app.filter(|app| reachable && app.fields["active"] != json!(false)).map(|app| {
        let (url, method, fallback) = app.voice();
        (url.to_owned(), method.to_owned(), fallback.map(str::to_owned))
    });
    let facts = Facts {
        from: from.to_owned(),
        to: number.e164,
        connection: number.connection.unwrap_or_default(),
        leg: world.uuid_of("call.leg", &wanted),
        session: world.uuid_of("call.session", &wanted),
    };
    if document.is_some() {
        let more = json!({"state": "ringing", "start_time": time(now)});
        world.telnyx.events.push(Event { at: now, name: "call.initiated", call: facts.clone(), more });
    }
    Some(Target { facts, document })
}

async fn run_document(shared: &Shared, url: &str, method: &str, call: &Facts) -> Verdict {
    match fetch(&shared.http, url, method, call).await {
        Ok(document) => voice::execute(&document),
        Err(reason) => Verdict::Error(reason),
    }
}

async fn fetch(http: &reqwest::Client, url: &str, method: &str, call: &Facts) -> Result<String, String> {
    let fields = [
        ("CallSid", call.leg.as_str()),
        ("AccountSid", super::telnyx::outbound::ORGANIZATION),
        ("From", &call.from),
        ("To", &call.to),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ConnectionId", &call.connection),
    ];
    let request = if method == "get" { http.get(url).query(&fields) } else { http.post(url).form(&fields) };
    let answer = request
        .timeout(Duration::from_secs(10))
        .send()
        .await
        .map_err(|error| format!("not reachable: {}", error.without_url()))?;
    if !answer.status().is_success() {
        return Err(format!("HTTP {}", answer.status().as_u16()));
    }
    answer.text().await.map_err(|error| format!("not readable: {}", error.without_url()))
}

fn answered(shared: &Shared, call: &Facts) -> Timestamp {
    let (mut world, now) = shared.world();
    let more = json!({"state": "answered", "start_time": time(now)});
    world.telnyx.events.push(Event { at: now, name: "call.answered", call: call.clone(), more });
    now
}

fn end(shared: &Shared, call: &Facts, cause: &str, lasts_ms: u64) {
    let (mut world, now) = shared.world();
    let source = if lasts_ms == 0 { "callee" } else { "caller" };
    let more = json!({"state": "hangup", "hangup_cause": cause, "hangup_source": source});
    world.telnyx.events.push(Event { at: now, name: "call.hangup", call: call.clone(), more });
    record_call(&mut world, call, cause, lasts_ms);
}

/// The call's detail record, which is seen later.
fn record_call(world: &mut World, call: &Facts, cause: &str, lasts_ms: u64) {
    let now = world.now();
    let seconds = lasts_ms.div_ceil(1_000);
    let set = world.settings.voice.detail_record_delay_ms;
    let visible = world.later_of(now, set, delays::DETAIL_RECORD, &call.to);
    let id = world.uuid_of("detail_record", &call.to);
    let kind = if call.connection.is_empty() { "sip-trunking" } else { "call-control" };
    let value = json!({
        "id": id, "record_type": kind, "direction": "inbound", "cli": call.from, "cld": call.to,
        "started_at": time(now), "answered_at": if seconds > 0 { time(now) } else { Value::Null },
        "finished_at": time(now), "call_sec": seconds, "billed_sec": seconds.div_ceil(60) * 60, "cost": "0.00",
        "rate": "0.00", "currency": "USD", "connected": seconds > 0, "attempted": true, "hangup_cause": cause,
        "telnyx_session_id": call.session, "call_control_id": format!("v3:{}", call.leg), "tags": "",
    });
    world.telnyx.records.push(Record { visible, started: now, to: call.to.clone(), value });
}

fn keep(
    shared: &Shared,
    call: Facts,
    recording: &voice::Recording,
    started: Timestamp,
    millis: u64,
    text: String,
) -> String {
    let (mut world, now) = shared.world();
    let id = world.uuid_of("recording", &call.to);
    let set = world.settings.voice.recording_delay_ms;
    let visible = world.later_of(now, set, delays::RECORDING, &call.to);
    let set = world.settings.voice.transcription_delay_ms;
    let completed = world.later_of(visible, set, delays::TRANSCRIPTION, &call.to);
    let wanted = recording.transcription.as_deref().filter(|_| world.settings.voice.transcription != "never");
    let transcription = wanted.map(str::to_owned).map(|language| Transcription {
        id: world.uuid_of("transcription", &call.to),
        // A machine that listens for another language writes down no English digits.
        text: if world.settings.voice.transcription == "ok" && language.starts_with("en") {
            text.clone()
        } else {
            String::new()
        },
        visible: add(visible, completed.duration_since(visible).unsigned_abs() / 2),
        completed,
        deleted: false,
    });
    world.telnyx.recordings.push(Recording {
        id: id.clone(),
        from: call.from,
        to: call.to,
        connection: call.connection,
        leg: call.leg,
        session: call.session,
        channels: recording.channels.clone(),
        format: recording.format.clone(),
        started,
        ended: now,
        millis,
        visible,
        text,
        deleted: false,
        transcription,
    });
    id
}
