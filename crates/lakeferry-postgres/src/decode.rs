//! Values as the server sends them (the `_send` functions of its types), back into arrays: the way
//! of [`crate::encode`] in the other direction. Rows that were staged are read so, a few at a time.

use std::{error::Error as StdError, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Field;
use lakeferry_model::JSON;
use tokio_postgres::types::{FromSql, Type};

use crate::{
    encode::{days_since_1970, micros_since_1970},
    type_map::{PgType, Scalar},
};

/// What stands before the text of a jsonb: the version of its format.
const JSONB_VERSION: u8 = 1;

/// The digits of a numeric are of this base.
const NUMERIC_BASE_DIGITS: i32 = 4;

const NEGATIVE: u16 = 0x4000;

/// A value of any type, as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Sent<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
impl<'a> Sent<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

/// A column called `name` of these values; none if one is not of the type.
pub(crate) fn column(
    name: &str,
    postgres: PgType,
    values: &[Option<Sent<'_>>],
) -> Option<(Field, ArrayRef)> {
    let array = match postgres {
        PgType::Scalar(scalar) => scalars(scalar, values)?,
        PgType::Array(element) => lists(element, values)?,
        PgType::Jsonb => Arc::new(StringArray::from(parsed(values, json)?)),
        // Read back in the type of the source.
        PgType::Asked(_) => return None,
    };
    let field = Field::new(name, array.data_type().clone(), true);
    let field = match postgres {
        PgType::Jsonb => {
            let of_json = ("ARROW:extension:name".to_owned(), JSON.to_owned());
            field.with_metadata([of_json].into())
        }
        _ => field,
    };
    Some((field, array))
}

fn scalars(scalar: Scalar, values: &[Option<Sent<'_>>]) -> Option<ArrayRef> {
    let array: ArrayRef = match scalar {
        Scalar::Boolean => Arc::new(BooleanArray::from(parsed(values, |value| {
            Some(fixed::<1>(value)? != [0])
        })?)),
        Scalar::SmallInt => Arc::new(Int16Array::from(parsed(values, |value| {
            Some(i16::from_be_bytes(fixed(value)?))
        })?)),
        Scalar::Integer => Arc::new(Int32Array::from(parsed(values, |value| {
            Some(i32::from_be_bytes(fixed(value)?))
        })?)),
        Scalar::BigInt => Arc::new(Int64Array::from(parsed(values, long)?)),
        Scalar::Real => Arc::new(Float32Array::from(parsed(values, |value| {
            Some(f32::from_be_bytes(fixed(value)?))
        })?)),
        Scalar::DoublePrecision => Arc::new(Float64Array::from(parsed(values, |value| {
            Some(f64::from_be_bytes(fixed(value)?))
        })?)),
        Scalar::Numeric { precision, scale } => {
            let unscaled = parsed(values, |value| numeric(value, scale))?;
            let scale = i8::try_from(scale).ok()?;
            let array = Decimal128Array::from(unscaled).with_precision_and_scale(precision, scale);
            Arc::new(array.ok()?)
        }
        Scalar::Text => Arc::new(StringArray::from(parsed(values, text)?)),
        Scalar::Bytea => {
            let bytes: Vec<Option<&[u8]>> = values.iter().map(|value| Some((*value)?.0)).collect();
            Arc::new(BinaryArray::from(bytes))
        }
        Scalar::Date => Arc::new(Date32Array::from(parsed(values, |value| {
            days_since_1970(i32::from_be_bytes(fixed(value)?))
        })?)),
        Scalar::Timestamp | Scalar::TimestampTz => {
            let micros = parsed(values, |value| micros_since_1970(long(value)?))?;
            let zone = (scalar == Scalar::TimestampTz).then_some("UTC");
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone_opt(zone))
        }
    };
    Some(array)
}

/// Arrays of one dimension; see `encode::list` for their form.
fn lists(element: Scalar, values: &[Option<Sent<'_>>]) -> Option<ArrayRef> {
    let (mut elements, mut lengths) = (Vec::new(), Vec::new());
    for value in values {
        let before = elements.len();
        if let Some(Sent(bytes)) = value {
            take_elements(bytes, &mut elements)?;
        }
        lengths.push(elements.len() - before);
    }
    let array = scalars(element, &elements)?;
    let field = Field::new("element", array.data_type().clone(), true);
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
    let lists = ListArray::try_new(field.into(), offsets, array, Some(nulls));
    Some(Arc::new(lists.ok()?))
}

fn take_elements<'a>(bytes: &'a [u8], elements: &mut Vec<Option<Sent<'a>>>) -> Option<()> {
    let (dimensions, rest) = bytes.split_first_chunk::<4>()?;
    if i32::from_be_bytes(*dimensions) == 0 {
        return Some(());
    }
    // Whether there are nulls, the element's type, how many, and from which number on.
    let (head, mut rest) = rest.split_first_chunk::<16>()?;
    for _ in 0..i32::from_be_bytes(fixed(&head[8..12])?) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                let (value, after) = after.split_at_checked(length)?;
                elements.push(Some(Sent(value)));
                rest = after;
            }
            Err(_) => {
                elements.push(None);
                rest = after;
            }
        }
    }
    Some(())
}

fn parsed<'a, T>(
    values: &[Option<Sent<'a>>],
    parse: impl Fn(&'a [u8]) -> Option<T>,
) -> Option<Vec<Option<T>>> {
    let parsed = values.iter().map(|value| match value {
        Some(Sent(bytes)) => parse(bytes).map(Some),
        None => Some(None),
    });
    parsed.collect()
}

fn fixed<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

fn long(value: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(fixed(value)?))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn json(value: &[u8]) -> Option<&str> {
    text(value.strip_prefix(&[JSONB_VERSION])?)
}

/// The value of a numeric with this scale, times ten to the power of it.
fn numeric(value: &[u8], scale: u8) -> Option<i128> {
    let (head, digits) = value.split_first_chunk::<8>()?;
    let [_, _, w0, w1, s0, s1, _, _] = *head;
    let weight = i32::from(i16::from_be_bytes([w0, w1]));
    let mut magnitude = 0_i128;
    for (digit, place) in digits.chunks_exact(2).zip(0..) {
        let digit = i128::from(i16::from_be_bytes(fixed(digit)?));
        let power = (weight - place) * NUMERIC_BASE_DIGITS + i32::from(scale);
        let unit = 10_i128.checked_pow(power.unsigned_abs())?;
        magnitude += match power < 0 {
            true => digit / unit,
            false => digit.checked_mul(unit)?,
        };
    }
    match u16::from_be_bytes([s0, s1]) {
        0 => Some(magnitude),
        NEGATIVE => Some(-magnitude),
        // NaN and the infinities, which no decimal of the source is.
        _ => None,
    }
}
