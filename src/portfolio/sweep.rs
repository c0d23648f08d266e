//! What a crash may have left at the carrier: recordings of calls to our numbers, their transcriptions, and a number that
//! nobody has and that records. Looked for once after a start, and once after each time that numbers recorded.
//!
//! Each line disarms its number and deletes what was recorded by itself; this is for what no line knows of any more. Must
//! never touch a number that a line has, a recording of one that is armed, or what another application recorded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::accounts::Account;
use super::lines_of;
use crate::controller::context::Context;
use crate::domain::E164;
use crate::line::plan::{Step, plan};
use crate::portfolio::listener::HeardRecording;
use crate::providers::ProviderError;
use crate::providers::telnyx::{NumberUpdate, OwnedNumber, Recording};
use crate::resources::{ClientNumber, Portfolio};

/// How far back: longer than anybody leaves a controller off unnoticed.
const REACH: SignedDuration = SignedDuration::from_hours(48);

/// Looks, and cleans up. What can't be done now is done after the next round.
pub async fn run(ctx: &Context, portfolio: &Portfolio, account: &Arc<Account>, owned: &[OwnedNumber]) {
    if ctx.read_only || account.applications.capture.is_empty() || !account.listener.sweep_is_due() {
        return;
    }
    match sweep(ctx, portfolio, account, owned).await {
        Ok(left) => account.listener.swept(left),
        Err(error) => {
            account.listener.swept(true);
            tracing::info!(error = %error, "whether recordings were left behind could not be read; looked for again after the next round");
        }
    }
}

/// Returns whether something is left to be looked for.
async fn sweep(
    ctx: &Context,
    portfolio: &Portfolio,
    account: &Arc<Account>,
    owned: &[OwnedNumber],
) -> Result<bool, ProviderError> {
    let since = ctx.clock.now().checked_sub(REACH).ok();
    let recordings = account.listener.all_recordings(since).await?;
    // Later than the lists: who armed meanwhile is seen.
    let lines = lines_of(ctx, portfolio);
    let now = ctx.clock.now();
    let young = ctx.policy.transcription_grace() * 4;
    let mut left = lines.iter().any(|line| armed(line).is_some());
    // An application of the operator's own serves other purposes too: only what our lines' numbers left in it is ours.
    let own = portfolio.spec.telnyx.voice_connection_id.is_some();
    for recording in of_nobody(&recordings, &lines, &account.applications.capture, own) {
        if recording.recording.created_at.is_none_or(|at| now < at + young) {
            left = true;
            continue;
        }
        account.delete_recording(recording).await?;
        tracing::warn!("a recording that no line knew of was deleted at the carrier, with its transcriptions");
    }
    for transcription in account.listener.orphans() {
        account.telnyx.delete_transcription(&transcription).await?;
        account.listener.orphan_deleted(&transcription);
    }
    let all = ctx.lines.state();
    for number in owned.iter().filter(|n| n.connection_id.as_deref() == Some(account.applications.capture.as_str())) {
        let has = |line: &&Arc<ClientNumber>| {
            line.status.as_ref().and_then(|s| s.phone_number.as_deref()) == Some(number.number.as_str())
        };
        match all.iter().find(has) {
            // Nobody's, and perhaps another purpose of the operator's own application.
            None if own => continue,
            Some(line) if knows(line, account) => continue,
            _ => {}
        }
        let reject =
            NumberUpdate { connection_id: Some(account.applications.reject.clone()), ..NumberUpdate::default() };
        account.telnyx.update_number(&number.id, &reject).await?;
        tracing::warn!(number = %number.number, "a number that no line has recorded its calls; it rejects them again");
    }
    Ok(left)
}

/// Whether a line ends by itself that its number records: it is armed or about to be, or looks after it each round.
fn knows(line: &ClientNumber, account: &Account) -> bool {
    let working = line.status.as_ref().is_some_and(|status| plan(status) == Step::Keep);
    working || armed(line).is_some() || line.metadata.uid.as_deref().is_some_and(|uid| account.turns.has(uid))
}

/// The number of a line that records.
fn armed(line: &ClientNumber) -> Option<E164> {
    let status = line.status.as_ref()?;
    status.verification.as_ref()?.armed_at.as_ref()?;
    E164::parse(status.phone_number.as_deref()?).ok()
}

/// What the capture application recorded, without those of numbers that are armed.
fn of_nobody<'a>(
    recordings: &'a [HeardRecording],
    lines: &[Arc<ClientNumber>],
    capture: &str,
    only_of_lines: bool,
) -> Vec<&'a HeardRecording> {
    let armed: HashSet<E164> = lines.iter().filter_map(|line| armed(line)).collect();
    let since = |line: &Arc<ClientNumber>| {
        let number = E164::parse(line.status.as_ref()?.phone_number.as_deref()?).ok()?;
        Some((number, line.metadata.creation_timestamp.as_ref()?.0))
    };
    let of_lines: HashMap<E164, Timestamp> = lines.iter().filter_map(since).collect();
    // What was recorded before there was a line is its owner's, not the controller's.
    let of_line = |recording: &Recording| {
        let since = recording.to.as_ref().and_then(|to| of_lines.get(to));
        since.zip(recording.created_at).is_some_and(|(since, at)| at >= *since)
    };
    recordings
        .iter()
        .filter(|r| r.recording.connection_id.as_deref() == Some(capture))
        .filter(|r| r.recording.to.as_ref().is_some_and(|to| !armed.contains(to)))
        .filter(|r| !only_of_lines || of_line(&r.recording))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn only_what_ours_recorded_and_nobody_awaits() {
        let recording = |id: &str, to: &str, connection: &str| HeardRecording {
            recording: serde_json::from_value(json!({"id": id, "to": to, "connection_id": connection,
                "created_at": if id == "from before" { "2026-11-01T08:00:00Z" } else { "2026-11-01T10:00:00Z" }}))
            .unwrap(),
            transcriptions: Vec::new(),
            age: Duration::ZERO,
            answered: Vec::new(),
        };
        let line = |number: &str, armed: Option<&str>| -> Arc<ClientNumber> {
            Arc::new(
                serde_json::from_value(json!({
                    "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
                    "metadata": {"name": "atlas", "uid": "u1", "creationTimestamp": "2026-11-01T09:00:00Z"},
                    "spec": {"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"},
                        "number": {"acquire": {}}},
                    "status": {"observedGeneration": 1, "conditions": [], "phoneNumber": number,
                        "verification": {"armedAt": armed}}
                }))
                .unwrap(),
            )
        };
        let recordings = [
            recording("left", "+212612345678", "11"),
            recording("from before", "+212612345678", "11"),
            recording("awaited", "+212612345679", "11"),
            recording("another application's", "+212612345678", "33"),
            recording("of nobody's number", "+212612345670", "11"),
        ];
        let lines = [line("+212612345678", None), line("+212612345679", Some("2026-11-01T10:00:00Z"))];
        let ids = |only_of_lines: bool| -> Vec<&str> {
            of_nobody(&recordings, &lines, "11", only_of_lines).iter().map(|r| r.recording.id.as_str()).collect()
        };
        assert_eq!(ids(false), ["left", "from before", "of nobody's number"]);
        assert_eq!(ids(true), ["left"], "the operator's own application");
    }
}
