//! The examples of the two specifications, byte by byte.

use std::sync::Arc;

use arrow_array::{BinaryArray, Int32Array, ListArray, StringArray, TimestampMicrosecondArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};

use super::*;

/// `{"a", "b"}`, in this order.
const NAMES: &[u8] = b"\x01\x02\x00\x01\x02ab";

fn told(value: &[u8]) -> Result<String, String> {
    let mut out = String::new();
    let names = binary::Names::of(NAMES).map_err(|error| error.to_string())?;
    let written = binary::write(value, &names, &mut out);
    written.map(|()| out).map_err(|error| error.to_string())
}

fn with(header: u8, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [&[header << 2], rest.as_ref()].concat()
}

/// "Variant Binary Encoding", "Encoding types".
#[test]
fn every_primitive_has_a_form() {
    let decimal = |scale: u8, unscaled: &[u8]| [&[scale], unscaled].concat();
    for (value, json) in [
        (with(0, []), "null"),
        (with(1, []), "true"),
        (with(2, []), "false"),
        (with(3, (-128_i8).to_le_bytes()), "-128"),
        (with(4, 32_767_i16.to_le_bytes()), "32767"),
        (with(5, i32::MIN.to_le_bytes()), "-2147483648"),
        (with(6, i64::MAX.to_le_bytes()), "9223372036854775807"),
        (with(7, 1e300_f64.to_le_bytes()), "1e300"),
        (with(7, 0.1_f64.to_le_bytes()), "0.1"),
        (with(7, f64::NEG_INFINITY.to_le_bytes()), "\"-Infinity\""),
        (with(14, 0.1_f32.to_le_bytes()), "0.1"),
        (with(14, f32::NAN.to_le_bytes()), "\"NaN\""),
        (with(8, decimal(2, &(-5_i32).to_le_bytes())), "-0.05"),
        (with(9, decimal(0, &12_i64.to_le_bytes())), "12"),
        (
            with(10, decimal(38, &1_i128.to_le_bytes())),
            "0.00000000000000000000000000000000000001",
        ),
        (with(11, (-1_i32).to_le_bytes()), "\"1969-12-31\""),
        (
            with(12, 1_500_000_i64.to_le_bytes()),
            "\"1970-01-01T00:00:01.5Z\"",
        ),
        (
            with(13, (-1_i64).to_le_bytes()),
            "\"1969-12-31T23:59:59.999999\"",
        ),
        (
            with(18, 1_i64.to_le_bytes()),
            "\"1970-01-01T00:00:00.000000001Z\"",
        ),
        (with(19, 0_i64.to_le_bytes()), "\"1970-01-01T00:00:00\""),
        (
            with(17, 86_399_000_001_i64.to_le_bytes()),
            "\"23:59:59.000001\"",
        ),
        (with(15, b"\x04\0\0\0\xfb\xff\xfe\x01"), "\"+//+AQ==\""),
        (with(16, b"\x02\0\0\0\xc3\xbc"), "\"ü\""),
        (
            with(
                20,
                0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes(),
            ),
            "\"01234567-89ab-cdef-0123-456789abcdef\"",
        ),
    ] {
        assert_eq!(told(&value).as_deref(), Ok(json));
    }
}

#[test]
fn objects_and_arrays_nest() {
    // A short text of one letter, with what has to be escaped.
    let quote = [1 << 2 | 1, b'"'];
    let array = [&[3, 2, 0, 2, 3], &quote[..], &[0]].concat();
    // The names in another order than their numbers; the values in another order than the names.
    let object = [&[2, 2, 1, 0, 1, 0, 8][..], &[1 << 2], &array].concat();
    assert_eq!(
        told(&object).as_deref(),
        Ok("{\"b\":[\"\\\"\",null],\"a\":true}")
    );
    assert_eq!(told(&[3, 0, 0]).as_deref(), Ok("[]"));
    assert_eq!(told(&[2, 0, 0]).as_deref(), Ok("{}"));
    // Counts, numbers and offsets of four bytes.
    let large_array = [
        &[3 | 7 << 2][..],
        &[1, 0, 0, 0],
        &[0, 0, 0, 0],
        &[1, 0, 0, 0],
        &[0],
    ]
    .concat();
    assert_eq!(told(&large_array).as_deref(), Ok("[null]"));
    let large_object = [
        &[2 | 0x1f << 2][..],
        &[1, 0, 0, 0],
        &[1, 0, 0, 0],
        &[0; 4],
        &[1, 0, 0, 0],
        &[0],
    ]
    .concat();
    assert_eq!(told(&large_object).as_deref(), Ok("{\"b\":null}"));
}

#[test]
fn what_is_malformed_is_an_error() {
    let deep = [3, 1, 0, 1].repeat(1_000);
    for (value, what) in [
        (&b""[..], "it ends too early"),
        (&[6 << 2, 1, 2], "it ends too early"),
        (&[2, 1, 7, 0, 1, 0], "it has no name 7"),
        (&[21 << 2], "the unknown type 21"),
        (&[1 << 2 | 1, 0xff], "a text is not UTF-8"),
        (&deep, "nested deeper than 500"),
    ] {
        let error = told(value).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

fn group(parts: Vec<(&str, ArrayRef)>, nulls: Option<NullBuffer>) -> StructArray {
    let (fields, columns): (Vec<_>, Vec<_>) = parts
        .into_iter()
        .map(|(name, part)| (Field::new(name, part.data_type().clone(), true), part))
        .unzip();
    StructArray::try_new(fields.into(), columns, nulls).unwrap()
}

fn values(values: Vec<Option<&[u8]>>) -> ArrayRef {
    Arc::new(BinaryArray::from(values))
}

fn read(parts: Vec<(&str, ArrayRef)>, nulls: Option<NullBuffer>) -> Vec<Option<String>> {
    let rows = parts[0].1.len();
    let metadata: ArrayRef = Arc::new(BinaryArray::from(vec![NAMES; rows]));
    let mut all = vec![("metadata", metadata)];
    all.extend(parts);
    let carried = carried(&group(all, nulls)).unwrap();
    let texts = texts(&carried).unwrap();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[test]
fn a_variant_that_is_null_is_not_the_null_in_a_variant() {
    let nulls = NullBuffer::from(vec![true, false]);
    let found = read(
        vec![("value", values(vec![Some(&[0]), Some(&[0])]))],
        Some(nulls),
    );
    assert_eq!(found, [Some("null".to_owned()), None]);
}

/// "Variant Shredding", "Value Shredding": each row of the table there, and a partly shredded object.
#[test]
fn parts_in_columns_of_their_own_are_put_together() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(5), None, None, None]));
    let rest = values(vec![None, Some(&[1 << 2]), Some(&[0]), None]);
    let found = read(vec![("value", rest), ("typed_value", numbers)], None);
    assert_eq!(found, some(&["5", "true", "null", "null"]));

    let times = TimestampMicrosecondArray::from(vec![Some(1), None, None]).with_timezone("UTC");
    let a = group(
        vec![
            ("value", values(vec![None, Some(&[0]), None])),
            ("typed_value", Arc::new(times) as ArrayRef),
        ],
        None,
    );
    let parts: ArrayRef = Arc::new(group(
        vec![("a", Arc::new(a) as ArrayRef)],
        Some(NullBuffer::from(vec![true, true, false])),
    ));
    // `{"b": true}` beside the column of `a`.
    let b = [2, 1, 1, 0, 1, 1 << 2];
    let rest = values(vec![Some(&b), None, Some(&[2 << 2])]);
    let found = read(vec![("value", rest), ("typed_value", parts)], None);
    let expected = [
        "{\"b\":true,\"a\":\"1970-01-01T00:00:00.000001Z\"}",
        "{\"a\":null}",
        "false",
    ];
    assert_eq!(found, some(&expected));

    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, None]));
    let element = group(
        vec![
            ("value", values(vec![None, Some(&[1 << 2]), None])),
            ("typed_value", words),
        ],
        None,
    );
    let field = Arc::new(Field::new("element", element.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([3, 0]);
    let lists = ListArray::try_new(field, offsets, Arc::new(element), None).unwrap();
    let found = read(vec![("typed_value", Arc::new(lists) as ArrayRef)], None);
    assert_eq!(found, some(&["[\"x\",true,null]", "[]"]));
}
