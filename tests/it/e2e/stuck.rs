//! What neither comes nor is refused: an order without an end, and a number that another WhatsApp Business Account holds.
//! Both say what a person must do, and go on by themselves when it is done.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::onboarding::wait_portfolio;
use super::steps::{LONG, existing, gone, world_at};
use crate::support::wait::{self, Seen};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_an_end_and_a_number_that_is_held_elsewhere() -> Result<()> {
    let mut world = world_at("stuck", 0.005).await?;
    world.control(None, None).await?;
    world.sandbox.post("/settings", json!({"telnyx": {"order_result": "pending"}})).await?;
    world.apply(world.portfolio(|_| ())).await?;
    wait_portfolio(&world).await?;

    let held = "+212612000777";
    world.sandbox.post("/lines", json!({"waba": "105", "lines": [{"phone_number": held, "name": "Old"}]})).await?;
    world.apply(world.line("rif", "rif-foods", |spec| spec["number"] = existing(held))).await?;
    world.apply(world.line("atlas", "atlas-logistics", |_| ())).await?;
    let rif = world.wait_line("rif", "False", "LinkRefused", LONG).await?;
    ensure!(format!("{:?}", rif.status).contains("another account holds it"), "{:?}", rif.status);
    world.sandbox.post(&format!("/numbers/{held}"), json!({"meta": {"remove": true}})).await?;
    world.wait_line("rif", "True", "Ready", LONG).await?;

    let atlas = world.wait_line("atlas", "False", "OrderOverdue", LONG).await?;
    let order = atlas.status.and_then(|s| s.purchase).and_then(|p| p.order_id).context("no order")?;
    world.lines().delete("atlas", &Default::default()).await?;
    wait::until(LONG, "the deletion to say the way out", async || match world.lines().get("atlas").await {
        Ok(line) => {
            let said = format!("{:?}", line.status.map(|s| s.conditions));
            wait::seen(said.contains("cancel its order") && said.contains("clientnumber.dev/abandon"), said)
        }
        Err(error) => Seen::Never(error.to_string()),
    })
    .await?;
    world.sandbox.post(&format!("/orders/{order}"), json!({"status": "cancelled"})).await?;
    gone(&world, "atlas").await?;
    ensure!(world.sandbox.calls("telnyx.create_number_order").await? == 1, "ordered more than once");
    ensure!(world.sandbox.purchases().await?.is_empty(), "something was bought");
    Ok(())
}
