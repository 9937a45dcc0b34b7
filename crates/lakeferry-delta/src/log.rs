//! The log of a table as files: which commits it has, and their bytes.
//!
//! That a commit is absent is believed only from a LIST; a GET that finds nothing where a LIST
//! showed something means that the log changed in between.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};
use lakeferry_model::{Digest, Instant};
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt as _, path::Path as StorePath};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, Kind, Result, failed, kind_of},
    location::Location,
};

/// The digits of a version in the name of a log file (Delta protocol, "Delta log entries").
const VERSION_DIGITS: usize = 20;

/// The commit files of a log at the moment of a LIST, by version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) commits: BTreeMap<u64, ObjectMeta>,
    /// The versions that log checkpoints have.
    pub(crate) checkpoints: BTreeSet<u64>,
}

impl Listing {
    /// The newest commit.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.commits.keys().next_back().copied()
    }

    /// Whether it leads to `version`: from its start or a checkpoint, commit by commit.
    pub(crate) fn leads_to(&self, version: u64) -> bool {
        let checkpoint = self.checkpoints.range(..=version).next_back();
        let first = checkpoint.map_or(0, |checkpoint| checkpoint + 1);
        (first..=version).all(|version| self.commits.contains_key(&version))
    }
}

/// Lists the log from version `from` on.
pub(crate) async fn list(location: &Location, from: u64) -> Result<Listing> {
    let log = location.log()?;
    let from = log.clone().join(format!("{from:0VERSION_DIGITS$}"));
    let mut files = location.store().list_with_offset(Some(&log), &from);
    let mut listing = Listing::default();
    while let Some(file) = files.next().await {
        let file = match file {
            Ok(file) => file,
            // No directory, or a file that vanished: nothing is listed, as on object storage.
            Err(error) if kind_of(&error) == Kind::Missing => continue,
            Err(error) => return Err(failed(location.name(), "list _delta_log", error)),
        };
        match version_of(&log, &file.location) {
            Some((version, "json")) => drop(listing.commits.insert(version, file)),
            Some((version, rest)) if rest.starts_with("checkpoint.") => {
                listing.checkpoints.insert(version);
            }
            _ => {}
        }
    }
    Ok(listing)
}

/// Reads the commit file of `version` line by line and digests it; nothing if there is no such
/// file.
pub(crate) async fn read_commit(
    location: &Location,
    version: u64,
    mut line: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Option<Digest>> {
    let path = location
        .log()?
        .join(format!("{version:0VERSION_DIGITS$}.json"));
    let trouble = |error| failed(location.name(), &format!("read commit {version}"), error);
    let mut bytes = match location.store().get(&path).await {
        Ok(file) => file.into_stream(),
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(trouble(error)),
    };
    let (mut digest, mut rest) = (Sha256::new(), Vec::new());
    while let Some(chunk) = bytes.try_next().await.map_err(trouble)? {
        digest.update(&chunk);
        let mut pieces = chunk.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            rest.extend_from_slice(piece);
            if pieces.peek().is_some() {
                line(&rest)?;
                rest.clear();
            }
        }
    }
    line(&rest)?;
    Ok(Some(Digest(digest.finalize().into())))
}

/// The digest of the commit file of `version`; nothing if there is no such file.
pub(crate) async fn digest_of(location: &Location, version: u64) -> Result<Option<Digest>> {
    read_commit(location, version, |_| Ok(())).await
}

/// Whether there is a commit file of `version`: one request, without its bytes.
pub(crate) async fn has_commit(location: &Location, version: u64) -> Result<bool> {
    let path = location
        .log()?
        .join(format!("{version:0VERSION_DIGITS$}.json"));
    match location.store().head(&path).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(failed(
            location.name(),
            &format!("look for commit {version}"),
            error,
        )),
    }
}

/// When the commit of `version` was made; nothing if there is no such file.
pub(crate) async fn commit_time(location: &Location, version: u64) -> Result<Option<Instant>> {
    let path = location
        .log()?
        .join(format!("{version:0VERSION_DIGITS$}.json"));
    let written = match location.store().head(&path).await {
        Ok(file) => Instant(file.last_modified.timestamp_micros()),
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => {
            let doing = format!("look for commit {version}");
            return Err(failed(location.name(), &doing, error));
        }
    };
    let (mut said, mut lines) = (None, 0);
    read_commit(location, version, |line| {
        // It is the first action, if there is one.
        if lines == 0 {
            said = serde_json::from_slice::<Timed>(line).ok();
        }
        lines += 1;
        Ok(())
    })
    .await?;
    let millis = said.and_then(|timed| timed.commit_info?.in_commit_timestamp);
    Ok(Some(millis.map_or(written, |millis| {
        Instant(millis.saturating_mul(1_000))
    })))
}

/// A line that may say when its commit was made.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timed {
    commit_info: Option<CommitInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitInfo {
    /// In milliseconds.
    in_commit_timestamp: Option<i64>,
}

/// The error for a commit that a LIST showed and a GET did not find.
pub(crate) fn vanished(location: &Location, version: u64) -> Error {
    Error::Moved {
        table: location.name().to_owned(),
        what: format!("commit {version} vanished from its log"),
    }
}

/// The version in the name of a file directly in the log, and the rest of the name.
fn version_of<'a>(log: &StorePath, file: &'a StorePath) -> Option<(u64, &'a str)> {
    let name = file.filename()?;
    let (version, rest) = name.split_at_checked(VERSION_DIGITS)?;
    let direct = file.parts().count() == log.parts().count() + 1;
    (direct && version.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| version.parse().ok())
        .flatten()
        .zip(rest.strip_prefix('.'))
}
