//! What finds nothing to do does nothing: no row, no transaction id. And `plan`, `status`,
//! `validate` and `history` never write.

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

const ROWS: tables::Words<'_> = &[(1, Some("one")), (2, Some("two")), (3, None)];

/// All that a write leaves behind: transaction ids, rows of the state, counters, stored rows.
fn traces(deployment: &Deployment) -> [String; 4] {
    let counters = "SELECT n_tup_ins, n_tup_upd, n_tup_del \
        FROM pg_stat_user_tables WHERE relname = 'words'";
    [
        deployment.next_transaction(),
        deployment.sql("SELECT count(*) FROM lakeferry.runs"),
        deployment.sql(counters),
        deployment.row_versions("words").join("\n"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_finds_nothing_new_leaves_no_trace() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        let before = traces(&deployment);
        for _ in 0..3 {
            assert_eq!(deployment.sync().steps.len(), 0);
        }
        assert_eq!(traces(&deployment), before);

        // The traces would show a write.
        table.append(tables::words(&[(4, None)])).await.unwrap();
        deployment.sync();
        for (before, after) in before.iter().zip(traces(&deployment)) {
            assert_ne!(*before, after);
        }
    }
}

/// Files that are rewritten, properties and VACUUM change no row: only the watermark moves.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_change_no_row_write_no_row() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let old_files_go_at_once = NewTable::with_feed()
            .property("delta.deletedFileRetentionDuration", "interval 0 hours");
        let mut table = tables::create(&path, old_files_go_at_once, ROWS).await;
        for id in 4..8 {
            table.append(tables::words(&[(id, None)])).await.unwrap();
        }
        deployment.job("words", &path, &[]);
        deployment.sync();
        let [_, runs, counters, rows] = traces(&deployment);
        for step in 0..3 {
            let committed = match step {
                0 => table.optimize().await.unwrap(),
                1 => table.vacuum().await.unwrap(),
                _ => table
                    .set_properties(&[("delta.appendOnly", "false")])
                    .await
                    .unwrap(),
            };
            deployment.sync().assert_only("no row changed");
            assert_eq!(deployment.watermark("words"), committed);
            let [_, runs_now, counters_now, rows_now] = traces(&deployment);
            assert_eq!(
                (&runs_now, &counters_now, &rows_now),
                (&runs, &counters, &rows)
            );
        }
    }
}

/// Rows that a commit wrote as they were are read, compared and left alone: Postgres has nothing to
/// log of the table or its indexes, not even a lock of a row.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_equal_leave_nothing_in_the_log() {
    let rows: Vec<_> = (0..5_000).map(|id| (id, Some("the same"))).collect();
    for (version, feed) in servers().into_iter().flat_map(|v| [(v, true), (v, false)]) {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let new = if feed {
            NewTable::with_feed()
        } else {
            NewTable::default()
        };
        let mut table = tables::create(&path, new, &rows).await;
        deployment.job("words", &path, &[]);
        deployment.sync();
        deployment.sql("CREATE INDEX ON words (word)");
        // Whoever reads rows first may note in them that they are visible.
        deployment.sql("VACUUM FREEZE words");
        for (what, written) in [("word", 0), ("'another'", 1_000)] {
            table
                .update(&[("word", what)], Some("id < 1000"))
                .await
                .unwrap();
            let from = deployment.wal_end();
            let updated = deployment.sync().rows()[1];
            let records = deployment.wal_of("words", &from, &deployment.wal_end());
            println!("{updated} rows written, {} records of them", records.len());
            assert_eq!(updated, written);
            assert_eq!(records.is_empty(), written == 0, "{records:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_look_write_nothing() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), ROWS).await;
        deployment.job("words", &path, &[]);
        let look = || {
            let before = (deployment.pg_dump(), deployment.next_transaction());
            let said = [["plan"], ["status"], ["validate"], ["history"]].map(|command| {
                let said = deployment.run(&command);
                assert_eq!(said.code, 0, "{said}");
                said.stdout
            });
            assert_eq!(
                (deployment.pg_dump(), deployment.next_transaction()),
                before
            );
            said
        };
        let [plan, ..] = look();
        assert!(plan.contains("CREATE TABLE"), "{plan}");
        deployment.sync();
        look();
        table.delete(Some("id = 1")).await.unwrap();
        let [plan, status, ..] = look();
        assert!(plan.contains("change"), "{plan}");
        assert!(status.contains("\"lag_versions\":1"), "{status}");
        assert_eq!(deployment.sync().rows(), [0, 0, 1]);
    }
}
