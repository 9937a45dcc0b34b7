//! Values of all scalar types arrive as they were written, as data and as partition values.

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use lakeferry_delta_testkit::NewTable;
use lakeferry_model::{Reading, Source as _};

use crate::world::{World, array, batch, changes, rows, texts, types, watermark};

/// 9999-12-31T23:59:59.999999Z.
const LAST_MICROSECOND: i64 = 253_402_300_799_999_999;
/// 0001-01-01T00:00:00Z.
const FIRST_MICROSECOND: i64 = -62_135_596_800_000_000;

/// Three rows of extreme values and one of nulls, in a column of each scalar type.
fn extremes() -> RecordBatch {
    let most = 10_i128.pow(38) - 1;
    let times = [LAST_MICROSECOND, FIRST_MICROSECOND, -1];
    let with_zone = nullable(times);
    let with_zone = TimestampMicrosecondArray::from(with_zone).with_timezone("UTC");
    let bytes: [&[u8]; 3] = [b"\0\xff", b"", b"x"];
    batch(&[
        ("id", array::<Int32Array>(vec![1, 2, 3, 4])),
        ("byte", array::<Int8Array>(nullable([i8::MAX, i8::MIN, 0]))),
        (
            "short",
            array::<Int16Array>(nullable([i16::MAX, i16::MIN, 0])),
        ),
        (
            "int",
            array::<Int32Array>(nullable([i32::MAX, i32::MIN, 0])),
        ),
        (
            "long",
            array::<Int64Array>(nullable([i64::MAX, i64::MIN, 0])),
        ),
        (
            "float",
            array::<Float32Array>(nullable([f32::MIN_POSITIVE, f32::INFINITY, -0.0])),
        ),
        (
            "double",
            array::<Float64Array>(nullable([f64::MAX, f64::NEG_INFINITY, f64::NAN])),
        ),
        ("d38", decimals([most, -most, 0], 38, 0)),
        ("d38s", decimals([most, -most, 1], 38, 38)),
        ("d5", decimals([99_999, -99_999, 1], 5, 2)),
        ("bool", array::<BooleanArray>(nullable([true, false, true]))),
        (
            "text",
            array::<StringArray>(nullable(["a\0b", "", "Ž 🚢 \u{10ffff}"])),
        ),
        ("binary", array::<BinaryArray>(nullable(bytes))),
        (
            "date",
            array::<Date32Array>(nullable([2_932_896, -719_162, -1])),
        ),
        ("ts", array::<TimestampMicrosecondArray>(with_zone)),
        ("ntz", array::<TimestampMicrosecondArray>(nullable(times))),
    ])
}

fn nullable<T>(values: [T; 3]) -> Vec<Option<T>> {
    values.into_iter().map(Some).chain([None]).collect()
}

fn decimals(values: [i128; 3], precision: u8, scale: i8) -> ArrayRef {
    let values = Decimal128Array::from(nullable(values));
    array::<Decimal128Array>(values.with_precision_and_scale(precision, scale).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn extremes_and_nulls_survive() {
    let start = extremes();
    for new in [NewTable::with_feed(), NewTable::without_feed()] {
        let reading = if new.change_data_feed {
            Reading::Feed
        } else {
            Reading::Files
        };
        let (world, mut table) = World::with(new, start.clone()).await;
        let source = world.source(None, None);
        let after = watermark(&source).await;
        let mut wanted = texts(&start);
        wanted.sort();
        assert_eq!(rows(&source).await, wanted);
        table.append(start.clone()).await.unwrap();
        let mut added: Vec<_> = wanted.iter().map(|row| format!("1 + {row}")).collect();
        added.sort();
        assert_eq!(changes(&source, &after, reading).await.unwrap(), added);
        let head = source.head().await.unwrap();
        insta::assert_snapshot!("scalar_types", types(&head.columns));
        assert_eq!(head.columns.fields(), start.schema().fields());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_values_of_every_type_survive() {
    let start = extremes();
    // Not binary: the writer has no text for it. Not double: its greatest value is too long
    // for the name of a directory.
    let names = [
        "byte", "short", "int", "long", "float", "d38", "d5", "bool", "date", "ts", "ntz",
    ];
    for name in names {
        let new = NewTable::with_feed().partitioned_by(&[name]);
        let (world, mut table) = World::with(new, start.clone()).await;
        let source = world.source(Some(&["id", name]), None);
        let after = watermark(&source).await;
        let wanted = two_columns(&start, name);
        assert_eq!(rows(&source).await, wanted, "partitioned by {name}");
        table.delete(Some("id < 4")).await.unwrap();
        let deleted: Vec<_> = wanted[..3].iter().map(|row| format!("1 - {row}")).collect();
        let found = changes(&source, &after, Reading::Feed).await.unwrap();
        assert_eq!(found, deleted, "partitioned by {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_values_with_special_characters_survive() {
    let awkward = [
        "a b",
        "a/b",
        "a=b",
        "a%20b",
        "ü🚢",
        "__HIVE_DEFAULT_PARTITION__x",
        "\"q'",
    ];
    let mut values: Vec<_> = awkward.iter().map(|value| Some(*value)).collect();
    values.push(None);
    let ids: Vec<_> = (1..=i32::try_from(values.len()).unwrap()).collect();
    let start = batch(&[
        ("id", array::<Int32Array>(ids)),
        ("part", array::<StringArray>(values.clone())),
    ]);
    let new = NewTable::with_feed().partitioned_by(&["part"]);
    let (world, mut table) = World::with(new, start.clone()).await;
    let all = world.source(None, None);
    let after = watermark(&all).await;
    let wanted = two_columns(&start, "part");
    assert_eq!(rows(&all).await, wanted);
    for (index, value) in values.iter().enumerate() {
        let filter = match value {
            None => "part IS NULL".to_owned(),
            Some(value) => format!("part = '{}'", value.replace('\'', "''")),
        };
        let one = world.source(None, Some(&filter));
        assert_eq!(rows(&one).await, [wanted[index].clone()], "{filter}");
        if value.is_some() {
            assert_eq!(
                one.check().await.unwrap().after_skipping.files,
                1,
                "{filter}"
            );
        }
    }
    table.update(&[("id", "id + 10")], None).await.unwrap();
    let found = changes(&all, &after, Reading::Feed).await.unwrap();
    let gone: Vec<_> = wanted.iter().map(|row| format!("1 - {row}")).collect();
    assert_eq!(found[wanted.len()..], gone);
    assert_eq!(found.len(), 2 * wanted.len());
}

/// The texts of `id` and `name`, sorted.
fn two_columns(rows: &RecordBatch, name: &str) -> Vec<String> {
    let schema = rows.schema();
    let (id, other) = (
        schema.index_of("id").unwrap(),
        schema.index_of(name).unwrap(),
    );
    let mut texts = texts(&rows.project(&[id, other]).unwrap());
    texts.sort();
    texts
}
