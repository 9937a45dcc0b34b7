//! What an earlier build left is gone on with, by its increments and without a rebuild.
//!
//! `integration/states/N.sql` is a dump of a database in which a build whose newest migration was N had
//! brought `lake/words` to version 2: rows, one in quarantine, and the record of its runs. Before a
//! migration is released, `cargo test --workspace --test it leaves_a_state -- --ignored` writes one. That
//! an earlier build refuses what this one made, by name, is a test of claims.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{Version, servers};

use crate::{deployment::Deployment, tables};

/// Where the dumps are.
fn states() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/states")
}

/// A job `words` from a copy of the table, which has its commits up to `newest`.
fn deployment(version: Version, newest: u64) -> Deployment {
    let mut deployment = Deployment::start(version);
    let (from, to) = (states().join("lake/words"), deployment.lake("words"));
    for folder in ["", "_delta_log", "_change_data"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let commit = name
                .strip_suffix(".json")
                .map(|number| number.parse::<u64>());
            let is_later = matches!(commit, Some(Ok(number)) if number > newest);
            if entry.file_type().unwrap().is_file() && !is_later {
                fs::copy(entry.path(), to.join(folder).join(name)).unwrap();
            }
        }
    }
    deployment.job("words", &to, &[]);
    deployment
}

#[test]
fn the_state_of_each_earlier_build_is_gone_on_with() {
    let mut dumps: Vec<PathBuf> = fs::read_dir(states())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    dumps.sort();
    assert!(!dumps.is_empty());
    for version in servers() {
        for dump in &dumps {
            let deployment = deployment(version, u64::MAX);
            deployment.sql(&fs::read_to_string(dump).unwrap());
            // A dump that is restored is another table; an upgrade is not.
            deployment.sql("UPDATE lakeferry.jobs SET target_oid = 'words'::regclass::oid");
            let before = deployment.dump("words");
            assert!(before.starts_with("-1,\n1,word 1\n2,word 2\n3,word 3\n"));
            for command in ["validate", "status", "plan", "history"] {
                deployment.run(&[command]).result();
            }
            assert_eq!(deployment.dump("words"), before);
            assert_eq!(
                deployment.sql("SELECT count(*) FROM lakeferry.quarantine"),
                "1"
            );
            let runs = deployment.run_kinds().len();
            deployment.sync();
            let later = &deployment.run_kinds()[runs..];
            assert_eq!(later, ["changes"], "{}", dump.display());
            let after = before.replacen(
                "-1,\n1,word 1\n2,word 2",
                "-2,more\n-1,\n0,zero\n1,first",
                1,
            );
            assert_eq!(deployment.dump("words"), after);
            assert_eq!(
                deployment.sql("SELECT count(*) FROM lakeferry.quarantine"),
                "0"
            );
            println!("{}", dump.file_name().unwrap().display());
        }
    }
}

/// Writes the dump of this build, and the table if there is none.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a file of the repository"]
async fn this_build_leaves_a_state() {
    let lake = states().join("lake/words");
    if !lake.exists() {
        fs::create_dir_all(&lake).unwrap();
        write_table(&lake).await;
    }
    let deployment = deployment(Version::V15, 2);
    deployment.sync();
    let newest = deployment.sql("SELECT max(number) FROM lakeferry.migrations");
    let dump = deployment.pg_dump();
    let lines = dump.lines().filter(|line| !line.contains("OWNER TO"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    fs::write(states().join(format!("{newest}.sql")), text).unwrap();
}

/// So many rows that what changes is a small part of them.
const ROWS: i64 = 1_000;

/// Versions 1 and 2 are what the dump has, 3 to 5 what comes after it.
async fn write_table(path: &Path) {
    let word = |id| format!("word {id}");
    let words: Vec<String> = (1..=ROWS).map(word).collect();
    let mut rows: Vec<_> = (1..)
        .zip(words.iter().map(|word| Some(word.as_str())))
        .collect();
    rows.push((0, Some("NUL: \0")));
    let mut table: DeltaTable = tables::create(path, NewTable::with_feed(), &rows).await;
    table.append(tables::words(&[(-1, None)])).await.unwrap();
    let puts = [(0, Some("zero")), (1, Some("first"))];
    table.merge(&["id"], tables::puts(&puts)).await.unwrap();
    table.delete(Some("id = 2")).await.unwrap();
    let last = table.append(tables::words(&[(-2, Some("more"))])).await;
    assert_eq!(last.unwrap(), 5);
}
