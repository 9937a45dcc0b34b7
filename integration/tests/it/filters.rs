//! A row is in the target if and only if the filter is TRUE for it: not FALSE, not NULL.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};
use lakeferry_postgres_testkit::{Version, servers};

use crate::{deployment::Deployment, tables};

/// Rows besides those that a test changes, so that a change is a small part of the table.
const BALLAST: i64 = 2_000;
const FILTER: &str = "filter: Closed = 0 AND length_ft > 3000";

/// Rows of key, `closed` and `length_ft`.
type Runways<'a> = &'a [(i64, Option<i32>, Option<i32>)];

fn columns(rows: Runways<'_>) -> [(&'static str, ArrayRef, bool); 3] {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let closed: Int32Array = rows.iter().map(|row| row.1).collect();
    let length: Int32Array = rows.iter().map(|row| row.2).collect();
    [
        ("id", Arc::new(ids), false),
        ("closed", Arc::new(closed), true),
        ("length_ft", Arc::new(length), true),
    ]
}

fn puts(rows: Runways<'_>) -> RecordBatch {
    let ops = StringArray::from_iter_values(rows.iter().map(|_| "put"));
    let op: (&str, ArrayRef, bool) = (OP_COLUMN, Arc::new(ops), false);
    tables::batch([op].into_iter().chain(columns(rows)))
}

/// A table of rows with negative ids, none of which passes, and `rows`.
async fn create(deployment: &Deployment, rows: Runways<'_>) -> DeltaTable {
    let ballast = (-BALLAST..0).map(|id| (id, Some(1), Some((id * 7_919 % 9_973) as i32)));
    let rows = tables::batch(columns(
        &ballast.chain(rows.iter().copied()).collect::<Vec<_>>(),
    ));
    let path = deployment.lake("runways");
    let mut table = DeltaTable::create(&path, &rows.schema(), NewTable::with_feed())
        .await
        .unwrap();
    table.append(rows).await.unwrap();
    table
}

fn start(version: Version, options: &[&str]) -> Deployment {
    let mut deployment = Deployment::start(version);
    let path = deployment.lake("runways");
    deployment.job("runways", &path, options);
    deployment
}

/// Every way to change a row, seen through the filter; NULL AND FALSE is FALSE, NULL AND TRUE
/// is NULL. The filter's columns are not synced, and `Closed` names `closed`.
#[tokio::test(flavor = "multi_thread")]
async fn rows_come_and_go_as_the_filter_becomes_true_and_false() {
    for version in servers() {
        let deployment = start(version, &[FILTER, "columns: [id]", "refresh_above: 100%"]);
        let rows: Runways<'_> = &[
            (1, Some(0), Some(3_001)),
            (2, Some(0), Some(3_000)),
            (3, Some(0), None),
            (4, None, Some(9_000)),
            (5, Some(0), Some(9_000)),
            (6, Some(0), Some(9_000)),
            (7, Some(1), Some(9_000)),
        ];
        let mut table = create(&deployment, rows).await;
        assert_eq!(deployment.sync().rows(), [3, 0, 0]);
        assert_eq!(deployment.dump("runways"), "1\n5\n6");

        let changes: Runways<'_> = &[
            (1, Some(0), Some(4_000)), // stays in, and its synced columns are as they were
            (2, Some(0), Some(3_001)), // comes
            (3, None, None),           // stays out
            (4, Some(0), Some(9_000)), // comes
            (5, None, Some(9_000)),    // goes: NULL
            (6, Some(1), Some(9_000)), // goes: FALSE
            (8, Some(0), Some(5_000)), // comes, new
            (9, Some(0), Some(1_000)), // new, stays out
        ];
        table.merge(&["id"], puts(changes)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [3, 0, 2]);
        assert_eq!(deployment.dump("runways"), "1\n2\n4\n8");

        table.delete(Some("id IN (1, 7)")).await.unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, 1]);
        assert_eq!(deployment.dump("runways"), "2\n4\n8");
    }
}

/// A key that moves from a row that passes to one that does not, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn keys_move_onto_each_other_under_the_filter() {
    for version in servers() {
        let deployment = start(version, &[FILTER, "refresh_above: 100%"]);
        let rows: Vec<_> = (1..=100)
            .map(|id| (id, Some(i32::from(id % 3 == 0)), Some(9_000 + id as i32)))
            .collect();
        let mut table = create(&deployment, &rows).await;
        let expected = |shift: i64| {
            let passing = rows.iter().filter(|row| row.1 == Some(0));
            let lines = passing.map(|row| format!("{},0,{}", row.0 + shift, 9_000 + row.0));
            lines.collect::<Vec<_>>().join("\n")
        };
        deployment.sync();
        assert_eq!(deployment.dump("runways"), expected(0));
        for shift in 1..=3 {
            table
                .update(&[("id", "id + 1")], Some("id > 0"))
                .await
                .unwrap();
            let done = deployment.sync();
            done.assert_only("from the change data feed");
            assert_eq!(deployment.dump("runways"), expected(shift));
        }
    }
}

/// A key needs to be unique among the rows that pass, and only there.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_be_unique_under_the_filter_only() {
    for version in servers() {
        let deployment = start(version, &[FILTER, "refresh_above: 100%"]);
        let rows: Runways<'_> = &[
            (1, Some(0), Some(9_000)),
            (1, Some(1), Some(9_001)),
            (1, Some(1), Some(9_002)),
        ];
        let mut table = create(&deployment, rows).await;
        deployment.sync();
        assert_eq!(deployment.dump("runways"), "1,0,9000");

        // The rows change places: now another one passes.
        let set = [("closed", "CASE length_ft WHEN 9002 THEN 0 ELSE 1 END")];
        table.update(&set, Some("id = 1")).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [0, 1, 0]);
        assert_eq!(deployment.dump("runways"), "1,0,9002");

        // Two pass: which of them is meant cannot be said. The target stays as it was until the
        // source is mended and the target rebuilt.
        table
            .update(&[("closed", "0")], Some("id = 1"))
            .await
            .unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("id = 1"), "{failure}");
        assert_eq!(deployment.dump("runways"), "1,0,9002");
        table
            .delete(Some("id = 1 AND length_ft <> 9001"))
            .await
            .unwrap();
        deployment.backfill("runways");
        assert_eq!(deployment.dump("runways"), "1,0,9001");
    }
}

/// The filter is part of what the target is: another one rebuilds it by difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_filter_rebuilds_by_difference() {
    for version in servers() {
        let mut deployment = start(version, &[FILTER]);
        let rows: Runways<'_> = &[
            (1, Some(0), Some(4_000)),
            (2, Some(0), Some(5_000)),
            (3, Some(0), Some(2_000)),
        ];
        create(&deployment, rows).await;
        deployment.sync();
        assert_eq!(deployment.dump("runways"), "1,0,4000\n2,0,5000");
        let kept = deployment.row_versions("runways");

        deployment.forget_jobs();
        let path = deployment.lake("runways");
        deployment.job(
            "runways",
            &path,
            &["filter: closed = 0 AND length_ft <> 4000"],
        );
        let done = deployment.sync();
        done.assert_only("filter, columns, types, dedupe_by, deletes or time zone changed");
        assert_eq!(done.rows(), [1, 0, 1]);
        assert_eq!(deployment.dump("runways"), "2,0,5000\n3,0,2000");
        assert_eq!(deployment.row_versions("runways")[0], kept[1]);
    }
}
