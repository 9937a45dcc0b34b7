//! Filters: what they mean, what they refuse, and that skipping never costs a row.

use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use lakeferry_delta::{DeltaSource, Settings};
use lakeferry_delta_testkit::{DeltaTable, NewTable};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};

use crate::world::{World, array, batch, rows, watermark};

const FILES: usize = 5;
const ROWS_A_FILE: usize = 4;
/// 2024-02-29T12:34:56.789123Z.
pub(crate) const SOME_TIME: i64 = 1_709_210_096_789_123;

#[tokio::test(flavor = "multi_thread")]
async fn unusable_filters_are_refused_with_reasons() {
    let start = batch(&[
        ("Id", array::<Int64Array>(vec![1])),
        ("name", array::<StringArray>(vec!["a"])),
        ("NAME2", array::<StringArray>(vec!["a"])),
        (
            "seen",
            array::<TimestampMicrosecondArray>(
                TimestampMicrosecondArray::from(vec![SOME_TIME]).with_timezone("UTC"),
            ),
        ),
    ]);
    let (world, _table) = World::with(NewTable::without_feed(), start).await;
    let mut told = Vec::new();
    for filter in [
        "id >",
        "id > 1 id",
        "id + 1",
        "'yes'",
        "NULL",
        "missing = 1",
        "t.id = 1",
        "name = \"a\"",
        "id IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "count(id) > 1",
        "random() > 0.5",
        "uuid() = name",
        "current_time() > seen",
        "seen > localtimestamp()",
        "seen > date_sub(current_date(), id)",
        "seen > date_sub(current_date())",
        "seen > timestampadd(CENTURY, 1, now())",
        "datediff(DAY, seen, now()) < 30",
        "seen > INTERVAL 30 DAYS",
        "id = $1",
        "no_such_function(id) = 1",
        "row_number() OVER () = 1",
        "id > 'x'",
        "*",
        "to_timestamp('now') > seen",
        "seen > TIMESTAMP 'yesterday'",
    ] {
        let error = world.source(None, Some(filter)).check().await.unwrap_err();
        told.push(format!("{filter}\n{}", world.told(&error)));
    }
    insta::assert_snapshot!(told.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_read_as_in_spark_and_have_one_form() {
    let start = batch(&[
        ("Id", array::<Int64Array>(vec![1, 2, 3])),
        ("the name", array::<StringArray>(vec!["a", "b", "c"])),
        (
            "seen",
            array::<TimestampMicrosecondArray>(
                TimestampMicrosecondArray::from(vec![0, SOME_TIME, 2 * SOME_TIME])
                    .with_timezone("UTC"),
            ),
        ),
    ]);
    let (world, _table) = World::with(NewTable::without_feed(), start).await;
    let mut told = Vec::new();
    for filter in [
        "ID in (1,2)",
        "id=1 or  iD = 2",
        "\"Id\" < 3",
        "`the name` <= 'b'",
        "seen < timestamp '2024-03-01' + interval 1 days",
        "seen < TIMESTAMP '2024-03-31' - INTERVAL 30 DAYS",
        "seen < timestamp '2024-03-31' - interval '30' day",
        "seen < '2024-03-01'",
        "id < 3 and seen < timestamp '9999-12-31 23:59:59'",
        "id < 3 and seen >= timestamp '0001-01-01'",
        "id between 1 and 2 and not (id = 9)",
        "coalesce(`the name`, '') like '%' and id % 3 <> 0",
    ] {
        let source = world.source(Some(&["id"]), Some(filter));
        assert_eq!(rows(&source).await, ["1", "2"], "{filter}");
        let check = source.check().await.unwrap();
        told.push(format!("{filter}\n    {}", check.filter.unwrap()));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_skip_files_and_row_groups() {
    let (world, mut table) = World::with(NewTable::without_feed(), numbers(0..100)).await;
    table.append(numbers(100..200)).await.unwrap();
    table.append(numbers(200..300)).await.unwrap();
    let source = world.source(None, Some("id >= 150 AND id < 170 AND abs(id) > 0"));
    let check = source.check().await.unwrap();
    assert_eq!(
        (check.head.size.files, check.head.size.rows),
        (3, Some(300))
    );
    assert_eq!(
        (check.after_skipping.files, check.after_skipping.rows),
        (1, Some(100))
    );
    assert_eq!(rows(&source).await.len(), 20);
}

/// Statistics of a widened column are of the type that it had.
#[tokio::test(flavor = "multi_thread")]
async fn widened_columns_skip_nothing() {
    let (world, mut table) = World::with(NewTable::without_feed(), numbers(0..100)).await;
    table.append(numbers(100..200)).await.unwrap();
    let source = world.source(None, Some("id >= 150"));
    assert_eq!(source.check().await.unwrap().after_skipping.files, 1);
    let commit = std::fs::read_to_string(world.commit_file(0)).unwrap();
    let changes = r#"{\"delta.typeChanges\":[{\"fromType\":\"integer\",\"toType\":\"long\"}]}"#;
    let plain = r#"\"metadata\":{}"#;
    assert!(commit.contains(plain), "{commit}");
    let widened = commit.replace(plain, &plain.replace("{}", changes));
    std::fs::write(world.commit_file(0), widened).unwrap();
    let source = world.source(None, Some("id >= 150"));
    assert_eq!(source.check().await.unwrap().after_skipping.files, 2);
    assert_eq!(rows(&source).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_fails_for_a_row_says_so() {
    let (world, _table) = World::with(NewTable::without_feed(), numbers(0..3)).await;
    let source = world.source(None, Some("1 / id > 0"));
    let watermark = watermark(&source).await;
    let error = crate::world::snapshot_at(&source, &watermark)
        .await
        .unwrap_err();
    insta::assert_snapshot!(world.told(&error));
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    batch(&[("id", array::<Int64Array>(range.collect::<Vec<_>>()))])
}

/// Rows of all types that statistics know, nulls, NaN and infinities among them.
fn some_rows() -> impl Strategy<Value = RecordBatch> {
    let rows = ROWS_A_FILE;
    let floats = prop_oneof![
        4 => (-3_i32..3).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(-f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
    ];
    fn many<T: std::fmt::Debug + Clone + 'static>(
        values: impl Strategy<Value = T> + 'static,
        rows: usize,
    ) -> BoxedStrategy<Vec<Option<T>>> {
        prop::collection::vec(prop::option::weighted(0.8, values), rows).boxed()
    }
    let texts = prop::sample::select(vec![
        "",
        "a",
        "b",
        "ab",
        "é",
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    ]);
    let times = (-3_i64..3).prop_map(|step| SOME_TIME + step * 400);
    (
        many(-3_i64..3, rows),
        many(-3_i16..3, rows),
        many(floats, rows),
        many(texts.clone(), rows),
        many(any::<bool>(), rows),
        many(-2_i32..2, rows),
        many(times, rows),
        many(-300_i128..300, rows),
        many(prop::sample::select(vec!["p", "q", "r s"]), rows),
        many(-1_i64..2, rows),
    )
        .prop_map(
            |(long, short, double, text, flag, day, time, dec, part, num)| {
                let decimal = Decimal128Array::from(dec.clone()).with_precision_and_scale(5, 2);
                let wide = Decimal128Array::from(dec).with_precision_and_scale(38, 2);
                batch(&[
                    ("long", array::<Int64Array>(long)),
                    ("short", array::<Int16Array>(short)),
                    ("double", array::<Float64Array>(double)),
                    ("text", array::<StringArray>(text)),
                    ("flag", array::<BooleanArray>(flag)),
                    ("day", array::<Date32Array>(day)),
                    (
                        "ts",
                        array::<TimestampMicrosecondArray>(
                            TimestampMicrosecondArray::from(time.clone()).with_timezone("UTC"),
                        ),
                    ),
                    ("ntz", array::<TimestampMicrosecondArray>(time)),
                    ("dec", array::<Decimal128Array>(decimal.unwrap())),
                    ("wide", array::<Decimal128Array>(wide.unwrap())),
                    ("part", array::<StringArray>(part)),
                    ("num", array::<Int64Array>(num)),
                ])
            },
        )
}

/// Comparisons of constants.
fn some_comparison() -> impl Strategy<Value = String> {
    let ops = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let time = |step: i64| {
        let micros = 789_123 + step * 400;
        format!("TIMESTAMP '2024-02-29T12:34:56.{micros:06}'")
    };
    let pairs = prop_oneof![
        (
            (-4_i64..4),
            prop::sample::select(vec!["long", "short", "double", "num"])
        )
            .prop_map(|(value, column)| (column, value.to_string())),
        (
            (-40_i64..40),
            prop::sample::select(vec!["dec", "wide", "double"])
        )
            .prop_map(|(value, column)| (column, format!("{:.1}", value as f64 / 10.0))),
        prop::sample::select(vec![
            "",
            "a",
            "aa",
            "b",
            "é",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
        ])
        .prop_map(|value| ("text", format!("'{value}'"))),
        prop::sample::select(vec!["p", "q", "r s", "t", ""])
            .prop_map(|value| ("part", format!("'{value}'"))),
        any::<bool>().prop_map(|value| ("flag", value.to_string())),
        (-3_i64..3).prop_map(|day| ("day", format!("DATE '1970-01-01' + INTERVAL '{day}' DAY"))),
        ((-4_i64..4), prop::sample::select(vec!["ts", "ntz"]))
            .prop_map(move |(step, column)| (column, time(step))),
    ];
    (pairs, ops).prop_map(|((column, value), op)| format!("{column} {op} {value}"))
}

fn some_filter() -> impl Strategy<Value = String> {
    filter_of(some_comparison())
}

/// Conditions of all sorts, among them many of `comparison`.
pub(crate) fn filter_of(
    comparison: impl Strategy<Value = String> + 'static,
) -> impl Strategy<Value = String> {
    let columns = [
        "long", "short", "double", "text", "flag", "day", "ts", "dec", "part", "num",
    ];
    let leaf = prop_oneof![
        6 => comparison,
        1 => prop::sample::select(columns.to_vec()).prop_map(|c| format!("{c} IS NULL")),
        1 => prop::sample::select(columns.to_vec()).prop_map(|c| format!("{c} IS NOT NULL")),
        1 => Just("long IN (1, 2)".to_owned()),
        1 => Just("long NOT IN (1, NULL)".to_owned()),
        1 => Just("num NOT IN (0, 1)".to_owned()),
        1 => Just("part IN ('p', 't')".to_owned()),
        1 => Just("short NOT BETWEEN -1 AND 1".to_owned()),
        1 => Just("flag".to_owned()),
        1 => Just("long = short".to_owned()),
        1 => Just("(long > 0) IS NOT TRUE".to_owned()),
        1 => Just("text LIKE 'a%'".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

/// The same rows come whether or not the kernel may skip.
#[tokio::test(flavor = "multi_thread")]
async fn skipping_costs_no_row() {
    let mut runner = TestRunner::new(Config::default());
    for partitions in [&[][..], &["part", "num"]] {
        for _ in 0..4 {
            let (world, mut table) = a_table(&mut runner, partitions).await;
            if runner.rng().random_bool(0.5) {
                table.checkpoint().await.unwrap();
            }
            let mut skipped = 0;
            for _ in 0..60 {
                let filter = some_filter().new_tree(&mut runner).unwrap().current();
                skipped += compare(&world, &filter).await;
            }
            assert!(skipped > 0, "no filter skipped a file");
        }
    }
}

pub(crate) async fn a_table(runner: &mut TestRunner, partitions: &[&str]) -> (World, DeltaTable) {
    let mut files = (0..FILES).map(|_| some_rows().new_tree(runner).unwrap().current());
    let new = NewTable::without_feed().partitioned_by(partitions);
    let (world, mut table) = World::with(new, files.next().unwrap()).await;
    for rows in files {
        table.append(rows).await.unwrap();
    }
    (world, table)
}

/// Files that `filter` skips; panics if it costs a row.
async fn compare(world: &World, filter: &str) -> u64 {
    let with_skipping = world.source(None, Some(filter));
    // CASE is opaque to skipping and TRUE exactly where the filter is.
    let hidden = format!("CASE WHEN abs(long) < 0 THEN NULL ELSE ({filter}) END");
    let without: DeltaSource = world.source(None, Some(&hidden));
    assert_eq!(rows(&with_skipping).await, rows(&without).await, "{filter}");
    let check = without.check().await.unwrap();
    assert_eq!(
        check.after_skipping.files, check.head.size.files,
        "{hidden} was pushed down"
    );
    let check = with_skipping.check().await.unwrap();
    check.head.size.files - check.after_skipping.files
}

#[test]
fn settings_touch_no_storage() {
    let settings = Settings {
        location: "/nowhere/at/all".to_owned(),
        ..Settings::default()
    };
    assert!(DeltaSource::new(settings).is_ok());
}
