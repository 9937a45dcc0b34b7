//! Values that Arrow holds and Postgres does not. Whole columns are looked at, before a row is
//! written; what lies under a NULL does not count.

use arrow_array::{Array, StringArray};

use super::{
    column::{Column, Digits, Values},
    epoch,
};
use crate::error::Error;

const POLICY: &str = "correct the value in the source, or keep such rows out by the job's filter";

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
