//! The changes of a commit range: from the change data feed, or as the rows of added files.

use std::{collections::HashMap, sync::Arc};

use delta_kernel::{SnapshotRef, scan::state::ScanFile};
use lakeferry_model::{ChangeBatch, CommitRange, Content, DeltaVersion, Reading, Sign};

use crate::{
    engine::blocking,
    error::{Error, Result, failed},
    feed::{self, Stretch},
    files::{FileReader, listed},
    log,
    reader::{Batches, Outlet, Wanted, stream},
    shape::Shape,
    snapshot::scan,
    survey::{self, Surveyed},
    table::Table,
};

type Changes = Outlet<ChangeBatch<DeltaVersion>>;

/// Streams the changes of `range`.
pub(crate) async fn changes(
    table: Arc<Table>,
    range: &CommitRange<DeltaVersion>,
    reading: Reading,
) -> Result<Batches<ChangeBatch<DeltaVersion>>> {
    let (after, through) = (range.after(), range.through());
    table.verify(after).await?;
    table.verify(through).await?;
    let last = table.load(Some(through.version)).await?;
    table.same(through, &last)?;
    let shape = Arc::new(Shape::of(&table.settings, &last)?);
    let listing = log::list(&table.location, after.version.0).await?;
    let commits = survey::read(&table, &listing, after.version, through.version)
        .await?
        .ok_or_else(|| log::vanished(&table.location, after.version.0 + 1))?;
    let (name, range) = (table.name().to_owned(), range.clone());
    Ok(stream(&name, |outlet| async move {
        match reading {
            Reading::Feed => read_feed(&table, shape, &commits, outlet).await?,
            Reading::Added => read_added(&table, last, shape, &commits, outlet).await?,
        }
        table.verify(range.after()).await?;
        table.verify(range.through()).await
    }))
}

async fn read_feed(
    table: &Arc<Table>,
    shape: Arc<Shape>,
    commits: &[Surveyed],
    outlet: Changes,
) -> Result<()> {
    let stretches = stretches(table.name(), commits)?;
    let (table, engine, name) = (table.clone(), table.engine(), table.name().to_owned());
    blocking(&name, move || {
        for stretch in stretches {
            let give = |batch| outlet.give(batch);
            if feed::read(&table, &engine, &shape, stretch, &give)? == Wanted::NoMore {
                break;
            }
        }
        Ok(())
    })
    .await
}

/// Parts `commits` where the metadata changes, leaving out stretches in which nothing happened:
/// the feed need not have been on there.
fn stretches(table: &str, commits: &[Surveyed]) -> Result<Vec<Stretch>> {
    let mut stretches = Vec::<Stretch>::new();
    let mut open = false;
    for commit in commits {
        open &= !commit.actions.metadata;
        match (commit.content, stretches.last_mut()) {
            (Content::Nothing, _) => {}
            (Content::Feed, Some(stretch)) if open => stretch.last = commit.version,
            (Content::Feed, _) => {
                open = true;
                stretches.push(Stretch {
                    first: commit.version,
                    last: commit.version,
                });
            }
            (Content::Added | Content::Rewritten, _) => {
                return Err(unlike(table, commit, "its change data feed"));
            }
        }
    }
    Ok(stretches)
}

async fn read_added(
    table: &Table,
    last: SnapshotRef,
    shape: Arc<Shape>,
    commits: &[Surveyed],
    outlet: Changes,
) -> Result<()> {
    if let Some(other) = commits
        .iter()
        .find(|commit| !matches!(commit.content, Content::Nothing | Content::Added))
    {
        return Err(unlike(table.name(), other, "added files alone"));
    }
    let Some(first) = commits.first() else {
        return Ok(());
    };
    let added: HashMap<String, u64> = commits
        .iter()
        .flat_map(|commit| {
            commit
                .actions
                .added
                .iter()
                .map(|path| (path.clone(), commit.version))
        })
        .collect();
    let (reader, mut live) = live(table, last, &shape, first.version - 1, added).await?;
    for commit in commits {
        let files = live.remove(&commit.version).unwrap_or_default();
        let files = Box::new(files.into_iter().map(Ok));
        let (outlet, version) = (outlet.clone(), DeltaVersion(commit.version));
        let give = move |rows| {
            outlet.give(ChangeBatch {
                version,
                sign: Sign::Plus,
                rows,
            })
        };
        reader.read(files, give).await?;
    }
    Ok(())
}

/// The files of `added` that are live at `last`, by the version that added them.
///
/// The kernel replays only the commits after `after`, unless a log checkpoint lies in between.
async fn live(
    table: &Table,
    last: SnapshotRef,
    shape: &Arc<Shape>,
    after: u64,
    added: HashMap<String, u64>,
) -> Result<(Arc<FileReader>, HashMap<u64, Vec<ScanFile>>)> {
    let (name, engine, shape) = (table.name().to_owned(), table.engine(), shape.clone());
    blocking(table.name(), move || {
        let scan = scan(&name, last, &shape)?;
        let batches = scan
            .scan_metadata_from(engine.as_ref(), after, std::iter::empty(), None)
            .map_err(|error| failed(&name, "list its files", error))?;
        let mut live = HashMap::<u64, Vec<ScanFile>>::new();
        for file in batches.flat_map(|batch| listed(&name, batch)) {
            let file = file?;
            if let Some(&version) = added.get(&file.path) {
                live.entry(version).or_default().push(file);
            }
        }
        Ok((FileReader::new(&name, engine, &scan, shape), live))
    })
    .await
}

fn unlike(table: &str, commit: &Surveyed, asked: &str) -> Error {
    Error::Broken {
        table: table.to_owned(),
        what: format!("commit {} cannot be read as {asked}", commit.version),
        source: None,
    }
}
