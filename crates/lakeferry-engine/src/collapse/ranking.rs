//! The order of rows that have one key: by the column of `dedupe_by`, NULL lowest; where that is
//! equal, by all columns, as bytes of the Arrow row format. Both are total, so the greatest row of a
//! key is the same whichever way it is come by.

use std::cmp::Ordering;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::Schema;

use super::{CollapseError, keys::canonical};

/// Compares rows of certain columns.
pub(crate) struct Ranking {
    by: usize,
    first: RowConverter,
    whole: RowConverter,
}

/// A row of a batch.
type RowOf<'a> = (&'a RecordBatch, usize);

impl Ranking {
    /// # Errors
    /// [`CollapseError::NoRankColumn`], and an Arrow error if a column's type has no order.
    pub(crate) fn new(columns: &Schema, by: &str) -> Result<Self, CollapseError> {
        let by = columns
            .index_of(by)
            .map_err(|_| CollapseError::NoRankColumn(by.to_owned()))?;
        let field = |at: usize| SortField::new(columns.field(at).data_type().clone());
        Ok(Self {
            by,
            first: RowConverter::new(vec![field(by)])?,
            whole: RowConverter::new((0..columns.fields().len()).map(field).collect())?,
        })
    }

    /// Whether `one` is greater than `other`.
    pub(super) fn beats(&self, one: RowOf<'_>, other: RowOf<'_>) -> Result<bool, CollapseError> {
        let first = |(rows, row): RowOf<'_>| vec![canonical(&rows.column(self.by).slice(row, 1))];
        let ordering = compare(&self.first, &first(one), &first(other))?;
        if ordering != Ordering::Equal {
            return Ok(ordering == Ordering::Greater);
        }
        let whole = |(rows, row): RowOf<'_>| rows.slice(row, 1).columns().to_vec();
        Ok(compare(&self.whole, &whole(one), &whole(other))? == Ordering::Greater)
    }
}

fn compare(
    by: &RowConverter,
    one: &[ArrayRef],
    other: &[ArrayRef],
) -> Result<Ordering, CollapseError> {
    let (one, other) = (by.convert_columns(one)?, by.convert_columns(other)?);
    Ok(one.row(0).cmp(&other.row(0)))
}
