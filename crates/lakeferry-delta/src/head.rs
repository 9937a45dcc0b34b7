//! The newest version of a table, and what a job sees there.
//!
//! While the log stands still a look costs one LIST from the last known commit on. A new version
//! costs the kernel's load of the log and, where the writer left no checksum file, a pass over the
//! list of data files for [`Size`].

use delta_kernel::{Engine, Snapshot, SnapshotRef};
use lakeferry_model::{DeltaVersion, Digest, Head, Instant, Size};

use crate::{
    commit::plus,
    engine::blocking,
    error::{Result, failed},
    files::files_of,
    log,
    shape::Shape,
    table::{Newest, Table, id_of},
};

/// Looks for the newest version.
pub(crate) async fn look(table: &Table) -> Result<Newest> {
    if let Some(newest) = table.newest() {
        let listing = log::list(&table.location, newest.head.version.0).await?;
        let still = listing.commits.get(&newest.head.version.0);
        let same = still
            .zip(newest.file.as_ref())
            .is_some_and(|(one, other)| same_file(one, other));
        if same && listing.newest() == Some(newest.head.version.0) {
            return Ok(newest);
        }
        table.remember(None);
    }
    load(table).await
}

async fn load(table: &Table) -> Result<Newest> {
    let snapshot = table.load(None).await?;
    let version = snapshot.version();
    let listing = log::list(&table.location, version).await?;
    let file = listing.commits.get(&version).cloned();
    let (snapshot, digest) = match file {
        None => (snapshot, None),
        Some(_) => {
            let (snapshot, digest) = pinned(table, version).await?;
            (snapshot, Some(digest))
        }
    };
    // Its columns are the same at every instant.
    let shape = Shape::of(&table.settings, &snapshot, Instant(0))?;
    let size = size_of(table, snapshot.clone()).await?;
    let head = Head {
        table_id: id_of(&snapshot),
        version: DeltaVersion(version),
        digest,
        columns: shape.output,
        size,
    };
    tracing::debug!(
        table = table.name(),
        version,
        files = size.files,
        "looked at the head"
    );
    let newest = Newest {
        head,
        snapshot,
        file,
    };
    table.remember(Some(newest.clone()));
    Ok(newest)
}

/// The table at `version` and the digest of the commit that made it. It is digested before and
/// after the table is loaded, so that no other commit can have come in between.
async fn pinned(table: &Table, version: u64) -> Result<(SnapshotRef, Digest)> {
    let before = log::digest_of(&table.location, version).await?;
    let snapshot = table.load(Some(DeltaVersion(version))).await?;
    let after = log::digest_of(&table.location, version).await?;
    match (before, after) {
        (Some(before), Some(after)) if before == after => Ok((snapshot, after)),
        _ => Err(log::vanished(&table.location, version)),
    }
}

/// What there is to read at `snapshot`, before deletion vectors.
async fn size_of(table: &Table, snapshot: SnapshotRef) -> Result<Size> {
    if let Some(size) = size_in_checksum(&snapshot) {
        return Ok(size);
    }
    let (name, engine) = (table.name().to_owned(), table.engine());
    blocking(table.name(), move || {
        size_of_files(&name, engine.as_ref(), snapshot)
    })
    .await
}

/// The size in a checksum file of this very version, without the rows, which it does not have.
fn size_in_checksum(snapshot: &Snapshot) -> Option<Size> {
    let stats = snapshot.get_file_stats_if_present()?;
    Some(Size {
        files: u64::try_from(stats.num_files()).ok()?,
        bytes: u64::try_from(stats.table_size_bytes()).ok()?,
        rows: None,
    })
}

fn size_of_files(table: &str, engine: &dyn Engine, snapshot: SnapshotRef) -> Result<Size> {
    let scan = snapshot
        .scan_builder()
        .build()
        .map_err(|error| failed(table, "list its files", error))?;
    sum(files_of(table, engine, &scan)?)
}

/// The sum of the sizes of `files`.
pub(crate) fn sum(files: crate::files::Files) -> Result<Size> {
    let empty = Size {
        rows: Some(0),
        ..Size::default()
    };
    files.into_iter().try_fold(empty, |sum, file| {
        let file = file?;
        let size = Size {
            files: 1,
            bytes: u64::try_from(file.size).unwrap_or_default(),
            rows: file.stats.map(|stats| stats.num_records),
        };
        Ok(plus(sum, size))
    })
}

fn same_file(one: &object_store::ObjectMeta, other: &object_store::ObjectMeta) -> bool {
    (one.size, one.last_modified, &one.e_tag) == (other.size, other.last_modified, &other.e_tag)
}
