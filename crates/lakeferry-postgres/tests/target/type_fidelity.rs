//! Every value of every scalar type arrives bit for bit, by fill, refresh and changes.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Field;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use lakeferry_model::{Effect, Stage};
use lakeferry_postgres::encode::{Encoder, HEADER, TRAILER};

use crate::fixture::{Desk, applied, on_each_server, stage};

const FIRST_DATE: i32 = -2_440_588;
const LAST_DATE: i32 = 2_145_042_905;
const FIRST_TIMESTAMP: i64 = -210_866_803_200_000_000;
const NINES: i128 = 10_i128.pow(38) - 1;

/// Extremes and a NULL of each type, keyed `first..first + 5`.
fn extremes(first: i64) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + 5));
    let scalars = [integers(), fractions(), texts(), times()].concat();
    let arrays = scalars
        .iter()
        .map(|(name, array)| (*name, arrays_of(array)));
    let arrays = arrays.map(|(name, array)| (format!("{name}_array"), array));
    let scalars = scalars
        .iter()
        .map(|(name, array)| ((*name).to_owned(), array.clone()));
    let columns = [("id".to_owned(), id)]
        .into_iter()
        .chain(scalars)
        .chain(arrays);
    let columns = columns.map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Arrays of the five values of `elements`: two, none, NULL, two, one.
fn arrays_of(elements: &ArrayRef) -> ArrayRef {
    let field = Field::new("element", elements.data_type().clone(), true);
    let offsets = OffsetBuffer::from_lengths([2, 0, 0, 2, 1]);
    let nulls = NullBuffer::from(vec![true, true, false, true, true]);
    Arc::new(ListArray::new(
        field.into(),
        offsets,
        elements.clone(),
        Some(nulls),
    ))
}

/// Three values, then NULLs.
fn of<A: Array + From<Vec<Option<T>>> + 'static, T>([a, b, c]: [T; 3]) -> ArrayRef {
    Arc::new(A::from(vec![Some(a), Some(b), Some(c), None, None]))
}

fn integers() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("bool", of::<BooleanArray, _>([true, false, true])),
        ("i8", of::<Int8Array, _>([i8::MIN, i8::MAX, 0])),
        ("i16", of::<Int16Array, _>([i16::MIN, i16::MAX, 0])),
        ("i32", of::<Int32Array, _>([i32::MIN, i32::MAX, 0])),
        ("i64", of::<Int64Array, _>([i64::MIN, i64::MAX, 0])),
    ]
}

fn fractions() -> Vec<(&'static str, ArrayRef)> {
    let decimal = |precision, scale, values: [i128; 4]| {
        let values = values.map(Some).into_iter().chain([None]);
        let array = Decimal128Array::from_iter(values);
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let floats = floats.map(Some).into_iter().chain([None]);
    let small = floats.clone().map(|value| value.map(|value| value as f32));
    vec![
        ("f32", Arc::new(Float32Array::from_iter(small))),
        ("f64", Arc::new(Float64Array::from_iter(floats))),
        ("d38", decimal(38, 0, [NINES, -NINES, 0, 10_000])),
        ("d38s", decimal(38, 38, [NINES, -NINES, 0, 1])),
        (
            "d15",
            decimal(15, 2, [-1, 123_450, 100, -999_999_999_999_999]),
        ),
    ]
}

fn texts() -> Vec<(&'static str, ArrayRef)> {
    let long = "ü🦆\u{1}".repeat(5_000);
    let texts = vec![Some(""), Some(" "), Some(&long), Some("\\N"), None];
    let bytes: [Option<&[u8]>; 5] = [
        Some(b""),
        Some(b"\0\xff"),
        Some(&[7; 9_000]),
        Some(b"x"),
        None,
    ];
    vec![
        ("text", Arc::new(StringArray::from(texts))),
        ("bytes", Arc::new(BinaryArray::from_iter(bytes))),
    ]
}

fn times() -> Vec<(&'static str, ArrayRef)> {
    let dates = [FIRST_DATE, LAST_DATE, 0, -1]
        .map(Some)
        .into_iter()
        .chain([None]);
    let micros = [FIRST_TIMESTAMP, i64::MAX, -1, 1_582_934_400_123_456];
    let times = TimestampMicrosecondArray::from_iter(micros.map(Some).into_iter().chain([None]));
    vec![
        ("date", Arc::new(Date32Array::from_iter(dates))),
        ("ntz", Arc::new(times.clone())),
        ("tz", Arc::new(times.with_timezone("UTC"))),
    ]
}

/// The target's rows as the server sends them.
async fn sent(desk: &Desk) -> BytesMut {
    let copy = "COPY (SELECT * FROM target ORDER BY id) TO STDOUT (FORMAT binary)";
    let stream = desk.client.copy_out(copy).await.unwrap();
    let collect = |mut all: BytesMut, chunk: Bytes| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    };
    Box::pin(stream)
        .try_fold(BytesMut::new(), collect)
        .await
        .unwrap()
}

fn expected(parts: &[&RecordBatch]) -> BytesMut {
    let encoder = Encoder::new(&parts[0].schema()).unwrap();
    let mut all = BytesMut::from(&HEADER[..]);
    for part in parts {
        encoder
            .rows(part, None)
            .unwrap()
            .write(&mut all, usize::MAX);
    }
    all.extend_from_slice(&TRAILER);
    all
}

#[tokio::test]
async fn values_arrive_bit_for_bit() {
    on_each_server(async |desk| {
        let [a, b, c, d] = [0, 5, 10, 15].map(extremes);
        let mut session = desk.filled(&a).await;
        assert_eq!(sent(&desk).await, expected(&[&a]));
        let parts = [(Effect::Insert, &b), (Effect::Insert, &c)];
        stage(&mut session, Stage::Refresh, &parts).await.unwrap();
        let counts = applied(&mut session, 2).await;
        assert_eq!(
            (counts.deleted, counts.updated, counts.inserted),
            (5, 0, 10)
        );
        assert_eq!(sent(&desk).await, expected(&[&b, &c]));
        // The same values under keys that move by one: every row is another one.
        let moved = extremes(11).slice(0, 4);
        let parts = [
            (Effect::Delete, &b),
            (Effect::Update, &moved),
            (Effect::Insert, &d),
        ];
        stage(&mut session, Stage::Changes, &parts).await.unwrap();
        let counts = applied(&mut session, 3).await;
        assert_eq!((counts.deleted, counts.updated, counts.inserted), (5, 4, 5));
        assert_eq!(sent(&desk).await, expected(&[&c.slice(0, 1), &moved, &d]));
    })
    .await;
}

/// What people read, so that encoder and server cannot agree on a wrong value.
#[tokio::test]
async fn values_read_as_they_should() {
    on_each_server(async |desk| {
        desk.filled(&extremes(0)).await;
        for (sql, shown) in [
            ("SELECT d38 FROM target WHERE id = 1", format!("-{NINES}")),
            ("SELECT d38s FROM target WHERE id = 0", format!("0.{NINES}")),
            (
                "SELECT d38s FROM target WHERE id = 3",
                format!("0.{}1", "0".repeat(37)),
            ),
            ("SELECT d15 FROM target WHERE id = 0", "-0.01".to_owned()),
            ("SELECT d15 FROM target WHERE id = 1", "1234.50".to_owned()),
            ("SELECT f64 FROM target WHERE id = 3", "-0".to_owned()),
            (
                "SELECT f32 FROM target WHERE id = 2",
                "-Infinity".to_owned(),
            ),
            (
                "SELECT date FROM target WHERE id = 0",
                "4714-11-24 BC".to_owned(),
            ),
            (
                "SELECT date FROM target WHERE id = 3",
                "1969-12-31".to_owned(),
            ),
            (
                "SELECT ntz FROM target WHERE id = 0",
                "4714-11-24 00:00:00 BC".to_owned(),
            ),
            (
                "SELECT ntz FROM target WHERE id = 1",
                "294247-01-10 04:00:54.775807".to_owned(),
            ),
            (
                "SELECT ntz FROM target WHERE id = 2",
                "1969-12-31 23:59:59.999999".to_owned(),
            ),
            (
                "SELECT tz FROM target WHERE id = 3",
                "2020-02-29 00:00:00.123456+00".to_owned(),
            ),
            (
                "SELECT bytes FROM target WHERE id = 1",
                "\\x00ff".to_owned(),
            ),
            ("SELECT text FROM target WHERE id = 3", "\\N".to_owned()),
        ] {
            assert_eq!(desk.ask(sql).await, shown, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn arrays_read_as_they_should() {
    on_each_server(async |desk| {
        desk.filled(&extremes(0)).await;
        for (sql, shown) in [
            ("d15_array FROM target WHERE id = 0", "{-0.01,1234.50}"),
            ("i8_array FROM target WHERE id = 1", "{}"),
            ("i8_array FROM target WHERE id = 2", "NULL"),
            ("i8_array FROM target WHERE id = 3", "{0,NULL}"),
            (
                "pg_typeof(tz_array) FROM target WHERE id = 0",
                "timestamp with time zone[]",
            ),
            (
                "tz_array FROM target WHERE id = 3",
                "{\"1969-12-31 23:59:59.999999+00\",\"2020-02-29 00:00:00.123456+00\"}",
            ),
        ] {
            let sql = format!("SELECT {sql}");
            assert_eq!(desk.ask(&sql).await, shown, "{sql}");
        }
    })
    .await;
}
