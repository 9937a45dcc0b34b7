//! The rows of the files that the commits of a range added.
//!
//! A file is read as it is listed at the end of the range. One that is no longer listed there (a
//! later OPTIMIZE of the range rewrote it) is read as its own commit listed it.

use std::{collections::HashMap, sync::Arc};

use delta_kernel::{SnapshotRef, scan::state::ScanFile};
use lakeferry_model::{ChangeBatch, Content, DeltaVersion, Sign};

use crate::{
    changes::{Changes, unlike},
    engine::blocking,
    error::{Error, Result, failed},
    files::{FileReader, listed},
    shape::Shape,
    snapshot::scan,
    survey::Surveyed,
    table::Table,
};

/// Files to read, with their reader.
struct Live {
    reader: Arc<FileReader>,
    /// By the path in the log.
    files: HashMap<String, ScanFile>,
}

/// Reads the rows of the files that `commits` added, versions ascending; `last` is the table at
/// the last of them.
pub(crate) async fn read(
    table: &Table,
    last: SnapshotRef,
    shape: Arc<Shape>,
    commits: &[Surveyed],
    outlet: Changes,
) -> Result<()> {
    let Some(first) = commits.first() else {
        return Ok(());
    };
    let mut at_end = live(table, last, &shape, first.version - 1).await?;
    for commit in commits {
        if !matches!(commit.content, Content::Nothing | Content::Added) {
            return Err(unlike(table.name(), commit, "added files alone"));
        }
        let (mut now, mut then) = (Vec::new(), Vec::new());
        for path in &commit.actions.added {
            match at_end.files.remove(path) {
                Some(file) => now.push(file),
                None => then.push(path.as_str()),
            }
        }
        give(&at_end.reader, now, commit.version, &outlet).await?;
        if !then.is_empty() {
            let (reader, files) = as_committed(table, &shape, commit, &then).await?;
            give(&reader, files, commit.version, &outlet).await?;
        }
    }
    Ok(())
}

async fn give(
    reader: &Arc<FileReader>,
    files: Vec<ScanFile>,
    version: u64,
    outlet: &Changes,
) -> Result<()> {
    let outlet = outlet.clone();
    let give = move |rows| {
        outlet.give(ChangeBatch {
            version: DeltaVersion(version),
            sign: Sign::Plus,
            rows,
        })
    };
    reader.read(Box::new(files.into_iter().map(Ok)), give).await
}

/// The files at `paths` as `commit` listed them.
async fn as_committed(
    table: &Table,
    shape: &Shape,
    commit: &Surveyed,
    paths: &[&str],
) -> Result<(Arc<FileReader>, Vec<ScanFile>)> {
    let lost = |what: String| Error::Lost {
        table: table.name().to_owned(),
        what,
        source: None,
    };
    let version = commit.version;
    let snapshot = table.load(Some(DeltaVersion(version))).await?;
    let then = Arc::new(Shape::of(&table.settings, &snapshot)?);
    if then.read != shape.read {
        return Err(lost(format!("its columns changed after version {version}")));
    }
    let mut live = live(table, snapshot, &then, version - 1).await?;
    let files = paths
        .iter()
        .map(|&path| {
            live.files.remove(path).ok_or_else(|| {
                lost(format!(
                    "{path} is not in version {version}, which added it"
                ))
            })
        })
        .collect::<Result<_>>()?;
    Ok((live.reader, files))
}

/// The files that came after version `after` and are live at `snapshot`.
///
/// The kernel replays only the commits after `after`, unless a log checkpoint lies in between:
/// then it gives older files as well, which nobody asks for. No file is skipped by the filter: a
/// file that is absent must be one that is not live.
async fn live(
    table: &Table,
    snapshot: SnapshotRef,
    shape: &Arc<Shape>,
    after: u64,
) -> Result<Live> {
    let (name, engine, shape) = (table.name().to_owned(), table.engine(), shape.clone());
    blocking(table.name(), move || {
        let scan = scan(&name, snapshot, &shape, None)?;
        let batches = scan
            .scan_metadata_from(engine.as_ref(), after, std::iter::empty(), None)
            .map_err(|error| failed(&name, "list its files", error))?;
        let files = batches
            .flat_map(|batch| listed(&name, batch))
            .map(|file| file.map(|file| (file.path.clone(), file)))
            .collect::<Result<_>>()?;
        let reader = FileReader::new(&name, engine, &scan, shape);
        Ok(Live { reader, files })
    })
    .await
}
