//! What the log says about the commits of a range, before a row is read.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lakeferry_model::{
    AtWatermark, Commit, Content, DeltaVersion, Digest, Head, Survey, Watermark,
};

use crate::{
    commit::{self, Actions, Keep},
    error::{Error, Result},
    log::{self, Listing},
    table::{Table, has_feed, is_partitioned},
};

/// Commit files that are fetched at once.
const COMMITS_AT_ONCE: usize = 8;

/// A commit of a range, read.
#[derive(Clone, Debug)]
pub(crate) struct Surveyed {
    pub(crate) version: u64,
    pub(crate) digest: Digest,
    pub(crate) content: Content,
    pub(crate) actions: Actions,
}

/// The survey of `(watermark, head]`.
pub(crate) async fn survey(
    table: &Table,
    watermark: &Watermark<DeltaVersion>,
    head: &Head<DeltaVersion>,
) -> Result<Survey<DeltaVersion>> {
    let (after, through) = (watermark.version, head.version);
    let listing = log::list(&table.location, after.0).await?;
    let at_watermark = at(table, &listing, after).await?;
    let commits = read(table, &listing, after, through, Keep::Summary)
        .await?
        .unwrap_or_default();
    let commits = match readable(table, &commits).await? {
        true => commits.iter().map(Surveyed::commit).collect(),
        false => Vec::new(),
    };
    Ok(Survey {
        at_watermark,
        commits,
    })
}

/// The commits of `(after, through]`, read and judged; nothing if `listing` lacks any of them.
pub(crate) async fn read(
    table: &Table,
    listing: &Listing,
    after: DeltaVersion,
    through: DeltaVersion,
    keep: Keep,
) -> Result<Option<Vec<Surveyed>>> {
    let versions = after.0 + 1..=through.0;
    if !versions
        .clone()
        .all(|version| listing.commits.contains_key(&version))
    {
        return Ok(None);
    }
    let read: Vec<_> = stream::iter(versions)
        .map(|version| async move {
            let read = commit::read(&table.location, version, keep).await?;
            read.map(|(digest, actions)| (version, digest, actions))
                .ok_or_else(|| log::vanished(&table.location, version))
        })
        .buffered(COMMITS_AT_ONCE)
        .try_collect()
        .await?;
    judge(table, after, through, read).await.map(Some)
}

/// Tells for every commit how it can be read. Whether the feed is on follows the metadata from
/// commit to commit: a commit's own metadata applies to it.
async fn judge(
    table: &Table,
    after: DeltaVersion,
    through: DeltaVersion,
    commits: Vec<(u64, Digest, Actions)>,
) -> Result<Vec<Surveyed>> {
    let last = table.load(Some(through)).await?;
    let partitioned = is_partitioned(&last);
    let changes = commits.iter().any(|(_, _, actions)| actions.feed.is_some());
    let mut feed = match changes {
        false => has_feed(&last),
        true => feed_at(table, after).await?,
    };
    let judged = commits.into_iter().map(|(version, digest, actions)| {
        feed = actions.feed.unwrap_or(feed);
        Surveyed {
            version,
            digest,
            content: actions.content(feed, partitioned),
            actions,
        }
    });
    Ok(judged.collect())
}

/// Whether the feed is on at `version`; where the log no longer tells, it is not counted on.
async fn feed_at(table: &Table, version: DeltaVersion) -> Result<bool> {
    match table.load(Some(version)).await {
        Ok(snapshot) => Ok(has_feed(&snapshot)),
        Err(Error::Lost { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the feed of `commits` can be read: the kernel loads the table at the first of them,
/// which a log that was cleaned up to there no longer allows.
async fn readable(table: &Table, commits: &[Surveyed]) -> Result<bool> {
    let first = commits
        .iter()
        .find(|commit| commit.content == Content::Feed);
    let Some(first) = first else {
        return Ok(true);
    };
    match table.load(Some(DeltaVersion(first.version))).await {
        Ok(_) => Ok(true),
        Err(Error::Lost { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn at(table: &Table, listing: &Listing, version: DeltaVersion) -> Result<AtWatermark> {
    if !listing.commits.contains_key(&version.0) {
        return Ok(AtWatermark::Gone);
    }
    log::digest_of(&table.location, version.0)
        .await?
        .map(AtWatermark::Commit)
        .ok_or_else(|| log::vanished(&table.location, version.0))
}

impl Surveyed {
    fn commit(&self) -> Commit<DeltaVersion> {
        Commit {
            version: DeltaVersion(self.version),
            digest: self.digest,
            content: self.content,
            only_adds: self.actions.only_adds(),
            metadata: self.actions.metadata,
            size: self.actions.size(self.content),
        }
    }
}
