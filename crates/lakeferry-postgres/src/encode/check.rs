//! Values that Arrow holds and Postgres does not. Whole columns are looked at, before a row is
//! written, by passes without a branch for each value; only where one of them sees something does
//! each value count, and what lies under a NULL does not.

use std::ops::Range;

use arrow_array::{BinaryArray, StringArray};

use super::{
    column::{Column, Values},
    epoch,
    list::{HEAD_BYTES, List},
    numeric,
    scalars::{Digits, Scalars},
};
use crate::error::Error;

const POLICY: &str = "correct the value in the source, or keep such rows out by the job's filter";

/// The most bytes that the values of one row have whose length varies: the server takes no message
/// of 1 GiB and forms no such row. What is left is for its other values and the rows before it in a
/// chunk.
pub(super) const MAX_ROW_BYTES: usize = (1 << 30) - (4 << 20);

/// The most elements of an array (`MaxArraySize` in `src/include/utils/array.h`).
const MAX_ELEMENTS: usize = ((1 << 30) - 1) / 8;

/// What stands before each value.
const LENGTH_BYTES: usize = 4;

/// A value that Postgres cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) row: usize,
    /// Its place among the columns.
    pub(crate) column: usize,
    /// Said of the value: `a text with …`.
    pub(crate) what: String,
}

/// Says that `column`, in words, holds a value that Postgres cannot.
pub(crate) fn refusal(column: &str, what: &str) -> Error {
    Error::bad_row(format!("column {column} holds {what}")).advise(POLICY)
}

/// The rows that are longer than `limit` bytes, each by its longest value.
pub(super) fn long_rows(columns: &[Column<'_>], rows: usize, limit: usize) -> Vec<Fault> {
    // A batch that is no longer has no row that is.
    let all = |column: &Column<'_>| column.most_bytes(&(0..rows));
    if columns.iter().map(all).sum::<usize>() <= limit {
        return Vec::new();
    }
    let fault = |row| {
        let lengths = columns.iter().map(|column| column.bytes_of(row));
        let total: usize = lengths.clone().sum();
        let (column, bytes) = lengths.enumerate().max_by_key(|(_, bytes)| *bytes)?;
        (total > limit).then(|| Fault {
            row,
            column,
            what: format!(
                "a value of {bytes} bytes in a row of {total}, and postgres holds less than 1 GiB"
            ),
        })
    };
    (0..rows).filter_map(fault).collect()
}

impl Column<'_> {
    /// What Postgres cannot hold of the values of `rows`, which are all; `place` is the column's.
    pub(super) fn faults(&self, place: usize, rows: usize) -> Vec<Fault> {
        if !self.suspect(&(0..rows)) {
            return Vec::new();
        }
        let fault = |row| {
            let (column, what) = (place, self.fault(row)?);
            Some(Fault { row, column, what })
        };
        (0..rows).filter_map(fault).collect()
    }

    fn suspect(&self, rows: &Range<usize>) -> bool {
        match &self.values {
            Values::Scalars(scalars) => scalars.suspect(rows),
            Values::Lists(lists) => lists.suspect(rows),
            Values::Json(json) => json.suspect(rows),
        }
    }

    fn fault(&self, row: usize) -> Option<String> {
        match &self.values {
            _ if self.is_null(row) => None,
            Values::Scalars(scalars) => scalars.fault(row),
            Values::Lists(lists) => lists.fault(row),
            Values::Json(json) => json.fault(row),
        }
    }

    /// How many bytes the value of `row` has, if its length varies.
    fn bytes_of(&self, row: usize) -> usize {
        match &self.values {
            _ if self.is_null(row) => 0,
            Values::Scalars(scalars) => scalars.bytes(&(row..row + 1)),
            Values::Lists(lists) => lists.most_bytes(&(row..row + 1)),
            Values::Json(json) => json.written(row),
        }
    }

    /// As [`Column::bytes_of`] for all of `rows`, or more.
    fn most_bytes(&self, rows: &Range<usize>) -> usize {
        match &self.values {
            Values::Scalars(scalars) => scalars.bytes(rows),
            Values::Lists(lists) => lists.most_bytes(rows),
            Values::Json(json) => json.most_bytes(rows),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

impl Scalars<'_> {
    /// Whether any value of `rows` may be at fault, under a NULL or not.
    fn suspect(&self, rows: &Range<usize>) -> bool {
        match self {
            Self::Text(array) => has_nul(array, rows),
            Self::Date(days) => any(&days[rows.clone()], |day| !epoch::DATES.contains(&day)),
            Self::Timestamp(micros) => any(&micros[rows.clone()], is_before_all),
            Self::Decimal(values, digits) => {
                let limit = digits.limit();
                any(&values[rows.clone()], |value| value.unsigned_abs() >= limit)
            }
            _ => false,
        }
    }

    /// What Postgres cannot hold of the value of `row`, which is not null.
    fn fault(&self, row: usize) -> Option<String> {
        match self {
            Self::Text(array) => (array.value(row).as_bytes().contains(&0))
                .then(|| "a text with the character NUL, which postgres cannot hold".to_owned()),
            Self::Date(days) => date_fault(days[row]),
            Self::Timestamp(micros) => is_before_all(micros[row])
                .then(|| "a timestamp before 4714-11-24 BC, the first of postgres".to_owned()),
            Self::Decimal(values, digits) => {
                let Digits { precision, scale } = *digits;
                (values[row].unsigned_abs() >= digits.limit()).then(|| {
                    format!("a number with more digits than numeric({precision},{scale}) has")
                })
            }
            _ => None,
        }
    }

    /// How many bytes each value has at most, unless it is a text or binary.
    fn fixed_bytes(&self) -> usize {
        match self {
            Self::Boolean(_) => 1,
            Self::Int8(_) | Self::Int16(_) => 2,
            Self::Int32(_) | Self::Float32(_) | Self::Date(_) => 4,
            Self::Int64(_) | Self::Float64(_) | Self::Timestamp(_) => 8,
            Self::Decimal(..) => numeric::MAX_BYTES,
            Self::Text(_) | Self::Bytes(_) => 0,
        }
    }

    /// How many bytes the values of `rows` have, if their length varies.
    fn bytes(&self, rows: &Range<usize>) -> usize {
        match self {
            Self::Text(array) => text_bytes(array, rows),
            Self::Bytes(array) => binary_bytes(array, rows),
            _ => 0,
        }
    }
}

impl List<'_> {
    fn suspect(&self, rows: &Range<usize>) -> bool {
        let elements = self.elements_of(rows);
        elements.len() > MAX_ELEMENTS || self.elements.suspect(&elements)
    }

    fn fault(&self, row: usize) -> Option<String> {
        let mut elements = self.elements_of(&(row..row + 1));
        let count = elements.len();
        if count > MAX_ELEMENTS {
            return Some(format!(
                "an array of {count} elements, and postgres holds at most {MAX_ELEMENTS}"
            ));
        }
        let is_null = |element| self.nulls.is_some_and(|nulls| nulls.is_null(element));
        elements.find_map(|element| {
            (!is_null(element))
                .then(|| self.elements.fault(element))
                .flatten()
        })
    }

    /// How many bytes the arrays of `rows` have at most.
    fn most_bytes(&self, rows: &Range<usize>) -> usize {
        let elements = self.elements_of(rows);
        let each = LENGTH_BYTES + self.elements.fixed_bytes();
        self.elements.bytes(&elements)
            + (LENGTH_BYTES + HEAD_BYTES) * rows.len()
            + each * elements.len()
    }
}

impl Digits {
    /// The least magnitude that has too many digits.
    fn limit(self) -> u128 {
        10_u128.pow(self.precision.into())
    }
}

/// Whether `is_bad` holds for any of `values`; no branch in it.
fn any<T: Copy>(values: &[T], is_bad: impl Fn(T) -> bool) -> bool {
    values.iter().fold(false, |bad, value| bad | is_bad(*value))
}

fn is_before_all(micros: i64) -> bool {
    micros < *epoch::TIMESTAMPS.start()
}

fn date_fault(day: i32) -> Option<String> {
    if day < *epoch::DATES.start() {
        return Some("a date before 4714-11-24 BC, the first of postgres".to_owned());
    }
    (day > *epoch::DATES.end())
        .then(|| "a date after the year 5874897, the last of postgres".to_owned())
}

/// Whether NUL is among the characters of `rows`.
pub(super) fn has_nul(array: &StringArray, rows: &Range<usize>) -> bool {
    let offsets = array.value_offsets();
    let bytes = offsets[rows.start] as usize..offsets[rows.end] as usize;
    array.value_data()[bytes].contains(&0)
}

/// How many bytes the texts of `rows` have.
pub(super) fn text_bytes(array: &StringArray, rows: &Range<usize>) -> usize {
    let offsets = array.value_offsets();
    offsets[rows.end].abs_diff(offsets[rows.start]) as usize
}

/// How many bytes the binaries of `rows` have.
pub(super) fn binary_bytes(array: &BinaryArray, rows: &Range<usize>) -> usize {
    let offsets = array.value_offsets();
    offsets[rows.end].abs_diff(offsets[rows.start]) as usize
}
