//! Patterns: one job a table, and clear messages where there is none, or one too many.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::{Config, Listing, Problems, Tables, load};

/// A lake that holds the tables with these paths.
struct Lake(Vec<&'static str>);

impl Listing for Lake {
    fn tables(&self, root: &Path, levels: usize) -> io::Result<Vec<PathBuf>> {
        if root.starts_with("/nowhere") {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let below = self
            .0
            .iter()
            .filter_map(|path| Path::new(path).strip_prefix(root).ok());
        let found = below.filter(|path| path.components().count() == levels);
        Ok(found.map(Path::to_path_buf).collect())
    }
}

const TABLES: [&str; 7] = [
    "/lake/bronze/raw",
    "/lake/silver/customers",
    "/lake/silver/orders",
    "/lake/silver/tmp_orders",
    "/lake/silver/Odd Name",
    "/lake/gold/sales",
    "/flat/silver.db/t_items",
];

fn expanded(jobs: &str) -> Result<Config, Problems> {
    let text = format!(
        "version: 1
catalogs:
  prod: {{ location: \"/lake/{{schema}}/{{table}}\" }}
  flat: {{ location: \"/flat/{{schema}}.db/t_{{table}}\" }}
  one: {{ location: \"/lake/{{schema}}_{{table}}\" }}
  gone: {{ location: \"/nowhere/{{schema}}/{{table}}\" }}
targets: {{ serving: {{ url: postgresql://db/app }} }}
jobs:
{jobs}"
    );
    let lake = Lake(TABLES.into());
    let loaded = load(
        &text,
        Path::new("f.yaml"),
        &BTreeMap::new(),
        Tables::Listed(&lake),
    );
    loaded.map(|loaded| loaded.config)
}

/// Name, directory and table of each job.
fn shown(jobs: &str) -> Vec<String> {
    let config = expanded(jobs).unwrap();
    let shown = |job: &crate::Job| {
        let directory = job.source.directory().display();
        format!("{} {directory} {}", job.name, job.target)
    };
    config.jobs.iter().map(shown).collect()
}

#[test]
fn a_pattern_is_one_job_a_table() {
    assert_eq!(
        shown(
            "  silver: { from: prod.silver.*, into: \"serving.public.{table}\", key: [id],
            exclude: [tmp_*, Odd*] }"
        ),
        [
            "silver.customers /lake/silver/customers serving.public.customers",
            "silver.orders /lake/silver/orders serving.public.orders",
        ]
    );
    assert_eq!(
        shown("  all: { from: prod.*.*, into: \"serving.{schema}.x_{table}\", key: [id],
            exclude: ['*o*', Odd*] }\n  x: { from: prod.bronze.raw, into: serving.public.raw, key: [id] }"),
        [
            "all.bronze.raw /lake/bronze/raw serving.bronze.x_raw",
            "all.gold.sales /lake/gold/sales serving.gold.x_sales",
            "x /lake/bronze/raw serving.public.raw",
        ]
    );
    assert_eq!(
        shown("  f: { from: flat.silver.i*, into: \"serving.public.{table}\", key: [id] }"),
        ["f.items /flat/silver.db/t_items serving.public.items"]
    );
}

#[test]
fn every_option_of_a_pattern_is_each_jobs() {
    let config = expanded(
        "  s: { from: prod.silver.*, into: \"serving.public.{table}\", key: [a], mode: snapshot,
            filter: b > 1, exclude: [Odd*] }",
    );
    let jobs = config.unwrap().jobs;
    assert_eq!(jobs.len(), 3);
    for job in jobs {
        assert_eq!(
            (job.key, job.mode),
            (vec!["a".to_owned()], crate::Mode::Snapshot)
        );
        assert_eq!(job.filter.as_deref(), Some("b > 1"));
    }
}

#[test]
fn wrong_patterns_are_told() {
    let jobs = "  none: { from: prod.empty.*, into: \"serving.public.{table}\", key: [id] }
  all_out: { from: prod.gold.*, into: \"serving.public.{table}\", key: [id], exclude: ['*'] }
  gone: { from: gone.silver.*, into: \"serving.public.{table}\", key: [id] }
  odd: { from: prod.silver.Odd*, into: \"serving.public.{table}\", key: [id] }
  one: { from: one.*.*, into: \"serving.public.{table}\", key: [id] }
  orders: { from: prod.silver.orders, into: serving.public.orders, key: [id] }
  clash: { from: prod.silver.orders*, into: \"serving.public.{table}\", key: [id] }
  faults: { from: prod.silver.*, into: \"serving.s.{table}\", exclude: [Odd*], mode: slow }
";
    insta::assert_snapshot!(expanded(jobs).unwrap_err());
}
