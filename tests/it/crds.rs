//! Both CustomResourceDefinitions on a real API server: what is accepted, what the defaults are, what is refused and in
//! which words, and what `kubectl get` and `kubectl explain` show.
//!
//! Must never compare with the schema that our own code prints where the API server's answer can be asked for.

// A test may panic; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod reference;
mod refused;
mod refused_table;
mod shown;

use crate::support::*;
use anyhow::{Context, Result, bail};
use axum::http::Request;
use clientnumber::resources::crds;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// A client of an API server that knows both kinds, and a namespace of the test's own.
async fn server(namespace: &str) -> Result<Server> {
    let client = ControlPlane::shared().await?.client().await?;
    install(&client).await?;
    let name = format!("crds-{namespace}");
    let object = Namespace {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.patch(&name, &PatchParams::apply("test"), &Patch::Apply(&object)).await?;
    Ok(Server { client, namespace: name })
}

/// Applies both definitions and waits until they are established and served.
async fn install(client: &Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::crds() {
        let name = crd.metadata.name.clone().context("a definition without a name")?;
        definitions.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&crd)).await?;
        wait::until(SOON, &format!("{name} to be established"), async || {
            let now = definitions.get(&name).await.map_err(|e| e.to_string())?;
            let conditions = now.status.and_then(|s| s.conditions).unwrap_or_default();
            let holds = |what: &str| conditions.iter().any(|c| c.type_ == what && c.status == "True");
            if conditions.iter().any(|c| c.type_ == "NonStructuralSchema" && c.status == "True") {
                return Err(format!("the schema is not structural: {conditions:?}"));
            }
            if holds("Established") && holds("NamesAccepted") { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await?;
        wait::until(SOON, &format!("{name} to be served"), async || {
            let list = Request::get(format!("/apis/clientnumber.dev/v1alpha1/{}", crd.spec.names.plural));
            client.request_text(list.body(Vec::new()).unwrap()).await.map(|_| ()).map_err(|e| e.to_string())
        })
        .await?;
    }
    Ok(())
}

struct Server {
    client: Client,
    namespace: String,
}

impl Server {
    fn path(&self, object: &Value) -> String {
        let plural = if object["kind"] == "Portfolio" { "portfolios" } else { "clientnumbers" };
        format!("/apis/clientnumber.dev/v1alpha1/namespaces/{}/{plural}", self.namespace)
    }

    async fn send(&self, method: &str, path: &str, object: &Value) -> Result<Value, kube::Error> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.client.request(request.body(object.to_string().into_bytes()).unwrap()).await
    }

    /// Creates an object, for a trial or for good.
    async fn create(&self, object: &Value, trial: bool) -> Result<Value, kube::Error> {
        let path = self.path(object) + if trial { "?dryRun=All" } else { "" };
        let mut object = object.clone();
        object["metadata"]["namespace"] = json!(self.namespace);
        self.send("POST", &path, &object).await
    }

    /// Replaces an object on trial.
    async fn update(&self, object: &Value) -> Result<Value, kube::Error> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.send("PUT", &format!("{}/{name}?dryRun=All", self.path(object)), object).await
    }
}

/// The least that a line needs.
fn line() -> Value {
    json!({
        "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber", "metadata": {"name": "line"},
        "spec": {"companyId": "atlas", "displayName": "Atlas by Recruto", "portfolioRef": {"name": "main"},
                 "number": {"acquire": {}}},
    })
}

/// The least that a Portfolio needs.
fn portfolio() -> Value {
    json!({
        "apiVersion": "clientnumber.dev/v1alpha1", "kind": "Portfolio", "metadata": {"name": "main"},
        "spec": {
            "ownerId": "prod-ma",
            "telnyx": {"apiKeySecretRef": {"name": "telnyx", "key": "apiKey"}},
            "meta": {"businessId": "1020", "wabaId": "104", "appId": "7700",
                     "accessTokenSecretRef": {"name": "meta", "key": "accessToken"},
                     "appSecretSecretRef": {"name": "meta", "key": "appSecret"}},
        },
    })
}

/// Changes an object as a JSON merge patch does: null removes.
fn merge(object: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *object = change.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in change {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], value);
        }
    }
}

fn changed(mut object: Value, change: &Value) -> Value {
    merge(&mut object, change);
    object
}

fn samples() -> Result<Vec<(String, Value)>> {
    ["portfolio.yaml", "clientnumber.yaml", "clientnumber-external.yaml"]
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(root().join("config/samples").join(file))?;
            Ok((file.to_owned(), serde_yaml::from_str(&text).with_context(|| file.to_owned())?))
        })
        .collect()
}

#[test]
fn the_files_are_what_the_code_prints() -> Result<()> {
    for crd in crds::crds() {
        let file = root().join("crds").join(crds::file_name(&crd));
        let kept = std::fs::read_to_string(&file)?;
        assert!(kept == crds::to_yaml(&crd), "{} is old: run `cargo run -- crds --write crds`", file.display());
    }
    assert_eq!(std::fs::read_dir(root().join("crds"))?.count(), crds::crds().len());
    Ok(())
}

#[tokio::test]
async fn the_samples_are_accepted_and_kept_as_written() -> Result<()> {
    let server = server("samples").await?;
    for (file, sample) in samples()? {
        let stored = server.create(&sample, true).await.with_context(|| file.clone())?;
        assert_eq!(stored["status"], json!({"observedGeneration": -1}), "{file}");
        kept(&format!("{file} spec"), &sample["spec"], &stored["spec"]);
    }
    Ok(())
}

/// What was written is stored as it was written; defaults may stand beside it.
fn kept(path: &str, written: &Value, stored: &Value) {
    match (written, stored) {
        (Value::Object(written), Value::Object(_)) => {
            for (key, value) in written {
                kept(&format!("{path}.{key}"), value, &stored[key]);
            }
        }
        (Value::Array(written), Value::Array(others)) => {
            assert_eq!(written.len(), others.len(), "{path}");
            for (i, (value, other)) in written.iter().zip(others).enumerate() {
                kept(&format!("{path}[{i}]"), value, other);
            }
        }
        _ => assert_eq!(written, stored, "{path} was dropped or changed"),
    }
}

/// Field, and what it is when nobody wrote it.
fn defaults() -> [(&'static str, Vec<(&'static str, Value)>); 2] {
    let line = vec![
        ("/spec/number/acquire/country", json!("MA")),
        ("/spec/number/acquire/types", json!(["mobile", "national", "local"])),
        ("/spec/verification", json!({"method": "Voice", "language": "en_US"})),
        ("/spec/retentionDays", json!(730)),
        ("/spec/deletionPolicy", json!("Retain")),
        ("/spec/suspend", json!(false)),
        ("/status/observedGeneration", json!(-1)),
    ];
    let portfolio = vec![
        ("/spec/takeOverFrom", json!("")),
        ("/spec/telnyx/baseUrl", json!("https://api.telnyx.com/v2")),
        ("/spec/meta/graphVersion", json!("v25.0")),
        ("/spec/meta/baseUrl", json!("https://graph.facebook.com")),
        ("/spec/meta/webhookPolicy", json!("Report")),
        ("/spec/limits/maxNumbers", json!(20)),
        ("/spec/limits/purchasesPerHour", json!(5)),
        ("/spec/limits/purchasesPerDay", json!(20)),
        ("/spec/limits/concurrentOnboardings", json!(4)),
        ("/spec/limits/minBalanceUsd", json!("5.00")),
        ("/spec/limits/maxMonthlyUsdPerNumber", json!("5.00")),
        ("/spec/limits/maxUpfrontUsdPerNumber", json!("5.00")),
        ("/spec/limits/codeRequests", json!({"perHour": 1, "perDay": 3, "per72h": 8})),
        ("/spec/limits/registrations/per72h", json!(8)),
        ("/spec/checkInterval", json!("1h")),
        ("/spec/allowedNamespaces", json!({"from": "Same"})),
        ("/spec/suspend", json!(false)),
        ("/status/observedGeneration", json!(-1)),
    ];
    [("ClientNumber", line), ("Portfolio", portfolio)]
}

/// Left out, and null written out, which backends do.
#[tokio::test]
async fn defaults_come_out_as_documented() -> Result<()> {
    let server = server("defaults").await?;
    for ((kind, fields), object) in defaults().into_iter().zip([line(), portfolio()]) {
        let plain = server.create(&object, true).await?;
        let mut nulls = object.clone();
        for (path, _) in fields.iter().filter(|(path, _)| path.starts_with("/spec")) {
            *place(&mut nulls, path) = Value::Null;
        }
        let nulls = server.create(&nulls, true).await.with_context(|| format!("{kind} with null for each default"))?;
        for (path, want) in fields {
            assert_eq!(plain.pointer(path), Some(&want), "{kind}{path}");
            assert_eq!(nulls.pointer(path), Some(&want), "{kind}{path} given as null");
        }
    }
    Ok(())
}

/// Blocks that are written in part get the rest.
#[tokio::test]
async fn defaults_fill_what_is_written_in_part() -> Result<()> {
    let server = server("partial").await?;
    let limits = json!({"spec": {"limits": {"maxNumbers": 2, "codeRequests": {"perDay": 2}}}});
    let stored = server.create(&changed(portfolio(), &limits), true).await?;
    assert_eq!(stored["spec"]["limits"]["maxNumbers"], 2);
    assert_eq!(stored["spec"]["limits"]["purchasesPerDay"], 20);
    assert_eq!(stored["spec"]["limits"]["codeRequests"], json!({"perHour": 1, "perDay": 2, "per72h": 8}));
    assert_eq!(stored["spec"]["limits"]["registrations"], json!({"per72h": 8}));

    let existing = json!({"spec": {"number": {"acquire": null, "existing": {"phoneNumber": "+212612345678"}}}});
    let stored = server.create(&changed(line(), &existing), true).await?;
    assert_eq!(stored["spec"]["number"], json!({"existing": {"phoneNumber": "+212612345678", "carrier": "Telnyx"}}));

    let verification = json!({"spec": {"verification": {}}});
    let stored = server.create(&changed(line(), &verification), true).await?;
    assert_eq!(stored["spec"]["verification"], json!({"method": "Voice", "language": "en_US"}));
    Ok(())
}

/// Optional fields without a default: null is the same as left out.
#[tokio::test]
async fn null_is_left_out() -> Result<()> {
    let server = server("nulls").await?;
    for (object, paths) in [
        (
            line(),
            vec![
                "/spec/profile",
                "/spec/monthlyBudgetMad",
                "/spec/portfolioRef/namespace",
                "/spec/number/existing",
                "/spec/profile/about",
                "/spec/profile/vertical",
                "/spec/profile/websites",
                "/spec/profile/photoUrl",
            ],
        ),
        (
            portfolio(),
            vec![
                "/spec/telnyx/voiceUrl",
                "/spec/telnyx/voiceConnectionId",
                "/spec/telnyx/requirementGroups",
                "/spec/telnyx/transcriber",
                "/spec/telnyx/rehearsal",
                "/spec/meta/webhookUrl",
                "/spec/rateCards",
                "/spec/checklist",
                "/spec/allowedNamespaces/selector",
            ],
        ),
    ] {
        for path in paths {
            let mut with_null = object.clone();
            *place(&mut with_null, path) = Value::Null;
            let stored = server.create(&with_null, true).await.with_context(|| format!("null at {path}"))?;
            assert_eq!(stored.pointer(path), None, "{path}");
        }
    }
    Ok(())
}

/// The place of a JSON pointer, made if it isn't there.
fn place<'a>(object: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('/').skip(1).fold(object, |at, key| &mut at[key])
}

/// The API server's refusal: its words after "is invalid: ".
fn words(answer: Result<Value, kube::Error>) -> Result<String> {
    match answer {
        Ok(_) => bail!("it was accepted"),
        Err(kube::Error::Api(status)) => {
            let text = status.message.clone();
            let words = text.split_once(" is invalid: ").map_or(text.as_str(), |(_, words)| words);
            Ok(words.to_owned())
        }
        Err(other) => Err(other.into()),
    }
}
