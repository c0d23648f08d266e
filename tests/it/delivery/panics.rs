//! A defect that nobody knows of yet: what panics must not leave clients connected and silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clientnumber::delivery::KeySource;
use clientnumber::domain::{Clock, SystemClock};
use jiff::Timestamp;
use serde_json::json;

use super::bed::{Bed, SECRET};
use crate::support::client::Client;
use crate::support::run_dir;

/// Panics when it is asked for the time so often; 0: never.
#[derive(Default)]
struct Planted(AtomicUsize);

impl Clock for Planted {
    fn now(&self) -> Timestamp {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(left != Ok(1), "planted");
        SystemClock.now()
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }
}

#[tokio::test]
async fn clients_hear_on_or_are_told() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-panics")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let clock = Arc::new(Planted::default());
    let replica = bed
        // Nothing else asks for the time.
        .replica_of(&bed.store, KeySource::Hs256(SECRET.to_owned().into()), clock.clone(), |settings| {
            settings.control_poll = Duration::from_secs(3600);
        })
        .await?;
    let fatima = Client::raw(&replica.url, atlas.auth("fatima", json!({}))?).await?;
    fatima.got(0, "caught_up").await?;
    fatima.has(atlas.hears("all is well").await?).await?;

    // The company's reader, amid taking an entry in.
    clock.0.store(1, Ordering::Relaxed);
    fatima.has(atlas.hears("read in spite of that").await?).await?;
    fatima.has(atlas.hears("and this").await?).await?;
    assert_eq!(clock.0.load(Ordering::Relaxed), 0);
    assert!(fatima.said().iter().all(|v| v["event"] != "disconnect"));

    // The connection itself, once its client has acked.
    clock.0.store(2, Ordering::Relaxed);
    let last = atlas.hears("the last one here").await?;
    fatima.has(last).await?;
    fatima.after(0, "the end of the connection", |v| v["event"] == "disconnect").await?;
    Ok(())
}
