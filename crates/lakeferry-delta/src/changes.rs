//! The changes of a commit range: from the change data feed, or as the difference between the files
//! that went and those that came.

use std::sync::Arc;

use delta_kernel::{
    Engine,
    schema::{DataType, StructType},
};
use lakeferry_model::{ChangeBatch, CommitRange, Content, DeltaVersion, Reading};

use crate::{
    columns,
    commit::Keep,
    engine::blocking,
    error::{Error, Result},
    feed::{self, Stretch},
    log, net,
    reader::{Batches, Outlet, Wanted, stream},
    shape::Shape,
    survey::{self, Surveyed},
    table::Table,
    tracking::Tracking,
};

pub(crate) type Changes = Outlet<ChangeBatch<DeltaVersion>>;

/// Streams the changes of `range`, in the columns of the newest version that is known: what came
/// after the range is NULL in it, what has another name since has that.
pub(crate) async fn changes(
    table: Arc<Table>,
    range: &CommitRange<DeltaVersion>,
    reading: Reading,
) -> Result<Batches<ChangeBatch<DeltaVersion>>> {
    let (after, through) = (range.after(), range.through());
    table.verify(after).await?;
    table.verify(through).await?;
    let newest = table
        .newest()
        .filter(|newest| newest.head.version >= through.version);
    let shown = match newest {
        Some(newest) => newest.snapshot,
        None => table.load(Some(through.version)).await?,
    };
    table.same(through, &shown)?;
    let shape = Arc::new(Shape::of(&table.settings, &shown, after.instant)?);
    let mut tracking = Tracking::of(&shown);
    if reading == Reading::Files && shown.version() != through.version.0 {
        let then = table.load(Some(through.version)).await?;
        same_types(table.name(), &then.schema(), &shape)?;
        tracking = Tracking::of(&then);
    }
    let listing = log::list(&table.location, after.version.0).await?;
    let keep = match reading {
        Reading::Feed => Keep::Summary,
        Reading::Files => Keep::Files,
    };
    let commits = survey::read(&table, &listing, after.version, through.version, keep)
        .await?
        .ok_or_else(|| log::vanished(&table.location, after.version.0 + 1))?;
    tracing::debug!(
        table = table.name(),
        commits = commits.len(),
        ?reading,
        "reads changes"
    );
    let (name, range) = (table.name().to_owned(), range.clone());
    Ok(stream(&name, |outlet| async move {
        let read = match reading {
            Reading::Feed => read_feed(&table, shape, &commits, outlet).await,
            Reading::Files => {
                let rows = (shape, tracking);
                net::read(&table, (shown, &range), rows, &commits, outlet).await
            }
        };
        table.trusting(read)?;
        table.verify(range.after()).await?;
        table.verify(range.through()).await
    }))
}

/// Checks that what was written under `then` can be read in the types that `shape` has: columns may
/// have become wider since, but after a RESTORE narrower as well.
fn same_types(table: &str, then: &StructType, shape: &Shape) -> Result<()> {
    for wanted in &shape.read {
        let physical = wanted.physical_name(shape.mapping);
        let mut fields = then.fields();
        let found = fields.find(|field| field.physical_name(shape.mapping) == physical);
        let Some(found) = found else {
            continue;
        };
        let widens = match (found.data_type(), wanted.data_type()) {
            (DataType::Primitive(then), DataType::Primitive(now)) => then.can_widen_to(now),
            _ => false,
        };
        if !widens && columns::plain(table, found)? != columns::plain(table, wanted)? {
            return Err(Error::Lost {
                table: table.to_owned(),
                what: format!(
                    "column {} was {} and is {} now",
                    wanted.name(),
                    found.data_type(),
                    wanted.data_type()
                ),
                source: None,
            });
        }
    }
    Ok(())
}

async fn read_feed(
    table: &Arc<Table>,
    shape: Arc<Shape>,
    commits: &[Surveyed],
    outlet: Changes,
) -> Result<()> {
    let stretches = stretches(table.name(), commits)?;
    let engine: Arc<dyn Engine> = table.engine();
    let (table, name) = (table.clone(), table.name().to_owned());
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
            (Content::Added | Content::Rewritten | Content::Opaque, _) => {
                return Err(Error::Broken {
                    table: table.to_owned(),
                    what: format!("commit {} cannot be read as a feed", commit.version),
                    source: None,
                });
            }
        }
    }
    Ok(stretches)
}
