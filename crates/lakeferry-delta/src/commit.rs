//! One commit of the log: its actions, as far as they say how its changes can be read.

use std::{borrow::Cow, collections::HashMap};

use lakeferry_model::{Content, Digest, Sign, Size};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    data_file::{DataFile, DeletionVector, Fresh, PartitionValues, SignedFile},
    error::{Error, Result},
    location::Location,
    log,
};

/// The property that turns the change data feed on (Delta protocol, "Change Data Files").
const FEED_PROPERTY: &str = "delta.enableChangeDataFeed";

/// What the actions of a commit say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions {
    /// Whether the commit carries new metadata or a new protocol.
    pub(crate) metadata: bool,
    /// What new metadata says about the feed.
    pub(crate) feed: Option<bool>,
    /// The files that came and went, if they were asked for.
    pub(crate) files: Option<Vec<SignedFile>>,
    adds: Size,
    removes: Size,
    /// A file that came or went though no row changed: it may be one that was there.
    rearranges: bool,
    feeds: Size,
    /// A removed file whose size is not told.
    sizeless: bool,
    /// A removed file whose partition values are not told.
    nameless: bool,
}

/// How much of a commit is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// What it did.
    Summary,
    /// The files as well.
    Files,
}

/// Reads the commit at `version`; nothing if there is no such file.
pub(crate) async fn read(
    location: &Location,
    version: u64,
    keep: Keep,
) -> Result<Option<(Digest, Actions)>> {
    let mut actions = Actions {
        files: (keep == Keep::Files).then(Vec::new),
        ..Actions::default()
    };
    let digest = log::read_commit(location, version, |line| {
        actions.take(line).map_err(|error| Error::Unreadable {
            table: location.name().to_owned(),
            what: format!("commit {version} of its log is damaged"),
            hint: "check the table with the engine that writes it",
            source: Some(Box::new(error)),
        })
    })
    .await?;
    Ok(digest.map(|digest| (digest, actions)))
}

impl Actions {
    /// How the changes of this commit can be read.
    ///
    /// | the commit | feed on | feed off |
    /// |---|---|---|
    /// | changed no rows (only `dataChange = false`) | Nothing | Nothing |
    /// | removed files and changed the metadata | Opaque | Opaque |
    /// | has change files | Feed | as if it had none |
    /// | removed files that lack their partition values | Opaque | Opaque |
    /// | removed files that lack their size | Feed | Opaque |
    /// | only added files | Feed | Added |
    /// | anything else | Feed | Rewritten |
    ///
    /// The second row is there because the removed files were written under the metadata before,
    /// and would be read under the one after. The fourth is there because the changes of a whole
    /// removed file are the file itself, and without the values its partition columns would read
    /// as null.
    pub(crate) fn content(&self, feed: bool, partitioned: bool) -> Content {
        let changed = self.adds.files + self.removes.files + self.feeds.files > 0;
        let recast = self.metadata && self.removes.files > 0;
        let nameless = partitioned && self.nameless;
        match feed {
            _ if !changed => Content::Nothing,
            _ if recast => Content::Opaque,
            true if self.feeds.files > 0 => Content::Feed,
            _ if nameless => Content::Opaque,
            true => Content::Feed,
            false if self.sizeless => Content::Opaque,
            false if self.removes.files == 0 => Content::Added,
            false => Content::Rewritten,
        }
    }

    /// Whether rows came, and none went.
    pub(crate) fn only_adds(&self) -> bool {
        self.adds.files > 0 && self.removes.files == 0
    }

    /// The size of a table after this commit that had the size `before`; nothing if the commit does not
    /// tell. What removed files had of rows is told rarely.
    pub(crate) fn grown(&self, before: Size) -> Option<Size> {
        let Self { adds, removes, .. } = self;
        if self.rearranges || self.sizeless {
            return None;
        }
        let rows = plus(before, *adds).rows.zip(match removes.files {
            0 => Some(0),
            _ => removes.rows,
        });
        Some(Size {
            files: (before.files + adds.files).checked_sub(removes.files)?,
            bytes: (before.bytes + adds.bytes).checked_sub(removes.bytes)?,
            rows: rows.and_then(|(all, gone)| all.checked_sub(gone)),
        })
    }

    /// What there is to read for the changes of this commit.
    pub(crate) fn size(&self, content: Content) -> Size {
        match content {
            Content::Nothing => Size::default(),
            Content::Feed if self.feeds.files > 0 => self.feeds,
            Content::Added => self.adds,
            Content::Feed | Content::Rewritten | Content::Opaque => plus(self.adds, self.removes),
        }
    }

    fn take(&mut self, line: &[u8]) -> serde_json::Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let action: Action<'_> = serde_json::from_slice(line)?;
        if let Some(file) = action.add {
            self.rearranges |= !file.data_change;
            if file.data_change {
                self.adds = plus(self.adds, file.size_of());
            }
            self.keep(Sign::Plus, file);
        }
        if let Some(file) = action.remove {
            self.rearranges |= !file.data_change;
            if file.data_change {
                self.removes = plus(self.removes, file.size_of());
                self.sizeless |= file.size.is_none();
                self.nameless |= file.partition_values.is_none();
            }
            self.keep(Sign::Minus, file);
        }
        if let Some(file) = action.cdc {
            self.feeds = plus(self.feeds, file.size_of());
        }
        if let Some(metadata) = action.metadata {
            self.metadata = true;
            let property = metadata.configuration.get(FEED_PROPERTY);
            self.feed = Some(property.is_some_and(|value| value.as_deref() == Some("true")));
        }
        self.metadata |= action.protocol.is_some();
        Ok(())
    }

    fn keep(&mut self, sign: Sign, file: File<'_>) {
        if let Some(files) = &mut self.files {
            files.push(SignedFile {
                sign,
                data_change: file.data_change,
                file: file.into(),
            });
        }
    }
}

/// A line of a commit: exactly one of its fields is there.
#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow)]
    add: Option<File<'a>>,
    #[serde(borrow)]
    remove: Option<File<'a>>,
    #[serde(borrow)]
    cdc: Option<File<'a>>,
    #[serde(borrow, rename = "metaData")]
    metadata: Option<Metadata<'a>>,
    protocol: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default = "yes")]
    data_change: bool,
    #[serde(borrow, default)]
    stats: Option<Cow<'a, str>>,
    #[serde(default)]
    partition_values: Option<PartitionValues>,
    #[serde(default)]
    deletion_vector: Option<DeletionVector>,
    #[serde(default)]
    base_row_id: Option<i64>,
    #[serde(default)]
    default_row_commit_version: Option<i64>,
}

impl From<File<'_>> for DataFile {
    fn from(file: File<'_>) -> Self {
        Self {
            path: file.path.into_owned(),
            size: file.size,
            partition_values: file.partition_values,
            deletion_vector: file.deletion_vector,
            fresh: file
                .base_row_id
                .zip(file.default_row_commit_version)
                .map(|(row_id, version)| Fresh { row_id, version }),
        }
    }
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    configuration: HashMap<Cow<'a, str>, Option<Cow<'a, str>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    num_records: Option<u64>,
}

impl File<'_> {
    fn size_of(&self) -> Size {
        let statistics = self
            .stats
            .as_deref()
            .map(serde_json::from_str::<Statistics>);
        Size {
            files: 1,
            bytes: self.size.unwrap_or_default(),
            rows: statistics.and_then(|parsed| parsed.ok()?.num_records),
        }
    }
}

fn yes() -> bool {
    true
}

/// Both together; rows only where both know theirs.
pub(crate) fn plus(one: Size, other: Size) -> Size {
    let rows = match (one.files, other.files) {
        (0, _) => other.rows,
        (_, 0) => one.rows,
        _ => one.rows.zip(other.rows).map(|(one, other)| one + other),
    };
    Size {
        files: one.files + other.files,
        bytes: one.bytes + other.bytes,
        rows,
    }
}
