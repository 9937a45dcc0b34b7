//! The rows of in-memory tables: a key, a value and the column that the filter looks at.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use lakeferry_model::Sign;

/// The key of every in-memory table.
pub const KEY: &str = "id";

/// A row as it stands in a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub id: Option<i64>,
    pub value: Option<String>,
    /// Not synced; the filter is `hot`, so `None` is UNKNOWN and not TRUE.
    pub hot: Option<bool>,
}

/// The filter of every in-memory job: TRUE, not merely not FALSE.
pub fn is_hot(row: &Row) -> bool {
    row.hot == Some(true)
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
