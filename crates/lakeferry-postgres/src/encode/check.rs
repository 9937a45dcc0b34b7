//! Values that Arrow holds and Postgres does not. Whole columns are looked at, before a row is
//! written; what lies under a NULL does not count.

use arrow_array::{Array, StringArray};

use super::{
    column::{Column, Digits, Values},
    epoch,
};
use crate::error::Error;

const POLICY: &str = "correct the value in the source, or keep such rows out by the job's filter";

/// The most bytes that the texts and binaries of one row have: the server takes no message of 1 GiB
/// and forms no such row. What is left is for its other values and the rows before it in a chunk.
pub(super) const MAX_ROW_BYTES: usize = (1 << 30) - (4 << 20);

/// # Errors
/// [`Error::BadRow`] naming the longest column of the first row that is longer than `limit` bytes.
pub(super) fn refuse_long_rows<'a>(
    columns: &[Column<'_>],
    names: impl Iterator<Item = &'a str> + Clone,
    rows: usize,
    limit: usize,
) -> Result<(), Error> {
    // A batch that is no longer has no row that is.
    if columns.iter().map(Column::bytes).sum::<usize>() <= limit {
        return Ok(());
    }
    for row in 0..rows {
        let lengths = columns.iter().map(|column| column.bytes_of(row));
        let total: usize = lengths.clone().sum();
        if total > limit {
            let longest = names.clone().zip(lengths).max_by_key(|(_, bytes)| *bytes);
            let (name, bytes) = longest.unwrap_or_default();
            return Err(Error::bad_row(format!(
                "column {name:?} holds a value of {bytes} bytes in a row of {total}, and postgres \
                 holds less than 1 GiB"
            ))
            .advise(POLICY));
        }
    }
    Ok(())
}

impl Column<'_> {
    /// # Errors
    /// [`Error::BadRow`] naming the column, if a value cannot be held.
    pub(super) fn check(&self, name: &str) -> Result<(), Error> {
        let found = match &self.values {
            Values::Text(array) => self.text_with_nul(array),
            Values::Date(days) => self.date_outside(days),
            Values::Timestamp(micros) => self.timestamp_outside(micros),
            Values::Decimal(values, digits) => self.decimal_outside(values, *digits),
            _ => None,
        };
        match found {
            None => Ok(()),
            Some(what) => {
                Err(Error::bad_row(format!("column {name:?} holds {what}")).advise(POLICY))
            }
        }
    }

    /// How many bytes the value of `row` has, if its length varies.
    fn bytes_of(&self, row: usize) -> usize {
        match &self.values {
            _ if !self.is_valid(row) => 0,
            Values::Text(array) => array.value_length(row).unsigned_abs() as usize,
            Values::Bytes(array) => array.value_length(row).unsigned_abs() as usize,
            _ => 0,
        }
    }

    /// How many bytes all values have whose length varies, NULL or not.
    fn bytes(&self) -> usize {
        let span = |offsets: &[i32]| match (offsets.first(), offsets.last()) {
            (Some(first), Some(last)) => last.abs_diff(*first) as usize,
            _ => 0,
        };
        match &self.values {
            Values::Text(array) => span(array.value_offsets()),
            Values::Bytes(array) => span(array.value_offsets()),
            _ => 0,
        }
    }

    fn is_valid(&self, row: usize) -> bool {
        self.nulls.is_none_or(|nulls| nulls.is_valid(row))
    }

    /// Whether any value for which `is_bad` holds counts.
    fn any<T: Copy>(&self, values: &[T], is_bad: impl Fn(T) -> bool) -> bool {
        // The first pass has no branch in it; the second is for the rare batch that has one.
        let suspect = values.iter().fold(false, |bad, value| bad | is_bad(*value));
        suspect && (0..values.len()).any(|row| is_bad(values[row]) && self.is_valid(row))
    }

    fn text_with_nul(&self, array: &StringArray) -> Option<String> {
        let offsets = array.value_offsets();
        let (first, last) = (offsets.first()?, offsets.last()?);
        let bytes = &array.value_data()[*first as usize..*last as usize];
        let bad = bytes.contains(&0)
            && (0..array.len())
                .any(|row| self.is_valid(row) && array.value(row).as_bytes().contains(&0));
        bad.then(|| "a text with the character NUL, which postgres cannot hold".to_owned())
    }

    fn date_outside(&self, days: &[i32]) -> Option<String> {
        if self.any(days, |day| day < *epoch::DATES.start()) {
            return Some("a date before 4714-11-24 BC, the first of postgres".to_owned());
        }
        self.any(days, |day| day > *epoch::DATES.end())
            .then(|| "a date after the year 5874897, the last of postgres".to_owned())
    }

    fn timestamp_outside(&self, micros: &[i64]) -> Option<String> {
        self.any(micros, |micros| micros < *epoch::TIMESTAMPS.start())
            .then(|| "a timestamp before 4714-11-24 BC, the first of postgres".to_owned())
    }

    fn decimal_outside(&self, values: &[i128], digits: Digits) -> Option<String> {
        let Digits { precision, scale } = digits;
        let limit = 10_u128.pow(precision.into());
        self.any(values, |value| value.unsigned_abs() >= limit)
            .then(|| format!("a number with more digits than numeric({precision},{scale}) has"))
    }
}
