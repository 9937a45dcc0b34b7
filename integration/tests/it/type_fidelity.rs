//! Every scalar value arrives as the value it is, of the type that holds it, by every way in which
//! rows are read.
//!
//! The values are written twice by hand: as Arrow, and as SQL literals into a table of the expected
//! types. Rows are compared as images (`*<>`), which tells −0.0 from 0.0 and 1.0 from 1.00.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};
use lakeferry_postgres_testkit::servers;

use crate::{deployment::Deployment, tables};

/// How many rows there are, each with another value in each column.
const ROWS: usize = 8;
const DECIMAL_38: i128 = 10_i128.pow(38) - 1;

/// The keys that the rows get, in order.
type Ids = [i64; ROWS];

const FIRST: Ids = [1, 2, 3, 4, 5, 6, 7, 8];
const SECOND: Ids = [11, 12, 13, 14, 15, 16, 17, 18];
/// Each key gets the values of its neighbour.
const ROTATED: Ids = [8, 1, 2, 3, 4, 5, 6, 7];

const TEXTS: [Option<&str>; ROWS] = [
    Some(""),
    Some("null"),
    None,
    Some("\\N"),
    Some("tab\tline\nreturn\rquote\"'\\"),
    Some("😀 e\u{301} \u{fffd} \u{1}"),
    Some(" spaces "),
    Some("a,b"),
];

/// The types by the name of the column.
const TYPES: &str = "\
id bigint PRIMARY KEY, boolean boolean, byte smallint, short smallint, int integer, long bigint, \
float real, double double precision, cents numeric(10,2), whole numeric(38,0), \
fraction numeric(38,38), text text, bytes bytea, date date, \
instant timestamp with time zone, local timestamp without time zone";

/// The values, less their keys.
const VALUES: [&str; ROWS] = [
    "false, -128, -32768, -2147483648, -9223372036854775808, '-3.4028235e38', \
     '-1.7976931348623157e308', -99999999.99, '-99999999999999999999999999999999999999', \
     '-0.99999999999999999999999999999999999999', '', '\\x', '4714-11-24 BC', \
     '4714-11-24 00:00:00+00 BC', '4714-11-24 00:00:00 BC'",
    "true, 127, 32767, 2147483647, 9223372036854775807, '3.4028235e38', \
     '1.7976931348623157e308', 99999999.99, '99999999999999999999999999999999999999', \
     '0.99999999999999999999999999999999999999', 'null', '\\x00', '9999-12-31', \
     '9999-12-31 23:59:59.999999+00', '9999-12-31 23:59:59.999999'",
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    "true, 0, 0, 0, 0, 'NaN', 'NaN', 0, 0, 0, '\\N', '\\xff00ff', '1970-01-01', \
     '1970-01-01 00:00:00+00', '1970-01-01 00:00:00'",
    "false, -1, -1, -1, -1, '-0', '-0', -0.01, -1, '-0.00000000000000000000000000000000000001', \
     E'tab\\tline\\nreturn\\rquote\"''\\\\', '\\x5c783431', '1969-12-31', \
     '1969-12-31 23:59:59.999999+00', '1969-12-31 23:59:59.999999'",
    "true, 1, 1, 1, 1, 'inf', 'inf', 0.01, 1, '0.00000000000000000000000000000000000001', \
     E'😀 e\\u0301 \\ufffd \\u0001', '\\xc328', '1970-01-02', '1970-01-01 00:00:00.000001+00', \
     '1970-01-01 00:00:00.000001'",
    "false, 10, 1000, 10000, 10000, '-inf', '-inf', 10000, '10000000000000000000000000000000000000', \
     '0.1', ' spaces ', '\\x0a0d', '2000-02-29', '2000-02-29 12:00:00+00', '2000-02-29 12:00:00'",
    "true, 99, 9999, 99999999, 9999999999999999, '1e-45', '5e-324', 0.1, 99999999, \
     '0.00009999', 'a,b', '\\x616263', '0001-01-01', '0001-01-01 00:00:00+00', \
     '0001-01-01 00:00:00'",
];

fn columns(ids: Ids) -> Vec<(&'static str, ArrayRef, bool)> {
    fn nullable(name: &'static str, array: ArrayRef) -> (&'static str, ArrayRef, bool) {
        (name, array, true)
    }
    let decimal = |precision: u8, scale: i8, values: [i128; 7]| -> ArrayRef {
        let array: Decimal128Array = third_is_null(values).into_iter().collect();
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
    };
    let micros = third_is_null([
        -210_866_803_200_000_000,
        253_402_300_799_999_999,
        0,
        -1,
        1,
        951_825_600_000_000,
        -62_135_596_800_000_000,
    ]);
    let days = [-2_440_588, 2_932_896, 0, -1, 1, 11_016, -719_162];
    let longs = [i64::MIN, i64::MAX, 0, -1, 1, 10_000, 9_999_999_999_999_999];
    let ints = [i32::MIN, i32::MAX, 0, -1, 1, 10_000, 99_999_999];
    let shorts = [i16::MIN, i16::MAX, 0, -1, 1, 1_000, 9_999];
    let bytes = [i8::MIN, i8::MAX, 0, -1, 1, 10, 99];
    let floats = [
        f32::MIN,
        f32::MAX,
        f32::NAN,
        -0.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e-45,
    ];
    let doubles = [
        f64::MIN,
        f64::MAX,
        f64::NAN,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        5e-324,
    ];
    let binaries: [&[u8]; 7] = [
        b"",
        b"\0",
        b"\xff\0\xff",
        b"\\x41",
        b"\xc3\x28",
        b"\n\r",
        b"abc",
    ];
    let cents = [-9_999_999_999, 9_999_999_999, 0, -1, 1, 1_000_000, 10];
    let wholes = [
        -DECIMAL_38,
        DECIMAL_38,
        0,
        -1,
        1,
        10_i128.pow(37),
        99_999_999,
    ];
    let fractions = [
        -DECIMAL_38,
        DECIMAL_38,
        0,
        -1,
        1,
        10_i128.pow(37),
        9_999 * 10_i128.pow(30),
    ];
    let booleans = [false, true, true, false, true, false, true];
    vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids)), false),
        nullable(
            "boolean",
            Arc::new(BooleanArray::from(third_is_null(booleans))),
        ),
        nullable("byte", Arc::new(Int8Array::from(third_is_null(bytes)))),
        nullable("short", Arc::new(Int16Array::from(third_is_null(shorts)))),
        nullable("int", Arc::new(Int32Array::from(third_is_null(ints)))),
        nullable("long", Arc::new(Int64Array::from(third_is_null(longs)))),
        nullable("float", Arc::new(Float32Array::from(third_is_null(floats)))),
        nullable(
            "double",
            Arc::new(Float64Array::from(third_is_null(doubles))),
        ),
        nullable("cents", decimal(10, 2, cents)),
        nullable("whole", decimal(38, 0, wholes)),
        nullable("fraction", decimal(38, 38, fractions)),
        nullable("text", Arc::new(StringArray::from(TEXTS.to_vec()))),
        nullable(
            "bytes",
            Arc::new(BinaryArray::from(third_is_null(binaries))),
        ),
        nullable("date", Arc::new(Date32Array::from(third_is_null(days)))),
        nullable(
            "instant",
            Arc::new(TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC")),
        ),
        nullable("local", Arc::new(TimestampMicrosecondArray::from(micros))),
    ]
}

/// The third of the rows has no value in any column.
fn third_is_null<T: Copy>(values: [T; 7]) -> Vec<Option<T>> {
    let [first, second, rest @ ..] = values.map(Some);
    [first, second, None].into_iter().chain(rest).collect()
}

fn rows(ids: Ids) -> RecordBatch {
    tables::batch(columns(ids))
}

/// Rows for a merge that puts each key.
fn puts(ids: Ids) -> RecordBatch {
    let ops: ArrayRef = Arc::new(StringArray::from(vec!["put"; ROWS]));
    tables::batch([(OP_COLUMN, ops, false)].into_iter().chain(columns(ids)))
}

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
            .assert_only("from the files that were added");
        assert_values(&deployment, "scalars", &[FIRST, SECOND]);

        table.overwrite(rows(ROTATED)).await.unwrap();
        let done = deployment.sync();
        done.assert_only("rebuild by difference");
        assert_eq!(done.rows(), [0, 8, 8]);
        assert_values(&deployment, "scalars", &[ROTATED]);
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

/// A value that Postgres cannot hold stops the job with its column named, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_postgres_cannot_hold_is_refused() {
    for version in servers() {
        let mut deployment = Deployment::start(version);
        let path = deployment.lake("words");
        let mut table = tables::create(&path, NewTable::with_feed(), &[(1, Some("one"))]).await;
        deployment.job("words", &path, &[]);
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
