//! Fifty lines at once, first without a limit to count the calls that they need, then with 25 calls a second at each
//! account; prints how much longer than the limit alone that took.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::support::crowd::{self, Crowd};
use crate::support::{ControlPlane, World, WorldOptions, run_dir};

const LINES: usize = 50;
const PER_SECOND: u32 = 25;
const LONG: Duration = Duration::from_secs(600);
/// The whole may take so much longer than the limit alone allows.
const BOUND: f64 = 1.3;

/// False: it took too long, or too many calls were refused.
pub async fn run() -> Result<bool> {
    let plane = ControlPlane::start(&run_dir("control-plane")?).await?;
    let free = measure(&plane, "bench-free", 0).await?;
    show("without a limit", &free);
    let held = measure(&plane, "bench-held", PER_SECOND).await?;
    show(&format!("with {PER_SECOND} calls a second"), &held);
    let needed = free.busiest() as f64 / f64::from(PER_SECOND);
    let ratio = held.took.as_secs_f64() / needed;
    println!(
        "{LINES} lines need {} calls on the busier account: {needed:.1} s at the limit; it took {:.1} s, {ratio:.2} times \
         that; {:.2} % of the calls were refused",
        free.busiest(),
        held.took.as_secs_f64(),
        held.refused_share() * 100.0
    );
    Ok(ratio <= BOUND && held.refused_share() <= 0.01)
}

async fn measure(plane: &ControlPlane, name: &str, per_second: u32) -> Result<Crowd> {
    // Beside this example's own folder, wherever cargo was told to put both.
    let own = std::env::current_exe()?;
    let binary = own.ancestors().nth(2).context("the example has no folder")?.join("clientnumber");
    let options = WorldOptions { speed: 0.0, ..WorldOptions::default() };
    let mut world = World::start(plane, &binary, &run_dir(name)?, options).await?;
    world.control(None, None).await?;
    crowd::begin(&mut world, LINES, per_second, LONG).await
}

fn show(what: &str, crowd: &Crowd) {
    println!("{what}: {:.1} s", crowd.took.as_secs_f64());
    for (account, taken, refused) in &crowd.accounts {
        println!("  {account}: {taken} calls, {refused} refused");
    }
    for (operation, calls) in &crowd.operations {
        println!("    {calls:5} {operation}");
    }
}
