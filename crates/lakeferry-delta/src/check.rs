//! Whether a job's settings fit its table, before anything is read.

use lakeferry_model::{DeltaVersion, Head, Size};

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
    /// it.
    pub after_skipping: Size,
}

pub(crate) async fn check(table: &Table) -> Result<Check> {
    let newest = head::look(table).await?;
    let shape = Shape::of(&table.settings, &newest.snapshot)?;
    let filter = shape.text.clone();
    let after_skipping = match shape.skips_files() {
        None => newest.head.size,
        skip => {
            let (name, engine) = (table.name().to_owned(), table.engine());
            let work = move || {
                let scan = scan(&name, newest.snapshot, &shape, skip)?;
                sum(files_of(&name, engine.as_ref(), &scan)?)
            };
            blocking(table.name(), work).await?
        }
    };
    Ok(Check {
        head: newest.head,
        filter,
        after_skipping,
    })
}
