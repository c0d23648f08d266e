//! The controller killed at each call and each write of an onboarding and a deletion, and started again: one purchase, no
//! orphan, nothing forgotten.
//!
//! Newcomers read in this order: `event` (what is told apart), `points` (where it is killed), `reach` (how it is brought
//! there), `verdict` (what must hold then, with `strays`, `agree` and `super::budget`), `series` (who runs it all).

mod again;
mod agree;
mod event;
mod frozen;
mod ground;
mod look;
mod points;
mod reach;
mod sabotage;
mod series;
mod strays;
mod table;
mod verdict;

use anyhow::{Result, ensure};
use tokio::sync::OnceCell;

use super::report;
use event::Channel;
use ground::{Ground, Staff};
use points::{Moment, Point};
use series::{How, Phase, Plan};
use table::Row;

/// So many points there are at least, in all, of each channel and of each phase: a matrix that shrinks proves nothing.
/// What only one of two reference runs did is no point, so the counts differ from run to run: 188 to 198 in all, of a
/// channel by 1 to 10, of a phase by 2 to 6. The floors stand about one such difference below the fewest.
const LEAST: usize = 178;
const LEAST_BY_CHANNEL: [(Channel, usize); 4] =
    [(Channel::Telnyx, 27), (Channel::Meta, 22), (Channel::Api, 90), (Channel::Mongo, 30)];
const LEAST_BY_PHASE: [(Phase, usize); 3] = [(Phase::Onboarding, 121), (Phase::Retain, 21), (Phase::Release, 28)];

/// The calls that cost money or a budget, and the claim before them; at how many moments each is killed.
const DECISIVE: [(&str, usize); 4] =
    [("ledger claim", 2), ("telnyx.create_number_order", 3), ("meta.request_code", 3), ("meta.register", 3)];

/// What no phase goes without.
const REQUIRED: [(Phase, &str); 12] = [
    (Phase::Onboarding, "finalizer set"),
    (Phase::Onboarding, "annotation"),
    (Phase::Onboarding, "meta.create_number"),
    (Phase::Onboarding, "meta.verify_code"),
    (Phase::Onboarding, "PIN"),
    (Phase::Onboarding, "insert company's log"),
    (Phase::Retain, "meta.deregister"),
    (Phase::Retain, "ledger number kept"),
    (Phase::Retain, "finalizer removed"),
    (Phase::Release, "telnyx.delete_number"),
    (Phase::Release, "PIN deleted"),
    (Phase::Release, "finalizer removed"),
];

/// What is recorded between arming and disarming, by words of the status: the number is armed, the attempt counted before
/// its call, the code accepted. Each is killed before its effect and after it, so also between the count and the call.
const CODE_RECORDS: [&str; 3] = [" number armed \"", " armed awaited codes=1 ", " armed handed verified codes=1 "];
/// Changes of the number's application, each killed at three moments: it is adopted, armed and disarmed.
const CODE_CALLS: [(&str, usize); 4] = [
    ("telnyx.update_number", 9),
    ("meta.verify_code", 2),
    ("telnyx.delete_transcription", 2),
    ("telnyx.delete_recording", 2),
];

/// Of the points between two attempts, and at how many moments what happens there is killed: each of the two calls three
/// times, of the changes of the number's application those that end the first attempt and arm for the second.
const LEAST_AGAIN: usize = 30;
const DECISIVE_AGAIN: [(&str, usize); 4] =
    [("meta.request_code", 6), ("meta.verify_code", 2), ("telnyx.update_number", 9), ("telnyx.delete_recording", 4)];

/// Worlds at the same time.
const WORKERS: usize = 3;
/// Where each point waits for a gap of 18 s, and the machine with it.
const WORKERS_AGAIN: usize = 8;

/// The reference runs are the same for all series.
async fn plan() -> Result<&'static Plan> {
    static PLAN: OnceCell<Plan> = OnceCell::const_new();
    PLAN.get_or_try_init(async || {
        let plan = series::plan(&mut Ground::start("matrix-reference", Staff::One, &[]).await?).await?;
        complete(&plan.points)?;
        Ok(plan)
    })
    .await
}

/// Nothing is missing among the points of the reference runs.
fn complete(all: &[(Phase, Point)]) -> Result<()> {
    let channels = points::by_channel(all.iter().map(|(_, point)| point));
    let of_phase = |phase: Phase| all.iter().filter(|(of, _)| *of == phase).count();
    let phases = Phase::ALL.map(|phase| (phase.text(), of_phase(phase)));
    let counts = format!("{} points, of each channel {channels:?}, of each phase {phases:?}", all.len());
    println!("{counts}");
    ensure!(all.len() >= LEAST, "fewer than {LEAST}: {counts}");
    for (channel, least) in LEAST_BY_CHANNEL {
        ensure!(channels[&channel] >= least, "fewer than {least} of {channel:?}: {counts}");
    }
    for (phase, least) in LEAST_BY_PHASE {
        ensure!(of_phase(phase) >= least, "fewer than {least} of {phase:?}: {counts}");
    }
    for (name, moments) in DECISIVE {
        let found = all.iter().filter(|(_, point)| decisive(point) && point.target.what.name == name).count();
        ensure!(found == moments, "{name} is killed at {found} moments instead of {moments}");
    }
    let onboarding = || all.iter().filter(|(of, _)| *of == Phase::Onboarding).map(|(_, point)| point);
    for words in CODE_RECORDS {
        for moment in [Moment::Before, Moment::Lost] {
            let killed = |p: &Point| p.moment == moment && p.target.what.name.starts_with("status verify/");
            let there = onboarding().any(|p| killed(p) && p.target.what.name.contains(words));
            ensure!(there, "no point {words:?}, {}", moment.text());
        }
    }
    for (name, moments) in CODE_CALLS {
        let found = onboarding().filter(|p| p.target.what.write && p.target.what.name == name).count();
        ensure!(found >= moments, "{name} is killed at {found} moments instead of {moments}");
    }
    for (phase, name) in REQUIRED {
        let there = all.iter().any(|(of, point)| *of == phase && point.target.what.name == name);
        ensure!(there, "no point {name:?} in {phase:?}");
    }
    Ok(())
}

async fn run(file: &str, title: &str, how: How, choose: impl Fn(&[Point]) -> Vec<Point>) -> Result<()> {
    let all = plan().await?;
    let mut points: Vec<(Phase, Point)> = Vec::new();
    for phase in Phase::ALL {
        let of: Vec<Point> = all.points.iter().filter(|(of, _)| *of == phase).map(|(_, p)| p.clone()).collect();
        points.extend(choose(&of).into_iter().map(|point| (phase, point)));
    }
    let part = Plan { shape: all.shape.clone(), points };
    let rows = series::run(file, how, WORKERS, &part).await?;
    judged(file, title, part.points.len(), &rows)
}

/// Shows the table of a series that was to have so many points, and what failed.
fn judged(file: &str, title: &str, points: usize, rows: &[Row]) -> Result<()> {
    report::publish(file, &table::markdown(title, rows))?;
    let failed: Vec<String> = rows.iter().filter(|row| !row.wrong.is_empty()).map(Row::told).collect();
    // The last lines of the test, one for each point: the table above them is long.
    ensure!(failed.is_empty(), "{} of {} points failed:\n{}", failed.len(), rows.len(), failed.join("\n"));
    ensure!(points > 0 && rows.len() == points, "{} of {points} points", rows.len());
    Ok(())
}

/// The first of each of them, at each of its moments.
fn decisive(point: &Point) -> bool {
    let target = &point.target;
    DECISIVE.iter().any(|(name, _)| *name == target.what.name) && target.nth == 1 && point.moment != Moment::Answered
}

/// All points between a first attempt that catches no code and the next one, or those that decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_code_killed_at_every_point_since_the_first() -> Result<()> {
    let (all, whole) = again::plan().await?;
    println!("{} points between two attempts, of each channel {:?}", all.len(), points::by_channel(&all));
    ensure!(all.len() >= LEAST_AGAIN, "fewer than {LEAST_AGAIN} points: {all:?}");
    for (name, moments) in DECISIVE_AGAIN {
        let found = all.iter().filter(|point| point.target.what.name == name).count();
        ensure!(found >= moments, "{name} is killed at {found} moments instead of {moments}");
    }
    let chosen: Vec<Point> = all.into_iter().filter(|point| crate::everything() || again::decisive(point)).collect();
    let rows = again::run(&chosen, &whole, WORKERS_AGAIN).await?;
    judged("second-code", "one replica, SIGKILL, while a second code is needed", chosen.len(), &rows)
}

/// All points, or those that decide.
fn long_or_short(points: &[Point]) -> Vec<Point> {
    points.iter().filter(|point| crate::everything() || decisive(point)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_killed_at_every_point() -> Result<()> {
    run("one-replica", "one replica, SIGKILL", How::Kill, <[Point]>::to_vec).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_two_killed() -> Result<()> {
    run("leader-killed", "two replicas, SIGKILL of the leader", How::KillLeader, long_or_short).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_two_stopped_past_its_lease() -> Result<()> {
    // Besides, an old request that lets the number record calls.
    let arms = |point: &Point| point.moment == Moment::Late && point.target.what.name == "telnyx.update_number";
    let choose = |points: &[Point]| {
        let chosen = points.iter().filter(|point| crate::everything() || decisive(point) || arms(point));
        points::stopped(&chosen.cloned().collect::<Vec<_>>())
    };
    run("leader-stopped", "two replicas, SIGSTOP of the leader past its lease", How::Freeze, choose).await
}
