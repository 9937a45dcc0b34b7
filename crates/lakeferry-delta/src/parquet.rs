//! Parquet files to batches, for the kernel.
//!
//! The kernel's own handler takes the same number of rows a batch whatever their width, and reads
//! INT96 as nanoseconds, which wrap around without a word before 1677 and after 2262. So the steps
//! of that handler are taken here, with a look at each file's footer before:
//!
//! * A batch has as many rows as make [`BATCH_BYTES`] on the average of a row group, one at least
//!   and [`BATCH_ROWS`] at most. What repeated values take is known only where the writer left
//!   size statistics.
//! * INT96 is read as microseconds, which is what Delta's timestamps are.
//! * What the kernel cannot make into the table's types is made so here ([`in_schema`]).

mod in_schema;
mod numbers;

use std::{iter, ops::Range, sync::Arc};

use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, Field, FieldRef, Schema, TimeUnit};
use delta_kernel::{
    DeltaResult, DeltaResultIteratorStatic, Engine, EngineData, Error as KernelError,
    EvaluationHandler, FileDataReadResultIterator, FileMeta, JsonHandler, ParquetFooter,
    ParquetHandler, PredicateRef, StorageHandler,
    engine::{
        arrow_utils::{
            RowIndexBuilder, fixup_parquet_read, ordering_needs_row_indexes, parquet_read_plan,
        },
        parquet_row_group_skipping::ParquetRowGroupSkipping as _,
        reader_options,
    },
    parquet::{
        arrow::{
            ProjectionMask,
            arrow_reader::{ArrowReaderMetadata, RowSelection},
            async_reader::{self, ParquetRecordBatchStreamBuilder},
        },
        basic::Type as PhysicalType,
        file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, RowGroupMetaData},
    },
    schema::SchemaRef,
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use object_store::{ObjectStore, path::Path as StorePath};
use tokio::runtime::Handle;
use url::Url;

pub(crate) use self::numbers::{NumberBatch, Numbers};
use crate::engine::BATCH_ROWS;

/// Bytes of a batch: several are held at once, by each reader and by those that wait.
const BATCH_BYTES: u64 = 8 << 20;

/// The kernel's engine, but for how it reads Parquet.
pub(crate) struct WithParquet {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) parquet: Arc<Parquet>,
}

impl Engine for WithParquet {
    fn evaluation_handler(&self) -> Arc<dyn EvaluationHandler> {
        self.engine.evaluation_handler()
    }

    fn storage_handler(&self) -> Arc<dyn StorageHandler> {
        self.engine.storage_handler()
    }

    fn json_handler(&self) -> Arc<dyn JsonHandler> {
        self.engine.json_handler()
    }

    fn parquet_handler(&self) -> Arc<dyn ParquetHandler> {
        self.parquet.clone()
    }
}

/// Reads Parquet files of `store` on the threads of its callers, one file after the other.
pub(crate) struct Parquet {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) runtime: Handle,
    /// What is done for all but the rows.
    pub(crate) kernels: Arc<dyn ParquetHandler>,
}

/// Which rows of a file are read: all, but for what this says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Not the row groups that it excludes.
    pub(crate) predicate: Option<PredicateRef>,
    /// Only the row groups that begin between these bytes.
    pub(crate) stretch: Option<Range<u64>>,
    /// Only these, one by one, of all that the file has: the two before cannot be asked for as well.
    pub(crate) only: Option<BooleanBuffer>,
}

impl Parquet {
    /// As the kernel reads files, but only these rows.
    pub(crate) fn read(
        &self,
        files: &[FileMeta],
        physical_schema: SchemaRef,
        rows: Rows,
    ) -> DeltaResult<FileDataReadResultIterator> {
        let (store, runtime) = (self.store.clone(), self.runtime.clone());
        let open = move |file| open(store.clone(), file, physical_schema.clone(), rows.clone());
        let batches = stream::iter(files.to_vec()).then(open).try_flatten();
        let mut batches = Box::pin(batches.fuse());
        Ok(Box::new(iter::from_fn(move || {
            runtime.block_on(batches.next())
        })))
    }
}

impl ParquetHandler for Parquet {
    fn read_parquet_files(
        &self,
        files: &[FileMeta],
        physical_schema: SchemaRef,
        predicate: Option<PredicateRef>,
    ) -> DeltaResult<FileDataReadResultIterator> {
        let rows = Rows {
            predicate,
            ..Rows::default()
        };
        self.read(files, physical_schema, rows)
    }

    fn write_parquet_file(
        &self,
        location: Url,
        data: DeltaResultIteratorStatic<Box<dyn EngineData>>,
    ) -> DeltaResult<()> {
        self.kernels.write_parquet_file(location, data)
    }

    fn read_parquet_footer(&self, file: &FileMeta) -> DeltaResult<ParquetFooter> {
        self.kernels.read_parquet_footer(file)
    }
}

#[expect(
    deprecated,
    reason = "the kernel reads with it too; what replaces it is an example to copy"
)]
type FileReader = async_reader::ParquetObjectReader;

fn reader_of(store: Arc<dyn ObjectStore>, file: &FileMeta) -> DeltaResult<FileReader> {
    let path = StorePath::from_url_path(file.location.path())?;
    let reader = FileReader::new(store, path);
    Ok(match file.size {
        0 => reader,
        size => reader.with_file_size(size),
    })
}

/// The batches of these rows of `file`, in the columns of `schema`.
async fn open(
    store: Arc<dyn ObjectStore>,
    file: FileMeta,
    schema: SchemaRef,
    rows: Rows,
) -> DeltaResult<impl Stream<Item = DeltaResult<Box<dyn EngineData>>> + Send> {
    let Rows {
        predicate,
        stretch,
        only,
    } = rows;
    let mut reader = reader_of(store, &file)?;
    let pages = match only {
        // Pages without any of the rows are neither fetched nor decoded.
        Some(_) => PageIndexPolicy::Optional,
        None => PageIndexPolicy::Skip,
    };
    let options = reader_options().with_offset_index_policy(pages);
    let footer = ArrowReaderMetadata::load_async(&mut reader, options).await?;
    let footer = match &stretch {
        Some(stretch) => within(&footer, stretch)?,
        None => footer,
    };
    let footer = in_microseconds(footer)?;
    let (ordering, columns) = match in_schema::beyond_kernel(&schema, footer.schema()) {
        true => (None, Some(in_schema::columns(&schema, &footer))),
        false => {
            let (ordering, columns) = parquet_read_plan(&schema, &footer)?;
            (Some(ordering), columns)
        }
    };
    let row_groups = footer.metadata().row_groups();
    let mut indexes = ordering
        .as_ref()
        .is_some_and(|ordering| ordering_needs_row_indexes(ordering))
        .then(|| RowIndexBuilder::new(row_groups));
    if indexes.is_some() && (stretch.is_some() || only.is_some()) {
        let why = "the rows of a part of a file have no numbers";
        return Err(KernelError::generic(why));
    }
    if only
        .as_ref()
        .is_some_and(|only| only.len() != rows_of(row_groups))
    {
        return Err(KernelError::generic("it has other rows than it had before"));
    }
    let rows = batch_rows(row_groups, columns.as_ref());
    let mut builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer).with_batch_size(rows);
    if let Some(columns) = columns {
        builder = builder.with_projection(columns);
    }
    if let Some(predicate) = predicate {
        builder = builder.with_row_group_filter(predicate.as_ref(), indexes.as_mut());
    }
    if let Some(only) = only {
        builder = builder.with_row_selection(RowSelection::from_boolean_buffer(only));
    }
    let mut indexes = indexes.map(RowIndexBuilder::build).transpose()?;
    let location = file.location.to_string();
    let batches = builder.build()?.map(move |batch| {
        let batch = match &ordering {
            None => in_schema::in_schema(&batch?, &schema)?,
            Some(ordering) => {
                let (place, schema) = (Some(location.as_str()), Some(&schema));
                fixup_parquet_read(batch?, ordering, indexes.as_mut(), place, schema)?
            }
        };
        Ok(Box::new(batch) as Box<dyn EngineData>)
    });
    Ok(batches)
}

/// `footer`, with the row groups that begin in `stretch` alone.
fn within(footer: &ArrowReaderMetadata, stretch: &Range<u64>) -> DeltaResult<ArrowReaderMetadata> {
    let mut metadata = ParquetMetaData::clone(footer.metadata()).into_builder();
    let groups = metadata.take_row_groups().into_iter();
    let begins_within = |group: &RowGroupMetaData| {
        let begins = group.columns().iter().map(|chunk| chunk.byte_range().0);
        begins.min().is_some_and(|begin| stretch.contains(&begin))
    };
    let metadata = metadata
        .set_row_groups(groups.filter(begins_within).collect())
        // Those are of all row groups, and not read with.
        .set_column_index(None)
        .set_offset_index(None)
        .build();
    Ok(ArrowReaderMetadata::try_new(
        Arc::new(metadata),
        reader_options(),
    )?)
}

/// `footer`, with INT96 columns as microseconds, at any depth.
fn in_microseconds(footer: ArrowReaderMetadata) -> DeltaResult<ArrowReaderMetadata> {
    let leaves = footer.parquet_schema().columns().iter();
    let mut are_int96 = leaves.map(|leaf| leaf.physical_type() == PhysicalType::INT96);
    if !are_int96.clone().any(|is_int96| is_int96) {
        return Ok(footer);
    }
    let fields = footer.schema().fields().iter();
    let fields = fields.map(|field| with_microseconds(field, &mut are_int96));
    let metadata = footer.schema().metadata().clone();
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata);
    let options = reader_options().with_schema(Arc::new(schema));
    let footer = ArrowReaderMetadata::try_new(footer.metadata().clone(), options)?;
    Ok(footer)
}

/// `field`, whose leaves are the next of `are_int96`: both are in the order of the file.
fn with_microseconds(field: &FieldRef, are_int96: &mut impl Iterator<Item = bool>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::List(element) => DataType::List(with_microseconds(element, are_int96)),
        DataType::Map(entry, ordered) => {
            DataType::Map(with_microseconds(entry, are_int96), *ordered)
        }
        DataType::Struct(fields) => {
            let fields = fields.iter();
            DataType::Struct(
                fields
                    .map(|field| with_microseconds(field, are_int96))
                    .collect(),
            )
        }
        leaf => match are_int96.next() {
            Some(true) => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => leaf.clone(),
        },
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// How many rows there are.
fn rows_of(row_groups: &[RowGroupMetaData]) -> usize {
    let rows = row_groups.iter().map(RowGroupMetaData::num_rows);
    usize::try_from(rows.sum::<i64>()).unwrap_or_default()
}

/// How many rows a batch of `columns` has in a file of `row_groups`.
fn batch_rows(row_groups: &[RowGroupMetaData], columns: Option<&ProjectionMask>) -> usize {
    let fit = row_groups.iter().map(|group| {
        let read = group.columns().iter().enumerate();
        let read = read.filter(|(index, _)| columns.is_none_or(|mask| mask.leaf_included(*index)));
        let bytes: u64 = read.map(|(_, chunk)| decoded_bytes(chunk)).sum();
        let rows = u64::try_from(group.num_rows()).unwrap_or_default();
        let row_bytes = bytes / rows.max(1);
        BATCH_BYTES / row_bytes.max(1)
    });
    let fit = fit.min().and_then(|rows| usize::try_from(rows).ok());
    fit.unwrap_or(usize::MAX).clamp(1, BATCH_ROWS.get())
}

/// What the values of `chunk` take in memory, as far as the footer tells.
fn decoded_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    let values = chunk.unencoded_byte_array_data_bytes().unwrap_or_default();
    let bytes = values.max(chunk.uncompressed_size());
    u64::try_from(bytes).unwrap_or_default()
}
