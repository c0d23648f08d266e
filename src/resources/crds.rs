//! The CustomResourceDefinitions as they are shipped: what the derive makes, finished for Kubernetes.
//!
//! Decides three things that the derive can't: null means left out (nothing is nullable, so that a default applies),
//! `metadata.name` is declared so that a rule can point at it, and status starts as `{observedGeneration: -1}`, without
//! which kstatus (Flux, Helm) calls an unseen object finished.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{ClientNumber, Portfolio};

/// Both definitions, ClientNumber first.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [ClientNumber::crd(), Portfolio::crd()].into_iter().map(finish).collect()
}

/// The YAML of one definition, as `crds/` holds it.
pub fn to_yaml(crd: &CustomResourceDefinition) -> String {
    // A definition is plain maps and strings; that can't fail to serialise.
    serde_yaml::to_string(crd).unwrap_or_default()
}

/// File name of a definition in `crds/`.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.plural)
}

fn finish(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let Ok(mut value) = serde_json::to_value(&crd) else { return crd };
    if let Some(schema) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        clean(schema);
        // What the derive calls the spec's text is the kind's: `kubectl explain clientnumber` shows the root's.
        schema["description"] = schema["properties"]["spec"]["description"].take();
        schema["properties"]["spec"]["description"] = json!("What is wanted. Written by people and by other programs.");
        schema["properties"]["metadata"] = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        schema["properties"]["status"]["default"] = json!({"observedGeneration": -1});
        schema["properties"]["status"]["properties"]["observedGeneration"]["minimum"] = json!(-1);
        schema["properties"]["status"]["properties"]["observedGeneration"]["default"] = json!(-1);
        if let Some(conditions) = schema.pointer_mut("/properties/status/properties/conditions") {
            conditions["x-kubernetes-list-type"] = json!("map");
            conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
        }
    }
    serde_json::from_value(value).unwrap_or(crd)
}

/// Removes `nullable` and null everywhere, and joins the lines of descriptions so that `kubectl explain` wraps them
/// itself. The text of Kubernetes' `Time` speaks of Go; what a list of times means stands on the list.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            if let Some(Value::Array(values)) = map.get_mut("enum") {
                values.retain(|v| !v.is_null());
            }
            if map.get("description").and_then(Value::as_str).is_some_and(|d| d.starts_with("Time is a wrapper")) {
                map.remove("description");
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            map.values_mut().for_each(clean);
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}
