//! A controller stopped between its saved candidate +X and the order, for longer than an order may take; meanwhile another
//! one meets a refusal for +X and buys +Y. Then it goes on, and +X is on sale again: it must not buy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::ground::{Ground, LONG, State};
use super::verdict::{End, Snapshot, faults};
use crate::support::wait::{self, Seen};
use crate::support::{ApiRule, Point};

/// A call may be made so long after its intent was recorded.
const WINDOW: Duration = Duration::from_secs(10);

/// What is to be seen at the end. With `elect` the two have a lease, else only the order's own rules keep them apart.
pub async fn frozen(name: &str, elect: bool, env: &[(&str, &str)]) -> Result<Snapshot> {
    let mut ground = Ground::bare(name, env).await?;
    ground.add("controller-a", elect)?;
    ground.portfolio_ready().await?;
    let (mut line, object) = ground.line("Retain");
    let intent = ApiRule::put()
        .path_ends(&format!("/clientnumbers/{}/status", line.name))
        .body(|b| b["status"]["purchase"]["phase"] == "Intended");
    let held = ground.api.hold(intent, Point::AfterEffect);
    ground.world.apply(object).await?;
    let seen = held.wait(LONG).await?;
    let body = seen.body.context("a status without a body")?;
    let candidate = body["status"]["purchase"]["candidate"].as_str().context("no candidate")?.to_owned();
    ground.replicas[0].freeze().await?;
    let stopped = Instant::now();
    // The answer lies ready for it. A stranger has bought the number, as far as anyone can tell.
    held.release();
    ground.world.sandbox.post("/settings", json!({"telnyx": {"taken": [candidate]}})).await?;
    // Not behind the proxy, whose only trap is spent.
    let second = ground.world.another("controller-b", elect, None, None)?;
    ground.replicas.push(second);
    ground.reaches(&line, State::Ready).await?;
    ground.learn(&mut line).await?;
    ensure!(line.number != candidate, "the second one holds {candidate} although it was refused");
    ground.world.sandbox.post("/settings", json!({"telnyx": {"taken": []}})).await?;
    wait::until(LONG, "the order's window to be over", async || {
        wait::seen(stopped.elapsed() > WINDOW + Duration::from_secs(1), format!("{:?}", stopped.elapsed()))
    })
    .await?;
    let orders = ground.world.sandbox.calls("telnyx.create_number_order").await?;
    ground.replicas[0].thaw().await?;
    // It buys, or says that it is too late, or ends because another one leads.
    wait::until(LONG, "the one that was stopped to decide", async || {
        let asleep = &mut ground.replicas[0];
        let ended = asleep.ended().is_some();
        let late = asleep.log().contains("more than 10 s passed since the intent was recorded");
        let calls = ground.world.sandbox.calls("telnyx.create_number_order").await.unwrap_or(orders);
        if ended || late || calls > orders { Seen::Done(()) } else { Seen::NotYet(format!("{calls} orders")) }
    })
    .await?;
    ground.replicas[0].kill().await?;
    ground.snapshot(&line).await
}

/// Everything that is wrong then.
pub fn judged(seen: &Snapshot) -> Vec<String> {
    faults(End::Ready, seen, &std::collections::BTreeSet::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_before_the_order_it_does_not_buy_afterwards() -> Result<()> {
    for elect in [true, false] {
        let wrong = judged(&frozen("matrix-frozen", elect, &[]).await?);
        ensure!(wrong.is_empty(), "with a lease: {elect}: {wrong:?}");
    }
    Ok(())
}
