//! Several rows of one key: `dedupe_by` brings the greatest, and the next one when it goes, whichever way
//! changes are read.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{Version, servers};
use rand::{Rng as _, seq::IndexedRandom as _};

use crate::{
    deployment::Deployment,
    scene::{as_long, on_each_server},
    tables,
};

/// A row: id, when, word.
type Parts<'a> = (i64, Option<i64>, &'a str);

const ROWS: &str = "COPY (SELECT * FROM seen ORDER BY id) TO STDOUT (FORMAT csv)";

fn rows(rows: &[Parts<'_>]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let when: Int64Array = rows.iter().map(|row| row.1).collect();
    let words = StringArray::from_iter_values(rows.iter().map(|row| row.2));
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("id", Arc::new(ids), true),
        ("when", Arc::new(when), true),
        ("word", Arc::new(words), true),
    ];
    tables::batch(columns)
}

/// A source that was synced, with some options of the job.
async fn begun(
    version: Version,
    (new, options): (NewTable, &[&str]),
    first: &[Parts<'_>],
) -> (Deployment, DeltaTable) {
    let mut deployment = Deployment::start(version);
    let path = deployment.lake("seen");
    let table = DeltaTable::create_with(&path, rows(first), new).await;
    deployment.job("seen", &path, &[&["dedupe_by: when"], options].concat());
    (deployment, table.unwrap())
}

/// By the feed, by files, and by comparing all.
fn ways() -> [(NewTable, &'static [&'static str]); 3] {
    let by_changes: &[&str] = &["refresh_above: 100%"];
    [
        (NewTable::with_feed(), by_changes),
        (NewTable::without_feed(), by_changes),
        (NewTable::with_feed(), &["mode: snapshot"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greatest_row_of_a_key_counts() {
    for version in servers() {
        for way in ways() {
            let is_incremental = way.1[0] != "mode: snapshot";
            let first = [
                (1, Some(5), "newest"),
                (1, Some(4), "older"),
                (1, None, "never"),
                (2, Some(7), "a"),
                (2, Some(7), "b"),
                (3, None, "only"),
            ];
            let (deployment, mut table) = begun(version, way, &first).await;
            assert_eq!(deployment.sync().rows(), [3, 0, 0]);
            assert_eq!(deployment.sql(ROWS), "1,5,newest\n2,7,b\n3,,only");
            // One that loses, one that wins, one that is new.
            let more = [(1, Some(3), "late"), (2, Some(8), "c"), (4, Some(0), "new")];
            table.append(rows(&more)).await.unwrap();
            let done = deployment.sync();
            assert_eq!(done.rows(), [1, 1, 0]);
            let step = &done.steps[0];
            let is_read = step.kind.starts_with("apply");
            assert_eq!(is_read, is_incremental, "{step:?}");
            assert_eq!(deployment.sql(ROWS), "1,5,newest\n2,8,c\n3,,only\n4,0,new");
            // The next one takes the place of one that goes; where none is left, the key goes.
            table
                .delete(Some("word IN ('newest', 'c', 'only')"))
                .await
                .unwrap();
            assert_eq!(deployment.sync().rows(), [0, 2, 1]);
            assert_eq!(deployment.sql(ROWS), "1,4,older\n2,7,b\n4,0,new");
            // What loses comes and goes unseen.
            table.delete(Some("word = 'never'")).await.unwrap();
            table.append(rows(&[(4, None, "less")])).await.unwrap();
            assert_eq!(deployment.sync().rows(), [0, 0, 0]);
            let set = [("when", "9"), ("word", "'raised'")];
            table.update(&set, Some("word = 'late'")).await.unwrap();
            table.optimize().await.unwrap();
            assert_eq!(deployment.sync().rows(), [0, 1, 0]);
            assert_eq!(deployment.sql(ROWS), "1,9,raised\n2,7,b\n4,0,new");
            assert_eq!(deployment.sync().steps.len(), 0);
        }
    }
}

/// Duplicates are settled among what the filter lets through, and before bad values are set aside: the
/// greatest row is in quarantine, not the next one in the target; and a lesser one's value is no matter.
#[tokio::test(flavor = "multi_thread")]
async fn filters_and_bad_values() {
    for version in servers() {
        for (new, way) in ways() {
            let filter = "filter: word <> 'hidden'";
            let first = [
                (1, Some(9), "hidden"),
                (1, Some(1), "shown"),
                (2, Some(9), "bad\0"),
                (2, Some(1), "good"),
                (3, Some(9), "good"),
                (3, Some(1), "bad\0"),
            ];
            let way: Vec<&str> = way.iter().copied().chain([filter]).collect();
            let (deployment, mut table) = begun(version, (new, &way), &first).await;
            assert_eq!(deployment.sync().rows(), [2, 0, 0]);
            assert_eq!(deployment.sql(ROWS), "1,1,shown\n3,9,good");
            let kept = "SELECT key FROM lakeferry.quarantine";
            assert_eq!(deployment.sql(kept), "[2]");
            table.delete(Some("\"when\" = 9")).await.unwrap();
            assert_eq!(deployment.sync().rows(), [1, 0, 1]);
            assert_eq!(deployment.sql(ROWS), "1,1,shown\n2,1,good");
            assert_eq!(deployment.sql(kept), "[3]");
        }
    }
}

/// A table that has them is adopted, a job that did without them rebuilds by difference, and one that
/// does so again halts.
#[tokio::test(flavor = "multi_thread")]
async fn the_choice_may_change() {
    for version in servers() {
        let way = (NewTable::with_feed(), &[][..]);
        let first = [(1, Some(5), "a"), (1, Some(4), "z"), (2, None, "b")];
        let (mut deployment, _) = begun(version, way, &first).await;
        deployment.sql("CREATE TABLE seen (id bigint PRIMARY KEY, \"when\" bigint, word text)");
        deployment.sql("INSERT INTO seen VALUES (1, 5, 'a'), (2, NULL, 'b')");
        let adopted = deployment.run(&["adopt", "seen"]);
        assert_eq!(adopted.code, 0, "{adopted:?}");
        let path = deployment.lake("seen");
        deployment.forget_jobs();
        deployment.job("seen", &path, &["dedupe_by: word"]);
        assert_eq!(deployment.sync().rows(), [0, 1, 0]);
        assert_eq!(deployment.sql(ROWS), "1,4,z\n2,,b");
        deployment.forget_jobs();
        deployment.job("seen", &path, &[]);
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("dedupe_by"), "{failure}");
        assert_eq!(deployment.sql(ROWS), "1,4,z\n2,,b");
        deployment.forget_jobs();
        deployment.job("seen", &path, &["dedupe_by: nope"]);
        let failure = deployment.run(&["validate"]).failure(2);
        let why = "column nope of its dedupe_by is not a column of its source";
        assert!(failure.contains(why), "{failure}");
    }
}

/// Random rows of few keys that come, go and change, a job with little memory among them: after each
/// sync the target is what SQL over the source's rows says.
#[test]
fn whatever_comes_and_goes() {
    on_each_server("duplicates", async |version, mut random| {
        for (new, way) in ways() {
            let memory = ["collapse_memory: 1MB", "collapse_memory: 64MiB"];
            let way: Vec<&str> = (way.iter().copied())
                .chain(memory.choose(&mut random).copied())
                .collect();
            let mut all: Vec<Parts<'static>> = Vec::new();
            let mut some = |count: usize| -> Vec<Parts<'static>> {
                let words = ["", "a", "b", "it's"];
                let row = |_| {
                    let when = random.random_bool(0.9).then(|| random.random_range(-3..3));
                    let word = words[random.random_range(0..words.len())];
                    (random.random_range(0..60), when, word)
                };
                (0..count).map(row).collect()
            };
            all.extend(some(400));
            let (deployment, mut table) = begun(version, (new, &way), &all).await;
            for round in 0..as_long(6, 40) {
                deployment.sync();
                assert_eq!(deployment.sql(ROWS), greatest(&all), "round {round}");
                let more = some(12);
                table.append(rows(&more)).await.unwrap();
                all.extend(more);
                let gone = some(1)[0];
                let condition = format!("id % 7 = {} AND word = 'b'", gone.0 % 7);
                table.delete(Some(&condition)).await.unwrap();
                all.retain(|row| row.0 % 7 != gone.0 % 7 || row.2 != "b");
                let raised = some(1)[0].0;
                let set = [("when", "\"when\" + 1")];
                let condition = format!("id = {raised}");
                table.update(&set, Some(&condition)).await.unwrap();
                for row in all.iter_mut().filter(|row| row.0 == raised) {
                    row.1 = row.1.map(|when| when + 1);
                }
            }
        }
    });
}

/// As the target shows it.
fn greatest(all: &[Parts<'_>]) -> String {
    let mut all = all.to_vec();
    all.sort_by_key(|(id, when, word)| (*id, std::cmp::Reverse((*when, *word))));
    all.dedup_by_key(|row| row.0);
    let line = |(id, when, word): &Parts<'_>| {
        let when = when.map(|when| when.to_string()).unwrap_or_default();
        let word = if word.is_empty() { "\"\"" } else { word };
        format!("{id},{when},{word}")
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
