//! The documents against the tree: what they name exists, and what must be named is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::support::root;

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("{path} can't be read"))
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The names of all dependencies that a Cargo.toml declares.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && let Some((name, _)) = line.split_once(" = ") {
            names.insert(name);
        }
    }
    names
}

#[test]
fn every_dependency_has_its_line() -> Result<()> {
    let (manifest, told) = (read("Cargo.toml")?, read("docs/dependencies.md")?);
    let declared = dependencies(&manifest);
    ensure!(declared.len() > 30 && declared.contains("serde_yaml"), "Cargo.toml was not understood: {declared:?}");
    let lines: BTreeSet<&str> = told.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    let missing: Vec<_> = declared.difference(&lines).collect();
    ensure!(missing.is_empty(), "docs/dependencies.md has no line for {missing:?}: say what each is for");
    let table = told.split("## In tests only").next().unwrap_or_default();
    let gone: Vec<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| !declared.contains(name))
        .collect();
    ensure!(gone.is_empty(), "docs/dependencies.md tells of {gone:?}, which Cargo.toml does not have");
    Ok(())
}

/// The file that a quoted text names, if it is one of the tree.
fn file(quote: &str) -> Option<&str> {
    ["src/", "docs/", "tests/", "config/", "crds/", "scripts/"]
        .iter()
        .any(|top| quote.starts_with(top))
        .then_some(quote)
}

#[test]
fn what_the_architecture_names_exists() -> Result<()> {
    let text = read("docs/architecture.md")?.replace('\n', " ");
    let parts: Vec<&str> = text.split('`').collect();
    let (mut files, mut functions) = (0, 0);
    // Odd parts are quotes. A quote right behind a file's is a function of that file.
    for at in (1..parts.len()).step_by(2) {
        let Some(path) = file(parts[at]) else { continue };
        ensure!(root().join(path).exists(), "docs/architecture.md names {path}, which is not there");
        files += 1;
        if parts.get(at + 1).is_some_and(|between| !between.is_empty() && between.trim().is_empty())
            && let Some(name) = parts.get(at + 2)
        {
            ensure!(
                read(path)?.contains(&format!("fn {name}")),
                "docs/architecture.md names {name} of {path}: no such function"
            );
            functions += 1;
        }
    }
    ensure!(files > 40 && functions > 20, "only {files} files and {functions} functions were found in the text");
    Ok(())
}

#[test]
fn links_between_documents_lead_somewhere() -> Result<()> {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for entry in fs::read_dir(root().join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    let mut links = 0;
    for page in &pages {
        let folder = root().join(page).parent().unwrap_or(Path::new("/")).to_owned();
        for target in read(page)?.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if target.is_empty() || target.contains("://") {
                continue;
            }
            ensure!(folder.join(target).exists(), "{page} links to {target}, which is not there");
            links += 1;
        }
    }
    ensure!(links > 10, "only {links} links were found");
    Ok(())
}

#[test]
fn the_documents_speak_of_files_and_commands_that_exist() -> Result<()> {
    let makefile = read("Makefile")?;
    for page in ["README.md", "CONTRIBUTING.md", "docs/testing.md"] {
        let text = read(page)?;
        for command in quoted(&text).filter_map(|quote| quote.strip_prefix("make ")) {
            let target = command.split_whitespace().next().unwrap_or_default();
            ensure!(makefile.contains(&format!("\n{target}:")), "{page} tells of make {target}, which is not there");
        }
    }
    Ok(())
}
