//! Mode append: rows that files add come, each as often as it is there, once; whatever takes rows away,
//! or would rebuild, halts by name and changes nothing.

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::{Version, servers};

use crate::{deployment::Deployment, tables};

const ROWS: &str = "COPY (SELECT * FROM words ORDER BY id, word) TO STDOUT (FORMAT csv)";

/// A source whose first rows were appended to the target.
async fn begun(version: Version, new: NewTable, key: &str) -> (Deployment, DeltaTable) {
    let mut deployment = Deployment::start(version);
    let path = deployment.lake("words");
    let first = [(1, Some("one")), (2, None)];
    let table = tables::create(&path, new, &first).await;
    let (from, into) = (path.display(), "serving.public.words");
    deployment.raw_job(&format!(
        "  words: {{ from: {from}, into: {into}, mode: append{key} }}\n"
    ));
    assert_eq!(deployment.sync().rows(), [2, 0, 0]);
    (deployment, table)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_comes_once() {
    for version in servers() {
        for new in [NewTable::with_feed(), NewTable::without_feed()] {
            // Without a key, equal rows are as many rows.
            let (deployment, mut table) = begun(version, new, "").await;
            for rows in [
                [(2, None), (3, Some("three"))],
                [(3, Some("three")), (4, None)],
            ] {
                table.append(tables::words(&rows)).await.unwrap();
            }
            let done = deployment.sync();
            assert_eq!((done.rows(), done.steps.len()), ([4, 0, 0], 1), "{done:?}");
            assert_eq!(deployment.sql(ROWS), "1,one\n2,\n2,\n3,three\n3,three\n4,");
            // What only moves rows between files brings nothing.
            table.optimize().await.unwrap();
            assert_eq!(deployment.sync().rows(), [0, 0, 0]);
            let transaction = deployment.next_transaction();
            assert_eq!(deployment.sync().steps.len(), 0);
            assert_eq!(deployment.next_transaction(), transaction);
            assert_eq!(deployment.watermark("words"), table.version());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_rows_away_halts() {
    for version in servers() {
        for (new, key) in [
            (NewTable::with_feed(), ""),
            (NewTable::without_feed(), ", key: [id]"),
        ] {
            let (deployment, mut table) = begun(version, new, key).await;
            table
                .append(tables::words(&[(3, Some("three"))]))
                .await
                .unwrap();
            table.delete(Some("id = 1")).await.unwrap();
            table
                .append(tables::words(&[(4, Some("four"))]))
                .await
                .unwrap();
            // What came before it is applied.
            let failure = deployment.run(&["sync"]).failure(1);
            for part in ["words", "mode is append", "version 3", "lakeferry backfill"] {
                assert!(failure.contains(part), "{part}: {failure}");
            }
            assert_eq!(deployment.sql(ROWS), "1,one\n2,\n3,three");
            assert_eq!(deployment.watermark("words"), 2);
            let before = deployment.pg_dump();
            let again = deployment.run(&["sync"]).failure(1);
            assert!(again.contains("version 3"), "{again}");
            let plan = deployment.run(&["plan"]).result();
            let would = plan[0]["would"].as_str().unwrap();
            assert!(would.contains("mode is append"), "{plan}");
            assert_eq!(deployment.pg_dump(), before);
            // Whoever asks gets the source as it is, and from there on it goes on.
            assert_eq!(deployment.backfill("words").rows(), [1, 0, 1]);
            table.append(tables::words(&[(5, None)])).await.unwrap();
            assert_eq!(deployment.sync().rows(), [1, 0, 0]);
            assert_eq!(deployment.sql(ROWS), "2,\n3,three\n4,four\n5,");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_there_halts() {
    for version in servers() {
        let (deployment, mut table) = begun(version, NewTable::with_feed(), ", key: [id]").await;
        let rows = [(3, Some("three")), (2, Some("again"))];
        table.append(tables::words(&rows)).await.unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("words_pkey"), "{failure}");
        assert_eq!(deployment.sql(ROWS), "1,one\n2,");
        assert_eq!(deployment.watermark("words"), 1);
    }
}

/// Bad rows wait in quarantine, equal ones in one entry where there is no key.
#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_kept_aside() {
    for version in servers() {
        for (key, counted) in [("", "2"), (", key: [id]", "1")] {
            let (deployment, mut table) = begun(version, NewTable::with_feed(), key).await;
            let bad = (3, Some("\0"));
            for rows in [[bad, (4, None)], [bad, (5, None)]] {
                // With a key, a bad row of the same key again is the one that is kept.
                table.append(tables::words(&rows)).await.unwrap();
                deployment.sync();
            }
            assert_eq!(deployment.sql(ROWS), "1,one\n2,\n4,\n5,");
            let kept = "SELECT count(*), sum(rows) FROM lakeferry.quarantine";
            assert_eq!(deployment.sql(kept), format!("1|{counted}"));
        }
    }
}

/// What can no longer be told is not made up for by a rebuild.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_gone_halts() {
    for version in servers() {
        let (deployment, mut table) = begun(version, NewTable::without_feed(), "").await;
        for id in 3..6 {
            table.append(tables::words(&[(id, None)])).await.unwrap();
        }
        table.checkpoint().await.unwrap();
        let log = deployment.lake("words").join("_delta_log");
        for old in 0..4 {
            std::fs::remove_file(log.join(format!("{old:020}.json"))).unwrap();
        }
        let failure = deployment.run(&["sync"]).failure(1);
        for part in [
            "mode is append",
            "can no longer be read",
            "lakeferry backfill",
        ] {
            assert!(failure.contains(part), "{part}: {failure}");
        }
        assert_eq!(deployment.sql(ROWS), "1,one\n2,");
        assert_eq!(deployment.backfill("words").rows(), [3, 0, 0]);
    }
}
