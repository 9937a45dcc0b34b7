//! Commands that a person meets first: they say what they did, and what they write is right.

use std::{fs, path::Path, process::Command};

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, lakeferry::typed, tables};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, None)];

#[test]
fn init_writes_a_file_that_is_valid_and_keeps_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let said = typed(folder.path(), &["init"]);
    assert_eq!(said.code, 0, "{said}");
    let said = typed(folder.path(), &["validate", "--offline"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stdout.contains("customers"), "{said}");

    let path = folder.path().join("lakeferry.yaml");
    fs::write(&path, "mine").unwrap();
    let said = typed(folder.path(), &["init"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(typed(folder.path(), &["init", "--force"]).code, 0);
    assert_ne!(fs::read_to_string(&path).unwrap(), "mine");

    let url = "postgresql://me:hunter2@db/app";
    let said = typed(
        folder.path(),
        &["--config", "new.yaml", "init", "--into", url],
    );
    assert_eq!(said.code, 2, "{said}");
    assert!(!format!("{said}").contains("hunter2"), "{said}");
    assert!(!folder.path().join("new.yaml").exists());
}

/// From nothing to a synced table with what `init` wrote.
#[tokio::test(flavor = "multi_thread")]
async fn init_looks_at_the_table_and_what_it_writes_syncs() {
    for version in servers() {
        let deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        let folder = path.parent().unwrap().parent().unwrap();
        let (from, into) = ("lake/words", deployment.url());
        let said = typed(folder, &["init", "--from", from, "--into", &into]);
        assert_eq!(said.code, 0, "{said}");
        let text = fs::read_to_string(folder.join("lakeferry.yaml")).unwrap();
        assert!(text.contains("key: [\"id\"]"), "{text}");
        assert!(text.contains("#   word: Utf8"), "{text}");
        for command in ["validate", "plan", "sync", "status"] {
            let said = typed(folder, &[command]);
            assert_eq!(said.code, 0, "{said}");
        }
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,");
        let said = typed(folder, &["init", "--from", "lake/none", "--force"]);
        assert_eq!(said.code, 3, "{said}");
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let folder = Path::new(".");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = typed(folder, &["completions", shell]);
        assert_eq!(said.code, 0, "{said}");
        for word in ["lakeferry", "history", "--config"] {
            assert!(
                said.stdout.contains(word.trim_start_matches('-')),
                "{shell}: {word}"
            );
        }
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        script.path(),
        typed(folder, &["completions", "bash"]).stdout,
    )
    .unwrap();
    let checked = Command::new("bash").arg("-n").arg(script.path()).status();
    assert!(checked.unwrap().success());
}

#[test]
fn validate_shows_where_each_value_is_from() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "base.yaml",
        "version: 1
targets: { serving: { url: \"postgresql://me:hunter2@db/app\" } }
defaults: { mode: snapshot }
jobs: { a: { from: ./a, into: serving.public.a, key: [id] } }
",
    );
    write("over.yaml", "jobs: { a: { mode: incremental } }\n");
    let files = ["--config", "base.yaml", "--config", "over.yaml"];
    let show = ["validate", "--show", "--offline"];
    let said = typed(folder.path(), &[&files[..], &show].concat());
    assert_eq!(said.code, 0, "{said}");
    let line = |start: &str| {
        let found = said.stdout.lines().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("no {start} in {said}"))
            .to_owned()
    };
    assert!(
        line("jobs.a.mode: incremental ").ends_with("# over.yaml:1"),
        "{said}"
    );
    assert!(
        line("jobs.a.from: ./a ").ends_with("# base.yaml:4"),
        "{said}"
    );
    assert!(
        line("jobs.a.schedule: none ").ends_with("# default"),
        "{said}"
    );
    assert!(!said.stdout.contains("hunter2"), "{said}");

    let json = ["--output", "json"];
    let said = typed(
        folder.path(),
        &[&["validate"], &show[1..], &files, &json].concat(),
    );
    let settings = said.result()["settings"].as_array().unwrap().clone();
    let mode = settings
        .iter()
        .find(|setting| setting["path"] == "jobs.a.mode")
        .unwrap();
    assert_eq!(mode["value"], "incremental");
    assert_eq!(mode["origin"]["line"], 1);
    assert!(!said.stdout.contains("hunter2"), "{said}");
}

/// Several files that are wrong: one report of all, for people and for programs.
#[test]
fn problems_of_all_files_are_in_one_report() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "lakeferry.yaml",
        "version: 1
include: [more.yaml]
targets: { serving: { url: postgresql://db/app } }
jobs: { a: { from: ./a, into: serving.public.a, key: [id], mode: all } }
",
    );
    write("more.yaml", "jobs: { a: { key: [id] } }\ncolour: red\n");
    let said = typed(folder.path(), &["sync"]);
    assert_eq!(said.code, 2, "{said}");
    for part in [
        "lakeferry.yaml:4:",
        "more.yaml:1:",
        "more.yaml:2:",
        "3 problems in 2 files",
    ] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_syncs_every_table() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        for name in ["words", "tmp_words", "others"] {
            tables::create(&deployment.lake(name), NewTable::with_feed(), ROWS).await;
        }
        // The schema is the folder called `lake`.
        deployment.config_line("catalogs: { prod: { location: \"./{schema}/{table}\" } }");
        deployment.raw_job(
            "  all: { from: prod.lake.*, into: \"serving.public.{table}\", key: [id], \
             exclude: [tmp_*] }\n",
        );
        let done = deployment.run(&["sync"]).jobs_done();
        let names: Vec<&str> = done.iter().map(|job| job.job.as_str()).collect();
        assert_eq!(names, ["all.others", "all.words"]);
        assert_eq!(deployment.dump("words"), deployment.dump("others"));
        assert_eq!(deployment.sql("SELECT to_regclass('tmp_words')"), "");
        let said = deployment.run(&["sync", "all.words"]);
        assert_eq!(said.jobs_done().len(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_shows_runs_newest_first() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &["refresh_above: 100%"]);
        let past = |arguments: &[&str]| {
            let said = deployment.run(&[&["history"], arguments].concat());
            said.result().as_array().unwrap().clone()
        };
        assert_eq!(past(&[]).len(), 0);
        deployment.sync();
        table
            .append(tables::words(&[(4, Some("four"))]))
            .await
            .unwrap();
        deployment.sync();
        // A run that finds nothing is not recorded.
        deployment.sync();
        let kinds = |past: &[serde_json::Value]| -> Vec<String> {
            past.iter()
                .map(|run| run["kind"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(kinds(&past(&[])), ["changes", "fill"]);
        assert_eq!(kinds(&past(&["words", "--limit", "1"])), ["changes"]);
        let newest = &past(&["words"])[0];
        assert_eq!(newest["job"], "words");
        assert_eq!(
            (&newest["from"], &newest["through"]),
            (&1.into(), &2.into())
        );
        assert_eq!(newest["inserted"], 1);
        assert!(newest["seconds"].as_f64().unwrap() >= 0.0);
        let folder = path.parent().unwrap().parent().unwrap();
        let said = typed(folder, &["history"]);
        let lines: Vec<&str> = said.stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(
            lines[0].contains("words: changes, version 1 → version 2"),
            "{said}"
        );
        assert_eq!(deployment.run(&["history", "none"]).code, 2);
    }
}
