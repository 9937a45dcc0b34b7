//! Which crate may import which: the house of ARCHITECTURE.md as a table. A crate that is not in
//! the table is a problem, so that nobody adds one without giving it a place.

use crate::checkout::{Metadata, Package};
use crate::tidy::Problem;

struct Rule {
    name: &'static str,
    /// The crates of the workspace that it may import.
    imports: &'static [&'static str],
}

const MODEL: &str = "lakeferry-model";

const RULES: &[Rule] = &[
    Rule {
        name: MODEL,
        imports: &[],
    },
    Rule {
        name: "lakeferry-config",
        imports: &[MODEL],
    },
    // Siblings: none imports another.
    Rule {
        name: "lakeferry-delta",
        imports: &[MODEL],
    },
    Rule {
        name: "lakeferry-engine",
        imports: &[MODEL],
    },
    Rule {
        name: "lakeferry-postgres",
        imports: &[MODEL],
    },
    Rule {
        name: "lakeferry",
        imports: &[
            MODEL,
            "lakeferry-config",
            "lakeferry-delta",
            "lakeferry-engine",
            "lakeferry-postgres",
        ],
    },
    Rule {
        name: "lakeferry-testkit",
        imports: &[MODEL],
    },
    // These two test the product from outside, and import nothing of it.
    Rule {
        name: "lakeferry-delta-testkit",
        imports: &[],
    },
    Rule {
        name: "lakeferry-postgres-testkit",
        imports: &[],
    },
    // Runs the product as a user does, and imports nothing of it.
    Rule {
        name: DEMO,
        imports: &[],
    },
    Rule {
        name: "xtask",
        imports: &[],
    },
];

/// Shows the product at work, which takes a Delta table that changes and a Postgres.
const DEMO: &str = "lakeferry-demo";

/// For tests, and for the demo: `[dev-dependencies]` may name them, `[dependencies]` of no other
/// crate.
const TESTKITS: &[&str] = &[
    "lakeferry-testkit",
    "lakeferry-delta-testkit",
    "lakeferry-postgres-testkit",
];

/// All that the model may use from outside: words need no runtime, no format and no I/O.
const MODEL_USES: &[&str] = &["arrow-array", "arrow-schema", "futures-core", "thiserror"];

/// Crates, by the start of their names, that live in one corner of the house, also in tests.
const CORNERS: &[(&str, &[&str])] = &[
    (
        "datafusion",
        &["lakeferry-delta", "lakeferry-delta-testkit"],
    ),
    ("deltalake", &["lakeferry-delta", "lakeferry-delta-testkit"]),
    (
        "delta_kernel",
        &["lakeferry-delta", "lakeferry-delta-testkit"],
    ),
    (
        "buoyant_kernel",
        &["lakeferry-delta", "lakeferry-delta-testkit"],
    ),
];

/// Libraries have an error type of their own.
const NO_ANYHOW: &[&str] = &[
    MODEL,
    "lakeferry-config",
    "lakeferry-delta",
    "lakeferry-engine",
    "lakeferry-postgres",
];

pub(super) fn check(metadata: &Metadata) -> Vec<Problem> {
    let members: Vec<_> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    metadata
        .packages
        .iter()
        .flat_map(|package| check_package(package, &members))
        .collect()
}

fn check_package(package: &Package, members: &[&str]) -> Vec<Problem> {
    let Some(rule) = RULES.iter().find(|rule| rule.name == package.name) else {
        let what = "has no place in the layering: give it one in xtask/src/tidy/layering.rs";
        return vec![Problem::new(&package.name, what)];
    };
    let mut problems = Vec::new();
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        let for_tests = dependency.kind.as_deref() == Some("dev");
        let reason = if members.contains(&name) {
            check_member(rule, name, for_tests)
        } else {
            check_outsider(rule.name, name, for_tests)
        };
        let what = reason.map(|reason| format!("must not import {name}: {reason}"));
        problems.extend(what.map(|what| Problem::new(&package.name, what)));
    }
    problems
}

fn check_member(rule: &Rule, name: &str, for_tests: bool) -> Option<&'static str> {
    let may_test = for_tests || rule.name == DEMO;
    if rule.imports.contains(&name) || (may_test && TESTKITS.contains(&name)) {
        None
    } else if TESTKITS.contains(&name) {
        Some("a testkit is for [dev-dependencies]")
    } else {
        Some("it is not below it in the layering")
    }
}

fn check_outsider(package: &str, name: &str, for_tests: bool) -> Option<&'static str> {
    let at_home =
        |(prefix, homes): &(&str, &[&str])| !name.starts_with(prefix) || homes.contains(&package);
    if !CORNERS.iter().all(at_home) {
        return Some("it lives in lakeferry-delta alone");
    }
    if for_tests {
        return None;
    }
    if package == MODEL && !MODEL_USES.contains(&name) {
        return Some("the model has no runtime, no format and no I/O");
    }
    (name == "anyhow" && NO_ANYHOW.contains(&package))
        .then_some("a library has an error type of its own")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::Dependency;

    /// The problems of a workspace of all crates, in which `package` has one dependency more.
    fn problems(package: &str, name: &str, kind: Option<&str>) -> Vec<String> {
        let packages = RULES
            .iter()
            .map(|rule| rule.name)
            .chain((!RULES.iter().any(|rule| rule.name == package)).then_some(package));
        let packages = packages.map(|member| Package {
            name: member.to_owned(),
            manifest_path: "Cargo.toml".into(),
            publish: Some(Vec::new()),
            dependencies: (member == package)
                .then(|| Dependency {
                    name: name.to_owned(),
                    kind: kind.map(str::to_owned),
                })
                .into_iter()
                .collect(),
        });
        let metadata = Metadata {
            packages: packages.collect(),
            target_directory: "target".into(),
        };
        check(&metadata).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_house_allows_passes() {
        for (package, name, kind) in [
            ("lakeferry-model", "arrow-array", None),
            ("lakeferry-config", "lakeferry-model", None),
            ("lakeferry-delta", "datafusion", None),
            ("lakeferry-delta", "buoyant_kernel", None),
            ("lakeferry-delta-testkit", "deltalake-core", None),
            ("lakeferry-engine", "lakeferry-testkit", Some("dev")),
            ("lakeferry-postgres", "anyhow", Some("dev")),
            ("lakeferry", "lakeferry-postgres", None),
            ("lakeferry", "anyhow", None),
            ("lakeferry", "lakeferry-delta-testkit", Some("dev")),
            ("lakeferry-demo", "lakeferry-delta-testkit", None),
        ] {
            assert_eq!(
                problems(package, name, kind),
                Vec::<String>::new(),
                "{package} {name}"
            );
        }
    }

    #[test]
    fn what_the_house_forbids_is_one_problem() {
        for (package, name, kind) in [
            ("lakeferry-model", "lakeferry-config", None),
            ("lakeferry-model", "tokio", None),
            ("lakeferry-model", "serde", None),
            ("lakeferry-config", "lakeferry-engine", None),
            ("lakeferry-delta", "lakeferry-postgres", None),
            ("lakeferry-engine", "lakeferry-delta", None),
            ("lakeferry-engine", "lakeferry-postgres", Some("dev")),
            ("lakeferry-postgres", "datafusion-common", None),
            ("lakeferry-postgres", "buoyant_kernel", Some("dev")),
            ("lakeferry", "deltalake-core", Some("dev")),
            ("lakeferry", "lakeferry-testkit", None),
            ("lakeferry", "lakeferry-demo", None),
            ("lakeferry-demo", "lakeferry", None),
            ("lakeferry-demo", "lakeferry-engine", None),
            ("lakeferry-demo", "deltalake-core", None),
            ("lakeferry", "lakeferry-testkit", Some("build")),
            ("lakeferry-testkit", "lakeferry-engine", Some("dev")),
            ("lakeferry-postgres-testkit", "lakeferry-model", None),
            ("lakeferry-delta-testkit", "lakeferry-delta", None),
            ("lakeferry-engine", "anyhow", None),
            ("xtask", "lakeferry-model", None),
            ("lakeferry-new", "serde", None),
        ] {
            assert_eq!(problems(package, name, kind).len(), 1, "{package} {name}");
        }
    }
}
