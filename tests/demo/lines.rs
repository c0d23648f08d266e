//! Every turn of every line's (READY, REASON), as `kubectl get cn -w` would show it, with the time that each took.
//!
//! Must never decide anything: it only shows what the controller wrote.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clientnumber::resources::ClientNumber;
use clientnumber::resources::conditions::{ConditionType, get};
use futures::TryStreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use crate::screen;

struct Seen {
    first: Instant,
    turned: Instant,
    ready: String,
    reason: String,
}

/// Prints the head of the table.
pub fn head() {
    screen::say(&screen::dim(&format!("{:>8}  {:<8} {:<6} {:<14} MESSAGE", "TIME", "LINE", "READY", "REASON")));
}

/// Prints each turn until the task is ended. Start it before the lines are applied: times count from when a line was
/// first seen. `ready` holds how many lines were shown as Ready so far.
pub async fn follow(api: Api<ClientNumber>, ready: watch::Sender<usize>) {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    loop {
        match stream.try_next().await {
            Ok(Some(line)) => {
                turned(&mut all, &line, Instant::now());
                ready.send_replace(all.values().filter(|seen| seen.ready == "True").count());
            }
            Ok(None) => return,
            // The watcher tries again by itself.
            Err(_) => {}
        }
    }
}

fn turned(all: &mut BTreeMap<String, Seen>, line: &ClientNumber, now: Instant) {
    let seen = all.entry(line.uid().unwrap_or_default()).or_insert_with(|| Seen {
        first: now,
        turned: now,
        ready: String::new(),
        reason: String::new(),
    });
    let Some(status) = line.status.as_ref() else { return };
    let Some(condition) = get(&status.conditions, ConditionType::Ready) else { return };
    if seen.ready == condition.status && seen.reason == condition.reason {
        return;
    }
    // Padded before it is coloured: colours have a width for the formatter.
    let ready = format!("{:<6}", condition.status);
    let ready = if condition.status == "True" { screen::green(&ready) } else { ready };
    let took = match seen.reason.as_str() {
        "" => String::new(),
        before => screen::dim(&format!("  ({before} took {})", seconds(now.duration_since(seen.turned)))),
    };
    screen::say(&format!(
        "{:>8}  {:<8} {ready} {:<14} {}{took}",
        seconds(now.duration_since(seen.first)),
        line.name_any(),
        condition.reason,
        condition.message,
    ));
    seen.turned = now;
    seen.ready.clone_from(&condition.status);
    seen.reason.clone_from(&condition.reason);
}

/// `12.3 s`.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
