//! The pages that list names which others rely on, against the code: metrics, annotations and what else is set in metadata
//! and at the carrier. Both ways: nothing is missing, nothing is told that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::support::root;

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("{path} can't be read"))
}

/// The cells of each row of a page's tables whose first cell is a name, without backticks.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" |").map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// String literals.
fn literals(source: &str) -> impl Iterator<Item = &str> {
    source.split('"').skip(1).step_by(2)
}

#[test]
fn names_in_metadata_and_at_the_carrier_have_their_line() -> Result<()> {
    let (page, source) = (read("docs/annotations.md")?, read("src/resources/names.rs")?);
    let told: BTreeSet<String> = rows(&page)
        .into_iter()
        .filter_map(|row| row.into_iter().next())
        .flat_map(|cell| cell.split(", ").map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| name.starts_with("clientnumber"))
        // What stands for a value is no part of the name.
        .map(|name| name.split('<').next().unwrap_or_default().to_owned())
        .collect();
    let real: BTreeSet<String> = literals(&source)
        .filter(|name| name.starts_with("clientnumber.dev/") || name.starts_with("clientnumber:"))
        .map(|name| name.split('{').next().unwrap_or_default().to_owned())
        .chain(["clientnumber/".to_owned()])
        .collect();
    ensure!(real.len() > 10, "src/resources/names.rs was not understood: {real:?}");
    ensure!(told == real, "docs/annotations.md lists {told:?}, src/resources/names.rs has {real:?}");
    Ok(())
}

/// A metric as docs/metrics.md tells of it.
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

fn metrics() -> Result<BTreeMap<String, Metric>> {
    let page = read("docs/metrics.md")?;
    let all = rows(&page).into_iter().map(|row| {
        ensure!(row.len() == 4 && !row[3].is_empty(), "docs/metrics.md: {row:?} is no row of four cells");
        let labels = row[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        Ok((row[0].clone(), Metric { kind: row[1].clone(), labels }))
    });
    all.collect()
}

/// Names that a source registers, without what their type adds.
fn registered(source: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (call, unit) in [(".register(", ""), (".register_with_unit(", "_seconds"), (".encode_descriptor(", "")] {
        for rest in source.split(call).skip(1) {
            if let Some(name) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                names.insert(format!("{prefix}{name}{unit}"));
            }
        }
    }
    names
}

#[test]
fn every_metric_has_its_line() -> Result<()> {
    let mut real = BTreeSet::new();
    for (file, prefix) in [
        ("src/telemetry/metrics.rs", ""),
        ("src/telemetry/controller_metrics.rs", "clientnumber_"),
        ("src/router/metrics.rs", ""),
        ("src/delivery/metrics.rs", ""),
    ] {
        real.extend(registered(&read(file)?, prefix));
    }
    let bare = |(name, metric): (String, Metric)| match metric.kind.as_str() {
        "counter" => name.strip_suffix("_total").unwrap_or(&name).to_owned(),
        "info" => name.strip_suffix("_info").unwrap_or(&name).to_owned(),
        _ => name,
    };
    let told: BTreeSet<String> = metrics()?.into_iter().map(bare).collect();
    ensure!(real.len() > 30, "only {real:?} were found in the code");
    ensure!(told == real, "docs/metrics.md lists {told:?}, the code registers {real:?}");
    Ok(())
}

/// What a program's /metrics shows and docs/metrics.md does not: names, types, labels.
pub fn undocumented(shown: &str) -> Result<Vec<String>> {
    let documented = metrics()?;
    let mut wrong = Vec::new();
    for line in shown.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            match documented.get(&format!("{name}{suffix}")) {
                Some(metric) if metric.kind == kind => {}
                other => wrong.push(format!("{line}, told: {:?}", other.map(|metric| &metric.kind))),
            }
        } else if let Some((sample, rest)) = line.split_once('{')
            && !line.starts_with('#')
        {
            let labels: BTreeSet<String> = rest
                .split_once('}')
                .map_or("", |(labels, _)| labels)
                .split("\",")
                .filter_map(|label| label.split_once('=').map(|(name, _)| name.to_owned()))
                .filter(|name| name != "le")
                .collect();
            let of = ["", "_bucket", "_sum", "_count"].iter().find_map(|end| documented.get(sample.strip_suffix(end)?));
            if of.is_none_or(|metric| metric.labels != labels) {
                wrong.push(format!("{sample} with {labels:?}"));
            }
        }
    }
    Ok(wrong)
}

#[test]
fn what_is_shown_otherwise_is_noticed() -> Result<()> {
    let good = "# TYPE clientnumber_purchases counter\nclientnumber_purchases_total{portfolio=\"main\",result=\"owned\"} 1\n\
        # TYPE clientnumber_step_duration_seconds histogram\n\
        clientnumber_step_duration_seconds_bucket{le=\"1.0\",step=\"link\"} 1\n";
    ensure!(undocumented(good)?.is_empty(), "{:?}", undocumented(good)?);
    for bad in [
        "# TYPE clientnumber_purchases gauge",
        "# TYPE clientnumber_surprises counter",
        "clientnumber_purchases_total{company=\"atlas\"} 1",
        "clientnumber_purchases_total{portfolio=\"main\",result=\"owned\",company=\"atlas\"} 1",
    ] {
        ensure!(undocumented(bad)?.len() == 1, "not noticed: {bad}");
    }
    Ok(())
}
