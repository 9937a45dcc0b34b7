//! Scalars of a batch, their array known by type.

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use bytes::BytesMut;

use super::{epoch, numeric};
use crate::type_map::Scalar;

/// The arrays that [`Scalar`] admits.
#[derive(Debug)]
pub(super) enum Scalars<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], Digits),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a [i32]),
    Timestamp(&'a [i64]),
}

/// Precision and scale of a decimal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    pub(super) precision: u8,
    pub(super) scale: u8,
}

impl<'a> Scalars<'a> {
    /// None if `array` is not what `scalar` holds.
    pub(super) fn of(scalar: Scalar, array: &'a ArrayRef) -> Option<Self> {
        let any = array.as_any();
        Some(match scalar {
            Scalar::Boolean => Self::Boolean(any.downcast_ref::<BooleanArray>()?),
            Scalar::SmallInt => match any.downcast_ref::<Int8Array>() {
                Some(array) => Self::Int8(array.values()),
                None => Self::Int16(any.downcast_ref::<Int16Array>()?.values()),
            },
            Scalar::Integer => Self::Int32(any.downcast_ref::<Int32Array>()?.values()),
            Scalar::BigInt => Self::Int64(any.downcast_ref::<Int64Array>()?.values()),
            Scalar::Real => Self::Float32(any.downcast_ref::<Float32Array>()?.values()),
            Scalar::DoublePrecision => Self::Float64(any.downcast_ref::<Float64Array>()?.values()),
            Scalar::Numeric { precision, scale } => {
                let array = any.downcast_ref::<Decimal128Array>()?;
                // The unit of the values: another scale would silently mean other numbers.
                let same = i8::try_from(scale).is_ok_and(|scale| scale == array.scale());
                same.then(|| Self::Decimal(array.values(), Digits { precision, scale }))?
            }
            Scalar::Text => Self::Text(any.downcast_ref::<StringArray>()?),
            Scalar::Bytea => Self::Bytes(any.downcast_ref::<BinaryArray>()?),
            Scalar::Date => Self::Date(any.downcast_ref::<Date32Array>()?.values()),
            Scalar::Timestamp | Scalar::TimestampTz => {
                Self::Timestamp(any.downcast_ref::<TimestampMicrosecondArray>()?.values())
            }
        })
    }

    /// Appends the value of `row`, which is not null, with its length. Always inlined, so that a row
    /// of scalars is written without a call for a value: else it is a fifth slower.
    #[inline(always)]
    pub(super) fn write(&self, row: usize, out: &mut BytesMut) {
        match self {
            Self::Boolean(array) => put(out, [0, 0, 0, 1, array.value(row).into()]),
            Self::Int8(values) => put(out, two_bytes(values[row].into())),
            Self::Int16(values) => put(out, two_bytes(values[row])),
            Self::Int32(values) => put(out, four_bytes(values[row].to_be_bytes())),
            Self::Int64(values) => put(out, eight_bytes(values[row].to_be_bytes())),
            Self::Float32(values) => put(out, four_bytes(values[row].to_be_bytes())),
            Self::Float64(values) => put(out, eight_bytes(values[row].to_be_bytes())),
            Self::Decimal(values, digits) => numeric::write(values[row], digits.scale, out),
            Self::Text(array) => put_slice(out, array.value(row).as_bytes()),
            Self::Bytes(array) => put_slice(out, array.value(row)),
            Self::Date(values) => put(out, four_bytes(epoch::date(values[row]).to_be_bytes())),
            Self::Timestamp(values) => {
                put(
                    out,
                    eight_bytes(epoch::timestamp(values[row]).to_be_bytes()),
                );
            }
        }
    }
}

/// Appends `bytes`. Out of line on purpose: the length is a constant here, so the copy is a store,
/// and the rare growth of the buffer does not spread into every caller.
#[inline(never)]
pub(super) fn put<const N: usize>(out: &mut BytesMut, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

#[inline]
fn put_slice(out: &mut BytesMut, bytes: &[u8]) {
    // Arrow's offsets are 32 bits and signed, so every length fits.
    put(out, (bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[inline]
fn two_bytes(value: i16) -> [u8; 6] {
    let [a, b] = value.to_be_bytes();
    [0, 0, 0, 2, a, b]
}

#[inline]
fn four_bytes([a, b, c, d]: [u8; 4]) -> [u8; 8] {
    [0, 0, 0, 4, a, b, c, d]
}

#[inline]
fn eight_bytes([a, b, c, d, e, f, g, h]: [u8; 8]) -> [u8; 12] {
    [0, 0, 0, 8, a, b, c, d, e, f, g, h]
}
