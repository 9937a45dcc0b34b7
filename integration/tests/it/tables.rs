//! Small Delta tables that most tests write: a key `id` and a `word`.

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lakeferry_delta_testkit::{DeltaTable, NewTable, OP_COLUMN};

/// The rows of a small table.
pub(crate) type Words<'a> = &'a [(i64, Option<&'a str>)];

/// Makes a small table with `rows` in its version 1.
pub(crate) async fn create(path: &Path, table: NewTable, rows: Words<'_>) -> DeltaTable {
    let rows = words(rows);
    let mut table = DeltaTable::create(path, &rows.schema(), table)
        .await
        .unwrap();
    table.append(rows).await.unwrap();
    table
}

/// Rows for an append or an overwrite.
pub(crate) fn words(rows: Words<'_>) -> RecordBatch {
    batch(columns(rows))
}

/// Rows for a merge: each puts its key.
pub(crate) fn puts(rows: Words<'_>) -> RecordBatch {
    merged(rows, "put")
}

/// Rows for a merge: each deletes its key.
pub(crate) fn deletes(ids: &[i64]) -> RecordBatch {
    merged(
        &ids.iter().map(|&id| (id, None)).collect::<Vec<_>>(),
        "delete",
    )
}

fn merged(rows: Words<'_>, op: &str) -> RecordBatch {
    let ops = StringArray::from_iter_values(rows.iter().map(|_| op));
    let op: (&str, ArrayRef, bool) = (OP_COLUMN, Arc::new(ops), false);
    batch([op].into_iter().chain(columns(rows)))
}

fn columns(rows: Words<'_>) -> [(&'static str, ArrayRef, bool); 2] {
    let ids = Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id));
    let words: StringArray = rows.iter().map(|(_, word)| *word).collect();
    [
        ("id", Arc::new(ids), false),
        ("word", Arc::new(words), true),
    ]
}

/// A batch of named columns, each with whether it may hold nulls.
pub(crate) fn batch<'a>(
    columns: impl IntoIterator<Item = (&'a str, ArrayRef, bool)>,
) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}
