//! Configurations of several files: what they mean together, and every problem of all in one
//! report.

use std::{collections::BTreeMap, fs, path::PathBuf};

use tempfile::TempDir;

use crate::{Config, Error, Tables, read};

/// A folder with files, read with some of them as `--config`.
struct Folder(TempDir);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn read(&self, names: &[&str]) -> Result<Config, Error> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.0.path().join(name)).collect();
        let env: BTreeMap<_, _> = [("SCHEMA".to_owned(), "sales".to_owned())].into();
        read(&paths, &env, Tables::Unknown).map(|loaded| loaded.config)
    }

    fn jobs(&self, names: &[&str]) -> Vec<String> {
        let config = self.read(names).unwrap();
        let shown = |job: &crate::Job| format!("{} {}", job.name, job.target);
        config.jobs.iter().map(shown).collect()
    }

    /// The report, with paths seen from the folder.
    fn report(&self, names: &[&str]) -> String {
        let error = self.read(names).unwrap_err();
        assert!(matches!(error, Error::Wrong(_)), "{error}");
        let canonical = fs::canonicalize(self.0.path()).unwrap();
        error
            .to_string()
            .replace(&format!("{}/", canonical.display()), "")
            .replace(&format!("{}/", self.0.path().display()), "")
    }
}

const MAIN: &str = "version: 1
include: [jobs/*.yaml, more.yaml]
targets: { serving: { url: postgresql://db/app } }
jobs:
  first: { from: ./a, into: serving.public.a, key: [id] }
";

#[test]
fn included_files_declare_jobs_of_their_own() {
    let folder = Folder::of(&[
        ("main.yaml", MAIN),
        (
            "jobs/a.yaml",
            "jobs: { b: { from: ./b, into: \"serving.${SCHEMA}.b\", key: [id] } }",
        ),
        ("jobs/b.yaml", "version: 1\ninclude: [deep/*.yaml]\n"),
        (
            "jobs/deep/c.yaml",
            "jobs: { c: { from: x/c, into: other.s.c, key: [id] } }",
        ),
        (
            "more.yaml",
            "targets: { other: { url: postgresql://db/other } }\ncatalogs:\n  \
            lake: { location: \"./lake/{schema}/{table}\" }\n",
        ),
    ]);
    assert_eq!(
        folder.jobs(&["main.yaml"]),
        ["first serving.public.a", "b serving.sales.b", "c other.s.c"]
    );
    let config = folder.read(&["main.yaml"]).unwrap();
    let source = |name| config.job(name).unwrap().source.directory().to_owned();
    assert!(source("first").ends_with("a"), "{:?}", source("first"));
    assert!(source("b").ends_with("jobs/b"), "{:?}", source("b"));
    assert!(source("c").ends_with("jobs/deep/x/c"), "{:?}", source("c"));
}

#[test]
fn a_pattern_may_find_no_file_and_one_file_is_read_once() {
    let folder = Folder::of(&[
        (
            "main.yaml",
            &MAIN.replace("more.yaml", "jobs/b.yaml, none/*.yaml"),
        ),
        (
            "jobs/b.yaml",
            "jobs: { b: { from: ./b, into: serving.public.b, key: [id] } }",
        ),
    ]);
    assert_eq!(
        folder.jobs(&["main.yaml"]),
        ["first serving.public.a", "b serving.public.b"]
    );
}

#[test]
fn every_problem_of_all_files_is_in_one_report() {
    let folder = Folder::of(&[
        ("main.yaml", MAIN),
        (
            "jobs/a.yaml",
            "jobs:\n  first: { from: ./a, into: serving.public.z, key: [id] }\n",
        ),
        (
            "jobs/b.yaml",
            "version: 2\ndefaults: { mode: snapshot }\ncolour: red\njobs: [x]\n",
        ),
        ("jobs/c.yaml", "jobs: {\n"),
        (
            "jobs/d.yaml",
            "jobs:\n  d: { from: ./d, into: serving.public.d, key: [id], mode: ${M} }\n",
        ),
        ("jobs/e.yaml", "include: [../main.yaml]\n"),
    ]);
    insta::assert_snapshot!(folder.report(&["main.yaml"]));
}

#[test]
fn what_cannot_be_included_is_told_where_it_is_named() {
    let main = MAIN.replace(
        "[jobs/*.yaml, more.yaml]",
        "[none.yaml, \"a[\", 1, jobs.sql, folder]",
    );
    let folder = Folder::of(&[("main.yaml", &main), ("jobs.sql", ""), ("folder/x", "")]);
    insta::assert_snapshot!(folder.report(&["main.yaml"]));
    let folder = Folder::of(&[(
        "main.yaml",
        &MAIN.replace("[jobs/*.yaml, more.yaml]", "jobs"),
    )]);
    insta::assert_snapshot!(folder.report(&["main.yaml"]));
}

#[test]
fn files_are_not_included_for_ever() {
    let mut files: Vec<(String, String)> = (0..12)
        .map(|n| (format!("{n}.yaml"), format!("include: [{}.yaml]\n", n + 1)))
        .collect();
    files.push((
        "main.yaml".to_owned(),
        MAIN.replace("jobs/*.yaml, more", "0"),
    ));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let report = Folder::of(&files).report(&["main.yaml"]);
    assert!(report.contains("at most 8 deep"), "{report}");
}

#[test]
fn a_later_file_goes_over_an_earlier_one_key_by_key() {
    let folder = Folder::of(&[
        (
            "main.yaml",
            "version: 1
targets: { serving: { url: postgresql://db/app, password: { file: p } } }
defaults: { mode: snapshot, schedule: EVERY 1 DAY }
jobs:
  a: { from: ./a, into: serving.public.a, key: [id, day], filter: x > 1 }
  b: { from: ./b, into: serving.public.b, key: [id] }
",
        ),
        (
            "local/over.yaml",
            "targets: { serving: { password: { file: q }, max_connections: 4 } }
defaults: { mode: incremental }
jobs:
  a: { key: [id] }
  c: { from: ./c, into: serving.public.c, key: [id] }
",
        ),
    ]);
    let config = folder.read(&["main.yaml", "local/over.yaml"]).unwrap();
    let names: Vec<_> = config.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let job = |name| config.job(name).unwrap();
    assert_eq!(job("a").key, ["id"]);
    assert_eq!(job("a").filter.as_deref(), Some("x > 1"));
    assert_eq!(job("b").mode, crate::Mode::Incremental);
    assert_eq!(job("b").schedule.to_string(), "EVERY 1 DAY");
    assert!(
        job("a")
            .source
            .directory()
            .parent()
            .unwrap()
            .join("main.yaml")
            .exists()
    );
    assert!(job("c").source.directory().ends_with("local/c"));
    let target = &config.targets["serving"];
    assert_eq!(target.max_connections, Some(4));
    let missing = target.password.as_ref().unwrap().read().unwrap_err();
    assert!(missing.to_string().ends_with("local/q"), "{missing}");
}

#[test]
fn the_folders_of_all_files_are_told_also_those_of_files_to_come() {
    let main = MAIN.replace(
        "[jobs/*.yaml, more.yaml]",
        "[jobs/*.yaml, more.yaml, later/on/*/x.yaml]",
    );
    let folder = Folder::of(&[
        ("main.yaml", &main),
        ("more.yaml", "{}"),
        ("over.yaml", "{}"),
    ]);
    let path = |name: &str| folder.0.path().join(name);
    let read = read(
        &[path("main.yaml"), path("over.yaml")],
        &[("SCHEMA".to_owned(), "sales".to_owned())].into(),
        Tables::Unknown,
    );
    let folders = read.unwrap().folders;
    let expected = ["", "jobs", "later/on"]
        .map(|name| folder.0.path().join(name).components().collect::<PathBuf>());
    assert_eq!(folders.into_iter().collect::<Vec<_>>(), expected);
}
