//! Tables: when a line is rehearsed, and what a test call came to.

use super::*;
use crate::resources::client_number::CallStatus;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_795_500_000 + minutes * 60).unwrap()
}

fn time(minutes: i64) -> Option<Time> {
    Some(Time(at(minutes)))
}

fn times(minutes: &[i64]) -> Vec<Time> {
    minutes.iter().map(|m| Time(at(*m))).collect()
}

fn never_caught() -> VerificationStatus {
    VerificationStatus { call: Some(CallStatus::default()), ..VerificationStatus::default() }
}

#[test]
fn when_a_line_is_rehearsed() {
    let with = |rehearsal: RehearsalStatus| VerificationStatus { rehearsal: Some(rehearsal), ..never_caught() };
    let passed = |at: i64| RehearsalStatus { passed_at: time(at), ..RehearsalStatus::default() };
    let failed = |calls: &[i64], failures: i32, at: i64| RehearsalStatus {
        calls: times(calls),
        failures,
        failed_at: time(at),
        ..RehearsalStatus::default()
    };
    let going =
        |began: i64| RehearsalStatus { calls: times(&[began]), started_at: time(began), ..RehearsalStatus::default() };
    let armed =
        |armed: i64, rehearsal: RehearsalStatus| VerificationStatus { armed_at: time(armed), ..with(rehearsal) };
    let asked = |asked: &[i64], call: CallStatus, rehearsal: RehearsalStatus| VerificationStatus {
        requests: times(asked),
        call: Some(call),
        ..with(rehearsal)
    };
    let read = CallStatus { read_at: time(11), ..CallStatus::default() };
    let not_called = CallStatus { not_called: Some("no".into()), ..CallStatus::default() };
    let listen = |began: i64| Next::Listen { began: at(began), until: at(began + 3) };
    for (name, verification, now, expected) in [
        ("before the first code", VerificationStatus::default(), 0, Next::Call),
        ("passed", with(passed(0)), 1, Next::GoOn),
        ("passed long ago, no code asked for since", with(passed(0)), 9_000, Next::GoOn),
        ("a code was asked for before it passed", asked(&[0], CallStatus::default(), passed(5)), 20, Next::GoOn),
        ("a code was asked for since, and not caught", asked(&[10], CallStatus::default(), passed(5)), 20, Next::Call),
        ("it was caught", asked(&[10], read, passed(5)), 20, Next::GoOn),
        ("Meta did not call", asked(&[10], not_called, passed(5)), 20, Next::GoOn),
        ("listened for", armed(0, going(1)), 2, listen(1)),
        ("its time is up: looked at once more", armed(0, going(1)), 9, listen(1)),
        ("armed at the same second", armed(1, going(1)), 2, listen(1)),
        ("armed anew meanwhile: it may still ring", armed(2, going(1)), 3, Next::Wait(at(4))),
        ("armed anew meanwhile, and it can't ring any more", armed(2, going(1)), 4, Next::Call),
        ("not armed any more", with(going(1)), 2, Next::Wait(at(4))),
        ("failed once", with(failed(&[0], 1, 3)), 3, Next::Wait(at(4))),
        ("failed once, a minute ago", with(failed(&[0], 1, 3)), 4, Next::Call),
        ("failed at once, by a refusal", with(failed(&[], 1, 0)), 0, Next::Wait(at(1))),
        ("two in this hour", with(failed(&[0, 4], 2, 5)), 30, Next::Wait(at(60))),
        ("one of two has left the hour", with(failed(&[0, 4], 2, 5)), 60, Next::Call),
        ("three refusals", with(failed(&[], 3, 0)), 24, Next::Wait(at(25))),
        ("many refusals", with(failed(&[], 30, 0)), 24, Next::Wait(at(120))),
        ("a person asked to retry", with(RehearsalStatus { failed_at: None, ..failed(&[0], 9, 0) }), 1, Next::Call),
        (
            "a person asked to retry, at once",
            with(RehearsalStatus { failed_at: None, ..failed(&[0], 9, 0) }),
            0,
            Next::Wait(at(1)),
        ),
    ] {
        assert_eq!(next(&verification, at(now), PolicyTime::default()), expected, "{name}");
    }
}

/// Whatever happens between: never two calls of which the first may still be heard, never three in an hour.
#[test]
fn calls_keep_their_distance_through_failures_and_restarts() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    let policy = PolicyTime::default();
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut verification = never_caught();
        let (mut made, mut now): (Vec<Timestamp>, Timestamp) = (Vec::new(), at(0));
        while now < at(600) {
            let rehearsal = verification.rehearsal.clone().unwrap_or_default();
            match next(&verification, now, policy) {
                Next::GoOn => unreachable!("none passed"),
                Next::Wait(until) => {
                    assert!(until > now);
                    // Disarmed, or killed before that.
                    if rng.random_bool(0.5) {
                        verification.armed_at = None;
                    }
                    // Sometimes a person says retry.
                    if rng.random_bool(0.2) {
                        verification.rehearsal = Some(RehearsalStatus { failed_at: None, ..rehearsal });
                    }
                }
                Next::Call => {
                    verification.armed_at.get_or_insert(Time(now));
                    verification.rehearsal = Some(with_call(&rehearsal, Time(now), policy));
                    made.push(now);
                }
                Next::Listen { until, .. } if now >= until || rng.random_bool(0.1) => {
                    verification.rehearsal = Some(with_failure(&rehearsal, "x".into(), Time(now)));
                    verification.armed_at = None;
                }
                Next::Listen { .. } if rng.random_bool(0.1) => verification.armed_at = None,
                Next::Listen { .. } => {}
            }
            now += Duration::from_secs(rng.random_range(1..40));
        }
        for pair in made.windows(2) {
            assert!(pair[1] >= pair[0] + APART, "seed {seed}: {pair:?}");
        }
        for three in made.windows(3) {
            assert!(three[2] >= three[0] + policy.hour(), "seed {seed}: {three:?}");
        }
        assert!(made.len() >= 4, "seed {seed}: {made:?}");
    }
}

#[test]
fn what_a_test_call_came_to() {
    let look = |ours: bool, said: Said| Look { ours, said };
    let nothing = || Said::Nothing("nothing was heard in it".to_owned());
    let unread = || Verdict::Failed(Failure::NotReadable("nothing was heard in it".to_owned()));
    let late = || Verdict::Failed(Failure::NotReadable("its transcription did not come in time".to_owned()));
    for (name, looks, rang, over, expected) in [
        ("nothing yet", vec![], false, false, Verdict::NotYet),
        ("rang", vec![], true, false, Verdict::NotYet),
        ("never rang", vec![], false, true, Verdict::Failed(Failure::NotRung)),
        ("rang and left nothing", vec![], true, true, Verdict::Failed(Failure::NotRecorded)),
        ("being transcribed", vec![look(true, Said::NotYet)], true, false, Verdict::NotYet),
        ("never transcribed", vec![look(true, Said::NotYet)], true, true, late()),
        ("came back", vec![look(true, Said::Ours)], true, false, Verdict::Passed),
        ("came back at the last moment", vec![look(true, Said::Ours)], true, true, Verdict::Passed),
        ("came back, caller withheld or rewritten", vec![look(false, Said::Ours)], false, false, Verdict::Passed),
        ("unreadable", vec![look(true, nothing())], true, false, unread()),
        ("other digits", vec![look(true, Said::Others)], true, false, Verdict::Failed(Failure::OtherRead)),
        ("a stranger says digits", vec![look(false, Said::Others)], true, false, Verdict::NotYet),
        ("a stranger talks", vec![look(false, nothing())], true, false, Verdict::NotYet),
        (
            "only a stranger was recorded",
            vec![look(false, nothing())],
            true,
            true,
            Verdict::Failed(Failure::NotRecorded),
        ),
        (
            "of two recordings one is still read",
            vec![look(true, nothing()), look(true, Said::NotYet)],
            true,
            false,
            Verdict::NotYet,
        ),
        (
            "a stranger first, then ours",
            vec![look(false, Said::Others), look(true, Said::Ours)],
            true,
            false,
            Verdict::Passed,
        ),
    ] {
        assert_eq!(verdict(&looks, rang, over), expected, "{name}");
    }
}

#[test]
fn what_is_said_of_it() {
    let shown = |of: Failure| waiting(Some(&failure(&of, "+212522000001", "77")), at(0), "atlas");
    let next = "; the next test call follows by itself at 2026-11-24 06:00:00 UTC, or sooner with kubectl clientnumber retry atlas";
    assert_eq!(
        shown(Failure::NotRung),
        format!(
            "no code was asked for: the test call from +212522000001 did not ring: look for it in the Telnyx portal (Reporting, Debugging), and see there that the outbound voice profile of the application 77 allows calls to this number{next}"
        )
    );
    assert_eq!(
        shown(Failure::NotRecorded),
        format!(
            "no code was asked for: the test call rang, but left no recording: see in the Telnyx portal (Reporting, Debugging) whether the capture document could be fetched{next}"
        )
    );
    assert_eq!(
        shown(Failure::NotReadable("nothing was heard in it".into())),
        format!(
            "no code was asked for: the test call was recorded, but its digits could not be read (nothing was heard in it): set telnyx.transcriber of the Portfolio to a service that reads it, or ask Telnyx support why its transcriptions don't{next}"
        )
    );
    assert_eq!(
        shown(Failure::OtherRead),
        format!(
            "no code was asked for: the test call was recorded, but other digits were read than were said: set telnyx.transcriber of the Portfolio to a service that reads it, or ask Telnyx support why its transcriptions don't{next}"
        )
    );
    assert_eq!(
        waiting(None, at(0), "atlas"),
        "a test call was cut short; the next one follows by itself at 2026-11-24 06:00:00 UTC"
    );
}

#[test]
fn what_is_kept_of_calls() {
    let policy = PolicyTime::default();
    let old = RehearsalStatus { calls: times(&[0, 4]), failures: 2, ..RehearsalStatus::default() };
    assert_eq!(with_call(&old, Time(at(61)), policy).calls, times(&[4, 61]));
    assert_eq!(with_call(&old, Time(at(500)), policy).calls, times(&[4, 500]), "the one before is kept for its digits");
    let failed = with_failure(&with_call(&old, Time(at(61)), policy), "x".into(), Time(at(64)));
    assert_eq!((failed.started_at.as_ref(), failed.failures, failed.failed_at), (None, 3, time(64)));
    let passed = with_pass(&old, Time(at(9)));
    assert_eq!(
        (passed.calls, passed.failures, passed.passed_at, passed.last_failure),
        (times(&[0, 4]), 0, time(9), None)
    );
}
