//! The rows of in-memory tables: a key, a value and the columns that the filter looks at.

use std::{sync::Arc, time::Duration};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use lakeferry_model::{Instant, Sign};

/// The key of every in-memory table.
pub const KEY: &str = "id";

/// How long a row with a time passes a filter that looks at it.
pub const WINDOW: Duration = Duration::from_secs(10);

/// A filter that looks at time moves in steps of this length.
pub const STEP: Duration = Duration::from_secs(5);

/// A row as it stands in a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub id: Option<i64>,
    pub value: Option<String>,
    /// Not synced; the filter is `hot`, so `None` is UNKNOWN and not TRUE.
    pub hot: Option<bool>,
    /// Not synced. A filter that looks at time lets a row with a time pass from then on for
    /// [`WINDOW`], and one without always.
    pub seen: Option<Instant>,
}

/// The filter of every in-memory job: TRUE, not merely not FALSE.
pub fn is_hot(row: &Row) -> bool {
    row.hot == Some(true)
}

/// The filter of jobs that look at time: `hot AND (seen IS NULL OR seen <= now AND seen > now −
/// WINDOW)`.
pub(crate) fn is_hot_at(row: &Row, now: Instant) -> bool {
    let begins = now.0.saturating_sub(micros(WINDOW));
    is_hot(row) && row.seen.is_none_or(|seen| seen <= now && seen.0 > begins)
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The job's columns: all but the one that only the filter looks at.
pub fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(KEY, DataType::Int64, true),
        Field::new("value", DataType::Utf8, true),
    ]))
}

/// The job's columns of `rows`.
pub fn batch<'a>(rows: impl IntoIterator<Item = &'a Row>) -> RecordBatch {
    let (ids, values): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .map(|row| (row.id, row.value.clone()))
        .unzip();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(StringArray::from(values)),
    ];
    RecordBatch::try_new(columns(), arrays).expect("both columns have the declared type")
}

/// The keys and values in a batch of the job's columns.
pub fn rows_of(batch: &RecordBatch) -> Vec<(Option<i64>, Option<String>)> {
    let ids = batch
        .column(0)
        .as_primitive::<arrow_array::types::Int64Type>();
    let values = batch.column(1).as_string::<i32>();
    (0..batch.num_rows())
        .map(|row| {
            let id = ids.is_valid(row).then(|| ids.value(row));
            (
                id,
                values.is_valid(row).then(|| values.value(row).to_owned()),
            )
        })
        .collect()
}

/// A change and its row.
pub(crate) type SignedRow = (Sign, Row);
