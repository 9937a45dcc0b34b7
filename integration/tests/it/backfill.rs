//! A target can be rebuilt from its source whatever it has, and then only what differs is written.

use std::path::{Path, PathBuf};

use lakeferry_delta_testkit::{DeltaTable, NewTable, append_lineitem, lineitem_columns};
use lakeferry_postgres_testkit::servers;

use crate::{
    deployment::Deployment,
    process::{PAUSE, Process},
    tables,
};

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

/// Lets two pieces of a fill in; the others wait until they are given up.
const TWO_PIECES: &str = "\
CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN IF NEW.piece >= 2 THEN PERFORM pg_sleep(600); END IF; RETURN NEW; END $$; \
CREATE TRIGGER stall BEFORE INSERT ON lakeferry.fill_pieces FOR EACH ROW EXECUTE FUNCTION stall()";

/// What was loaded before a kill is not read again, also not after the source went on.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_fill_is_gone_on_with() {
    const JOB: &str = "lineitem";
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let words = deployment.lake("words");
        tables::create(&words, NewTable::default(), ROWS).await;
        deployment.job("words", &words, &[]);
        deployment.sync();
        deployment.forget_jobs();
        let path = deployment.lake(JOB);
        let columns = lineitem_columns();
        let mut table = DeltaTable::create(&path, &columns, NewTable::default())
            .await
            .unwrap();
        append_lineitem(&mut table, 0.1, 6).await.unwrap();
        deployment.job(JOB, &path, &["key: [l_orderkey, l_linenumber]"]);
        deployment.sql(TWO_PIECES);

        let config = deployment.config();
        let mut process = Process::start(&config, config.parent().unwrap(), &["sync"]).unwrap();
        let stalled = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while deployment.sql(stalled) == "0"
            || deployment.sql("SELECT count(*) FROM lakeferry.fill_pieces") != "2"
        {
            assert!(!process.has_ended().unwrap(), "it has ended");
            tokio::time::sleep(PAUSE).await;
        }
        process.kill().unwrap();
        assert_eq!(deployment.sql("SELECT to_regclass('lineitem')"), "");
        let status = deployment.run(&["status"]).result();
        let unfinished = &status[0]["unfinished_fill"];
        assert_eq!(unfinished["pieces_loaded"], 2, "{status}");
        let loaded = unfinished["rows_loaded"].as_u64().unwrap();
        assert!(unfinished["pieces"].as_u64().unwrap() > 2, "{status}");
        let plan = deployment.run(&["plan"]).result();
        let would = plan[0]["would"].as_str().unwrap();
        assert!(would.starts_with("go on with the fill"), "{would}");

        deployment.sql("DROP FUNCTION stall() CASCADE");
        table.delete(Some("l_orderkey < 100")).await.unwrap();
        let done = deployment.sync();
        let fill = &done.steps[0];
        assert!(fill.kind.contains("going on after 2 pieces"), "{done:?}");
        assert!(
            loaded > 0 && fill.rows_read + loaded == fill.inserted,
            "{done:?}"
        );
        assert!(done.steps.len() > 1, "the deletes came after: {done:?}");
        let count = deployment.sql("SELECT count(*), min(l_orderkey) >= 100 FROM lineitem");
        let rows: usize = table
            .rows()
            .await
            .unwrap()
            .iter()
            .map(|batch| batch.num_rows())
            .sum();
        assert_eq!(count, format!("{rows}|t"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_gives_the_space_of_a_fill_back() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        tables::create(&path, NewTable::default(), ROWS).await;
        deployment.job("words", &path, &[]);
        assert_eq!(deployment.run(&["reset", "words"]).result()[0]["rows"], 0);
        assert_eq!(
            deployment.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'lakeferry'"),
            "0"
        );
        deployment.sync();
        let reset = deployment.run(&["reset", "words", "--forget"]).result();
        assert_eq!(reset[0]["forgot"], true, "{reset}");
        assert_eq!(deployment.dump("words"), DUMP);
        let refused = deployment.run(&["sync"]).failure(1);
        assert!(refused.contains("has rows that no job filled"), "{refused}");
        let again = deployment.run(&["reset", "words", "--forget"]).result();
        assert_eq!(again[0]["forgot"], false, "{again}");
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
        done.assert_only("from the files that came and went");
        assert_eq!(done.rows(), [1, 0, 0]);
        assert_eq!(deployment.dump("words"), format!("{DUMP}\n6,six"));
        assert_eq!(deployment.row_versions("words")[..5], before);
    }
}

/// Of files that were rewritten without the feed, only the rows that differ arrive.
#[tokio::test(flavor = "multi_thread")]
async fn rewritten_files_without_a_feed_are_compared() {
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
        done.assert_only("from the files that came and went");
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
