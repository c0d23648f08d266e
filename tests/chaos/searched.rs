//! Whose texts stand where: in the store, in the replicas' logs and metrics. Each search shows that it can find.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use mongodb::bson::doc;

use super::book::{self, Key};
use super::judge::Truth;
use super::leaks::Markers;
use super::run::{Ended, Scene};
use super::walk::{self, Place};

/// Searches everything; `owners`: of each item of the plan.
pub async fn search(
    scene: &Scene,
    ended: &Ended,
    owners: &[Option<usize>],
    truth: &Truth,
    told: &mut String,
) -> Result<()> {
    let plan = &scene.plan;
    let keys: Vec<Key> = plan.items.iter().map(book::key).collect();
    let certain = truth.wanted.iter().enumerate();
    let certain = certain.flat_map(|(n, wanted)| wanted.must.iter().map(move |key| (key.clone(), n))).collect();
    let markers = Markers::new(plan, &keys, owners, &certain);
    let databases: Vec<String> = scene.companies.iter().map(|company| company.db.name().to_owned()).collect();
    let client = scene.bed.mongo.client().await?;

    let places = walk::store(&client, &markers.finder).await?;
    let mut faults = markers.misplaced(&places, &databases);
    faults.extend(markers.unseen(&places, &databases));
    for collection in ["routes", "companies", "quarantine", "account_events", "line_activity", "sessions"] {
        let place = places.get(&("clientnumber".to_owned(), collection.to_owned()));
        if place.is_none_or(|place| place.documents == 0) {
            faults.push(format!("nothing was searched in clientnumber.{collection}"));
        }
    }
    let (mut logs, mut metrics) = (0, 0);
    for name in ["router-1.log", "router-2.log"] {
        let place = walk::file(&scene.dir.join(name), &markers.finder)?;
        logs += place.bytes;
        faults.extend(markers.any(name, &place));
    }
    for text in &ended.metrics {
        let place = walk::bytes(text.as_bytes(), &markers.finder);
        metrics += place.bytes;
        faults.extend(markers.any("/metrics", &place));
    }
    let more = faults.len().saturating_sub(20);
    faults.truncate(20);
    ensure!(faults.is_empty(), "leaks, or a blind search: {faults:#?} and {more} more");
    ensure!(logs > 1_000_000 && metrics > 100_000, "only {logs} bytes of logs and {metrics} of metrics were searched");
    can_fail(&client, &markers, &databases).await?;

    let documents: usize = places.values().map(|place| place.documents).sum();
    let bytes: usize = places.values().map(|place| place.bytes).sum();
    let mega = |bytes: usize| bytes as f64 / 1e6;
    let found: Vec<String> = markers.seen(&places).iter().map(|(what, n)| format!("{n} {what}")).collect();
    writeln!(told, "| texts looked for, each plain and in base64 | {} |", markers.finder.texts())?;
    writeln!(told, "| ... found, each in its own company's database only | {} |", found.join(", "))?;
    writeln!(told, "| searched: collections, documents | {}, {documents} ({:.1} MB) |", places.len(), mega(bytes))?;
    writeln!(told, "| searched: logs at trace, metrics | {:.1} MB, {:.1} MB |", mega(logs), mega(metrics))?;
    Ok(())
}

/// The search finds what is planted: a text of one company, in base64, in another one's database and in the platform's.
async fn can_fail(client: &mongodb::Client, markers: &Markers, databases: &[String]) -> Result<()> {
    let (_, (number, text)) = markers.samples.first_key_value().context("no text to plant")?;
    let hidden = base64::engine::general_purpose::STANDARD.encode(format!("xy{text}z"));
    let other = databases.last().context("no database")?;
    let planted = [(other.as_str(), "usage"), ("clientnumber", "line_activity")];
    for (database, collection) in planted {
        client.database(database).collection(collection).insert_one(doc! {"planted": {"deep": [&hidden]}}).await?;
    }
    let places = walk::store(client, &markers.finder).await?;
    let found = markers.misplaced(&places, databases);
    ensure!(found.len() == 2, "planted in two places was text {number}, found was: {found:?}");
    let log = Place { documents: 1, ..walk::bytes(format!("msg={hidden}").as_bytes(), &markers.finder) };
    ensure!(markers.any("a log", &log).len() == 1, "what is planted in a log is not found");
    Ok(())
}
