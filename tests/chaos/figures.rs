//! How much there was of everything, and how long answers took.
//!
//! Must never pass a run in which hardly anything went wrong.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::misfortune::{AWAY, Span};
use super::run::{Ended, Scene};
use super::sender::{Attempt, End};

/// While the store is there, a replica whose sister is killed answers sooner.
pub const ANSWER: Duration = Duration::from_secs(2);
/// What comes so soon after a kill would meet whatever it left behind.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// A store that takes so long for one small read is not there: an answer needs several.
const SLOW: Duration = Duration::from_millis(100);
/// So long after its return the store is not yet taken for there: drivers notice it by their own clocks.
const RETURN: Duration = Duration::from_secs(5);

/// What was sent, and what went wrong on its way.
pub fn sent(scene: &Scene, ended: &Ended, told: &mut String) -> Result<()> {
    let (plan, attempts) = (&scene.plan, &ended.attempts);
    let repeated = plan.posts.iter().filter(|post| post.repeated.is_some()).count();
    let count = |is: &dyn Fn(End) -> bool| attempts.iter().filter(|attempt| is(attempt.end)).count();
    let (lost, broken) = (count(&|end| end == End::Lost), count(&|end| end == End::Broken));
    let away = count(&|end| end == End::Status(503));
    let other: BTreeSet<u16> = attempts
        .iter()
        .filter_map(|attempt| match attempt.end {
            End::Status(status) if status != 200 && status != 503 => Some(status),
            _ => None,
        })
        .collect();
    ensure!(other.is_empty(), "answers that nothing of this explains: {other:?}");
    let (posts, mixed) = (plan.posts.len(), plan.mixed());
    ensure!(mixed * 5 >= posts && repeated * 10 >= posts, "{mixed} of {posts} POSTs are mixed, {repeated} repeated");
    ensure!(lost > 0 && broken > 0 && away > 0, "{lost} answers lost, {broken} connections broken, {away} times away");
    let first = ended.book.iter().map(|entry| entry.timestamp).min().context("nothing was sent")?;
    let last = ended.book.iter().map(|entry| entry.timestamp).max().context("nothing was sent")?;
    for (what, how_much) in [
        ("POSTs", posts),
        ("messages in them", plan.messages()),
        ("statuses beside them", plan.items.len() - plan.messages()),
        ("POSTs of three companies and more", mixed),
        ("POSTs sent twice although answered", repeated),
        ("attempts", attempts.len()),
        ("... answered 503", away),
        ("... without a connection, or one that broke", broken),
        ("... whose answer 200 got lost", lost),
        ("replicas killed", ended.killed.len()),
        ("connections of recruiters cut on the way", ended.cut[0]),
        ("connections of Meta's cut on the way", ended.cut[1] + ended.cut[2]),
    ] {
        writeln!(told, "| {what} | {how_much} |")?;
    }
    writeln!(told, "| from the first POST to the last | {} s |", last - first)?;
    let away = ended.away.iter().map(|(from, to)| (*to - *from).as_secs_f64());
    let (long, short): (Vec<f64>, Vec<f64>) = away.partition(|seconds| *seconds >= AWAY.as_secs_f64());
    ensure!(long.len() >= 3, "the store was away {} times only", long.len());
    let long: Vec<String> = long.iter().map(|seconds| format!("{seconds:.1} s")).collect();
    writeln!(told, "| the store away; the double started anew besides | {}; {} times |", long.join(", "), short.len())?;
    Ok(())
}

/// What devices got, and what went wrong there.
pub fn delivered(ended: &Ended, told: &mut String) -> Result<()> {
    let sum = |name: &str| ended.counts.iter().filter_map(|device| device[name].as_u64()).sum::<u64>();
    let items: usize = ended.stored.iter().map(Vec::len).sum();
    let received = sum("received");
    for what in ["lost", "cut", "torn", "reloads", "forgot"] {
        ensure!(sum(what) > 0, "no device had any bad luck of the kind {what}");
    }
    ensure!(received > items as u64, "no item came twice to any device");
    ensure!(sum("different") == 0, "{} items came as others than a device has under their seqs", sum("different"));
    for (what, how_much) in [
        ("devices", ended.stored.len() as u64),
        ("items that they have, all together", items as u64),
        ("items that came again and were left out by the client's rule", received.saturating_sub(items as u64)),
        ("pages", sum("pages")),
        ("acks lost", sum("lost")),
        ("connections made", sum("welcomes")),
        ("connections broken by the client", sum("cut") + sum("torn")),
        ("pages reloaded", sum("reloads")),
        ("connections without the client's own cursor", sum("forgot")),
    ] {
        writeln!(told, "| {what} | {how_much} |")?;
    }
    writeln!(
        told,
        "| every device had all of it after the last answer within | {:.1} s |",
        ended.caught_up.as_secs_f64()
    )?;
    Ok(())
}

/// How long answers took while the store was there. Of a replica whose sister is killed none takes longer than is promised,
/// neither of those on their way at that moment nor of those that come in the next ones.
pub fn answers(ended: &Ended, told: &mut String) -> Result<()> {
    let away = ended.away.iter().map(|(from, to)| (*from, *to + RETURN));
    let slow = ended.pulse.iter().filter(|(from, to)| *to - *from >= SLOW).copied();
    let away: Vec<Span> = away.chain(slow).collect();
    let store_was_there = |attempt: &&Attempt| {
        let over: Instant = attempt.began + attempt.took;
        away.iter().all(|(from, to)| over < *from || attempt.began > *to)
    };
    let mut there: Vec<&Attempt> = ended.attempts.iter().filter(store_was_there).collect();
    there.sort_by_key(|attempt| attempt.took);
    ensure!(there.len() * 10 > ended.book.len(), "the store was away or slow nearly all the time: {}", there.len());
    let mut pulse: Vec<u128> = ended.pulse.iter().map(|(from, to)| (*to - *from).as_millis()).collect();
    pulse.sort_unstable();
    let at = |part: f64| pulse[((pulse.len() - 1) as f64 * part) as usize];
    writeln!(told, "| one small read of the store, p50, p90 | {}, {} ms |", at(0.5), at(0.9))?;
    for replica in 0..2 {
        let answered = there.iter().filter(|a| a.replica == replica && a.end == End::Status(200)).count();
        ensure!(answered * 10 > there.len(), "replica {replica} answered {answered} of {}", there.len());
    }
    let lives = |attempt: &&&Attempt| {
        let mut kills = ended.killed.iter().enumerate();
        kills.any(|(n, at)| {
            let amid = attempt.began < *at + AFTERWARDS && attempt.began + attempt.took > *at;
            amid && n % 2 != attempt.replica
        })
    };
    let beside: Vec<&Attempt> = there.iter().filter(lives).copied().collect();
    for (what, attempts) in [("answers", &there), ("... of a replica whose sister is killed", &beside)] {
        ensure!(attempts.len() >= ended.killed.len(), "hardly any answers: {}\n{told}", attempts.len());
        let at = |part: f64| attempts[((attempts.len() - 1) as f64 * part) as usize].took.as_millis();
        let (count, p50, p99, longest) = (attempts.len(), at(0.5), at(0.99), at(1.0));
        writeln!(
            told,
            "| {what} while the store was there, p50, p99, longest | {count}: {p50}, {p99}, {longest} ms |"
        )?;
    }
    let away = there.iter().filter(|attempt| attempt.end == End::Status(503)).count();
    writeln!(told, "| 503 among them (a replica that has just started, a store that is slow) | {away} |")?;
    // A sister that was killed five seconds before must have come back first.
    let is_back = |attempt: &Attempt| {
        let own = ended.killed.iter().enumerate().filter(|(n, at)| n % 2 == attempt.replica && **at < attempt.began);
        let since = own.map(|(_, at)| *at).max();
        let answered = |other: &Attempt| {
            other.replica == attempt.replica
                && other.end == End::Status(200)
                && since.is_none_or(|since| other.began > since)
                && other.began + other.took < attempt.began
        };
        ended.attempts.iter().any(answered)
    };
    let refused: Vec<_> = beside.iter().filter(|attempt| attempt.end == End::Status(503) && is_back(attempt)).collect();
    ensure!(refused.is_empty(), "{} answers beside a kill were 503: {refused:?}\n{told}", refused.len());
    let slow: Vec<_> = beside.iter().filter(|attempt| attempt.took >= ANSWER).collect();
    ensure!(slow.is_empty(), "{} answers beside a kill took longer than {ANSWER:?}: {slow:?}\n{told}", slow.len());
    Ok(())
}
