//! `retained`: numbers that are kept for a company, paid for and without a line, with age and rent, and what may be done
//! about one. It only reads what the Portfolios' status lists.

use std::fmt::Write as _;

use anyhow::Context;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::Serialize;

use super::{Failure, block_on, kubernetes};
use crate::domain::{NamespacedName, Usd};
use crate::resources::Portfolio;

/// Arguments of `retained`.
#[derive(clap::Args)]
pub struct RetainedArgs {
    /// Namespace of the Portfolios. Default: the current context's.
    #[arg(short, long, conflicts_with_all = ["all_namespaces", "portfolio"])]
    namespace: Option<String>,
    /// The Portfolios of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "portfolio")]
    all_namespaces: bool,
    /// One Portfolio.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    portfolio: Option<NamespacedName>,
    /// How it is shown.
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Lists the numbers.
pub fn retained(args: &RetainedArgs) -> Result<(), Failure> {
    block_on(async move {
        let client = kubernetes().await?;
        let portfolios = match (&args.portfolio, &args.namespace) {
            (Some(one), _) => {
                let api: Api<Portfolio> = Api::namespaced(client, &one.namespace);
                let found = api.get_opt(&one.name).await?;
                vec![found.with_context(|| format!("there is no Portfolio {one}: see kubectl get portfolios -A"))?]
            }
            (None, _) if args.all_namespaces => Api::<Portfolio>::all(client).list(&ListParams::default()).await?.items,
            (None, namespace) => {
                let namespace = namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
                Api::<Portfolio>::namespaced(client, &namespace).list(&ListParams::default()).await?.items
            }
        };
        let list = List::of(&portfolios);
        match args.output {
            Output::Table => print!("{}", list.table(Timestamp::now())),
            Output::Json => println!("{}", serde_json::to_string_pretty(&list)?),
        }
        Ok(())
    })
}

/// One number.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    phone_number: String,
    company_id: String,
    portfolio: String,
    since: String,
    /// USD; null: not known.
    monthly_usd: Option<String>,
    /// The rent is the rate card's.
    estimated: bool,
    #[serde(skip)]
    at: Timestamp,
}

/// All of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    numbers: Vec<Kept>,
    /// USD, of those whose rent is known.
    total_monthly_usd: String,
    /// Numbers whose rent is not known.
    unknown: usize,
}

impl List {
    fn of(portfolios: &[Portfolio]) -> Self {
        let mut numbers: Vec<Kept> = Vec::new();
        for portfolio in portfolios {
            let name = NamespacedName::new(portfolio.namespace().unwrap_or_default(), portfolio.name_any());
            for kept in portfolio.status.iter().flat_map(|status| status.retained.iter()) {
                numbers.push(Kept {
                    phone_number: kept.phone_number.clone(),
                    company_id: kept.company_id.clone(),
                    portfolio: name.to_string(),
                    since: kept.since.0.to_string(),
                    monthly_usd: kept.monthly_usd.clone(),
                    estimated: kept.estimated,
                    at: kept.since.0,
                });
            }
        }
        // The oldest first: what has been paid for nothing longest.
        numbers.sort_by(|a, b| (a.at, &a.phone_number).cmp(&(b.at, &b.phone_number)));
        let rents: Vec<Usd> = numbers.iter().filter_map(|n| Usd::parse(n.monthly_usd.as_deref()?).ok()).collect();
        let unknown = numbers.len() - rents.len();
        let total = rents.into_iter().fold(Usd::default(), |sum, rent| sum + rent);
        Self { numbers, total_monthly_usd: total.to_string(), unknown }
    }

    fn table(&self, now: Timestamp) -> String {
        if self.numbers.is_empty() {
            return "no number is kept without a line\n".into();
        }
        let mut rows = vec![["NUMBER", "COMPANY", "PORTFOLIO", "SINCE", "AGE", "USD A MONTH"].map(str::to_owned)];
        for kept in &self.numbers {
            let rent = kept.monthly_usd.clone().unwrap_or_else(|| "unknown".into());
            let rent = if kept.estimated { format!("{rent} (rate card)") } else { rent };
            let since = kept.at.strftime("%Y-%m-%d").to_string();
            rows.push([
                kept.phone_number.clone(),
                kept.company_id.clone(),
                kept.portfolio.clone(),
                since,
                age(kept.at, now),
                rent,
            ]);
        }
        let widths: Vec<usize> =
            (0..6).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
        let mut text = String::new();
        for row in rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(text, "{}", cells.join("   ").trim_end());
        }
        let unknown = match self.unknown {
            0 => String::new(),
            n => format!(", and {n} whose rent is not known"),
        };
        let count = self.numbers.len();
        let _ = writeln!(text, "\n{count} kept, {} USD a month{unknown}", self.total_monthly_usd);
        text.push_str(
            "To use one again, apply a ClientNumber of its company in its Portfolio: it is taken before any is bought.\n\
             To give one up, apply one with number.existing and deletionPolicy Release, and delete it when it has the number.\n",
        );
        text
    }
}

fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn portfolio(name: &str, retained: &Value) -> Portfolio {
        let secret = json!({"name": "s", "key": "k"});
        serde_json::from_value(json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "Portfolio",
            "metadata": {"name": name, "namespace": "platform"},
            "spec": {"ownerId": "prod", "telnyx": {"apiKeySecretRef": secret},
                "meta": {"businessId": "1", "wabaId": "2", "appId": "3", "accessTokenSecretRef": secret,
                    "appSecretSecretRef": secret}},
            "status": {"observedGeneration": 1, "retained": retained},
        }))
        .unwrap()
    }

    #[test]
    fn the_table() {
        let main = portfolio(
            "main",
            &json!([
                {"phoneNumber": "+212612345678", "companyId": "atlas", "since": "2026-11-20T10:00:00Z", "monthlyUsd": "1.1"},
                {"phoneNumber": "+212612345679", "companyId": "rif-foods", "since": "2026-11-01T10:00:00Z",
                    "monthlyUsd": "1.25", "estimated": true},
            ]),
        );
        let other = portfolio(
            "other",
            &json!([{"phoneNumber": "+33637000001", "companyId": "atlas", "since": "2026-11-24T09:00:00Z"}]),
        );
        let list = List::of(&[main, other]);
        let now = "2026-11-24T10:30:00Z".parse().unwrap();
        let table = list.table(now);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "NUMBER          COMPANY     PORTFOLIO        SINCE        AGE   USD A MONTH",
                "+212612345679   rif-foods   platform/main    2026-11-01   23d   1.25 (rate card)",
                "+212612345678   atlas       platform/main    2026-11-20   4d    1.1",
                "+33637000001    atlas       platform/other   2026-11-24   1h    unknown",
                "",
                "3 kept, 2.35 USD a month, and 1 whose rent is not known",
            ],
            "{table}"
        );
        let json = serde_json::to_value(&list).unwrap();
        assert_eq!(json["totalMonthlyUsd"], "2.35");
        assert_eq!(json["numbers"][0]["phoneNumber"], "+212612345679");
        assert_eq!(json["numbers"][2]["monthlyUsd"], Value::Null);
        assert_eq!(List::of(&[]).table(now), "no number is kept without a line\n");
    }
}
