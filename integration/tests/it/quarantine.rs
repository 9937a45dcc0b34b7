//! Rows that Postgres cannot hold: kept aside with key, column and reason, while all others arrive;
//! back as soon as their value can be held.

mod null_keys;
mod previous;
mod refused;

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};
use lakeferry_postgres_testkit::servers;
use serde_json::{Value, json};

use crate::{deployment::Deployment, tables};

/// A row: id, word, day since 1970, cents.
type Parts<'a> = (i64, &'a str, i32, i128);

/// About the year −5000.
const LONG_AGO: i32 = -2_545_000;

/// Of ten digits, in a column of nine.
const OVERFLOW: i128 = 2_000_000_000;

fn columns(rows: &[Parts<'_>]) -> [(&'static str, ArrayRef, bool); 4] {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let words = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    let days = Date32Array::from_iter_values(rows.iter().map(|row| row.2));
    let cents = Decimal128Array::from_iter_values(rows.iter().map(|row| row.3));
    let cents = cents.with_precision_and_scale(9, 2).unwrap();
    [
        ("id", Arc::new(ids), false),
        ("word", Arc::new(words), true),
        ("day", Arc::new(days), true),
        ("cents", Arc::new(cents), true),
    ]
}

fn rows(rows: &[Parts<'_>]) -> RecordBatch {
    tables::batch(columns(rows))
}

/// Rows for a merge: each puts its key.
fn puts(rows: &[Parts<'_>]) -> RecordBatch {
    let ops = StringArray::from_iter_values(rows.iter().map(|_| "put"));
    let op: (&str, ArrayRef, bool) = (OP_COLUMN, Arc::new(ops), false);
    tables::batch([op].into_iter().chain(columns(rows)))
}

/// What is in quarantine, in the order of the keys.
fn list(deployment: &Deployment, options: &[&str]) -> Vec<Value> {
    let listed = result(deployment, &[&["quarantine", "list"], options].concat());
    let mut rows = listed.as_array().unwrap().clone();
    for row in &mut rows {
        row["key"] = serde_json::from_str(row["key"].as_str().unwrap()).unwrap();
    }
    rows.sort_by_key(|row| row["key"][0].as_i64());
    rows
}

fn keys(deployment: &Deployment) -> Vec<i64> {
    let listed = list(deployment, &[]);
    let key = |row: &Value| row["key"][0].as_i64().unwrap();
    listed.iter().map(key).collect()
}

/// The result of a command that succeeds.
fn result(deployment: &Deployment, arguments: &[&str]) -> Value {
    let said = deployment.run(arguments);
    assert_eq!(said.code, 0, "{said:?}");
    let mut envelope: Value = serde_json::from_str(&said.stdout).unwrap();
    envelope["result"].take()
}

/// Rows in quarantine, as `status` tells.
fn degraded(deployment: &Deployment) -> u64 {
    let jobs = result(deployment, &["status"]);
    jobs[0]["quarantined"].as_u64().unwrap()
}

/// What a command did: rows into quarantine, out of it, and values written as NULL.
fn synced(deployment: &Deployment, arguments: &[&str]) -> [u64; 3] {
    let jobs = result(deployment, arguments);
    let steps = jobs[0]["steps"].as_array().unwrap();
    ["quarantined", "released", "nulled"]
        .map(|what| steps.iter().map(|step| step[what].as_u64().unwrap()).sum())
}

/// By the feed, by files, and by comparing all.
fn ways() -> [(NewTable, &'static str); 3] {
    [
        (NewTable::with_feed(), "refresh_above: 100%"),
        (NewTable::without_feed(), "refresh_above: 100%"),
        (NewTable::with_feed(), "mode: snapshot"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_hold_up_no_others() {
    for version in servers() {
        for (new, option) in ways() {
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("rows");
            let mut table = fills(&mut deployment, &path, new, option).await;
            turns_bad(&deployment, &mut table).await;
            turns_good(&deployment, &mut table).await;
            // Another try changes nothing until the policy does.
            let retry = ["quarantine", "retry", "rows"];
            assert_eq!(synced(&deployment, &retry), [0; 3]);
            assert_eq!(keys(&deployment), [3]);
            deployment.forget_jobs();
            deployment.job("rows", &path, &[option, "on_bad_value: \"null\""]);
            assert_eq!(synced(&deployment, &["sync"]), [0; 3]);
            assert_eq!(synced(&deployment, &retry), [0, 1, 1]);
            let dump = deployment.dump("rows");
            assert!(dump.contains("\n3,still,,3.00\n"), "{dump}");
            assert_eq!((keys(&deployment), degraded(&deployment)), (vec![], 0));
            // It is a row as any other.
            table.delete(Some("id = 3")).await.unwrap();
            deployment.sync();
            assert_eq!(deployment.dump("rows"), GOOD);
        }
    }
}

/// What the target has in the end.
const GOOD: &str = "1,one,1970-01-02,1.00\n4,four,1970-01-05,4.00\n5,five,1970-01-06,5.00";

/// Row 3 is bad from the beginning.
async fn fills(
    deployment: &mut Deployment,
    path: &Path,
    new: NewTable,
    option: &str,
) -> DeltaTable {
    let first = rows(&[
        (1, "one", 1, 100),
        (2, "two", 2, 200),
        (3, "long ago", LONG_AGO, 300),
    ]);
    let table = DeltaTable::create(path, &first.schema(), new).await;
    let mut table = table.unwrap();
    table.append(first).await.unwrap();
    deployment.job("rows", path, &[option]);
    assert_eq!(synced(deployment, &["sync"]), [1, 0, 0]);
    let good = "1,one,1970-01-02,1.00\n2,two,1970-01-03,2.00";
    assert_eq!(deployment.dump("rows"), good);
    table
}

/// Row 4 comes bad, a good one with it; row 2 turns bad.
async fn turns_bad(deployment: &Deployment, table: &mut DeltaTable) {
    let more = rows(&[(4, "nul\0", 4, 400), (5, "five", 5, 500)]);
    table.append(more).await.unwrap();
    let bad = puts(&[(2, "two", 2, OVERFLOW)]);
    table.merge(&["id"], bad).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [2, 0, 0]);
    let good = "1,one,1970-01-02,1.00\n5,five,1970-01-06,5.00";
    assert_eq!(deployment.dump("rows"), good);
    let found = list(deployment, &[]);
    let wanted = [
        (2, "cents", "more digits than numeric(9,2)"),
        (3, "day", "a date before 4714-11-24 BC"),
        (4, "word", "the character NUL"),
    ];
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (row, (key, column, reason)) in found.iter().zip(wanted) {
        let place = json!(["rows", [key], column]);
        assert_eq!(json!([row["job"], row["key"], row["column"]]), place);
        assert!(row["reason"].as_str().unwrap().contains(reason), "{row}");
    }
    assert_eq!(degraded(deployment), 3);
    let shown = result(deployment, &["quarantine", "show", "rows", "4"]);
    let row = r#"{"id":4,"word":"nul\u0000","day":"1970-01-05","cents":4.00}"#;
    assert_eq!(shown[0]["row"], row);
    // Nothing to do leaves nothing.
    let transaction = deployment.next_transaction();
    assert_eq!(synced(deployment, &["sync"]), [0; 3]);
    assert_eq!(deployment.next_transaction(), transaction);
}

/// A good change clears one, another bad one keeps one, a delete forgets one.
async fn turns_good(deployment: &Deployment, table: &mut DeltaTable) {
    let four = puts(&[(4, "four", 4, 400)]);
    table.merge(&["id"], four).await.unwrap();
    table.delete(Some("id = 2")).await.unwrap();
    let three = puts(&[(3, "still", LONG_AGO, 300)]);
    table.merge(&["id"], three).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [0, 2, 0]);
    assert_eq!(deployment.dump("rows"), GOOD);
    assert_eq!(keys(deployment), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bad_rows_halt_the_job() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let first = [(1, Some("one")), (2, Some("\0"))];
        let mut table = tables::create(&path, NewTable::with_feed(), &first).await;
        let options = ["max_quarantined: 1", "refresh_above: 100%"];
        deployment.job("words", &path, &options);
        deployment.sync();
        let more = [(3, Some("\0")), (4, Some("four"))];
        table.append(tables::words(&more)).await.unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        for part in [
            "words",
            "2 rows would be in quarantine",
            "allows 1",
            "max_quarantined",
            "column \"word\" holds a text with the character NUL",
        ] {
            assert!(failure.contains(part), "{part}: {failure}");
        }
        assert_eq!(deployment.dump("words"), "1,one");
        assert_eq!(
            (deployment.watermark("words"), keys(&deployment)),
            (1, vec![2])
        );
        // Whoever gives one up has room for another.
        result(&deployment, &["quarantine", "drop", "words", "2"]);
        deployment.sync();
        assert_eq!(deployment.dump("words"), "1,one\n4,four");
        assert_eq!(keys(&deployment), [3]);
        let all = list(&deployment, &["--all"]);
        let dropped: Vec<_> = all.iter().map(|row| row["dropped"].as_bool()).collect();
        assert_eq!(dropped, [Some(true), Some(false)]);
        // A rebuild finds it bad as before.
        deployment.backfill("words");
        assert_eq!(list(&deployment, &["--all"]), all);
        result(&deployment, &["quarantine", "retry", "words"]);
        assert_eq!(list(&deployment, &["--all"]), all);
        deployment
            .run(&["quarantine", "drop", "words", "7"])
            .failure(1);
        // What was given up comes back once it is good.
        let good = [(2, Some("two")), (3, Some("three"))];
        table.merge(&["id"], tables::puts(&good)).await.unwrap();
        deployment.sync();
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,three\n4,four");
        assert!(list(&deployment, &["--all"]).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_whole_rows_are_kept_aside() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let first = [(1, Some("one")), (2, Some("\0")), (2, Some("\0"))];
        let mut table = tables::create(&path, NewTable::with_feed(), &first).await;
        let again = tables::words(&[(2, Some("\0"))]);
        table.append(again).await.unwrap();
        let (from, into) = (path.display(), "serving.public.words");
        deployment.raw_job(&format!(
            "  words: {{ from: {from}, into: {into}, mode: snapshot }}\n"
        ));
        deployment.sync();
        assert_eq!(deployment.dump("words"), "1,one");
        let kept = list(&deployment, &[]);
        let [row] = &kept[..] else { panic!("{kept:?}") };
        let wanted = json!([{ "id": 2, "word": "\0" }, 3]);
        assert_eq!(json!([row["key"], row["rows"]]), wanted, "of two files");
        table.delete(Some("id = 2")).await.unwrap();
        let two = tables::words(&[(2, Some("two"))]);
        table.append(two).await.unwrap();
        deployment.sync();
        assert_eq!(deployment.dump("words"), "1,one\n2,two");
        assert!(list(&deployment, &["--all"]).is_empty());
    }
}

/// What has no nearest value is kept aside as ever, and a key stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn nearest_values_come_instead_where_that_is_asked_for() {
    for version in servers() {
        for (new, option) in ways() {
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("rows");
            let mut first = vec![
                (1, "one", 1, 100),
                (2, "t\0wo\0", LONG_AGO, 200),
                (3, "\0", 3, OVERFLOW),
            ];
            // Enough that two changes are no reason to compare all.
            first.extend((4..=20).map(|id| (id, "more", 0, 0)));
            let first = rows(&first);
            let table = DeltaTable::create(&path, &first.schema(), new).await;
            let mut table = table.unwrap();
            table.append(first).await.unwrap();
            deployment.job("rows", &path, &[option, "on_bad_value: replace"]);
            let replaced = |deployment: &Deployment| {
                let jobs = result(deployment, &["sync"]);
                let steps = jobs[0]["steps"].as_array().unwrap();
                let sum = |what: &str| -> u64 {
                    steps.iter().map(|step| step[what].as_u64().unwrap()).sum()
                };
                [sum("replaced"), sum("quarantined"), sum("released")]
            };
            assert_eq!(replaced(&deployment), [3, 1, 0]);
            let dump = |deployment: &Deployment| {
                let all = deployment.dump("rows");
                let lines = all.lines().filter(|line| !line.contains("more"));
                lines.collect::<Vec<_>>().join("\n")
            };
            let two = "2,two,4714-11-24 BC,2.00";
            let one = "1,one,1970-01-02,1.00";
            assert_eq!(dump(&deployment), format!("{one}\n{two}"));
            let puts = puts(&[(1, "o\0ne", 1, 100), (3, "th\0ree", 5, 300)]);
            table.merge(&["id"], puts).await.unwrap();
            let counts = replaced(&deployment);
            // A refresh brings the second row again.
            let is_refresh = deployment.run_kinds().last().unwrap() == "refresh";
            let again = if is_refresh { 2 } else { 0 };
            assert_eq!(counts, [2 + again, 0, 1]);
            let before = deployment.row_versions("rows");
            let three = "3,three,1970-01-06,3.00";
            assert_eq!(dump(&deployment), format!("{one}\n{two}\n{three}"));
            deployment.backfill("rows");
            assert_eq!(deployment.row_versions("rows"), before);
            assert_eq!(replaced(&deployment), [0; 3]);
            table.delete(Some("id > 1")).await.unwrap();
            deployment.sync();
            assert_eq!(dump(&deployment), one);
        }
    }
}
