//! Eight rows of every scalar type, each with another value in each column: as Arrow, and the same
//! by hand as SQL literals.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use lakeferry_delta_testkit::OP_COLUMN;

use crate::tables;

/// How many rows there are.
pub(super) const ROWS: usize = 8;

/// The keys that the rows get, in order.
pub(super) type Ids = [i64; ROWS];

/// What Arrow has of a column: the third row has no value.
type Values<T> = [T; ROWS - 1];

const DECIMAL_38: i128 = 10_i128.pow(38) - 1;

const BOOLEANS: Values<bool> = [false, true, true, false, true, false, true];
const BYTES: Values<i8> = [i8::MIN, i8::MAX, 0, -1, 1, 10, 99];
const SHORTS: Values<i16> = [i16::MIN, i16::MAX, 0, -1, 1, 1_000, 9_999];
const INTS: Values<i32> = [i32::MIN, i32::MAX, 0, -1, 1, 10_000, 99_999_999];
const LONGS: Values<i64> = [i64::MIN, i64::MAX, 0, -1, 1, 10_000, 9_999_999_999_999_999];
const FLOATS: Values<f32> = [
    f32::MIN,
    f32::MAX,
    f32::NAN,
    -0.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    1e-45,
];
const DOUBLES: Values<f64> = [
    f64::MIN,
    f64::MAX,
    f64::NAN,
    -0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    5e-324,
];
const CENTS: Values<i128> = [-9_999_999_999, 9_999_999_999, 0, -1, 1, 1_000_000, 10];
const WHOLES: Values<i128> = [
    -DECIMAL_38,
    DECIMAL_38,
    0,
    -1,
    1,
    10_i128.pow(37),
    99_999_999,
];
const FRACTIONS: Values<i128> = [
    -DECIMAL_38,
    DECIMAL_38,
    0,
    -1,
    1,
    10_i128.pow(37),
    9_999 * 10_i128.pow(30),
];
const TEXTS: Values<&str> = [
    "",
    "null",
    "\\N",
    "tab\tline\nreturn\rquote\"'\\",
    "😀 e\u{301} \u{fffd} \u{1}",
    " spaces ",
    "a,b",
];
const BINARIES: Values<&[u8]> = [
    b"",
    b"\0",
    b"\xff\0\xff",
    b"\\x41",
    b"\xc3\x28",
    b"\n\r",
    b"abc",
];
/// Since 1970-01-01.
const DAYS: Values<i32> = [-2_440_588, 2_932_896, 0, -1, 1, 11_016, -719_162];
/// Since 1970-01-01 00:00.
const MICROS: Values<i64> = [
    -210_866_803_200_000_000,
    253_402_300_799_999_999,
    0,
    -1,
    1,
    951_825_600_000_000,
    -62_135_596_800_000_000,
];

/// The types by the name of the column.
pub(super) const TYPES: &str = "\
id bigint PRIMARY KEY, boolean boolean, byte smallint, short smallint, int integer, long bigint, \
float real, double double precision, cents numeric(10,2), whole numeric(38,0), \
fraction numeric(38,38), text text, bytes bytea, date date, \
instant timestamp with time zone, local timestamp without time zone";

/// The values, less their keys.
pub(super) const VALUES: [&str; ROWS] = [
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
    let instants = TimestampMicrosecondArray::from(with_null(MICROS)).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 15] = [
        ("boolean", Arc::new(BooleanArray::from(with_null(BOOLEANS)))),
        ("byte", Arc::new(Int8Array::from(with_null(BYTES)))),
        ("short", Arc::new(Int16Array::from(with_null(SHORTS)))),
        ("int", Arc::new(Int32Array::from(with_null(INTS)))),
        ("long", Arc::new(Int64Array::from(with_null(LONGS)))),
        ("float", Arc::new(Float32Array::from(with_null(FLOATS)))),
        ("double", Arc::new(Float64Array::from(with_null(DOUBLES)))),
        ("cents", decimals(10, 2, CENTS)),
        ("whole", decimals(38, 0, WHOLES)),
        ("fraction", decimals(38, 38, FRACTIONS)),
        ("text", Arc::new(StringArray::from(with_null(TEXTS)))),
        ("bytes", Arc::new(BinaryArray::from(with_null(BINARIES)))),
        ("date", Arc::new(Date32Array::from(with_null(DAYS)))),
        ("instant", Arc::new(instants)),
        (
            "local",
            Arc::new(TimestampMicrosecondArray::from(with_null(MICROS))),
        ),
    ];
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    let columns = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    [("id", id, false)].into_iter().chain(columns)
}

fn decimals(precision: u8, scale: i8, values: Values<i128>) -> ArrayRef {
    let array = Decimal128Array::from(with_null(values));
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

fn with_null<T: Copy>(values: Values<T>) -> Vec<Option<T>> {
    let [first, second, rest @ ..] = values.map(Some);
    [first, second, None].into_iter().chain(rest).collect()
}
