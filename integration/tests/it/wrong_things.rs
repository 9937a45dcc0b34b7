//! Whatever is wrong, the message names job, table, column and remedy, as text and as JSON, and
//! nothing is written: `pg_dump` of the database says the same before and after.

mod case;
mod scene;

use std::{collections::BTreeSet, fmt::Write as _, process::Command};

use lakeferry_postgres_testkit::servers;

use crate::wrong_things::{case::Case, scene::Scene};

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_thing_is_named_with_its_remedy_and_nothing_is_written() {
    for version in servers() {
        let scene = Scene::start(version).await;
        for case in Case::ALL {
            if case == Case::UntrustedCertificate && !scene.speaks_tls {
                println!("skipped: {case:?}, for postgres {version} was built without TLS");
                continue;
            }
            let config = case.prepare(&scene).await;
            let command = case.command();
            // A claim counts, whatever comes of it: this run makes the state of the job.
            if case.is_found_after_the_claim() {
                run(&scene, &config, command, "json");
            }
            let before = scene.dump();
            let text = run(&scene, &config, command, "text");
            let json = run(&scene, &config, command, "json");
            let written = written(&before, &scene.dump());
            assert!(written.is_empty(), "{case:?} wrote:\n{written}");
            let said = format!("$ lakeferry {command}\n{text}\n{json}");
            insta::assert_snapshot!(format!("{case:?}"), said);
            case.clean(&scene);
        }
    }
}

/// Stderr or stdout with the exit code, without what differs between two runs of this test.
fn run(scene: &Scene, config: &str, command: &str, output: &str) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_lakeferry"))
        .current_dir(scene.folder())
        .args(["--output", output, command])
        .env("LAKEFERRY_CONFIG", config)
        .env("HOME", scene.folder())
        .output()
        .unwrap();
    let mut said = scene.masked(&String::from_utf8_lossy(&done.stderr));
    let stdout = String::from_utf8_lossy(&done.stdout);
    if output == "json" {
        let envelope: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let envelope = serde_json::to_string_pretty(&envelope).unwrap();
        writeln!(said, "{}", scene.masked(&envelope)).unwrap();
    } else {
        said.push_str(&scene.masked(&stdout));
    }
    writeln!(said, "exit code {}", done.status.code().unwrap()).unwrap();
    said
}

/// The lines of the second dump that the first does not have, and the other way round.
fn written(before: &str, after: &str) -> String {
    let only_in = |text: &str, other: &str, sign: char| {
        let other: BTreeSet<_> = other.lines().collect();
        let lines = text.lines().filter(|line| !other.contains(line));
        lines
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    only_in(before, after, '-') + &only_in(after, before, '+')
}
