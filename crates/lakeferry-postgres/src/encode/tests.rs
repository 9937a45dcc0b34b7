//! pgpq as the oracle of every byte, and the checks at the ends of what Postgres holds.

mod arrays;
mod counted;
mod decoded;
mod json;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use bytes::BytesMut;
use lakeferry_model::{Failure, FailureClass};
use pgpq::ArrowToPostgresBinaryEncoder;
use proptest::{collection::vec, option::weighted, prelude::*};

use super::{Conversion, Encoder, HEADER, TRAILER, check::long_rows, column::Column, epoch};
use crate::{
    error::Error,
    type_map::{PgType, Scalar},
};

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let names = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n",
    ];
    let columns = names
        .iter()
        .zip(columns)
        .map(|(name, array)| (*name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn encoded(batch: &RecordBatch, enough: usize) -> Result<BytesMut, Error> {
    let encoder = Encoder::new(&batch.schema())?;
    let mut all = BytesMut::from(&HEADER[..]);
    let mut rows = encoder.rows(batch, None)?;
    let mut piece = BytesMut::new();
    loop {
        let left = rows.write(&mut piece, enough);
        all.extend_from_slice(&piece.split());
        if !left {
            break;
        }
    }
    all.extend_from_slice(&TRAILER);
    Ok(all)
}

fn by_pgpq(batch: &RecordBatch) -> BytesMut {
    let mut encoder = ArrowToPostgresBinaryEncoder::try_new(&batch.schema()).unwrap();
    let mut out = BytesMut::new();
    encoder.write_header(&mut out).unwrap();
    encoder.write_batch(batch, &mut out).unwrap();
    encoder.write_footer(&mut out).unwrap();
    out
}

const ROWS: std::ops::Range<usize> = 0..40;

fn nullable<T: std::fmt::Debug + Clone>(
    values: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<Option<T>>> {
    vec(weighted(0.8, values), ROWS.end)
}

fn decimals() -> impl Strategy<Value = ArrayRef> {
    (1_u8..=38)
        .prop_flat_map(|precision| (Just(precision), 0..=precision))
        .prop_flat_map(|(precision, scale)| {
            let end = 10_i128.pow(precision.into());
            let powers = (0..u32::from(precision)).prop_map(|power| 10_i128.pow(power));
            let value = prop_oneof![
                3 => 1 - end..end,
                1 => (powers, -1_i128..=1).prop_map(|(power, near)| power + near),
                1 => prop_oneof![Just(0), Just(end - 1), Just(1 - end)],
            ];
            let value = value.prop_map(move |value| value.clamp(1 - end, end - 1));
            nullable(value).prop_map(move |values| {
                let array = Decimal128Array::from(values);
                let scale = i8::try_from(scale).unwrap();
                Arc::new(array.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
            })
        })
}

fn floats() -> impl Strategy<Value = ArrayRef> {
    let special = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE / 2.0,
    ];
    let value = prop_oneof![any::<f64>(), proptest::sample::select(special.to_vec())];
    nullable(value).prop_map(|values| Arc::new(Float64Array::from(values)) as ArrayRef)
}

fn times(zone: Option<&'static str>) -> impl Strategy<Value = ArrayRef> {
    let value = prop_oneof![
        epoch::TIMESTAMPS,
        -3_000_000_000_000_000_i64..3_000_000_000_000_000,
        Just(*epoch::TIMESTAMPS.start()),
        Just(*epoch::TIMESTAMPS.end()),
    ];
    nullable(value).prop_map(move |values| {
        let array = TimestampMicrosecondArray::from(values);
        Arc::new(array.with_timezone_opt(zone)) as ArrayRef
    })
}

fn texts() -> impl Strategy<Value = ArrayRef> {
    nullable("[^\0]{0,12}").prop_map(|values| Arc::new(StringArray::from(values)) as ArrayRef)
}

fn binaries() -> impl Strategy<Value = ArrayRef> {
    nullable(vec(any::<u8>(), 0..20)).prop_map(|values| {
        let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        Arc::new(BinaryArray::from(values)) as ArrayRef
    })
}

fn array_of<A, T>(values: impl Strategy<Value = T>) -> impl Strategy<Value = ArrayRef>
where
    A: Array + From<Vec<Option<T>>> + 'static,
    T: std::fmt::Debug + Clone,
{
    nullable(values).prop_map(|values| Arc::new(A::from(values)) as ArrayRef)
}

fn batches() -> impl Strategy<Value = RecordBatch> {
    let numbers = (
        array_of::<BooleanArray, _>(any::<bool>()),
        array_of::<Int8Array, _>(any::<i8>()),
        array_of::<Int16Array, _>(any::<i16>()),
        array_of::<Int32Array, _>(any::<i32>()),
        array_of::<Int64Array, _>(any::<i64>()),
        array_of::<Float32Array, _>(any::<f32>()),
        floats(),
    );
    let others = (
        decimals(),
        texts(),
        binaries(),
        array_of::<Date32Array, _>(epoch::DATES),
        times(None),
        times(Some("UTC")),
    );
    (numbers, others).prop_map(|((a, b, c, d, e, f, g), (h, i, j, k, l, m))| {
        batch(vec![a, b, c, d, e, f, g, h, i, j, k, l, m])
    })
}

proptest! {
    #[test]
    fn every_byte_is_what_pgpq_writes(
        batch in batches(), slice in ROWS, length in ROWS, enough in 1_usize..4096,
    ) {
        let batch = batch.slice(slice, length.min(ROWS.end - slice));
        prop_assert_eq!(encoded(&batch, enough).unwrap(), by_pgpq(&batch));
    }

    #[test]
    fn every_decimal_is_what_pgpq_writes(array in decimals()) {
        let batch = batch(vec![array]);
        prop_assert_eq!(encoded(&batch, 100).unwrap(), by_pgpq(&batch));
    }
}

#[test]
fn a_mark_is_a_first_column_of_one_byte() {
    let batch = batch(vec![Arc::new(Int16Array::from(vec![258]))]);
    let mut out = BytesMut::new();
    let encoder = Encoder::new(&batch.schema()).unwrap();
    assert!(
        !encoder
            .rows(&batch, Some(b'd'))
            .unwrap()
            .write(&mut out, 100)
    );
    assert_eq!(out[..], [0, 2, 0, 0, 0, 1, b'd', 0, 0, 0, 2, 1, 2]);
}

fn refusal(array: impl Array + 'static) -> Option<String> {
    let error = encoded(&batch(vec![Arc::new(array)]), 100).err()?;
    assert_eq!(error.class(), FailureClass::BadRow);
    assert!(error.hint().is_some());
    Some(error.to_string())
}

#[test]
fn what_postgres_cannot_hold_is_refused_by_column() {
    assert_eq!(
        refusal(StringArray::from(vec!["fine", "a\0b"])).as_deref(),
        Some("column \"a\" holds a text with the character NUL, which postgres cannot hold")
    );
    assert_eq!(
        refusal(StringArray::from(vec!["a\0b", "fine"]).slice(1, 1)),
        None
    );
    for (days, fits) in [
        (*epoch::DATES.start(), true),
        (*epoch::DATES.start() - 1, false),
        (*epoch::DATES.end(), true),
        (*epoch::DATES.end() + 1, false),
        (i32::MIN, false),
        (i32::MAX, false),
    ] {
        assert_eq!(
            refusal(Date32Array::from(vec![days])).is_none(),
            fits,
            "{days}"
        );
    }
    for (micros, fits) in [
        (*epoch::TIMESTAMPS.start(), true),
        (*epoch::TIMESTAMPS.start() - 1, false),
        (i64::MIN, false),
        (i64::MAX, true),
    ] {
        let array = TimestampMicrosecondArray::from(vec![micros]);
        assert_eq!(refusal(array).is_none(), fits, "{micros}");
    }
}

#[test]
fn a_row_that_is_too_long_is_refused_by_its_longest_column() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("123"), Some("1"), None]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"1234567"[..], b"1", b"1"]));
    let columns = [
        Column::of("a", PgType::Scalar(Scalar::Text), &texts).unwrap(),
        Column::of("b", PgType::Scalar(Scalar::Bytea), &bytes).unwrap(),
    ];
    assert_eq!(long_rows(&columns, 3, 10), []);
    let faults = long_rows(&columns, 3, 9);
    assert_eq!((faults.len(), faults[0].row, faults[0].column), (1, 0, 1));
    let message = "a value of 7 bytes in a row of 10";
    assert!(faults[0].what.starts_with(message), "{faults:?}");
}

#[test]
fn a_decimal_beyond_its_precision_is_refused() {
    for (value, fits) in [(999, true), (-999, true), (1000, false), (-1000, false)] {
        // The builder of Arrow does not look at the values.
        let array = Decimal128Array::from(vec![value])
            .with_precision_and_scale(3, 1)
            .unwrap();
        assert_eq!(refusal(array).is_none(), fits, "{value}");
    }
}

#[test]
fn what_lies_under_a_null_does_not_count() {
    let nulls = Some(vec![true, false].into());
    let values = vec![0, i64::MIN].into();
    assert_eq!(refusal(TimestampMicrosecondArray::new(values, nulls)), None);
}

#[test]
fn a_batch_of_another_schema_is_a_bug() {
    let expected = batch(vec![Arc::new(Int16Array::from(vec![1]))]);
    let encoder = Encoder::new(&expected.schema()).unwrap();
    for columns in [
        vec![Arc::new(Int32Array::from(vec![1])) as ArrayRef],
        vec![expected.column(0).clone(), expected.column(0).clone()],
    ] {
        let error = encoder.rows(&batch(columns), None).unwrap_err();
        assert_eq!(error.class(), FailureClass::Bug);
    }
}
