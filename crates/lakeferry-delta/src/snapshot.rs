//! All rows of one version.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::{
    PredicateRef, SnapshotRef,
    scan::{Scan, StatsOptions},
};
use lakeferry_model::{DeltaVersion, Watermark};

use crate::{
    engine::blocking,
    error::{Error, Result, failed},
    files::{FileReader, files_of},
    log,
    reader::{Batches, Outlet, stream},
    shape::Shape,
    table::Table,
};

/// Streams the rows at `watermark`.
pub(crate) async fn rows(
    table: Arc<Table>,
    watermark: &Watermark<DeltaVersion>,
) -> Result<Batches<RecordBatch>> {
    table.verify(watermark).await?;
    let snapshot = table.load(Some(watermark.version)).await?;
    table.same(watermark, &snapshot)?;
    let shape = Arc::new(Shape::of(&table.settings, &snapshot)?);
    let (name, watermark) = (table.name().to_owned(), watermark.clone());
    Ok(stream(&name, |outlet| async move {
        read(&table, snapshot, shape, outlet).await?;
        table.verify(&watermark).await
    }))
}

async fn read(
    table: &Table,
    snapshot: SnapshotRef,
    shape: Arc<Shape>,
    outlet: Outlet<RecordBatch>,
) -> Result<()> {
    let version = snapshot.version();
    let engine = table.engine();
    let (name, lister) = (table.name().to_owned(), engine.clone());
    let (reader, files) = blocking(table.name(), move || {
        let scan = scan(&name, snapshot, &shape)?;
        let files = files_of(&name, lister.as_ref(), &scan)?;
        Ok((FileReader::new(&name, engine, &scan, shape), files))
    })
    .await?;
    let read = reader.read(files, move |rows| outlet.give(rows)).await;
    match read {
        Err(lost @ Error::Lost { .. }) => Err(superseded(table, version).await?.unwrap_or(lost)),
        read => read,
    }
}

/// A version whose files are gone is no loss where there is a newer one: it was vacuumed.
async fn superseded(table: &Table, version: u64) -> Result<Option<Error>> {
    let newest = log::list(&table.location, version).await?.newest();
    Ok(newest
        .filter(|&newest| newest > version)
        .map(|newest| Error::Moved {
            table: table.name().to_owned(),
            what: format!("files of version {version} were removed after version {newest} came"),
        }))
}

/// The scan of `snapshot` in `shape`, with the filter's skipping.
pub(crate) fn scan(table: &str, snapshot: SnapshotRef, shape: &Shape) -> Result<Scan> {
    let predicate: Option<PredicateRef> = shape.skips_files().map(Arc::new);
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
