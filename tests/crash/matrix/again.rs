//! A code that can't be caught, and the next one after its gap: killed at each point in between. The first call of each
//! line is recorded and can't be read by anything, so its attempt ends without a code; the next one's can.
//!
//! What is decided here is which of an onboarding's points lie there, and how a line is brought to fail once. Must never
//! let both attempts fail by itself, nor the first one succeed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::event::What;
use super::ground::{Ground, LONG, Line, Staff, State};
use super::points::{Moment, Point, points};
use super::series::{How, Outcome, Phase, failed, phase};
use super::table::Row;
use super::verdict::{End, faults, shape};
use crate::support::sandbox::Control;
use crate::support::wait::{self, Seen};

/// How often a point is sought.
const TRIES: usize = 3;

/// What a line's status says of its code, by the names of writes.
const ARMED: &str = " armed ";
const COUNTED: &str = " codes=";
const VERIFIED: &str = " verified ";

async fn recordings(sandbox: &Control) -> Result<usize> {
    Ok(sandbox.get("/recordings").await?["recordings"].as_array().map_or(0, Vec::len))
}

async fn hear(sandbox: &Control, transcription: &str) -> Result<()> {
    // Whatever speech-to-text is asked, it hears nothing: the second attempt's transcription must do.
    let voice = json!({"transcription": transcription, "speech_to_text": "empty"});
    sandbox.post("/settings", json!({"voice": voice})).await.map(|_| ())
}

/// Waits until one call more was recorded; those after it are transcribed.
async fn hears_again(sandbox: &Control, before: usize) -> Result<()> {
    wait::until(LONG, "the first call to be recorded", async || match recordings(sandbox).await {
        Ok(now) => wait::seen(now > before, format!("{now} recordings")),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    hear(sandbox, "ok").await
}

/// What comes of it when the next call is recorded and never transcribed, and those after it are.
async fn with_deaf<T>(ground: &mut Ground, of: impl AsyncFnOnce(&mut Ground) -> Result<T>) -> Result<T> {
    let sandbox = ground.world.sandbox.beside();
    let before = recordings(&sandbox).await?;
    hear(&sandbox, "never").await?;
    let (mut hears, mut heard) = (std::pin::pin!(hears_again(&sandbox, before)), false);
    let mut of = std::pin::pin!(of(ground));
    let ended = loop {
        tokio::select! {
            ended = &mut of => break ended,
            again = &mut hears, if !heard => {
                again?;
                heard = true;
            }
        }
    };
    if !heard {
        hear(&sandbox, "ok").await?;
        ended?;
        bail!("no call was recorded that could not be read");
    }
    ended
}

/// What a line does whose first code can't be caught, and what its status has in the end.
async fn reference(name: &str) -> Result<(Vec<What>, BTreeSet<String>)> {
    let mut ground = Ground::start(name, Staff::One, &[]).await?;
    // Caches are as they will be.
    let (mut first, object) = ground.line("Retain");
    ground.world.apply(object).await?;
    ground.reaches(&first, State::Ready).await?;
    ground.learn(&mut first).await?;
    ground.codes_lost = 1;
    let (mut line, object) = ground.line("Retain");
    let record = ground.record(&line).await?;
    with_deaf(&mut ground, async |ground| {
        ground.world.apply(object).await?;
        ground.reaches(&line, State::Ready).await
    })
    .await?;
    ground.learn(&mut line).await?;
    let run = ground.recorded(record).await?;
    let seen = ground.snapshot(&line).await?;
    let whole = seen.line.as_ref().map(|line| shape(&line["status"])).unwrap_or_default();
    let wrong = faults(End::Ready, &seen, &whole);
    ensure!(wrong.is_empty(), "an undisturbed onboarding with two attempts: {wrong:?}");
    let asked = seen.codes_at.len();
    ensure!(asked == 2, "{asked} codes were asked for instead of two");
    Ok((run, whole))
}

/// The points from the first attempt's count until the second one's code was handed in and recording has ended.
pub fn between(all: &[Point]) -> Vec<Point> {
    let status = |point: &Point, word: &str| {
        point.target.what.name.starts_with("status ") && point.target.what.name.contains(word)
    };
    let from = all.iter().position(|point| status(point, COUNTED));
    let verified = all.iter().rposition(|point| status(point, VERIFIED) && status(point, ARMED));
    let (Some(from), Some(verified)) = (from, verified) else { return Vec::new() };
    let ended = |point: &&Point| status(point, VERIFIED) && !status(point, ARMED);
    let Some(end) = all.iter().skip(verified).find(ended).map(|point| &point.target) else { return Vec::new() };
    // That write too, at all its moments.
    let last = all.iter().rposition(|point| point.target == *end).unwrap_or(verified);
    all.get(from..=last).unwrap_or_default().to_vec()
}

/// The points of the series, and the shape of a status.
pub async fn plan() -> Result<(Vec<Point>, BTreeSet<String>)> {
    let ((run, whole), (again, other)) = tokio::try_join!(reference("again-reference"), reference("again-reference"))?;
    Ok((between(&points(&run, &again)), whole.intersection(&other).cloned().collect()))
}

/// Runs the points with some workers; rows in their order.
pub async fn run(points: &[Point], whole: &BTreeSet<String>, workers: usize) -> Result<Vec<Row>> {
    let work: VecDeque<(usize, Point, usize)> = points.iter().cloned().enumerate().map(|(n, p)| (n, p, 1)).collect();
    let (work, rows) = (Mutex::new(work), Mutex::new(Vec::new()));
    let running = (0..workers.min(points.len())).map(|worker| take(format!("again-{worker}"), &work, &rows, whole));
    for ended in futures::future::join_all(running).await {
        ended?;
    }
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(number, _): &(usize, Row)| *number);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

async fn take(
    name: String,
    work: &Mutex<VecDeque<(usize, Point, usize)>>,
    rows: &Mutex<Vec<(usize, Row)>>,
    whole: &BTreeSet<String>,
) -> Result<()> {
    let note = |number, row| rows.lock().unwrap_or_else(PoisonError::into_inner).push((number, row));
    let mut ground = begun(&name).await?;
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((number, point, tries)) = next else { return ground.nothing_leaked().await };
        let (mut line, object) = ground.line("Retain");
        match struck(&mut ground, &mut line, object, &point, whole).await {
            Ok(Outcome::Row(row)) => {
                row.say();
                note(number, row);
            }
            Ok(Outcome::Missed) => {
                if tries < TRIES {
                    work.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, point, tries + 1));
                } else {
                    note(number, failed(Phase::Onboarding, Some(&point), "never reached"));
                }
                ground.learn(&mut line).await?;
            }
            Err(error) => {
                note(number, failed(Phase::Onboarding, Some(&point), &format!("{error:#}")));
                ground = begun(&name).await?;
            }
        }
    }
}

async fn begun(name: &str) -> Result<Ground> {
    let mut ground = Ground::start(name, Staff::One, &[]).await?;
    ground.codes_lost = 1;
    Ok(ground)
}

async fn struck(
    ground: &mut Ground,
    line: &mut Line,
    object: Value,
    point: &Point,
    whole: &BTreeSet<String>,
) -> Result<Outcome> {
    with_deaf(ground, async |ground| {
        phase(ground, Phase::Onboarding, line, Some(object), Some((point, How::Kill)), whole).await
    })
    .await
}

/// Those of the points at which an attempt is counted, asked for, ended and begun anew.
pub fn decisive(point: &Point) -> bool {
    let name = point.target.what.name.as_str();
    let calls = ["meta.request_code", "meta.verify_code", "telnyx.update_number", "telnyx.delete_recording"];
    point.moment != Moment::Answered
        && point.target.what.write
        && (calls.contains(&name) || (name.starts_with("status ") && name.contains(COUNTED)))
}

#[test]
fn only_what_lies_between_the_attempts_counts() {
    use super::event::Channel;
    let what = |channel, name: &str| What { channel, name: name.to_owned(), write: true };
    let api = |name: &str| what(Channel::Api, name);
    let run = [
        api("status verify/InProgress armed \"\""),
        api("status verify/CodeRequested armed awaited codes=1 \"\""),
        what(Channel::Meta, "meta.request_code"),
        api("status verify/CodeExpired codes=1 \"\""),
        api("status verify/Verified armed verified codes=2 \"\""),
        what(Channel::Telnyx, "telnyx.update_number"),
        api("status verify/Verified verified codes=2 \"\""),
        api("status route/InProgress verified codes=2 route=pending \"\""),
    ];
    let found = between(&points(&run, &run));
    let labels: BTreeSet<&str> = found.iter().map(|p| p.label.as_str()).collect();
    assert_eq!(labels, run[1..7].iter().map(|what| what.name.as_str()).collect());
    assert_eq!(found.iter().filter(|p| p.label.starts_with("status verify/Verified verified")).count(), 2);
    assert!(between(&points(&run[7..], &run[7..])).is_empty());
}
