//! The newest version of a table, and what a job sees there.
//!
//! While the log stands still a look costs one LIST from the last known commit on. From a version that
//! is known to a newer one only the commits in between are read, if they tell all; else a new version
//! costs the kernel's load of the log and, where the writer left no checksum file, a pass over the list
//! of data files for [`Size`].

use delta_kernel::{Engine, Snapshot, SnapshotRef};
use lakeferry_model::{DeltaVersion, Digest, Head, Instant, Size};
use object_store::ObjectMeta;

use crate::{
    commit::{self, Keep, plus},
    engine::blocking,
    error::{Error, Result, failed},
    files::files_of,
    log::{self, Listing},
    shape::Shape,
    table::{Newest, Table, id_of},
};

/// Through more commits than these a load from a log checkpoint is no slower.
const ROLLED_MAX: u64 = 100;

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
        if same && let Some(rolled) = roll_forward(table, newest, &listing).await? {
            return Ok(rolled);
        }
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
    let size = size_of(table, snapshot.clone()).await?;
    found(table, snapshot, digest, size, file)
}

/// From `known`, whose commit is the same still, to the newest that `listing` has; nothing if that has
/// to be loaded.
async fn roll_forward(table: &Table, known: Newest, listing: &Listing) -> Result<Option<Newest>> {
    let (after, Some(through)) = (known.head.version.0, listing.newest()) else {
        return Ok(None);
    };
    let commits = after + 1..=through;
    let has_all = || commits.clone().all(|at| listing.commits.contains_key(&at));
    if through <= after || through - after > ROLLED_MAX || !has_all() {
        return Ok(None);
    }
    let (mut size, mut digest) = (known.head.size, None);
    for version in commits.clone() {
        let read = commit::read(&table.location, version, Keep::Summary).await?;
        let Some((read, actions)) = read else {
            return Ok(None);
        };
        let Some(grown) = actions.grown(size) else {
            return Ok(None);
        };
        (size, digest) = (grown, Some(read));
    }
    let snapshot = table.load_from(known.snapshot, through).await?;
    // As for a version that is loaded: no other commit can have come in between.
    if log::digest_of(&table.location, through).await? != digest {
        return Ok(None);
    }
    let file = listing.commits.get(&through).cloned();
    found(table, snapshot, digest, size, file).map(Some)
}

/// Remembers what was found.
///
/// # Errors
/// [`Error::Moved`] also where the newest commit is empty: a writer that does not put it there at once
/// is not done with it.
fn found(
    table: &Table,
    snapshot: SnapshotRef,
    digest: Option<Digest>,
    size: Size,
    file: Option<ObjectMeta>,
) -> Result<Newest> {
    let version = snapshot.version();
    if file.as_ref().is_some_and(|file| file.size == 0) {
        return Err(Error::Moved {
            table: table.name().to_owned(),
            what: format!("commit {version} was empty"),
        });
    }
    // Its columns are the same at every instant.
    let shape = Shape::of(&table.settings, &snapshot, Instant(0))?;
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

fn same_file(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    (one.size, one.last_modified, &one.e_tag) == (other.size, other.last_modified, &other.e_tag)
}
