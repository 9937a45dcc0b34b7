//! A target can be rebuilt from its source whatever it has, and then only what differs is written.

use std::path::{Path, PathBuf};

use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

const ROWS: tables::Words<'_> = &[
    (1, Some("one")),
    (2, Some("two")),
    (3, Some("")),
    (4, None),
    (5, Some("five")),
];
const DUMP: &str = "1,one\n2,two\n3,\"\"\n4,\n5,five";

#[tokio::test(flavor = "multi_thread")]
async fn a_live_job_is_rebuilt_by_difference() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        let done = deployment.backfill("words");
        done.assert_only("fill the table");
        assert_eq!((done.job.as_str(), done.rows()), ("words", [5, 0, 0]));
        assert_eq!(deployment.dump("words"), DUMP);

        let before = deployment.row_versions("words");
        deployment.sql(
            "DELETE FROM words WHERE id = 2; UPDATE words SET word = 'changed' WHERE id = 3; \
             INSERT INTO words VALUES (9, 'of somebody else')",
        );
        let done = deployment.backfill("words");
        done.assert_only("as asked");
        assert_eq!(done.rows(), [1, 1, 1]);
        assert_eq!(deployment.dump("words"), DUMP);
        let after = deployment.row_versions("words");
        for untouched in [0, 3, 4] {
            assert_eq!(after[untouched], before[untouched]);
        }

        table.delete(Some("id = 5")).await.unwrap();
        assert_eq!(
            deployment.sync().rows(),
            [0, 0, 1],
            "it goes on from where backfill left"
        );
    }
}

/// A table without the feed that only grows is read file by file, and only the new ones.
#[tokio::test(flavor = "multi_thread")]
async fn added_files_are_read_without_a_feed() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::without_feed(), ROWS).await;
        deployment.job("words", &path, &["refresh_above: 100%"]);
        deployment.sync();
        let before = deployment.row_versions("words");
        table
            .append(tables::words(&[(6, Some("six"))]))
            .await
            .unwrap();
        let done = deployment.sync();
        done.assert_only("from the files that were added");
        assert_eq!(done.rows(), [1, 0, 0]);
        assert_eq!(deployment.dump("words"), format!("{DUMP}\n6,six"));
        assert_eq!(deployment.row_versions("words")[..5], before);
    }
}

/// Files that were rewritten without the feed do not say what changed: the table is compared.
#[tokio::test(flavor = "multi_thread")]
async fn rewritten_files_without_a_feed_are_a_rebuild_by_difference() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::without_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        let before = deployment.row_versions("words");
        table
            .update(&[("word", "'deux'")], Some("id = 2"))
            .await
            .unwrap();
        table.delete(Some("id = 1")).await.unwrap();
        let done = deployment.sync();
        done.assert_only("rebuild by difference");
        assert_eq!(done.rows(), [0, 1, 1]);
        assert_eq!(deployment.dump("words"), "2,deux\n3,\"\"\n4,\n5,five");
        assert_eq!(deployment.row_versions("words")[1..], before[2..]);

        table.overwrite(tables::words(ROWS)).await.unwrap();
        assert_eq!(deployment.sync().rows(), [1, 1, 0]);
        assert_eq!(deployment.dump("words"), DUMP);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_replaced_waits_for_a_backfill() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        std::fs::remove_dir_all(&path).unwrap();
        tables::create(
            &path,
            NewTable::with_feed(),
            &[(1, Some("one")), (7, Some("seven"))],
        )
        .await;

        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("lakeferry backfill"), "{failure}");
        assert_eq!(deployment.dump("words"), DUMP);
        assert_eq!(deployment.backfill("words").rows(), [1, 0, 4]);
        assert_eq!(deployment.dump("words"), "1,one\n7,seven");
    }
}

/// The same table whose newest commit was taken back and made anew: only its digest differs.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_taken_back_waits_for_a_backfill() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        let committed = table.delete(Some("id = 1")).await.unwrap();
        deployment.job("words", &path, &[]);
        deployment.sync();
        for more in [false, true] {
            std::fs::remove_file(commit_file(&path, committed)).unwrap();
            let mut table = DeltaTable::open(&path).await.unwrap();
            assert_eq!(table.delete(Some("id = 2")).await.unwrap(), committed);
            if more {
                table.delete(Some("id = 3")).await.unwrap();
            }
            let failure = deployment.run(&["sync"]).failure(1);
            assert!(failure.contains("was committed anew"), "{failure}");
            assert!(failure.contains("lakeferry backfill"), "{failure}");
        }
        assert_eq!(deployment.backfill("words").rows(), [1, 0, 2]);
        assert_eq!(deployment.dump("words"), "1,one\n4,\n5,five");
    }
}

/// A log that was cleaned does not say any more what changed: the table is compared.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_cleaned_past_the_watermark_is_a_rebuild_by_difference() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        table.delete(Some("id = 1")).await.unwrap();
        table
            .update(&[("word", "'deux'")], Some("id = 2"))
            .await
            .unwrap();
        table.checkpoint().await.unwrap();
        for cleaned in 0..=2 {
            std::fs::remove_file(commit_file(&path, cleaned)).unwrap();
        }
        let done = deployment.sync();
        done.assert_only("can no longer be read");
        assert_eq!(done.rows(), [0, 1, 1]);
        assert_eq!(deployment.dump("words"), "2,deux\n3,\"\"\n4,\n5,five");
        table.delete(Some("id = 2")).await.unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, 1]);
    }
}

fn commit_file(table: &Path, version: u64) -> PathBuf {
    table.join(format!("_delta_log/{version:020}.json"))
}
