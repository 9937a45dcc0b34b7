//! Data files that the writer at hand does not make: INT96 times, narrower decimals; wide rows.

use std::{fs, path::Path, sync::Arc};

use arrow_array::{Decimal128Array, Int32Array, StringArray, TimestampMicrosecondArray};
use delta_kernel::parquet::{
    arrow::ArrowWriter,
    data_type::{Int32Type, Int96, Int96Type},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use futures_util::TryStreamExt as _;
use lakeferry_delta_testkit::NewTable;
use lakeferry_model::{Reading, Source as _};

use crate::world::{World, array, batch, changes, rows, texts, watermark};

const DAY_MICROS: i64 = 86_400_000_000;
/// The Julian day number of 1970-01-01.
const JULIAN_EPOCH: i64 = 2_440_588;

/// Commits `version`, which adds the file at `name`.
pub(crate) fn commit_added(world: &World, version: u64, name: &str) {
    let size = fs::metadata(world.path().join(name)).unwrap().len();
    let add = format!(
        r#"{{"add":{{"path":"{name}","partitionValues":{{}},"size":{size},"modificationTime":0,"dataChange":true}}}}"#
    );
    fs::write(world.commit_file(version), add).unwrap();
}

/// A file of `id` and of `ts` and `ntz` in INT96, both the same microseconds, as Spark and Hive
/// write them.
fn write_int96(path: &Path, micros: &[i64]) {
    let columns = "message m { optional int32 id; optional int96 ts; optional int96 ntz; }";
    let schema = Arc::new(parse_message_type(columns).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let there = vec![1; micros.len()];
    let ids: Vec<_> = (1..=i32::try_from(micros.len()).unwrap()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let typed = column.typed::<Int32Type>();
    typed.write_batch(&ids, Some(&there), None).unwrap();
    column.close().unwrap();
    let times: Vec<_> = micros.iter().map(|&micros| int96(micros)).collect();
    for _ in ["ts", "ntz"] {
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<Int96Type>();
        typed.write_batch(&times, Some(&there), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// A file of one row with lists of the same microseconds, `ts` and `ntz`, in INT96.
pub(crate) fn write_int96_lists(path: &Path, micros: &[i64]) {
    let columns = "message m { \
        optional group ts (LIST) { repeated group list { optional int96 element; } } \
        optional group ntz (LIST) { repeated group list { optional int96 element; } } }";
    let schema = Arc::new(parse_message_type(columns).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let times: Vec<_> = micros.iter().map(|&micros| int96(micros)).collect();
    let there = vec![3; micros.len()];
    let mut repeated = vec![1; micros.len()];
    repeated[0] = 0;
    for _ in ["ts", "ntz"] {
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<Int96Type>();
        typed
            .write_batch(&times, Some(&there), Some(&repeated))
            .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

fn int96(micros: i64) -> Int96 {
    let nanos = u64::try_from(micros.rem_euclid(DAY_MICROS) * 1000).unwrap();
    let day = u32::try_from(micros.div_euclid(DAY_MICROS) + JULIAN_EPOCH).unwrap();
    let halves = [nanos & 0xffff_ffff, nanos >> 32].map(|half| u32::try_from(half).unwrap());
    let mut value = Int96::new();
    value.set_data(halves[0], halves[1], day);
    value
}

/// A row of times for each of `micros`.
fn times(micros: &[i64]) -> arrow_array::RecordBatch {
    let ids: Vec<_> = (1..=i32::try_from(micros.len()).unwrap()).collect();
    let ntz = TimestampMicrosecondArray::from(micros.to_vec());
    let ts = ntz.clone().with_timezone("UTC");
    batch(&[
        ("id", array::<Int32Array>(ids)),
        ("ts", array::<TimestampMicrosecondArray>(ts)),
        ("ntz", array::<TimestampMicrosecondArray>(ntz)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn int96_times_of_any_year_are_read_right() {
    // The last microsecond of 9999, 0001-01-01, before and after the epoch.
    let micros = [253_402_300_799_999_999, -62_135_596_800_000_000, -1, 1];
    for (new, reading) in [
        (NewTable::with_feed(), Reading::Feed),
        (NewTable::without_feed(), Reading::Files),
    ] {
        let (world, _table) = World::with(new, times(&[])).await;
        let source = world.source(None, None);
        let after = watermark(&source).await;
        write_int96(&world.path().join("spark.parquet"), &micros);
        commit_added(&world, 1, "spark.parquet");
        let mut wanted = texts(&times(&micros));
        wanted.sort();
        assert_eq!(rows(&source).await, wanted);
        let added: Vec<_> = wanted.iter().map(|row| format!("1 + {row}")).collect();
        assert_eq!(changes(&source, &after, reading).await.unwrap(), added);
        let filter = "ts > TIMESTAMP '9999-12-30' OR ntz < TIMESTAMP '1000-01-01 00:00:00'";
        let far = world.source(Some(&["id"]), Some(filter));
        assert_eq!(rows(&far).await, ["1", "2"]);
    }
}

/// The kernel would hold a row group's statistics against the table's scale: 1.0 for 10.0.
#[tokio::test(flavor = "multi_thread")]
async fn decimals_of_another_scale_are_not_skipped() {
    let decimals = |unscaled: Vec<i128>, precision, scale| {
        let decimals = Decimal128Array::from(unscaled);
        let decimals = decimals.with_precision_and_scale(precision, scale);
        batch(&[("d", array::<Decimal128Array>(decimals.unwrap()))])
    };
    let (world, _table) = World::with(NewTable::without_feed(), decimals(vec![], 9, 2)).await;
    let narrow = decimals(vec![100], 8, 1);
    let file = fs::File::create(world.path().join("narrow.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, narrow.schema(), None).unwrap();
    writer.write(&narrow).unwrap();
    writer.close().unwrap();
    commit_added(&world, 1, "narrow.parquet");
    let source = world.source(None, Some("d > 5"));
    assert_eq!(rows(&source).await, ["10.00"]);
}

/// Batches are of bounded size, in bytes as well as in rows.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_wide_rows_have_few_rows() {
    const ROWS: u16 = 2_000;
    let notes: Vec<_> = (0..ROWS)
        .map(|row| format!("{row:05}").repeat(10_000))
        .collect();
    let wide = batch(&[
        (
            "id",
            array::<Int32Array>((0..i32::from(ROWS)).collect::<Vec<_>>()),
        ),
        ("note", array::<StringArray>(notes)),
    ]);
    let (world, _table) = World::with(NewTable::without_feed(), wide).await;
    for (columns, most) in [(&["id", "note"][..], 16 << 20), (&["id"], 1 << 20)] {
        let source = world.source(Some(columns), None);
        let watermark = watermark(&source).await;
        let stream = source.snapshot(&watermark).await.unwrap();
        let sizes: Vec<_> = stream
            .map_ok(|rows| (rows.num_rows(), rows.get_array_memory_size()))
            .try_collect()
            .await
            .unwrap();
        let rows: usize = sizes.iter().map(|(rows, _)| rows).sum();
        assert_eq!(rows, usize::from(ROWS));
        assert!(sizes.iter().all(|&(_, bytes)| bytes <= most), "{sizes:?}");
        // A column that is not read does not make a row wide.
        assert_eq!(sizes.len() == 1, columns.len() == 1, "{sizes:?}");
    }
}
