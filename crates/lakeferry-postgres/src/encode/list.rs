//! Arrays of scalars as Postgres sends them (`array_send` in
//! `src/backend/utils/adt/arrayfuncs.c`): number of dimensions, whether nulls are among them, the
//! element's type, length and lower bound of the dimension, then each element with its length.

use std::ops::Range;

use arrow_array::{Array, ArrayRef, ListArray};
use arrow_buffer::NullBuffer;
use bytes::BytesMut;

use super::{
    column::{NULL, some_nulls},
    scalars::{Scalars, put},
};
use crate::type_map::Scalar;

/// What stands before the elements of an array that has some, without its length.
pub(super) const HEAD_BYTES: usize = 20;

const ONE: [u8; 4] = 1_i32.to_be_bytes();

/// A column of arrays.
#[derive(Debug)]
pub(super) struct List<'a> {
    pub(super) offsets: &'a [i32],
    /// Of all rows, and perhaps of others beside them.
    pub(super) elements: Scalars<'a>,
    pub(super) nulls: Option<&'a NullBuffer>,
    oid: u32,
}

impl<'a> List<'a> {
    /// None if `array` is no list of `element`.
    pub(super) fn of(element: Scalar, array: &'a ArrayRef) -> Option<Self> {
        let lists = array.as_any().downcast_ref::<ListArray>()?;
        Some(Self {
            offsets: lists.value_offsets(),
            elements: Scalars::of(element, lists.values())?,
            nulls: some_nulls(lists.values()),
            oid: element.oid(),
        })
    }

    /// Where the elements of `rows` are.
    pub(super) fn elements_of(&self, rows: &Range<usize>) -> Range<usize> {
        span(self.offsets, rows)
    }

    /// Appends the array of `row`, which is not null, with its length.
    #[inline(never)]
    pub(super) fn write(&self, row: usize, out: &mut BytesMut) {
        let elements = self.elements_of(&(row..row + 1));
        if elements.is_empty() {
            return put(out, empty(self.oid));
        }
        let start = out.len();
        let nulls =
            (self.nulls).filter(|nulls| elements.clone().any(|element| nulls.is_null(element)));
        put(out, [0; 4]);
        put(out, ONE);
        put(out, i32::from(nulls.is_some()).to_be_bytes());
        put(out, self.oid.to_be_bytes());
        // Offsets are 32 bits and signed, so every length fits.
        put(out, (elements.len() as i32).to_be_bytes());
        put(out, ONE);
        for element in elements {
            match nulls {
                Some(nulls) if nulls.is_null(element) => put(out, NULL),
                _ => self.elements.write(element, out),
            }
        }
        put_length(start, out);
    }
}

/// An array without elements has no dimension.
fn empty(oid: u32) -> [u8; 16] {
    let [a, b, c, d] = oid.to_be_bytes();
    [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

/// Where the parts of `rows` are that lie between `offsets`.
pub(super) fn span(offsets: &[i32], rows: &Range<usize>) -> Range<usize> {
    offsets[rows.start] as usize..offsets[rows.end] as usize
}

/// Writes the length of what follows the four bytes at `start`. Longer than 32 bits it is only
/// where rows were not checked.
pub(super) fn put_length(start: usize, out: &mut BytesMut) {
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
