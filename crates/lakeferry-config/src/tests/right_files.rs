//! Right files: the ones that users start from, and the meaning of what can be written in two ways.

use insta::assert_debug_snapshot;
use lakeferry_model::{ColumnChoice, ColumnType, Naming};

use super::{MINIMAL, PRODUCTION, REFERENCE, load_text};
use crate::{Config, Error, Job, Tables, raw};

fn job(config: &Config, name: &str) -> Job {
    config.job(name).unwrap().clone()
}

/// A whole file with one job, made of `job`'s options and `defaults`.
fn with_options(defaults: &str, job: &str) -> String {
    format!(
        "version: 1
defaults: {{ {defaults} }}
targets: {{ t: {{ url: postgresql://db/app }} }}
jobs: {{ j: {{ from: /lake/j, into: t.public.j, {job} }} }}"
    )
}

#[test]
fn the_minimal_file_is_right() {
    assert_debug_snapshot!(load_text(MINIMAL).unwrap());
}

#[test]
fn the_reference_file_is_right() {
    assert_debug_snapshot!(load_text(REFERENCE).unwrap());
}

#[test]
fn the_production_file_is_right() {
    let config = load_text(PRODUCTION).unwrap();
    let jobs: Vec<String> = config.jobs.iter().map(|job| job.name.to_string()).collect();
    assert_eq!(jobs, ["customers", "currencies", "gold.any"]);
    assert_eq!(config.deployment.as_str(), "orders-eu");
}

#[test]
fn the_reference_explains_every_setting() {
    let places = raw::KNOWN.into_iter().flatten();
    for setting in places {
        let written = format!("{setting}:");
        let mut lines = REFERENCE
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let found = lines.any(|line| line.split([' ', '{']).any(|word| word == written));
        assert!(found, "`{setting}` is not in config/reference.yaml");
    }
}

#[test]
fn the_reference_spells_out_the_defaults() {
    let reference = load_text(REFERENCE).unwrap();
    let minimal = load_text(MINIMAL).unwrap();
    assert_eq!(reference.deployment, minimal.deployment);
    assert_eq!(reference.daemon, minimal.daemon);
    let addresses = |config: &Config| (config.http.listen, config.http.probes);
    assert_eq!(addresses(&reference), addresses(&minimal));
    let connections = |config: &Config| config.targets["serving"].max_connections;
    assert_eq!(connections(&reference), connections(&minimal));
    let (spelled, implied) = (job(&reference, "customers"), job(&minimal, "customers"));
    assert_eq!(
        spelled,
        Job {
            source: spelled.source.clone(),
            ..implied
        }
    );
}

#[test]
fn a_job_goes_before_the_defaults() {
    let text = with_options(
        "key: [a], mode: snapshot, schedule: EVERY 1 HOUR, refresh_above: 0.2",
        "mode: incremental, refresh_above: 30%",
    );
    let mixed = job(&load_text(&text).unwrap(), "j");
    let text = with_options(
        "",
        "key: [a], mode: INCREMENTAL, schedule: every 60 minutes, refresh_above: 0.3",
    );
    assert_eq!(mixed, job(&load_text(&text).unwrap(), "j"));
}

#[test]
fn columns_are_a_list_or_a_mapping() {
    let columns = |options: &str| {
        let text = with_options("", &format!("key: [id], {options}"));
        job(&load_text(&text).unwrap(), "j").columns
    };
    let long = "x".repeat(64);
    assert_eq!(
        columns("columns: [id, a]"),
        columns("columns: { include: [id, a] }")
    );
    let all =
        format!("columns: {{ exclude: [{long}], rename: {{ Id: \"Die ID\" }} }}, names: Snake");
    assert_eq!(
        columns(&all),
        ColumnChoice {
            listed: None,
            excluded: vec![long],
            renamed: vec![("Id".to_owned(), "Die ID".to_owned())],
            naming: Naming::Snake,
            types: Vec::new(),
        }
    );
    assert_eq!(
        columns("types: { Id: Character Varying(20), b: INT8 }").types,
        [
            ("Id".to_owned(), ColumnType::Varchar(20)),
            ("b".to_owned(), ColumnType::BigInt)
        ]
    );
}

#[test]
fn anchors_and_merges_are_read() {
    let text = "version: 1
targets: { t: { url: postgresql://db/app } }
jobs:
  a: &a { from: /lake/a, into: t.public.a, key: [id], mode: snapshot }
  b: { <<: *a, into: t.public.b }";
    let config = load_text(text).unwrap();
    let (a, b) = (job(&config, "a"), job(&config, "b"));
    assert_eq!(
        b,
        Job {
            name: b.name.clone(),
            target: b.target.clone(),
            ..a
        }
    );
}

#[test]
fn tables_that_differ_only_in_quoted_case_are_two() {
    let text = "version: 1
targets: { t: { url: postgresql://db/app }, u: { url: postgresql://db/other } }
jobs:
  a: { from: /lake/a, into: t.public.Orders, key: [id] }
  b: { from: /lake/a, into: t.public.\"Orders\", key: [id] }
  c: { from: /lake/a, into: u.public.orders, key: [id] }";
    let config = load_text(text).unwrap();
    let tables: Vec<_> = config
        .jobs
        .iter()
        .map(|job| job.target.to_string())
        .collect();
    assert_eq!(
        tables,
        ["t.public.orders", "t.public.\"Orders\"", "u.public.orders"]
    );
}

#[test]
fn a_job_is_known_by_deployment_and_name() {
    let config = load_text(MINIMAL).unwrap();
    let job = job(&config, "customers");
    assert_eq!(config.job_key(&job).to_string(), "default/customers");
    assert_eq!(config.target_of(&job).unwrap().name.as_str(), "serving");
}

#[test]
fn settings_show_no_secret() {
    let text = REFERENCE
        .replace("ferry@reports", "ferry:hunter2@reports")
        .replace("    password: { file: secrets/reporting }\n", "");
    let config = load_text(&text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    for name in ["serving", "reporting"] {
        let password = config.targets[name].password.as_ref().unwrap();
        assert_eq!(password.read().unwrap().expose(), "hunter2");
    }
}

#[test]
fn a_file_is_read_and_its_absence_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakeferry.yaml");
    let read = || crate::read(std::slice::from_ref(&path), &[].into(), Tables::Unknown);
    let absent = read().unwrap_err();
    assert!(matches!(absent, Error::Unreadable { .. }), "{absent}");
    std::fs::write(&path, MINIMAL).unwrap();
    let config = read().unwrap().config;
    let source = &config.jobs[0].source;
    assert_eq!(source.directory(), folder.path().join("lake/customers"));
    std::fs::write(&path, MINIMAL.replace("version: 1", "version: 9")).unwrap();
    assert!(matches!(read(), Err(Error::Wrong(_))));
}
