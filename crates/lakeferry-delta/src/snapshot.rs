//! All rows of one version.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::{
    Predicate, SnapshotRef,
    scan::{Scan, StatsOptions, state::ScanFile},
};
use lakeferry_model::{DeltaVersion, Sign, Watermark};

use crate::{
    engine::blocking,
    error::{Cause, Error, Result, failed},
    files::{FileReader, files_of},
    log,
    part::Part,
    reader::{Batches, Wanted, stream},
    shape::Shape,
    table::Table,
};

/// Larger files are read by several at once, about so many bytes each.
const PART_BYTES: u64 = 16 << 20;

/// Streams the rows at `watermark`.
pub(crate) async fn rows(
    table: Arc<Table>,
    watermark: &Watermark<DeltaVersion>,
) -> Result<Batches<RecordBatch>> {
    of_shape(table, watermark, |shape| shape, |error| error).await
}

/// Streams the rows at `watermark` that have one of `keys`, and those beside them in files and row
/// groups.
pub(crate) async fn rows_of(
    table: Arc<Table>,
    watermark: &Watermark<DeltaVersion>,
    keys: &RecordBatch,
) -> Result<Batches<RecordBatch>> {
    let rows = of_shape(table, watermark, |shape| shape.near(keys), lost).await;
    rows.map_err(lost)
}

/// A version in the middle of what is read does not come back by trying again.
fn lost(error: Error) -> Error {
    match error {
        Error::Moved { table, what } => Error::Lost {
            table,
            what,
            source: None,
        },
        error => error,
    }
}

async fn of_shape(
    table: Arc<Table>,
    watermark: &Watermark<DeltaVersion>,
    shaped: impl FnOnce(Shape) -> Shape,
    told: fn(Error) -> Error,
) -> Result<Batches<RecordBatch>> {
    table.verify(watermark).await?;
    let snapshot = table.load(Some(watermark.version)).await?;
    table.same(watermark, &snapshot)?;
    let shape = Shape::of(&table.settings, &snapshot, watermark.instant)?;
    let shape = Arc::new(shaped(shape));
    let (name, watermark) = (table.name().to_owned(), watermark.clone());
    Ok(stream(&name, |outlet| async move {
        let give = move |_, rows| outlet.give(rows);
        let read = read(&table, snapshot, shape, give).await;
        table.trusting(read).map_err(told)?;
        table.verify(&watermark).await.map_err(told)
    }))
}

/// Hands the rows of `snapshot` in `shape` to `give`, without the files that cannot hold any.
pub(crate) async fn read(
    table: &Table,
    snapshot: SnapshotRef,
    shape: Arc<Shape>,
    give: impl Fn(Sign, RecordBatch) -> Wanted + Clone + Send + 'static,
) -> Result<()> {
    let version = snapshot.version();
    let engine = table.engine();
    let (name, lister) = (table.name().to_owned(), engine.clone());
    let (reader, files) = blocking(table.name(), move || {
        let scan = scan(&name, snapshot, &shape, shape.skips_files())?;
        let files = files_of(&name, lister.as_ref(), &scan)?;
        Ok((FileReader::new(&name, engine, &scan, shape), files))
    })
    .await?;
    let parts = Box::new(files.flat_map(cut));
    match reader.read(parts, give).await.map(drop) {
        Err(Error::Lost { what, source, .. }) => {
            Err(without_files(table, version, what, source).await)
        }
        read => read,
    }
}

fn cut(file: Result<ScanFile>) -> Vec<Result<Part>> {
    match file {
        Ok(file) => Part::cut(file, PART_BYTES).into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

/// Files that are gone are no trouble where there is a newer version: they were vacuumed.
async fn without_files(table: &Table, version: u64, what: String, source: Option<Cause>) -> Error {
    match has_moved_on(table, version, &what).await {
        Ok(()) => Error::Moved {
            table: table.name().to_owned(),
            what: format!("files of version {version} were removed"),
        },
        Err(Error::Unreadable {
            table, what, hint, ..
        }) => Error::Unreadable {
            table,
            what,
            hint,
            source,
        },
        Err(error) => error,
    }
}

/// Whether there is a newer version than the one whose file is gone, as `what` says.
///
/// # Errors
/// [`Error::Unreadable`] if there is none: that is damage, which no reader can mend.
pub(crate) async fn has_moved_on(table: &Table, version: u64, what: &str) -> Result<()> {
    let listing = log::list(&table.location, version).await?;
    if listing.newest().is_some_and(|newest| newest > version) {
        return Ok(());
    }
    Err(Error::Unreadable {
        table: table.name().to_owned(),
        what: what.to_owned(),
        hint: "restore the file, or repair the table with the engine that writes it",
        source: None,
    })
}

/// The scan of `snapshot` in `shape`, without the files that `skip` excludes.
pub(crate) fn scan(
    table: &str,
    snapshot: SnapshotRef,
    shape: &Shape,
    skip: Option<Predicate>,
) -> Result<Scan> {
    let predicate = skip.map(Arc::new);
    let stats = match predicate {
        None => StatsOptions::none(),
        Some(_) => StatsOptions::json_only(),
    };
    snapshot
        .scan_builder()
        .with_schema(shape.read_schema()?)
        .with_predicate(predicate)
        .with_stats(stats)
        .build()
        .map_err(|error| failed(table, "scan it", error))
}
