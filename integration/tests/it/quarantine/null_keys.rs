//! Rows with NULL in their key: they halt the job, or are kept aside as often as they are there, and
//! come as soon as they have a key.

use arrow_schema::{DataType, Field};

use super::*;

const QUARANTINE: &str = "on_null_key: quarantine";

/// Words by id, which may be NULL.
fn words(rows: &[(Option<i64>, &str)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|row| row.0).collect();
    let words = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    let columns: [(&str, ArrayRef, bool); 2] =
        [("id", Arc::new(ids), true), ("word", Arc::new(words), true)];
    tables::batch(columns)
}

/// A table whose rows are in two files.
async fn create(path: &Path, new: NewTable) -> DeltaTable {
    let first = words(&[(Some(1), "one"), (None, "a"), (None, "hidden")]);
    let mut table = DeltaTable::create_with(path, first, new).await.unwrap();
    let more = words(&[(None, "a"), (None, "b")]);
    table.append(more).await.unwrap();
    table
}

/// The words of those without a key, each with how often it is there.
fn unkeyed(deployment: &Deployment) -> Vec<(String, u64)> {
    let listed = result(deployment, &["quarantine", "list"]);
    let mut found = Vec::new();
    for row in listed.as_array().unwrap() {
        assert_eq!(json!([row["key"], row["column"]]), json!(["[null]", "id"]));
        assert_eq!(row["reason"], "NULL, which no key may hold");
    }
    if !listed.as_array().unwrap().is_empty() {
        let shown = result(deployment, &["quarantine", "show", "words", "null"]);
        let kept = shown.as_array().unwrap().iter();
        for row in kept.filter(|row| row["dropped"] == false) {
            let values: Value = serde_json::from_str(row["row"].as_str().unwrap()).unwrap();
            let word = values["word"].as_str().unwrap().to_owned();
            found.push((word, row["rows"].as_u64().unwrap()));
        }
    }
    found.sort();
    let all: u64 = found.iter().map(|(_, rows)| rows).sum();
    assert_eq!(degraded(deployment), all);
    found
}

fn counted(of: &[(&str, u64)]) -> Vec<(String, u64)> {
    of.iter()
        .map(|(word, rows)| ((*word).to_owned(), *rows))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_hold_up_no_others() {
    for version in servers() {
        for (new, option) in ways() {
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("words");
            let mut table = create(&path, new).await;
            let filter = "filter: word <> 'hidden'";
            deployment.job("words", &path, &[option, filter]);
            let failure = deployment.run(&["sync"]).failure(1);
            for part in ["key column \"id\"", "is null", QUARANTINE] {
                assert!(failure.contains(part), "{part}: {failure}");
            }
            deployment.forget_jobs();
            deployment.job("words", &path, &[option, filter, QUARANTINE]);
            assert_eq!(synced(&deployment, &["sync"]), [3, 0, 0]);
            assert_eq!(deployment.dump("words"), "1,one");
            assert_eq!(unkeyed(&deployment), counted(&[("a", 2), ("b", 1)]));
            changes(&deployment, &mut table).await;
            halts(&mut deployment, (&path, &mut table), &[option, filter]).await;
        }
    }
}

/// They come and go, and one gets a key.
async fn changes(deployment: &Deployment, table: &mut DeltaTable) {
    let more = words(&[(None, "c"), (Some(2), "two"), (None, "hidden")]);
    table.append(more).await.unwrap();
    let b = Some("id IS NULL AND word = 'b'");
    table.update(&[("word", "'B'")], b).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [2, 1, 0]);
    assert_eq!(deployment.dump("words"), "1,one\n2,two");
    let wanted = [("B", 1), ("a", 2), ("c", 1)];
    assert_eq!(unkeyed(deployment), counted(&wanted));
    // Of two that are equal, one goes.
    let all = [
        (Some(1), "one"),
        (None, "a"),
        (None, "B"),
        (Some(2), "two"),
        (None, "c"),
    ];
    table.overwrite(words(&all)).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [0, 1, 0]);
    let c = Some("word = 'c'");
    table.update(&[("id", "3")], c).await.unwrap();
    let two = Some("word = 'two'");
    table.update(&[("id", "NULL")], two).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [1, 1, 0]);
    assert_eq!(deployment.dump("words"), "1,one\n3,c");
    let wanted = counted(&[("B", 1), ("a", 1), ("two", 1)]);
    assert_eq!(unkeyed(deployment), wanted);
    // Nothing to do leaves nothing; another try, and a rebuild, find them as they are.
    let transaction = deployment.next_transaction();
    assert_eq!(synced(deployment, &["sync"]), [0; 3]);
    assert_eq!(deployment.next_transaction(), transaction);
    let found = result(deployment, &["quarantine", "list"]);
    let retry = ["quarantine", "retry", "words"];
    assert_eq!(synced(deployment, &retry), [0; 3]);
    assert_eq!(synced(deployment, &["backfill", "words"]), [0; 3]);
    assert_eq!(result(deployment, &["quarantine", "list"]), found);
    assert_eq!(unkeyed(deployment), wanted);
}

/// A job that halts for them from now on lets go those that there are.
async fn halts(
    deployment: &mut Deployment,
    (path, table): (&Path, &mut DeltaTable),
    options: &[&str],
) {
    deployment.forget_jobs();
    deployment.job("words", path, options);
    table.delete(Some("id IS NULL")).await.unwrap();
    assert_eq!(synced(deployment, &["sync"]), [0, 3, 0]);
    assert_eq!(unkeyed(deployment), []);
    table.append(words(&[(None, "d")])).await.unwrap();
    let failure = deployment.run(&["sync"]).failure(1);
    assert!(failure.contains(QUARANTINE), "{failure}");
    assert_eq!(unkeyed(deployment), []);
    table.delete(Some("id IS NULL")).await.unwrap();
    deployment.sync();
    assert_eq!(deployment.dump("words"), "1,one\n3,c");
}

/// What went is not told from its values any more: the table is read as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn other_columns_are_no_reason_to_lose_count() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = create(&path, NewTable::with_feed()).await;
        let others: Vec<_> = (1_000..2_000).map(|id| (Some(id), "other")).collect();
        table.append(words(&others)).await.unwrap();
        let options = ["refresh_above: 100%", QUARANTINE];
        deployment.job("words", &path, &options);
        assert_eq!(synced(&deployment, &["sync"]), [4, 0, 0]);
        let more = Field::new("more", DataType::Utf8, true);
        table.add_column(&more).await.unwrap();
        deployment.sync();
        let b = Some("word = 'b'");
        table.update(&[("id", "2")], b).await.unwrap();
        let done = deployment.sync();
        let kinds: Vec<_> = done.steps.iter().map(|step| step.kind.as_str()).collect();
        let [kind] = kinds[..] else {
            panic!("{kinds:?}")
        };
        assert!(kind.contains("rebuild by difference"), "{kind}");
        assert_eq!(done.rows(), [1, 0, 0]);
        assert_eq!(unkeyed(&deployment), counted(&[("a", 2), ("hidden", 1)]));
        // From here on they are known in these columns.
        table.delete(Some("word = 'a'")).await.unwrap();
        let done = deployment.sync();
        assert!(done.steps[0].kind.starts_with("apply"), "{done:?}");
        assert_eq!(unkeyed(&deployment), counted(&[("hidden", 1)]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_the_job_does_with_keys() {
    for version in servers() {
        for option in ["mode: append", "dedupe_by: word"] {
            let mut deployment = Deployment::start(version);
            let path = deployment.lake("words");
            let mut table = create(&path, NewTable::with_feed()).await;
            let options = [
                option,
                "refresh_above: 100%",
                "max_quarantined: 6",
                QUARANTINE,
            ];
            deployment.job("words", &path, &options);
            assert_eq!(synced(&deployment, &["sync"]), [4, 0, 0]);
            let more = words(&[(None, "a"), (Some(2), "two"), (None, "z")]);
            table.append(more).await.unwrap();
            let done = deployment.sync();
            assert_eq!(done.rows(), [1, 0, 0]);
            assert!(done.steps[0].kind.starts_with("apply"), "{done:?}");
            let wanted = counted(&[("a", 3), ("b", 1), ("hidden", 1), ("z", 1)]);
            assert_eq!(unkeyed(&deployment), wanted);
            // One more is too many.
            table.append(words(&[(None, "a")])).await.unwrap();
            let failure = deployment.run(&["sync"]).failure(1);
            for part in [
                "7 rows would be in quarantine",
                "NULL, which no key may hold",
            ] {
                assert!(failure.contains(part), "{part}: {failure}");
            }
            assert_eq!(unkeyed(&deployment), wanted);
            assert_eq!(deployment.dump("words"), "1,one\n2,two");
            // Rows that were given up are so no more, once there is one more of them.
            result(&deployment, &["quarantine", "drop", "words", "null"]);
            assert_eq!(unkeyed(&deployment), []);
            assert_eq!(synced(&deployment, &["sync"]), [1, 0, 0]);
            assert_eq!(unkeyed(&deployment), counted(&[("a", 4)]));
        }
    }
}

/// Some columns of the key are set. A bad value in such a row is no other reason.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let first = words(&[(Some(1), "one"), (Some(2), "two")]);
        let new = NewTable::with_feed();
        let mut table = DeltaTable::create_with(&path, first, new).await.unwrap();
        deployment.job("words", &path, &["key: [word, id]", QUARANTINE]);
        deployment.sync();
        table
            .append(words(&[(None, "three"), (None, "nul\0")]))
            .await
            .unwrap();
        assert_eq!(synced(&deployment, &["sync"]), [2, 0, 0]);
        let listed = result(&deployment, &["quarantine", "list"]);
        let mut keys: Vec<&str> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["key"].as_str().unwrap())
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, [r#"["nul\u0000",null]"#, r#"["three",null]"#]);
        table.delete(Some("id IS NULL")).await.unwrap();
        assert_eq!(synced(&deployment, &["sync"]), [0, 2, 0]);
        assert_eq!(degraded(&deployment), 0);
        assert_eq!(deployment.dump("words"), "1,one\n2,two");
    }
}
