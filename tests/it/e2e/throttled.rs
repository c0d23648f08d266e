//! Fifty lines at once on accounts that take 25 calls a second, which the controller is not told: all become Ready, each
//! buys one number, and hardly a call is refused.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::support::{ControlPlane, World, WorldOptions, crowd, run_dir};

const LINES: usize = 50;
const PER_SECOND: u32 = 25;
const LONG: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn fifty_lines_at_once_keep_a_limit_they_are_not_told() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let binary = Path::new(env!("CARGO_BIN_EXE_clientnumber"));
    let options = WorldOptions { speed: 0.0, ..WorldOptions::default() };
    let mut world = World::start(plane, binary, &run_dir("throttled")?, options).await?;
    world.control(None, None).await?;
    let crowd = crowd::begin(&mut world, LINES, PER_SECOND, LONG).await?;

    let bought = world.sandbox.purchases().await?.len();
    ensure!(bought == LINES, "{bought} numbers were bought for {LINES} lines");
    ensure!(crowd.busiest() > 10 * u64::from(PER_SECOND), "so few calls keep any limit: {crowd:?}");
    ensure!(crowd.refused_share() <= 0.01, "more than one call in a hundred was refused: {crowd:?}");
    Ok(())
}
