//! What happens to replicas, store and connections while messages arrive.
//!
//! Must never wait for what it has broken: it goes on by its own clock until it is told to stop.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use mongodb::bson::{Document, doc};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::sender::Sender;
use crate::support::{Balancer, Mongo, Router};

/// A replica is killed so often, in turn.
const KILLS: Duration = Duration::from_secs(5);
/// The store is away for so long.
pub const AWAY: Duration = Duration::from_secs(10);
/// The longest time in which anything must begin.
const LONG: Duration = Duration::from_secs(900);

/// How the store goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// SIGSTOP: it takes connections and says nothing; what was on its way is done afterwards.
    Frozen,
    /// SIGTERM, and started again on its data: it is not there.
    Stopped,
}

/// When something was so, from and to.
pub type Span = (Instant, Instant);

/// Kills replicas in turn, the first one first, until `stop`; what their metrics were before, and when each was killed.
pub async fn kills(replicas: &mut [Router; 2], stop: &CancellationToken) -> Result<(Vec<String>, Vec<Instant>)> {
    let (mut metrics, mut killed) = (Vec::new(), Vec::new());
    while stop.run_until_cancelled(sleep(KILLS)).await.is_some() {
        let replica = &mut replicas[killed.len() % 2];
        if let Some(end) = replica.program.ended() {
            bail!("a replica ended before it was killed: {end}");
        }
        // Without an answer: it has not come back yet.
        let asked = tokio::time::timeout(Duration::from_millis(500), replica.metrics()).await;
        metrics.extend(asked.ok().and_then(Result::ok));
        killed.push(Instant::now());
        replica.program.kill().await?;
        replica.program.restart().await?;
    }
    Ok((metrics, killed))
}

/// Takes the store away when so large a part of the POSTs was begun; when it was away. The double becomes slower with each
/// program that dies on it, so it is started anew besides whenever it has run for `fresh`.
pub async fn outages(
    mongo: &mut Mongo,
    sender: &Sender,
    plan: &[(f64, Outage)],
    fresh: Duration,
    stop: &CancellationToken,
) -> Result<Vec<Span>> {
    let (mut spans, mut started) = (Vec::new(), Instant::now());
    let mut plan = plan.iter().peekable();
    while stop.run_until_cancelled(sleep(Duration::from_millis(20))).await.is_some() {
        let from = Instant::now();
        let outage = plan.next_if(|(part, _)| sender.part_begun() >= *part).map(|(_, outage)| *outage);
        match outage {
            None if started.elapsed() < fresh => continue,
            Some(Outage::Frozen) => {
                mongo.freeze().await?;
                sleep(AWAY).await;
                mongo.thaw().await?;
            }
            None | Some(Outage::Stopped) => {
                mongo.stop().await?;
                if outage.is_some() {
                    sleep(AWAY.saturating_sub(from.elapsed())).await;
                }
                mongo.restart().await?;
                started = Instant::now();
            }
        }
        spans.push((from, Instant::now()));
    }
    ensure!(plan.next().is_none(), "not every outage has come");
    Ok(spans)
}

/// Waits until so large a part of the POSTs was begun.
pub async fn begun(sender: &Sender, part: f64) -> Result<()> {
    let since = Instant::now();
    while sender.part_begun() < part {
        if since.elapsed() > LONG {
            bail!("{part} of the POSTs were not begun in {LONG:?}");
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Cuts a connection through these switches now and then until `stop`; how many were cut through each.
pub async fn cuts(switches: &[(&Balancer, u64)], mut rng: StdRng, stop: &CancellationToken) -> Vec<usize> {
    let each = switches.iter().map(|(switch, pause)| {
        let mut rng = <StdRng as rand::SeedableRng>::seed_from_u64(rng.random());
        async move {
            let mut cut = 0;
            loop {
                let pause = Duration::from_millis(rng.random_range(0..2 * pause));
                if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                    return cut;
                }
                cut += usize::from(switch.cut(rng.random_range(0..1_000_000)));
            }
        }
    });
    futures::future::join_all(each).await
}

/// How long the store itself takes for one small read, asked again and again until `stop`.
pub async fn pulse(mongo: mongodb::Client, stop: &CancellationToken) -> Result<Vec<Span>> {
    let routes = mongo.database("clientnumber").collection::<Document>("routes");
    let mut spans = Vec::new();
    while stop.run_until_cancelled(sleep(Duration::from_millis(50))).await.is_some() {
        let from = Instant::now();
        // Whether there is an answer or none: so long nobody had one.
        let _ = tokio::time::timeout(Duration::from_secs(5), routes.find_one(doc! {})).await;
        spans.push((from, Instant::now()));
    }
    Ok(spans)
}
