//! One commit of the log: its actions, as far as they say how its changes can be read.

use std::{borrow::Cow, collections::HashMap};

use lakeferry_model::{Content, Digest, Size};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
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
    /// Paths, as in the log, of the files that this commit added to the table's rows.
    pub(crate) added: Vec<String>,
    adds: Size,
    removes: Size,
    feeds: Size,
    deletion_vectors: bool,
    bare_removes: bool,
}

/// Reads the commit at `version`; nothing if there is no such file.
pub(crate) async fn read(location: &Location, version: u64) -> Result<Option<(Digest, Actions)>> {
    let mut actions = Actions::default();
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
    /// | has change files | Feed | Rewritten |
    /// | only added files, without deletion vectors | Feed | Added |
    /// | removed files that lack their partition values | Rewritten | Rewritten |
    /// | removed files and changed the metadata | Rewritten | Rewritten |
    /// | anything else | Feed | Rewritten |
    ///
    /// The fourth row is there because the feed of a whole removed file is the file itself, and
    /// without the values its partition columns would read as null. The fifth is there because
    /// the removed files were written under the metadata before, and the feed would read them
    /// under the one after.
    pub(crate) fn content(&self, feed: bool, partitioned: bool) -> Content {
        let changed = self.adds.files + self.removes.files + self.feeds.files > 0;
        let recast = self.metadata && self.removes.files > 0;
        let nameless = partitioned && self.bare_removes && self.feeds.files == 0;
        match (changed, feed) {
            (false, _) => Content::Nothing,
            (true, true) if nameless || recast => Content::Rewritten,
            (true, true) => Content::Feed,
            (true, false) if self.feeds.files > 0 => Content::Rewritten,
            (true, false) if self.removes.files == 0 && !self.deletion_vectors => Content::Added,
            (true, false) => Content::Rewritten,
        }
    }

    /// What there is to read for the changes of this commit.
    pub(crate) fn size(&self, content: Content) -> Size {
        match content {
            Content::Nothing => Size::default(),
            Content::Feed if self.feeds.files > 0 => self.feeds,
            Content::Added => self.adds,
            Content::Feed | Content::Rewritten => plus(self.adds, self.removes),
        }
    }

    fn take(&mut self, line: &[u8]) -> serde_json::Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let action: Action<'_> = serde_json::from_slice(line)?;
        if let Some(file) = action.add.filter(|file| file.data_change) {
            self.adds = plus(self.adds, file.size_of());
            self.deletion_vectors |= file.deletion_vector.is_some();
            self.added.push(file.path.into_owned());
        }
        if let Some(file) = action.remove.filter(|file| file.data_change) {
            self.removes = plus(self.removes, file.size_of());
            self.deletion_vectors |= file.deletion_vector.is_some();
            self.bare_removes |= file.partition_values.is_none();
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
    partition_values: Option<IgnoredAny>,
    #[serde(default)]
    deletion_vector: Option<IgnoredAny>,
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
