//! Whether a job's settings fit its table, before anything is read.

use delta_kernel::SnapshotRef;
use lakeferry_model::{DeltaVersion, Head, Instant, Size};

use crate::{
    engine::blocking,
    error::Result,
    files::files_of,
    head::{self, sum},
    shape::Shape,
    snapshot::scan,
    table::Table,
};

/// What a job's settings mean for its table as it is now.
#[derive(Clone, Debug)]
pub struct Check {
    pub head: Head<DeltaVersion>,
    /// The filter in a canonical form, for the job's fingerprint: the same for texts that differ
    /// in spacing, in the case of keywords or in the case of names.
    pub filter: Option<String>,
    /// What statistics leave to read of the files, at most: rows that the filter refuses are among
    /// it. Where the filter depends on time, in 1970.
    pub after_skipping: Size,
}

pub(crate) async fn check(table: &Table) -> Result<Check> {
    let newest = head::look(table).await?;
    let shape = Shape::of(&table.settings, &newest.snapshot, Instant(0))?;
    let filter = shape.text.clone();
    let after_skipping = match shape.skips_files() {
        None => newest.head.size,
        Some(_) => size_in(table, newest.snapshot, shape).await?,
    };
    Ok(Check {
        head: newest.head,
        filter,
        after_skipping,
    })
}

/// The files of `snapshot` that can hold rows of `shape`.
pub(crate) async fn size_in(table: &Table, snapshot: SnapshotRef, shape: Shape) -> Result<Size> {
    let (name, engine) = (table.name().to_owned(), table.engine());
    let work = move || {
        let scan = scan(&name, snapshot, &shape, shape.skips_files())?;
        sum(files_of(&name, engine.as_ref(), &scan)?)
    };
    blocking(table.name(), work).await
}
