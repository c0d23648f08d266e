//! A series: workers, each with a world of its own, take lines through all points of onboarding and deletion.
//!
//! A line is killed on its way up at one point and on its way down at another. A point that a run did not come by is
//! tried again with another line, and counts as a failure when it is never met.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::event::What;
use super::ground::{Ground, LONG, Line, Staff, State, delete};
use super::points::{Moment, Point, points};
use super::reach::{Reached, forget, reach};
use super::table::Row;
use super::verdict::{End, faults, shape};

/// How often a point is sought.
const TRIES: usize = 3;
/// The place of what no plan names.
const UNPLANNED: usize = usize::MAX;

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The only controller is killed and started again.
    Kill,
    /// The leader of two is killed; the other takes over.
    KillLeader,
    /// The leader of two is stopped past its lease, and goes on when the other has taken over and is done.
    Freeze,
}

impl How {
    fn staff(self) -> Staff {
        if self == Self::Kill { Staff::One } else { Staff::Two }
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Onboarding,
    Retain,
    Release,
}

impl Phase {
    pub const ALL: [Phase; 3] = [Phase::Onboarding, Phase::Retain, Phase::Release];

    pub fn text(self) -> &'static str {
        match self {
            Self::Onboarding => "onboarding",
            Self::Retain => "deletion, Retain",
            Self::Release => "deletion, Release",
        }
    }
}

/// What reference runs showed.
pub struct Plan {
    /// What a line's status has that nothing disturbed.
    pub shape: BTreeSet<String>,
    pub points: Vec<(Phase, Point)>,
}

/// Two runs that nothing disturbs, on a world that has had one before: caches are as they will be.
pub async fn plan(ground: &mut Ground) -> Result<Plan> {
    let mut runs: Vec<[Vec<What>; 3]> = Vec::new();
    let mut whole = BTreeSet::new();
    for number in 0..3 {
        let mut run: [Vec<What>; 3] = Default::default();
        for policy in ["Retain", "Release"] {
            let (mut line, object) = ground.line(policy);
            let record = ground.record(&line).await?;
            ground.world.apply(object).await?;
            ground.reaches(&line, State::Ready).await?;
            ground.learn(&mut line).await?;
            run[0] = ground.recorded(record).await?;
            let seen = ground.snapshot(&line).await?;
            let status = seen.line.as_ref().map(|line| shape(&line["status"])).unwrap_or_default();
            whole = if whole.is_empty() { status } else { whole.intersection(&status).cloned().collect() };
            let wrong = faults(End::Ready, &seen, &whole);
            ensure!(wrong.is_empty(), "an undisturbed onboarding: {wrong:?}");
            let record = ground.record(&line).await?;
            delete(ground, &line).await?;
            ground.reaches(&line, State::Gone).await?;
            let (phase, end) = if policy == "Retain" { (1, End::Retained) } else { (2, End::Released) };
            run[phase] = ground.recorded(record).await?;
            let wrong = faults(end, &ground.snapshot(&line).await?, &whole);
            ensure!(wrong.is_empty(), "an undisturbed deletion with {policy}: {wrong:?}");
        }
        if number > 0 {
            runs.push(run);
        }
    }
    let mut all = Vec::new();
    for (number, phase) in Phase::ALL.into_iter().enumerate() {
        all.extend(points(&runs[0][number], &runs[1][number]).into_iter().map(|point| (phase, point)));
    }
    Ok(Plan { shape: whole, points: all })
}

/// What a kill at a point comes to.
pub enum Outcome {
    Row(Row),
    /// The run did not come by.
    Missed,
}

/// Brings the line to the point, strikes there, and lets it come to its end. False: the run did not come by.
async fn strike(
    ground: &mut Ground,
    line: &Line,
    point: &Point,
    how: How,
    end: &State,
    begin: impl AsyncFnOnce(&Ground) -> Result<()>,
) -> Result<bool> {
    let reached = {
        let here = &*ground;
        reach(here, line, point, end, async || begin(here).await).await?
    };
    let Reached::Yes(trap) = reached else { return Ok(false) };
    let struck = ground.leader()?;
    match how {
        How::Kill | How::KillLeader => struck.kill().await?,
        How::Freeze => struck.freeze().await?,
    }
    let pid = struck.pid().await?;
    let late_order = point.moment == Moment::Late && point.target.what.name == "telnyx.create_number_order";
    if late_order {
        // Prices change meanwhile: whoever chooses anew chooses another number.
        prices(ground, "6.00", "6.00").await?;
    }
    // The frozen one finds its answer when it wakes up.
    trap.lose(ground, how == How::Freeze).await?;
    if how == How::Kill {
        ground.leader()?.restart().await?;
    }
    ground.reaches(line, end.clone()).await?;
    if late_order {
        prices(ground, "1.00", "1.10").await?;
    }
    trap.arrive(ground).await?;
    if how != How::Kill {
        revive(ground, pid, how).await?;
    }
    forget(ground).await?;
    Ok(true)
}

/// The one that was struck is let go on, learns that another leads, ends, and is started again to stand by.
async fn revive(ground: &mut Ground, pid: u32, how: How) -> Result<()> {
    // A line that was all but gone is gone before the lease is.
    let mut other = None;
    for replica in &mut ground.replicas {
        if replica.pid().await? != pid {
            other = Some(replica);
        }
    }
    other.context("there is no other replica")?.wait_for_log("this process leads", LONG).await?;
    for replica in &mut ground.replicas {
        if replica.pid().await? != pid {
            continue;
        }
        if how == How::Freeze {
            replica.thaw().await?;
            replica.wait_end(LONG).await?;
        }
        replica.restart().await?;
        replica.wait_for_log("waiting for the lease", LONG).await?;
    }
    Ok(())
}

async fn prices(ground: &Ground, upfront: &str, monthly: &str) -> Result<()> {
    let mobile = json!({"mobile": {"upfront": upfront, "monthly": monthly}});
    ground.world.sandbox.post("/settings", json!({"telnyx": {"prices": mobile}})).await.map(|_| ())
}

/// One phase of a line, killed at a point or not at all.
pub async fn phase(
    ground: &mut Ground,
    phase: Phase,
    line: &mut Line,
    object: Option<serde_json::Value>,
    blow: Option<(&Point, How)>,
    whole: &BTreeSet<String>,
) -> Result<Outcome> {
    let started = Instant::now();
    let end = if phase == Phase::Onboarding { State::Ready } else { State::Gone };
    let seen = line.clone();
    let begin = async |ground: &Ground| match object {
        Some(object) => ground.world.apply(object).await,
        None => delete(ground, &seen).await,
    };
    match blow {
        Some((point, how)) => {
            if !strike(ground, &seen, point, how, &end, begin).await? {
                return Ok(Outcome::Missed);
            }
        }
        None => {
            begin(ground).await?;
            ground.reaches(&seen, end).await?;
        }
    }
    if phase == Phase::Onboarding {
        ground.learn(line).await?;
    }
    let point = blow.map(|(point, _)| point);
    let seen = ground.snapshot(line).await?;
    let expected = match phase {
        Phase::Onboarding => End::Ready,
        Phase::Retain => End::Retained,
        Phase::Release => End::Released,
    };
    let (codes, registers) = seen.budget();
    Ok(Outcome::Row(Row {
        phase: phase.text(),
        point: point.map_or("none", |p| &p.label).to_owned(),
        moment: point.map_or("-", |p| p.moment.text()),
        wrong: faults(expected, &seen, whole),
        purchases: seen.purchases().len(),
        codes,
        registers,
        took: started.elapsed(),
    }))
}

/// What is still to be run, and what has been.
struct Work {
    up: VecDeque<(usize, Point, usize)>,
    down: VecDeque<(usize, Phase, Point, usize)>,
    rows: Vec<(usize, Row)>,
}

/// Runs all points with some workers; the rows in the order of the points.
pub async fn run(name: &str, how: How, workers: usize, plan: &Plan) -> Result<Vec<Row>> {
    let mut work = Work { up: VecDeque::new(), down: VecDeque::new(), rows: Vec::new() };
    for (number, (phase, point)) in plan.points.iter().enumerate() {
        match phase {
            Phase::Onboarding => work.up.push_back((number, point.clone(), 1)),
            _ => work.down.push_back((number, *phase, point.clone(), 1)),
        }
    }
    let work = Arc::new(Mutex::new(work));
    let running = (0..workers).map(|worker| take(format!("{name}-{worker}"), how, work.clone(), &plan.shape));
    for ended in futures::future::join_all(running).await {
        ended?;
    }
    let mut rows = std::mem::take(&mut work.lock().unwrap_or_else(PoisonError::into_inner).rows);
    rows.sort_by_key(|(number, _)| *number);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

async fn take(name: String, how: How, work: Arc<Mutex<Work>>, whole: &BTreeSet<String>) -> Result<()> {
    let lock = || work.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ground = Ground::start(&name, how.staff(), &[]).await?;
    loop {
        let (up, down) = {
            let mut work = lock();
            (work.up.pop_front(), work.down.pop_front())
        };
        if up.is_none() && down.is_none() {
            return ground.nothing_leaked().await;
        }
        let policy =
            if down.as_ref().is_some_and(|(_, phase, ..)| *phase == Phase::Retain) { "Retain" } else { "Release" };
        let (mut line, object) = ground.line(policy);
        let came_up =
            phase(&mut ground, Phase::Onboarding, &mut line, Some(object), up.as_ref().map(|u| (&u.1, how)), whole)
                .await;
        let usable = match (up, came_up) {
            (Some((number, point, tries)), Ok(Outcome::Missed)) => {
                if tries < TRIES {
                    lock().up.push_back((number, point, tries + 1));
                } else {
                    lock().rows.push((number, failed(Phase::Onboarding, Some(&point), "never reached")));
                }
                ground.learn(&mut line).await.is_ok()
            }
            (Some((number, point, _)), Err(error)) => {
                lock().rows.push((number, failed(Phase::Onboarding, Some(&point), &format!("{error:#}"))));
                false
            }
            (Some((number, ..)), Ok(Outcome::Row(row))) => {
                row.say();
                lock().rows.push((number, row));
                true
            }
            (None, came_up) => undisturbed(Phase::Onboarding, came_up).is_none_or(|row| {
                lock().rows.push((UNPLANNED, row));
                false
            }),
        };
        if !usable {
            match down {
                Some((number, way, point, tries)) if tries < TRIES => {
                    lock().down.push_front((number, way, point, tries + 1));
                }
                Some((number, way, point, _)) => {
                    lock().rows.push((number, failed(way, Some(&point), "no line came up for it")));
                }
                None => {}
            }
            ground = Ground::start(&name, how.staff(), &[]).await?;
            continue;
        }
        let way = down.as_ref().map_or(Phase::Release, |(_, phase, ..)| *phase);
        let went_down = phase(&mut ground, way, &mut line, None, down.as_ref().map(|d| (&d.2, how)), whole).await;
        match (down, went_down) {
            (Some((number, way, point, tries)), Ok(Outcome::Missed)) => {
                if tries < TRIES {
                    lock().down.push_back((number, way, point, tries + 1));
                } else {
                    lock().rows.push((number, failed(way, Some(&point), "never reached")));
                }
            }
            (Some((number, way, point, _)), Err(error)) => {
                lock().rows.push((number, failed(way, Some(&point), &format!("{error:#}"))));
                ground = Ground::start(&name, how.staff(), &[]).await?;
            }
            (Some((number, ..)), Ok(Outcome::Row(row))) => {
                row.say();
                lock().rows.push((number, row));
            }
            (None, went_down) => {
                if let Some(row) = undisturbed(way, went_down) {
                    lock().rows.push((UNPLANNED, row));
                    ground = Ground::start(&name, how.staff(), &[]).await?;
                }
            }
        }
    }
}

/// What is wrong with a phase in which nothing was killed: what a kill before it left behind.
fn undisturbed(phase: Phase, came_to: Result<Outcome>) -> Option<Row> {
    match came_to {
        Ok(Outcome::Row(row)) if row.wrong.is_empty() => None,
        Ok(Outcome::Row(row)) => {
            row.say();
            Some(row)
        }
        Ok(Outcome::Missed) => Some(failed(phase, None, "nothing was to be met, and was missed")),
        Err(error) => Some(failed(phase, None, &format!("{error:#}"))),
    }
}

/// A row for a point that came to no end; None: for what was not killed.
pub fn failed(phase: Phase, point: Option<&Point>, why: &str) -> Row {
    let row = Row {
        phase: phase.text(),
        point: point.map_or("none", |point| &point.label).to_owned(),
        moment: point.map_or("-", |point| point.moment.text()),
        wrong: vec![why.to_owned()],
        purchases: 0,
        codes: 0,
        registers: 0,
        took: std::time::Duration::ZERO,
    };
    row.say();
    row
}
