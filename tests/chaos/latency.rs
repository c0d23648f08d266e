//! How soon what the controller and the operator write is heeded by every replica: a new route, a revocation.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clientnumber::router::RouteTable;
use clientnumber::store::{LineRef, Revocation, Store, StoreOptions};
use clientnumber::telemetry::Readiness;
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, Company, line_ref};
use super::process;
use crate::support::client::Client;
use crate::support::flock::quantile;
use crate::support::router::{Router, text_message};
use crate::support::{MongoProxy, MongoRule, Point, run_dir, wait};

const ROUTES: u32 = 100;
/// Of 100 routes, at two replicas, all but one in a hundred are known by then.
const ROUTE_MS: f64 = 100.0;

/// POSTs to a line that a replica did not take for its company, from its metrics.
async fn quarantined(router: &Router) -> Result<u64> {
    let text = router.metrics().await?;
    let values = text.lines().filter(|line| line.starts_with("router_quarantined_total{"));
    Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// A candidate writes to this line, of which `before` POSTs and others are in quarantine, until the replica gives it to the
/// company. When the first such POST was sent, in milliseconds from `written` on; it must be in the company's log then.
async fn first_use(router: &Router, company: &Company, line: &LineRef, before: u64, written: Instant) -> Result<f64> {
    let to = (line.phone_number_id.as_str(), line.phone_number.digits());
    let (mut attempt, mut before) = (0, before);
    let (wamid, sent) = wait::until(Duration::from_secs(20), "the route to be used", async || {
        attempt += 1;
        let wamid = format!("wamid.{}.{}.{attempt}", router.webhook, line.phone_number_id);
        let sent = written.elapsed();
        let status = router.post(text_message(to, &wamid, 1, "salam", json!({}))).await.map_err(|e| e.to_string())?;
        let after = quarantined(router).await.map_err(|error| error.to_string())?;
        let stored = status == 200 && before == after;
        before = after;
        if stored { Ok((wamid, sent)) } else { Err(format!("{status}, in quarantine")) }
    })
    .await?;
    let found = company.db.log().read_before(None, None, 200, 4_000_000).await?;
    let is_there = found.entries.iter().any(|entry| entry.meta_id.as_ref().is_some_and(|id| *id.expose() == wamid));
    ensure!(is_there, "answered and not in the log: {wamid}");
    Ok(sent.as_secs_f64() * 1_000.0)
}

/// Writes new routes and uses each at both replicas; ascending delays.
async fn use_routes(bed: &Bed, company: &Company, routers: [&Router; 2], lines: Range<u32>) -> Result<Vec<f64>> {
    let [one, other] = routers;
    let mut delays = Vec::new();
    for n in lines {
        let line = line_ref(n)?;
        // Of every second one the replicas have heard already, and remember that nobody has it.
        if n.is_multiple_of(2) {
            for router in routers {
                let to = (line.phone_number_id.as_str(), line.phone_number.digits());
                let early = text_message(to, &format!("wamid.early.{n}.{}", router.webhook), 1, "too early", json!({}));
                ensure!(router.post(early).await? == 200);
            }
        }
        let route = bed.prepare_line(company, &line).await?;
        let before = (quarantined(one).await?, quarantined(other).await?);
        bed.store.routes().put(&route, None).await?;
        let written = Instant::now();
        let (a, b) = tokio::try_join!(
            first_use(one, company, &line, before.0, written),
            first_use(other, company, &line, before.1, written),
        )?;
        delays.extend([a, b]);
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

/// The routers' tables themselves, each on a connection of its own: all of which have heard, at the line's first moment too, that
/// nobody has it, so that only news can tell them otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_route_is_known_at_once() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-tables")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let stop = CancellationToken::new();
    let mut tables = Vec::new();
    for _ in 0..2 {
        let table = RouteTable::new(Some(Store::connect(&bed.mongo.uri().into(), StoreOptions::default()).await?));
        let (run, part, ended) = (table.clone(), Readiness::default().part("routes"), stop.clone());
        tokio::spawn(async move { run.run(part, ended).await });
        tables.push(table);
    }
    let mut delays = Vec::new();
    for n in 10_000..10_000 + ROUTES {
        let line = line_ref(n)?;
        let id = &line.phone_number_id;
        for table in &tables {
            wait::until(Duration::from_secs(20), "the table to be fresh", async || match table.find(id).await {
                Ok(looked) => wait::seen(looked.route.is_none(), "there is a route"),
                Err(stale) => wait::Seen::NotYet(stale.to_string()),
            })
            .await?;
        }
        let route = bed.prepare_line(&atlas, &line).await?;
        bed.store.routes().put(&route, None).await?;
        let written = Instant::now();
        let known = async |table: &RouteTable| -> Result<f64> {
            while table.find(id).await?.route.is_none() {
                ensure!(written.elapsed() < Duration::from_secs(20), "not known after 20 s");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(written.elapsed().as_secs_f64() * 1_000.0)
        };
        let (a, b) = tokio::try_join!(known(&tables[0]), known(&tables[1]))?;
        delays.extend([a, b]);
    }
    stop.cancel();
    delays.sort_by(f64::total_cmp);
    let (p50, p99, latest) = (quantile(&delays, 0.5), quantile(&delays, 0.99), quantile(&delays, 1.0));
    println!(
        "{ROUTES} routes at two tables: known {p50:.1} ms (p50), {p99:.1} ms (p99), {latest:.1} ms (latest) after the write"
    );
    ensure!(p99 <= ROUTE_MS, "not within {ROUTE_MS} ms");
    Ok(())
}

/// The same over HTTP: what is told includes the POSTs that came too early, one after the other, and their way into quarantine.
#[tokio::test]
async fn a_new_route_is_used_at_once() -> Result<()> {
    let dir = run_dir("delivery-routes")?;
    let bed = Bed::start(&dir).await?;
    let atlas = bed.company("atlas", 101).await?;
    let (one, other) = (process("one", &dir, &bed.mongo.uri()).await?, process("other", &dir, &bed.mongo.uri()).await?);
    let delays = use_routes(&bed, &atlas, [&one, &other], 1_000..1_000 + ROUTES).await?;
    let (p50, p99, latest) = (quantile(&delays, 0.5), quantile(&delays, 0.99), quantile(&delays, 1.0));
    println!(
        "{ROUTES} routes at two replicas: used by POSTs that were sent {p50:.0} ms (p50), {p99:.0} ms (p99), {latest:.0} ms \
         (latest) after the write"
    );
    ensure!(latest < 1_000.0, "the last one took {latest:.0} ms");
    Ok(())
}

/// Revokes a recruiter who is connected to both replicas; how long each took to tell so.
async fn revoke(bed: &Bed, company: &Company, urls: [&str; 2], name: &str, limit: Duration) -> Result<[Duration; 2]> {
    let mut clients = Vec::new();
    for (device, url) in ["a", "b"].iter().zip(urls) {
        let client = Client::raw(url, company.auth(name, json!({"device": device}))?).await?;
        client.got(0, "caught_up").await?;
        clients.push(client);
    }
    let revocation = Revocation::new(None, Some(name.into()), None, Timestamp::now(), &mut rand::rng());
    bed.store.revocations().insert(&revocation.expect("it names somebody")).await?;
    let began = Instant::now();
    let gone = async |client: &Client| -> Result<Duration> {
        client.within(limit, 0, "revoked", |v| v["args"][0]["reason"] == "revoked").await?;
        let took = began.elapsed();
        client.after(0, "the end", |v| v["event"] == "disconnect").await?;
        Ok(took)
    };
    let (a, b) = tokio::try_join!(gone(&clients[0]), gone(&clients[1]))?;
    Ok([a, b])
}

#[tokio::test]
async fn a_revocation_cuts_on_every_replica() -> Result<()> {
    let dir = run_dir("delivery-revoked")?;
    let bed = Bed::start(&dir).await?;
    let atlas = bed.company("atlas", 101).await?;
    let proxies = [MongoProxy::start(&bed.mongo).await?, MongoProxy::start(&bed.mongo).await?];
    let one = process("one", &dir, &proxies[0].uri()).await?;
    let other = process("other", &dir, &proxies[1].uri()).await?;
    let (one_url, other_url) = (one.url(), other.url());
    let urls = [one_url.as_str(), other_url.as_str()];

    // While the change stream is up: within a second.
    for n in 0..4 {
        let took = revoke(&bed, &atlas, urls, &format!("leaver-{n}"), Duration::from_secs(5)).await?;
        println!("revoked after {took:?}");
        ensure!(took.iter().all(|took| *took < Duration::from_secs(1)), "{took:?}");
    }

    // The stream hangs: no news and no error. Then it breaks and can't be opened any more. Within five seconds.
    let stream = |command: &'static str| MongoRule::command(command).collection("revocations").each();
    let hung: Vec<_> = proxies.iter().map(|proxy| proxy.hold(stream("getMore"), Point::AfterEffect)).collect();
    for hit in &hung {
        hit.wait(Duration::from_secs(20)).await?;
    }
    let took = revoke(&bed, &atlas, urls, "leaver-hung", Duration::from_secs(10)).await?;
    println!("with a stream that hangs: revoked after {took:?}");
    ensure!(took.iter().all(|took| *took < Duration::from_secs(5)), "{took:?}");
    proxies.iter().for_each(MongoProxy::clear);
    let broken: Vec<_> = proxies
        .iter()
        .flat_map(|proxy| ["aggregate", "getMore"].map(|command| proxy.cut(stream(command), Point::BeforeEffect)))
        .collect();
    hung.iter().for_each(|hit| hit.cut());
    for hit in broken.iter().step_by(2) {
        hit.wait(Duration::from_secs(20)).await?;
    }
    let took = revoke(&bed, &atlas, urls, "leaver-broken", Duration::from_secs(10)).await?;
    println!("without a stream: revoked after {took:?}");
    ensure!(took.iter().all(|took| *took < Duration::from_secs(5)), "{took:?}");
    Ok(())
}
