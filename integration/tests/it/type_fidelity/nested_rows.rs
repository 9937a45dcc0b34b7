//! Five rows of columns with parts: as Arrow, and the same by hand as SQL literals.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
    Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field, Fields};
use lakeferry_delta_testkit::OP_COLUMN;

use crate::tables;

/// How many rows there are.
pub(super) const ROWS: usize = 5;

/// The keys that the rows get, in order.
pub(super) type Ids = [i64; ROWS];

/// The types by the name of the column.
pub(super) const TYPES: &str = "\
id bigint PRIMARY KEY, booleans boolean[], longs bigint[], doubles double precision[], \
wholes numeric(38,0)[], texts text[], bytes bytea[], dates date[], \
instants timestamp with time zone[], locals timestamp without time zone[], \
point jsonb, points jsonb, texts_of_texts jsonb, by_name jsonb, by_number jsonb, deep jsonb";

/// The values, less their keys.
pub(super) const VALUES: [&str; ROWS] = [
    r#"'{f,NULL}', '{-9223372036854775808,NULL}', '{NaN,NULL}',
       '{-99999999999999999999999999999999999999,NULL}', '{"",NULL}', '{"\\x00ff",NULL}',
       '{4714-11-24 BC,NULL}', '{4714-11-24 00:00:00+00 BC,NULL}', '{4714-11-24 00:00:00 BC,NULL}',
       '{"x": -9223372036854775808, "note": ""}',
       '[{"x": -9223372036854775808, "note": ""}, null]', '[["", null], []]',
       '{"a": 1.5, "": null}', '[[1, "NaN"], [1, null]]',
       '[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]'"#,
    "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', \
     '{\"x\": null, \"note\": null}', '[]', '[]', '{}', '[]', \
     '[[[[[[[[[[[[[[[[[[[[null]]]]]]]]]]]]]]]]]]]]'",
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     '[[[[[[[[[[[[[[[[[[[[3]]]]]]]]]]]]]]]]]]]]'",
    r#"'{t}', '{9223372036854775807}', '{-0}', '{99999999999999999999999999999999999999}',
       E'{"tab\\\t😀 \\"quoted\\" \\\\"}', '{"\\x"}', '{9999-12-31}',
       '{9999-12-31 23:59:59.999999+00}', '{9999-12-31 23:59:59.999999}',
       '{"x": 9223372036854775807, "note": "tab\t😀 \"quoted\" \\"}',
       '[{"x": 9223372036854775807, "note": "tab\t😀 \"quoted\" \\"}]', '[null]',
       '{"b": "Infinity"}', '[[-7, "-Infinity"]]', '[[[[[[[[[[[[[[[[[[[[4]]]]]]]]]]]]]]]]]]]]'"#,
    r#"'{t,f}', '{1,2}', '{inf,-inf}', '{0,1}', '{NULL,null_text}', '{"\\x61",NULL}',
       '{1970-01-01,1969-12-31}', '{1970-01-01 00:00:00+00,1969-12-31 23:59:59.999999+00}',
       '{1970-01-01 00:00:00,1969-12-31 23:59:59.999999}',
       '{"x": 0, "note": "\u0001"}', '[{"x": 0, "note": "\u0001"}, {"x": 1, "note": null}]',
       '[["tab\t😀 \"quoted\" \\"]]', '{"d": -1e-300, "c": 1e300}', '[[0, 0.0], [2, 0.1]]',
       '[[[[[[[[[[[[[[[[[[[[5]]]]]]]]]]]]]]]]]]]]'"#,
];

/// The lengths of each row's array: elements of the columns below, in order.
const LENGTHS: [Option<usize>; ROWS] = [Some(2), Some(0), None, Some(1), Some(2)];

const TAB: &str = "tab\t😀 \"quoted\" \\";

/// The rows, for an append or an overwrite.
pub(super) fn rows(ids: Ids) -> RecordBatch {
    tables::batch(columns(ids))
}

/// The rows, for a merge that puts each key.
pub(super) fn puts(ids: Ids) -> RecordBatch {
    let ops: ArrayRef = Arc::new(StringArray::from(vec!["put"; ROWS]));
    tables::batch([(OP_COLUMN, ops, false)].into_iter().chain(columns(ids)))
}

fn columns(ids: Ids) -> impl Iterator<Item = (&'static str, ArrayRef, bool)> {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    let all = [arrays(), parts()].concat();
    let all = all.into_iter().map(|(name, values)| (name, values, true));
    [("id", id, false)].into_iter().chain(all)
}

fn arrays() -> Vec<(&'static str, ArrayRef)> {
    let nines = 10_i128.pow(38) - 1;
    let wholes = [Some(-nines), None, Some(nines), Some(0), Some(1)];
    let wholes = Decimal128Array::from_iter(wholes).with_precision_and_scale(38, 0);
    let first = -210_866_803_200_000_000;
    let last = 253_402_300_799_999_999;
    let micros = [Some(first), None, Some(last), Some(0), Some(-1)];
    let micros = TimestampMicrosecondArray::from_iter(micros);
    let booleans = [Some(false), None, Some(true), Some(true), Some(false)];
    let longs = [Some(i64::MIN), None, Some(i64::MAX), Some(1), Some(2)];
    let (nan, infinity) = (Some(f64::NAN), Some(f64::INFINITY));
    let doubles = [nan, None, Some(-0.0), infinity, Some(f64::NEG_INFINITY)];
    let texts = [Some(""), None, Some(TAB), None, Some("null_text")];
    let bytes: [Option<&[u8]>; 5] = [Some(b"\0\xff"), None, Some(b""), Some(b"a"), None];
    let dates = [Some(-2_440_588), None, Some(2_932_896), Some(0), Some(-1)];
    let elements: [(&str, ArrayRef); 9] = [
        ("booleans", Arc::new(BooleanArray::from_iter(booleans))),
        ("longs", Arc::new(Int64Array::from_iter(longs))),
        ("doubles", Arc::new(Float64Array::from_iter(doubles))),
        ("wholes", Arc::new(wholes.unwrap())),
        ("texts", Arc::new(StringArray::from_iter(texts))),
        ("bytes", Arc::new(BinaryArray::from_iter(bytes))),
        ("dates", Arc::new(Date32Array::from_iter(dates))),
        ("instants", Arc::new(micros.clone().with_timezone("UTC"))),
        ("locals", Arc::new(micros)),
    ];
    let lists = elements.map(|(name, elements)| (name, lists(&LENGTHS, elements)));
    lists.to_vec()
}

fn parts() -> Vec<(&'static str, ArrayRef)> {
    let point = points(
        vec![Some(i64::MIN), None, None, Some(i64::MAX), Some(0)],
        vec![Some(""), None, Some("hidden"), Some(TAB), Some("\u{1}")],
        &[true, true, false, true, true],
    );
    let of_points = points(
        vec![Some(i64::MIN), Some(5), Some(i64::MAX), Some(0), Some(1)],
        vec![Some(""), None, Some(TAB), Some("\u{1}"), None],
        &[true, false, true, true, true],
    );
    let inner = StringArray::from(vec![Some(""), None, Some(TAB)]);
    let inner = lists(&[Some(2), Some(0), None, Some(1)], Arc::new(inner));
    let outer = [Some(2), Some(0), None, Some(1), Some(1)];
    let names = StringArray::from(vec!["a", "", "b", "c", "d"]);
    let by_name = [
        Some(1.5),
        None,
        Some(f64::INFINITY),
        Some(1e300),
        Some(-1e-300),
    ];
    let numbers = Int32Array::from(vec![1, 1, -7, 0, 2]);
    let by_number = [
        Some(f64::NAN),
        None,
        Some(f64::NEG_INFINITY),
        Some(0.0),
        Some(0.1),
    ];
    let deepest: ArrayRef = Arc::new(Int32Array::from(vec![
        Some(1),
        None,
        Some(3),
        Some(4),
        Some(5),
    ]));
    let deep = (0..20).fold(deepest, |inner, _| lists(&[Some(1); ROWS], inner));
    vec![
        ("point", point),
        ("points", lists(&LENGTHS, of_points)),
        ("texts_of_texts", lists(&outer, inner)),
        (
            "by_name",
            maps(Arc::new(names), Arc::new(Float64Array::from_iter(by_name))),
        ),
        (
            "by_number",
            maps(
                Arc::new(numbers),
                Arc::new(Float64Array::from_iter(by_number)),
            ),
        ),
        ("deep", deep),
    ]
}

fn points(x: Vec<Option<i64>>, notes: Vec<Option<&str>>, valid: &[bool]) -> ArrayRef {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(x)),
        Arc::new(StringArray::from(notes)),
    ];
    let fields = [("x", &columns[0]), ("note", &columns[1])];
    let fields = fields.map(|(name, array)| Field::new(name, array.data_type().clone(), true));
    let nulls = NullBuffer::from(valid.to_vec());
    Arc::new(StructArray::new(
        Fields::from(fields.to_vec()),
        columns,
        Some(nulls),
    ))
}

fn between(lengths: &[Option<usize>]) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
    let nulls: NullBuffer = lengths
        .iter()
        .map(Option::is_some)
        .collect::<Vec<_>>()
        .into();
    let lengths = lengths.iter().map(|length| length.unwrap_or(0));
    (OffsetBuffer::from_lengths(lengths), Some(nulls))
}

fn lists(lengths: &[Option<usize>], elements: ArrayRef) -> ArrayRef {
    let field = Field::new("element", elements.data_type().clone(), true);
    let (offsets, nulls) = between(lengths);
    Arc::new(ListArray::new(field.into(), offsets, elements, nulls))
}

/// Maps with as many entries as arrays have elements.
pub(super) fn maps(keys: ArrayRef, values: ArrayRef) -> ArrayRef {
    let key = Field::new("key", keys.data_type().clone(), false);
    let value = Field::new("value", values.data_type().clone(), true);
    let entries = StructArray::new(vec![key, value].into(), vec![keys, values], None);
    let field = Field::new("key_value", entries.data_type().clone(), false);
    let (offsets, nulls) = between(&LENGTHS);
    Arc::new(MapArray::new(field.into(), offsets, entries, nulls, false))
}
