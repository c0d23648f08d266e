//! docs/resources.md holds every field of both kinds, with type, default and rules, as the schema says them.
//!
//! The two tables are made from the schema; `WRITE_DOCS=1 cargo test --test it reference` writes them.

use super::*;

/// One field of a kind.
pub(super) struct Field {
    /// Path without the leading dot; `[]` stands behind a list of objects.
    pub(super) path: String,
    /// What `kubectl explain` says of it.
    pub(super) text: String,
    kind: String,
    default: String,
    rules: Vec<String>,
}

/// All fields of spec and status; scalars in lists and maps are described by their list.
pub(super) fn fields(crd: &CustomResourceDefinition) -> Result<Vec<Field>> {
    let crd = serde_json::to_value(crd)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").context("no schema")?;
    let mut out = Vec::new();
    for part in ["spec", "status"] {
        describe(part.to_owned(), &schema["properties"][part], part == "spec", &mut out);
    }
    Ok(out)
}

fn describe(path: String, schema: &Value, required: bool, out: &mut Vec<Field>) {
    let default = match &schema["default"] {
        Value::Null if required => "required".to_owned(),
        Value::Null => String::new(),
        Value::Object(_) => "as its fields".to_owned(),
        value => format!("`{value}`"),
    };
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let rules = rules.filter_map(|r| r["message"].as_str()).map(str::to_owned).collect();
    let text = schema["description"].as_str().unwrap_or_default().to_owned();
    out.push(Field { path: path.clone(), text, kind: kind(schema), default, rules });
    let (inner, path) =
        if schema["items"].is_object() { (&schema["items"], format!("{path}[]")) } else { (schema, path) };
    for (name, field) in inner["properties"].as_object().into_iter().flatten() {
        let required = inner["required"].as_array().is_some_and(|r| r.iter().any(|r| r == name));
        describe(format!("{path}.{name}"), field, required, out);
    }
}

fn kind(schema: &Value) -> String {
    let name = schema["type"].as_str().unwrap_or("any");
    match (&schema["enum"], name) {
        (Value::Array(values), _) => {
            values.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ")
        }
        (_, "array") => format!("list of {}", kind(&schema["items"])),
        (_, "object") if schema["additionalProperties"].is_object() => "map of strings".into(),
        (_, "string") if schema["format"] == "date-time" => "time".into(),
        _ => name.into(),
    }
}

/// The table of one kind, as docs/resources.md holds it.
fn table(crd: &CustomResourceDefinition) -> Result<String> {
    let mut table = "| field | type | default | meaning | rules |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for Field { path, text, kind, default, rules } in fields(crd)? {
        // Kubernetes' own types are described in its reference.
        if path.contains("conditions[].") || path.contains(".selector.") {
            continue;
        }
        let row = format!("| `{path}` | {kind} | {default} | {text} | {} |\n", rules.join("; "));
        table += &row.replace("  ", " ");
    }
    Ok(table)
}

#[test]
fn the_reference_is_what_the_schema_says() -> Result<()> {
    let file = root().join("docs/resources.md");
    let mut page = std::fs::read_to_string(&file)?;
    let before = page.clone();
    for crd in crds::crds() {
        let mark = format!("<!-- fields of {} -->\n", crd.spec.names.kind);
        let (head, rest) = page.split_once(&mark).with_context(|| format!("docs/resources.md lacks {mark}"))?;
        let (_, tail) = rest.split_once("<!-- end -->").context("docs/resources.md lacks an end")?;
        page = format!("{head}{mark}{}<!-- end -->{tail}", table(&crd)?);
    }
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&file, &page)?;
    } else {
        assert!(page == before, "docs/resources.md is old: run `WRITE_DOCS=1 cargo test --test it reference`");
    }
    Ok(())
}
