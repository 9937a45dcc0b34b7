//! Every value arrives as the value it is, of the type that holds it, by every way in which
//! rows are read.
//!
//! The values are written twice by hand: as Arrow, and as SQL literals into a table of the expected
//! types. Rows are compared as images (`*<>`), which tells −0.0 from 0.0 and 1.0 from 1.00.

mod nested;
mod nested_rows;
mod scalars;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use lakeferry_postgres_testkit::servers;

use self::scalars::{Ids, ROWS, TYPES, VALUES, puts, rows};
use crate::{deployment::Deployment, tables};

const FIRST: Ids = [1, 2, 3, 4, 5, 6, 7, 8];
const SECOND: Ids = [11, 12, 13, 14, 15, 16, 17, 18];
/// Each key gets the values of its neighbour.
const ROTATED: Ids = [8, 1, 2, 3, 4, 5, 6, 7];

/// Asserts that the target of `job` has the expected types, and exactly the values, once for each
/// of `ids`.
#[track_caller]
fn assert_values(deployment: &Deployment, job: &str, ids: &[Ids]) {
    expect(deployment, ids);
    let types = |table: &str| {
        deployment.sql(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        ))
    };
    assert_eq!(types(job), types("expected"), "{job}");
    assert_eq!(differences(deployment, job), "", "{job}");
    let count = deployment.sql(&format!("SELECT count(*) FROM {job}"));
    assert_eq!(count, (ids.len() * ROWS).to_string(), "{job}");
}

/// Fills the table `expected` with the values, once for each of `ids`.
fn expect(deployment: &Deployment, ids: &[Ids]) {
    let values = ids.iter().flat_map(|ids| ids.iter().zip(VALUES));
    let values: Vec<_> = values
        .map(|(id, values)| format!("({id}, {values})"))
        .collect();
    deployment.sql(&format!(
        "SET client_min_messages = warning; DROP TABLE IF EXISTS expected; \
         CREATE TABLE expected ({TYPES}); INSERT INTO expected VALUES {};",
        values.join(", ")
    ));
}

/// The rows of a target that are not those of `expected`, and the other way round.
fn differences(deployment: &Deployment, job: &str) -> String {
    deployment.sql(&format!(
        "SELECT f, e FROM {job} AS f FULL JOIN expected AS e USING (id) \
         WHERE f IS NULL OR e IS NULL OR f *<> e"
    ))
}

/// Makes the source of a job, with the first rows.
async fn create(deployment: &mut Deployment, job: &str, new: NewTable) -> DeltaTable {
    let path = deployment.lake(job);
    let rows = rows(FIRST);
    let mut table = DeltaTable::create(&path, &rows.schema(), new)
        .await
        .unwrap();
    table.append(rows).await.unwrap();
    deployment.job(job, &path, &["refresh_above: 100%"]);
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scalar_value_arrives_through_the_feed() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut table = create(&mut deployment, "scalars", NewTable::with_feed()).await;
        deployment.sync().assert_only("fill the table");
        assert_values(&deployment, "scalars", &[FIRST]);
        table.append(rows(SECOND)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [8, 0, 0]);
        assert_values(&deployment, "scalars", &[FIRST, SECOND]);

        table.merge(&["id"], puts(ROTATED)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the change data feed");
        assert_eq!(done.rows(), [0, 8, 0]);
        assert_values(&deployment, "scalars", &[ROTATED, SECOND]);

        // Written anew with the same values: there is nothing to write, NaN and −0.0 included.
        table.merge(&["id"], puts(ROTATED)).await.unwrap();
        assert_eq!(deployment.sync().rows(), [0, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scalar_value_arrives_through_files() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut table = create(&mut deployment, "scalars", NewTable::without_feed()).await;
        deployment.sync().assert_only("fill the table");
        table.append(rows(SECOND)).await.unwrap();
        deployment
            .sync()
            .assert_only("from the files that came and went");
        assert_values(&deployment, "scalars", &[FIRST, SECOND]);

        table.overwrite(rows(ROTATED)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("from the files that came and went");
        assert_eq!(done.rows(), [0, 8, 8]);
        assert_values(&deployment, "scalars", &[ROTATED]);

        table.overwrite(rows(FIRST)).await.unwrap();
        assert_eq!(deployment.backfill("scalars").rows(), [0, 8, 0]);
        assert_values(&deployment, "scalars", &[FIRST]);
        assert_eq!(deployment.backfill("scalars").rows(), [0, 0, 0]);
    }
}

/// Partition values are not in the files but in the log, as text.
#[tokio::test(flavor = "multi_thread")]
async fn partition_values_arrive() {
    const COLUMNS: [&str; 5] = ["boolean", "cents", "date", "int", "instant"];
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut sources = Vec::new();
        for column in COLUMNS {
            let by_column = NewTable::with_feed().partitioned_by(&[column]);
            sources.push(create(&mut deployment, &format!("by_{column}"), by_column).await);
        }
        for ids in [vec![FIRST], vec![FIRST, SECOND]] {
            assert_eq!(deployment.run(&["sync"]).jobs_done().len(), COLUMNS.len());
            for column in COLUMNS {
                assert_values(&deployment, &format!("by_{column}"), &ids);
            }
            for source in &mut sources {
                source.append(rows(SECOND)).await.unwrap();
            }
        }
    }
}

/// A key of any type finds its row: to update it, to delete it, and to put it back. −0.0 and NaN
/// are among the keys; a boolean cannot be, for it has two values.
#[tokio::test(flavor = "multi_thread")]
async fn every_type_can_be_a_key() {
    const KEYS: [&str; 14] = [
        "byte", "short", "int", "long", "float", "double", "cents", "whole", "fraction", "text",
        "bytes", "date", "instant", "local",
    ];
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut table = create(&mut deployment, "by_id", NewTable::with_feed()).await;
        table.append(ballast()).await.unwrap();
        deployment.forget_jobs();
        for key in KEYS {
            let key_line = format!("key: [{key}]");
            let options = [&key_line, "filter: int IS NOT NULL"];
            deployment.job(&format!("by_{key}"), &deployment.lake("by_id"), &options);
        }
        let sync = |way: &str, rows: [u64; 3]| {
            for job in deployment.run(&["sync"]).jobs_done() {
                job.assert_only(way);
                assert_eq!(job.rows(), rows, "{}", job.job);
            }
        };
        sync("fill the table", [7, 0, 0]);
        let set = [("id", "id + 100")];
        table.update(&set, Some("id < 100")).await.unwrap();
        sync("from the change data feed", [0, 7, 0]);
        table.delete(Some("id IN (101, 104, 105)")).await.unwrap();
        sync("from the change data feed", [0, 0, 3]);
        let ids = FIRST.map(|id| id + 100);
        table.merge(&["id"], puts(ids)).await.unwrap();
        sync("from the change data feed", [3, 0, 0]);

        expect(&deployment, &[ids]);
        deployment.sql("DELETE FROM expected WHERE int IS NULL");
        for key in KEYS {
            assert_eq!(differences(&deployment, &format!("by_{key}")), "", "{key}");
        }
    }
}

/// Rows without an `int`, so many that a change of the others is a small part of the table.
fn ballast() -> RecordBatch {
    let ids = 1_000..4_000;
    let texts = ids
        .clone()
        .map(|id: i64| format!("{:x}", id.wrapping_mul(0x5851_f42d_4c95_7f2d)));
    tables::batch([
        (
            "id",
            Arc::new(Int64Array::from_iter_values(ids)) as ArrayRef,
            false,
        ),
        ("text", Arc::new(StringArray::from_iter_values(texts)), true),
    ])
}

/// The last date of Postgres and the last timestamp of Delta are further than the writer's
/// statistics reach, so it is told to write none.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_moments_arrive() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("moments");
        let micros = TimestampMicrosecondArray::from(vec![i64::MAX]);
        let rows = tables::batch([
            ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef, false),
            (
                "date",
                Arc::new(Date32Array::from(vec![2_145_042_905])),
                true,
            ),
            (
                "instant",
                Arc::new(micros.clone().with_timezone("UTC")),
                true,
            ),
            ("local", Arc::new(micros), true),
        ]);
        let new = NewTable::with_feed().property("delta.dataSkippingNumIndexedCols", "0");
        let mut table = DeltaTable::create(&path, &rows.schema(), new)
            .await
            .unwrap();
        table.append(rows).await.unwrap();
        deployment.job("moments", &path, &[]);
        deployment.sync();
        assert_eq!(
            deployment.dump("moments"),
            "1,5874897-12-31,294247-01-10 04:00:54.775807+00,294247-01-10 04:00:54.775807"
        );
    }
}

/// Where the job says so, a value that Postgres cannot hold stops it with its column named, and
/// changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_postgres_cannot_hold_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), &[(1, Some("one"))]).await;
        deployment.job("words", &path, &["on_bad_value: halt"]);
        deployment.sync();
        table
            .append(tables::words(&[(2, Some("nul\0")), (3, Some("three"))]))
            .await
            .unwrap();
        let failure = deployment.run(&["sync"]).failure(1);
        assert!(failure.contains("\"word\""), "{failure}");
        assert!(failure.contains("NUL"), "{failure}");
        assert_eq!(deployment.dump("words"), "1,one");
        assert_eq!(deployment.watermark("words"), 1);

        table
            .merge(&["id"], tables::puts(&[(2, Some("two"))]))
            .await
            .unwrap();
        deployment.sync();
        assert_eq!(deployment.dump("words"), "1,one\n2,two\n3,three");
    }
}

/// The statistics of a file say less than its values: they are cut, rounded, or too small. A
/// filter that only an extreme value passes still finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_extreme_values() {
    const FOUND: [(&str, &str, u64); 15] = [
        ("long", "long = 9223372036854775807", 1),
        ("cents", "cents > 99999999.98", 1),
        ("whole", "whole > 9223372036854775807", 2),
        ("whole_least", "whole < -9223372036854775808", 1),
        (
            "fraction",
            "fraction > 0.99999999999999999999999999999999999998",
            1,
        ),
        (
            "fraction_least",
            "fraction < -0.99999999999999999999999999999999999998",
            1,
        ),
        ("instant", "instant > '2024-01-01'", 1),
        (
            "instant_typed",
            "instant > TIMESTAMP '2024-01-01 00:00:00'",
            1,
        ),
        ("instant_least", "instant < '1900-01-01'", 2),
        ("local", "local > '2024-01-01'", 1),
        ("date", "date > '9999-12-30'", 1),
        ("text", "text = 'null'", 1),
        ("empty_text", "text = ''", 1),
        ("double", "double < -1.7e308 AND double > -1.8e308", 1),
        ("nan", "isnan(double)", 1),
    ];
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let mut table = create(&mut deployment, "scalars", NewTable::with_feed()).await;
        deployment.forget_jobs();
        for (name, filter, _) in FOUND {
            let filter = format!("filter: \"{filter}\"");
            let options = [filter.as_str(), "refresh_above: 100%"];
            deployment.job(&format!("by_{name}"), &deployment.lake("scalars"), &options);
        }
        for times in 1..=2 {
            assert_eq!(deployment.run(&["sync"]).jobs_done().len(), FOUND.len());
            for (name, filter, found) in FOUND {
                let rows = deployment.sql(&format!("SELECT count(*) FROM by_{name}"));
                assert_eq!(rows, (times * found).to_string(), "{filter}");
            }
            table.append(rows(SECOND)).await.unwrap();
        }
    }
}
