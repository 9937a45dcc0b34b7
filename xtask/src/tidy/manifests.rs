//! What every manifest owes the workspace: its lints, its versions, and never to be published.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::checkout::{Checkout, Package};
use crate::tidy::Problem;

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(checkout: &Checkout) -> Result<Vec<Problem>> {
    let root = read(&checkout.root().join("Cargo.toml"))?;
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for package in &checkout.metadata().packages {
        let manifest = read(&package.manifest_path)?;
        problems.extend(check_package(package, &manifest));
        used.extend(shared(&manifest));
    }
    problems.extend(unused(&root, &used));
    Ok(problems)
}

fn read(path: &std::path::Path) -> Result<Table> {
    let text = fs::read_to_string(path)?;
    text.parse()
        .with_context(|| format!("cannot read {}", path.display()))
}

fn check_package(package: &Package, manifest: &Table) -> Vec<Problem> {
    let problem = |what: String| Problem::new(&package.name, what);
    let mut problems = Vec::new();
    if package
        .publish
        .as_ref()
        .is_none_or(|registries| !registries.is_empty())
    {
        problems.push(problem(
            "can be published: say `publish.workspace = true`".to_owned(),
        ));
    }
    if !is_shared(manifest.get("lints")) {
        problems.push(problem(
            "has lints of its own: say `[lints] workspace = true`".to_owned(),
        ));
    }
    let own = dependencies(manifest).filter(|(_, value)| !is_shared(Some(value)));
    problems.extend(own.map(|(name, _)| {
        problem(format!(
            "has a version of {name} of its own: say `{name}.workspace = true`"
        ))
    }));
    let folder = package
        .manifest_path
        .parent()
        .and_then(std::path::Path::file_name);
    if folder.is_none_or(|folder| folder != package.name.as_str()) {
        problems.push(problem("lies in a folder of another name".to_owned()));
    }
    problems
}

/// The dependencies of every kind, those of single platforms included.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let platforms = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let scopes = platforms
        .filter_map(|(_, scope)| scope.as_table())
        .chain([manifest]);
    scopes
        .flat_map(|scope| {
            TABLES
                .iter()
                .filter_map(|name| scope.get(*name)?.as_table())
        })
        .flatten()
}

fn shared(manifest: &Table) -> impl Iterator<Item = String> {
    dependencies(manifest)
        .filter(|(_, value)| is_shared(Some(value)))
        .map(|(name, _)| name.clone())
}

fn is_shared(value: Option<&Value>) -> bool {
    value
        .and_then(|value| value.get("workspace"))
        .and_then(Value::as_bool)
        == Some(true)
}

fn unused(root: &Table, used: &BTreeSet<String>) -> Vec<Problem> {
    let workspace = root
        .get("workspace")
        .and_then(|table| table.get("dependencies"));
    let names = workspace
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::keys);
    names
        .filter(|name| !used.contains(*name))
        .map(|name| Problem::new("Cargo.toml", format!("no crate uses the dependency {name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, publish: Option<Vec<String>>, manifest: &str) -> Vec<String> {
        let package = Package {
            name: name.to_owned(),
            manifest_path: "crates/good/Cargo.toml".into(),
            dependencies: Vec::new(),
            publish,
        };
        let manifest = manifest.parse().unwrap();
        check_package(&package, &manifest)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const GOOD: &str = "[lints]\nworkspace = true\n[dependencies]\na.workspace = true\n[dev-dependencies]\nb = { workspace = true, features = [\"c\"] }";

    #[test]
    fn a_manifest_that_owes_nothing_has_no_problem() {
        assert_eq!(
            problems("good", Some(Vec::new()), GOOD),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_debt_is_one_problem() {
        assert_eq!(problems("good", None, GOOD).len(), 1);
        assert_eq!(
            problems("good", Some(vec!["some".to_owned()]), GOOD).len(),
            1
        );
        assert_eq!(problems("other", Some(Vec::new()), GOOD).len(), 1);
        let lints = GOOD.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(problems("good", Some(Vec::new()), &lints).len(), 1);
        let own = format!("{GOOD}\n[target.'cfg(unix)'.dependencies]\nd = \"1\"");
        assert_eq!(problems("good", Some(Vec::new()), &own).len(), 1);
    }

    #[test]
    fn a_dependency_that_no_crate_uses_is_found() {
        let root = "[workspace.dependencies]\na = \"1\"\nb = \"1\"\nz = \"1\""
            .parse()
            .unwrap();
        let used = shared(&GOOD.parse().unwrap()).collect();
        let unused = unused(&root, &used);
        assert_eq!(
            unused,
            [Problem::new("Cargo.toml", "no crate uses the dependency z")]
        );
    }
}
