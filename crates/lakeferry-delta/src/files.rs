//! Data files to rows: several files at once, in bounded memory.
//!
//! A reader holds at most the bytes of one row group and a batch of bounded size, so what is read at once is bounded by the
//! sizes of the files: together they stay under [`AT_ONCE_MIB`], but for one that alone is larger.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_buffer::BooleanBufferBuilder;
use delta_kernel::{
    DeltaResult, Engine, EngineData, FileDataReadResultIterator, FileMeta, PredicateRef,
    actions::deletion_vector::split_vector,
    engine::arrow_data::EngineDataArrowExt as _,
    scan::{
        Scan, ScanMetadata,
        state::{ScanFile, transform_to_logical},
    },
    schema::SchemaRef,
};
use futures_util::future::try_join_all;
use lakeferry_model::Sign;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
};
use url::Url;

use crate::{
    engine::blocking,
    error::{Error, Kind, Result, cause, failed, kind_of},
    parquet::{Numbers, Rows, WithParquet},
    part::Part,
    reader::Wanted,
    shape::Shape,
};

const AT_ONCE_MIB: u32 = 64;
const MOST_READERS: usize = 4;

/// Reads files of one scan.
pub(crate) struct FileReader {
    table: String,
    engine: Arc<WithParquet>,
    root: Url,
    physical: SchemaRef,
    logical: SchemaRef,
    shape: Arc<Shape>,
    row_groups: Option<PredicateRef>,
    budget: Semaphore,
}

/// The files of a scan, listed as they are asked for.
pub(crate) type Files = Box<dyn Iterator<Item = Result<ScanFile>> + Send>;

/// Parts of files, listed as they are asked for.
pub(crate) type Parts = Box<dyn Iterator<Item = Result<Part>> + Send>;

impl FileReader {
    pub(crate) fn new(
        table: &str,
        engine: Arc<WithParquet>,
        scan: &Scan,
        shape: Arc<Shape>,
    ) -> Arc<Self> {
        Arc::new(Self {
            table: table.to_owned(),
            engine,
            root: scan.table_root().clone(),
            physical: scan.physical_schema().clone(),
            logical: scan.logical_schema().clone(),
            row_groups: shape.skips_row_groups().map(Arc::new),
            shape,
            budget: Semaphore::new(AT_ONCE_MIB as usize),
        })
    }

    /// Reads `parts`, several at once and else in their order, and hands their rows to `give`,
    /// batches without rows as well. Tells whether anybody wanted all of them.
    pub(crate) async fn read(
        self: &Arc<Self>,
        parts: Parts,
        give: impl Fn(Sign, RecordBatch) -> Wanted + Clone + Send + 'static,
    ) -> Result<Wanted> {
        let parts = Arc::new(Mutex::new(parts));
        let readers = (0..readers()).map(|_| {
            let (reader, parts, give) = (Arc::clone(self), Arc::clone(&parts), give.clone());
            async move {
                let table = reader.table.clone();
                blocking(&table, move || reader.read_some(&parts, &give)).await
            }
        });
        let ends = try_join_all(readers).await?;
        Ok(match ends.contains(&Wanted::NoMore) {
            true => Wanted::NoMore,
            false => Wanted::More,
        })
    }

    /// Reads `parts` one after the other; several of these may be under way at once.
    pub(crate) async fn read_one_by_one(
        self: &Arc<Self>,
        parts: Vec<Part>,
        give: impl Fn(RecordBatch) -> Wanted + Send + 'static,
    ) -> Result<()> {
        let parts = parts.into_iter().map(Ok);
        let (reader, parts) = (Arc::clone(self), Mutex::new(Parts::from(Box::new(parts))));
        let table = reader.table.clone();
        blocking(&table, move || {
            reader.read_some(&parts, &|_, rows| give(rows))
        })
        .await
        .map(drop)
    }

    /// Takes parts until none is left or nobody wants more.
    fn read_some(
        &self,
        parts: &Mutex<Parts>,
        give: &impl Fn(Sign, RecordBatch) -> Wanted,
    ) -> Result<Wanted> {
        loop {
            let next = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(part) = next else {
                return Ok(Wanted::More);
            };
            if self.read_part(&part?, give)? == Wanted::NoMore {
                return Ok(Wanted::NoMore);
            }
        }
    }

    /// Hands over the rows of `part`.
    fn read_part(
        &self,
        part: &Part,
        give: &impl Fn(Sign, RecordBatch) -> Wanted,
    ) -> Result<Wanted> {
        let file = &part.file;
        let _claim = self.claim(part)?;
        let failed = |error| self.failed(part, error);
        let engine = self.engine.as_ref();
        let mut selection = match &part.only {
            Some(_) => None,
            None => part.selection(engine, &self.root).map_err(failed)?,
        };
        let rest = part.deleted_by.is_some().then_some(false);
        for batch in self.open(part, selection.is_some()).map_err(failed)? {
            let mut logical = batch
                .and_then(|batch| self.logical(batch, file))
                .map_err(failed)?;
            let mut mine = selection.take();
            selection = split_vector(mine.as_mut(), logical.len(), rest);
            if let Some(mine) = mine {
                logical = logical.apply_selection_vector(mine).map_err(failed)?;
            }
            let batch = logical.try_into_record_batch().map_err(failed)?;
            for (sign, rows) in self.shape.signed(part.sign, &batch)? {
                if give(sign, rows) == Wanted::NoMore {
                    return Ok(Wanted::NoMore);
                }
            }
            if rest.is_some() && selection.is_none() {
                break;
            }
        }
        Ok(Wanted::More)
    }

    /// Which of the `rows` that the file of `part` has are in it.
    pub(crate) fn in_part(&self, part: &Part, rows: usize) -> Result<BooleanBufferBuilder> {
        let told = part
            .selection(self.engine.as_ref(), &self.root)
            .map_err(|error| self.failed(part, error))?;
        let mut told = told.unwrap_or_default();
        told.truncate(rows);
        let mut all = BooleanBufferBuilder::new(rows);
        all.append_slice(&told);
        all.append_n(rows - told.len(), part.deleted_by.is_none());
        Ok(all)
    }

    /// The numbers in the columns of these names of the file of `part`, see [`Numbers`].
    pub(crate) fn numbers(&self, part: &Part, names: [&str; 2]) -> Result<Option<Numbers>> {
        self.meta(part)
            .and_then(|file| self.engine.parquet.numbers(&file, names))
            .map_err(|error| self.failed(part, error))
    }

    /// The error of a file that could not be read.
    pub(crate) fn failed(&self, part: &Part, error: delta_kernel::Error) -> Error {
        file_failed(&self.table, &part.file.path, error)
    }

    /// Waits until `part` fits into the budget.
    fn claim(&self, part: &Part) -> Result<SemaphorePermit<'_>> {
        let mebibytes = u32::try_from(part.bytes() >> 20).unwrap_or(AT_ONCE_MIB);
        let claim = self.budget.acquire_many(mebibytes.clamp(1, AT_ONCE_MIB));
        Handle::current()
            .block_on(claim)
            .map_err(|closed| Error::Broken {
                table: self.table.clone(),
                what: "the reading budget is closed".to_owned(),
                source: Some(Box::new(closed)),
            })
    }

    /// The batches of `part` as stored. A deletion vector counts the rows of the whole file: with
    /// one, no row group is skipped.
    fn open(&self, part: &Part, deletions: bool) -> DeltaResult<FileDataReadResultIterator> {
        let (stretch, only) = (part.stretch.clone(), part.only.clone());
        let predicate = self.row_groups.clone();
        let rows = Rows {
            predicate: predicate.filter(|_| !deletions && only.is_none()),
            stretch,
            only,
        };
        let parquet = &self.engine.parquet;
        parquet.read(&[self.meta(part)?], self.physical.clone(), rows)
    }

    fn meta(&self, part: &Part) -> DeltaResult<FileMeta> {
        Ok(FileMeta {
            location: self.root.join(&part.file.path)?,
            last_modified: 0,
            size: u64::try_from(part.file.size).unwrap_or_default(),
        })
    }

    /// A batch as stored, in the table's columns.
    fn logical(
        &self,
        batch: Box<dyn EngineData>,
        file: &ScanFile,
    ) -> DeltaResult<Box<dyn EngineData>> {
        let engine = self.engine.as_ref();
        let transform = file.transform.clone();
        transform_to_logical(engine, batch, &self.physical, &self.logical, transform)
    }
}

/// The error of a data file that could not be read.
pub(crate) fn file_failed(table: &str, path: &str, error: delta_kernel::Error) -> Error {
    match kind_of(&error) {
        Kind::Missing => Error::Lost {
            table: table.to_owned(),
            what: format!("{path} is in the log and no longer in storage"),
            source: Some(cause(error)),
        },
        _ => failed(table, &format!("read {path}"), error),
    }
}

/// The files of `scan` that are live in its snapshot, after skipping.
pub(crate) fn files_of(table: &str, engine: &dyn Engine, scan: &Scan) -> Result<Files> {
    let batches = scan
        .scan_metadata(engine)
        .map_err(|error| failed(table, "list its files", error))?;
    let table = table.to_owned();
    Ok(Box::new(
        batches.flat_map(move |batch| listed(&table, batch)),
    ))
}

/// The files of one batch of scan metadata.
pub(crate) fn listed(table: &str, batch: DeltaResult<ScanMetadata>) -> Vec<Result<ScanFile>> {
    match batch.and_then(|batch| batch.visit_scan_files(Vec::new(), Vec::push)) {
        Ok(files) => files.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(failed(table, "list its files", error))],
    }
}

fn readers() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_READERS)
}
