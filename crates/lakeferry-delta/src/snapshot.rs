//! All rows of one version.

use std::sync::Arc;

use arrow_array::RecordBatch;
use delta_kernel::{
    Predicate, SnapshotRef,
    scan::{Scan, StatsOptions},
};
use lakeferry_model::{DeltaVersion, Watermark};

use crate::{
    engine::blocking,
    error::{Cause, Error, Result, failed},
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
        let read = read(&table, snapshot, shape, outlet).await;
        table.trusting(read)?;
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
        let scan = scan(&name, snapshot, &shape, shape.skips_files())?;
        let files = files_of(&name, lister.as_ref(), &scan)?;
        Ok((FileReader::new(&name, engine, &scan, shape), files))
    })
    .await?;
    let read = reader.read(files, move |rows| outlet.give(rows)).await;
    match read {
        Err(Error::Lost { what, source, .. }) => {
            Err(without_files(table, version, what, source).await)
        }
        read => read,
    }
}

/// Files that are gone are no trouble where there is a newer version: they were vacuumed. In the
/// newest they are damage that no reader can mend.
async fn without_files(table: &Table, version: u64, what: String, source: Option<Cause>) -> Error {
    let name = table.name().to_owned();
    match log::list(&table.location, version).await {
        Err(error) => error,
        Ok(listing) if listing.newest().is_some_and(|newest| newest > version) => Error::Moved {
            table: name,
            what: format!("files of version {version} were removed"),
        },
        Ok(_) => Error::Unreadable {
            table: name,
            what,
            hint: "restore the file, or repair the table with the engine that writes it",
            source,
        },
    }
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
