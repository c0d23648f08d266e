//! After the checks the demo stays up: what to type next, and the end by Ctrl-C.
//!
//! Must never print a command that was not tried.

use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, shown};
use crate::recruiters::{self, Recruiter};
use crate::screen::{command, heading, say};
use crate::story;
use crate::support::World;

/// What can be done now.
pub fn how_to_go_on(world: &World, ground: &Ground, number: &str) -> Result<()> {
    let control = world.sandbox.control();
    let next = story::manifest(ground, "next-pack", &world.line("souss", "souss-packaging", |_| ()))?;
    heading("It stays up. In another terminal, in this folder:");
    if ground.theirs() {
        say("kubectl as you are used to");
    } else {
        let kubeconfig = ground.kubeconfig.display();
        command("kubectl:", &format!("export KUBECONFIG={kubeconfig} PATH=\"$PWD/.run/tools/controlplane:$PATH\""));
    }
    command("the lines:", &format!("kubectl get clientnumbers -n {} -o wide", world.clients));
    command("a line's steps and events:", &format!("kubectl describe cn atlas -n {}", world.clients));
    command("the platform's accounts:", &format!("kubectl get portfolios -n {}", world.platform));
    command("sell the next pack (it shows here as it turns):", &format!("kubectl apply -f {}", shown(&next)));
    let message = format!(r#"{{"to": "{number}", "from": {{"name": "Amina"}}, "text": "Salam"}}"#);
    command("write to atlas as a candidate (sara gets it):", &format!("curl -s {control}/messages -d '{message}'"));
    command("what was paid:", &format!("curl -s {control}/ledger"));
    command("each call to Telnyx and Meta:", &format!("curl -s {control}/journal"));
    say("docs/sandbox.md tells what else the sandbox can do, also how to break things.");
    println!("\nCtrl-C stops everything.\n");
    Ok(())
}

/// Recruiters connect anew this often, before their tokens expire.
const RENEW: Duration = Duration::from_secs(600);

/// Waits for Ctrl-C; fails when a program ends by itself.
pub async fn until_stopped(world: &mut World, recruiters: &mut Vec<Recruiter>, stop: &CancellationToken) -> Result<()> {
    let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + RENEW, RENEW);
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = renew.tick() => {
                recruiters.clear();
                *recruiters = recruiters::connect(world).await?;
            }
            _ = look.tick() => story::running(world)?,
        }
    }
}
