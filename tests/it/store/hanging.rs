//! A company's database that hangs, and writers that fell far behind: what all companies share stays theirs.

use std::time::Duration;

use super::bed::*;
use crate::support::*;
use anyhow::{Context, Result};
use clientnumber::store::{NewEntry, Outcome, Store, StoreOptions};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_takes_no_more_than_its_share_of_the_connections() -> Result<()> {
    let bed = Bed::start("hanging").await?;
    let (atlas, rif) = (bed.company("atlas", "1").await?, bed.company("rif", "2").await?);
    let proxy = MongoProxy::start(&bed.mongo).await?;
    let options = StoreOptions { max_pool_size: 12, ..StoreOptions::default() };
    let store = Store::connect(&proxy.uri().into(), options).await?;
    let open = async |company| -> Result<_> { store.companies().open(company).await?.context("the company is gone") };
    let (hanging, well) = (open(atlas.company()).await?.log(), open(rif.company()).await?.log());
    let database = atlas.name().to_owned();
    // Only what a writer of this company asks for: the driver's own words go through.
    let its = MongoRule::any().matching(move |request| request.database == database).each();
    let held = proxy.hold(its, Point::BeforeEffect);
    let mut appender = hanging.appender(clock());
    for n in 0..20 {
        let soon = Instant::now() + Duration::from_millis(100);
        let tried = appender.append(vec![message("1", &format!("a{n}"), &format!("MA.{n}"))], soon).await;
        assert!(tried.is_err_and(|error| error.is_transient()), "it hangs");
        // What waits is no reason for the others to wait.
        let items = vec![message("2", &format!("b{n}"), &format!("MA.{n}"))];
        let outcomes = well.appender(clock()).append(items, Instant::now() + Duration::from_secs(5)).await?;
        assert_eq!(outcomes, [Outcome::Stored(n + 2)]);
    }
    held.release();
    let outcomes = appender.append(vec![message("1", "a0", "MA.0")], soon()).await?;
    assert!(matches!(outcomes[..], [Outcome::Stored(_) | Outcome::Duplicate]), "{outcomes:?}");
    whole(&atlas).await?;
    Ok(())
}

#[tokio::test]
async fn a_writer_that_is_thousands_behind_reads_them_in_parts() -> Result<()> {
    let bed = Bed::start("behind").await?;
    let atlas = bed.company("atlas", "1").await?;
    let (mut one, mut other) = (atlas.log().appender(clock()), atlas.log().appender(clock()));
    assert_eq!(one.append(vec![message("1", "first", "MA.1")], soon()).await?, [Outcome::Stored(2)]);
    let many: Vec<NewEntry> = (0..4_100).map(|n| message("1", &format!("m{n}"), "MA.1")).collect();
    let outcomes = other.append(many, Instant::now() + Duration::from_secs(60)).await?;
    assert_eq!(outcomes.last(), Some(&Outcome::Stored(4_102)));
    let outcomes = one.append(vec![message("1", "m4099", "MA.1"), message("1", "last", "MA.1")], soon()).await?;
    assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Stored(4_103)]);
    Ok(())
}
