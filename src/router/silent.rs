//! Lines that fell silent: at work, and named by no webhook for a day. One company's may be quiet by itself; when many are,
//! Meta sends their webhooks elsewhere, or nowhere.
//!
//! Every replica counts the same from the shared `line_activity`. Must never tell which lines they are: a metric has no room
//! for numbers, and the controller says it on each line.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use crate::domain::{PhoneNumberId, SharedClock};
use crate::store::{LineActivity, Route, StoreError};

use super::routes::RouteTable;

/// So long is quiet; a weekend of a small company is longer, so that a single line is no alarm.
const QUIET: Duration = Duration::from_secs(24 * 3600);
const LOOK: Duration = Duration::from_secs(60);
/// Lines in one query.
const CHUNK: usize = 1000;

/// Counts every minute until `stop`.
pub async fn run(
    activity: LineActivity,
    routes: RouteTable,
    gauge: Gauge,
    clock: SharedClock,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if !routes.is_fresh() {
            continue;
        }
        match look(&activity, &routes.active(), clock.now()).await {
            Ok(count) => drop(gauge.set(i64::try_from(count).unwrap_or(i64::MAX))),
            Err(error) => {
                tracing::info!(%error, "silent lines could not be counted; they are counted again by themselves")
            }
        }
    }
}

async fn look(activity: &LineActivity, lines: &[Arc<Route>], now: Timestamp) -> Result<usize, StoreError> {
    let mut count = 0;
    for chunk in lines.chunks(CHUNK) {
        let ids: Vec<PhoneNumberId> = chunk.iter().map(|route| route.phone_number_id.clone()).collect();
        count += silent(chunk, &activity.last_of(&ids).await?, now);
    }
    Ok(count)
}

/// How many of the lines are silent. One whose route was written a moment ago has had no time to speak. The dates are as
/// they stand in the store: one that no clock will ever show is no reason to stop counting. Pure.
fn silent(lines: &[Arc<Route>], last: &HashMap<PhoneNumberId, Timestamp>, now: Timestamp) -> usize {
    let quiet = |route: &&Arc<Route>| {
        let heard = last.get(&route.phone_number_id).copied().unwrap_or(route.updated_at);
        heard.max(route.updated_at).checked_add(QUIET).is_ok_and(|until| until < now)
    };
    lines.iter().filter(quiet).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_without_a_webhook() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ago = |hours: i64| now - Duration::from_secs(hours.unsigned_abs() * 3600);
        let route = |id: &str, written: Timestamp| {
            Arc::new(Route { phone_number_id: id.parse().unwrap(), updated_at: written, ..Route::example() })
        };
        for (what, written, heard, want) in [
            ("new", ago(1), None, 0),
            ("never heard of", ago(25), None, 1),
            ("heard of today", ago(100), Some(ago(23)), 0),
            ("heard of before yesterday", ago(100), Some(ago(25)), 1),
            ("changed hands today, heard of before", ago(2), Some(ago(50)), 0),
            ("heard of at a time that no clock shows", ago(100), Some(Timestamp::MAX), 0),
            ("heard of before all time", ago(100), Some(Timestamp::MIN), 1),
            ("written at a time that no clock shows", Timestamp::MAX, None, 0),
        ] {
            let last: HashMap<_, _> = heard.map(|at| ("1".parse().unwrap(), at)).into_iter().collect();
            assert_eq!(silent(&[route("1", written)], &last, now), want, "{what}");
        }
    }
}
