//! Brings a run to a point and holds it there: by a fault of the sandbox, or by a proxy. Never by timing.
//!
//! A read is meant after a certain write: that write's answer is held until the trap for the read is set. Must never
//! take a point for reached that was not.

use anyhow::{Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

use super::event::{self, Channel};
use super::ground::{Ground, LONG, Line, State};
use super::points::{Moment, Nth, Point};
use crate::support::api_proxy::ApiRequest;
use crate::support::wait::{self, Seen};
use crate::support::wire::MongoRequest;
use crate::support::{ApiRule, Hit, MongoRule, Point as Side};

/// Waiting for one request.
pub enum Trap {
    Provider { fault: String, late: bool },
    Api(Held<ApiRequest>),
    Mongo(Held<MongoRequest>),
}

/// A request that a proxy holds.
pub struct Held<R> {
    hit: Hit<R>,
    /// Of one that arrives late: where it is once it has taken effect.
    effect: Option<Hit<R>>,
}

impl<R: Clone> Held<R> {
    fn set(moment: Moment, hold: impl Fn(Side) -> Hit<R>) -> Self {
        Held {
            hit: hold(if moment == Moment::Lost || moment == Moment::Answered {
                Side::AfterEffect
            } else {
                Side::BeforeEffect
            }),
            effect: (moment == Moment::Late).then(|| hold(Side::AfterEffect)),
        }
    }

    fn release(&self) {
        self.hit.release();
        self.effect.iter().for_each(Hit::release);
    }

    /// Lets it take its effect, and its answer through.
    async fn arrive(&self) -> Result<()> {
        let Some(effect) = &self.effect else { return Ok(()) };
        self.hit.release();
        effect.wait(LONG).await?;
        effect.release();
        Ok(())
    }
}

/// How a phase ends without the point.
pub enum Reached {
    Yes(Trap),
    /// The line came to its end first.
    No,
}

impl Trap {
    /// Sets one.
    pub async fn set(ground: &Ground, line: &Line, target: &Nth, moment: Moment) -> Result<Trap> {
        let before = matches!(moment, Moment::Before | Moment::Late);
        let (what, name) = (target.what.clone(), line.name.clone());
        Ok(match target.what.channel {
            Channel::Telnyx | Channel::Meta => {
                // A hanging request ends without an effect when it is let go, a held one goes on.
                let action = if moment == Moment::Before { "hang" } else { "hold" };
                let when = if before { "before" } else { "after" };
                let fault = json!({"operation": what.name, "nth": target.nth, "when": when, "action": action});
                Trap::Provider { fault: ground.world.sandbox.fault(fault).await?, late: moment == Moment::Late }
            }
            Channel::Api => Trap::Api(Held::set(moment, |side| {
                let (what, name) = (what.clone(), name.clone());
                let rule = ApiRule::write().matching(move |r| event::api(r, &name).as_ref() == Some(&what));
                ground.api.hold(rule.nth(target.nth), side)
            })),
            Channel::Mongo => Trap::Mongo(Held::set(moment, |side| {
                let what = what.clone();
                let rule = MongoRule::any().matching(move |r| event::mongo(r).as_ref() == Some(&what));
                ground.mongo.hold(rule.nth(target.nth), side)
            })),
        })
    }

    async fn is_there(&self, ground: &Ground) -> Result<bool> {
        Ok(match self {
            Trap::Provider { fault, .. } => {
                ground.world.sandbox.get(&format!("/faults/{fault}")).await?["holding"].as_u64().unwrap_or(0) > 0
            }
            Trap::Api(held) => held.hit.is_there(),
            Trap::Mongo(held) => held.hit.is_there(),
        })
    }

    /// Waits until a request is held here; false: the line came to its end without one.
    async fn reached(&self, ground: &Ground, line: &Line, end: &State) -> Result<bool> {
        let mut ended: Option<Instant> = None;
        // The object is looked at now and then only: the machine has better things to do.
        let mut looks = 0;
        wait::until(LONG, "the point", async || {
            match self.is_there(ground).await {
                Ok(true) => return Seen::Done(true),
                Ok(false) => {}
                Err(error) => return Seen::NotYet(format!("{error:#}")),
            }
            looks += 1;
            if looks % 20 != 0 {
                return Seen::NotYet("not there".to_owned());
            }
            match ground.state(line).await {
                // What follows the end (the last event, the Portfolio's counts) comes within moments.
                Ok(state) if state == *end => match ended {
                    None => ended = Some(Instant::now()),
                    Some(at) if at.elapsed() > Duration::from_secs(3) => return Seen::Done(false),
                    Some(_) => {}
                },
                _ => ended = None,
            }
            Seen::NotYet("not there".to_owned())
        })
        .await
    }

    /// Lets what is held go on.
    pub async fn release(&self, ground: &Ground) -> Result<()> {
        match self {
            Trap::Provider { fault, .. } => ground.world.sandbox.release(fault).await?,
            Trap::Api(held) => held.release(),
            Trap::Mongo(held) => held.release(),
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        match self {
            Trap::Provider { late, .. } => *late,
            Trap::Api(held) => held.effect.is_some(),
            Trap::Mongo(held) => held.effect.is_some(),
        }
    }

    /// The controller is dead: what is held before its effect never takes effect. `asleep`: it will read the answer.
    pub async fn lose(&self, ground: &Ground, asleep: bool) -> Result<()> {
        match self {
            _ if self.is_late() => {}
            _ if asleep => self.release(ground).await?,
            Trap::Provider { fault, .. } => ground.world.sandbox.release(fault).await?,
            Trap::Api(held) => held.hit.cut(),
            Trap::Mongo(held) => held.hit.cut(),
        }
        Ok(())
    }

    /// Lets an old request arrive now, and waits until it is answered.
    pub async fn arrive(&self, ground: &Ground) -> Result<()> {
        let fault = match self {
            Trap::Provider { fault, late: true } => fault,
            Trap::Provider { .. } => return Ok(()),
            Trap::Api(held) => return held.arrive().await,
            Trap::Mongo(held) => return held.arrive().await,
        };
        ground.world.sandbox.release(fault).await?;
        let mark = format!("#{fault}");
        wait::until(LONG, "the old request's end", async || {
            let journal = ground.world.sandbox.get("/journal").await.unwrap_or_default();
            let entries = journal["entries"].as_array().cloned().unwrap_or_default();
            let call = entries.iter().rfind(|e| e["fault"].as_str().is_some_and(|label| label.ends_with(&mark)));
            match call {
                Some(call) if !call["status"].is_null() => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        })
        .await
    }
}

/// Does `begin`, which starts a phase, and brings it to the point.
pub async fn reach(
    ground: &Ground,
    line: &Line,
    point: &Point,
    end: &State,
    begin: impl AsyncFnOnce() -> Result<()>,
) -> Result<Reached> {
    let trap = match &point.after {
        None => {
            let trap = Trap::set(ground, line, &point.target, point.moment).await?;
            begin().await?;
            trap
        }
        Some(write) => {
            let first = Trap::set(ground, line, write, Moment::Lost).await?;
            begin().await?;
            if !first.reached(ground, line, end).await? {
                return missed(ground).await;
            }
            let trap = Trap::set(ground, line, &point.target, point.moment).await?;
            first.release(ground).await?;
            trap
        }
    };
    if !trap.reached(ground, line, end).await? {
        return missed(ground).await;
    }
    if point.moment == Moment::Answered {
        // The last of all: it is answered, and the phase comes to its end.
        trap.release(ground).await?;
        ground.reaches(line, end.clone()).await?;
    }
    Ok(Reached::Yes(trap))
}

async fn missed(ground: &Ground) -> Result<Reached> {
    forget(ground).await?;
    Ok(Reached::No)
}

/// No trap is left.
pub async fn forget(ground: &Ground) -> Result<()> {
    ground.api.clear();
    ground.mongo.clear();
    let faults = ground.world.sandbox.get("/faults").await?;
    for fault in faults["faults"].as_array().into_iter().flatten() {
        let id = &fault["id"];
        ensure!(fault["holding"] == 0 || fault["released"] == true, "fault {id} still holds a request");
        ground.world.sandbox.release(&id.to_string()).await?;
    }
    Ok(())
}
