//! Rows as binary COPY takes them (Postgres manual, COPY, "Binary Format"): every value of a
//! batch arrives in Postgres exactly, or the batch is refused before a byte of it is written.
//!
//! Checks run over whole columns, before; so the loop that writes rows cannot fail, and does
//! neither allocate nor call through a pointer for a value.
//!
//! Scalars and arrays of scalars go out in Postgres's own binary forms; what else has parts goes
//! out as jsonb, in the forms that [`json`] lists.

mod check;
mod column;
mod convert;
mod epoch;
mod json;
mod list;
mod numeric;
mod scalars;

#[cfg(test)]
mod tests;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use bytes::BytesMut;

pub(crate) use self::{
    check::{Fault, refusal},
    convert::Conversion,
    epoch::{DATES, TIMESTAMPS, checked_timestamp, days_since_1970, micros_since_1970},
    json::JsonRows,
};
use self::{
    check::{MAX_ROW_BYTES, long_rows},
    column::Column,
    scalars::put,
};
use crate::{error::Error, type_map::PgType};

/// What stands before the first row: signature, flags, length of the header's extension.
pub const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What stands after the last row.
pub const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// The most columns of a Postgres table (`MaxHeapAttributeNumber`).
const MAX_COLUMNS: usize = 1600;

/// Writes the rows of one schema.
#[derive(Clone, Debug)]
pub struct Encoder {
    columns: Vec<(String, PgType, Conversion)>,
}

impl Encoder {
    /// Prepares for batches of `schema`.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] naming the first column whose type Postgres has no match for, or
    /// if there are more columns than a table can have.
    pub fn new(schema: &Schema) -> Result<Self, Error> {
        let fields = schema.fields().iter();
        let columns = fields
            .map(|field| Ok((field.name().clone(), PgType::of(field)?, Conversion::None)))
            .collect::<Result<_, Error>>()?;
        Self::of(columns)
    }

    /// Prepares for batches of these columns, written as these types once they are converted. An
    /// array of scalars may be jsonb.
    ///
    /// # Errors
    /// As [`Encoder::new`], if there are more columns than a table can have.
    pub(crate) fn of(columns: Vec<(String, PgType, Conversion)>) -> Result<Self, Error> {
        let count = columns.len();
        if count >= MAX_COLUMNS {
            return Err(Error::needs_operator(format!(
                "the source has {count} columns, a postgres table at most {MAX_COLUMNS}"
            ))
            .advise("choose fewer columns"));
        }
        Ok(Self { columns })
    }

    /// The rows of `batch`, checked. With a `mark`, each row begins with one more column of type
    /// `"char"` that holds it.
    ///
    /// # Errors
    /// [`Error::BadRow`] naming the column that holds a value Postgres cannot;
    /// [`Error::Bug`] if `batch` is not of the schema.
    pub fn rows<'a>(&self, batch: &'a RecordBatch, mark: Option<u8>) -> Result<Rows<'a>, Error> {
        self.checked(batch, mark)?.map_err(|faults| {
            let named = faults.first().and_then(|fault| {
                let (name, ..) = self.columns.get(fault.column)?;
                Some(refusal(&format!("{name:?}"), &fault.what))
            });
            named.unwrap_or_else(|| Error::bug("a batch was refused without a fault"))
        })
    }

    /// `batch` in the types that it is written as, or all of it that these do not hold.
    ///
    /// # Errors
    /// [`Error::Bug`] if `batch` is not of the schema.
    pub(crate) fn converted(
        &self,
        batch: &RecordBatch,
    ) -> Result<Result<RecordBatch, Vec<Fault>>, Error> {
        let is_plain =
            |(.., conversion): &(String, PgType, Conversion)| *conversion == Conversion::None;
        if self.columns.iter().all(is_plain) {
            return Ok(Ok(batch.clone()));
        }
        let columns = self.columns.iter();
        let columns =
            columns.map(|(name, postgres, conversion)| (name.as_str(), *postgres, *conversion));
        convert::batch(columns, batch)
    }

    /// As [`Encoder::rows`], or all that Postgres cannot hold of them, at least one.
    ///
    /// # Errors
    /// [`Error::Bug`] if `batch` is not of the schema.
    pub(crate) fn checked<'a>(
        &self,
        batch: &'a RecordBatch,
        mark: Option<u8>,
    ) -> Result<Result<Rows<'a>, Vec<Fault>>, Error> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::bug(format!(
                "a batch has {} columns and not {}",
                batch.num_columns(),
                self.columns.len()
            )));
        }
        let columns = (self.columns.iter().zip(batch.columns()))
            .map(|((name, postgres, _), array)| Column::of(name, *postgres, array))
            .collect::<Result<Vec<_>, Error>>()?;
        let end = batch.num_rows();
        let places = columns.iter().enumerate();
        let mut faults: Vec<_> = places
            .flat_map(|(place, column)| column.faults(place, end))
            .collect();
        if faults.is_empty() {
            faults = long_rows(&columns, end, MAX_ROW_BYTES);
        }
        if !faults.is_empty() {
            return Ok(Err(faults));
        }
        Ok(Ok(Rows {
            columns,
            start: RowStart::new(self.columns.len(), mark),
            next: 0,
            end,
        }))
    }
}

/// The rows of one batch on their way out.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: Vec<Column<'a>>,
    start: RowStart,
    next: usize,
    end: usize,
}

impl Rows<'_> {
    /// Appends rows to `out` until it holds `enough` bytes or all rows are written. Says whether
    /// rows are left.
    pub fn write(&mut self, out: &mut BytesMut, enough: usize) -> bool {
        while self.next < self.end && out.len() < enough {
            self.start.write(out);
            for column in &self.columns {
                column.write(self.next, out);
            }
            self.next += 1;
        }
        self.next < self.end
    }
}

/// What opens a row: the count of its columns, and the mark where there is one.
#[derive(Clone, Copy, Debug)]
enum RowStart {
    Plain([u8; 2]),
    Marked([u8; 7]),
}

impl RowStart {
    fn new(columns: usize, mark: Option<u8>) -> Self {
        let count = |columns: usize| u16::try_from(columns).unwrap_or(u16::MAX).to_be_bytes();
        match mark {
            None => Self::Plain(count(columns)),
            Some(mark) => {
                let [high, low] = count(columns + 1);
                Self::Marked([high, low, 0, 0, 0, 1, mark])
            }
        }
    }

    fn write(self, out: &mut BytesMut) {
        match self {
            Self::Plain(bytes) => put(out, bytes),
            Self::Marked(bytes) => put(out, bytes),
        }
    }
}
