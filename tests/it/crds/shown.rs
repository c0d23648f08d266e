//! What `kubectl` shows of both kinds: names, columns, selectable fields, and an explanation of every field.

use super::reference::fields;
use super::*;

#[test]
fn every_field_is_explained() -> Result<()> {
    for crd in crds::crds() {
        let fields = fields(&crd)?;
        assert!(fields.len() > 60, "only {} fields were found", fields.len());
        for field in fields {
            let (path, text) = (field.path, field.text);
            let kind = &crd.spec.names.kind;
            assert!(text.len() > 3 && text.ends_with(['.', ']']), "{kind} {path} has no sentence: {text:?}");
            assert!(!text.contains("  ") && !text.contains('\n'), "{kind} {path}: {text:?}");
            for rust in ["serde", "Option<", "Vec<", "::", "derive"] {
                assert!(!text.contains(rust), "{kind} {path} speaks Rust: {text:?}");
            }
        }
    }
    Ok(())
}

/// No rule of Kubernetes' own that answers with a regular expression, and nothing nullable.
#[test]
fn the_schema_refuses_in_sentences() -> Result<()> {
    fn look(path: &str, schema: &Value) {
        match schema {
            Value::Object(map) => {
                let is_schema = map.contains_key("type") && !map["type"].is_object();
                for (key, value) in map {
                    if is_schema {
                        for silent in ["pattern", "minLength", "oneOf", "anyOf", "nullable", "not"] {
                            assert!(key != silent, "{path} uses {silent}");
                        }
                        assert!(
                            key != "enum" || !value.as_array().unwrap().contains(&Value::Null),
                            "{path} allows null"
                        );
                        assert!(key != "format" || ["int32", "int64", "date-time"].contains(&value.as_str().unwrap()));
                    }
                    look(&format!("{path}.{key}"), value);
                }
            }
            Value::Array(items) => {
                for item in items {
                    if let Some(rule) = item.get("rule") {
                        let message = item["message"].as_str().unwrap_or_default();
                        assert!(message.len() > 5 && !message.ends_with('.'), "{path}: {rule} has no message");
                    }
                    look(path, item);
                }
            }
            _ => {}
        }
    }
    for crd in crds::crds() {
        let crd = serde_json::to_value(&crd)?;
        look("", crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("no spec")?);
    }
    Ok(())
}

#[tokio::test]
async fn names_and_categories() -> Result<()> {
    let server = server("names").await?;
    let group: Value = server.send("GET", "/apis/clientnumber.dev/v1alpha1", &Value::Null).await?;
    let resources = group["resources"].as_array().context("no resources")?;
    for (kind, plural, singular, short) in
        [("ClientNumber", "clientnumbers", "clientnumber", "cn"), ("Portfolio", "portfolios", "portfolio", "pf")]
    {
        let it = resources.iter().find(|r| r["name"] == plural).with_context(|| format!("{plural} is not served"))?;
        assert_eq!(it["kind"], kind);
        assert_eq!(it["singularName"], singular);
        assert_eq!(it["shortNames"], json!([short]));
        assert_eq!(it["categories"], json!(["messaging"]));
        assert_eq!(it["namespaced"], true);
        // A category that is also a name breaks `kubectl get <name>`.
        assert!(resources.iter().all(|r| r["name"] != "messaging" && r["singularName"] != "messaging"));
        assert!(resources.iter().any(|r| r["name"] == format!("{plural}/status")), "no status subresource");
    }
    Ok(())
}

async fn kubectl_shows(args: &[&str], want: &[&str]) -> Result<()> {
    let shown = ControlPlane::shared().await?.kubectl(args).await?;
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for want in want {
        assert!(flat.contains(want), "kubectl {args:?} lacks {want:?}:\n{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_knows_the_names_and_explains() -> Result<()> {
    let server = server("kubectl").await?;
    server.create(&changed(line(), &json!({"metadata": {"name": "by-name"}})), false).await.ok();
    server.create(&changed(portfolio(), &json!({"metadata": {"name": "by-name"}})), false).await.ok();
    let namespace = server.namespace.as_str();
    kubectl_shows(&["get", "cn", "-n", namespace], &["NUMBER READY REASON COMPANY COST AGE", "atlas"]).await?;
    kubectl_shows(&["get", "pf", "-n", namespace], &["READY REASON USED LIMIT BALANCE AGE"]).await?;
    kubectl_shows(
        &["get", "messaging", "-n", namespace, "-o", "name"],
        &["clientnumber.clientnumber.dev/by-name", "portfolio.clientnumber.dev/by-name"],
    )
    .await?;
    kubectl_shows(&["get", "clientnumber", "by-name", "-n", namespace], &["atlas"]).await?;
    kubectl_shows(
        &["explain", "clientnumber"],
        &["DESCRIPTION: The WhatsApp line of one client company: which company, under which name, on which number."],
    )
    .await?;
    kubectl_shows(
        &["explain", "clientnumber.spec"],
        &["companyId <string> -required-", "deletionPolicy <string> enum: Retain, Release"],
    )
    .await?;
    kubectl_shows(
        &["explain", "cn.spec.number.existing"],
        &["phoneNumber <string> -required- The number in international form, for example +212612345678."],
    )
    .await?;
    kubectl_shows(
        &["explain", "portfolio"],
        &["DESCRIPTION: The platform's accounts that lines are made from: a Telnyx account, a Meta business portfolio"],
    )
    .await?;
    kubectl_shows(&["explain", "pf.spec.rateCards"], &["validTo <string> First day on which it no longer holds"]).await
}

/// The table that `kubectl get` prints, as the API server makes it: names with priority, and the first row.
async fn table(server: &Server, path: &str) -> Result<(Vec<(String, i64)>, Vec<Value>)> {
    let request = Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = server.client.request(request.body(Vec::new()).unwrap()).await?;
    let columns = table["columnDefinitions"].as_array().context("no columns")?;
    let columns = columns
        .iter()
        .map(|c| (c["name"].as_str().unwrap_or_default().to_owned(), c["priority"].as_i64().unwrap_or(-1)))
        .collect();
    Ok((columns, table["rows"][0]["cells"].as_array().cloned().unwrap_or_default()))
}

fn columns(shown: &[&str], wide: &[&str]) -> Vec<(String, i64)> {
    let of = |names: &[&str], priority| names.iter().map(move |n| ((*n).to_owned(), priority)).collect::<Vec<_>>();
    [of(&["Name"], 0), of(shown, 0), of(wide, 1)].concat()
}

/// Stores a status as the controller would.
async fn with_status(server: &Server, object: Value, status: Value) -> Result<String> {
    let name = object["metadata"]["name"].as_str().context("no name")?.to_owned();
    let path = format!("{}/{name}", server.path(&object));
    let mut there = match server.create(&object, false).await {
        Err(kube::Error::Api(answer)) if answer.code == 409 => server.send("GET", &path, &Value::Null).await?,
        made => made?,
    };
    there["status"] = status;
    let stored = server.send("PUT", &format!("{path}/status"), &there).await?;
    assert_eq!(stored["status"], there["status"], "a field of status was dropped");
    Ok(path)
}

fn ready(reason: &str, message: &str) -> Value {
    json!([{"type": "Ready", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": "2026-11-24T12:00:00Z", "observedGeneration": 1}])
}

#[tokio::test]
async fn columns_of_a_line() -> Result<()> {
    let server = server("columns").await?;
    let status = json!({
        "observedGeneration": 1, "phoneNumber": "+212612345678", "phoneNumberId": "106540352242922", "step": "Register",
        "conditions": ready("NameInReview", "Meta reviews the name."), "line": {"qualityRating": "GREEN"},
        "cost": {"monthlyUsd": "1.1", "monthlyMad": "11.55", "rateCard": "2026-01-01", "display": "11.55 MAD"},
    });
    let path = with_status(&server, line(), status).await?;
    let (names, cells) = table(&server, &path).await?;
    let shown = ["Number", "Ready", "Reason", "Company", "Cost", "Age"];
    let wide = ["Step", "Phone Number ID", "Quality", "Message"];
    assert_eq!(names, columns(&shown, &wide));
    let want = ["line", "+212612345678", "False", "NameInReview", "atlas", "11.55 MAD"];
    assert_eq!(cells[..6], want.map(|c| json!(c)));
    assert_eq!(cells[7..], ["Register", "106540352242922", "GREEN", "Meta reviews the name."].map(|c| json!(c)));
    Ok(())
}

#[tokio::test]
async fn columns_of_a_portfolio() -> Result<()> {
    let server = server("columns").await?;
    let status = json!({
        "observedGeneration": 1, "balanceUsd": "43.20", "conditions": ready("TokenRefused", "Renew the token."),
        "numbers": {"used": 3, "limit": 20, "reserved": 1, "ready": 2, "onboarding": 4, "stalled": 5, "retained": 6,
                    "orphaned": 7, "awaitingManualDeletion": 8},
    });
    let path = with_status(&server, portfolio(), status).await?;
    let (names, cells) = table(&server, &path).await?;
    let shown = ["Ready", "Reason", "Used", "Limit", "Balance", "Age"];
    assert_eq!(names, columns(&shown, &["Onboarding", "Stalled", "Orphaned", "Message"]));
    assert_eq!(cells[..6], [json!("main"), json!("False"), json!("TokenRefused"), json!(3), json!(20), json!("43.20")]);
    assert_eq!(cells[7..], [json!(4), json!(5), json!(7), json!("Renew the token.")]);
    Ok(())
}

#[tokio::test]
async fn selectable_fields_select() -> Result<()> {
    let server = server("selected").await?;
    let named = |name: &str, change: Value| changed(changed(line(), &change), &json!({"metadata": {"name": name}}));
    server.create(&named("one", json!({"spec": {"companyId": "rif"}})), false).await.ok();
    server.create(&named("two", json!({"spec": {"portfolioRef": {"name": "other"}}})), false).await.ok();
    let numbered = json!({"observedGeneration": 1, "phoneNumber": "+212612345699"});
    with_status(&server, named("three", json!({})), numbered).await?;
    for (selector, want) in [
        ("spec.companyId=rif", vec!["one"]),
        ("spec.companyId=atlas", vec!["three", "two"]),
        ("spec.portfolioRef.name=other", vec!["two"]),
        ("spec.companyId=atlas,spec.portfolioRef.name=main", vec!["three"]),
        ("status.phoneNumber=%2B212612345699", vec!["three"]),
        ("status.phoneNumber!=%2B212612345699", vec!["one", "two"]),
        ("spec.companyId=nobody", vec![]),
    ] {
        let path = format!("{}?fieldSelector={selector}", server.path(&line()));
        let list = server.send("GET", &path, &Value::Null).await.with_context(|| selector.to_owned())?;
        let names: Vec<&str> =
            list["items"].as_array().into_iter().flatten().filter_map(|o| o["metadata"]["name"].as_str()).collect();
        assert_eq!(names, want, "{selector}");
    }
    let unknown = format!("{}?fieldSelector=spec.displayName%3DAtlas", server.path(&line()));
    assert!(server.send("GET", &unknown, &Value::Null).await.is_err(), "a field that isn't selectable was taken");
    Ok(())
}

/// A status that was written without observedGeneration is still one that nobody has seen.
#[tokio::test]
async fn status_starts_unseen() -> Result<()> {
    let server = server("unseen").await?;
    for object in [line(), portfolio()] {
        let object = changed(object, &json!({"status": {"observedGeneration": 7}}));
        let stored = server.create(&object, true).await?;
        assert_eq!(stored["status"], json!({"observedGeneration": -1}), "{}", object["kind"]);
    }
    Ok(())
}
