//! The change data feeds of other people's tables, row for row as their own readers gave them
//! (`expected_changes.json` of the corpus).

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_model::{ColumnChoice, DeltaVersion, Reading, Watermark};
use serde_json::Value;

use crate::world::{changes, watermark};

/// Seen from the folder of the checkout or from one around it.
const BESIDE: &str = "shared/corpora";

/// Version and sign, and the rows that have them, sorted.
type Signed = BTreeMap<(u64, char), Vec<Vec<String>>>;

#[tokio::test(flavor = "multi_thread")]
async fn feeds_of_others_are_read_as_they_are() {
    let unpacked = tempfile::tempdir().unwrap();
    let Some((tables, expected)) = corpus(unpacked.path()) else {
        println!("skipped: no corpus; set LAKEFERRY_CORPUS to where it was unpacked");
        return;
    };
    let expected: Vec<Value> = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
    let (mut feeds, mut rows) = (0, 0);
    for case in &expected {
        let name = case["table"].as_str().unwrap();
        let lines: Vec<_> = case["rows"].as_array().unwrap().iter().map(cells).collect();
        // The kernel's suite asks some tables for nothing.
        let Some((header, lines)) = lines.split_first() else {
            continue;
        };
        let columns = &header[..header.len() - 2];
        let after = case["start"].as_str().unwrap().parse::<u64>().unwrap();
        let after = after.saturating_sub(1);
        let last = case["end"].as_str().unwrap().parse::<u64>().ok();
        let mut wanted = Signed::new();
        for line in lines {
            let (row, marks) = line.split_at(columns.len());
            let version: u64 = marks[1].parse().unwrap();
            let is_minus = marks[0].starts_with("delete") || marks[0].starts_with("update_pre");
            // What came with the first version no range has.
            if version > after {
                let sign = if is_minus { '-' } else { '+' };
                wanted
                    .entry((version, sign))
                    .or_default()
                    .push(row.to_vec());
            }
        }
        wanted.values_mut().for_each(|rows| rows.sort());
        let path = tables.join("kernel-rs").join(name).join(name);
        let found = found(&path, columns, after, last).await;
        assert_eq!(found, wanted, "{name}");
        feeds += 1;
        rows += wanted.values().map(Vec::len).sum::<usize>();
    }
    println!("{feeds} feeds, {rows} changes");
    assert!(feeds > 5 && rows > 50, "only {feeds} feeds, {rows} changes");
}

/// The changes after version `after`, up to `last`.
async fn found(path: &Path, columns: &[String], after: u64, last: Option<u64>) -> Signed {
    let source = DeltaSource::new(Settings {
        location: path.to_str().unwrap().to_owned(),
        columns: ColumnChoice {
            listed: Some(columns.to_vec()),
            ..ColumnChoice::default()
        },
        ..Settings::default()
    })
    .unwrap();
    let after = Watermark {
        version: DeltaVersion(after),
        digest: None,
        ..watermark(&source).await
    };
    let mut found = Signed::new();
    for change in changes(&source, &after, Reading::Feed).await.unwrap() {
        let mut parts = change.splitn(3, ' ');
        let version: u64 = parts.next().unwrap().parse().unwrap();
        let sign = parts.next().unwrap().chars().next().unwrap();
        let row = parts.next().unwrap().split(" | ");
        let row = row.map(|cell| cell.replace('~', "").trim().to_owned());
        if last.is_none_or(|last| version <= last) {
            found
                .entry((version, sign))
                .or_default()
                .push(row.collect());
        }
    }
    found.values_mut().for_each(|rows| rows.sort());
    found
}

/// `| a | b |`; nulls are blank.
fn cells(line: &Value) -> Vec<String> {
    let line = line.as_str().unwrap().trim().trim_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Where the tables are, if need be unpacked into `folder`, and what is expected of their feeds.
fn corpus(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap();
    let mut beside = root.ancestors().map(|folder| folder.join(BESIDE));
    let beside = beside.find(|folder| folder.join("expected_changes.json").exists())?;
    let tables = match env::var_os("LAKEFERRY_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let python = root.join("target/venv/bin/python");
            let mut unpack = Command::new(python);
            unpack.arg(root.join("integration/oracle/unpack.py"));
            let unpacked = unpack.arg(beside.join("dev.tar.zst")).arg(folder).status();
            unpacked.ok().filter(|status| status.success())?;
            folder.to_owned()
        }
    };
    Some((tables, beside.join("expected_changes.json")))
}
