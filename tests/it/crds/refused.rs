//! Bad manifests, each with the exact words in which the API server refuses it.
//!
//! Where the words are ours they say what to write instead. Kubernetes' own words stand only for wrong types, required
//! fields, enums and keys of lists, which a rule can't reach.

use super::refused_table::table;
use super::*;

/// What a change is made to, and whether it is written at once or to an object that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Create a line that buys its number.
    Line,
    /// Create a line on a number of another operator.
    External,
    /// Create a Portfolio.
    Portfolio,
    /// Update a line that buys its number.
    OldLine,
    /// Update a line on a number of the Telnyx account, in a Portfolio of another namespace.
    OldExisting,
    /// Update a Portfolio.
    OldPortfolio,
}
use To::{External, Line, OldExisting, OldLine, OldPortfolio};

fn base(to: To) -> Value {
    let existing = |carrier| json!({"acquire": null, "existing": {"phoneNumber": "+212612345678", "carrier": carrier}});
    match to {
        Line => line(),
        OldLine => changed(line(), &json!({"metadata": {"name": "old-line"}})),
        External => changed(line(), &json!({"spec": {"number": existing("External")}})),
        OldExisting => changed(
            line(),
            &json!({"metadata": {"name": "old-existing"},
                    "spec": {"portfolioRef": {"namespace": "platform"}, "number": existing("Telnyx")}}),
        ),
        To::Portfolio | OldPortfolio => portfolio(),
    }
}

pub(super) struct Bad {
    pub(super) to: To,
    pub(super) change: Value,
    pub(super) says: String,
}

/// Kubernetes' own words for a wrong type, a missing field or an unknown value, after which it checks no rule.
pub(super) fn own(words: &str) -> String {
    format!(
        "[{words}, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
         correct the existing errors to complete validation]"
    )
}

/// A URL that is refused.
pub(super) fn url(field: &str, value: &str) -> String {
    format!(
        "{field}: Invalid value: \"{value}\": write an https URL such as https://wa.example.ma/path, without user or \
         password; plain http is allowed only to localhost, 127.0.0.1, [::1] or a Service name ending in .svc or \
         .svc.cluster.local"
    )
}

/// Long values shortened, so that the table can be read.
fn short(said: &str) -> String {
    said.split('"')
        .map(|part| if part.len() > 30 && part.bytes().all(|c| c == b'a') { "a…" } else { part })
        .collect::<Vec<_>>()
        .join("\"")
}

#[tokio::test]
async fn bad_manifests_are_refused_in_these_words() -> Result<()> {
    let server = server("refused").await?;
    let mut stored = std::collections::HashMap::new();
    for to in [OldLine, OldExisting, OldPortfolio] {
        let object = base(to);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let path = format!("{}/{name}", server.path(&object));
        let there = match server.create(&object, false).await {
            Err(kube::Error::Api(status)) if status.code == 409 => server.send("GET", &path, &json!(null)).await,
            made => made,
        };
        stored.insert(name, there.with_context(|| format!("{to:?}"))?);
    }
    let table = table();
    assert!(table.len() >= 45);
    let mut wrong = Vec::new();
    for Bad { to, change, says } in table {
        let mut object = base(to);
        let answer = if matches!(to, OldLine | OldExisting | OldPortfolio) {
            object = stored[object["metadata"]["name"].as_str().unwrap_or_default()].clone();
            merge(&mut object, &change);
            server.update(&object).await
        } else {
            merge(&mut object, &change);
            server.create(&object, true).await
        };
        match words(answer) {
            Ok(said) if short(&said) == says => {}
            Ok(said) => wrong.push(format!("{to:?} {change}\n  says:   {}\n  should: {says}", short(&said))),
            Err(error) => wrong.push(format!("{to:?} {change}\n  {error:#}\n  should: {says}")),
        }
    }
    assert!(wrong.is_empty(), "{} of the table:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// The neighbours of what is refused: a rule that refused everything would pass the table above.
#[tokio::test]
async fn what_is_allowed_is_accepted() -> Result<()> {
    let server = server("allowed").await?;
    let spaces: String = "é".repeat(75);
    for (to, change) in [
        (Line, json!({"metadata": {"name": "a".repeat(52)}})),
        (Line, json!({"spec": {"companyId": "a"}})),
        (Line, json!({"spec": {"companyId": "a".repeat(48)}})),
        (Line, json!({"spec": {"displayName": "AB"}})),
        (Line, json!({"spec": {"displayName": spaces}})),
        (Line, json!({"spec": {"displayName": "شركة أطلس"}})),
        (Line, json!({"spec": {"retentionDays": 8}})),
        (Line, json!({"spec": {"retentionDays": 1095}})),
        (Line, json!({"spec": {"monthlyBudgetMad": "0.01"}})),
        (Line, json!({"spec": {"deletionPolicy": "Release"}})),
        (Line, json!({"spec": {"number": {"acquire": {"types": ["local"]}}}})),
        (Line, json!({"spec": {"number": {"acquire": {"country": "FR"}}}})),
        (External, json!({"spec": {"verification": {"method": "Sms", "language": "ar_MA"}}})),
        (External, json!({"spec": {"number": {"existing": {"phoneNumber": "+33612345678"}}}})),
        (External, json!({"spec": {"number": {"existing": {"carrier": "Telnyx"}}, "deletionPolicy": "Release"}})),
        (To::Portfolio, json!({"spec": {"ownerId": "a".repeat(32)}})),
        (To::Portfolio, json!({"spec": {"telnyx": {"baseUrl": "http://127.0.0.1:4010"}}})),
        (To::Portfolio, json!({"spec": {"telnyx": {"baseUrl": "http://[::1]:4010/v2"}}})),
        (To::Portfolio, json!({"spec": {"telnyx": {"voiceUrl": "http://localhost:8080/telnyx/capture.xml"}}})),
        (To::Portfolio, json!({"spec": {"meta": {"baseUrl": "http://sandbox.platform.svc.cluster.local:4020"}}})),
        (To::Portfolio, json!({"spec": {"meta": {"webhookUrl": "http://router.platform.svc/webhook"}}})),
        (To::Portfolio, json!({"spec": {"checkInterval": "1m"}})),
        (To::Portfolio, json!({"spec": {"checkInterval": "24h"}})),
        (To::Portfolio, json!({"spec": {"checkInterval": "1h30m15s"}})),
        (To::Portfolio, json!({"spec": {"limits": {"purchasesPerDay": 5}}})),
        (To::Portfolio, json!({"spec": {"limits": {"minBalanceUsd": "0"}}})),
        (To::Portfolio, json!({"spec": {"limits": {"codeRequests": {"perHour": 2, "perDay": 5, "per72h": 10}}}})),
        (To::Portfolio, json!({"spec": {"allowedNamespaces": {"from": "All"}}})),
        (
            To::Portfolio,
            json!({"spec": {"allowedNamespaces": {"from": "Selector",
                "selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}}}),
        ),
        (
            To::Portfolio, // the day on which one ends is the day on which the next begins
            json!({"spec": {"rateCards": [
                {"validFrom": "2026-10-01", "usdMad": "10.4", "messages": []},
                {"validFrom": "2028-02-29", "validTo": "2028-03-01", "usdMad": "10.5", "messages": []},
            ]}}),
        ),
    ] {
        let mut change = change;
        if let Some(cards) = change.pointer_mut("/spec/rateCards/0") {
            cards["validTo"] = json!("2028-02-29");
        }
        let object = changed(base(to), &change);
        server.create(&object, true).await.with_context(|| change.to_string())?;
    }
    Ok(())
}

/// What may be changed on a line that works.
#[tokio::test]
async fn what_may_change_can_be_changed() -> Result<()> {
    let server = server("changes").await?;
    for (to, changes) in [
        (
            OldLine,
            vec![
                json!({"spec": {"displayName": "Atlas Maroc by Recruto"}}),
                json!({"spec": {"deletionPolicy": "Release", "suspend": true, "retentionDays": 30}}),
                json!({"spec": {"profile": {"about": "Jobs"}, "monthlyBudgetMad": "100"}}),
                // written out or left out: the defaults are the same number
                json!({"spec": {"number": {"acquire": {"country": null, "types": null}}}}),
            ],
        ),
        (
            OldPortfolio,
            vec![
                json!({"spec": {"takeOverFrom": "0b1f", "suspend": true, "checkInterval": "5m"}}),
                json!({"spec": {"meta": {"appId": "7701", "webhookPolicy": "Repair"}, "limits": {"maxNumbers": 40}}}),
            ],
        ),
    ] {
        let object = base(to);
        let path = format!("{}/{}", server.path(&object), object["metadata"]["name"].as_str().unwrap_or_default());
        let there = match server.create(&object, false).await {
            Err(kube::Error::Api(status)) if status.code == 409 => server.send("GET", &path, &json!(null)).await?,
            made => made?,
        };
        for change in changes {
            server.update(&changed(there.clone(), &change)).await.with_context(|| change.to_string())?;
        }
    }
    Ok(())
}
