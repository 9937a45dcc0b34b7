//! TPC-H's lineitem table at any scale: much data that everybody knows.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader as _};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

use crate::DeltaTable;

const ROWS_PER_BATCH: usize = 8192;

/// The columns of lineitem, its text as plain Utf8.
pub fn lineitem_columns() -> SchemaRef {
    let generator = LineItemArrow::new(LineItemGenerator::new(0.001, 1, 1));
    plain(&generator.schema())
}

/// The rows of lineitem at `scale` (1.0 is six million rows): part `part` (from 1) of `parts` equal
/// parts, in the order of the key.
pub fn lineitem(scale: f64, part: u16, parts: u16) -> anyhow::Result<Vec<RecordBatch>> {
    let generator = LineItemGenerator::new(scale, part.into(), parts.into());
    LineItemArrow::new(generator)
        .with_batch_size(ROWS_PER_BATCH)
        .map(|batch| Ok(plainly(&batch?)?))
        .collect()
}

/// Appends the rows of lineitem at `scale`, one commit for each of `commits` equal parts. Returns
/// how many rows came.
pub async fn append_lineitem(
    table: &mut DeltaTable,
    scale: f64,
    commits: u16,
) -> anyhow::Result<usize> {
    let mut rows = 0;
    for part in 1..=commits {
        let batches = lineitem(scale, part, commits)?;
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        table.append_all(batches).await?;
    }
    Ok(rows)
}

fn plain(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plainly(batch: &RecordBatch) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let schema = plain(&batch.schema());
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema, columns)
}
