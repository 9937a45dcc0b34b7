//! Whole numbers of a file, by the names that their columns have in it: the schema of a table has none
//! of these.

use arrow_array::{Int64Array, RecordBatch, cast::AsArray as _, types::Int64Type};
use arrow_schema::DataType;
use delta_kernel::{
    DeltaResult, FileMeta,
    engine::reader_options,
    parquet::{
        arrow::{
            ProjectionMask, arrow_reader::ArrowReaderMetadata,
            async_reader::ParquetRecordBatchStreamBuilder,
        },
        file::{metadata::ColumnChunkMetaData, statistics::Statistics},
    },
};
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::runtime::Handle;

use super::{Parquet, reader_of, rows_of};
use crate::engine::BATCH_ROWS;

/// Two columns of a file.
pub(crate) struct Numbers {
    /// That the file has.
    pub(crate) rows: usize,
    /// Nothing for a column that has no values.
    pub(crate) columns: [Option<Column>; 2],
    batches: BoxStream<'static, DeltaResult<RecordBatch>>,
    runtime: Handle,
}

/// A column that has values.
pub(crate) struct Column {
    name: String,
    /// The least of them, if the writer told.
    pub(crate) least: Option<i64>,
}

/// Some rows of two columns, in the order of the file.
pub(crate) struct NumberBatch {
    pub(crate) rows: usize,
    /// Nothing for a column that has no values.
    pub(crate) columns: [Option<Int64Array>; 2],
}

impl Parquet {
    /// The columns of `names` in `file`; nothing if there is one that is not of such numbers. Only its
    /// footer is read for now.
    pub(crate) fn numbers(
        &self,
        file: &FileMeta,
        names: [&str; 2],
    ) -> DeltaResult<Option<Numbers>> {
        let mut reader = reader_of(self.store.clone(), file)?;
        let load = ArrowReaderMetadata::load_async(&mut reader, reader_options());
        let footer = self.runtime.block_on(load)?;
        let is_other = |name: &&str| {
            let field = footer.schema().field_with_name(name);
            field.is_ok_and(|field| *field.data_type() != DataType::Int64)
        };
        if names.iter().any(is_other) {
            return Ok(None);
        }
        let found = names.map(|name| column(&footer, name));
        let leaves = found.iter().flatten().map(|(leaf, _)| *leaf);
        let columns = ProjectionMask::leaves(footer.parquet_schema(), leaves);
        let rows = rows_of(footer.metadata().row_groups());
        let batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer)
            .with_batch_size(BATCH_ROWS.get())
            .with_projection(columns)
            .build()?;
        Ok(Some(Numbers {
            rows,
            columns: found.map(|found| found.map(|(_, column)| column)),
            batches: batches.map(|batch| Ok(batch?)).boxed(),
            runtime: self.runtime.clone(),
        }))
    }
}

impl Iterator for Numbers {
    type Item = DeltaResult<NumberBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.runtime.block_on(self.batches.next())?;
        Some(batch.map(|batch| {
            let numbers = |column: &Option<Column>| {
                let numbers = batch.column_by_name(&column.as_ref()?.name)?;
                numbers.as_primitive_opt::<Int64Type>().cloned()
            };
            NumberBatch {
                rows: batch.num_rows(),
                columns: self.columns.each_ref().map(numbers),
            }
        }))
    }
}

/// The column of this name and its place, unless statistics tell that all of it is null.
fn column(footer: &ArrowReaderMetadata, name: &str) -> Option<(usize, Column)> {
    let mut leaves = footer.parquet_schema().columns().iter();
    let leaf = leaves.position(|leaf| leaf.path().parts() == [name])?;
    let groups = footer.metadata().row_groups().iter();
    let chunks: Vec<&ColumnChunkMetaData> = groups.map(|group| group.column(leaf)).collect();
    let nulls = |chunk: &ColumnChunkMetaData| chunk.statistics()?.null_count_opt();
    let is_empty = |chunk: &&ColumnChunkMetaData| {
        nulls(chunk).is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
    };
    if chunks.iter().all(is_empty) {
        return None;
    }
    let least = chunks.iter().filter_map(|chunk| match chunk.statistics()? {
        Statistics::Int64(values) => values.min_opt().copied(),
        _ => None,
    });
    let column = Column {
        name: name.to_owned(),
        least: least.min(),
    };
    Some((leaf, column))
}
