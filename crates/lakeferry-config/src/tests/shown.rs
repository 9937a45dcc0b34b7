//! Every setting is shown with its value and where it came from; secrets are not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::{Tables, raw, read, show};

use super::load_text;

const MAIN: &str = "version: 1
include: [more.yaml]
defaults: { mode: snapshot, schedule: \"EVERY ${N:-2} DAYS\" }
catalogs: { lake: { location: \"./lake/{schema}/{table}\" } }
targets:
  serving: { url: \"postgresql://me:${FERRY_PASSWORD}@db/app?sslmode=disable\" }
  other: { url: postgresql://me@db/other, password: { env: FERRY_PASSWORD } }
jobs:
  a: { from: lake.s.a, into: serving.public.a, key: [id, day], mode: incremental }
  all: { from: lake.s.*, into: \"other.public.{table}\", key: [id], allow_empty: true }
";
const MORE: &str = "jobs:
  b: { from: ./b, into: serving.public.b, key: [\"${KEY}\"], filter: x > 1 }
";

#[test]
fn every_value_has_an_origin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.yaml");
    fs::write(&path, MAIN).unwrap();
    fs::write(folder.path().join("more.yaml"), MORE).unwrap();
    let env = [("FERRY_PASSWORD", "hunter2"), ("KEY", "id")];
    let env: BTreeMap<_, _> = env.map(|(name, value)| (name.into(), value.into())).into();
    let loaded = read(&[path], &env, Tables::Unknown).unwrap();
    let lines = loaded.shown.iter().map(|setting| {
        format!(
            "{} = {}  # {}\n",
            setting.path, setting.value, setting.origin
        )
    });
    let text = lines
        .collect::<String>()
        .replace(&format!("{}/", folder.path().display()), "");
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

/// What is shown as a default is what is meant when nothing is said, and every setting has one or
/// is absent by default.
#[test]
fn defaults_are_what_they_say() {
    let file = |top: &str, target: &str, job: &str| {
        format!(
            "version: 1
{top}
targets: {{ t: {{ url: postgresql://db/app{target} }} }}
jobs: {{ j: {{ from: /lake/j, into: t.public.j, key: [id]{job} }} }}"
        )
    };
    let spelled = |defaults: &[(&str, &str)]| {
        let parts = defaults
            .iter()
            .map(|(name, value)| format!(", {name}: {value}"));
        parts.collect::<String>()
    };
    let without = |known: &[&'static str], absent: &[&str]| -> Vec<&str> {
        let has_default = |name: &&&str| !absent.contains(*name);
        known.iter().filter(has_default).copied().collect()
    };
    let names = |defaults: &[(&'static str, &str)]| -> BTreeSet<&str> {
        defaults.iter().map(|(name, _)| *name).collect()
    };
    let [.., target, _, _, options] = raw::KNOWN;
    let of_target = without(target, &["url", "password"]);
    assert_eq!(
        names(&show::TARGET_DEFAULTS),
        of_target.into_iter().collect()
    );
    let [_, daemon, http, ..] = raw::KNOWN;
    assert_eq!(
        names(&show::DAEMON_DEFAULTS),
        daemon.iter().copied().collect()
    );
    assert_eq!(
        names(&show::HTTP_DEFAULTS),
        without(http, &["token"]).into_iter().collect()
    );
    let of_job = without(
        options,
        &["key", "dedupe_by", "filter", "filter_every", "columns"],
    );
    assert_eq!(names(&show::JOB_DEFAULTS), of_job.into_iter().collect());
    let [(deployment, name)] = show::FILE_DEFAULTS;
    let all = file(
        &format!(
            "{deployment}: {name}\ndaemon: {{ {} }}\nhttp: {{ listen: \"{}\", probes: {} }}",
            spelled(&show::DAEMON_DEFAULTS).trim_start_matches(", "),
            show::HTTP_DEFAULTS[0].1,
            show::HTTP_DEFAULTS[1].1
        ),
        &spelled(&show::TARGET_DEFAULTS),
        &spelled(&show::JOB_DEFAULTS),
    );
    assert_eq!(
        load_text(&all).unwrap(),
        load_text(&file("", "", "")).unwrap()
    );
}
